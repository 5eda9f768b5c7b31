/* SPDX-License-Identifier: MIT */
/*
 * smcu decode: what of SMC is in a capture
 *
 * Theory of operation
 *
 * decode.c reads frames with libpcap and asks decode_packet.c what is in them.  TCP goes to
 * decode_stream.c, which looks for the SMC option and follows the start of each stream for CLC
 * messages; UDP to the RoCE port goes to decode_roce.c, which judges the ICRC and puts SENDs together
 * to LLC and CDC messages.  Each message becomes one record (decode_record.h), whose members
 * decode_clc.c and decode_llc.c fill in.
 *
 * With --verify each message is encoded again as it was decoded, and compared.  The first byte that
 * differs, or a message that cannot be decoded, ends it all with status 1.
 *
 * A capture is a stranger's: whatever it says, memory is bounded by the connections and queue pairs
 * in it, and each of them by a constant.
 */
#ifndef SMCU_CLI_DECODE_H
#define SMCU_CLI_DECODE_H

#include "cli/decode_packet.h"
#include "cli/decode_record.h"
#include "wire/cdc.h"
#include "wire/clc.h"
#include "wire/llc.h"

struct decode_stream;
struct decode_send;

/**
 * struct decoder - one run
 * @json: print JSON objects
 * @verify: encode again, and compare
 * @differs: it did not compare; nothing more is to be read
 * @streams: TCP connections that may carry CLC messages, a hash
 * @sends: messages of which not all packets have come, a hash
 */
struct decoder {
	bool json;
	bool verify;
	bool differs;
	struct decode_stream *streams;
	struct decode_send *sends;
};

/* decode_segment - a TCP segment: its options, and what it adds to its stream */
void decode_segment(struct decoder *decoder, const struct packet *packet);
void decode_segments_end(struct decoder *decoder);

/* decode_datagram - a UDP datagram to ROCE_PORT, and the message it completes */
void decode_datagram(struct decoder *decoder, const struct packet *packet);
void decode_datagrams_end(struct decoder *decoder);

/* decode_llc - one SEND's content: an LLC or a CDC message */
void decode_llc(struct decoder *decoder, const struct packet *packet, const uint8_t *bytes,
		size_t size);

/**
 * decode_clc - one CLC message
 * @size: as clc_decode() wants it
 */
void decode_clc(struct decoder *decoder, const struct packet *packet, const uint8_t *bytes,
		size_t size);

/**
 * decode_malformed - print the line of a message that cannot be decoded
 * @protocol: "CLC" and so on
 * @field: what is wrong
 * @bytes, @size: the message; the start of it is shown
 */
void decode_malformed(struct decoder *decoder, const struct packet *packet, const char *protocol,
		      const char *field, const uint8_t *bytes, size_t size);

/**
 * decode_compare - with --verify, say where a message was not encoded as it was received
 * @record: the message, for its name
 * @bytes, @size: as received
 * @again, @result: as encoded: a length, or -errno
 */
void decode_compare(struct decoder *decoder, const struct record *record, const uint8_t *bytes,
		    size_t size, const uint8_t *again, int result);

#endif
