/* SPDX-License-Identifier: MIT */
/*
 * The loop: timers fire in order, tasks keep it awake, a watch removed in a turn stays silent
 */
#include "daemon/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "unit.h"

static struct loop loop;
static int fired[8], fired_count;

static int open_loop(void **state)
{
	(void)state;
	fired_count = 0;
	return loop_open(&loop);
}

static int close_loop(void **state)
{
	(void)state;
	loop_close(&loop);
	return 0;
}

static void note(void *context)
{
	fired[fired_count++] = *(int *)context;
	if (fired_count == 3)
		loop_stop(&loop);
}

static void timers_fire_in_order(void **state)
{
	static int names[4] = {0, 1, 2, 3};
	struct loop_timer timers[4] = {{0}};
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		timers[i] = (struct loop_timer){.handler = note, .context = &names[i]};
	loop_timer_start(&loop, &timers[0], 20);
	loop_timer_start(&loop, &timers[1], 5);
	loop_timer_start(&loop, &timers[2], 20);
	loop_timer_start(&loop, &timers[3], 1);
	loop_timer_stop(&loop, &timers[3]);
	loop_timer_stop(&loop, &timers[3]);
	loop_timer_start(&loop, &timers[0], 30); /* again: later than the others */
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(fired[0], 1);
	assert_int_equal(fired[1], 2);
	assert_int_equal(fired[2], 0);
	assert_null(loop.timers);
	assert_null(loop.timers_last);
}

static int count_down(void *context)
{
	int *left = context;

	if (--*left == 0)
		loop_stop(&loop);
	return 0;
}

static void a_task_with_work_left_keeps_the_loop_awake(void **state)
{
	int left = 1000;

	(void)state;
	loop_task_add(&loop, count_down, &left);
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(left, 0);
	left = 3; /* it can go on after it was stopped */
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(left, 0);
}

static struct loop_watch watches[2];

/* Both are ready: whoever comes first removes the other. */
static void remove_both(void *context, uint32_t events)
{
	(void)context;
	assert_true(events & EPOLLIN);
	fired_count++;
	loop_watch_remove(&loop, &watches[0]);
	loop_watch_remove(&loop, &watches[1]);
	loop_stop(&loop);
}

static void a_watch_removed_in_a_turn_stays_silent(void **state)
{
	int ends[2], i;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	for (i = 0; i < 2; i++) {
		watches[i] = (struct loop_watch){dup(ends[0]), remove_both, NULL};
		assert_int_equal(loop_watch_add(&loop, &watches[i], EPOLLIN), 0);
	}
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(fired_count, 1);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
	static const struct CMUnitTest tests[] = {
		LOOP_TEST(timers_fire_in_order),
		LOOP_TEST(a_task_with_work_left_keeps_the_loop_awake),
		LOOP_TEST(a_watch_removed_in_a_turn_stays_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
