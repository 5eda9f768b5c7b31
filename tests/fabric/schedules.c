/* SPDX-License-Identifier: MIT */
/*
 * Random work over random networks: bytes are exact, completions come exactly once and in order,
 * and what fails, fails as every backend must (what is looked at stands in world.h)
 *
 *   test-fabric-schedules [ROUNDS [FIRST SEED]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/sim/random.h"
#include "world.h"

#define SECOND 1000000000ULL
#define CONNECTIONS_MAX 3U

static unsigned int rounds = 300;
static uint64_t first_seed = 1;

static struct world_rates random_rates(uint64_t *random)
{
	struct world_rates rates = {.seed = sim_random(random), .train_max = 64};

	if (sim_random(random) % 4)
		rates.loss = (uint32_t)(sim_random(random) % 60000);
	if (sim_random(random) % 2)
		rates.duplicates = (uint32_t)(sim_random(random) % 100000);
	if (sim_random(random) % 2)
		rates.reordered = (uint32_t)(sim_random(random) % 100000);
	if (sim_random(random) % 4 == 0)
		rates.damaged = (uint32_t)(sim_random(random) % 20000);
	if (sim_random(random) % 4 == 0)
		rates.blocked = (uint32_t)(sim_random(random) % 300000);
	rates.partial = (uint32_t)(sim_random(random) % SIM_MILLION);
	rates.delay_most = sim_random(random) % 2 ? sim_random(random) % 3000000 : 20000;
	rates.train_max = 1 + (unsigned int)(sim_random(random) % 64);
	rates.mtu = (uint8_t)(1 + sim_random(random) % 5);
	return rates;
}

static uint32_t random_length(uint64_t *random, uint32_t most)
{
	switch (sim_random(random) % 4) {
	case 0:
		return (uint32_t)(sim_random(random) % 3);
	case 1:
		return 44;
	case 2:
		return 256U << sim_random(random) % 5; /* multiples of an MTU */
	default:
		return (uint32_t)(sim_random(random) % most);
	}
}

static void random_posts(struct end *end, uint64_t *random, unsigned int most)
{
	for (unsigned int n = (unsigned int)(sim_random(random) % 6); n; n--) {
		/* Each eighth at least, or an end would never hear that its buffers are free. */
		unsigned int flags =
			sim_random(random) % 2 || end->posted % 8 == 7 ? FABRIC_SIGNALED : 0;

		if (sim_random(random) % 3)
			end_receive(end);
		if (end->posted >= most)
			continue;
		if (sim_random(random) % 2)
			end_send(end, random_length(random, END_SLOT_SIZE), flags);
		else
			end_write(end, random_length(random, 16000), flags);
	}
}

/* One device at each end, and connections between them. */
struct load {
	struct world world;
	struct end ends[CONNECTIONS_MAX][2];
	unsigned int count;
};

static void load_open(struct load *load, enum world_kind kind, const struct end_options *options,
		      uint64_t *random)
{
	struct world_rates rates = random_rates(random);

	load->count = sim_random(random) % 4 ? 1 : CONNECTIONS_MAX;
	assert_true(world_open(&load->world, kind, &rates));
	for (unsigned int i = 0; i < load->count; i++)
		ends_open(&load->world, load->ends[i], options, sim_random(random));
}

static void load_close(struct load *load)
{
	for (unsigned int i = 0; i < load->count; i++) {
		ends_unhurt(load->ends[i]);
		ends_close(&load->world, load->ends[i]);
	}
	world_close(&load->world);
}

static void load_step(struct load *load, uint64_t time)
{
	world_step(&load->world, time);
	end_poll(&load->ends[0][0]);
	end_poll(&load->ends[0][1]);
}

static bool has_failed(const struct end ends[2])
{
	return ends[0].failed || ends[1].failed;
}

static bool is_posted(const struct load *load, unsigned int most)
{
	for (unsigned int i = 0; i < load->count; i++)
		if (!has_failed(load->ends[i]) &&
		    (load->ends[i][0].posted < most || load->ends[i][1].posted < most))
			return false;
	return true;
}

static bool is_done(const struct load *load)
{
	for (unsigned int i = 0; i < load->count; i++)
		if (!has_failed(load->ends[i]) &&
		    (!end_is_done(&load->ends[i][0]) || !end_is_done(&load->ends[i][1])))
			return false;
	return true;
}

static void post_and_run(struct load *load, uint64_t *random, unsigned int most)
{
	for (unsigned int turns = 0; turns < 20000 && !is_posted(load, most); turns++) {
		for (unsigned int i = 0; i < 2 * load->count; i++)
			random_posts(&load->ends[i / 2][i % 2], random, most);
		if (sim_random(random) % 2)
			fabric_flush(load->world.devices[0], load->world.now, false);
		load_step(load, sim_random(random) % 200000);
	}
	for (unsigned int turns = 0; turns < 40000 && !is_done(load); turns++) {
		for (unsigned int i = 0; i < 2 * load->count; i++)
			while (end_receive(&load->ends[i / 2][i % 2]))
				;
		load_step(load, SECOND);
	}
}

static void exactly_once(enum world_kind kind, uint64_t seed)
{
	static struct load load;
	uint64_t random = seed;
	struct end_options options = {.rnr_timer = (uint8_t)(sim_random(&random) % 15)};

	load_open(&load, kind, &options, &random);
	post_and_run(&load, &random, 40);
	for (unsigned int i = 0; i < 2 * load.count; i++) {
		const struct end *end = &load.ends[i / 2][i % 2];

		assert_false(end->failed);
		assert_int_equal(end->posted, 40);
		assert_true(end_is_done(end));
		assert_int_equal(end->fatal_events, 0);
	}
	load_close(&load);
}

/* One of the things that end a connection. */
static void hurt(struct load *load, struct end *end, uint64_t *random)
{
	struct end_memory *memories[] = {&end->window, &end->buffer, &end->slots};
	struct end_memory *memory = memories[sim_random(random) % 3];

	switch (sim_random(random) % 3) {
	case 0:
		if (load->world.kind == WORLD_SIM)
			sim_port_set(end->device, false);
		else
			packet_port_set(end->device, false);
		break;
	case 1:
		fabric_region_deregister(memory->region);
		memory->region = NULL;
		break;
	default:
		fabric_fail(end->pair);
		end->fatal_events = 1; /* for this there is none */
	}
}

static void fails_as_it_must(enum world_kind kind, uint64_t seed)
{
	static struct load load;
	uint64_t random = seed;
	struct end_options options = {.timeout = 12, .retries = 3};

	load_open(&load, kind, &options, &random);
	post_and_run(&load, &random, (unsigned int)(sim_random(&random) % 20));
	hurt(&load, &load.ends[0][sim_random(&random) % 2], &random);
	post_and_run(&load, &random, 60);
	for (unsigned int turns = 0; turns < 20; turns++)
		load_step(&load, SECOND / 10);
	for (unsigned int i = 0; i < 2 * load.count; i++)
		if (load.ends[i / 2][i % 2].failed)
			end_is_flushed(&load.ends[i / 2][i % 2]);
	load_close(&load);
}

static void many(enum world_kind kind, void (*check)(enum world_kind kind, uint64_t seed),
		 unsigned int count)
{
	for (uint64_t seed = first_seed; seed < first_seed + count; seed++) {
		fprintf(stderr, "\rseed %llu", (unsigned long long)seed); /* of what fails */
		check(kind, seed);
	}
	fprintf(stderr, "\r");
}

static void packets_arrive_exactly_once_over_any_network(void **state)
{
	(void)state;
	many(WORLD_PACKETS, exactly_once, rounds);
}

static void messages_arrive_exactly_once_over_any_network(void **state)
{
	(void)state;
	many(WORLD_SIM, exactly_once, rounds);
}

static void what_fails_on_packets_fails_as_it_must(void **state)
{
	(void)state;
	many(WORLD_PACKETS, fails_as_it_must, rounds);
}

static void what_fails_on_messages_fails_as_it_must(void **state)
{
	(void)state;
	many(WORLD_SIM, fails_as_it_must, rounds);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_arrive_exactly_once_over_any_network),
		cmocka_unit_test(messages_arrive_exactly_once_over_any_network),
		cmocka_unit_test(what_fails_on_packets_fails_as_it_must),
		cmocka_unit_test(what_fails_on_messages_fails_as_it_must),
	};

	if (argc > 1)
		rounds = (unsigned int)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
