/* SPDX-License-Identifier: MIT */
/*
 * RoCEv2: the packets of reliable connections, and their checksum
 *
 * Theory of operation
 *
 * A RoCEv2 packet is the payload of a UDP datagram to port 4791 (InfiniBand Architecture, volume 1,
 * chapter 9, with annex A17):
 *
 *   BTH 12 | RETH 16 | AETH 4 | ImmDt 4 | payload | pad 0 to 3 | ICRC 4
 *
 * The opcode in the BTH says which of the headers in the middle are there.  roce_decode() checks the
 * lengths and takes a packet apart; the payload stays where it is.  roce_encode() writes what comes
 * before the payload; payload, pad and ICRC follow, gathered by the sender as it likes.  What depends
 * on the queue pair (partition key, sequence, path MTU, what is allowed) is not looked at here.
 *
 * The ICRC is a CRC-32, the one of Ethernet and zlib.  It covers the IP and UDP headers, with the
 * fields that routers change taken as ones, then everything from the BTH to the pad.  It is made in
 * steps: roce_icrc_begin() for the headers before the BTH, roce_icrc_packet() for a piece that starts
 * with the BTH, roce_icrc_add() for each further piece; each takes the value of the step before.  The
 * result goes on the wire least significant byte first.
 *
 * The identification of an IPv4 header is covered too, yet a receiver on a UDP socket does not see
 * it.  But the CRC is affine: an identification other than the assumed one changes it by a sum of 16
 * known values, which depend only on the number of bytes that follow.  struct roce_ids holds those;
 * roce_ids_solve() finds the identification that explains a difference, or says that none does.
 */
#ifndef SMCU_WIRE_ROCE_H
#define SMCU_WIRE_ROCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROCE_PORT 4791U /* UDP, destination, in both directions */
#define ROCE_BTH_SIZE 12U
#define ROCE_RETH_SIZE 16U
#define ROCE_AETH_SIZE 4U
#define ROCE_IMMEDIATE_SIZE 4U
#define ROCE_ICRC_SIZE 4U
#define ROCE_HEADERS_MAX (ROCE_BTH_SIZE + ROCE_RETH_SIZE + ROCE_IMMEDIATE_SIZE)
#define ROCE_GID_SIZE 16U
#define ROCE_24_BITS 0xffffffU /* what sequence numbers and queue pair numbers are counted in */

enum roce_opcode {
	ROCE_SEND_FIRST = 0x00,
	ROCE_SEND_MIDDLE = 0x01,
	ROCE_SEND_LAST = 0x02,
	ROCE_SEND_LAST_IMMEDIATE = 0x03,
	ROCE_SEND_ONLY = 0x04,
	ROCE_SEND_ONLY_IMMEDIATE = 0x05,
	ROCE_WRITE_FIRST = 0x06,
	ROCE_WRITE_MIDDLE = 0x07,
	ROCE_WRITE_LAST = 0x08,
	ROCE_WRITE_LAST_IMMEDIATE = 0x09,
	ROCE_WRITE_ONLY = 0x0a,
	ROCE_WRITE_ONLY_IMMEDIATE = 0x0b,
	ROCE_READ_REQUEST = 0x0c,
	ROCE_READ_RESPONSE_FIRST = 0x0d,
	ROCE_READ_RESPONSE_MIDDLE = 0x0e,
	ROCE_READ_RESPONSE_LAST = 0x0f,
	ROCE_READ_RESPONSE_ONLY = 0x10,
	ROCE_ACKNOWLEDGE = 0x11,
	ROCE_OPCODE_END
};

/* The headers that an opcode has behind the BTH, in this order. */
#define ROCE_HAS_RETH (1U << 0)
#define ROCE_HAS_AETH (1U << 1)
#define ROCE_HAS_IMMEDIATE (1U << 2)
#define ROCE_HAS_NO_PAYLOAD (1U << 3)

/**
 * struct roce_bth - the base transport header
 * @opcode: enum roce_opcode
 * @solicited: SE, the receiver's program is to be woken
 * @migrated: M; adapters send 1, Soft-RoCE 0; not to be looked at
 * @pad: bytes between payload and ICRC, 0 to 3
 * @version: 0
 * @partition: partition key
 * @congestion: ROCE_FECN, ROCE_BECN, and 6 reserved bits
 * @destination: queue pair number, 24 bits
 * @ack_request: A
 * @reserved: 7 bits, 0
 * @sequence: PSN, 24 bits; in an acknowledgement that of the packet it answers
 */
struct roce_bth {
	uint8_t opcode;
	bool solicited;
	bool migrated;
	uint8_t pad;
	uint8_t version;
	uint16_t partition;
	uint8_t congestion;
	uint32_t destination;
	bool ack_request;
	uint8_t reserved;
	uint32_t sequence;
};

#define ROCE_PARTITION 0xffffU /* the default one, full member */
#define ROCE_FECN 0x80U
#define ROCE_BECN 0x40U

/**
 * struct roce_reth - where a WRITE goes (the RDMA extended transport header)
 * @address: virtual address in the space of @key
 * @key: R_Key
 * @length: bytes of the whole message, not of this packet
 */
struct roce_reth {
	uint64_t address;
	uint32_t key;
	uint32_t length;
};

/**
 * struct roce_aeth - an answer (the ACK extended transport header)
 * @syndrome: what kind of answer: ROCE_SYNDROME_KIND of it, and its value
 * @messages: MSN, messages completed by the responder, 24 bits
 */
struct roce_aeth {
	uint8_t syndrome;
	uint32_t messages;
};

#define ROCE_SYNDROME_KIND 0xe0U
#define ROCE_SYNDROME_VALUE 0x1fU
#define ROCE_ACK 0x00U /* value: credits */
#define ROCE_RNR_NAK 0x20U /* value: how long to wait, a code */
#define ROCE_NAK 0x60U /* value: why */
#define ROCE_ACK_NO_CREDITS 0x1fU /* a whole syndrome: acknowledged, without end-to-end credits */
#define ROCE_NAK_SEQUENCE 0x60U /* whole syndromes, too */
#define ROCE_NAK_INVALID_REQUEST 0x61U
#define ROCE_NAK_REMOTE_ACCESS 0x62U
#define ROCE_NAK_REMOTE_OPERATION 0x63U

/**
 * struct roce_packet - a packet taken apart, or to be put together
 * @bth: always there
 * @reth, @aeth, @immediate: there if roce_opcode_headers() of the opcode says so, else zero
 * @payload: inside the packet given to roce_decode(); roce_encode() does not look at it
 * @payload_size: bytes, without the pad
 * @icrc: as it was received; roce_encode() does not look at it
 */
struct roce_packet {
	struct roce_bth bth;
	struct roce_reth reth;
	struct roce_aeth aeth;
	uint32_t immediate;
	const uint8_t *payload;
	size_t payload_size;
	uint32_t icrc;
};

/* roce_opcode_headers - ROCE_HAS_* of an opcode that roce_decode() knows, else 0 */
unsigned int roce_opcode_headers(uint8_t opcode);

/* roce_opcode_name - "SEND Only", "RDMA WRITE First"; NULL for an opcode without a name here */
const char *roce_opcode_name(uint8_t opcode);

/* roce_padding - the pad that brings @payload_size to a multiple of 4 */
static inline uint8_t roce_padding(size_t payload_size)
{
	return (uint8_t)(-payload_size & 3U);
}

/**
 * roce_decode - take a packet apart
 * @packet: filled; on -EPROTONOSUPPORT its @bth alone (a responder answers what it cannot do)
 * @bytes: the UDP payload, from the BTH to the ICRC
 * @length: bytes
 * @field: set to the name of what is wrong, on failure; may be NULL
 *
 * Return: 0; -EMSGSIZE: too short for its headers and pad, or too long for an opcode without
 * payload; -EPROTO: another transport version; -EPROTONOSUPPORT: an opcode not listed above.
 */
int roce_decode(struct roce_packet *packet, const void *bytes, size_t length, const char **field);

/**
 * roce_encode - write the headers of a packet
 * @to: BTH and what the opcode has behind it, not the payload
 * @room: bytes; ROCE_HEADERS_MAX is enough
 *
 * Return: the bytes written; -ENOBUFS: no room; -EINVAL: an opcode not listed above, or a number
 * that does not fit its field.
 */
int roce_encode(const struct roce_packet *packet, void *to, size_t room);

/**
 * struct roce_path - what the ICRC covers of the headers before the BTH
 * @source, @destination: addresses as GIDs; IPv4 if both are IPv4-mapped (::ffff:a.b.c.d)
 * @source_port: UDP source port
 */
struct roce_path {
	uint8_t source[ROCE_GID_SIZE];
	uint8_t destination[ROCE_GID_SIZE];
	uint16_t source_port;
};

#define ROCE_DONT_FRAGMENT 0x4000U

/* roce_gid_is_ipv4 - is it IPv4-mapped? */
bool roce_gid_is_ipv4(const uint8_t gid[ROCE_GID_SIZE]);

/**
 * roce_icrc_begin - the ICRC of the headers before the BTH
 * @path: between whom
 * @identification: of the IPv4 header; Linux sends 0 from an unconnected socket that sets DF, and
 * the index of the piece in a segmented send
 * @fragment: flags and fragment offset of the IPv4 header, ROCE_DONT_FRAGMENT
 * @length: bytes of the UDP payload, ICRC included; at most 65,507
 */
uint32_t roce_icrc_begin(const struct roce_path *path, uint16_t identification, uint16_t fragment,
			 size_t length);

#define ROCE_IPV4_SIZE 20U /* IPv4 options are not allowed */
#define ROCE_IPV6_SIZE 40U
#define ROCE_UDP_SIZE 8U

/**
 * roce_icrc_begin_captured - the same for headers as they were on the wire
 * @ip: ROCE_IPV4_SIZE or ROCE_IPV6_SIZE bytes, which of them its first byte says
 * @udp: ROCE_UDP_SIZE bytes
 */
uint32_t roce_icrc_begin_captured(const uint8_t *ip, const uint8_t *udp);

/* roce_icrc_packet - go on with @size bytes that start with the BTH; @size >= ROCE_BTH_SIZE */
uint32_t roce_icrc_packet(uint32_t icrc, const void *bytes, size_t size);

/* roce_icrc_add - go on with @size bytes of headers, payload or pad */
uint32_t roce_icrc_add(uint32_t icrc, const void *bytes, size_t size);

/* roce_icrc_put - the ICRC as it goes on the wire */
void roce_icrc_put(uint32_t icrc, uint8_t to[ROCE_ICRC_SIZE]);

/**
 * struct roce_ids - how the identification of an IPv4 header enters the ICRC of one length
 * @change: what an identification @id changes; each has a leading bit that no other has
 * @id: a sum of bits
 */
struct roce_ids {
	uint32_t change[16];
	uint16_t id[16];
};

/**
 * roce_ids_init - for packets of one length
 * @length: bytes of the UDP payload, ICRC included; at least ROCE_ICRC_SIZE
 */
void roce_ids_init(struct roce_ids *ids, size_t length);

/**
 * roce_ids_solve - which identification did the sender have?
 * @ids: for the length of the packet
 * @difference: the ICRC made with identification 0, exclusive-or the received one
 * @id: set if there is one
 *
 * Return: whether an identification explains the difference.  A damaged packet passes with
 * probability 2^-16 (2^-32 where the identification is known).
 */
bool roce_ids_solve(const struct roce_ids *ids, uint32_t difference, uint16_t *id);

#endif
