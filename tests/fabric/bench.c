/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "fabric/sim/random.h"
#include "no_transport.h"

#define DATAGRAM_MAX 2048U

static const struct fabric_gid ours = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}};
static const struct fabric_gid theirs = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2}};

static void nothing_arrives(void *context, uint64_t now)
{
	(void)context;
	(void)now;
}

/* What is sent has correct ICRCs for the identifications that it will have. */
static void take(struct bench *bench, const uint8_t *bytes, size_t size, unsigned int index)
{
	uint32_t icrc =
		roce_icrc_begin(&bench->train.path, (uint16_t)index, ROCE_DONT_FRAGMENT, size);
	struct roce_packet *packet = &bench->sent[bench->sent_count++];

	assert_true(bench->sent_count <= BENCH_SENT_MAX);
	assert_int_equal(roce_decode(packet, bytes, size, NULL), 0);
	assert_int_equal(packet->icrc, roce_icrc_packet(icrc, bytes, size - ROCE_ICRC_SIZE));
	assert_int_equal(packet->bth.destination, BENCH_PEER);
	assert_int_equal(packet->bth.partition, ROCE_PARTITION);
	packet->payload = NULL;
}

static void send_train(void *context, uint64_t now)
{
	struct bench *bench = context;
	struct soft_train *train = &bench->train;

	(void)now;
	for (unsigned int i = 0; bench->filled && i < train->count; i++) {
		uint32_t at = i * train->segment, left = train->size - at;

		take(bench, train->bytes + at, left < train->segment ? left : train->segment, i);
	}
	bench->filled = false;
}

static struct soft_train *next_train(void *context)
{
	struct bench *bench = context;

	send_train(bench, 0);
	bench->filled = true;
	return &bench->train;
}

static uint16_t source_port(void *context, unsigned int gid_index, uint32_t flow)
{
	(void)context;
	(void)gid_index;
	(void)flow;
	return 0xc000;
}

static void transport_close(void *context)
{
	free(context);
}

static uint64_t random_bits(void *context)
{
	return sim_random(&((struct bench *)context)->random);
}

static const struct soft_transport transport = {
	.receive = nothing_arrives,
	.train = next_train,
	.send = send_train,
	.blocked = never_blocked,
	.deadline = no_deadline,
	.descriptor = no_descriptor,
	.source_port = source_port,
	.close = transport_close,
};

static struct fabric_region *add(struct bench *bench, void *at, size_t size, unsigned int access)
{
	struct fabric_region *region;

	assert_int_equal(fabric_region_register(bench->domain, at, size, access, &region), 0);
	return region;
}

struct bench *bench_open(const struct fabric_retry *retry)
{
	const struct fabric_retry usual = {.timeout = 18, .retries = 7, .rnr_retries = 7};
	const struct fabric_path path = {.remote = theirs,
					 .remote_number = BENCH_PEER,
					 .sequence = BENCH_THEIRS,
					 .mtu = 1,
					 .rnr_timer = 5};
	struct fabric_retry used = retry ? *retry : usual;
	struct bench *bench = calloc(1, sizeof(*bench));
	struct fabric_device *device;

	assert_non_null(bench);
	device = &bench->soft.base.fabric;
	soft_device_init(&bench->soft, &transport, bench, SOFT_TRAIN_COUNT, random_bits);
	bench->soft.port = (struct fabric_port){.active = true, .mtu = 5};
	bench->soft.gids[0] = ours;
	bench->soft.gid_set = 1;
	assert_int_equal(fabric_domain_create(device, &bench->domain), 0);
	bench->window_region = add(bench, bench->window, BENCH_WINDOW, FABRIC_REMOTE_WRITE);
	bench->buffer_region = add(bench, bench->buffer, sizeof(bench->buffer), 0);
	bench->slot_region = add(bench, bench->slot, BENCH_SLOT, FABRIC_LOCAL_WRITE);
	assert_int_equal(
		fabric_create(bench->domain, &(struct fabric_depths){64, 8}, NULL, &bench->pair),
		0);
	assert_int_equal(fabric_init(bench->pair, FABRIC_REMOTE_WRITE), 0);
	assert_int_equal(fabric_ready_to_receive(bench->pair, &path), 0);
	used.sequence = BENCH_OURS;
	assert_int_equal(fabric_ready_to_send(bench->pair, &used), 0);
	return bench;
}

void bench_close(struct bench *bench)
{
	fabric_destroy(bench->pair);
	if (bench->window_region)
		fabric_region_deregister(bench->window_region);
	if (bench->buffer_region)
		fabric_region_deregister(bench->buffer_region);
	if (bench->slot_region)
		fabric_region_deregister(bench->slot_region);
	assert_int_equal(fabric_domain_destroy(bench->domain), 0);
	assert_int_equal(fabric_close(&bench->soft.base.fabric), 0);
}

struct roce_packet bench_packet(struct bench *bench, uint8_t opcode, uint32_t sequence)
{
	return (struct roce_packet){.bth = {.opcode = opcode,
					    .partition = ROCE_PARTITION,
					    .destination = bench->pair->number,
					    .ack_request = true,
					    .sequence = sequence}};
}

struct roce_packet bench_write(struct bench *bench, uint32_t sequence, const void *bytes,
			       uint32_t size)
{
	struct roce_packet packet = bench_packet(bench, ROCE_WRITE_ONLY, sequence);

	packet.reth = (struct roce_reth){bench->window_region->address,
					 bench->window_region->remote_key, size};
	packet.payload = bytes;
	packet.payload_size = size;
	packet.bth.pad = roce_padding(size);
	return packet;
}

struct roce_packet bench_answer(struct bench *bench, uint8_t syndrome, uint32_t sequence)
{
	struct roce_packet packet = bench_packet(bench, ROCE_ACKNOWLEDGE, sequence);

	packet.bth.ack_request = false;
	packet.aeth.syndrome = syndrome;
	return packet;
}

static struct soft_datagram datagram_of(const uint8_t *bytes, size_t size)
{
	struct soft_datagram datagram = {.bytes = bytes, .size = size};

	memcpy(datagram.path.source, &theirs, sizeof(theirs));
	memcpy(datagram.path.destination, &ours, sizeof(ours));
	datagram.path.source_port = 0xc123;
	return datagram;
}

size_t bench_raw(struct bench *bench, const struct roce_packet *packet, uint8_t *to)
{
	int headers = roce_encode(packet, to, ROCE_HEADERS_MAX);
	size_t covered = (size_t)headers + packet->payload_size + packet->bth.pad;
	struct soft_datagram datagram = datagram_of(to, covered + ROCE_ICRC_SIZE);
	uint32_t icrc = roce_icrc_begin(&datagram.path, 0x4321, ROCE_DONT_FRAGMENT, datagram.size);

	(void)bench;
	assert_true(headers > 0);
	if (packet->payload_size)
		memcpy(to + headers, packet->payload, packet->payload_size);
	memset(to + headers + packet->payload_size, 0, packet->bth.pad);
	roce_icrc_put(roce_icrc_packet(icrc, to, covered), to + covered);
	return datagram.size;
}

void bench_datagram(struct bench *bench, const uint8_t *bytes, size_t size)
{
	struct soft_datagram datagram = datagram_of(bytes, size);

	soft_receive(&bench->soft, &datagram);
	fabric_flush(&bench->soft.base.fabric, bench->soft.now, bench->more);
}

void bench_receive(struct bench *bench, const struct roce_packet *packet)
{
	uint8_t bytes[DATAGRAM_MAX];

	bench_datagram(bench, bytes, bench_raw(bench, packet, bytes));
}

void bench_run(struct bench *bench, uint64_t now)
{
	fabric_run(&bench->soft.base.fabric, now);
}

void bench_clear(struct bench *bench)
{
	bench->sent_count = 0;
}

void bench_post(struct bench *bench, enum fabric_opcode opcode, uint64_t id, uint32_t size,
		unsigned int flags)
{
	const struct fabric_request request = {
		.id = id,
		.flags = flags,
		.count = 1,
		.pieces = {{bench->buffer, size,
			    bench->buffer_region ? bench->buffer_region->local_key : 1}}};

	assert_int_equal(opcode == FABRIC_SEND
				 ? fabric_post_send(bench->pair, &request)
				 : fabric_post_write(bench->pair, &request, 0x1000, 7),
			 0);
	fabric_flush(&bench->soft.base.fabric, bench->soft.now, bench->more);
}

void bench_post_receive(struct bench *bench, uint64_t id)
{
	const struct fabric_piece piece = {bench->slot, BENCH_SLOT, bench->slot_region->local_key};

	assert_int_equal(fabric_post_receive(bench->pair, id, &piece), 0);
}

void bench_completion(struct bench *bench, uint64_t id, enum fabric_status status)
{
	struct fabric_completion completion;

	assert_int_equal(fabric_poll(&bench->soft.base.fabric, &completion, 1), 1);
	assert_int_equal(completion.id, id);
	assert_int_equal(completion.status, status);
}

void bench_nothing(struct bench *bench)
{
	struct fabric_completion completion;

	assert_int_equal(fabric_poll(&bench->soft.base.fabric, &completion, 1), 0);
}

void bench_fatal(struct bench *bench, enum fabric_status status)
{
	struct fabric_event event;

	assert_int_equal(bench->pair->state, FABRIC_ERR);
	assert_true(fabric_event(&bench->soft.base.fabric, &event));
	assert_int_equal(event.kind, FABRIC_QUEUE_PAIR_FATAL);
	assert_ptr_equal(event.queue_pair, bench->pair);
	assert_int_equal(event.status, status);
	assert_false(fabric_event(&bench->soft.base.fabric, &event));
}

void bench_sent_is(struct bench *bench, uint8_t syndrome, uint32_t sequence, uint32_t messages)
{
	assert_int_equal(bench->sent_count, 1);
	assert_int_equal(bench->sent[0].bth.opcode, ROCE_ACKNOWLEDGE);
	assert_int_equal(bench->sent[0].aeth.syndrome, syndrome);
	assert_int_equal(bench->sent[0].bth.sequence, sequence);
	assert_int_equal(bench->sent[0].aeth.messages, messages);
	assert_false(bench->sent[0].bth.ack_request);
	bench_clear(bench);
}
