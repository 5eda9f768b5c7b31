/* SPDX-License-Identifier: MIT */
#include "cli/decode_packet.h"

#include <pcap/pcap.h>
#include <string.h>

#include "wire/bytes.h"

#define ETHERTYPE_IPV4 0x0800U
#define ETHERTYPE_IPV6 0x86ddU
#define ETHERTYPE_VLAN 0x8100U
#define ETHERTYPE_VLAN_OUTER 0x88a8U
#define IPV4_MORE_OR_OFFSET 0x3fffU
#define UDP_LENGTH_OFFSET 4

bool packet_link_known(int link_type)
{
	switch (link_type) {
	case DLT_EN10MB:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
	case DLT_NULL:
	case DLT_LOOP:
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
		return true;
	default:
		return false;
	}
}

/* Pass the header of the link; whether what follows it can be IP. */
static bool link_pass(struct bytes_reader *reader, int link_type)
{
	unsigned int type = ETHERTYPE_IPV4;

	switch (link_type) {
	case DLT_EN10MB:
		bytes_take(reader, 12);
		type = bytes_get_u16(reader);
		break;
	case DLT_LINUX_SLL:
		bytes_take(reader, 14);
		type = bytes_get_u16(reader);
		break;
	case DLT_LINUX_SLL2:
		type = bytes_get_u16(reader);
		bytes_take(reader, 18);
		break;
	case DLT_NULL:
	case DLT_LOOP:
		bytes_take(reader, 4); /* a family, whose number depends on the system */
		break;
	default:
		break;
	}
	while (type == ETHERTYPE_VLAN || type == ETHERTYPE_VLAN_OUTER) {
		bytes_take(reader, 2);
		type = bytes_get_u16(reader);
	}
	return type == ETHERTYPE_IPV4 || type == ETHERTYPE_IPV6;
}

/* How long what follows the header is, as the header says; -1 if it is no header. */
static long ipv4_pass(struct packet *packet, struct bytes_reader *reader)
{
	unsigned int header, total, fragment;

	header = 4U * (bytes_get_u8(reader) & 0xf);
	bytes_take(reader, 1);
	total = bytes_get_u16(reader);
	bytes_take(reader, 2);
	fragment = bytes_get_u16(reader) & IPV4_MORE_OR_OFFSET;
	bytes_take(reader, 1);
	packet->protocol = bytes_get_u8(reader);
	bytes_take(reader, 2);
	memset(packet->source, 0, sizeof(packet->source));
	memset(packet->source + 10, 0xff, 2);
	memcpy(packet->destination, packet->source, sizeof(packet->destination));
	bytes_get(reader, packet->source + 12, 4);
	bytes_get(reader, packet->destination + 12, 4);
	if (header < ROCE_IPV4_SIZE || fragment)
		return -1;
	bytes_take(reader, header - ROCE_IPV4_SIZE);
	packet->plain = header == ROCE_IPV4_SIZE;
	/* A sender's own capture has none where its adapter cuts large segments. */
	return total ? (long)total - (long)header : (long)reader->left;
}

static long ipv6_pass(struct packet *packet, struct bytes_reader *reader)
{
	unsigned int length;

	bytes_take(reader, 4);
	length = bytes_get_u16(reader);
	packet->protocol = bytes_get_u8(reader);
	bytes_take(reader, 1);
	bytes_get(reader, packet->source, sizeof(packet->source));
	bytes_get(reader, packet->destination, sizeof(packet->destination));
	packet->plain = true;
	return (long)length;
}

/* Is the header of TCP or UDP there? */
static bool transport_find(struct packet *packet)
{
	struct bytes_reader reader = bytes_reader(packet->header, packet->size);

	packet->source_port = bytes_get_u16(&reader);
	packet->destination_port = bytes_get_u16(&reader);
	if (packet->protocol == PACKET_UDP) {
		bytes_take(&reader, 4);
		packet->header_size = ROCE_UDP_SIZE;
	} else {
		bytes_take(&reader, 8);
		packet->header_size = 4U * (bytes_get_u8(&reader) >> 4);
		bytes_take(&reader, 7);
		if (packet->header_size < 20)
			return false;
	}
	if (reader.beyond || packet->header_size > packet->size)
		return false;
	packet->content = packet->header + packet->header_size;
	packet->size -= packet->header_size;
	return true;
}

/* UDP has a length of its own, which may be less than IP's. */
static bool udp_trim(struct packet *packet)
{
	struct bytes_reader reader = bytes_reader(packet->header + UDP_LENGTH_OFFSET, 2);
	size_t length = bytes_get_u16(&reader), sent = packet->size + packet->cut;

	if (length < ROCE_UDP_SIZE || length - ROCE_UDP_SIZE > sent)
		return false;
	length -= ROCE_UDP_SIZE;
	packet->size = length < packet->size ? length : packet->size;
	packet->cut = length - packet->size;
	return true;
}

bool packet_find(struct packet *packet, int link_type, const uint8_t *bytes, size_t size)
{
	struct bytes_reader reader = bytes_reader(bytes, size);
	unsigned int version;
	long length;

	if (!link_pass(&reader, link_type) || !reader.left)
		return false;
	packet->ip = reader.at;
	version = reader.at[0] >> 4;
	if (version != 4 && version != 6)
		return false;
	length = version == 4 ? ipv4_pass(packet, &reader) : ipv6_pass(packet, &reader);
	if (reader.beyond || length < 0)
		return false;
	if (packet->protocol != PACKET_TCP && packet->protocol != PACKET_UDP)
		return false;
	packet->header = reader.at;
	packet->size = reader.left < (size_t)length ? reader.left : (size_t)length;
	packet->cut = (size_t)length - packet->size;
	return transport_find(packet) && (packet->protocol == PACKET_TCP || udp_trim(packet));
}
