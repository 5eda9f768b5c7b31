/* SPDX-License-Identifier: MIT */
#include "wire/roce.h"

#include <errno.h>

#include "wire/bytes.h"

/* Behind the BTH of each opcode. */
static const struct opcode {
	const char *name;
	unsigned int headers;
} opcodes[ROCE_OPCODE_END] = {
	[ROCE_SEND_FIRST] = {"SEND First", 0},
	[ROCE_SEND_MIDDLE] = {"SEND Middle", 0},
	[ROCE_SEND_LAST] = {"SEND Last", 0},
	[ROCE_SEND_LAST_IMMEDIATE] = {"SEND Last with Immediate", ROCE_HAS_IMMEDIATE},
	[ROCE_SEND_ONLY] = {"SEND Only", 0},
	[ROCE_SEND_ONLY_IMMEDIATE] = {"SEND Only with Immediate", ROCE_HAS_IMMEDIATE},
	[ROCE_WRITE_FIRST] = {"RDMA WRITE First", ROCE_HAS_RETH},
	[ROCE_WRITE_MIDDLE] = {"RDMA WRITE Middle", 0},
	[ROCE_WRITE_LAST] = {"RDMA WRITE Last", 0},
	[ROCE_WRITE_LAST_IMMEDIATE] = {"RDMA WRITE Last with Immediate", ROCE_HAS_IMMEDIATE},
	[ROCE_WRITE_ONLY] = {"RDMA WRITE Only", ROCE_HAS_RETH},
	[ROCE_WRITE_ONLY_IMMEDIATE] = {"RDMA WRITE Only with Immediate",
				       ROCE_HAS_RETH | ROCE_HAS_IMMEDIATE},
	[ROCE_READ_REQUEST] = {"RDMA READ Request", ROCE_HAS_RETH | ROCE_HAS_NO_PAYLOAD},
	[ROCE_READ_RESPONSE_FIRST] = {"RDMA READ Response First", ROCE_HAS_AETH},
	[ROCE_READ_RESPONSE_MIDDLE] = {"RDMA READ Response Middle", 0},
	[ROCE_READ_RESPONSE_LAST] = {"RDMA READ Response Last", ROCE_HAS_AETH},
	[ROCE_READ_RESPONSE_ONLY] = {"RDMA READ Response Only", ROCE_HAS_AETH},
	[ROCE_ACKNOWLEDGE] = {"Acknowledge", ROCE_HAS_AETH | ROCE_HAS_NO_PAYLOAD},
};

unsigned int roce_opcode_headers(uint8_t opcode)
{
	return opcode < ROCE_OPCODE_END ? opcodes[opcode].headers : 0;
}

const char *roce_opcode_name(uint8_t opcode)
{
	switch (opcode) {
	case 0x12:
		return "Atomic Acknowledge";
	case 0x13:
		return "CmpSwap";
	case 0x14:
		return "FetchAdd";
	case 0x16:
		return "SEND Last with Invalidate";
	case 0x17:
		return "SEND Only with Invalidate";
	case 0x1c:
		return "Flush";
	case 0x1d:
		return "Atomic Write";
	case 0x81:
		return "CNP";
	default:
		return opcode < ROCE_OPCODE_END ? opcodes[opcode].name : NULL;
	}
}

static int wrong(const char **field, const char *name, int error)
{
	if (field)
		*field = name;
	return error;
}

static void bth_decode(struct roce_bth *bth, struct bytes_reader *reader)
{
	uint8_t second, ninth;

	bth->opcode = bytes_get_u8(reader);
	second = bytes_get_u8(reader);
	bth->solicited = second & 0x80;
	bth->migrated = second & 0x40;
	bth->pad = second >> 4 & 3;
	bth->version = second & 0xf;
	bth->partition = bytes_get_u16(reader);
	bth->congestion = bytes_get_u8(reader);
	bth->destination = bytes_get_u24(reader);
	ninth = bytes_get_u8(reader);
	bth->ack_request = ninth & 0x80;
	bth->reserved = ninth & 0x7f;
	bth->sequence = bytes_get_u24(reader);
}

static void headers_decode(struct roce_packet *packet, struct bytes_reader *reader)
{
	unsigned int headers = roce_opcode_headers(packet->bth.opcode);

	if (headers & ROCE_HAS_RETH) {
		packet->reth.address = bytes_get_u64(reader);
		packet->reth.key = bytes_get_u32(reader);
		packet->reth.length = bytes_get_u32(reader);
	}
	if (headers & ROCE_HAS_AETH) {
		packet->aeth.syndrome = bytes_get_u8(reader);
		packet->aeth.messages = bytes_get_u24(reader);
	}
	if (headers & ROCE_HAS_IMMEDIATE)
		packet->immediate = bytes_get_u32(reader);
}

int roce_decode(struct roce_packet *packet, const void *bytes, size_t length, const char **field)
{
	struct bytes_reader reader = bytes_reader(bytes, length);
	const uint8_t *icrc;

	*packet = (struct roce_packet){0};
	bth_decode(&packet->bth, &reader);
	if (reader.beyond)
		return wrong(field, "length", -EMSGSIZE);
	if (packet->bth.version)
		return wrong(field, "transport version", -EPROTO);
	if (packet->bth.opcode >= ROCE_OPCODE_END)
		return wrong(field, "opcode", -EPROTONOSUPPORT);
	headers_decode(packet, &reader);
	if (reader.beyond || reader.left < packet->bth.pad + ROCE_ICRC_SIZE)
		return wrong(field, "length", -EMSGSIZE);
	packet->payload_size = reader.left - packet->bth.pad - ROCE_ICRC_SIZE;
	packet->payload = bytes_take(&reader, packet->payload_size);
	bytes_take(&reader, packet->bth.pad);
	icrc = bytes_take(&reader, ROCE_ICRC_SIZE);
	packet->icrc = icrc[0] | (uint32_t)icrc[1] << 8 | (uint32_t)icrc[2] << 16 |
		       (uint32_t)icrc[3] << 24;
	if (packet->payload_size && roce_opcode_headers(packet->bth.opcode) & ROCE_HAS_NO_PAYLOAD)
		return wrong(field, "length", -EMSGSIZE);
	return 0;
}

static bool encodable(const struct roce_packet *packet)
{
	const struct roce_bth *bth = &packet->bth;

	return bth->opcode < ROCE_OPCODE_END && bth->pad <= 3 && bth->version == 0 &&
	       bth->destination <= ROCE_24_BITS && bth->reserved <= 0x7f &&
	       bth->sequence <= ROCE_24_BITS && packet->aeth.messages <= ROCE_24_BITS;
}

int roce_encode(const struct roce_packet *packet, void *to, size_t room)
{
	struct bytes_writer writer = bytes_writer(to, room);
	const struct roce_bth *bth = &packet->bth;
	unsigned int headers = roce_opcode_headers(bth->opcode);

	if (!encodable(packet))
		return -EINVAL;
	bytes_put_u8(&writer, bth->opcode);
	bytes_put_u8(&writer, (uint8_t)(bth->solicited << 7 | bth->migrated << 6 | bth->pad << 4));
	bytes_put_u16(&writer, bth->partition);
	bytes_put_u8(&writer, bth->congestion);
	bytes_put_u24(&writer, bth->destination);
	bytes_put_u8(&writer, (uint8_t)(bth->ack_request << 7 | bth->reserved));
	bytes_put_u24(&writer, bth->sequence);
	if (headers & ROCE_HAS_RETH) {
		bytes_put_u64(&writer, packet->reth.address);
		bytes_put_u32(&writer, packet->reth.key);
		bytes_put_u32(&writer, packet->reth.length);
	}
	if (headers & ROCE_HAS_AETH) {
		bytes_put_u8(&writer, packet->aeth.syndrome);
		bytes_put_u24(&writer, packet->aeth.messages);
	}
	if (headers & ROCE_HAS_IMMEDIATE)
		bytes_put_u32(&writer, packet->immediate);
	return writer.beyond ? -ENOBUFS : (int)(room - writer.left);
}
