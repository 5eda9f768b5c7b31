/* SPDX-License-Identifier: MIT */
/*
 * Cursors: from positions to offsets and wrap counts, and back
 */
#include "proto/cursor.h"

#include "unit.h"

#define SIZE 16384U

static void a_full_element_is_one_wrap_at_offset_zero(void **state)
{
	struct cdc_cursor cursor = cursor_at(65536, 65536);

	(void)state;
	assert_int_equal(cursor.wrap, 1);
	assert_int_equal(cursor.offset, 0);
	/* The wrap count alone tells full from empty. */
	assert_int_equal(cursor_advance(0, &cursor, 65536, 65536), 65536);
	cursor = cursor_at(0, 65536);
	assert_int_equal(cursor_advance(0, &cursor, 65536, 65536), 0);
}

static void what_is_said_is_understood_at_every_wrap(void **state)
{
	(void)state;
	for (uint64_t wrap = 0; wrap < 200000; wrap += 4095) {
		uint64_t last = wrap * SIZE + wrap % SIZE;

		for (uint64_t step = 0; step <= SIZE; step += 1023) {
			struct cdc_cursor cursor = cursor_at(last + step, SIZE);

			assert_int_equal(cursor_advance(last, &cursor, SIZE, SIZE), step);
		}
	}
}

static void the_wrap_count_rolls_over(void **state)
{
	uint64_t last = 65535ULL * SIZE + 100;
	struct cdc_cursor cursor = cursor_at(last + SIZE - 100, SIZE);

	(void)state;
	assert_int_equal(cursor.wrap, 0);
	assert_int_equal(cursor.offset, 0);
	assert_int_equal(cursor_advance(last, &cursor, SIZE, SIZE), SIZE - 100);
}

static void a_cursor_behind_is_old(void **state)
{
	struct cdc_cursor cursor = cursor_at(3 * SIZE, SIZE);

	(void)state;
	assert_int_equal(cursor_advance(3 * SIZE + 1, &cursor, SIZE, SIZE), -ESTALE);
	cursor = cursor_at(65535ULL * SIZE + 5, SIZE);
	assert_int_equal(cursor_advance(65536ULL * SIZE, &cursor, SIZE, SIZE), -ESTALE);
}

static void a_cursor_too_far_ahead_is_refused(void **state)
{
	struct cdc_cursor cursor = cursor_at(101, SIZE);

	(void)state;
	assert_int_equal(cursor_advance(0, &cursor, SIZE, 101), 101);
	assert_int_equal(cursor_advance(0, &cursor, SIZE, 100), -EPROTO);
	cursor = cursor_at(SIZE + 1, SIZE);
	assert_int_equal(cursor_advance(0, &cursor, SIZE, SIZE), -EPROTO);
}

static void an_offset_outside_the_element_is_refused(void **state)
{
	struct cdc_cursor cursor = {.offset = SIZE};

	(void)state;
	assert_int_equal(cursor_advance(0, &cursor, SIZE, SIZE), -EPROTO);
	cursor.offset = UINT32_MAX;
	assert_int_equal(cursor_advance(0, &cursor, SIZE, SIZE), -EPROTO);
	cursor = (struct cdc_cursor){.wrap = 0xffff, .offset = SIZE};
	assert_int_equal(cursor_advance(SIZE, &cursor, SIZE, SIZE), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_element_is_one_wrap_at_offset_zero),
		cmocka_unit_test(what_is_said_is_understood_at_every_wrap),
		cmocka_unit_test(the_wrap_count_rolls_over),
		cmocka_unit_test(a_cursor_behind_is_old),
		cmocka_unit_test(a_cursor_too_far_ahead_is_refused),
		cmocka_unit_test(an_offset_outside_the_element_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
