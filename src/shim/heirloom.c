/* SPDX-License-Identifier: MIT */
#include "shim/heirloom.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/segment.h"
#include "shim/back.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/side.h"

#define FORMAT "%" PRIx64 ",%d,%d,%d,%d,%d,%" PRIu32 ",%u,%u,%u,%u,%u;"
#define SCAN "%" SCNx64 ",%d,%d,%d,%d,%d,%" SCNu32 ",%u,%u,%u,%u,%u;"
#define FIELDS 12

uint64_t heirloom_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t length = sizeof(cookie);

	if (fd_is_hidden(fd) || libc.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) < 0)
		return 0;
	return cookie;
}

struct heirloom heirloom_of(const struct connection *connection)
{
	return (struct heirloom){
		.cookie = connection->side->cookie,
		.segment = connection->segment,
		.data_bell = connection->data_bell,
		.space_bell = connection->space_bell,
		.stand_in = connection->stand_in,
		.side = side_of(connection->side),
		.record = side_index(connection->side),
		.end = connection->end,
		.ring_bytes = connection->send.bytes,
		.element_bytes = connection->receive.bytes,
		.same_user = connection->same_user,
		.by_connect = connection->opened_by_connect,
	};
}

int heirloom_print(const struct heirloom *heirloom, char text[HEIRLOOM_TEXT])
{
	return snprintf(text, HEIRLOOM_TEXT, FORMAT, heirloom->cookie, heirloom->segment,
			heirloom->data_bell, heirloom->space_bell, heirloom->stand_in,
			heirloom->side, heirloom->record, heirloom->end, heirloom->ring_bytes,
			heirloom->element_bytes, heirloom->same_user, heirloom->by_connect);
}

bool heirloom_scan(struct heirloom *heirloom, const char *text)
{
	return sscanf(text, SCAN, &heirloom->cookie, &heirloom->segment, &heirloom->data_bell,
		      &heirloom->space_bell, &heirloom->stand_in, &heirloom->side,
		      &heirloom->record, &heirloom->end, &heirloom->ring_bytes,
		      &heirloom->element_bytes, &heirloom->same_user,
		      &heirloom->by_connect) == FIELDS;
}

static bool is_memory_file(int fd, uint64_t size)
{
	const int sealed = F_SEAL_SHRINK | F_SEAL_GROW;
	struct stat status;
	int seals = libc.fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & sealed) == sealed && fstat(fd, &status) == 0 &&
	       (uint64_t)status.st_size == size;
}

bool heirloom_is_valid(const struct heirloom *heirloom)
{
	if (heirloom->record >= SIDE_RECORDS || !is_memory_file(heirloom->side, SIDE_BYTES))
		return false;
	if (heirloom->segment < 0)
		return true;
	if (heirloom->stand_in >= 0 && libc.fcntl(heirloom->stand_in, F_GETFD) < 0)
		return false;
	return segment_bytes_valid(heirloom->ring_bytes) && heirloom->end < 2 &&
	       heirloom->element_bytes >= ELEMENT_BYTES_MIN &&
	       heirloom->element_bytes <= heirloom->ring_bytes &&
	       is_memory_file(heirloom->segment, segment_size(heirloom->ring_bytes)) &&
	       libc.fcntl(heirloom->data_bell, F_GETFD) >= 0 &&
	       libc.fcntl(heirloom->space_bell, F_GETFD) >= 0;
}

static void close_parts(const struct heirloom *heirloom)
{
	fd_unhide(heirloom->segment);
	fd_unhide(heirloom->data_bell);
	fd_unhide(heirloom->space_bell);
	fd_unhide(heirloom->stand_in);
}

bool heirloom_hide(struct heirloom *heirloom, bool stay)
{
	int *parts[] = {&heirloom->segment, &heirloom->data_bell, &heirloom->space_bell,
			&heirloom->stand_in, &heirloom->side};
	bool all = true;

	for (unsigned int i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (*parts[i] < 0)
			continue;
		if (stay)
			fd_hide_where_it_is(*parts[i]);
		else
			*parts[i] = fd_hide(*parts[i]);
		all &= *parts[i] >= 0;
	}
	if (!all) {
		close_parts(heirloom);
		fd_unhide(heirloom->side);
	}
	return all;
}

struct side_record *heirloom_record(struct heirloom *heirloom)
{
	struct side_record *record = side_take_up(heirloom->side, heirloom->record);

	if (record && record->cookie == heirloom->cookie)
		return record;
	if (record)
		side_drop(record);
	if (heirloom->segment >= 0 && heirloom->stand_in < 0)
		heirloom->returned = back_by_segment(heirloom);
	close_parts(heirloom);
	return NULL;
}

struct connection *heirloom_take_up(const struct heirloom *heirloom, struct side_record *record,
				    int fd)
{
	const struct move_parts parts = {
		.segment = heirloom->segment,
		.data_bell = heirloom->data_bell,
		.space_bell = heirloom->space_bell,
		.stand_in = heirloom->stand_in,
		.ring_bytes = heirloom->ring_bytes,
		.element_bytes = heirloom->element_bytes,
		.end = heirloom->end,
		.same_user = heirloom->same_user,
	};
	struct connection *connection = connection_new(fd);

	if (connection) {
		connection->opened_by_connect = heirloom->by_connect;
		if (heirloom->segment < 0) {
			connection_take_up(connection, record);
			return connection;
		}
		if (move_take_up(connection, record, &parts)) {
			connection->handed_over = is_remote(connection);
			return connection;
		}
	}
	heirloom_refuse(fd);
	return NULL;
}

void heirloom_refuse(int fd)
{
	settings_say("descriptor %d: no room for its rings: it is shut down", fd);
	(void)libc.shutdown(fd, SHUT_RDWR);
}

void heirloom_lost(int fd)
{
	const int flags = libc.fcntl(fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0;
	char line[96];
	int pair[2], length;

	length = snprintf(line, sizeof(line),
			  "smcu[%d]: descriptor %d came without its rings: it is reset here\n",
			  (int)getpid(), fd);
	if (heirloom_cookie(STDERR_FILENO) != heirloom_cookie(fd))
		(void)!libc.write(STDERR_FILENO, line, (size_t)length);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		heirloom_refuse(fd);
		return;
	}
	/* A byte that its peer leaves unread makes the peer's end a reset. */
	(void)libc.write(pair[0], "", 1);
	libc.close(pair[1]);
	(void)libc.dup3(pair[0], fd, flags);
	libc.close(pair[0]);
}

void heirloom_drop(const struct heirloom *heirloom, struct side_record *record)
{
	close_parts(heirloom);
	atomic_fetch_sub(&record->holders, 1);
	side_drop(record);
}
