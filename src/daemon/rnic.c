/* SPDX-License-Identifier: MIT */
#include "daemon/rnic.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>

#include "daemon/address.h"
#include "daemon/log.h"
#include "daemon/remote.h"
#include "fabric/soft/udp.h"
#include "proto/connection.h"
#include "proto/link.h"
#include "proto/rkey.h"

#define NS_PER_MS 1000000ULL
#define ROUNDS_A_TURN 64U /* of completions and answers, before others have their turn */

/**
 * struct timer - a timer of the protocol
 */
struct timer {
	struct loop_timer loop;
	struct proto_timer *proto;
	struct rnic *rnic;
};

uint64_t rnic_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

struct answer *rnic_answer(struct rnic *rnic, enum answer_kind kind)
{
	struct answer *answer = calloc(1, sizeof(*answer));

	if (!answer)
		return NULL;
	answer->kind = kind;
	*rnic->answers_end = answer;
	rnic->answers_end = &answer->next;
	return answer;
}

void rnic_forget(struct rnic *rnic, const void *object)
{
	struct answer **at = &rnic->answers, *answer;

	while ((answer = *at)) {
		if (answer->link == object || answer->rmb == object ||
		    answer->connection == object) {
			*at = answer->next;
			free(answer);
		} else {
			at = &answer->next;
		}
	}
	rnic->answers_end = at;
}

static struct answer *next_answer(struct rnic *rnic)
{
	struct answer *answer = rnic->answers;

	if (!answer)
		return NULL;
	rnic->answers = answer->next;
	if (!rnic->answers)
		rnic->answers_end = &rnic->answers;
	return answer;
}

static void give_registered(struct rmb *rmb, bool ok)
{
	uint64_t address = 0;
	uint32_t rkey = 0;

	if (ok)
		rnic_rmb_name(rmb, &rkey, &address);
	rmb_registered(rmb, ok, rkey, address);
}

static void give(const struct answer *answer)
{
	static const uint8_t unknown[CLC_MAC_SIZE];

	switch (answer->kind) {
	case ANSWER_CREATED:
		link_created(answer->link, answer->ok,
			     answer->ok ? rnic_link_number(answer->link) : 0);
		break;
	case ANSWER_CONNECTED:
		link_connected(answer->link, answer->ok);
		break;
	case ANSWER_REGISTERED:
		give_registered(answer->rmb, answer->ok);
		break;
	case ANSWER_RESOLVED: /* who sends packets by sockets does not need the gateway's MAC */
		connection_resolved(answer->connection, answer->route, unknown);
		break;
	}
}

/* Timers */

static void expired(void *context)
{
	struct timer *timer = context;
	struct proto_timer *proto = timer->proto;
	struct rnic *rnic = timer->rnic;

	proto->engine = NULL;
	free(timer);
	proto_timer_expired(&rnic->host, proto);
}

static void timer_stop(struct rnic *rnic, struct proto_timer *proto)
{
	struct timer *timer = proto->engine;

	if (!timer)
		return;
	loop_timer_stop(rnic->engine->loop, &timer->loop);
	proto->engine = NULL;
	free(timer);
}

static void timer_start(struct rnic *rnic, struct proto_timer *proto, uint32_t milliseconds)
{
	struct timer *timer = proto->engine;

	if (!timer)
		timer = calloc(1, sizeof(*timer));
	if (!timer) {
		log_say(LOG_ERR, "no memory for a timer: something may wait for ever");
		return;
	}
	proto->engine = timer;
	timer->proto = proto;
	timer->rnic = rnic;
	timer->loop.handler = expired;
	timer->loop.context = timer;
	loop_timer_start(rnic->engine->loop, &timer->loop, milliseconds);
}

/* The environment of the protocol */

static void resolve(struct rnic *rnic, struct connection *connection, const uint8_t *gid)
{
	struct network *network = &rnic->engine->network;
	struct answer *answer = rnic_answer(rnic, ANSWER_RESOLVED);

	if (!answer)
		return;
	network_refresh(network, rnic->engine->loop->now);
	answer->connection = connection;
	/* (to its own networks an interface has a route) */
	answer->route = network_is_direct(network, rnic->name, gid) ? RENDEZVOUS_DIRECT
			: network_has_route(gid)		    ? RENDEZVOUS_ROUTED
								    : RENDEZVOUS_UNREACHABLE;
}

static void emit(void *context, const struct proto_action *action)
{
	struct rnic *rnic = context;

	switch (action->type) {
	case PROTO_TIMER_START:
		timer_start(rnic, action->timer, action->number);
		break;
	case PROTO_TIMER_STOP:
		timer_stop(rnic, action->timer);
		break;
	case PROTO_LINK_CREATE:
	case PROTO_LINK_CONNECT:
	case PROTO_LINK_DESTROY:
	case PROTO_SEND:
	case PROTO_WRITE:
	case PROTO_REGISTER:
	case PROTO_DEREGISTER:
		rnic_act(rnic, action);
		break;
	case PROTO_RESOLVE:
		resolve(rnic, action->connection, action->gid);
		break;
	default:
		if (action->type == PROTO_GONE)
			rnic_forget(rnic, action->connection);
		remote_act(action->connection->engine, action);
	}
}

static void *allocate(void *context, size_t size)
{
	(void)context;
	return calloc(1, size);
}

static void release(void *context, void *memory)
{
	(void)context;
	free(memory);
}

static uint32_t random_number(void *context)
{
	uint32_t number = 0;

	(void)context;
	while (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		;
	return number;
}

/* What the adapter is like now goes into what the protocol says of it. */
static void describe(struct rnic *rnic, struct proto_config *config)
{
	struct fabric_port port;
	struct fabric_gid gid;

	config->v1 = config->v2 = false;
	if (fabric_port_query(rnic->device, &port))
		return;
	memcpy(config->mac, port.mac, sizeof(config->mac));
	config->mtu = port.mtu;
	for (unsigned int i = 0; i < FABRIC_GIDS_MAX && !config->v2; i++) {
		bool mapped;

		if (fabric_gid_query(rnic->device, i, &gid))
			continue;
		mapped = memcmp(gid.bytes, address_mapped_prefix, sizeof(address_mapped_prefix)) ==
			 0;
		if (config->v1 && !mapped)
			continue;
		config->v1 = true;
		rnic->gid_index[0] = i;
		memcpy(config->gid_v1, gid.bytes, sizeof(config->gid_v1));
		config->v2 = mapped;
		if (!mapped)
			continue;
		rnic->gid_index[1] = i;
		memcpy(config->gid_v2, gid.bytes, sizeof(config->gid_v2));
	}
	config->v1 = config->v1 && port.active && port.mtu;
	config->v2 = config->v2 && port.active && port.mtu;
}

static void on_device(void *context, uint32_t events)
{
	struct rnic *rnic = context;

	(void)events;
	fabric_take(rnic->device, rnic_now());
	rnic->taken = true;
}

static void start_protocol(struct rnic *rnic, const struct rnic_options *options)
{
	const struct proto_environment environment = {.context = rnic,
						      .emit = emit,
						      .allocate = allocate,
						      .release = release,
						      .random = random_number};
	struct proto_config config = options->proto;

	describe(rnic, &config);
	memcpy(config.peer_id, rnic->engine->instance, sizeof(rnic->engine->instance));
	memcpy(config.peer_id + sizeof(rnic->engine->instance), config.mac, sizeof(config.mac));
	proto_host_init(&rnic->host, &config, &environment);
	if (!config.v1 && !config.v2)
		log_say(LOG_WARNING, "RNIC %s: the port is down or has no address", rnic->name);
}

struct rnic *rnic_open(struct engine *engine, const struct rnic_options *options, int *error)
{
	const struct soft_config config = {.interface = options->interface,
					   .pnetid = options->pnetid[0] ? options->pnetid : NULL,
					   .faults = options->faults};
	struct rnic *rnic = calloc(1, sizeof(*rnic));

	*error = -ENOMEM;
	if (!rnic)
		return NULL;
	rnic->engine = engine;
	rnic->answers_end = &rnic->answers;
	strncpy(rnic->name, options->interface, sizeof(rnic->name) - 1);
	*error = soft_open(&config, &rnic->device);
	if (*error)
		goto no_device;
	rnic->vlan = network_vlan(rnic->name);
	start_protocol(rnic, options);
	rnic->watch = (struct loop_watch){fabric_descriptor(rnic->device), on_device, rnic};
	*error = loop_watch_add(engine->loop, &rnic->watch, EPOLLIN);
	if (*error)
		goto no_watch;
	return rnic;

no_watch:
	fabric_close(rnic->device);
no_device:
	free(rnic);
	return NULL;
}

void rnic_give_answers(struct rnic *rnic)
{
	struct answer *answer;

	while ((answer = next_answer(rnic))) {
		give(answer);
		free(answer);
	}
}

static void take_events(struct rnic *rnic)
{
	struct fabric_event event;

	while (fabric_event(rnic->device, &event)) {
		if (event.kind == FABRIC_QUEUE_PAIR_FATAL)
			rnic_fatal(&event);
		else
			describe(rnic, &rnic->host.config);
	}
}

/* One round of what the fabric and the protocol have for each other; false: nothing. */
static bool exchange(struct rnic *rnic)
{
	struct fabric_completion completion;
	bool any = rnic->answers;

	rnic_give_answers(rnic);
	/* One by one: what a completion leads to may destroy the queue pair of the next. */
	while (fabric_poll(rnic->device, &completion, 1)) {
		rnic_complete(&completion);
		any = true;
	}
	take_events(rnic);
	return any;
}

static int milliseconds_until(uint64_t deadline, uint64_t now)
{
	uint64_t left;

	if (deadline == FABRIC_NEVER)
		return LOOP_FOREVER;
	if (deadline <= now)
		return 0;
	left = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
	return left > INT_MAX ? INT_MAX : (int)left;
}

bool rnic_work(struct rnic *rnic)
{
	uint64_t now = rnic_now();
	unsigned int rounds = 0;

	if (!rnic->taken && fabric_deadline(rnic->device) <= now)
		fabric_take(rnic->device, now);
	rnic->taken = false;
	while (rounds < ROUNDS_A_TURN && exchange(rnic))
		rounds++;
	rnic->unfinished = rounds == ROUNDS_A_TURN;
	fabric_flush(rnic->device, rnic_now(), true);
	return rounds > 0;
}

int rnic_rest(struct rnic *rnic)
{
	const uint64_t now = rnic_now();

	fabric_flush(rnic->device, now, false);
	if (rnic->unfinished || rnic->answers)
		return 0;
	return milliseconds_until(fabric_deadline(rnic->device), now);
}

void rnic_close(struct rnic *rnic)
{
	proto_host_stop(&rnic->host);
	while (exchange(rnic))
		;
	fabric_flush(rnic->device, rnic_now(), false);
	loop_watch_remove(rnic->engine->loop, &rnic->watch);
	if (fabric_close(rnic->device))
		log_say(LOG_ERR, "RNIC %s: %u links and %u regions are left", rnic->name,
			rnic->link_count, rnic->rmb_count);
	free(rnic);
}
