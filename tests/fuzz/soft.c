/* SPDX-License-Identifier: MIT */
/*
 * Whatever packets reach a soft adapter with live queue pairs: it touches no memory outside of the
 * regions, writes into none that the peer may not write into, and completes nothing that was not
 * posted
 *
 * The input is a list of steps of STEP_SIZE bytes: what arrives, what is posted, that time passes.
 * A packet arrives with a correct checksum and, mostly, with a number, key and address that are
 * close to right, since nothing else gets far; one kind of step takes the bytes as they are.
 */
#include "fabric/soft/device.h"

#include "../fabric/no_transport.h"
#include "fuzz.h"

#define STEP_SIZE 14U
#define PAIRS 2U
#define DEPTH 4U
#define WINDOW 3000U
#define SLOT 700U
#define BUFFER 2000U
#define PEER_NUMBER 0x77U
#define FILL 0x5a

enum { RAW, REQUEST, ANSWER, POST_SEND, POST_WRITE, POST_RECEIVE, TIME, REGION, KINDS };

struct fuzz_pair {
	struct fabric_queue_pair *pair;
	unsigned int sends, receives; /* posted and not completed */
};

static struct soft_device *device;
static struct soft_train train;
static struct fabric_domain *domain;
static struct fabric_region *window_region, *slot_region, *buffer_region;
static uint8_t *window, *slot, *buffer; /* blocks of their own, so that a step beyond is seen */
static struct fuzz_pair pairs[PAIRS];
static uint64_t random_state;

static void nothing(void *context, uint64_t now)
{
	(void)context;
	(void)now;
}

static struct soft_train *next_train(void *context)
{
	(void)context;
	return &train;
}

static uint16_t source_port(void *context, unsigned int gid_index, uint32_t flow)
{
	(void)context;
	(void)gid_index;
	return (uint16_t)(0xc000 + flow % 2);
}

static void transport_close(void *context)
{
	free(context);
}

static uint64_t next_random(void *context)
{
	(void)context;
	return random_state += 0x9e3779b97f4a7c15ULL;
}

static const struct soft_transport transport = {
	.receive = nothing,
	.train = next_train,
	.send = nothing,
	.blocked = never_blocked,
	.deadline = no_deadline,
	.descriptor = no_descriptor,
	.source_port = source_port,
	.close = transport_close,
};

static const struct fabric_gid ours = {.bytes = {[10] = 0xff, [11] = 0xff, [15] = 1}};
static const struct fabric_gid theirs = {.bytes = {[10] = 0xff, [11] = 0xff, [15] = 2}};

static uint8_t *block(size_t size)
{
	uint8_t *bytes = malloc(size);

	require(bytes);
	memset(bytes, FILL, size);
	return bytes;
}

static struct fabric_region *registered(void *at, size_t size, unsigned int access)
{
	struct fabric_region *region;

	require(fabric_region_register(domain, at, size, access, &region) == 0);
	return region;
}

static void pair_open(struct fuzz_pair *pair, unsigned int index)
{
	const struct fabric_path path = {
		.remote = theirs, .remote_number = PEER_NUMBER, .sequence = 0xfffffd, .mtu = 1};
	const struct fabric_retry retry = {
		.sequence = 0xfffffe, .timeout = 10, .retries = 7, .rnr_retries = 7};

	*pair = (struct fuzz_pair){0};
	require(fabric_create(domain, &(struct fabric_depths){DEPTH, DEPTH}, pair, &pair->pair) ==
		0);
	require(fabric_init(pair->pair, index ? 0 : FABRIC_REMOTE_WRITE) == 0);
	require(fabric_ready_to_receive(pair->pair, &path) == 0);
	require(fabric_ready_to_send(pair->pair, &retry) == 0);
}

static void open_all(void)
{
	random_state = 1;
	device = calloc(1, sizeof(*device));
	require(device);
	soft_device_init(device, &transport, device, SOFT_TRAIN_COUNT, next_random);
	device->port = (struct fabric_port){.active = true, .mtu = 5};
	device->gids[0] = ours;
	device->gid_set = 1;
	require(fabric_domain_create(&device->base.fabric, &domain) == 0);
	window = block(WINDOW);
	slot = block(SLOT);
	buffer = block(BUFFER);
	window_region = registered(window, WINDOW, FABRIC_REMOTE_WRITE);
	slot_region = registered(slot, SLOT, FABRIC_LOCAL_WRITE);
	buffer_region = registered(buffer, BUFFER, 0);
	for (unsigned int i = 0; i < PAIRS; i++)
		pair_open(&pairs[i], i);
}

static void close_all(void)
{
	for (size_t i = 0; i < BUFFER; i++)
		require(buffer[i] == FILL);
	for (unsigned int i = 0; i < PAIRS; i++)
		fabric_destroy(pairs[i].pair);
	fabric_region_deregister(window_region);
	fabric_region_deregister(slot_region);
	fabric_region_deregister(buffer_region);
	require(fabric_domain_destroy(domain) == 0);
	require(fabric_close(&device->base.fabric) == 0);
	free(window);
	free(slot);
	free(buffer);
}

/* In a block of exactly its size; with a correct ICRC if there is room for one. */
static void arrives(const uint8_t *bytes, size_t size)
{
	struct soft_datagram datagram = {.size = size};
	uint8_t *copy = malloc(size ? size : 1);

	require(copy);
	memcpy(copy, bytes, size);
	memcpy(datagram.path.source, &theirs, sizeof(theirs));
	memcpy(datagram.path.destination, &ours, sizeof(ours));
	if (size >= ROCE_BTH_SIZE + ROCE_ICRC_SIZE) {
		uint32_t icrc = roce_icrc_begin(&datagram.path, 3, ROCE_DONT_FRAGMENT, size);

		icrc = roce_icrc_packet(icrc, copy, size - ROCE_ICRC_SIZE);
		roce_icrc_put(icrc, copy + size - ROCE_ICRC_SIZE);
	}
	datagram.bytes = copy;
	soft_receive(device, &datagram);
	free(copy);
}

static uint32_t number_at(const uint8_t *step, unsigned int at)
{
	return (uint32_t)step[at] << 8 | step[at + 1];
}

/* step: kind, pair, opcode, flags, sequence, key, address 2, length 2, payload 2, pad, - */
static void request_arrives(const uint8_t *step)
{
	const struct fabric_region *regions[] = {window_region, window_region, slot_region,
						 buffer_region};
	const struct fabric_region *region = regions[step[5] % 4];
	const struct soft_pair *pair = (struct soft_pair *)pairs[step[1] % PAIRS].pair;
	struct roce_packet packet = {
		.bth = {.opcode = step[2] % 0x14,
			.partition = ROCE_PARTITION,
			.destination = pair->base.fabric.number,
			.ack_request = step[3] & 1,
			.sequence = (pair->responder.expected + (uint32_t)(int8_t)step[4] / 16) &
				    ROCE_24_BITS},
		.reth = {.address = region->address + (uint64_t)(int16_t)number_at(step, 6),
			 .key = step[5] & 0x80 ? region->remote_key : region->local_key,
			 .length = number_at(step, 8)}};
	uint8_t bytes[ROCE_HEADERS_MAX + 1024 + 3 + ROCE_ICRC_SIZE];
	size_t payload = number_at(step, 10) % 1024;
	int headers;

	if (step[3] & 2) /* what fits, so that something is executed */
		payload = packet.reth.length % 257;
	if (step[3] & 4)
		packet.reth.length = (uint32_t)payload;
	if (step[3] & 8)
		payload = 256;
	packet.bth.pad = step[3] & 16 ? step[12] % 4 : roce_padding(payload);
	if (packet.bth.opcode >= ROCE_OPCODE_END)
		packet.bth.opcode = ROCE_WRITE_ONLY;
	memset(bytes, step[13], sizeof(bytes));
	headers = roce_encode(&packet, bytes, ROCE_HEADERS_MAX);
	require(headers > 0);
	arrives(bytes, (size_t)headers + payload + packet.bth.pad + ROCE_ICRC_SIZE);
}

static void answer_arrives(const uint8_t *step)
{
	const struct soft_pair *pair = (struct soft_pair *)pairs[step[1] % PAIRS].pair;
	struct roce_packet packet = {
		.bth = {.opcode = ROCE_ACKNOWLEDGE,
			.partition = ROCE_PARTITION,
			.destination = pair->base.fabric.number,
			.sequence = (pair->requester.oldest + (uint32_t)(int8_t)step[4] / 8) &
				    ROCE_24_BITS},
		.aeth = {.syndrome = step[2]}};
	uint8_t bytes[ROCE_HEADERS_MAX + ROCE_ICRC_SIZE] = {0};
	int headers = roce_encode(&packet, bytes, ROCE_HEADERS_MAX);

	require(headers > 0);
	arrives(bytes, (size_t)headers + ROCE_ICRC_SIZE);
}

static void post(const uint8_t *step)
{
	struct fuzz_pair *pair = &pairs[step[1] % PAIRS];
	const struct fabric_request request = {
		.flags = step[3] & (FABRIC_SIGNALED | FABRIC_SOLICITED),
		.count = step[2] % 4, /* one too many */
		.pieces = {{buffer + step[4], number_at(step, 8) % 2000, buffer_region->local_key},
			   {buffer + step[5], step[6], buffer_region->local_key}}};
	int error = step[0] % KINDS == POST_SEND
			    ? fabric_post_send(pair->pair, &request)
			    : fabric_post_write(pair->pair, &request, 1000, 2000);

	pair->sends += !error;
}

static void post_receive(const uint8_t *step)
{
	struct fuzz_pair *pair = &pairs[step[1] % PAIRS];
	const struct fabric_piece piece = {slot + step[4], number_at(step, 8) % SLOT,
					   slot_region->local_key};

	pair->receives += !fabric_post_receive(pair->pair, 0, &piece);
}

static void replace_window(void)
{
	fabric_region_deregister(window_region);
	free(window);
	window = block(WINDOW);
	window_region = registered(window, WINDOW, FABRIC_REMOTE_WRITE);
}

static void heard(void)
{
	struct fabric_completion completion;
	struct fabric_event event;

	while (fabric_poll(&device->base.fabric, &completion, 1)) {
		struct fuzz_pair *pair = completion.queue_pair->context;
		bool receive = completion.opcode >= FABRIC_RECEIVE;

		require(completion.status == FABRIC_SUCCESS ||
			completion.queue_pair->state == FABRIC_ERR);
		require(receive ? pair->receives-- : pair->sends);
		require(!receive || completion.status || completion.with_immediate ||
			completion.length <= SLOT);
	}
	while (fabric_event(&device->base.fabric, &event))
		require(event.queue_pair->state == FABRIC_ERR);
}

static void take_step(const uint8_t *step)
{
	switch (step[0] % KINDS) {
	case REQUEST:
		request_arrives(step);
		break;
	case ANSWER:
		answer_arrives(step);
		break;
	case POST_SEND:
	case POST_WRITE:
		post(step);
		break;
	case POST_RECEIVE:
		post_receive(step);
		break;
	case TIME:
		fabric_run(&device->base.fabric, device->now + number_at(step, 8) * 10000);
		break;
	case REGION:
		replace_window();
		break;
	}
	heard();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	open_all();
	for (; size >= STEP_SIZE; data += STEP_SIZE, size -= STEP_SIZE) {
		if (data[0] % KINDS == RAW) { /* all that is left, as it is */
			arrives(data + 1, size - 1);
			break;
		}
		take_step(data);
		if (data[0] & 0x80)
			fabric_flush(&device->base.fabric, device->now, false);
	}
	heard();
	close_all();
	return 0;
}
