/* SPDX-License-Identifier: MIT */
/*
 * One direction on a real segment, with both of its ends, for the tests of the ring
 *
 * Either end has mappings of its own between guard pages, so that a step outside is a SIGSEGV.  The
 * side records are in memory that children share.  What is written follows a pattern by stream
 * position, so that every byte read tells whether it is the right one.
 */
#ifndef SMCU_TESTS_CHANNEL_H
#define SMCU_TESTS_CHANNEL_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/ring.h"
#include "unit.h"

#define PATTERN_PERIOD 64507U /* no ring's size is a multiple */
#define DIRECTION 1U /* the one that stands at the higher offsets */

/* The seed of the run in progress: every failed check says it. */
static uint64_t seed;

#define check(expression)                                                                          \
	do {                                                                                       \
		if (!(expression)) {                                                               \
			print_error("seed %llu\n", (unsigned long long)seed);                      \
			assert_true(expression);                                                   \
		}                                                                                  \
	} while (0)

/* splitmix64 */
static inline uint64_t random_next(uint64_t *of)
{
	uint64_t z = *of += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* 1 to @most, small and large ones alike */
static inline size_t random_size(uint64_t *of, size_t most)
{
	size_t limit = most >> (random_next(of) % 12);

	return 1 + (size_t)(random_next(of) % (limit ? limit : 1));
}

/* Made once, before there are threads. */
static uint8_t pattern_table[PATTERN_PERIOD];

static inline void pattern_make(void)
{
	uint64_t state = 42;

	if (pattern_table[0] | pattern_table[1] | pattern_table[2])
		return;
	for (size_t i = 0; i < sizeof(pattern_table); i++)
		pattern_table[i] = (uint8_t)random_next(&state);
}

static inline void pattern_fill(uint8_t *to, uint64_t position, size_t n)
{
	while (n) {
		size_t at = (size_t)(position % PATTERN_PERIOD);
		size_t part = n < PATTERN_PERIOD - at ? n : PATTERN_PERIOD - at;

		memcpy(to, pattern_table + at, part);
		to += part;
		position += part;
		n -= part;
	}
}

static inline bool pattern_matches(const uint8_t *from, uint64_t position, size_t n)
{
	while (n) {
		size_t at = (size_t)(position % PATTERN_PERIOD);
		size_t part = n < PATTERN_PERIOD - at ? n : PATTERN_PERIOD - at;

		if (memcmp(from, pattern_table + at, part) != 0)
			return false;
		from += part;
		position += part;
		n -= part;
	}
	return true;
}

/**
 * struct channel - a segment, and the two ends of one direction
 * @own: side records: [0] the writer's, [1] the reader's
 */
struct channel {
	uint32_t bytes;
	int segment;
	struct segment_control *control;
	struct side_direction *own;
	struct ring writer;
	struct ring reader;
	bool far_guarded;
};

static inline uint8_t *map_guarded(int fd, uint64_t offset, size_t length)
{
	uint8_t *room = mmap(NULL, length + 2 * SEGMENT_PAGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(room, MAP_FAILED);
	assert_ptr_equal(mmap(room + SEGMENT_PAGE, length, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, (off_t)offset),
			 room + SEGMENT_PAGE);
	return room + SEGMENT_PAGE;
}

static inline void unmap_guarded(uint8_t *mapping, size_t length)
{
	munmap(mapping - SEGMENT_PAGE, length + 2 * SEGMENT_PAGE);
}

static inline void channel_end_open(struct channel *c, struct ring *ring, unsigned int own)
{
	ring->shared = &c->control->direction[DIRECTION];
	ring->own = &c->own[own];
	ring->near = map_guarded(c->segment, segment_near_offset(DIRECTION), SEGMENT_NEAR);
	ring->far = NULL;
	ring->bytes = c->bytes;
	ring->segment = c->segment;
	ring->far_offset = segment_far_offset(DIRECTION, c->bytes);
}

static inline void channel_open(struct channel *c, uint32_t bytes)
{
	memset(c, 0, sizeof(*c));
	c->bytes = bytes;
	c->segment = segment_create(bytes);
	assert_true(c->segment >= 0);
	c->control = mmap(NULL, SEGMENT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, c->segment, 0);
	assert_ptr_not_equal(c->control, MAP_FAILED);
	c->own =
		mmap(NULL, SEGMENT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(c->own, MAP_FAILED);
	channel_end_open(c, &c->writer, 0);
	channel_end_open(c, &c->reader, 1);
	pattern_make();
}

/* The far parts too stand between guard pages; else the ring maps them when it comes to them. */
static inline void channel_guard_far(struct channel *c)
{
	size_t length = c->bytes - SEGMENT_NEAR;

	if (!length)
		return;
	c->writer.far = map_guarded(c->segment, c->writer.far_offset, length);
	c->reader.far = map_guarded(c->segment, c->reader.far_offset, length);
	c->far_guarded = true;
}

static inline void channel_close(struct channel *c)
{
	if (c->far_guarded) {
		unmap_guarded(c->writer.far, c->bytes - SEGMENT_NEAR);
		unmap_guarded(c->reader.far, c->bytes - SEGMENT_NEAR);
		c->writer.far = c->reader.far = NULL;
	}
	ring_unmap(&c->writer);
	ring_unmap(&c->reader);
	unmap_guarded(c->writer.near, SEGMENT_NEAR);
	unmap_guarded(c->reader.near, SEGMENT_NEAR);
	munmap(c->control, SEGMENT_PAGE);
	munmap(c->own, SEGMENT_PAGE);
	close(c->segment);
}

/* Does a span that the ring handed out lie inside one of its mappings? */
static inline bool span_is_inside(const struct ring *ring, const uint8_t *span, ssize_t n)
{
	const uint8_t *start = ring->near;
	size_t length = SEGMENT_NEAR;

	if (n < 0 || (size_t)n > ring->bytes)
		return false;
	if (span < start || span >= start + length) {
		start = ring->far;
		length = ring->bytes - SEGMENT_NEAR;
	}
	return start && span >= start && (size_t)(span - start) < length &&
	       (size_t)n <= length - (size_t)(span - start);
}

/* Write up to @most bytes of the pattern; returns how many found room, or -errno. */
static inline ssize_t pattern_write(struct ring *ring, size_t most)
{
	size_t done = 0;

	while (done < most) {
		uint8_t *span;
		ssize_t n = ring_reserve(ring, &span);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		n = (size_t)n < most - done ? n : (ssize_t)(most - done);
		pattern_fill(span, ring->own->position, (size_t)n);
		ring_publish(ring, (size_t)n);
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Read up to @most bytes; returns how many there were, or -EBADMSG when one is wrong, or -errno. */
static inline ssize_t pattern_read(struct ring *ring, size_t most)
{
	size_t done = 0;

	while (done < most) {
		uint8_t *span;
		ssize_t n = ring_front(ring, &span);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		n = (size_t)n < most - done ? n : (ssize_t)(most - done);
		if (!pattern_matches(span, ring->own->position, (size_t)n))
			return -EBADMSG;
		ring_release(ring, (size_t)n);
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Copy up to @n readable bytes, @skip bytes after the front; returns how many, or -errno. */
static inline ssize_t peek_at(struct ring *ring, size_t skip, void *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		uint8_t *span;
		ssize_t part = ring_front_at(ring, skip + done, &span);

		if (part < 0)
			return part;
		if (part == 0)
			break;
		part = (size_t)part < n - done ? part : (ssize_t)(n - done);
		memcpy((uint8_t *)to + done, span, (size_t)part);
		done += (size_t)part;
	}
	return (ssize_t)done;
}

#endif
