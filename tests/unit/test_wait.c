/* SPDX-License-Identifier: MIT */
/*
 * How long a waiter looks before it sleeps, and what it learns from its sleeps
 */
#include "ring/wait.h"

#include "unit.h"

static void a_hopeful_waiter_pauses_then_yields_then_sleeps(void **state)
{
	struct wait_habit habit = {.hopeless = false};
	struct wait wait;

	(void)state;
	wait_begin(&wait, &habit, 3, WAIT_PEER_ANYWHERE);
	for (unsigned int i = 0; i < WAIT_PAUSES_LEAST; i++)
		assert_int_equal(wait_next(&wait), WAIT_PAUSE);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(wait_next(&wait), WAIT_YIELD);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(wait_next(&wait), WAIT_SLEEP);
	wait_begin(&wait, &habit, 0, WAIT_PEER_ANYWHERE);
	for (unsigned int i = 0; i < WAIT_PAUSES_LEAST; i++)
		assert_int_equal(wait_next(&wait), WAIT_PAUSE);
	assert_int_equal(wait_next(&wait), WAIT_SLEEP);
}

static void a_hopeless_waiter_sleeps_at_once(void **state)
{
	struct wait_habit habit = {.hopeless = true};
	struct wait wait;

	(void)state;
	wait_begin(&wait, &habit, UINT32_MAX, WAIT_PEER_ANYWHERE);
	assert_int_equal(wait_next(&wait), WAIT_SLEEP);
	assert_int_equal(wait_next(&wait), WAIT_SLEEP);
}

static void the_habit_follows_the_length_of_the_sleep(void **state)
{
	struct wait_habit habit = {.hopeless = false};
	struct wait wait;

	(void)state;
	wait_slept(&habit, WAIT_SHORT_SLEEP_NS - 1);
	assert_false(habit.hopeless);
	wait_slept(&habit, WAIT_SHORT_SLEEP_NS);
	assert_true(habit.hopeless);
	wait_slept(&habit, UINT64_MAX);
	assert_true(habit.hopeless);
	wait_slept(&habit, 0);
	assert_false(habit.hopeless);
	habit.hopeless = true;
	wait_begin(&wait, &habit, 1, WAIT_PEER_ANYWHERE);
	wait_found(&wait);
	assert_false(habit.hopeless);
}

static void a_row_of_sleeps_that_may_be_mere_waking_is_questioned(void **state)
{
	struct wait_habit habit = {.hopeless = false};

	(void)state;
	for (unsigned int i = 0; i < 3 * (WAIT_SLEEPS_UNQUESTIONED + 1); i++) {
		wait_slept(&habit, WAIT_LONG_SLEEP_NS - 1);
		assert_int_equal(habit.hopeless,
				 i % (WAIT_SLEEPS_UNQUESTIONED + 1) != WAIT_SLEEPS_UNQUESTIONED);
	}
	for (unsigned int i = 0; i < 1000; i++) {
		wait_slept(&habit,
			   i % WAIT_SLEEPS_UNQUESTIONED ? WAIT_SHORT_SLEEP_NS : WAIT_LONG_SLEEP_NS);
		assert_true(habit.hopeless);
	}
}

/* Two that wake each other: each sleeps because waking the other takes so long. */
static void two_that_sleep_find_out_that_neither_has_to(void **state)
{
	const uint64_t waking = WAIT_SHORT_SLEEP_NS, answer = 5000;
	struct wait_habit habits[2] = {{.hopeless = true}, {.hopeless = true}};
	unsigned int slept = 0;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		struct wait wait;
		uint64_t gap = answer + (habits[(i + 1) % 2].hopeless ? waking : 0), now = 0;

		wait_begin(&wait, &habits[i % 2], WAIT_YIELDS_DEFAULT, WAIT_PEER_ANYWHERE);
		while (now < gap && wait_next(&wait) != WAIT_SLEEP)
			now += 700;
		if (now >= gap) {
			wait_found(&wait);
			continue;
		}
		slept++;
		wait_slept(&habits[i % 2], gap + waking);
	}
	assert_in_range(slept, 1, 3 * WAIT_SLEEPS_UNQUESTIONED);
}

/* Two that answer at once, but look only after a yield, which takes longer than the answer. */
static void two_that_yield_find_out_that_neither_has_to(void **state)
{
	const uint64_t pause = 15, yield = 1200, answer = 600;
	struct wait_habit habits[2] = {{.pauses = 0}, {.pauses = 0}};
	unsigned int yields = 0, before = 0;
	uint64_t late = yield; /* what the peer's last look was late */

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		struct wait wait;
		uint64_t now = 0, gap = answer + late;

		if (i == 1000)
			before = yields;
		wait_begin(&wait, &habits[i % 2], WAIT_YIELDS_DEFAULT, WAIT_PEER_ANYWHERE);
		while (now < gap)
			if (wait_next(&wait) == WAIT_PAUSE) {
				now += pause;
			} else {
				now += yield;
				yields++;
			}
		wait_found(&wait);
		late = now - gap;
	}
	assert_true(before > 0);
	assert_int_equal(yields, before);
}

static void who_looks_at_many_looks_less_often(void **state)
{
	const unsigned int many = 10 * WAIT_PLACES_A_STEP, few = WAIT_PLACES_A_STEP - 1;
	struct wait_habit habit = {.hopeless = false};
	unsigned int looks[2] = {0, 0};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct wait wait;

		wait_begin(&wait, &habit, WAIT_YIELDS_DEFAULT, WAIT_PEER_ANYWHERE);
		do {
			looks[i]++;
			wait_looked(&wait, i ? many : few);
		} while (wait_next(&wait) != WAIT_SLEEP);
	}
	assert_int_equal(looks[0], 1 + WAIT_PAUSES_LEAST + WAIT_YIELDS_DEFAULT);
	assert_in_range(looks[1], 1 + WAIT_PAUSES_LEAST, looks[0] / 9);
}

static void no_pause_waits_for_who_runs_here(void **state)
{
	struct wait_habit habit = {.pauses = WAIT_PAUSES_MOST};
	struct wait wait;

	(void)state;
	for (unsigned int i = 0; i < 3 * WAIT_WAITS_UNQUESTIONED; i++) {
		wait_begin(&wait, &habit, 2, WAIT_PEER_HERE);
		assert_false(wait.meets);
		assert_int_equal(wait_next(&wait), WAIT_YIELD);
		wait_found(&wait);
	}
	assert_int_equal(habit.pauses, WAIT_PAUSES_MOST);
}

/* Waits for @peer that @yields of them end; how many of the waits slept so that they may be moved. */
static unsigned int meet(enum wait_peer peer, unsigned int yields, unsigned int rounds)
{
	struct wait_habit habit = {.pauses = 0};
	unsigned int slept = 0;

	for (unsigned int i = 0; i < rounds; i++) {
		struct wait wait;
		unsigned int yielded = 0;
		enum wait_step step = WAIT_PAUSE;

		wait_begin(&wait, &habit, WAIT_YIELDS_DEFAULT, peer);
		while (yielded < yields && (step = wait_next(&wait)) != WAIT_SLEEP)
			yielded += step == WAIT_YIELD;
		assert_int_equal(step == WAIT_SLEEP, wait.meets);
		if (!wait.meets)
			wait_found(&wait);
		slept += wait.meets;
	}
	assert_false(habit.hopeless);
	return slept;
}

static void who_is_crowded_sleeps_to_be_moved_to_its_peer(void **state)
{
	const unsigned int rounds = 10 * (WAIT_WAITS_UNQUESTIONED + 1);

	(void)state;
	assert_int_equal(meet(WAIT_PEER_ELSEWHERE, 1, rounds), 10);
	/* So many yields do not take long: nobody else wanted the processor. */
	assert_int_equal(meet(WAIT_PEER_ELSEWHERE, WAIT_YIELDS_CROWDED + 1, rounds), 0);
	assert_int_equal(meet(WAIT_PEER_HERE, 1, rounds), 0);
	assert_int_equal(meet(WAIT_PEER_ANYWHERE, 1, rounds), 0);
}

static void a_step_tells_when_to_sleep(void **state)
{
	struct wait_habit habit = {.hopeless = false};
	struct wait wait;

	(void)state;
	wait_begin(&wait, &habit, 4, WAIT_PEER_ANYWHERE);
	for (unsigned int i = 0; i < WAIT_PAUSES_LEAST + 4; i++)
		assert_true(wait_step(&wait));
	assert_false(wait_step(&wait));
	assert_false(habit.hopeless); /* only a sleep's length makes it so */
}

/*
 * A place where something comes every @gap nanoseconds, on a clock of our own: a pause takes 50 ns,
 * a yield 500.  Returns how many of @rounds waits slept; *looks counts the steps.
 */
static unsigned int live(struct wait_habit *habit, uint64_t gap, unsigned int rounds,
			 unsigned int *looks)
{
	unsigned int slept = 0;

	*looks = 0;
	for (unsigned int i = 0; i < rounds; i++) {
		struct wait wait;
		uint64_t now = 0;
		enum wait_step step = WAIT_PAUSE;

		wait_begin(&wait, habit, WAIT_YIELDS_DEFAULT, WAIT_PEER_ANYWHERE);
		while (now < gap && (step = wait_next(&wait)) != WAIT_SLEEP) {
			now += step == WAIT_PAUSE ? 50 : 500;
			++*looks;
		}
		if (step != WAIT_SLEEP) {
			wait_found(&wait);
			continue;
		}
		slept++;
		wait_slept(habit, gap - now);
	}
	return slept;
}

static void what_is_idle_stops_looking_and_what_is_busy_starts_again(void **state)
{
	struct wait_habit habit = {.hopeless = false};
	unsigned int looks, least;

	(void)state;
	assert_int_equal(live(&habit, 10000, 1000, &looks), 0);
	/* Idle: one wait in vain, then none. */
	assert_int_equal(live(&habit, 10000000, 1000, &looks), 1000);
	assert_int_equal(looks, WAIT_PAUSES_LEAST + WAIT_YIELDS_DEFAULT);
	/* Busy again: one short sleep, then all is found by looking. */
	assert_int_equal(live(&habit, 10000, 1000, &looks), 1);
	/* Longer than the looking takes, but the sleep after it is short: it goes on looking. */
	assert_int_equal(live(&habit, 100000, 1000, &looks), 1000);
	least = 1000 * (WAIT_PAUSES_LEAST + WAIT_YIELDS_DEFAULT);
	assert_in_range(looks, least,
			least + (1000 / WAIT_WAITS_UNQUESTIONED + 1) * WAIT_PAUSES_MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hopeful_waiter_pauses_then_yields_then_sleeps),
		cmocka_unit_test(a_hopeless_waiter_sleeps_at_once),
		cmocka_unit_test(the_habit_follows_the_length_of_the_sleep),
		cmocka_unit_test(a_row_of_sleeps_that_may_be_mere_waking_is_questioned),
		cmocka_unit_test(two_that_sleep_find_out_that_neither_has_to),
		cmocka_unit_test(two_that_yield_find_out_that_neither_has_to),
		cmocka_unit_test(who_looks_at_many_looks_less_often),
		cmocka_unit_test(no_pause_waits_for_who_runs_here),
		cmocka_unit_test(who_is_crowded_sleeps_to_be_moved_to_its_peer),
		cmocka_unit_test(a_step_tells_when_to_sleep),
		cmocka_unit_test(what_is_idle_stops_looking_and_what_is_busy_starts_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
