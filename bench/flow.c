// SPDX-License-Identifier: MIT
#include "flow.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tools.h"

#define STAMP_SIZE 8U

/* splitmix64's finisher: neighbouring positions give unrelated stamps */
static uint64_t mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15U;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
	return value ^ (value >> 31);
}

void flow_init(struct flow *flow, int fd, bool server, uint64_t token, uint64_t size)
{
	uint64_t to_server = mix(token * 2);
	uint64_t to_client = mix(token * 2 + 1);

	*flow = (struct flow){
		.fd = fd,
		.interval = size < FLOW_INTERVAL_MAX ? size : FLOW_INTERVAL_MAX,
		.salt_in = server ? to_server : to_client,
		.salt_out = server ? to_client : to_server,
	};
	if (flow->interval < STAMP_SIZE)
		flow->interval = STAMP_SIZE;
}

/**
 * struct overlap - the part of one stamp that lies within a piece of the stream
 * @in_stamp, @in_piece: where it starts in either
 * @length: its bytes
 */
struct overlap {
	size_t in_stamp;
	size_t in_piece;
	size_t length;
};

static struct overlap stamp_overlap(uint64_t stamp, uint64_t position, size_t length)
{
	uint64_t start = stamp > position ? stamp : position;
	uint64_t stop = stamp + STAMP_SIZE;

	if (stop > position + length)
		stop = position + length;
	return (struct overlap){
		.in_stamp = start - stamp,
		.in_piece = start - position,
		.length = stop > start ? stop - start : 0,
	};
}

static void stamp_piece(const struct flow *flow, unsigned char *piece, size_t length)
{
	uint64_t position = flow->position_out;

	for (uint64_t at = position - position % flow->interval; at < position + length;
	     at += flow->interval) {
		struct overlap overlap = stamp_overlap(at, position, length);
		uint64_t stamp = mix(flow->salt_out ^ at);

		memcpy(piece + overlap.in_piece, (unsigned char *)&stamp + overlap.in_stamp,
		       overlap.length);
	}
}

static bool piece_is_right(const struct flow *flow, const unsigned char *piece, size_t length)
{
	uint64_t position = flow->position_in;

	for (uint64_t at = position - position % flow->interval; at < position + length;
	     at += flow->interval) {
		struct overlap overlap = stamp_overlap(at, position, length);
		uint64_t stamp = mix(flow->salt_in ^ at);

		if (memcmp(piece + overlap.in_piece, (unsigned char *)&stamp + overlap.in_stamp,
			   overlap.length) != 0)
			return false;
	}
	return true;
}

int64_t flow_send(struct flow *flow, struct scratch *scratch)
{
	size_t length = flow->left_out < scratch->size ? flow->left_out : scratch->size;
	ssize_t sent;

	stamp_piece(flow, scratch->bytes, length);
	do
		sent = send(flow->fd, scratch->bytes, length, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	flow->position_out += (uint64_t)sent;
	flow->left_out -= (uint64_t)sent;
	return sent;
}

int64_t flow_receive(struct flow *flow, struct scratch *scratch)
{
	size_t length = flow->left_in < scratch->size ? flow->left_in : scratch->size;
	ssize_t received;

	do
		received = recv(flow->fd, scratch->bytes, length, 0);
	while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	if (!piece_is_right(flow, scratch->bytes, (size_t)received))
		return -EBADMSG;
	flow->position_in += (uint64_t)received;
	flow->left_in -= (uint64_t)received;
	return received;
}

int flow_send_all(struct flow *flow, struct scratch *scratch, uint64_t length)
{
	flow->left_out = length;
	while (flow->left_out > 0) {
		int64_t sent = flow_send(flow, scratch);

		if (sent < 0)
			return (int)sent;
	}
	return 0;
}

int flow_receive_all(struct flow *flow, struct scratch *scratch, uint64_t length)
{
	flow->left_in = length;
	while (flow->left_in > 0) {
		int64_t received = flow_receive(flow, scratch);

		if (received == 0)
			return -ECONNRESET;
		if (received < 0)
			return (int)received;
	}
	return 0;
}

struct scratch scratch_take(uint64_t size)
{
	struct scratch scratch = {.size = size};

	scratch.bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (scratch.bytes == MAP_FAILED)
		fail(errno, "no memory for a buffer of %zu bytes", scratch.size);
	memset(scratch.bytes, 'x', size);
	return scratch;
}

void scratch_give(struct scratch *scratch)
{
	munmap(scratch->bytes, scratch->size);
	scratch->bytes = NULL;
	scratch->size = 0;
}
