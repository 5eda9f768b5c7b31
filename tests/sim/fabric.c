/* SPDX-License-Identifier: MIT */
/*
 * RDMA: queue pairs whose messages arrive in order or not at all, and memory that must be registered
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define ERROR_TIME (1500U * SIM_MS) /* until retries are given up, at most */
#define MAP_TIME 50U /* to make a queue pair or a region, at most */

static struct sim_queue_pair *queue_pair_numbered(struct sim_world *world, uint32_t number)
{
	return number >= 16 && number < 16 + world->queue_pair_count
		       ? &world->queue_pairs[number - 16]
		       : NULL;
}

static struct sim_region *region_with(struct sim_world *world, uint32_t rkey)
{
	return rkey >= 0x100 && rkey < 0x100 + world->region_count ? &world->regions[rkey - 0x100]
								   : NULL;
}

static void created(struct sim_world *world, struct sim_event *event)
{
	struct sim_queue_pair *pair = event->object;

	if (pair->link && !pair->host->dead)
		link_created(pair->link, !sim_percent(world, world->deny_percent), pair->number);
}

static void connected(struct sim_world *world, struct sim_event *event)
{
	struct sim_queue_pair *pair = event->object;
	bool ok = !sim_percent(world, world->deny_percent);

	if (!pair->link || pair->host->dead)
		return;
	pair->peer = queue_pair_numbered(world, pair->link->peer.queue_pair);
	if (!pair->peer)
		sim_fail(world, "connected to queue pair %x, which there is not",
			 pair->link->peer.queue_pair);
	pair->receives = true;
	pair->sends = event->flag;
	link_connected(pair->link, ok);
}

static void registered(struct sim_world *world, struct sim_event *event)
{
	struct sim_region *region = event->object;

	if (region->rmb && !region->host->dead)
		rmb_registered(region->rmb, !sim_percent(world, world->deny_percent), region->rkey,
			       region->address);
}

static void failed(struct sim_world *world, struct sim_event *event)
{
	struct sim_queue_pair *pair = event->object;

	if (!pair->link || pair->host->dead)
		return;
	sim_trace(world, "%u link fails", sim_host_name(pair->host));
	if (pair->posted && event->flag) {
		pair->posted--;
		link_sent(pair->link, false);
	} else {
		link_failed(pair->link);
	}
}

static void plan_failure(struct sim_world *world, struct sim_queue_pair *pair)
{
	struct sim_event *event =
		sim_plan(world, world->now + sim_below(world, ERROR_TIME), failed, pair);

	event->flag = true;
}

void sim_break(struct sim_world *world, struct sim_queue_pair *pair)
{
	struct sim_queue_pair *ends[2] = {pair, pair->peer};

	world->faults = true;
	for (unsigned int i = 0; i < 2; i++) {
		if (!ends[i] || ends[i]->broken)
			continue;
		ends[i]->broken = true;
		/* One that has nothing under way may only learn it from TEST LINK. */
		if (ends[i]->posted || sim_percent(world, 30))
			plan_failure(world, ends[i]);
	}
}

static void completed(struct sim_world *world, struct sim_event *event)
{
	struct sim_queue_pair *pair = event->object;

	if (!pair->link || pair->host->dead || pair->broken)
		return;
	if (!pair->posted)
		sim_fail(world, "a completion too many");
	pair->posted--;
	link_sent(pair->link, true);
}

/* Can @pair's message arrive?  If not, its sender learns that later. */
static bool arrives(struct sim_world *world, struct sim_queue_pair *pair)
{
	struct sim_queue_pair *to = pair->peer;

	if (pair->broken)
		return false;
	if (!to->link || to->host->dead || !to->receives || to->broken) {
		pair->broken = true;
		plan_failure(world, pair);
		return false;
	}
	if (to->peer != pair || to->link->peer.sequence != pair->link->sequence)
		sim_fail(world, "the two queue pairs do not fit together");
	return true;
}

static struct sim_event *plan_arrival(struct sim_world *world, struct sim_queue_pair *pair,
				      void (*act)(struct sim_world *, struct sim_event *),
				      void *object)
{
	uint64_t time = world->now + 1 + sim_below(world, world->rdma_delay);

	if (!pair->sends)
		sim_fail(world, "something is posted before the queue pair is ready");
	if (time < pair->last_arrival)
		time = pair->last_arrival;
	pair->last_arrival = time;
	pair->flying++;
	return sim_plan(world, time, act, object);
}

static void trace_message(struct sim_world *world, const struct sim_queue_pair *to,
			  const uint8_t *bytes)
{
	unsigned int host = sim_host_name(to->host);
	struct llc_message llc;
	struct cdc_message cdc;

	if (!world->trace)
		return;
	if (cdc_decode(&cdc, bytes, CDC_LENGTH, NULL) == 0)
		sim_trace(world, "%u receives CDC %u for %x: %u:%u, %u:%u, flags %02x %02x", host,
			  cdc.sequence, cdc.token, cdc.producer.wrap, cdc.producer.offset,
			  cdc.consumer.wrap, cdc.consumer.offset, cdc.producer_flags,
			  cdc.connection_flags);
	else if (llc_decode(&llc, bytes, LLC_LENGTH, NULL) == 0)
		sim_trace(world, "%u receives %s%s, flags %02x", host, llc_type_name(llc.type),
			  llc.flags & LLC_RESPONSE ? " response" : "", llc.flags);
}

/* A server that would have a second link, as Linux's would, asks for it; ours does not. */
static void add_link_arrived(struct sim_world *world, struct sim_event *event)
{
	struct sim_queue_pair *pair = event->object;
	struct llc_message message = {.type = LLC_ADD_LINK};
	uint8_t bytes[LLC_ADD_LINK_V2_LENGTH];
	int length;

	pair->flying--;
	if (!pair->link || !arrives(world, pair))
		return;
	message.version = pair->link->group->version;
	message.length = llc_length(&message);
	message.add_link.link = 2;
	message.add_link.mtu = 1;
	length = llc_encode(&message, bytes, sizeof(bytes));
	sim_trace(world, "%u receives ADD LINK", sim_host_name(pair->peer->host));
	link_received(pair->peer->link, bytes, (size_t)length);
}

static void send_arrived(struct sim_world *world, struct sim_event *event)
{
	struct sim_queue_pair *pair = event->object;
	uint64_t time = world->now + sim_below(world, world->rdma_delay);

	pair->flying--;
	if (!pair->link || !arrives(world, pair))
		return;
	if (time < pair->last_completion)
		time = pair->last_completion;
	pair->last_completion = time;
	sim_plan(world, time, completed, pair);
	trace_message(world, pair->peer, event->bytes);
	link_received(pair->peer->link, event->bytes, sizeof(event->bytes));
	if ((event->bytes[0] & 0xdf) == LLC_CONFIRM_LINK && event->bytes[3] & LLC_RESPONSE &&
	    sim_percent(world, 50))
		plan_arrival(world, pair->peer, add_link_arrived, pair->peer);
}

static void write_arrived(struct sim_world *world, struct sim_event *event)
{
	struct sim_end *writer = event->object;
	struct sim_queue_pair *pair = &world->queue_pairs[event->address >> 56];
	uint64_t address = event->address & 0xffffffffffffffULL;
	struct sim_region *region = region_with(world, event->rkey);
	size_t length = event->length;

	pair->flying--;
	if (!pair->link || !arrives(world, pair))
		return;
	if (!region || !region->rmb || region->host != pair->peer->host)
		sim_fail(world, "a WRITE to memory that is not registered");
	if (address < region->address || address + length > region->address + region->size)
		sim_fail(world, "a WRITE beyond its region");
	if (event->number < writer->released || event->number + length > writer->written)
		sim_fail(world, "a WRITE of bytes that are not in the send buffer");
	memcpy(region->bytes + (address - region->address),
	       sim_pattern(writer, event->number, &length), event->length);
}

static void post_send(struct sim_world *world, const struct proto_action *action)
{
	struct sim_queue_pair *pair = action->link->engine;
	struct sim_event *event = plan_arrival(world, pair, send_arrived, pair);

	memcpy(event->bytes, action->bytes, action->length);
	if (++pair->posted > PROTO_SENDS)
		sim_fail(world, "more SENDs than a link has room for");
	if (pair->broken && pair->posted == 1)
		plan_failure(world, pair);
}

static void post_write(struct sim_world *world, const struct proto_action *action)
{
	struct sim_queue_pair *pair = action->link->engine;
	struct sim_event *event =
		plan_arrival(world, pair, write_arrived, action->connection->engine);

	event->number = action->position;
	event->length = action->length;
	event->rkey = action->rkey;
	event->address = action->address | (uint64_t)(pair - world->queue_pairs) << 56;
}

static void create(struct sim_world *world, struct sim_host *host, struct link *link)
{
	struct sim_queue_pair *pair = &world->queue_pairs[world->queue_pair_count++];

	if (world->queue_pair_count == SIM_QUEUE_PAIRS_MAX)
		sim_fail(world, "queue pairs without end");
	*pair = (struct sim_queue_pair){
		.host = host, .link = link, .number = 15 + world->queue_pair_count};
	link->engine = pair;
	host->queue_pairs++;
	sim_plan(world, world->now + sim_below(world, MAP_TIME), created, pair);
}

static void make_region(struct sim_world *world, struct sim_host *host, struct rmb *rmb)
{
	struct sim_region *region = &world->regions[world->region_count];
	struct sim_end *end = rmb->connection->engine;

	if (++world->region_count == SIM_REGIONS_MAX)
		sim_fail(world, "regions without end");
	*region = (struct sim_region){.host = host,
				      .rmb = rmb,
				      .rkey = 0xff + world->region_count,
				      .address = 0x100000U * world->region_count,
				      .size = rmb->size,
				      .place = end->place,
				      .bytes = end->place ? end->place->bytes : malloc(rmb->size)};
	if (!region->bytes)
		abort();
	rmb->engine = region;
	if (end->place)
		end->place->regions++;
	host->regions++;
	sim_plan(world, world->now + sim_below(world, MAP_TIME), registered, region);
}

/* The peer would wait for acknowledgements that nobody sends. */
static void destroy(struct sim_world *world, struct sim_queue_pair *pair)
{
	const struct sim_queue_pair *peer = pair->peer;
	bool in_time = pair->ending && world->now < pair->ending + PROTO_LLC_WAIT * SIM_MS;

	if (in_time && peer && peer->peer == pair && peer->flying && !peer->broken &&
	    !peer->host->dead && !pair->broken)
		sim_fail(world, "a stopped host does not wait for its peer's messages");
	pair->link = NULL;
	pair->host->queue_pairs--;
}

void sim_fabric_act(struct sim_world *world, struct sim_host *host,
		    const struct proto_action *action)
{
	struct sim_queue_pair *pair = action->link ? action->link->engine : NULL;
	struct sim_region *region = action->rmb ? action->rmb->engine : NULL;

	switch (action->type) {
	case PROTO_LINK_CREATE:
		create(world, host, action->link);
		break;
	case PROTO_LINK_CONNECT:
		sim_plan(world, world->now + sim_below(world, MAP_TIME), connected, pair)->flag =
			action->number;
		break;
	case PROTO_LINK_DESTROY:
		destroy(world, pair);
		break;
	case PROTO_SEND:
		post_send(world, action);
		break;
	case PROTO_WRITE:
		post_write(world, action);
		break;
	case PROTO_REGISTER:
		make_region(world, host, action->rmb);
		break;
	default: /* PROTO_DEREGISTER */
		region->rmb = NULL; /* (the program still has the memory) */
		if (region->place)
			region->place->regions--;
		host->regions--;
	}
}
