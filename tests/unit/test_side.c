/* SPDX-License-Identifier: MIT */
/*
 * The side segment: records are reused, and what is gone is in the totals
 */
#include "shim/side.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/fd_table.h"
#include "shim/libc.h"
#include "unit.h"

static int start(void **state)
{
	(void)state;
	libc_resolve();
	fd_table_init();
	return fd_table_size ? 0 : -1;
}

static bool record_is_new(const struct side_record *record)
{
	struct side_record expected;

	memset((void *)&expected, 0, sizeof(expected));
	expected.state = SIDE_CONNECTING;
	expected.holders = 1;
	expected.pid = getpid();
	return memcmp((const void *)record, (const void *)&expected, sizeof(expected)) == 0;
}

/* Runs first. */
static void the_first_record_makes_the_segment(void **state)
{
	struct side_record *record;
	struct side_header *header;
	struct stat status;

	(void)state;
	assert_null(side_header());
	assert_int_equal(side_descriptor(), -1);
	record = side_new();
	header = side_header();
	assert_non_null(record);
	assert_non_null(header);
	assert_int_equal(header->magic, SIDE_MAGIC);
	assert_int_equal(header->record_size, sizeof(*record));
	assert_int_equal(header->used, 1);
	assert_ptr_equal(record, (char *)header + SIDE_HEADER_SIZE);
	assert_true(record_is_new(record));

	assert_true(fd_is_hidden(side_descriptor()));
	assert_int_equal(fcntl(side_descriptor(), F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(side_descriptor(), F_GET_SEALS),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(fstat(side_descriptor(), &status), 0);
	assert_int_equal(status.st_size, SIDE_BYTES);
	assert_true(status.st_blocks * 512 <= 2 * 4096); /* few pages, however large it is */
	side_free(record);
	assert_int_equal(record->state, SIDE_FREE);
}

static void a_freed_record_comes_back_clean(void **state)
{
	struct side_record *first = side_new(), *second = side_new();
	uint32_t used = side_header()->used;

	(void)state;
	assert_ptr_not_equal(first, second);
	for (int i = 0; i < 100; i++) {
		struct side_record *again;

		memset((void *)first, 0xff, sizeof(*first));
		first->reason = 0;
		side_free(first);
		again = side_new();
		assert_ptr_equal(again, first);
		assert_true(record_is_new(again));
	}
	assert_int_equal(side_header()->used, used);
	side_free(first);
	side_free(second);
}

static void what_is_gone_is_in_the_totals(void **state)
{
	struct side_totals before, *totals = &side_header()->totals;
	struct side_record *record;

	(void)state;
	memcpy((void *)&before, (void *)totals, sizeof(before));
	record = side_new();
	record->send.tcp_bytes = 1;
	record->receive.tcp_bytes = 20;
	record->send.position = 300;
	record->receive.position = 1ULL << 40;
	record->send.calls = 50000;
	record->receive.calls = 600000;
	record->receive.moved = 1;
	record->reason = 3; /* it moved after all: no reason counts */
	record->sizes[0] = 7;
	record->sizes[SIDE_SIZES - 1] = UINT32_MAX;
	side_free(record);
	assert_int_equal(totals->connections - before.connections, 1);
	assert_int_equal(totals->moved - before.moved, 1);
	assert_int_equal(totals->bytes_tcp[0] - before.bytes_tcp[0], 1);
	assert_int_equal(totals->bytes_tcp[1] - before.bytes_tcp[1], 20);
	assert_int_equal(totals->bytes_shm[0] - before.bytes_shm[0], 300);
	assert_int_equal(totals->bytes_shm[1] - before.bytes_shm[1], 1ULL << 40);
	assert_int_equal(totals->calls[0] - before.calls[0], 50000);
	assert_int_equal(totals->calls[1] - before.calls[1], 600000);
	assert_int_equal(totals->sizes[0] - before.sizes[0], 7);
	assert_int_equal(totals->sizes[SIDE_SIZES - 1] - before.sizes[SIDE_SIZES - 1], UINT32_MAX);
	assert_memory_equal((const void *)totals->reasons, (const void *)before.reasons,
			    sizeof(before.reasons));

	for (uint32_t reason = 0; reason < 34; reason++) {
		uint64_t was = totals->reasons[reason & 31];

		record = side_new();
		record->reason = reason;
		side_free(record);
		assert_int_equal(totals->reasons[reason & 31], was + 1);
	}
	assert_int_equal(totals->connections - before.connections, 35);
	assert_int_equal(totals->moved - before.moved, 1);
}

static void there_are_as_many_as_promised(void **state)
{
	struct side_record *first =
		(struct side_record *)((char *)side_header() + SIDE_HEADER_SIZE);
	const uint32_t some[] = {0, 1, SIDE_RECORDS / 2, SIDE_RECORDS - 2, SIDE_RECORDS - 1};
	uint64_t gone = side_header()->totals.connections;

	(void)state;
	for (uint32_t i = 0; i < SIDE_RECORDS; i++) {
		struct side_record *record = side_new();

		assert_true(record >= first && record < first + SIDE_RECORDS);
		assert_int_equal(record->fd, 0); /* not handed out twice */
		record->fd = 1;
	}
	assert_int_equal(side_header()->used, SIDE_RECORDS);
	assert_null(side_new());
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		side_free(first + some[i]);
		assert_ptr_equal(side_new(), first + some[i]);
		assert_null(side_new());
	}
	for (uint32_t i = 0; i < SIDE_RECORDS; i++)
		side_free(first + i);
	assert_int_equal(side_header()->totals.connections - gone,
			 SIDE_RECORDS + sizeof(some) / sizeof(some[0]));
}

#define THREADS 4
#define ROUNDS 5000

static void *take_and_free(void *argument)
{
	const int32_t mark = (int32_t)(intptr_t)argument;

	for (int i = 0; i < ROUNDS; i++) {
		struct side_record *mine[3];

		for (int j = 0; j < 3; j++) {
			mine[j] = side_new();
			if (!mine[j] || mine[j]->fd)
				return argument;
			mine[j]->fd = mark;
			mine[j]->send.tcp_bytes = 1;
		}
		for (int j = 0; j < 3; j++) {
			if (mine[j]->fd != mark)
				return argument;
			side_free(mine[j]);
		}
	}
	return NULL;
}

static void threads_get_different_records(void **state)
{
	struct side_totals before, *totals = &side_header()->totals;
	pthread_t threads[THREADS];
	void *error;

	(void)state;
	memcpy((void *)&before, (void *)totals, sizeof(before));
	for (intptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_free, (void *)(i + 1)),
				 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &error), 0);
		assert_null(error);
	}
	assert_int_equal(totals->connections - before.connections, THREADS * ROUNDS * 3);
	assert_int_equal(totals->bytes_tcp[0] - before.bytes_tcp[0], THREADS * ROUNDS * 3);
}

/* What the shim does in a child, as far as it is about records; 0 when all is well. */
static int in_child(struct side_record *inherited, uint64_t gone)
{
	struct side_header *parents = side_header();
	struct side_record *record;

	libc_thread_id = 0;
	fd_table_owner = getpid();
	side_after_fork();
	if (side_header() || side_descriptor() != -1)
		return 1;
	inherited->send.tcp_bytes = 77; /* the parent sees it */
	record = side_new();
	if (!record || side_header() == parents || !record_is_new(record))
		return 2;
	if (record == inherited || side_header()->used != 1)
		return 3;
	if (side_of(inherited) < 0 || side_of(record) < 0 || side_of(inherited) == side_of(record))
		return 4;
	side_free(inherited); /* its last holder is here, it counts where it lies */
	side_free(record);
	if (side_header()->totals.connections != 1 || parents->totals.connections != gone + 1)
		return 5;
	return 0;
}

/* Who ends without closing may still be inside a call: its record is free only when it is gone. */
static void what_was_left_is_free_when_who_left_has_ended(void **state)
{
	struct side_record *record = side_new();
	struct side_header *header = side_header();
	const uint64_t gone = header->totals.connections;
	int ends[2], status;
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	record->holders++;
	record->send.tcp_bytes = 5;
	child = fork();
	if (child == 0) {
		libc_thread_id = 0;
		side_leave(record, true);
		_exit(read(ends[0], &byte, 1) != 1);
	}
	while (record->holders != 1)
		usleep(1000);
	side_leave(record, false);
	assert_int_equal(record->holders, 0);
	assert_int_equal(header->left, 1);
	header->left = header->used; /* so many are worth a look */
	assert_ptr_not_equal(side_new(), record); /* it looks, and finds that the child lives */
	assert_int_equal(record->state, SIDE_CONNECTING);
	assert_int_equal(header->totals.connections, gone);
	assert_int_equal(write(ends[1], "", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	header->left = header->used;
	assert_ptr_equal(side_new(), record);
	assert_true(record_is_new(record));
	assert_int_equal(header->totals.connections, gone + 1);
	assert_int_equal(header->left, 0);
	close(ends[0]);
	close(ends[1]);
}

static void a_child_has_a_segment_of_its_own(void **state)
{
	struct side_record *record = side_new();
	uint64_t gone = side_header()->totals.connections;
	int status;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(in_child(record, gone));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(record->send.tcp_bytes, 77);
	assert_int_equal(record->state, SIDE_FREE);
	assert_int_equal(side_header()->totals.connections, gone + 1);
}

/* Another process's segment, with a record at @index. */
static int foreign_segment(uint32_t index, uint64_t cookie, uint64_t pid_namespace)
{
	int fd = memfd_create("foreign", MFD_CLOEXEC);
	struct side_header *header;
	struct side_record *record;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)SIDE_BYTES), 0);
	header = mmap(NULL, SIDE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(header != MAP_FAILED);
	header->magic = SIDE_MAGIC;
	header->record_size = sizeof(struct side_record);
	header->used = index + 1;
	header->pid_namespace = pid_namespace;
	record = (struct side_record *)((char *)header + SIDE_HEADER_SIZE) + index;
	record->state = SIDE_SHM;
	record->cookie = cookie;
	munmap(header, SIDE_BYTES);
	return fd;
}

/* A program that is passed a connection finds its record, and knows a segment when it comes again. */
static void a_record_is_taken_up_by_its_number(void **state)
{
	const int fd = foreign_segment(3, 4711, side_header()->pid_namespace), again = dup(fd);
	struct side_record *found = side_take_up(fd, 3);

	(void)state;
	assert_non_null(found);
	assert_int_equal(found->cookie, 4711);
	assert_int_equal(side_index(found), 3);
	assert_int_equal(side_of(found), fd);
	assert_true(side_descriptor() != fd);
	assert_ptr_equal(side_take_up(again, 3), found);
	assert_int_equal(fcntl(again, F_GETFD), -1);
	assert_null(side_take_up(open("/dev/null", O_RDONLY), 0));
	side_free(found);
	assert_int_equal(found->state, SIDE_FREE);
}

/* Its locks would hold thread ids that mean others here. */
static void a_segment_of_another_pid_namespace_is_refused(void **state)
{
	(void)state;
	assert_null(side_take_up(foreign_segment(0, 1, side_header()->pid_namespace + 1), 0));
}

/* Segments that no connection lies in any more make place for others. */
static void segments_come_and_go(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		struct side_record *found =
			side_take_up(foreign_segment(0, i, side_header()->pid_namespace), 0);

		assert_non_null(found);
		assert_int_equal(found->cookie, i);
		side_free(found);
		side_drop(found);
	}
}

/* One that was started with connections goes on with the segment that they came from. */
static void a_segment_is_adopted(void **state)
{
	const int fd = foreign_segment(0, 4712, side_header()->pid_namespace);
	struct side_record *found;

	(void)state;
	side_after_fork(); /* as if this were another program: it has none of its own yet */
	found = side_take_up(fd, 0);
	assert_non_null(found);
	side_adopt(found);
	assert_int_equal(side_descriptor(), fd);
	assert_true(side_new() != found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_record_makes_the_segment),
		cmocka_unit_test(a_freed_record_comes_back_clean),
		cmocka_unit_test(what_is_gone_is_in_the_totals),
		cmocka_unit_test(there_are_as_many_as_promised),
		cmocka_unit_test(threads_get_different_records),
		cmocka_unit_test(what_was_left_is_free_when_who_left_has_ended),
		cmocka_unit_test(a_child_has_a_segment_of_its_own),
		cmocka_unit_test(a_record_is_taken_up_by_its_number),
		cmocka_unit_test(a_segment_of_another_pid_namespace_is_refused),
		cmocka_unit_test(segments_come_and_go),
		cmocka_unit_test(a_segment_is_adopted),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
