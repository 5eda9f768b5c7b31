/* SPDX-License-Identifier: MIT */
/*
 * The segment's size cannot change under those who map it, and its parts do not overlap
 */
#include "ring/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static void only_powers_of_two_within_limits_are_sizes(void **state)
{
	const uint32_t bad[] = {0,
				1,
				SEGMENT_PAGE,
				RING_BYTES_MIN - 1,
				RING_BYTES_MIN + 1,
				RING_BYTES_MIN / 2,
				3 * RING_BYTES_MIN,
				RING_BYTES_MAX - 1,
				RING_BYTES_MAX + 1,
				RING_BYTES_MAX * 2,
				1U << 31,
				UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(segment_bytes_valid(bad[i]));
		assert_int_equal(segment_create(bad[i]), -EINVAL);
	}
	assert_false(segment_bytes_valid(1ULL << 32));
	assert_false(segment_bytes_valid((1ULL << 32) + RING_BYTES_MIN));
	assert_false(segment_bytes_valid(UINT64_MAX));
	assert_true(segment_bytes_valid(RING_BYTES_DEFAULT));
}

static void the_size_is_sealed(void **state)
{
	(void)state;
	for (uint32_t bytes = RING_BYTES_MIN; bytes <= RING_BYTES_MAX; bytes *= 2) {
		off_t size = (off_t)segment_size(bytes);
		struct stat status;
		int fd = segment_create(bytes);

		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &status), 0);
		assert_int_equal(status.st_size, size);
		assert_int_equal(status.st_blocks,
				 0); /* virtually as large, but nothing is touched */
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		assert_int_equal(ftruncate(fd, size - 1), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(ftruncate(fd, 0), -1);
		assert_int_equal(ftruncate(fd, size + 1), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(fallocate(fd, 0, size, SEGMENT_PAGE), -1);
		assert_int_equal(pwrite(fd, "x", 1, size), -1);
		/* Nobody may keep the other from writing, either. */
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
		assert_int_equal(fstat(fd, &status), 0);
		assert_int_equal(status.st_size, size);
		close(fd);
	}
}

static void the_parts_follow_each_other_without_overlap(void **state)
{
	(void)state;
	for (uint32_t bytes = RING_BYTES_MIN; bytes <= RING_BYTES_MAX; bytes *= 2) {
		const uint64_t far = bytes - SEGMENT_NEAR;
		const uint64_t parts[][2] = {
			{0, SEGMENT_PAGE},
			{segment_near_offset(0), SEGMENT_NEAR},
			{segment_near_offset(1), SEGMENT_NEAR},
			{segment_far_offset(0, bytes), far},
			{segment_far_offset(1, bytes), far},
		};
		uint64_t end = 0;

		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
			assert_int_equal(parts[i][0], end);
			assert_int_equal(parts[i][0] % SEGMENT_PAGE, 0);
			end += parts[i][1];
		}
		assert_int_equal(end, segment_size(bytes));
	}
}

/* Two processors that write at the same time must not share a cache line. */
static void writer_and_reader_have_lines_of_their_own(void **state)
{
	(void)state;
	assert_true(sizeof(struct segment_writer) <= 64);
	assert_true(sizeof(struct segment_reader) <= 64);
	assert_int_equal(offsetof(struct segment_direction, writer) % 64, 0);
	assert_int_equal(offsetof(struct segment_direction, reader) % 64, 0);
	assert_int_equal(offsetof(struct segment_control, direction[1]) % 64, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_powers_of_two_within_limits_are_sizes),
		cmocka_unit_test(the_size_is_sealed),
		cmocka_unit_test(the_parts_follow_each_other_without_overlap),
		cmocka_unit_test(writer_and_reader_have_lines_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
