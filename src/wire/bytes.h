/* SPDX-License-Identifier: MIT */
/*
 * Checked cursors: big-endian numbers out of a buffer that a stranger filled, and into one's own
 *
 * Theory of operation
 *
 * A reader starts with a buffer and its length, a writer with a buffer and its room.  Each call
 * moves on by what it took or put.  A call that would go beyond the end touches nothing, yields
 * zeros, and marks the cursor; from then on every call does the same.  So a decoder reads a whole
 * message field by field, without a test after each, and asks once at the end whether it was there.
 *
 * Nothing is aligned: SMC's messages have numbers at odd offsets.
 */
#ifndef SMCU_WIRE_BYTES_H
#define SMCU_WIRE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * struct bytes_reader - where reading goes on
 * @at: the next byte
 * @left: bytes from there to the end; 0 once @beyond
 * @beyond: something was asked for that is not there
 */
struct bytes_reader {
	const uint8_t *at;
	size_t left;
	bool beyond;
};

/**
 * struct bytes_writer - where writing goes on
 * @at: the next byte
 * @left: room from there to the end; 0 once @beyond
 * @beyond: something did not fit
 */
struct bytes_writer {
	uint8_t *at;
	size_t left;
	bool beyond;
};

static inline struct bytes_reader bytes_reader(const void *from, size_t length)
{
	return (struct bytes_reader){.at = from, .left = length};
}

static inline struct bytes_writer bytes_writer(void *to, size_t room)
{
	return (struct bytes_writer){.at = to, .left = room};
}

/* bytes_take - the next @size bytes where they are, or NULL */
static inline const uint8_t *bytes_take(struct bytes_reader *reader, size_t size)
{
	const uint8_t *taken = reader->at;

	if (size > reader->left || reader->beyond) {
		reader->beyond = true;
		reader->left = 0;
		return NULL;
	}
	if (size)
		reader->at += size;
	reader->left -= size;
	return taken;
}

static inline uint64_t bytes_get_number(struct bytes_reader *reader, size_t size)
{
	const uint8_t *bytes = bytes_take(reader, size);
	uint64_t number = 0;

	for (size_t i = 0; bytes && i < size; i++)
		number = number << 8 | bytes[i];
	return number;
}

static inline uint8_t bytes_get_u8(struct bytes_reader *reader)
{
	return (uint8_t)bytes_get_number(reader, 1);
}

static inline uint16_t bytes_get_u16(struct bytes_reader *reader)
{
	return (uint16_t)bytes_get_number(reader, 2);
}

static inline uint32_t bytes_get_u24(struct bytes_reader *reader)
{
	return (uint32_t)bytes_get_number(reader, 3);
}

static inline uint32_t bytes_get_u32(struct bytes_reader *reader)
{
	return (uint32_t)bytes_get_number(reader, 4);
}

static inline uint64_t bytes_get_u64(struct bytes_reader *reader)
{
	return bytes_get_number(reader, 8);
}

/* bytes_get - copy the next @size bytes to @to; zeros if they are not there */
static inline void bytes_get(struct bytes_reader *reader, void *to, size_t size)
{
	const uint8_t *bytes = bytes_take(reader, size);

	if (bytes && size)
		memcpy(to, bytes, size);
	else
		memset(to, 0, size);
}

/* bytes_reserve - the next @size bytes, to be written by the caller, or NULL */
static inline uint8_t *bytes_reserve(struct bytes_writer *writer, size_t size)
{
	uint8_t *reserved = writer->at;

	if (size > writer->left || writer->beyond) {
		writer->beyond = true;
		writer->left = 0;
		return NULL;
	}
	if (size)
		writer->at += size;
	writer->left -= size;
	return reserved;
}

static inline void bytes_put_number(struct bytes_writer *writer, uint64_t number, size_t size)
{
	uint8_t *bytes = bytes_reserve(writer, size);

	for (size_t i = size; bytes && i > 0; i--, number >>= 8)
		bytes[i - 1] = (uint8_t)number;
}

static inline void bytes_put_u8(struct bytes_writer *writer, uint8_t number)
{
	bytes_put_number(writer, number, 1);
}

static inline void bytes_put_u16(struct bytes_writer *writer, uint16_t number)
{
	bytes_put_number(writer, number, 2);
}

/* bytes_put_u24 - the low 24 bits of @number */
static inline void bytes_put_u24(struct bytes_writer *writer, uint32_t number)
{
	bytes_put_number(writer, number, 3);
}

static inline void bytes_put_u32(struct bytes_writer *writer, uint32_t number)
{
	bytes_put_number(writer, number, 4);
}

static inline void bytes_put_u64(struct bytes_writer *writer, uint64_t number)
{
	bytes_put_number(writer, number, 8);
}

static inline void bytes_put(struct bytes_writer *writer, const void *from, size_t size)
{
	uint8_t *bytes = bytes_reserve(writer, size);

	if (bytes && size)
		memcpy(bytes, from, size);
}

#endif
