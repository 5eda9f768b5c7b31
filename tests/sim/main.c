/* SPDX-License-Identifier: MIT */
/*
 * sim - run schedules of two hosts that speak SMC-R
 *
 *   sim [--first SEED] [--count N]    seeds from SEED on: all must be good
 *   sim --seed SEED                   one, and say what happens
 *   sim --bugs N                      each bug must show within N schedules
 *   sim --bug NUMBER --seed SEED      one with a bug
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/bug.h"
#include "world.h"

enum proto_bug proto_bug = PROTO_BUG_NONE;

static const char *const bugs[PROTO_BUG_END] = {
	[PROTO_BUG_READ_BEYOND_CLC] = "a_byte_taken_behind_a_clc_message",
	[PROTO_BUG_ANSWER_DECLINE] = "an_answered_decline",
	[PROTO_BUG_LOST_EARLY_CDC] = "a_cdc_message_lost_before_the_confirm",
	[PROTO_BUG_DEREGISTER_EARLY] = "memory_deregistered_too_early",
	[PROTO_BUG_REST_EARLY] = "memory_used_again_too_early",
	[PROTO_BUG_FLOW_NOT_PASSED_ON] = "an_llc_flow_that_blocks_the_next",
	[PROTO_BUG_MIXED_WRAP] = "full_taken_for_empty",
	[PROTO_BUG_UPDATE_FORGOTTEN] = "a_message_not_sent_later",
	[PROTO_BUG_NO_SPLIT] = "a_write_beyond_the_element",
	[PROTO_BUG_CLOSE_OVERTAKES] = "a_close_before_the_data",
	[PROTO_BUG_UNREAD_CLOSE_IS_CLEAN] = "a_clean_close_with_unread_data",
	[PROTO_BUG_FINAL_IGNORED] = "a_last_close_not_seen",
	[PROTO_BUG_ENDED_UNHEARD] = "a_link_group_that_goes_before_its_peer",
};

static struct sim_world world;

static int run_bugs(uint64_t count)
{
	int status = 0;

	for (unsigned int bug = PROTO_BUG_NONE + 1; bug < PROTO_BUG_END; bug++) {
		uint64_t seed = 0;

		proto_bug = (enum proto_bug)bug;
		while (seed < count && sim_run(&world, seed, false, true))
			seed++;
		if (seed == count) {
			printf("not ok %s not caught in %llu schedules\n", bugs[bug],
			       (unsigned long long)count);
			status = 1;
		} else {
			printf("ok %s\n# caught by schedule %llu\n", bugs[bug],
			       (unsigned long long)seed);
		}
	}
	return status;
}

static int run_many(uint64_t first, uint64_t count)
{
	unsigned int bad = 0;

	for (uint64_t seed = first; seed < first + count && bad < 10; seed++)
		bad += !sim_run(&world, seed, false, false);
	printf("%s every_schedule_keeps_the_invariants\n# %llu schedules; ends: %llu SMC, %llu of "
	       "them with an RMB that had rested, %llu TCP\n",
	       bad ? "not ok" : "ok", (unsigned long long)count, (unsigned long long)world.moved,
	       (unsigned long long)world.rested, (unsigned long long)world.fell_back);
	return bad != 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"first", required_argument, NULL, 'f'}, {"count", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 's'},	 {"bugs", required_argument, NULL, 'b'},
		{"bug", required_argument, NULL, 'n'},	 {0},
	};
	uint64_t first = 0, count = 1000, seed = 0;
	bool one = false;
	int option;

	sim_pattern_fill();
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (option) {
		case 'f':
			first = number;
			break;
		case 'c':
			count = number;
			break;
		case 's':
			seed = number;
			one = true;
			break;
		case 'n':
			proto_bug = (enum proto_bug)number;
			break;
		case 'b':
			return run_bugs(number);
		default:
			return 2;
		}
	}
	return one ? !sim_run(&world, seed, true, false) : run_many(first, count);
}
