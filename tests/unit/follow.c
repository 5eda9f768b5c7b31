/* SPDX-License-Identifier: MIT */
/*
 * When the daemon goes to another processor, and to which
 */
#include "daemon/follow.h"

#include <sched.h>

#include "unit.h"

static void see(struct follow *follow, int processor, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++)
		follow_saw(follow, processor);
}

static void it_goes_where_its_apps_are_if_others_want_its_processor(void **state)
{
	const int here = sched_getcpu(), there = here + 1;
	struct follow follow = {0};

	(void)state;
	see(&follow, there, FOLLOW_TURNS);
	assert_int_equal(follow_decide(&follow, FOLLOW_TURNS), there);
	/* Anew, and nobody else ran here since. */
	see(&follow, there, FOLLOW_TURNS);
	assert_int_equal(follow_decide(&follow, FOLLOW_TURNS), -1);
	/* Others did, but its apps say nothing, or have something new by turns here and there. */
	see(&follow, -1, FOLLOW_TURNS);
	assert_int_equal(follow_decide(&follow, 2L * FOLLOW_TURNS), -1);
	see(&follow, there, FOLLOW_TURNS);
	see(&follow, -1, FOLLOW_TURNS);
	assert_int_equal(follow_decide(&follow, 3L * FOLLOW_TURNS), -1);
	assert_int_equal(follow_decide(&follow, 4L * FOLLOW_TURNS), -1);
}

/* It is an app that says where it ran, and it may say anything. */
static void it_goes_nowhere_where_it_may_not(void **state)
{
	static const int nowhere[] = {CPU_SETSIZE - 1, CPU_SETSIZE, INT32_MAX};
	cpu_set_t before, after;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (unsigned int i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		struct follow follow = {.switches = -2L * FOLLOW_TURNS};

		see(&follow, nowhere[i], FOLLOW_TURNS);
		for (unsigned int turn = 0; turn < FOLLOW_TURNS; turn++)
			follow_turn(&follow);
		assert_int_equal(follow.turns, 0);
		assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
		assert_true(CPU_EQUAL(&before, &after));
	}
}

/* It may run everywhere again, wherever it went. */
static void it_is_not_bound_to_where_it_went(void **state)
{
	cpu_set_t before, after;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int processor = 0; processor < CPU_SETSIZE; processor++) {
		struct follow follow = {.switches = -2L * FOLLOW_TURNS};

		if (!CPU_ISSET((size_t)processor, &before))
			continue;
		see(&follow, processor, FOLLOW_TURNS);
		for (unsigned int turn = 0; turn < FOLLOW_TURNS; turn++)
			follow_turn(&follow);
		assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
		assert_true(CPU_EQUAL(&before, &after));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_where_its_apps_are_if_others_want_its_processor),
		cmocka_unit_test(it_goes_nowhere_where_it_may_not),
		cmocka_unit_test(it_is_not_bound_to_where_it_went),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
