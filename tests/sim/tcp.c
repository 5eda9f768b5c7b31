/* SPDX-License-Identifier: MIT */
/*
 * TCP: bytes arrive in order, cut anywhere; FIN after them; RST at any time
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

static void arrived(struct sim_world *world, struct sim_event *event)
{
	struct sim_half *half = event->object;

	if (event->number > half->arrived)
		half->arrived = event->number;
	if (event->flag)
		half->fin = true;
	if (!half->to->host->dead)
		sim_end_poll(world, half->to);
}

static void plan_arrival(struct sim_world *world, struct sim_half *half, uint64_t upto, bool fin)
{
	uint64_t time = world->now + 1 + sim_below(world, world->tcp_delay);
	struct sim_event *event;

	if (time < half->last)
		time = half->last;
	half->last = time;
	event = sim_plan(world, time, arrived, half);
	event->number = upto;
	event->flag = fin;
}

void sim_tcp_send(struct sim_world *world, struct sim_end *from, const void *bytes, size_t length)
{
	struct sim_half *half = &from->peer->in;
	size_t end = half->size + length;

	if (half->fin_sent || from->tcp_dead)
		return;
	if (end > half->room) {
		half->room = 2 * end;
		half->bytes = realloc(half->bytes, half->room);
		if (!half->bytes)
			abort();
	}
	memcpy(half->bytes + half->size, bytes, length);
	while (half->size < end) {
		size_t piece = end - half->size;

		if (piece > 1 && sim_percent(world, 30))
			piece = 1 + sim_below(world, piece - 1);
		half->size += piece;
		plan_arrival(world, half, half->size, false);
	}
}

void sim_tcp_fin(struct sim_world *world, struct sim_end *from)
{
	struct sim_half *half = &from->peer->in;

	if (half->fin_sent || from->tcp_dead)
		return;
	half->fin_sent = true;
	plan_arrival(world, half, half->size, true);
}

void sim_tcp_reset_seen(struct sim_world *world, struct sim_end *end)
{
	sim_trace(world, "%u.%u RST", sim_host_name(end->host), end->index);
	if (end->connection)
		connection_tcp_reset(end->connection);
	else if (end->mode == SIM_TCP)
		end->reset = true;
	sim_wake(world, end);
}

static void reset_arrived(struct sim_world *world, struct sim_event *event)
{
	struct sim_end *end = event->object;

	if (end->host->dead || end->tcp_dead)
		return;
	end->tcp_dead = true;
	if (end->started)
		sim_tcp_reset_seen(world, end);
}

void sim_tcp_reset(struct sim_world *world, struct sim_end *from)
{
	if (from->tcp_dead)
		return;
	from->tcp_dead = true;
	sim_plan(world, world->now + 1 + sim_below(world, world->tcp_delay), reset_arrived,
		 from->peer);
}
