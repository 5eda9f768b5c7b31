/* SPDX-License-Identifier: MIT */
/*
 * RoCEv2 packets and their checksum, against packets that adapters and Soft-RoCE sent
 */
#include "wire/roce.h"

#include <errno.h>

#include "wire.h"

#define ROUNDS 20000

/* From the IP header to the ICRC. */
static const char cnp_of_an_adapter[] = /* a ConnectX-4 Lx; identification 0x718c, BECN */
	"45c2003c718c4000401191610a0011010a001201 000012b700280000 8100ffff4000011800000000"
	"00000000000000000000000000000000 82fd002a";
static const char unreliable_send[] = /* pad 2, M; opcode 0x24 */
	"4501004004784000 40110000c0a80007c0a80007 c00012b7002c0000 2460ffff000000d300cf1710"
	"4630818be28935d90e9a95505401be885e500000 78f353f3";
static const char write_only[] = /* "hello", pad 3 */
	"45000044000040004011260d0a4d00010a4d0002c12112b7003000000a30ffff"
	"00000012800abcde00007f001234567800001a2b0000000568656c6c6f000000 bd4cb4e5";
static const char its_ack[] =
	"4500003000004000401126210a4d00020a4d0001c12112b7001c00001100ffff00000011000abcde1f000001"
	"ff270665";
static const char send_only_ipv6[] = /* traffic class 2, flow label 0x12345 */
	"6021234500201140fd770000000000000000000000000001fd770000000000000000000000000002"
	"c12112b70020000004a0ffff0000001280ffffff01020304050600005deba8dd";
static const char nak_sequence[] = /* identification 0x1234 */
	"4500003012344000401113ed0a4d00020a4d0001c12112b7001c00001100ffff00000011000abce060000001"
	"3c69da8c";
static const char ack_of_rxe[] = /* identification 0x9945 */
	"450000309945400040118cd90a4e00020a4e0001d35312b7001c0000 1100ffff00000123000000011f000001"
	"74aed32f";
static const char ack_of_rxe_ipv6[] =
	"60000000001c1140fd780000000000000000000000000002fd780000000000000000000000000001"
	"d47612b7001c0000 1100ffff00000123000000011f000001 5743911d";

static const char *const vectors[] = {
	cnp_of_an_adapter, unreliable_send, write_only, its_ack,
	send_only_ipv6,	   nak_sequence,    ack_of_rxe, ack_of_rxe_ipv6,
};
#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static size_t ip_size(const struct wire_bytes *frame)
{
	return frame->bytes[0] >> 4 == 4 ? ROCE_IPV4_SIZE : ROCE_IPV6_SIZE;
}

/* The UDP payload of a vector, in a block of its own. */
static struct wire_bytes payload_of(const char *vector)
{
	struct wire_bytes frame = wire_hex(vector);
	size_t before = ip_size(&frame) + ROCE_UDP_SIZE;
	struct wire_bytes payload = wire_copy(frame.bytes + before, frame.size - before);

	wire_free(&frame);
	return payload;
}

static void icrc_is_as_on_the_wire(uint32_t icrc, const struct wire_bytes *frame)
{
	uint8_t bytes[ROCE_ICRC_SIZE];

	roce_icrc_put(icrc, bytes);
	assert_memory_equal(bytes, frame->bytes + frame->size - ROCE_ICRC_SIZE, ROCE_ICRC_SIZE);
}

static uint32_t icrc_of_captured(const struct wire_bytes *frame)
{
	const uint8_t *udp = frame->bytes + ip_size(frame), *bth = udp + ROCE_UDP_SIZE;
	size_t size = frame->size - ip_size(frame) - ROCE_UDP_SIZE - ROCE_ICRC_SIZE;

	return roce_icrc_packet(roce_icrc_begin_captured(frame->bytes, udp), bth, size);
}

static void every_captured_icrc_is_reproduced(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct wire_bytes frame = wire_hex(vectors[i]);

		icrc_is_as_on_the_wire(icrc_of_captured(&frame), &frame);
		wire_free(&frame);
	}
}

/* What routers and adapters change on the way is not covered. */
static void fields_that_change_on_the_way_do_not_count(void **state)
{
	static const unsigned int ipv4[] = {1, 8, 10, 11, 26, 27, 32},
				  ipv6[] = {1, 2, 3, 7, 46, 47, 52};

	(void)state;
	for (unsigned int i = 0; i < 7; i++) {
		struct wire_bytes frame = wire_hex(write_only), frame6 = wire_hex(send_only_ipv6);

		frame.bytes[ipv4[i]] ^= 0xff;
		icrc_is_as_on_the_wire(icrc_of_captured(&frame), &frame);
		frame6.bytes[ipv6[i]] ^= 0xff;
		icrc_is_as_on_the_wire(icrc_of_captured(&frame6), &frame6);
		wire_free(&frame);
		wire_free(&frame6);
	}
}

static void every_other_byte_counts(void **state)
{
	struct wire_bytes frame = wire_hex(write_only);
	uint32_t right = icrc_of_captured(&frame);
	unsigned int counted = 0;

	(void)state;
	for (size_t i = 1; i < frame.size - ROCE_ICRC_SIZE; i++) {
		frame.bytes[i] ^= 0x10;
		counted += icrc_of_captured(&frame) != right;
		frame.bytes[i] ^= 0x10;
	}
	assert_int_equal(counted, frame.size - ROCE_ICRC_SIZE - 1 - 7);
	wire_free(&frame);
}

/* A sender has no headers to show, only addresses, and gathers headers, payload and pad. */
static void a_senders_icrc_is_that_of_the_packet(void **state)
{
	struct wire_bytes frame = wire_hex(write_only), frame6 = wire_hex(send_only_ipv6);
	struct roce_path path = {.source_port = 0xc121}, path6 = {.source_port = 0xc121};
	uint32_t icrc;

	(void)state;
	memset(path.source + 10, 0xff, 2);
	memcpy(path.source + 12, frame.bytes + 12, 4);
	memset(path.destination + 10, 0xff, 2);
	memcpy(path.destination + 12, frame.bytes + 16, 4);
	icrc = roce_icrc_begin(&path, 0, ROCE_DONT_FRAGMENT, frame.size - 28);
	icrc = roce_icrc_packet(icrc, frame.bytes + 28, 28);
	icrc = roce_icrc_add(icrc, "hello", 5);
	icrc = roce_icrc_add(icrc, "\0\0\0", 3);
	assert_int_equal(icrc, 0xe5b44cbd);
	icrc_is_as_on_the_wire(icrc, &frame);

	memcpy(path6.source, frame6.bytes + 8, 16);
	memcpy(path6.destination, frame6.bytes + 24, 16);
	icrc = roce_icrc_begin(&path6, 0, ROCE_DONT_FRAGMENT, frame6.size - 48);
	icrc = roce_icrc_packet(icrc, frame6.bytes + 48, 20);
	icrc_is_as_on_the_wire(icrc, &frame6);
	wire_free(&frame);
	wire_free(&frame6);
}

/* What a socket shows of a packet, and what the solver makes of it. */
static bool solve(const struct wire_bytes *frame, uint16_t *id)
{
	struct wire_bytes unseen = wire_copy(frame->bytes, frame->size);
	const uint8_t *received = frame->bytes + frame->size - ROCE_ICRC_SIZE;
	uint32_t difference;
	struct roce_ids ids;

	memset(unseen.bytes + 4, 0, 2);
	difference = icrc_of_captured(&unseen) ^
		     (received[0] | (uint32_t)received[1] << 8 | (uint32_t)received[2] << 16 |
		      (uint32_t)received[3] << 24);
	roce_ids_init(&ids, frame->size - ROCE_IPV4_SIZE - ROCE_UDP_SIZE);
	wire_free(&unseen);
	return roce_ids_solve(&ids, difference, id);
}

static void the_identification_is_found(void **state)
{
	const struct {
		const char *vector;
		uint16_t id;
	} cases[] = {{cnp_of_an_adapter, 0x718c},
		     {unreliable_send, 0x0478},
		     {write_only, 0},
		     {its_ack, 0},
		     {nak_sequence, 0x1234},
		     {ack_of_rxe, 0x9945}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire_bytes frame = wire_hex(cases[i].vector);
		uint16_t id = 0xffff;

		assert_true(solve(&frame, &id));
		assert_int_equal(id, cases[i].id);
		wire_free(&frame);
	}
}

static void every_identification_is_found_at_every_length(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned int round = 0; round < 2000; round++) {
		struct wire_bytes frame = wire_blank(44 + wire_random_below(&seed, 4200));
		uint16_t wanted = (uint16_t)wire_random(&seed), id;

		wire_random_fill(&seed, frame.bytes, frame.size);
		frame.bytes[0] = 0x45;
		frame.bytes[4] = (uint8_t)(wanted >> 8);
		frame.bytes[5] = (uint8_t)wanted;
		roce_icrc_put(icrc_of_captured(&frame), frame.bytes + frame.size - ROCE_ICRC_SIZE);
		assert_true(solve(&frame, &id));
		assert_int_equal(id, wanted);
		wire_free(&frame);
	}
}

static void one_damaged_bit_is_no_identification(void **state)
{
	struct wire_bytes frame = wire_hex(nak_sequence);

	(void)state;
	for (size_t bit = 8 * (ROCE_IPV4_SIZE + ROCE_UDP_SIZE); bit < 8 * frame.size; bit++) {
		uint16_t id;

		if (bit / 8 == ROCE_IPV4_SIZE + ROCE_UDP_SIZE + 4)
			continue; /* congestion, not covered */
		frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(solve(&frame, &id));
		frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	wire_free(&frame);
}

static void a_write_is_taken_apart(void **state)
{
	struct wire_bytes bytes = payload_of(write_only);
	struct roce_packet packet;

	(void)state;
	assert_int_equal(roce_decode(&packet, bytes.bytes, bytes.size, NULL), 0);
	assert_int_equal(packet.bth.opcode, ROCE_WRITE_ONLY);
	assert_string_equal(roce_opcode_name(packet.bth.opcode), "RDMA WRITE Only");
	assert_false(packet.bth.solicited);
	assert_false(packet.bth.migrated);
	assert_int_equal(packet.bth.pad, 3);
	assert_int_equal(packet.bth.partition, ROCE_PARTITION);
	assert_int_equal(packet.bth.destination, 0x12);
	assert_true(packet.bth.ack_request);
	assert_int_equal(packet.bth.sequence, 0x0abcde);
	assert_int_equal(packet.reth.address, 0x7f0012345678);
	assert_int_equal(packet.reth.key, 0x1a2b);
	assert_int_equal(packet.reth.length, 5);
	assert_int_equal(packet.payload_size, 5);
	assert_memory_equal(packet.payload, "hello", 5);
	assert_int_equal(packet.icrc, 0xe5b44cbd);
	wire_free(&bytes);
}

static void answers_are_taken_apart(void **state)
{
	struct wire_bytes ack = payload_of(its_ack), nak = payload_of(nak_sequence);
	struct roce_packet packet;

	(void)state;
	assert_int_equal(roce_decode(&packet, ack.bytes, ack.size, NULL), 0);
	assert_int_equal(packet.bth.opcode, ROCE_ACKNOWLEDGE);
	assert_int_equal(packet.bth.destination, 0x11);
	assert_int_equal(packet.aeth.syndrome, ROCE_ACK_NO_CREDITS);
	assert_int_equal(packet.aeth.messages, 1);
	assert_int_equal(packet.payload_size, 0);
	assert_int_equal(roce_decode(&packet, nak.bytes, nak.size, NULL), 0);
	assert_int_equal(packet.aeth.syndrome, ROCE_NAK_SEQUENCE);
	assert_int_equal(packet.bth.sequence, 0x0abce0);
	wire_free(&ack);
	wire_free(&nak);
}

/* A responder refuses what it cannot do, and needs the numbers for it. */
static void an_unknown_opcode_still_shows_its_bth(void **state)
{
	struct wire_bytes bytes = payload_of(unreliable_send);
	struct roce_packet packet;
	const char *field = NULL;

	(void)state;
	assert_int_equal(roce_decode(&packet, bytes.bytes, bytes.size, &field), -EPROTONOSUPPORT);
	assert_string_equal(field, "opcode");
	assert_int_equal(packet.bth.destination, 0xd3);
	assert_int_equal(packet.bth.sequence, 0xcf1710);
	assert_true(packet.bth.migrated);
	assert_int_equal(packet.bth.pad, 2);
	wire_free(&bytes);
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	for (size_t i = 2; i < VECTORS; i++) {
		struct wire_bytes whole = payload_of(vectors[i]);
		struct roce_packet packet;
		size_t least = ROCE_BTH_SIZE + ROCE_ICRC_SIZE;

		assert_int_equal(roce_decode(&packet, whole.bytes, whole.size, NULL), 0);
		least += packet.bth.pad;
		least +=
			roce_opcode_headers(packet.bth.opcode) & ROCE_HAS_RETH ? ROCE_RETH_SIZE : 0;
		least +=
			roce_opcode_headers(packet.bth.opcode) & ROCE_HAS_AETH ? ROCE_AETH_SIZE : 0;
		for (size_t size = 0; size < whole.size; size++) {
			struct wire_bytes cut = wire_copy(whole.bytes, size);
			const char *field = NULL;

			assert_int_equal(roce_decode(&packet, cut.bytes, size, &field),
					 size < least ? -EMSGSIZE : 0);
			if (size < least)
				assert_string_equal(field, "length");
			wire_free(&cut);
		}
		wire_free(&whole);
	}
}

static void an_acknowledgement_with_a_payload_is_refused(void **state)
{
	struct wire_bytes bytes = wire_hex("1100ffff00000011000abcde1f000001 00 ff270665");
	struct roce_packet packet;

	(void)state;
	assert_int_equal(roce_decode(&packet, bytes.bytes, bytes.size, NULL), -EMSGSIZE);
	wire_free(&bytes);
}

static void another_transport_version_is_refused(void **state)
{
	struct wire_bytes bytes = payload_of(its_ack);
	struct roce_packet packet;
	const char *field = NULL;

	(void)state;
	bytes.bytes[1] |= 1;
	assert_int_equal(roce_decode(&packet, bytes.bytes, bytes.size, &field), -EPROTO);
	assert_string_equal(field, "transport version");
	wire_free(&bytes);
}

static void random_packet(uint64_t *seed, struct roce_packet *packet)
{
	unsigned int headers;

	*packet = (struct roce_packet){0};
	packet->bth = (struct roce_bth){
		.opcode = (uint8_t)wire_random_below(seed, ROCE_OPCODE_END),
		.solicited = wire_random(seed) & 1,
		.migrated = wire_random(seed) & 1,
		.pad = (uint8_t)wire_random_below(seed, 4),
		.partition = (uint16_t)wire_random(seed),
		.congestion = (uint8_t)wire_random(seed),
		.destination = wire_random_below(seed, 1U << 24),
		.ack_request = wire_random(seed) & 1,
		.reserved = (uint8_t)wire_random_below(seed, 128),
		.sequence = wire_random_below(seed, 1U << 24),
	};
	headers = roce_opcode_headers(packet->bth.opcode);
	if (headers & ROCE_HAS_RETH)
		packet->reth = (struct roce_reth){.address = wire_random(seed),
						  .key = (uint32_t)wire_random(seed),
						  .length = (uint32_t)wire_random(seed)};
	if (headers & ROCE_HAS_AETH)
		packet->aeth = (struct roce_aeth){.syndrome = (uint8_t)wire_random(seed),
						  .messages = wire_random_below(seed, 1U << 24)};
	if (headers & ROCE_HAS_IMMEDIATE)
		packet->immediate = (uint32_t)wire_random(seed);
	packet->payload_size = headers & ROCE_HAS_NO_PAYLOAD ? 0 : wire_random_below(seed, 64);
	packet->icrc = (uint32_t)wire_random(seed);
}

static void same_packet(const struct roce_packet *a, const struct roce_packet *b)
{
	assert_int_equal(a->bth.opcode, b->bth.opcode);
	assert_int_equal(a->bth.solicited, b->bth.solicited);
	assert_int_equal(a->bth.migrated, b->bth.migrated);
	assert_int_equal(a->bth.pad, b->bth.pad);
	assert_int_equal(a->bth.partition, b->bth.partition);
	assert_int_equal(a->bth.congestion, b->bth.congestion);
	assert_int_equal(a->bth.destination, b->bth.destination);
	assert_int_equal(a->bth.ack_request, b->bth.ack_request);
	assert_int_equal(a->bth.reserved, b->bth.reserved);
	assert_int_equal(a->bth.sequence, b->bth.sequence);
	assert_int_equal(a->reth.address, b->reth.address);
	assert_int_equal(a->reth.key, b->reth.key);
	assert_int_equal(a->reth.length, b->reth.length);
	assert_int_equal(a->aeth.syndrome, b->aeth.syndrome);
	assert_int_equal(a->aeth.messages, b->aeth.messages);
	assert_int_equal(a->immediate, b->immediate);
	assert_int_equal(a->payload_size, b->payload_size);
	assert_int_equal(a->icrc, b->icrc);
}

static void what_is_encoded_decodes_to_the_same(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct roce_packet packet, back;
		struct wire_bytes bytes;
		uint8_t buffer[256] = {0};
		int size;

		random_packet(&seed, &packet);
		size = roce_encode(&packet, buffer, ROCE_HEADERS_MAX);
		assert_true(size > 0);
		size += (int)packet.payload_size + packet.bth.pad;
		roce_icrc_put(packet.icrc, buffer + size);
		bytes = wire_copy(buffer, (size_t)size + ROCE_ICRC_SIZE);
		assert_int_equal(roce_decode(&back, bytes.bytes, bytes.size, NULL), 0);
		same_packet(&packet, &back);
		wire_free(&bytes);
	}
}

static void what_is_accepted_encodes_to_the_same_bytes(void **state)
{
	uint64_t seed = 3;
	unsigned int accepted = 0;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct wire_bytes bytes = wire_blank(wire_random_below(&seed, 80));
		struct roce_packet packet;
		uint8_t headers[ROCE_HEADERS_MAX];
		int size;

		wire_random_fill(&seed, bytes.bytes, bytes.size);
		if (bytes.size > 2) {
			bytes.bytes[0] %= ROCE_OPCODE_END + 1;
			bytes.bytes[1] &= 0xf0;
		}
		if (roce_decode(&packet, bytes.bytes, bytes.size, NULL) == 0) {
			size = roce_encode(&packet, headers, sizeof(headers));
			assert_true(size >= (int)ROCE_BTH_SIZE);
			assert_memory_equal(headers, bytes.bytes, (size_t)size);
			assert_ptr_equal(packet.payload, bytes.bytes + size);
			accepted++;
		}
		wire_free(&bytes);
	}
	assert_true(accepted > ROUNDS / 2);
}

static void what_does_not_fit_is_not_encoded(void **state)
{
	struct roce_packet packet = {.bth = {.opcode = ROCE_WRITE_ONLY_IMMEDIATE}};
	uint8_t buffer[ROCE_HEADERS_MAX];

	(void)state;
	assert_int_equal(roce_encode(&packet, buffer, sizeof(buffer)), ROCE_HEADERS_MAX);
	for (size_t room = 0; room < ROCE_HEADERS_MAX; room++)
		assert_int_equal(roce_encode(&packet, buffer, room), -ENOBUFS);
	packet.bth.sequence = 1U << 24;
	assert_int_equal(roce_encode(&packet, buffer, sizeof(buffer)), -EINVAL);
	packet = (struct roce_packet){.bth = {.destination = 1U << 24}};
	assert_int_equal(roce_encode(&packet, buffer, sizeof(buffer)), -EINVAL);
	packet = (struct roce_packet){.bth = {.opcode = ROCE_OPCODE_END}};
	assert_int_equal(roce_encode(&packet, buffer, sizeof(buffer)), -EINVAL);
	packet = (struct roce_packet){.bth = {.pad = 4}};
	assert_int_equal(roce_encode(&packet, buffer, sizeof(buffer)), -EINVAL);
}

static void the_pad_completes_four_bytes(void **state)
{
	(void)state;
	for (size_t size = 0; size < 9; size++)
		assert_int_equal((size + roce_padding(size)) % 4, 0);
	assert_int_equal(roce_padding(4), 0);
	assert_int_equal(roce_padding(5), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_captured_icrc_is_reproduced),
		cmocka_unit_test(fields_that_change_on_the_way_do_not_count),
		cmocka_unit_test(every_other_byte_counts),
		cmocka_unit_test(a_senders_icrc_is_that_of_the_packet),
		cmocka_unit_test(the_identification_is_found),
		cmocka_unit_test(every_identification_is_found_at_every_length),
		cmocka_unit_test(one_damaged_bit_is_no_identification),
		cmocka_unit_test(a_write_is_taken_apart),
		cmocka_unit_test(answers_are_taken_apart),
		cmocka_unit_test(an_unknown_opcode_still_shows_its_bth),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(an_acknowledgement_with_a_payload_is_refused),
		cmocka_unit_test(another_transport_version_is_refused),
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
		cmocka_unit_test(what_is_accepted_encodes_to_the_same_bytes),
		cmocka_unit_test(what_does_not_fit_is_not_encoded),
		cmocka_unit_test(the_pad_completes_four_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
