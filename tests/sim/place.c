/* SPDX-License-Identifier: MIT */
/*
 * Memory that programs keep for their next connection
 */
#include <stdlib.h>

#include "world.h"

#define PLACE_BYTES 65536U /* the largest element */

void sim_place_take(struct sim_world *world, struct sim_end *end)
{
	struct sim_host *host = end->host;

	if (sim_percent(world, 25))
		return;
	for (unsigned int i = 0; i < SIM_PAIRS_MAX && !end->place; i++) {
		struct sim_place *place = &host->places[i];

		if (place->taken)
			continue;
		if (!place->bytes)
			place->bytes = malloc(PLACE_BYTES);
		if (!place->bytes)
			abort();
		place->taken = true;
		place->memory.kept = true;
		end->place = place;
		end->facts.memory = &place->memory;
	}
}

/* Nobody but a peer that has said its last word may have a way into it. */
static void left(struct sim_world *world, struct sim_event *event)
{
	struct sim_end *end = event->object;
	struct sim_place *place = end->place;

	if (!place || end->host->dead)
		return;
	end->place = NULL;
	if (place->regions != (place->memory.resting != NULL) || sim_percent(world, 15))
		rmb_memory_end(&place->memory);
	else
		place->taken = false;
}

void sim_place_leave(struct sim_world *world, struct sim_end *end)
{
	if (end->place && end->closed && !end->connection && end->mode != SIM_RENDEZVOUS)
		sim_plan(world, world->now, left, end);
}
