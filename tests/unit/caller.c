/* SPDX-License-Identifier: MIT */
/*
 * Calls that somebody blocks hold up nobody but him
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "daemon/caller.h"
#include "proto/list.h"

#define OWN 1000U
#define TURNS 3000U

/**
 * struct wait - a call that comes back when @gate is written to; -1: at once
 */
struct wait {
	struct call call;
	int gate;
	bool made_here;
	bool done;
};

static struct loop loop;
static struct caller caller;
static unsigned int turns_left;
static pthread_t here;

static int step(void *context)
{
	(void)context;
	if (turns_left-- == 0)
		loop_stop(&loop);
	return 1;
}

static void run(unsigned int turns)
{
	turns_left = turns;
	loop.stopping = false;
	assert_int_equal(loop_run(&loop), 0);
}

static void wait_run(struct call *call)
{
	struct wait *wait = list_owner(call, struct wait, call);
	char byte;

	wait->made_here = pthread_equal(pthread_self(), here);
	if (wait->gate >= 0)
		(void)!read(wait->gate, &byte, 1);
}

static void wait_done(struct call *call)
{
	list_owner(call, struct wait, call)->done = true;
}

static void submit(struct wait *wait, struct user *user, int gate)
{
	*wait = (struct wait){.call = {.run = wait_run, .done = wait_done, .user = user},
			      .gate = gate};
	caller_submit(&caller, &wait->call);
}

static void await(const struct wait *wait)
{
	for (unsigned int i = 0; i < TURNS && !wait->done; i++)
		run(1);
	assert_true(wait->done);
}

static void our_own_users_calls_are_made_at_once(void **state)
{
	struct user own = {.uid = OWN};
	struct wait wait;

	(void)state;
	submit(&wait, &own, -1);
	assert_true(wait.done);
	assert_true(wait.made_here);
}

static void a_strangers_calls_are_made_elsewhere_and_in_order(void **state)
{
	struct user stranger = {.uid = OWN + 1};
	struct wait waits[20];

	(void)state;
	for (int i = 0; i < 20; i++)
		submit(&waits[i], &stranger, -1);
	await(&waits[19]);
	for (int i = 0; i < 20; i++) {
		assert_true(waits[i].done);
		assert_false(waits[i].made_here);
	}
}

static void a_call_that_is_stuck_holds_up_no_other(void **state)
{
	struct user bad = {.uid = OWN + 1}, good = {.uid = OWN + 2};
	struct wait stuck, next, third;
	int gate[2];

	(void)state;
	assert_int_equal(pipe(gate), 0);
	submit(&stuck, &bad, gate[0]);
	submit(&next, &good, -1);
	await(&next);
	assert_int_equal(bad.stuck, 1);
	submit(&third, &bad, -1);
	await(&third);
	assert_false(stuck.done);
	assert_int_equal(write(gate[1], "", 1), 1);
	await(&stuck);
	assert_int_equal(bad.stuck, 0);
	close(gate[0]);
	close(gate[1]);
}

static void who_has_many_stuck_waits_for_them(void **state)
{
	struct user bad = {.uid = OWN + 1}, good = {.uid = OWN + 2};
	struct wait stuck[CALLER_STUCK_MAX + 3], others[10];
	int gate[2];

	(void)state;
	assert_int_equal(pipe(gate), 0);
	for (unsigned int i = 0; i < CALLER_STUCK_MAX + 3; i++)
		submit(&stuck[i], &bad, gate[0]);
	for (int i = 0; i < 10; i++) {
		submit(&others[i], &good, -1);
		await(&others[i]);
	}
	run(10 * CALLER_PATIENCE_MS);
	assert_int_equal(bad.stuck, CALLER_STUCK_MAX);
	for (unsigned int i = 0; i < CALLER_STUCK_MAX + 3; i++)
		assert_int_equal(write(gate[1], "", 1), 1);
	for (unsigned int i = 0; i < CALLER_STUCK_MAX + 3; i++)
		await(&stuck[i]);
	assert_int_equal(bad.stuck, 0);
	close(gate[0]);
	close(gate[1]);
}

static int open_caller(void **state)
{
	(void)state;
	here = pthread_self();
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(caller_open(&caller, &loop, OWN), 0);
	loop_task_add(&loop, step, NULL);
	return 0;
}

static int close_caller(void **state)
{
	(void)state;
	caller_close(&caller);
	loop_close(&loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own_users_calls_are_made_at_once),
		cmocka_unit_test(a_strangers_calls_are_made_elsewhere_and_in_order),
		cmocka_unit_test(a_call_that_is_stuck_holds_up_no_other),
		cmocka_unit_test(who_has_many_stuck_waits_for_them),
	};

	return cmocka_run_group_tests(tests, open_caller, close_caller);
}
