/* SPDX-License-Identifier: MIT */
/*
 * A schedule: what a seed makes of a world, and what must hold when all is over
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define SECOND (1000U * SIM_MS)

static uint8_t eid_of(struct sim_world *world, struct proto_config *config)
{
	static const char *const names[] = {"GROUP-A", "GROUP-B", "GROUP-C"};
	uint8_t count = 0;

	for (unsigned int i = 0; i < 3; i++) {
		if (!sim_percent(world, i == 0 ? 93 : 40))
			continue;
		memset(config->eids[count], ' ', CLC_EID_SIZE);
		memcpy(config->eids[count++], names[i], strlen(names[i]));
	}
	return count;
}

static void host_set_up(struct sim_world *world, unsigned int which)
{
	struct proto_config config = {
		.peer_id = {(uint8_t)sim_random(world), (uint8_t)which, 2, 0, 0, 0, 0,
			    (uint8_t)which},
		.v1 = sim_percent(world, 60),
		.v2 = sim_percent(world, 85),
		.gid_v1 = {0xfe, 0x80, [15] = (uint8_t)(which + 1)},
		.gid_v2 = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(which + 1)},
		.mac = {2, 0, 0, 0, 0, (uint8_t)which},
		.mtu = (uint8_t)(1 + sim_below(world, 5)),
		.release = sim_percent(world, 75),
		.max_connections =
			(uint8_t)(sim_percent(world, 90) ? 255 : 10 + sim_below(world, 20)),
		.max_links = sim_percent(world, 80) ? 1 : 2,
		.features = 1,
	};

	config.eid_count = eid_of(world, &config);
	memset(config.name, ' ', sizeof(config.name));
	sim_host_start(world, &world->hosts[which], &config);
}

static void facts_set_up(struct sim_world *world, struct sim_end *end, enum proto_role role)
{
	struct rendezvous_facts *facts = &end->facts;

	facts->role = role;
	facts->agreed = true;
	facts->refusal = sim_percent(world, 2) ? CLC_IPSEC : 0;
	facts->ipv4 = sim_percent(world, 95);
	facts->v1 = facts->v2 = sim_percent(world, 97);
	facts->vlan = sim_percent(world, 98) ? 0 : RENDEZVOUS_NO_VLAN;
	facts->prefix_count = sim_percent(world, 97) ? 1 : 0;
	facts->prefixes[0].address[0] = sim_percent(world, 95) ? 10 : 11;
	facts->prefixes[0].length = 16;
	facts->element = 16384U << sim_below(world, 3);
}

static void end_set_up(struct sim_world *world, struct sim_end *end)
{
	unsigned int style = (unsigned int)sim_below(world, 100);

	end->style = style < 65 || (style < 80 && end->peer->style == SIM_RESPONDS)
			     ? SIM_HALF_CLOSES
		     : style < 80 ? SIM_RESPONDS
		     : style < 94 ? SIM_CLOSES
				  : SIM_ABORTS;
	world->rough |= end->style >= SIM_CLOSES;
	end->to_write = sim_percent(world, 40)
				? sim_below(world, 300)
				: sim_below(world, sim_percent(world, 30) ? 150000 : 20000);
	end->chunk = 1 + (uint32_t)(end->to_write / 100) +
		     (uint32_t)sim_below(world, sim_percent(world, 50) ? 9000 : 40000);
	end->pace = 1 + (uint32_t)sim_below(world, sim_percent(world, 80) ? 100 : 5 * SIM_MS);
	end->buffer = 16384U << sim_below(world, 3);
	end->linger = end->style == SIM_CLOSES && sim_percent(world, 20)
			      ? (uint32_t)sim_below(world, 3000)
			      : CONNECTION_NO_LINGER;
	end->urgent_percent = sim_percent(world, 25) ? 10 : 0;
}

static void pair_set_up(struct sim_world *world, unsigned int index)
{
	struct sim_end *client = &world->ends[index][0], *server = &world->ends[index][1];
	unsigned int host = index == 0 ? 0 : sim_percent(world, 20);
	uint64_t start = sim_below(world, index ? 40 * SIM_MS : 1);
	uint64_t accept = sim_percent(world, 97) ? sim_below(world, 3 * SIM_MS)
						 : sim_below(world, 8 * SECOND);
	unsigned int percent = (unsigned int)sim_below(world, 100);

	memset(client, 0, sizeof(*client));
	memset(server, 0, sizeof(*server));
	client->host = &world->hosts[host];
	server->host = &world->hosts[!host];
	client->peer = server;
	server->peer = client;
	client->index = 2 * index;
	server->index = 2 * index + 1;
	client->in.to = client;
	server->in.to = server;
	facts_set_up(world, client, PROTO_CLIENT);
	facts_set_up(world, server, PROTO_SERVER);
	server->facts.ipv4 = client->facts.ipv4;
	client->route = server->route = percent < 85   ? RENDEZVOUS_DIRECT
					: percent < 97 ? RENDEZVOUS_ROUTED
						       : RENDEZVOUS_UNREACHABLE;
	if (sim_percent(world, 2))
		client->route = (enum rendezvous_route)sim_below(world, 3);
	end_set_up(world, client);
	end_set_up(world, server);
	sim_plan(world, start, sim_end_start, client);
	sim_plan(world, start + accept, sim_end_start, server);
}

static void link_breaks(struct sim_world *world, struct sim_event *event)
{
	(void)event;
	if (world->queue_pair_count)
		sim_break(world, &world->queue_pairs[sim_below(world, world->queue_pair_count)]);
}

static void host_dies(struct sim_world *world, struct sim_event *event)
{
	struct sim_host *host = event->object;

	world->faults = true;
	host->dead = true;
	sim_trace(world, "%u dies", sim_host_name(host));
	for (unsigned int i = 0; i < world->pairs; i++)
		for (unsigned int j = 0; j < 2; j++)
			if (world->ends[i][j].host == host)
				sim_tcp_reset(world, &world->ends[i][j]);
}

/* The daemon is stopped, and started again: it knows of nothing any more. */
static void host_stops(struct sim_world *world, struct sim_event *event)
{
	struct sim_host *host = event->object;

	world->faults = true;
	sim_trace(world, "%u stops", sim_host_name(host));
	for (unsigned int i = 0; i < world->queue_pair_count; i++) {
		struct sim_queue_pair *pair = &world->queue_pairs[i];

		if (pair->host == host && pair->link && pair->link->state == LINK_ACTIVE)
			pair->ending = world->now;
	}
	proto_host_end(&host->proto);
	if (!list_empty(&host->proto.connections))
		sim_fail(world, "a stopped host has connections left");
	if (sim_percent(world, 80))
		return; /* the groups wait for their peers; nothing may be left in the end */
	for (unsigned int i = 0; i < world->queue_pair_count; i++)
		world->queue_pairs[i].ending = 0;
	proto_host_stop(&host->proto);
	if (host->regions || host->queue_pairs || host->timers || !list_empty(&host->memory))
		sim_fail(world, "a stopped host has something left");
}

static void faults_set_up(struct sim_world *world)
{
	uint64_t time = sim_below(world, sim_percent(world, 70) ? 20 * SIM_MS : 2 * SECOND);
	unsigned int kind = (unsigned int)sim_below(world, 100);

	world->tcp_delay = 1 + (uint32_t)sim_below(world, sim_percent(world, 60) ? 50 : 3 * SIM_MS);
	world->rdma_delay =
		1 + (uint32_t)sim_below(world, sim_percent(world, 60) ? 30 : 3 * SIM_MS);
	if (kind < 15) {
		sim_plan(world, time, link_breaks, world);
	} else if (kind < 22) {
		sim_plan(world, time, host_dies, &world->hosts[sim_below(world, SIM_HOSTS)]);
	} else if (kind < 25) {
		sim_plan(world, time, host_stops, &world->hosts[sim_below(world, SIM_HOSTS)]);
	} else if (kind < 30) {
		world->tcp_delay = 8 * SECOND;
		world->faults = true;
	} else if (kind < 38) {
		world->deny_percent = 1 + (unsigned int)sim_below(world, 15);
	}
}

static void set_up(struct sim_world *world)
{
	for (unsigned int i = 0; i < SIM_HOSTS; i++)
		host_set_up(world, i);
	if (sim_percent(world, 80)) { /* else there is seldom anything to agree on */
		world->hosts[1].proto.config.v1 = world->hosts[0].proto.config.v1;
		world->hosts[1].proto.config.v2 = world->hosts[0].proto.config.v2;
	}
	world->pairs = 1 + (unsigned int)sim_below(world, SIM_PAIRS_MAX);
	for (unsigned int i = 0; i < world->pairs; i++)
		pair_set_up(world, i);
	faults_set_up(world);
}

static void check_end(struct sim_world *world, const struct sim_end *end)
{
	const struct sim_end *peer = end->peer;

	if (end->host->dead)
		return;
	if (!end->closed || end->mode == SIM_RENDEZVOUS)
		sim_fail(world, "%u.%u: waits for ever", sim_host_name(end->host), end->index);
	if (!peer->host->dead && end->mode != peer->mode && !end->reset && !peer->reset &&
	    !end->aborted && !peer->aborted)
		sim_fail(world, "%u.%u: the ends do not agree and do not know", end->index,
			 peer->index);
	if (world->faults || world->rough)
		return;
	if (end->reset)
		sim_fail(world, "%u.%u: an error without a reason", sim_host_name(end->host),
			 end->index);
	if (end->mode == SIM_SMC && end->peer_urgent != peer->urgent_at)
		sim_fail(world, "%u.%u: the last urgent byte is at %llu, not %llu",
			 sim_host_name(end->host), end->index, (unsigned long long)peer->urgent_at,
			 (unsigned long long)end->peer_urgent);
	if (end->read != peer->written || end->written != end->to_write)
		sim_fail(world, "%u.%u: data is missing", sim_host_name(end->host), end->index);
}

static void check_host(struct sim_world *world, const struct sim_host *host)
{
	unsigned int name = sim_host_name(host);

	if (host->dead)
		return;
	if (host->regions)
		sim_fail(world, "host %u: %u regions are left", name, host->regions);
	if (host->queue_pairs)
		sim_fail(world, "host %u: %u queue pairs are left", name, host->queue_pairs);
	if (host->timers)
		sim_fail(world, "host %u: %u timers are left", name, host->timers);
	if (!list_empty(&host->memory) || !list_empty(&host->proto.connections) ||
	    !list_empty(&host->proto.groups))
		sim_fail(world, "host %u: memory is left", name);
}

static void event_free(struct sim_world *world, struct sim_event *event)
{
	event->next_free = world->free_events;
	world->free_events = event;
}

static void clean_up(struct sim_world *world)
{
	while (world->heap_size)
		event_free(world, world->heap[--world->heap_size]);
	if (world->present)
		event_free(world, world->present);
	world->present = NULL;
	for (unsigned int i = 0; i < SIM_HOSTS; i++)
		sim_host_free(&world->hosts[i]);
	for (unsigned int i = 0; i < world->region_count; i++)
		if (!world->regions[i].place)
			free(world->regions[i].bytes);
	for (unsigned int i = 0; i < world->pairs; i++) {
		free(world->ends[i][0].in.bytes);
		free(world->ends[i][1].in.bytes);
	}
	world->region_count = world->queue_pair_count = world->pairs = 0;
}

/* What holds between any two events. */
static void check_connection(struct sim_world *world, const struct sim_end *end)
{
	const struct connection *c = end->connection;

	if (!c || end->host->dead)
		return;
	if (c->sent > c->written || c->released > c->sent || c->peer_consumed > c->sent)
		sim_fail(world, "%u.%u: cursors of the sender cross", sim_host_name(end->host),
			 end->index);
	if (c->peer_size && c->sent - c->peer_consumed > c->peer_size)
		sim_fail(world, "%u.%u: more is written than the element holds",
			 sim_host_name(end->host), end->index);
	if (c->consumed > c->produced || c->confirmed > c->consumed ||
	    c->produced - c->consumed > c->size)
		sim_fail(world, "%u.%u: cursors of the receiver cross", sim_host_name(end->host),
			 end->index);
	if (c->group && c->group->connections[c->slot] != c)
		sim_fail(world, "%u.%u: no member of its group", sim_host_name(end->host),
			 end->index);
}

static void check_step(struct sim_world *world)
{
	for (unsigned int i = 0; i < world->pairs; i++) {
		check_connection(world, &world->ends[i][0]);
		check_connection(world, &world->ends[i][1]);
	}
}

static void run_all(struct sim_world *world)
{
	unsigned int steps = 0;

	set_up(world);
	while (sim_step(world)) {
		check_step(world);
		if (++steps == SIM_STEPS_MAX)
			sim_fail(world, "it does not end");
	}
	for (unsigned int i = 0; i < world->pairs; i++) {
		check_end(world, &world->ends[i][0]);
		check_end(world, &world->ends[i][1]);
	}
	for (unsigned int i = 0; i < SIM_HOSTS; i++)
		check_host(world, &world->hosts[i]);
}

bool sim_run(struct sim_world *world, uint64_t seed, bool trace, bool quiet)
{
	volatile bool good = true;

	world->seed = world->random = seed;
	world->now = world->planned = 0;
	world->faults = world->rough = false;
	world->deny_percent = 0;
	world->trace = trace;
	world->told = !quiet;
	if (setjmp(world->failed) == 0)
		run_all(world);
	else
		good = false;
	clean_up(world);
	return good;
}
