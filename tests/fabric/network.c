/* SPDX-License-Identifier: MIT */
/*
 * The faults that the simulated networks have for those who test on them: each does happen
 */
#include <string.h>

#include "world.h"

#define MS 1000000ULL

static struct world world;
static struct end ends[2];

static void open_ends(enum world_kind kind, const struct world_rates *rates)
{
	assert_true(world_open(&world, kind, rates));
	ends_open(&world, ends, &(struct end_options){.timeout = 15}, 5);
}

static void close_ends(void)
{
	ends_unhurt(ends);
	ends_close(&world, ends);
	world_close(&world);
}

static void port_set(enum world_kind kind, unsigned int index, bool active)
{
	if (kind == WORLD_SIM)
		sim_port_set(world.devices[index], active);
	else
		packet_port_set(world.devices[index], active);
}

static void a_frozen_device_goes_on_where_it_was(void **state)
{
	(void)state;
	open_ends(WORLD_SIM, &(struct world_rates){.seed = 1});
	assert_true(end_receive(&ends[1]));
	assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	sim_freeze_set(world.devices[1], true);
	ends_run(&world, ends, 300 * MS);
	assert_int_equal(ends[0].completed, 0);
	assert_int_equal(ends[1].received, 0);
	sim_freeze_set(world.devices[1], false);
	ends_run(&world, ends, 300 * MS);
	assert_true(end_is_done(&ends[0]));
	assert_false(ends[0].failed);
	close_ends();
}

static void a_port_that_is_down_for_a_moment_loses_nothing(void **state)
{
	(void)state;
	for (enum world_kind kind = WORLD_SIM; kind <= WORLD_PACKETS; kind++) {
		struct fabric_event event;

		open_ends(kind, &(struct world_rates){.seed = 1});
		port_set(kind, 1, false);
		assert_true(fabric_event(world.devices[1], &event));
		assert_int_equal(event.kind, FABRIC_PORT_CHANGED);
		assert_false(fabric_event(world.devices[1], &event));
		assert_true(end_receive(&ends[1]));
		assert_true(end_write(&ends[0], 10000, 0));
		assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
		ends_run(&world, ends, 300 * MS);
		assert_int_equal(ends[0].completed, 0);
		port_set(kind, 1, true);
		ends_run(&world, ends, 600 * MS);
		assert_true(end_is_done(&ends[0]));
		assert_false(ends[0].failed);
		close_ends();
	}
}

static void a_message_can_arrive_whose_sender_hears_that_it_failed(void **state)
{
	(void)state;
	for (enum world_kind kind = WORLD_SIM; kind <= WORLD_PACKETS; kind++) {
		open_ends(kind, &(struct world_rates){.seed = 1});
		assert_true(end_receive(&ends[1]));
		assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
		fabric_flush(world.devices[0], world.now, false);
		port_set(kind, 0, false); /* for good: no answer comes through */
		ends_run(&world, ends, 3000 * MS);
		assert_int_equal(ends[1].received, 1);
		assert_int_equal(ends[0].cause, FABRIC_RETRIES_EXCEEDED);
		close_ends();
	}
}

/* Are some bytes of a WRITE seen while others are not? */
static bool is_seen_in_part(uint64_t seed)
{
	const uint32_t length = 1000;
	bool seen = false;

	open_ends(WORLD_SIM,
		  &(struct world_rates){.seed = seed, .partial = 1000000, .delay_most = 2 * MS});
	assert_true(end_write(&ends[0], length, FABRIC_SIGNALED));
	fabric_flush(world.devices[0], world.now, false);
	while (!end_is_done(&ends[0])) {
		uint32_t written = 0;

		world_step(&world, MS);
		for (uint32_t i = 0; i < length; i++)
			written += ends[1].window.at[i] != 0;
		seen |= written && written < length;
		end_poll(&ends[0]);
	}
	close_ends();
	return seen;
}

static void some_bytes_of_a_write_can_be_seen_before_the_others(void **state)
{
	unsigned int seen = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		seen += is_seen_in_part(seed);
	assert_true(seen > 5);
}

/* When everything was done, which depends on each fault before. */
static uint64_t time_of(enum world_kind kind, uint64_t seed)
{
	uint64_t took;

	open_ends(kind, &(struct world_rates){.seed = seed,
					      .loss = 100000,
					      .duplicates = 100000,
					      .reordered = 100000,
					      .delay_most = MS});
	for (unsigned int i = 0; i < 8; i++) {
		assert_true(end_receive(&ends[1]));
		assert_true(end_send(&ends[0], 5000, FABRIC_SIGNALED));
	}
	ends_run(&world, ends, 60000 * MS);
	assert_true(end_is_done(&ends[0]));
	took = world.now;
	close_ends();
	return took;
}

static void the_same_seed_gives_the_same_run(void **state)
{
	(void)state;
	for (enum world_kind kind = WORLD_SIM; kind <= WORLD_PACKETS; kind++) {
		assert_true(time_of(kind, 1) == time_of(kind, 1));
		assert_true(time_of(kind, 1) != time_of(kind, 2));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frozen_device_goes_on_where_it_was),
		cmocka_unit_test(a_port_that_is_down_for_a_moment_loses_nothing),
		cmocka_unit_test(a_message_can_arrive_whose_sender_hears_that_it_failed),
		cmocka_unit_test(some_bytes_of_a_write_can_be_seen_before_the_others),
		cmocka_unit_test(the_same_seed_gives_the_same_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
