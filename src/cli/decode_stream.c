/* SPDX-License-Identifier: MIT */
/*
 * TCP: the SMC option, and the CLC messages at the start of streams
 *
 * A connection is followed if its SYN or SYN-ACK had the option, or if a segment of it starts with an
 * eyecatcher (a capture may begin late).  Of each direction the first WINDOW bytes are gathered,
 * whatever the order in which the segments come.  It is done with at the first bytes that are no CLC
 * message, which are the applications', after a Decline, and when the connection ends.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cli/decode.h"
#include "wire/bytes.h"
#include "wire/tcp_option.h"

#define WINDOW 4096U
#define FLAG_FIN 0x01U
#define FLAG_SYN 0x02U
#define FLAG_RST 0x04U
#define FLAG_ACK 0x10U
#define EYECATCHER_LENGTH 4U

/**
 * struct window - the start of a stream
 * @there: which of @bytes have come
 */
struct window {
	uint8_t bytes[WINDOW];
	bool there[WINDOW];
};

/**
 * struct direction - what one end sends
 * @started: @start is known
 * @ended: no more CLC messages come
 * @start: sequence number of the first byte
 * @taken: bytes that have been decoded
 * @window: from the first byte on; NULL before and after
 */
struct direction {
	bool started;
	bool ended;
	uint32_t start;
	size_t taken;
	struct window *window;
};

/**
 * struct decode_stream - a connection
 * @key: its ends, the smaller one first
 * @agreed: the SYN-ACK had the option
 * @declined: one end sent a Decline
 * @finished: a bit for each end that sent its FIN
 * @directions: from the smaller end, and from the other
 */
struct decode_stream {
	struct stream_key {
		struct {
			uint8_t address[ROCE_GID_SIZE];
			uint16_t port;
		} ends[2];
	} key;
	bool agreed;
	bool declined;
	unsigned int finished;
	struct direction directions[2];
	UT_hash_handle hh;
};

/**
 * struct segment - the TCP header's part that counts here
 * @sequence: of the first byte of the content
 * @from: which end sent it, of stream_key
 * @option: it has the SMC option
 */
struct segment {
	uint32_t sequence;
	uint8_t flags;
	unsigned int from;
	bool option;
};

static struct stream_key key_of(const struct packet *packet, unsigned int *from)
{
	struct stream_key key;

	memset(&key, 0, sizeof(key));
	memcpy(key.ends[0].address, packet->source, ROCE_GID_SIZE);
	memcpy(key.ends[1].address, packet->destination, ROCE_GID_SIZE);
	key.ends[0].port = packet->source_port;
	key.ends[1].port = packet->destination_port;
	*from = memcmp(&key.ends[0], &key.ends[1], sizeof(key.ends[0])) > 0;
	if (*from) {
		struct stream_key swapped = {.ends = {key.ends[1], key.ends[0]}};

		return swapped;
	}
	return key;
}

static void direction_end(struct direction *direction)
{
	free(direction->window);
	direction->window = NULL;
	direction->ended = true;
}

static void direction_start(struct direction *direction, uint32_t sequence)
{
	direction_end(direction);
	*direction = (struct direction){.started = true, .start = sequence};
}

static void stream_drop(struct decoder *decoder, struct decode_stream *stream)
{
	direction_end(&stream->directions[0]);
	direction_end(&stream->directions[1]);
	HASH_DEL(decoder->streams, stream);
	free(stream);
}

static struct decode_stream *stream_add(struct decoder *decoder, const struct stream_key *key)
{
	struct decode_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->key = *key;
	HASH_ADD(hh, decoder->streams, key, sizeof(stream->key), stream);
	return stream;
}

static void show_option(struct decoder *decoder, const struct packet *packet, int offset,
			const struct segment *segment)
{
	const uint8_t *option = packet->header + 20 + offset;
	struct record record = record_begin(packet, "TCP", "SMC option");
	uint8_t again[TCP_OPTION_LENGTH];

	record_text(&record, "segment", segment->flags & FLAG_ACK ? "SYN-ACK" : "SYN");
	decode_compare(decoder, &record, option, option[1], again,
		       tcp_option_encode(again, sizeof(again)));
	record_end(&record, decoder->json);
}

static struct segment segment_read(struct decoder *decoder, const struct packet *packet)
{
	struct bytes_reader reader = bytes_reader(packet->header, packet->header_size);
	struct segment segment = {0};
	int offset;

	bytes_take(&reader, 4);
	segment.sequence = bytes_get_u32(&reader);
	bytes_take(&reader, 5);
	segment.flags = bytes_get_u8(&reader);
	if (!(segment.flags & FLAG_SYN))
		return segment;
	segment.sequence++;
	offset = tcp_option_find(packet->header + 20, packet->header_size - 20, NULL);
	segment.option = offset >= 0;
	if (segment.option)
		show_option(decoder, packet, offset, &segment);
	return segment;
}

static bool is_eyecatcher(const uint8_t *bytes, size_t size)
{
	struct bytes_reader reader = bytes_reader(bytes, size);
	uint32_t number = bytes_get_u32(&reader);

	return number == CLC_EYECATCHER_R || number == CLC_EYECATCHER_D;
}

/* A SYN begins a connection, whatever there was between these ends. */
static struct decode_stream *stream_synchronise(struct decoder *decoder,
						struct decode_stream *stream,
						const struct stream_key *key,
						const struct segment *segment)
{
	bool first = !(segment->flags & FLAG_ACK);

	if (stream && first) {
		struct direction *direction = &stream->directions[segment->from];

		if (direction->started && direction->start == segment->sequence)
			return stream; /* sent again */
		stream_drop(decoder, stream);
		stream = NULL;
	}
	if (!stream && segment->option)
		stream = stream_add(decoder, key);
	if (!stream)
		return NULL;
	stream->agreed |= !first && segment->option;
	if (!stream->directions[segment->from].started)
		direction_start(&stream->directions[segment->from], segment->sequence);
	return stream;
}

/* After the connection's end nothing that is missing will come. */
static void stream_finish(struct decode_stream *stream, const struct segment *segment)
{
	if (segment->flags & FLAG_FIN)
		stream->finished |= 1U << segment->from;
	if (!(segment->flags & FLAG_RST) && stream->finished != 3)
		return;
	direction_end(&stream->directions[0]);
	direction_end(&stream->directions[1]);
}

/* Put the segment's bytes where they belong; what has come before stays. */
static void window_fill(struct direction *direction, const struct packet *packet,
			const struct segment *segment)
{
	uint32_t offset = segment->sequence - direction->start;

	for (size_t i = 0; i < packet->size; i++, offset++) {
		if (offset >= WINDOW || direction->window->there[offset])
			continue;
		direction->window->bytes[offset] = packet->content[i];
		direction->window->there[offset] = true;
	}
}

/* How many bytes follow those that were taken, without a gap. */
static size_t window_ready(const struct direction *direction)
{
	size_t end = direction->taken;

	while (end < WINDOW && direction->window->there[end])
		end++;
	return end - direction->taken;
}

/* These are no CLC message; is that wrong? */
static void stream_plain(struct decoder *decoder, struct decode_stream *stream,
			 struct direction *direction, const struct packet *packet, size_t ready)
{
	if (stream->agreed && !stream->declined && !direction->taken)
		decode_malformed(decoder, packet, "CLC", "eyecatcher", direction->window->bytes,
				 ready);
	direction_end(direction);
}

/* Decode the next message of a direction, if it is there; whether there may be another. */
static bool stream_take(struct decoder *decoder, struct decode_stream *stream,
			struct direction *direction, const struct packet *packet)
{
	const uint8_t *bytes = direction->window->bytes + direction->taken;
	size_t ready = window_ready(direction), needed;
	struct clc_message message;
	const char *field = NULL;
	int length;

	if (ready < EYECATCHER_LENGTH)
		return false;
	if (!is_eyecatcher(bytes, ready)) {
		stream_plain(decoder, stream, direction, packet, ready);
		return false;
	}
	if (ready < CLC_HEADER_LENGTH)
		return false;
	length = clc_header_decode(&message, bytes, &field);
	if (length < 0) {
		decode_malformed(decoder, packet, "CLC", field, bytes, ready);
		direction_end(direction);
		return false;
	}
	needed = (size_t)length < CLC_LENGTH_MAX ? (size_t)length : CLC_LENGTH_MAX;
	if (ready < needed)
		return false;
	decode_clc(decoder, packet, bytes, needed);
	direction->taken += (size_t)length;
	stream->declined |= message.type == CLC_DECLINE;
	if (message.type == CLC_DECLINE || direction->taken >= WINDOW)
		direction_end(direction);
	return !direction->ended;
}

static void stream_data(struct decoder *decoder, struct decode_stream *stream,
			const struct packet *packet, const struct segment *segment)
{
	struct direction *direction = &stream->directions[segment->from];

	if (!direction->started && is_eyecatcher(packet->content, packet->size))
		direction_start(direction, segment->sequence);
	if (!direction->started || direction->ended)
		return;
	if (!direction->window)
		direction->window = calloc(1, sizeof(*direction->window));
	if (!direction->window)
		return;
	window_fill(direction, packet, segment);
	while (!decoder->differs && stream_take(decoder, stream, direction, packet))
		;
}

void decode_segment(struct decoder *decoder, const struct packet *packet)
{
	struct segment segment = segment_read(decoder, packet);
	struct stream_key key = key_of(packet, &segment.from);
	struct decode_stream *stream;

	HASH_FIND(hh, decoder->streams, &key, sizeof(key), stream);
	if (segment.flags & FLAG_SYN)
		stream = stream_synchronise(decoder, stream, &key, &segment);
	if (decoder->differs)
		return;
	if (!stream && is_eyecatcher(packet->content, packet->size))
		stream = stream_add(decoder, &key);
	if (!stream)
		return;
	if (packet->size)
		stream_data(decoder, stream, packet, &segment);
	stream_finish(stream, &segment);
}

void decode_segments_end(struct decoder *decoder)
{
	struct decode_stream *stream, *next;

	HASH_ITER(hh, decoder->streams, stream, next)
	{
		stream_drop(decoder, stream);
	}
}
