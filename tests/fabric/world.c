/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fabric/sim/random.h"

static uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Addresses of the loopback network that no other run of this test has. */
static struct fabric_gid gid_of(unsigned int index)
{
	struct fabric_gid gid = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 127}};
	unsigned int number = (unsigned int)getpid() * 2 + index;

	gid.bytes[13] = (uint8_t)(1 + (number >> 14) % 250);
	gid.bytes[14] = (uint8_t)(number >> 7 & 0x7f);
	gid.bytes[15] = (uint8_t)(1 + (number & 0x7f));
	return gid;
}

static bool udp_open(struct world *world, const struct world_rates *rates)
{
	for (unsigned int i = 0; i < 2; i++) {
		char address[16];
		const struct soft_config config = {.interface = "lo",
						   .address = address,
						   .pnetid = "NET1",
						   .single = rates->train_max == 1,
						   .faults = {.seed = rates->seed + i,
							      .loss = rates->loss,
							      .duplicates = rates->duplicates,
							      .reordered = rates->reordered}};

		snprintf(address, sizeof(address), "%u.%u.%u.%u", world->gids[i].bytes[12],
			 world->gids[i].bytes[13], world->gids[i].bytes[14],
			 world->gids[i].bytes[15]);
		if (soft_open(&config, &world->devices[i]) == 0)
			continue;
		if (i)
			assert_int_equal(fabric_close(world->devices[0]), 0);
		return false;
	}
	world->now = clock_now();
	return true;
}

bool world_open(struct world *world, enum world_kind kind, const struct world_rates *rates)
{
	*world = (struct world){.kind = kind, .now = 1, .gids = {gid_of(0), gid_of(1)}};
	if (kind == WORLD_UDP)
		return udp_open(world, rates);
	if (rates->damaged) /* as IPv6 addresses, over which no damage goes unnoticed */
		world->gids[0].bytes[0] = world->gids[1].bytes[0] = 0xfd;
	if (kind == WORLD_SIM)
		world->messages = sim_network_create(
			&(struct sim_rates){.seed = rates->seed,
					    .loss = rates->loss,
					    .duplicates = rates->duplicates,
					    .reordered = rates->reordered,
					    .partial = rates->partial,
					    .delay_least = 1000,
					    .delay_most = 1000 + rates->delay_most});
	else
		world->packets = packet_network_create(&(struct packet_rates){
			.seed = rates->seed,
			.loss = rates->loss,
			.damaged = rates->damaged,
			.duplicates = rates->duplicates,
			.reordered = rates->reordered,
			.blocked = rates->blocked,
			.delay_least = 1000,
			.delay_most = 1000 + rates->delay_most,
			.train_max = rates->train_max ? rates->train_max : 64});
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(kind == WORLD_SIM
					 ? sim_device_open(world->messages, &world->gids[i], "NET1",
							   &world->devices[i])
					 : packet_device_open(world->packets, &world->gids[i],
							      rates->mtu ? rates->mtu : 5,
							      &world->devices[i]),
				 0);
	return true;
}

void world_close(struct world *world)
{
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(fabric_close(world->devices[i]), 0);
	if (world->messages)
		sim_network_free(world->messages);
	if (world->packets)
		packet_network_free(world->packets);
}

static void wait_for(struct world *world, uint64_t until)
{
	struct pollfd polled[2];

	for (unsigned int i = 0; i < 2; i++)
		polled[i] = (struct pollfd){.fd = fabric_descriptor(world->devices[i]),
					    .events = POLLIN};
	poll(polled, 2, until > world->now ? (int)((until - world->now) / 1000000) + 1 : 0);
	world->now = clock_now();
}

void world_step(struct world *world, uint64_t limit)
{
	uint64_t until = world->now + limit;

	for (unsigned int i = 0; i < 2; i++) {
		uint64_t deadline = fabric_deadline(world->devices[i]);

		until = deadline < until ? deadline : until;
	}
	if (world->kind == WORLD_UDP)
		wait_for(world, until);
	else if (until > world->now)
		world->now = until;
	for (unsigned int i = 0; i < 2; i++)
		fabric_run(world->devices[i], world->now);
}
