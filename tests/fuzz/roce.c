/* SPDX-License-Identifier: MIT */
/*
 * Packets that reach UDP port 4791 from anywhere: nothing beyond them is read, the headers of what is
 * accepted are written again as they were, and whatever identification their sender chose is found
 *
 * The input is a UDP payload, from the BTH to the ICRC.
 */
#include "wire/roce.h"

#include "fuzz.h"

static void find_identification(const uint8_t *data, size_t size)
{
	const struct roce_path path = {.source = {[10] = 0xff, [11] = 0xff, [12] = 10},
				       .destination = {[10] = 0xff, [11] = 0xff, [12] = 11},
				       .source_port = (uint16_t)(data[4] << 8 | data[6])};
	uint16_t wanted = (uint16_t)(data[9] << 8 | data[10]), id;
	size_t covered = size - ROCE_ICRC_SIZE;
	uint32_t known, sent;
	struct roce_ids ids;

	known = roce_icrc_begin(&path, 0, ROCE_DONT_FRAGMENT, size);
	sent = roce_icrc_begin(&path, wanted, ROCE_DONT_FRAGMENT, size);
	known = roce_icrc_packet(known, data, covered);
	sent = roce_icrc_packet(sent, data, covered);
	roce_ids_init(&ids, size);
	require(roce_ids_solve(&ids, known ^ sent, &id));
	require(id == wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t headers[ROCE_HEADERS_MAX];
	struct roce_packet packet;
	const char *field = NULL;
	int length;

	if (roce_decode(&packet, data, size, &field)) {
		require(field);
		return 0;
	}
	require(roce_opcode_name(packet.bth.opcode));
	length = roce_encode(&packet, headers, sizeof(headers));
	require(length >= (int)ROCE_BTH_SIZE);
	require(memcmp(headers, data, (size_t)length) == 0);
	require(packet.payload == data + length);
	require((size_t)length + packet.payload_size + packet.bth.pad + ROCE_ICRC_SIZE == size);
	find_identification(data, size);
	return 0;
}
