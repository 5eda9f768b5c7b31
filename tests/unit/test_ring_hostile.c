/* SPDX-License-Identifier: MIT */
/*
 * The ring against a peer that writes what it likes into the segment: -EPROTO or garbage, but never
 * a byte outside the mappings (which stand between guard pages)
 */
#include "ring/ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "channel.h"

static const uint32_t sizes[] = {RING_BYTES_MIN, 1024 * 1024};

/* A buffer of a ring's size that ends at a guard page, for what is peeked. */
static uint8_t *peeked;

static int peeked_make(void **state)
{
	uint8_t *room = mmap(NULL, sizes[1] + SEGMENT_PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	if (room == MAP_FAILED)
		return -1;
	peeked = room;
	return mprotect(room + sizes[1], SEGMENT_PAGE, PROT_NONE);
}

static void touch(volatile uint8_t *span, ssize_t n)
{
	span[0] = 1;
	span[n / 2] = 2;
	span[n - 1] = 3;
}

/* Everything that the writer does; returns what ring_reserve() said. */
static ssize_t write_steps(struct channel *c, uint64_t *random)
{
	uint8_t *span = NULL;
	ssize_t n = ring_reserve(&c->writer, &span);

	check(n >= 0 || n == -EPROTO);
	check(ring_unread(&c->writer) <= c->bytes && ring_room(&c->writer) <= c->bytes);
	(void)ring_writable(&c->writer);
	if (n <= 0)
		return n;
	check(span_is_inside(&c->writer, span, n));
	touch(span, n);
	ring_publish(&c->writer, random_size(random, (size_t)n));
	return n;
}

/* Everything that the reader does; returns what ring_front() said. */
static ssize_t read_steps(struct channel *c, uint64_t *random)
{
	const size_t skips[] = {0,	  1,	    c->bytes - 1,
				c->bytes, SIZE_MAX, random_size(random, c->bytes)};
	uint8_t *span = NULL;
	ssize_t n;

	for (size_t i = 0; i < sizeof(skips) / sizeof(skips[0]); i++) {
		size_t want = i < 5 ? 64 : random_size(random, c->bytes);

		n = peek_at(&c->reader, skips[i], peeked + sizes[1] - want, want);
		check(n == -EPROTO || (n >= 0 && (size_t)n <= want));
	}
	check(ring_available(&c->reader) <= c->bytes);
	n = ring_front(&c->reader, &span);
	check(n >= 0 || n == -EPROTO);
	if (n <= 0)
		return n;
	check(span_is_inside(&c->reader, span, n));
	touch(span, n);
	ring_release(&c->reader, random_size(random, (size_t)n));
	return n;
}

/* What a peer might set a cursor to, on the verge of what passes the checks. */
static size_t bad_values(const struct channel *c, uint64_t *to)
{
	const uint64_t bases[] = {0,
				  c->own[0].position,
				  c->own[1].position,
				  c->own[0].lap,
				  c->own[1].lap,
				  c->own[0].previous_lap,
				  c->own[0].seen,
				  c->own[1].seen};
	const uint64_t steps[] = {0,
				  1,
				  SEGMENT_PAGE,
				  SEGMENT_NEAR,
				  c->bytes - 1,
				  c->bytes,
				  c->bytes + 1,
				  2 * (uint64_t)c->bytes,
				  UINT32_MAX,
				  1ULL << 32,
				  INT64_MAX,
				  1ULL << 63};
	size_t n = 0;

	for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++) {
		for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
			to[n++] = bases[b] + steps[s];
			to[n++] = bases[b] - steps[s];
		}
	}
	return n;
}

#define BAD_VALUES_MAX (2 * 8 * 12)

/* Bring both ends honestly to some state. */
static void walk(struct channel *c, uint64_t *random)
{
	for (uint64_t steps = random_next(random) % 12; steps; steps--) {
		check(pattern_write(&c->writer, random_size(random, 2 * c->bytes)) >= 0);
		check(pattern_read(&c->reader, random_size(random, 2 * c->bytes)) >= 0);
	}
}

static void every_word_may_have_any_value(void **state)
{
	static uint64_t values[BAD_VALUES_MAX];

	(void)state;
	for (seed = 1; seed <= 8; seed++) {
		struct channel c;
		struct segment_direction *shared;
		struct side_direction before[2];
		uint64_t random = seed;
		size_t n;

		channel_open(&c, sizes[seed % 2]);
		channel_guard_far(&c);
		walk(&c, &random);
		shared = &c.control->direction[DIRECTION];
		memcpy((void *)before, (void *)c.own, sizeof(before));
		n = bad_values(&c, values);
		for (size_t i = 0; i < n; i++) {
			memcpy((void *)c.own, (void *)before, sizeof(before));
			atomic_store(&shared->reader.consumed, values[i]);
			/* Twice: the second call meets what the first has believed. */
			if (write_steps(&c, &random) > 0)
				(void)write_steps(&c, &random);
			for (size_t j = 0; j < n; j++) {
				c.own[1].position = before[1].position;
				c.own[1].lap = before[1].lap;
				c.own[1].seen = before[1].seen;
				atomic_store(&shared->writer.produced, values[i]);
				atomic_store(&shared->writer.lap, values[j]);
				if (read_steps(&c, &random) > 0)
					(void)read_steps(&c, &random);
			}
		}
		channel_close(&c);
	}
}

/* One store by the peer: a little off, a lap game, or anything. */
static void scribble(struct segment_direction *shared, uint32_t bytes, uint64_t *random)
{
	_Atomic uint64_t *words[] = {&shared->writer.produced, &shared->writer.lap,
				     &shared->reader.consumed};
	_Atomic uint64_t *word = words[random_next(random) % 3];
	_Atomic uint64_t *base = words[random_next(random) % 3];
	uint64_t value = atomic_load(base);

	switch (random_next(random) % 8) {
	case 0:
		value = random_next(random);
		break;
	case 1:
		value = 0 - random_next(random) % 3;
		break;
	case 2:
		value += bytes;
		break;
	case 3:
		value -= random_size(random, 2 * bytes);
		break;
	case 4:
		break;
	default:
		value += random_size(random, bytes);
	}
	atomic_store(word, value);
}

static void start_over(struct channel *c)
{
	struct segment_direction *shared = &c->control->direction[DIRECTION];

	memset((void *)c->own, 0, 2 * sizeof(*c->own));
	atomic_store(&shared->writer.produced, 0);
	atomic_store(&shared->writer.lap, 0);
	atomic_store(&shared->reader.consumed, 0);
}

static void a_walk_with_scribbles_stays_inside(void **state)
{
	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		struct channel c;
		uint64_t random = seed, believed = 0, refused = 0;

		channel_open(&c, sizes[seed % 2]);
		channel_guard_far(&c);
		for (int step = 0; step < 2000; step++) {
			ssize_t n;

			if (random_next(&random) % 4 == 0)
				scribble(&c.control->direction[DIRECTION], c.bytes, &random);
			n = random_next(&random) % 2 ? write_steps(&c, &random)
						     : read_steps(&c, &random);
			believed += n > 0;
			refused += n < 0;
			if (n < 0)
				start_over(&c);
		}
		check(believed && refused);
		channel_close(&c);
	}
}

#define PATIENCE 10.0 /* seconds */

struct scribbler {
	struct channel *channel;
	bool in_records; /* as a hostile process that holds our end, too */
	_Atomic bool stop;
};

/* One store by such a process. */
static void scribble_in_record(struct side_direction *own, uint32_t bytes, uint64_t *random)
{
	volatile uint64_t *words[] = {(volatile uint64_t *)&own->position, &own->lap,
				      &own->previous_lap, &own->seen};
	volatile uint64_t *word = words[random_next(random) % 4];

	switch (random_next(random) % 3) {
	case 0:
		*word += random_next(random) % 64 - 32;
		break;
	case 1:
		*word = *words[random_next(random) % 4] + random_next(random) % (2 * bytes) - bytes;
		break;
	default:
		*word = random_next(random);
	}
}

#define YIELD_EVERY 64U /* where both threads share a processor, they take turns */

static void *scribble_on(void *argument)
{
	struct scribbler *scribbler = argument;
	struct segment_direction *shared = &scribbler->channel->control->direction[DIRECTION];
	uint64_t random = 99;

	for (unsigned int n = 1; !atomic_load(&scribbler->stop); n++) {
		if (n % YIELD_EVERY == 0)
			sched_yield();
		scribble(shared, scribbler->channel->bytes, &random);
		if (scribbler->in_records)
			scribble_in_record(&scribbler->channel->own[random_next(&random) % 2],
					   scribbler->channel->bytes, &random);
	}
	return NULL;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The words change between any two instructions of ours. */
static void scribble_all_the_while(bool in_records)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct channel c;
		struct scribbler scribbler = {.channel = &c, .in_records = in_records};
		uint64_t random, believed = 0;
		double end = seconds() + 0.3;
		pthread_t thread;

		seed = 100 + i;
		random = seed;
		channel_open(&c, sizes[i / 2]);
		channel_guard_far(&c);
		assert_int_equal(pthread_create(&thread, NULL, scribble_on, &scribbler), 0);
		/* On a busy processor a time slice may pass without one that looks right. */
		for (unsigned int step = 0;
		     step % 64 || seconds() < end || (!believed && seconds() < end + PATIENCE); step++) {
			ssize_t n = i % 2 ? write_steps(&c, &random) : read_steps(&c, &random);

			believed += n > 0;
			if (n < 0)
				start_over(&c);
			if (step % YIELD_EVERY == 0)
				sched_yield();
		}
		atomic_store(&scribbler.stop, true);
		pthread_join(thread, NULL);
		check(believed > 0);
		channel_close(&c);
	}
}

static void scribbling_all_the_while_stays_inside(void **state)
{
	(void)state;
	scribble_all_the_while(false);
}

static void scribbling_in_our_records_stays_inside(void **state)
{
	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* it is a data race, on purpose */
#endif
	scribble_all_the_while(true);
}

static void cursors_that_go_backwards_are_refused(void **state)
{
	struct channel c;
	struct segment_direction *shared;
	uint8_t *span;

	(void)state;
	channel_open(&c, RING_BYTES_MIN);
	shared = &c.control->direction[DIRECTION];
	/* So far that the writer has to look where the reader is. */
	assert_int_equal(pattern_write(&c.writer, 73000), 73000);
	assert_int_equal(pattern_read(&c.reader, 72000), 72000);
	assert_true(ring_reserve(&c.writer, &span) > 0);
	atomic_store(&shared->reader.consumed, 71999);
	assert_int_equal(ring_reserve(&c.writer, &span), -EPROTO);
	atomic_store(&shared->reader.consumed, 73001);
	assert_int_equal(ring_reserve(&c.writer, &span), -EPROTO);
	atomic_store(&shared->writer.produced, 72999);
	assert_int_equal(ring_front(&c.reader, &span), -EPROTO);
	assert_int_equal(peek_at(&c.reader, 0, peeked, 1), -EPROTO);
	atomic_store(&shared->writer.produced, 72000 + RING_BYTES_MIN + 1);
	assert_int_equal(ring_front(&c.reader, &span), -EPROTO);
	/* A lap that began in what was read already. */
	atomic_store(&shared->writer.produced, 73000);
	atomic_store(&shared->writer.lap, 71999);
	assert_int_equal(ring_front(&c.reader, &span), -EPROTO);
	channel_close(&c);
}

/* A stray store of the program itself may spoil our own record: the ring does not follow it. */
static void a_spoilt_side_record_is_refused(void **state)
{
	struct channel c;
	uint8_t *span;

	(void)state;
	channel_open(&c, RING_BYTES_MIN);
	assert_int_equal(pattern_write(&c.writer, 3000), 3000);
	assert_int_equal(pattern_read(&c.reader, 1000), 1000);
	c.own[0].lap = 3001;
	assert_int_equal(ring_reserve(&c.writer, &span), -EPROTO);
	c.own[0].lap = 2000;
	c.own[0].previous_lap = 1000000;
	assert_int_equal(ring_reserve(&c.writer, &span), -EPROTO);
	c.own[1].lap = 1001;
	atomic_store(&c.control->direction[DIRECTION].writer.lap, 1001);
	assert_int_equal(ring_front(&c.reader, &span), -EPROTO);
	channel_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursors_that_go_backwards_are_refused),
		cmocka_unit_test(a_spoilt_side_record_is_refused),
		cmocka_unit_test(every_word_may_have_any_value),
		cmocka_unit_test(a_walk_with_scribbles_stays_inside),
		cmocka_unit_test(scribbling_all_the_while_stays_inside),
		cmocka_unit_test(scribbling_in_our_records_stays_inside),
	};

	return cmocka_run_group_tests(tests, peeked_make, NULL);
}
