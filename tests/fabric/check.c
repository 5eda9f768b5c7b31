/* SPDX-License-Identifier: MIT */
/*
 * The checksum of packets whose IP header is not seen: those of adapters, of Soft-RoCE, of our own
 * kind, and damaged ones
 */
#include "fabric/soft/check.h"

#include <string.h>

#include "../unit/wire.h"

/* From the IP header to the ICRC; their identifications and "don't fragment" differ. */
static const char *const vectors[] = {
	/* a ConnectX-4 Lx, 0x718c */
	"45c2003c718c4000401191610a0011010a001201 000012b700280000 8100ffff4000011800000000"
	"00000000000000000000000000000000 82fd002a",
	/* no "don't fragment", 0x0478 */
	"4501004004784000 40110000c0a80007c0a80007 c00012b7002c0000 2460ffff000000d300cf1710"
	"4630818be28935d90e9a95505401be885e500000 78f353f3",
	"45000044000040004011260d0a4d00010a4d0002c12112b7003000000a30ffff"
	"00000012800abcde00007f001234567800001a2b0000000568656c6c6f000000 bd4cb4e5",
	"4500003000004000401126210a4d00020a4d0001c12112b7001c00001100ffff00000011000abcde1f000001"
	"ff270665",
	"6021234500201140fd770000000000000000000000000001fd770000000000000000000000000002"
	"c12112b70020000004a0ffff0000001280ffffff01020304050600005deba8dd",
	"4500003012344000401113ed0a4d00020a4d0001c12112b7001c00001100ffff00000011000abce060000001"
	"3c69da8c",
	/* Soft-RoCE, 0x9945 */
	"450000309945400040118cd90a4e00020a4e0001d35312b7001c0000 1100ffff00000123000000011f000001"
	"74aed32f",
	"60000000001c1140fd780000000000000000000000000002fd780000000000000000000000000001"
	"d47612b7001c0000 1100ffff00000123000000011f000001 5743911d",
};
#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static struct soft_device device;

static struct soft_pair new_pair(void)
{
	return (struct soft_pair){.base.fabric.device = &device.base.fabric};
}

static uint32_t icrc_at(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* What a socket tells of a captured frame. */
static struct soft_datagram datagram_of(const struct wire_bytes *frame)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool ipv4 = frame->bytes[0] >> 4 == 4;
	size_t ip = ipv4 ? ROCE_IPV4_SIZE : ROCE_IPV6_SIZE;
	struct soft_datagram datagram = {0};

	if (ipv4) {
		memcpy(datagram.path.source, mapped, sizeof(mapped));
		memcpy(datagram.path.destination, mapped, sizeof(mapped));
		memcpy(datagram.path.source + 12, frame->bytes + 12, 4);
		memcpy(datagram.path.destination + 12, frame->bytes + 16, 4);
	} else {
		memcpy(datagram.path.source, frame->bytes + 8, ROCE_GID_SIZE);
		memcpy(datagram.path.destination, frame->bytes + 24, ROCE_GID_SIZE);
	}
	datagram.path.source_port = (uint16_t)(frame->bytes[ip] << 8 | frame->bytes[ip + 1]);
	datagram.bytes = frame->bytes + ip + ROCE_UDP_SIZE;
	datagram.size = frame->size - ip - ROCE_UDP_SIZE;
	return datagram;
}

static bool passes(struct soft_pair *pair, const struct soft_datagram *datagram)
{
	return check_icrc(pair, datagram,
			  icrc_at(datagram->bytes + datagram->size - ROCE_ICRC_SIZE));
}

static void captured_packets_pass(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VECTORS; i++) {
		struct wire_bytes frame = wire_hex(vectors[i]);
		struct soft_datagram datagram = datagram_of(&frame);
		struct soft_pair pair = new_pair();

		assert_true(passes(&pair, &datagram));
		wire_free(&frame);
	}
}

static void a_changed_bit_does_not_pass(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VECTORS; i++) {
		struct wire_bytes frame = wire_hex(vectors[i]);
		struct soft_datagram datagram = datagram_of(&frame);
		uint8_t *bytes = frame.bytes + (datagram.bytes - frame.bytes);
		struct soft_pair pair = new_pair();

		for (size_t bit = 0; bit < 8 * datagram.size; bit++) {
			if (bit / 8 == 4)
				continue; /* what routers change */
			bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
			assert_false(passes(&pair, &datagram));
			bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
		wire_free(&frame);
	}
}

static void an_address_that_was_changed_does_not_pass(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VECTORS; i++) {
		struct wire_bytes frame = wire_hex(vectors[i]);
		struct soft_datagram datagram = datagram_of(&frame);
		struct soft_pair pair = new_pair();

		datagram.path.source[15] ^= 1;
		assert_false(passes(&pair, &datagram));
		wire_free(&frame);
	}
}

/* A packet of the same path with an identification of choice. */
static struct soft_datagram made(uint8_t *bytes, size_t size, uint16_t id, uint16_t fragment)
{
	struct soft_datagram datagram = {.bytes = bytes, .size = size};

	datagram.path.source[10] = datagram.path.source[11] = 0xff;
	datagram.path.destination[10] = datagram.path.destination[11] = 0xff;
	roce_icrc_put(roce_icrc_packet(roce_icrc_begin(&datagram.path, id, fragment, size), bytes,
				       size - ROCE_ICRC_SIZE),
		      bytes + size - ROCE_ICRC_SIZE);
	return datagram;
}

static void a_peer_that_fragments_passes(void **state)
{
	uint8_t bytes[64] = {0};
	struct soft_pair pair = new_pair();

	(void)state;
	for (unsigned int id = 0; id < 65536; id += 257) {
		struct soft_datagram datagram = made(bytes, sizeof(bytes), (uint16_t)id, 0);

		assert_true(passes(&pair, &datagram));
	}
}

/* Of a peer of our own kind nothing else is believed. */
static void an_own_kind_has_no_large_identifications(void **state)
{
	uint8_t bytes[64] = {0};
	struct soft_pair pair = new_pair();
	struct soft_datagram datagram;

	(void)state;
	for (unsigned int i = 0; i < CHECK_TRUST; i++) {
		datagram = made(bytes, sizeof(bytes), (uint16_t)(i * 3), ROCE_DONT_FRAGMENT);
		assert_true(passes(&pair, &datagram));
	}
	datagram = made(bytes, sizeof(bytes), 0x4321, ROCE_DONT_FRAGMENT);
	assert_false(passes(&pair, &datagram));
	assert_true(passes(&pair, &datagram)); /* it is not our own kind after all */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(captured_packets_pass),
		cmocka_unit_test(a_changed_bit_does_not_pass),
		cmocka_unit_test(an_address_that_was_changed_does_not_pass),
		cmocka_unit_test(a_peer_that_fragments_passes),
		cmocka_unit_test(an_own_kind_has_no_large_identifications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
