/* SPDX-License-Identifier: MIT */
/*
 * The engine of each host: carries out what its protocol wants
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define MEMORY_PERCENT_SHARE 4U /* memory is denied so much less often than the rest */

static void *allocate(void *context, size_t size)
{
	struct sim_host *host = context;
	struct sim_world *world = host->world;
	struct sim_memory *memory;

	if (world->deny_percent && sim_percent(world, world->deny_percent / MEMORY_PERCENT_SHARE))
		return NULL;
	memory = calloc(1, sizeof(*memory) + size);
	if (!memory)
		abort();
	memory->host = host;
	list_append(&host->memory, &memory->of_host);
	return memory + 1;
}

static void release(void *context, void *object)
{
	struct sim_memory *memory = (struct sim_memory *)object - 1;

	(void)context;
	list_remove(&memory->of_host);
	free(memory);
}

static uint32_t number(void *context)
{
	struct sim_host *host = context;

	return (uint32_t)sim_random(host->world);
}

void sim_host_free(struct sim_host *host)
{
	while (!list_empty(&host->memory))
		release(host, list_owner(host->memory.next, struct sim_memory, of_host) + 1);
	for (unsigned int i = 0; i < SIM_PAIRS_MAX; i++) {
		free(host->places[i].bytes);
		host->places[i].bytes = NULL;
	}
}

/* Every program here closes: nobody has to be given up, unless something fails, which TEST LINK finds later. */
static void check_last_word(struct sim_world *world, const struct connection *connection)
{
	if (!world->faults && !connection->rendezvous && !connection->closing &&
	    !(connection->flags & CDC_ABNORMAL_CLOSE))
		sim_fail(world, "a last word is waited for in vain");
}

static void expired(struct sim_world *world, struct sim_event *event)
{
	struct proto_timer *timer = event->object;
	struct sim_host *host = &world->hosts[event->number];

	if (host->dead)
		return;
	timer->engine = NULL;
	host->timers--;
	if (timer->purpose == PROTO_TIMER_LIMIT)
		check_last_word(world, timer->owner);
	proto_timer_expired(&host->proto, timer);
}

static void timer_stop(struct sim_host *host, struct proto_timer *timer)
{
	struct sim_event *event = timer->engine;

	if (!event)
		return;
	event->cancelled = true;
	timer->engine = NULL;
	host->timers--;
}

static void timer_start(struct sim_world *world, struct sim_host *host,
			const struct proto_action *action)
{
	struct sim_event *event;

	timer_stop(host, action->timer);
	event = sim_plan(world, world->now + (uint64_t)action->number * SIM_MS, expired,
			 action->timer);
	event->number = sim_host_name(host);
	action->timer->engine = event;
	host->timers++;
}

static void resolved(struct sim_world *world, struct sim_event *event)
{
	static const uint8_t gateway[CLC_MAC_SIZE] = {2, 0, 0, 0, 0, 0xff};
	struct sim_end *end = event->object;

	(void)world;
	if (end->connection && !end->host->dead)
		connection_resolved(end->connection, end->route, gateway);
	if (!end->host->dead)
		sim_end_poll(world, end);
}

/* TCP for ever: what was written meanwhile goes there. */
static void fell_back(struct sim_world *world, struct sim_end *end,
		      const struct proto_action *action)
{
	if (end->mode != SIM_RENDEZVOUS)
		sim_fail(world, "%u.%u falls back after it was SMC", sim_host_name(end->host),
			 end->index);
	end->mode = SIM_TCP;
	end->late = action->late;
	world->fell_back++;
	sim_trace(world, "%u.%u TCP: %08x", sim_host_name(end->host), end->index, action->number);
}

static void ended(struct sim_world *world, struct sim_end *end, const struct proto_action *action)
{
	const struct sim_end *peer = end->peer;

	if (action->position != end->readable)
		sim_fail(world, "the end is at %llu, the data at %llu",
			 (unsigned long long)action->position, (unsigned long long)end->readable);
	if (action->number & (CDC_CLOSED | CDC_ABNORMAL_CLOSE))
		end->peer_gone = true;
	if (action->number & CDC_ABNORMAL_CLOSE || end->closed)
		return;
	if (action->number & CDC_CLOSED && peer->unread_at_close)
		sim_fail(world, "%u.%u: a close with unread data looks clean",
			 sim_host_name(end->host), end->index);
	if (end->readable != peer->written || !(peer->shut || peer->closed))
		sim_fail(world, "%u.%u: a clean end after %llu of %llu bytes",
			 sim_host_name(end->host), end->index, (unsigned long long)end->readable,
			 (unsigned long long)peer->written);
	end->eof = true;
}

static void look_at_tcp(struct sim_world *world, struct sim_event *event)
{
	struct sim_end *end = event->object;

	if (!end->host->dead)
		sim_end_poll(world, end);
}

/* What happens to the TCP connection. */
static void tcp_act(struct sim_world *world, struct sim_end *end, const struct proto_action *action)
{
	switch (action->type) {
	case PROTO_TCP_SEND:
		sim_tcp_send(world, end, action->bytes, action->length);
		/* Who has sent waits for an answer, which may be there already. */
		sim_plan(world, world->now, look_at_tcp, end);
		break;
	case PROTO_TCP_RESET:
		sim_tcp_reset(world, end);
		break;
	default:
		sim_tcp_fin(world, end);
	}
}

/* Where the rendezvous leads to. */
static void mode_act(struct sim_world *world, struct sim_end *end,
		     const struct proto_action *action)
{
	switch (action->type) {
	case PROTO_RESOLVE:
		sim_plan(world, world->now + sim_below(world, 20), resolved, end);
		break;
	case PROTO_CONNECTED:
		end->mode = SIM_SMC;
		end->region = action->connection->rmb->engine;
		world->rested += end->region->connections++ > 0;
		world->moved++;
		sim_trace(world, "%u.%u SMC", sim_host_name(end->host), end->index);
		break;
	case PROTO_FELL_BACK:
		fell_back(world, end, action);
		break;
	default: /* PROTO_FAILED */
		end->mode = SIM_FAILED;
		end->reset = true;
	}
}

/* What the application learns. */
static void stream_act(struct sim_world *world, struct sim_end *end,
		       const struct proto_action *action)
{
	switch (action->type) {
	case PROTO_READABLE:
		end->readable = action->position;
		break;
	case PROTO_RELEASED:
		end->released = action->position;
		break;
	case PROTO_URGENT:
		end->peer_urgent = action->position;
		break;
	case PROTO_ENDED:
		ended(world, end, action);
		break;
	case PROTO_RESET:
		sim_trace(world, "%u.%u reset", sim_host_name(end->host), end->index);
		end->reset = true;
		break;
	case PROTO_GONE:
		sim_trace(world, "%u.%u gone", sim_host_name(end->host), end->index);
		end->connection = NULL;
		sim_place_leave(world, end);
		break;
	default: /* PROTO_URGENT_PENDING */
		break;
	}
}

static void connection_act(struct sim_world *world, struct sim_end *end,
			   const struct proto_action *action)
{
	switch (action->type) {
	case PROTO_TCP_SEND:
	case PROTO_TCP_SHUT_DOWN_WRITE:
	case PROTO_TCP_SHUT_DOWN:
	case PROTO_TCP_RESET:
		tcp_act(world, end, action);
		break;
	case PROTO_RESOLVE:
	case PROTO_CONNECTED:
	case PROTO_FELL_BACK:
	case PROTO_FAILED:
		mode_act(world, end, action);
		break;
	default:
		stream_act(world, end, action);
	}
	sim_wake(world, end);
}

static void emit(void *context, const struct proto_action *action)
{
	struct sim_host *host = context;
	struct sim_world *world = host->world;

	switch (action->type) {
	case PROTO_TIMER_START:
		timer_start(world, host, action);
		break;
	case PROTO_TIMER_STOP:
		timer_stop(host, action->timer);
		break;
	case PROTO_LINK_CREATE:
	case PROTO_LINK_CONNECT:
	case PROTO_LINK_DESTROY:
	case PROTO_SEND:
	case PROTO_WRITE:
	case PROTO_REGISTER:
	case PROTO_DEREGISTER:
		sim_fabric_act(world, host, action);
		break;
	default:
		connection_act(world, action->connection->engine, action);
	}
}

void sim_host_start(struct sim_world *world, struct sim_host *host,
		    const struct proto_config *config)
{
	const struct proto_environment environment = {.context = host,
						      .emit = emit,
						      .allocate = allocate,
						      .release = release,
						      .random = number};

	memset(host, 0, sizeof(*host));
	host->world = world;
	list_init(&host->memory);
	proto_host_init(&host->proto, config, &environment);
}

void sim_end_start(struct sim_world *world, struct sim_event *event)
{
	struct sim_end *end = event->object;
	unsigned int deny_percent = world->deny_percent;
	struct connection *connection;

	if (end->host->dead)
		return;
	end->started = true;
	sim_place_take(world, end);
	world->deny_percent = 0; /* what else could an engine do but close the connection? */
	connection = connection_start(&end->host->proto, &end->facts, end);
	world->deny_percent = deny_percent;
	if (connection && end->mode == SIM_RENDEZVOUS)
		end->connection = connection;
	if (end->tcp_dead)
		sim_tcp_reset_seen(world, end);
	sim_end_poll(world, end);
	sim_wake(world, end);
}

/* Bytes for the protocol. */
static void poll_protocol(struct sim_end *end)
{
	struct sim_half *in = &end->in;

	while (end->connection) {
		size_t there = in->arrived - in->taken;
		size_t wanted = connection_tcp_wanted(end->connection);
		size_t n = wanted < there ? wanted : there;
		size_t taken;

		if (!wanted)
			return;
		if (!n) {
			if (in->fin)
				connection_tcp_ended(end->connection);
			return;
		}
		taken = connection_tcp_received(end->connection, in->bytes + in->taken, n);
		in->taken += taken < there ? taken : there;
		if (!taken)
			return;
	}
}

void sim_poll_late(struct sim_end *end)
{
	struct sim_half *in = &end->in;

	while (end->late && in->arrived > in->taken) {
		int drop = rendezvous_late(end->facts.role, in->bytes + in->taken,
					   in->arrived - in->taken);

		if (drop == -EAGAIN && !in->fin)
			return;
		if (drop > 0)
			in->taken += (size_t)drop;
		end->late = drop > 0;
	}
}

void sim_end_poll(struct sim_world *world, struct sim_end *end)
{
	if (!end->started)
		return;
	poll_protocol(end);
	if (end->mode == SIM_TCP)
		sim_poll_late(end);
	sim_wake(world, end);
}
