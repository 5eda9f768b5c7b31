/* SPDX-License-Identifier: MIT */
/*
 * The ring between ends that keep the rules: nothing is lost, doubled or reordered, wherever a lap
 * begins and whoever is killed
 */
#include "ring/ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "channel.h"
#include "ring/lock.h"

static const uint32_t sizes[] = {RING_BYTES_MIN, 1024 * 1024};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void a_fresh_ring_is_empty(void **state)
{
	struct channel c;
	uint8_t *span, byte;

	(void)state;
	channel_open(&c, RING_BYTES_MIN);
	assert_int_equal(ring_front(&c.reader, &span), 0);
	assert_int_equal(peek_at(&c.reader, 0, &byte, 1), 0);
	assert_int_equal(ring_available(&c.reader), 0);
	assert_int_equal(ring_unread(&c.writer), 0);
	assert_int_equal(ring_room(&c.writer), RING_BYTES_MIN);
	assert_true(ring_writable(&c.writer));
	assert_int_equal(ring_reserve(&c.writer, &span), RING_BYTES_MIN);
	assert_ptr_equal(span, c.writer.near);
	channel_close(&c);
}

/* Where the reader keeps up, few pages are ever touched. */
static void an_empty_ring_goes_back_to_its_start(void **state)
{
	const size_t reach = RING_REACH_LEAST;
	struct channel c;
	uint8_t *span;

	(void)state;
	ring_share(UINT32_MAX);
	channel_open(&c, 1024 * 1024);
	assert_int_equal(pattern_write(&c.writer, reach - 1), reach - 1);
	assert_int_equal(pattern_read(&c.reader, SIZE_MAX), reach - 1);
	assert_true(ring_reserve(&c.writer, &span) > 0);
	assert_ptr_equal(span, c.writer.near + reach - 1);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(pattern_write(&c.writer, reach), reach);
		assert_int_equal(pattern_read(&c.reader, SIZE_MAX), reach);
		ring_end_run(&c.writer);
		assert_true(ring_reserve(&c.writer, &span) > 0);
		assert_ptr_equal(span, c.writer.near);
	}
	assert_true(c.own[0].high_water < 3 * reach);
	assert_null(c.writer.far);
	channel_close(&c);
}

/* How much of the ring many messages of 16 KiB touch when each is read, and perhaps answered, at once. */
static uint32_t walk(bool answered)
{
	const size_t message = 16384;
	struct channel c;
	uint32_t touched;

	channel_open(&c, RING_BYTES_DEFAULT);
	for (size_t done = 0; done < 3 * RING_BYTES_DEFAULT; done += message) {
		assert_int_equal(pattern_write(&c.writer, message), message);
		assert_int_equal(pattern_read(&c.reader, SIZE_MAX), message);
		if (answered)
			ring_end_run(&c.writer);
	}
	touched = c.own[0].high_water;
	channel_close(&c);
	return touched;
}

/* The more rings, the fewer pages each; a stream takes its part whatever the others have. */
static void rings_share_what_they_walk_through(void **state)
{
	(void)state;
	ring_share(2);
	assert_int_equal(walk(true), RING_CACHE_BYTES / 2);
	ring_share(16);
	assert_int_equal(walk(true), RING_CACHE_BYTES / 16);
	ring_share(10000);
	assert_int_equal(walk(true), RING_REACH_LEAST);
	assert_int_equal(walk(false), RING_CACHE_BYTES / 2);
	ring_share(UINT32_MAX);
}

static void run_on(size_t processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* Both ends on one processor: few lines, which its caches hold, whether or not it is a stream. */
static void a_reader_on_this_processor_is_near(void **state)
{
	const int here = sched_getcpu();
	const uint32_t elsewhere[] = {(uint32_t)here + 2, INT32_MAX, 1U << 31, UINT32_MAX};
	struct channel c;
	cpu_set_t before;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	run_on((size_t)here);
	channel_open(&c, RING_BYTES_DEFAULT);
	ring_find_reader(&c.writer);
	assert_int_equal(ring_reader_at(&c.writer), WAIT_PEER_ANYWHERE);
	ring_sign(&c.reader);
	ring_find_reader(&c.writer);
	assert_int_equal(ring_reader_at(&c.writer), WAIT_PEER_HERE);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(pattern_write(&c.writer, RING_REACH_HERE), RING_REACH_HERE);
		assert_int_equal(pattern_read(&c.reader, SIZE_MAX), RING_REACH_HERE);
	}
	assert_int_equal(c.own[0].high_water, RING_REACH_HERE);
	/* A peer may say anything. */
	for (unsigned int i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		atomic_store(&c.reader.shared->reader.processor, elsewhere[i]);
		ring_find_reader(&c.writer);
		assert_int_not_equal(ring_reader_at(&c.writer), WAIT_PEER_HERE);
	}
	channel_close(&c);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void one_unread_byte_keeps_an_unfull_lap_going(void **state)
{
	struct channel c;
	uint8_t *span;

	(void)state;
	channel_open(&c, RING_BYTES_MIN);
	assert_int_equal(pattern_write(&c.writer, 10000), 10000);
	assert_int_equal(pattern_read(&c.reader, 9999), 9999);
	assert_true(ring_reserve(&c.writer, &span) > 0);
	assert_ptr_equal(span, c.writer.near + 10000);
	channel_close(&c);
}

static void a_full_ring_takes_nothing_until_something_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		struct channel c;
		uint64_t start;
		uint8_t *span;

		channel_open(&c, sizes[i]);
		/* Once with the lap at its start, once where the end of the ring is inside. */
		for (uint32_t skew = 0; skew <= 1000; skew += 1000) {
			assert_int_equal(pattern_write(&c.writer, skew), skew);
			assert_int_equal(pattern_read(&c.reader, skew), skew);
			start = c.own[0].position - c.own[0].lap;
			assert_int_equal(pattern_write(&c.writer, SIZE_MAX), c.bytes);
			assert_int_equal(ring_room(&c.writer), 0);
			assert_false(ring_writable(&c.writer));
			assert_int_equal(ring_unread(&c.writer), c.bytes);
			assert_int_equal(ring_available(&c.reader), c.bytes);
			assert_int_equal(ring_reserve(&c.writer, &span), 0);
			assert_int_equal(pattern_read(&c.reader, 777), 777);
			assert_int_equal(ring_reserve(&c.writer, &span), 777);
			assert_ptr_equal(span, c.writer.near + start);
			assert_int_equal(pattern_write(&c.writer, SIZE_MAX), 777);
			assert_int_equal(ring_reserve(&c.writer, &span), 0);
			assert_int_equal(pattern_read(&c.reader, c.bytes / 3), c.bytes / 3);
			assert_true(ring_writable(&c.writer));
			assert_int_equal(pattern_read(&c.reader, SIZE_MAX), c.bytes - c.bytes / 3);
			assert_int_equal(ring_front(&c.reader, &span), 0);
		}
		channel_close(&c);
	}
}

static void the_last_byte_of_the_ring_is_used(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		struct channel c;
		uint8_t *span;

		channel_open(&c, sizes[i]);
		assert_int_equal(pattern_write(&c.writer, c.bytes - 1), c.bytes - 1);
		assert_int_equal(pattern_read(&c.reader, 1), 1);
		assert_int_equal(ring_reserve(&c.writer, &span), 1);
		assert_int_equal(pattern_write(&c.writer, SIZE_MAX), 2);
		assert_int_equal(pattern_read(&c.reader, SIZE_MAX), c.bytes);
		channel_close(&c);
	}
}

static void peeking_reaches_across_a_lap(void **state)
{
	struct channel c;
	uint8_t *out = malloc(RING_BYTES_MIN + 1);

	(void)state;
	assert_non_null(out);
	channel_open(&c, RING_BYTES_MIN);
	/* 5000 unread bytes at the end of the ring, 3000 of the next lap at its start. */
	assert_int_equal(pattern_write(&c.writer, RING_BYTES_MIN), RING_BYTES_MIN);
	assert_int_equal(pattern_read(&c.reader, RING_BYTES_MIN - 5000), RING_BYTES_MIN - 5000);
	assert_int_equal(pattern_write(&c.writer, 3000), 3000);
	for (size_t skip = 0; skip <= 8001;
	     skip += skip % 5000 == 4999 || skip % 5000 == 0 ? 1 : 499) {
		for (size_t n = 0; n <= 9000; n += 1500) {
			size_t rest = skip < 8000 ? 8000 - skip : 0;
			size_t expected = n < rest ? n : rest;

			assert_int_equal(peek_at(&c.reader, skip, out, n), expected);
			assert_true(pattern_matches(out, c.own[1].position + skip, expected));
		}
	}
	assert_int_equal(peek_at(&c.reader, SIZE_MAX, out, 1), 0);
	assert_int_equal(pattern_read(&c.reader, SIZE_MAX), 8000);
	channel_close(&c);
	free(out);
}

/* One random step; @model: [0] written, [1] read. */
static void random_step(struct channel *c, uint64_t *random, uint64_t model[2], uint8_t *out)
{
	size_t unread = (size_t)(model[0] - model[1]);
	size_t n = random_size(random, c->bytes), skip, expected;
	uint8_t *span;
	ssize_t got;

	switch (random_next(random) % 8) {
	case 0: /* reserved, and nothing comes of it */
		got = ring_reserve(&c->writer, &span);
		check(got == 0 ? unread == c->bytes : span_is_inside(&c->writer, span, got));
		check((size_t)got <= c->bytes - unread);
		break;
	case 1:
	case 2:
	case 3:
		expected = n < c->bytes - unread ? n : c->bytes - unread;
		check(pattern_write(&c->writer, n) == (ssize_t)expected);
		model[0] += expected;
		break;
	case 4:
		skip = random_size(random, c->bytes) - 1;
		expected = skip < unread ? unread - skip : 0;
		expected = n < expected ? n : expected;
		check(peek_at(&c->reader, skip, out, n) == (ssize_t)expected);
		check(pattern_matches(out, model[1] + skip, expected));
		break;
	case 5: /* all of it: the ring is empty */
		n = SIZE_MAX;
		/* fall through */
	default:
		expected = n < unread ? n : unread;
		check(pattern_read(&c->reader, n) == (ssize_t)expected);
		model[1] += expected;
	}
	unread = (size_t)(model[0] - model[1]);
	check(c->own[0].position == model[0] && c->own[1].position == model[1]);
	check(ring_unread(&c->writer) == unread && ring_available(&c->reader) == unread);
	check(ring_room(&c->writer) == c->bytes - unread);
	check(ring_writable(&c->writer) == (c->bytes - unread >= c->bytes / 3));
}

static void random_operations_agree_with_a_model(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * SIZES; i++) {
		struct channel c;
		uint8_t *out;

		for (seed = 1; seed <= 6; seed++) {
			uint64_t random = seed, model[2] = {0, 0};

			channel_open(&c, sizes[i % SIZES]);
			if (i >= SIZES)
				channel_guard_far(&c);
			out = malloc(c.bytes);
			assert_non_null(out);
			for (int step = 0; step < 1000; step++)
				random_step(&c, &random, model, out);
			free(out);
			channel_close(&c);
		}
	}
}

/*
 * Stream @total bytes into or out of the ring in pieces of random size; 0, or the first error.
 */
static int stream(struct ring *ring, bool writes, uint64_t total, uint64_t random)
{
	while (ring->own->position < total) {
		uint64_t left = total - ring->own->position;
		size_t n = random_size(&random, RING_PIECE);
		ssize_t done = writes ? pattern_write(ring, n < left ? n : (size_t)left)
				      : pattern_read(ring, n);

		if (done < 0)
			return (int)done;
		if (done == 0)
			sched_yield();
	}
	return 0;
}

#define STREAMED (16U * 1024U * 1024U)

static void *stream_into(void *ring)
{
	return (void *)(intptr_t)stream(ring, true, STREAMED, 7);
}

static void two_threads_stream(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		struct channel c;
		pthread_t writer;
		void *error;

		channel_open(&c, sizes[i]);
		assert_int_equal(pthread_create(&writer, NULL, stream_into, &c.writer), 0);
		assert_int_equal(stream(&c.reader, false, STREAMED, 8), 0);
		assert_int_equal(pthread_join(writer, &error), 0);
		assert_null(error);
		channel_close(&c);
	}
}

static void two_processes_stream(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		struct channel c;
		int status;
		pid_t child;

		channel_open(&c, sizes[i]);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			_exit(stream(&c.writer, true, STREAMED, 9) ? 1 : 0);
		assert_int_equal(stream(&c.reader, false, STREAMED, 10), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		channel_close(&c);
	}
}

/* What a child does until it is killed: one direction, under its lock, in small steps. */
static void stream_for_ever(struct ring *ring, bool writes, uint64_t random)
{
	uint32_t tid = (uint32_t)syscall(SYS_gettid);

	for (;;) {
		size_t n = random_size(&random, 12000);
		ssize_t done;

		if (lock_take(&ring->own->lock, tid) < 0)
			_exit(2);
		done = writes ? pattern_write(ring, n) : pattern_read(ring, n);
		lock_drop(&ring->own->lock);
		if (done < 0)
			_exit(1);
		if (done == 0)
			sched_yield();
	}
}

static uint64_t now_in_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Children do one end, one after the other, each killed at some moment after its first step; we do the other. */
static void kill_again_and_again(bool kill_writer)
{
	const uint64_t patience = 5000000000;
	struct channel c;
	uint64_t random, passed = 0;

	seed = kill_writer ? 11 : 12;
	random = seed;
	channel_open(&c, RING_BYTES_MIN);
	for (int round = 0; round < 60; round++) {
		const struct side_direction *end = &c.own[kill_writer ? 0 : 1];
		const uint64_t before = end->position, forked = now_in_ns();
		uint64_t moment = random_next(&random) % 2000000, start = forked, now = forked;
		int status;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			stream_for_ever(kill_writer ? &c.writer : &c.reader, kill_writer,
					random + (uint64_t)round);
		while (now - start < moment || start == forked) {
			ssize_t n = kill_writer ? pattern_read(&c.reader, 20000)
						: pattern_write(&c.writer, 20000);

			check(n >= 0);
			passed += (uint64_t)n;
			now = now_in_ns();
			if (start == forked && (end->position != before || now - forked > patience))
				start = now;
		}
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		check(WIFSIGNALED(status));
	}
	/* What is left is a prefix of what was written; and the next holder goes on from there. */
	check(pattern_read(&c.reader, SIZE_MAX) >= 0);
	check(c.own[1].position <= c.own[0].position);
	check(pattern_write(&c.writer, 100000) == 100000);
	check(pattern_read(&c.reader, SIZE_MAX) >= 100000);
	check(c.own[1].position == c.own[0].position);
	check(passed > 0);
	channel_close(&c);
}

static void a_killed_writer_leaves_a_prefix(void **state)
{
	(void)state;
	kill_again_and_again(true);
}

static void a_killed_reader_loses_nothing(void **state)
{
	(void)state;
	kill_again_and_again(false);
}

/* The moments between two stores, which a kill seldom hits. */
static void each_half_done_step_is_consistent(void **state)
{
	struct channel c;
	struct segment_writer *shared;
	uint8_t *span;

	(void)state;
	channel_open(&c, RING_BYTES_MIN);
	shared = &c.control->direction[DIRECTION].writer;
	/* Counted, but neither lap nor cursor published: the next holder publishes it. */
	assert_true(ring_reserve(&c.writer, &span) > 0);
	pattern_fill(span, 0, 70000);
	c.own[0].position = 70000;
	assert_int_equal(ring_front(&c.reader, &span), 0);
	assert_int_equal(pattern_write(&c.writer, 1), 1);
	assert_int_equal(pattern_read(&c.reader, SIZE_MAX), 70001);
	/* A new lap half begun. */
	c.own[0].previous_lap = c.own[0].lap;
	assert_int_equal(pattern_write(&c.writer, 6000), 6000);
	assert_int_equal(c.own[0].lap, 70001);
	/* A new lap published before its first byte: begun at @produced, or a little later. */
	assert_int_equal(pattern_read(&c.reader, 1000), 1000);
	atomic_store(&shared->lap, 70001 + 6000);
	assert_int_equal(ring_front(&c.reader, &span), 5000);
	atomic_store(&shared->lap, 70001 + 7000);
	assert_int_equal(pattern_read(&c.reader, SIZE_MAX), 5000);
	channel_close(&c);
}

static uint64_t bytes_resident(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

static void trimming_gives_the_pages_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		struct channel c;

		channel_open(&c, sizes[i]);
		for (int round = 0; round < 3; round++) {
			assert_int_equal(pattern_write(&c.writer, SIZE_MAX), c.bytes);
			assert_int_equal(pattern_read(&c.reader, SIZE_MAX), c.bytes);
			assert_true(bytes_resident(c.segment) >= c.bytes);
			ring_trim(&c.writer, c.bytes + 1); /* not worth it */
			assert_true(bytes_resident(c.segment) >= c.bytes);
			ring_trim(&c.writer, c.bytes);
			assert_true(bytes_resident(c.segment) <= 2 * SEGMENT_PAGE);
			assert_int_equal(c.own[0].high_water, 0);
			ring_trim(&c.writer, 0); /* nothing left to do */
		}
		/* The ring is as good as before. */
		assert_int_equal(pattern_write(&c.writer, 12345), 12345);
		assert_int_equal(pattern_read(&c.reader, SIZE_MAX), 12345);
		channel_close(&c);
	}
}

static void a_ring_with_unread_bytes_is_not_trimmed(void **state)
{
	struct channel c;

	(void)state;
	channel_open(&c, 1024 * 1024);
	assert_int_equal(pattern_write(&c.writer, SIZE_MAX), c.bytes);
	assert_int_equal(pattern_read(&c.reader, c.bytes - 1), c.bytes - 1);
	ring_trim(&c.writer, 1);
	assert_true(bytes_resident(c.segment) >= c.bytes);
	assert_int_equal(pattern_read(&c.reader, SIZE_MAX), 1);
	/* Nor one whose reader claims more than was written. */
	atomic_store(&c.control->direction[DIRECTION].reader.consumed, UINT64_MAX);
	ring_trim(&c.writer, 1);
	assert_true(bytes_resident(c.segment) >= c.bytes);
	channel_close(&c);
}

/* The far part may have been filled by another process, or before it was unmapped here. */
static void trimming_reaches_a_far_part_that_is_not_mapped(void **state)
{
	struct channel c;

	(void)state;
	channel_open(&c, 1024 * 1024);
	assert_int_equal(pattern_write(&c.writer, SIZE_MAX), c.bytes);
	assert_int_equal(pattern_read(&c.reader, SIZE_MAX), c.bytes);
	ring_unmap(&c.writer);
	assert_null(c.writer.far);
	ring_trim(&c.writer, 1);
	assert_true(bytes_resident(c.segment) <= 2 * SEGMENT_PAGE);
	channel_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_ring_is_empty),
		cmocka_unit_test(an_empty_ring_goes_back_to_its_start),
		cmocka_unit_test(rings_share_what_they_walk_through),
		cmocka_unit_test(a_reader_on_this_processor_is_near),
		cmocka_unit_test(one_unread_byte_keeps_an_unfull_lap_going),
		cmocka_unit_test(a_full_ring_takes_nothing_until_something_is_read),
		cmocka_unit_test(the_last_byte_of_the_ring_is_used),
		cmocka_unit_test(peeking_reaches_across_a_lap),
		cmocka_unit_test(random_operations_agree_with_a_model),
		cmocka_unit_test(two_threads_stream),
		cmocka_unit_test(two_processes_stream),
		cmocka_unit_test(a_killed_writer_leaves_a_prefix),
		cmocka_unit_test(a_killed_reader_loses_nothing),
		cmocka_unit_test(each_half_done_step_is_consistent),
		cmocka_unit_test(trimming_gives_the_pages_back),
		cmocka_unit_test(a_ring_with_unread_bytes_is_not_trimmed),
		cmocka_unit_test(trimming_reaches_a_far_part_that_is_not_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
