/* SPDX-License-Identifier: MIT */
/*
 * RoCE packets, and the SENDs that they carry
 *
 * A message of one packet is decoded where it lies.  One of several packets (a v2 message longer than
 * the path MTU) is gathered, by addresses and queue pair, until its last packet.  Packets that came
 * twice or not at all break such a message: it is dropped, and its packets are shown nevertheless.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cli/decode.h"

/**
 * struct decode_send - a message of several packets
 * @key: between whom
 * @next: sequence number that its next packet has
 * @size: bytes gathered, at most LLC_LENGTH_MAX
 */
struct decode_send {
	struct send_key {
		uint8_t source[ROCE_GID_SIZE];
		uint8_t destination[ROCE_GID_SIZE];
		uint32_t queue_pair;
	} key;
	uint32_t next;
	size_t size;
	UT_hash_handle hh;
	uint8_t bytes[LLC_LENGTH_MAX];
};

static struct send_key key_of(const struct packet *packet, const struct roce_packet *roce)
{
	struct send_key key = {.queue_pair = roce->bth.destination};

	memcpy(key.source, packet->source, sizeof(key.source));
	memcpy(key.destination, packet->destination, sizeof(key.destination));
	return key;
}

static void send_drop(struct decoder *decoder, struct decode_send *send)
{
	if (!send)
		return;
	HASH_DEL(decoder->sends, send);
	free(send);
}

/* The first packet; NULL if there is no memory. */
static struct decode_send *send_begin(struct decoder *decoder, const struct send_key *key,
				      uint32_t sequence)
{
	struct decode_send *send = calloc(1, sizeof(*send));

	if (!send)
		return NULL;
	send->key = *key;
	send->next = sequence;
	HASH_ADD(hh, decoder->sends, key, sizeof(send->key), send);
	return send;
}

/* One packet of several. */
static void send_gather(struct decoder *decoder, const struct packet *packet,
			const struct roce_packet *roce)
{
	const struct send_key key = key_of(packet, roce);
	struct decode_send *send;

	HASH_FIND(hh, decoder->sends, &key, sizeof(key), send);
	if (roce->bth.opcode == ROCE_SEND_FIRST) {
		send_drop(decoder, send);
		send = send_begin(decoder, &key, roce->bth.sequence);
	}
	if (!send)
		return;
	if (roce->bth.sequence != send->next ||
	    roce->payload_size > sizeof(send->bytes) - send->size) {
		send_drop(decoder, send);
		return;
	}
	memcpy(send->bytes + send->size, roce->payload, roce->payload_size);
	send->size += roce->payload_size;
	send->next = (send->next + 1) & ROCE_24_BITS;
	if (roce->bth.opcode == ROCE_SEND_LAST || roce->bth.opcode == ROCE_SEND_LAST_IMMEDIATE) {
		decode_llc(decoder, packet, send->bytes, send->size);
		send_drop(decoder, send);
	}
}

static void add_syndrome(struct record *record, uint8_t syndrome)
{
	switch (syndrome & ROCE_SYNDROME_KIND) {
	case ROCE_ACK:
		record_text(record, "answer", "ACK");
		break;
	case ROCE_RNR_NAK:
		record_text(record, "answer", "RNR NAK");
		break;
	case ROCE_NAK:
		record_text(record, "answer", "NAK");
		break;
	default:
		record_text(record, "answer", "unknown");
	}
	record_hex(record, "syndrome", syndrome, 2);
}

static void add_headers(struct record *record, const struct roce_packet *roce)
{
	unsigned int headers = roce_opcode_headers(roce->bth.opcode);

	if (headers & ROCE_HAS_RETH) {
		record_hex(record, "address", roce->reth.address, 16);
		record_hex(record, "rkey", roce->reth.key, 8);
		record_number(record, "total", roce->reth.length);
	}
	if (headers & ROCE_HAS_AETH) {
		add_syndrome(record, roce->aeth.syndrome);
		record_number(record, "msn", roce->aeth.messages);
	}
	if (headers & ROCE_HAS_IMMEDIATE)
		record_hex(record, "immediate", roce->immediate, 8);
	if (!(headers & ROCE_HAS_NO_PAYLOAD))
		record_number(record, "payload", roce->payload_size);
}

static void add_bth(struct record *record, const struct roce_bth *bth)
{
	record_hex(record, "qp", bth->destination, 6);
	record_number(record, "psn", bth->sequence);
	record_flag(record, "solicited", bth->solicited);
	record_flag(record, "ack_request", bth->ack_request);
	record_flag(record, "migrated", bth->migrated);
	if (bth->partition != ROCE_PARTITION)
		record_hex(record, "pkey", bth->partition, 4);
	record_flag(record, "fecn", bth->congestion & ROCE_FECN);
	record_flag(record, "becn", bth->congestion & ROCE_BECN);
}

/* The verdict on the ICRC; @again is what it should have been. */
static void add_icrc(struct record *record, const struct packet *packet,
		     uint8_t again[ROCE_ICRC_SIZE])
{
	size_t covered = packet->size - ROCE_ICRC_SIZE;
	const uint8_t *received = packet->content + covered;
	uint32_t icrc;

	if (!packet->plain) { /* nobody has said what it would be with IPv4 options */
		memcpy(again, received, ROCE_ICRC_SIZE);
		record_text(record, "icrc", "unknown");
		return;
	}
	icrc = roce_icrc_begin_captured(packet->ip, packet->header);
	roce_icrc_put(roce_icrc_packet(icrc, packet->content, covered), again);
	if (memcmp(again, received, ROCE_ICRC_SIZE) == 0) {
		record_text(record, "icrc", "ok");
		return;
	}
	record_text(record, "icrc", "wrong");
	record_bytes(record, "icrc_received", received, ROCE_ICRC_SIZE);
	record_bytes(record, "icrc_computed", again, ROCE_ICRC_SIZE);
}

/* The headers and the ICRC are ours to encode; what is between them is the payload and its pad. */
static void compare(struct decoder *decoder, const struct record *record,
		    const struct roce_packet *roce, const uint8_t icrc[ROCE_ICRC_SIZE])
{
	const struct packet *packet = record->packet;
	uint8_t headers[ROCE_HEADERS_MAX];
	int result = roce_encode(roce, headers, sizeof(headers));
	size_t before = (size_t)(roce->payload - packet->content);

	decode_compare(decoder, record, packet->content, before, headers, result);
	decode_compare(decoder, record, packet->content + packet->size - ROCE_ICRC_SIZE,
		       ROCE_ICRC_SIZE, icrc, ROCE_ICRC_SIZE);
}

/* What the capture does not have all of can neither be judged nor decoded. */
static void decode_cut(struct decoder *decoder, const struct packet *packet)
{
	struct record record = record_begin(packet, "RoCE", "cut");

	record_number(&record, "captured", packet->size);
	record_number(&record, "sent", packet->size + packet->cut);
	record_text(&record, "icrc", "unknown");
	record_end(&record, decoder->json);
}

static const char *kind_of(uint8_t opcode, char unknown[sizeof("opcode 0xff")])
{
	const char *name = roce_opcode_name(opcode);

	if (name)
		return name;
	snprintf(unknown, sizeof("opcode 0xff"), "opcode 0x%02x", opcode);
	return unknown;
}

/* A packet's line; @known: all of it was decoded, not the BTH alone. */
static void show_packet(struct decoder *decoder, const struct packet *packet,
			const struct roce_packet *roce, bool known)
{
	char unknown[sizeof("opcode 0xff")];
	struct record record = record_begin(packet, "RoCE", kind_of(roce->bth.opcode, unknown));
	uint8_t icrc[ROCE_ICRC_SIZE];

	add_bth(&record, &roce->bth);
	if (known)
		add_headers(&record, roce);
	add_icrc(&record, packet, icrc);
	if (known)
		compare(decoder, &record, roce, icrc);
	record_end(&record, decoder->json);
}

/* The message in a packet, or the piece of one. */
static void take_send(struct decoder *decoder, const struct packet *packet,
		      const struct roce_packet *roce)
{
	switch (roce->bth.opcode) {
	case ROCE_SEND_ONLY:
	case ROCE_SEND_ONLY_IMMEDIATE:
		decode_llc(decoder, packet, roce->payload, roce->payload_size);
		break;
	case ROCE_SEND_FIRST:
	case ROCE_SEND_MIDDLE:
	case ROCE_SEND_LAST:
	case ROCE_SEND_LAST_IMMEDIATE:
		send_gather(decoder, packet, roce);
		break;
	default:
		break;
	}
}

void decode_datagram(struct decoder *decoder, const struct packet *packet)
{
	struct roce_packet roce;
	const char *field = NULL;
	int error;

	if (packet->cut) {
		decode_cut(decoder, packet);
		return;
	}
	error = roce_decode(&roce, packet->content, packet->size, &field);
	if (error == -EPROTONOSUPPORT && packet->size < ROCE_BTH_SIZE + ROCE_ICRC_SIZE) {
		error = -EMSGSIZE;
		field = "length";
	}
	if (error && error != -EPROTONOSUPPORT) {
		decode_malformed(decoder, packet, "RoCE", field, packet->content, packet->size);
		return;
	}
	show_packet(decoder, packet, &roce, !error);
	if (!error && !decoder->differs)
		take_send(decoder, packet, &roce);
}

void decode_datagrams_end(struct decoder *decoder)
{
	struct decode_send *send, *next;

	HASH_ITER(hh, decoder->sends, send, next)
	{
		send_drop(decoder, send);
	}
}
