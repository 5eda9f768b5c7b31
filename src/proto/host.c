/* SPDX-License-Identifier: MIT */
/*
 * One end of everything: what all other files use, timers, and the end
 */
#include <string.h>

#include "proto/connection.h"
#include "proto/link_group.h"
#include "proto/rendezvous.h"

void proto_host_init(struct proto_host *host, const struct proto_config *config,
		     const struct proto_environment *environment)
{
	memset(host, 0, sizeof(*host));
	host->config = *config;
	host->environment = *environment;
	list_init(&host->groups);
	list_init(&host->connections);
	list_init(&host->dead_groups);
	list_init(&host->dead_connections);
}

/* Out of the rendezvous, with a word to the peer if it has spoken of SMC. */
static void rendezvous_stop(struct connection *connection)
{
	if (connection->rendezvous->started || connection->rendezvous->filled)
		rendezvous_decline(connection, CLC_NO_DEVICE);
	else
		rendezvous_fall_back(connection, CLC_NO_DEVICE, true);
}

/* One that has not begun to end; NULL: there is none. */
static struct link_group *living_group(struct proto_host *host)
{
	list_each(node, after, &host->groups)
	{
		struct link_group *group = list_owner(node, struct link_group, of_host);

		if (group->state < LINK_GROUP_ENDING)
			return group;
	}
	return NULL;
}

void proto_host_end(struct proto_host *host)
{
	struct link_group *group;

	/* (connections that have waited for one may begin another) */
	while ((group = living_group(host)))
		link_group_end(group, LLC_DELETED_BY_OPERATOR);
	/* What is left belongs to no group: its rendezvous is not that far, or it waits to be closed. */
	while (!list_empty(&host->connections)) {
		struct connection *connection =
			list_owner(host->connections.next, struct connection, of_host);

		if (connection->rendezvous)
			rendezvous_stop(connection);
		else
			connection_finish(connection);
	}
	proto_leave(host);
}

void proto_host_stop(struct proto_host *host)
{
	proto_host_end(host);
	while (!list_empty(&host->groups))
		link_group_ended(list_owner(host->groups.next, struct link_group, of_host));
	proto_leave(host);
}

void proto_emit(struct proto_host *host, const struct proto_action *action)
{
	host->environment.emit(host->environment.context, action);
}

void *proto_allocate(struct proto_host *host, size_t size)
{
	return host->environment.allocate(host->environment.context, size);
}

void proto_release(struct proto_host *host, void *memory)
{
	host->environment.release(host->environment.context, memory);
}

uint32_t proto_random24(struct proto_host *host)
{
	return host->environment.random(host->environment.context) & 0xffffff;
}

void proto_timer_init(struct proto_timer *timer, enum proto_timer_purpose purpose, void *owner)
{
	*timer = (struct proto_timer){.purpose = purpose, .owner = owner};
}

void proto_timer_start(struct proto_host *host, struct proto_timer *timer, uint32_t milliseconds)
{
	timer->running = true;
	proto_emit(host, &(struct proto_action){.type = PROTO_TIMER_START,
						.timer = timer,
						.number = milliseconds});
}

void proto_timer_stop(struct proto_host *host, struct proto_timer *timer)
{
	if (!timer->running)
		return;
	timer->running = false;
	proto_emit(host, &(struct proto_action){.type = PROTO_TIMER_STOP, .timer = timer});
}

static void connection_expired(struct connection *connection, bool limit)
{
	if (connection->rendezvous)
		rendezvous_expired(connection, limit);
	else
		close_expired(connection);
}

static void flow_expired(struct link_group *group)
{
	if (group->state == LINK_GROUP_ENDING)
		link_group_ended(group);
	else
		rkey_flow_expired(group);
}

void proto_timer_expired(struct proto_host *host, struct proto_timer *timer)
{
	timer->running = false;
	switch (timer->purpose) {
	case PROTO_TIMER_STEP:
	case PROTO_TIMER_LIMIT:
		connection_expired(timer->owner, timer->purpose == PROTO_TIMER_LIMIT);
		break;
	case PROTO_TIMER_FLOW:
		flow_expired(timer->owner);
		break;
	case PROTO_TIMER_LINGER:
		link_group_lingered(timer->owner);
		break;
	case PROTO_TIMER_TEST:
		link_test_expired(timer->owner);
		break;
	}
	proto_leave(host);
}

void proto_leave(struct proto_host *host)
{
	while (!list_empty(&host->dead_connections)) {
		struct connection *connection =
			list_owner(host->dead_connections.next, struct connection, of_host);

		list_remove(&connection->of_host);
		connection_tell(connection, PROTO_GONE, 0, 0);
		proto_release(host, connection);
	}
	while (!list_empty(&host->dead_groups)) {
		struct link_group *group =
			list_owner(host->dead_groups.next, struct link_group, of_host);

		list_remove(&group->of_host);
		link_group_release(group);
	}
}
