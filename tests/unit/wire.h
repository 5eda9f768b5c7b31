/* SPDX-License-Identifier: MIT */
/*
 * What the tests of src/wire share: bytes written as hex, and numbers that come out the same each time
 */
#ifndef SMCU_TESTS_WIRE_H
#define SMCU_TESTS_WIRE_H

#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define WIRE_BYTES_MAX 9000U

/**
 * struct wire_bytes - a message, in a block of exactly its size
 * @bytes: from malloc(3), so that a sanitizer sees a step beyond it; wire_free() it
 * @size: bytes
 */
struct wire_bytes {
	uint8_t *bytes;
	size_t size;
};

static inline struct wire_bytes wire_blank(size_t size)
{
	struct wire_bytes blank = {calloc(1, size ? size : 1), size};

	assert_non_null(blank.bytes);
	return blank;
}

static inline struct wire_bytes wire_copy(const void *from, size_t size)
{
	struct wire_bytes copy = wire_blank(size);

	if (size)
		memcpy(copy.bytes, from, size);
	return copy;
}

static inline void wire_free(struct wire_bytes *bytes)
{
	free(bytes->bytes);
}

/* wire_hex - two digits a byte; what is no digit separates */
static inline struct wire_bytes wire_hex(const char *text)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[WIRE_BYTES_MAX];
	size_t nibbles = 0;

	for (; *text; text++) {
		const char *digit = strchr(digits, *text);

		if (!digit)
			continue;
		assert_true(nibbles < 2 * sizeof(bytes));
		bytes[nibbles / 2] =
			(uint8_t)((nibbles % 2 ? bytes[nibbles / 2] << 4 : 0) | (digit - digits));
		nibbles++;
	}
	assert_int_equal(nibbles % 2, 0);
	return wire_copy(bytes, nibbles / 2);
}

/* wire_other_sizes - @check for the start of @whole in every other size, up to @more zeros behind all of it */
static inline void wire_other_sizes(const char *whole, size_t more,
				    void (*check)(const struct wire_bytes *other))
{
	struct wire_bytes all = wire_hex(whole);

	for (size_t size = 0; size < all.size + more; size++) {
		struct wire_bytes other = wire_blank(size);

		memcpy(other.bytes, all.bytes, size < all.size ? size : all.size);
		if (size != all.size)
			check(&other);
		wire_free(&other);
	}
	wire_free(&all);
}

static inline uint64_t wire_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* wire_random_below - 0 to @limit - 1 */
static inline unsigned int wire_random_below(uint64_t *seed, unsigned int limit)
{
	return (unsigned int)(wire_random(seed) % limit);
}

static inline void wire_random_fill(uint64_t *seed, void *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = (uint8_t)wire_random(seed);
}

#endif
