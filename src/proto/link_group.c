/* SPDX-License-Identifier: MIT */
#include "proto/link_group.h"

#include <string.h>

#include "proto/bug.h"
#include "proto/connection.h"
#include "proto/control.h"
#include "proto/rendezvous.h"

struct link_group *link_group_create(struct proto_host *host, const struct link_group_key *key)
{
	struct link_group *group = proto_allocate(host, sizeof(*group));

	if (!group)
		return NULL;
	group->host = host;
	group->role = key->role;
	group->version = key->version;
	group->vlan = key->vlan;
	memcpy(group->source, key->source, sizeof(group->source));
	memcpy(group->peer_id, key->peer_id, sizeof(group->peer_id));
	list_init(&group->candidates);
	list_init(&group->rmbs);
	list_init(&group->flows);
	proto_timer_init(&group->flow_timer, PROTO_TIMER_FLOW, group);
	proto_timer_init(&group->linger, PROTO_TIMER_LINGER, group);
	link_init(&group->link, group);
	memcpy(group->link.peer.gid, key->gid, sizeof(key->gid));
	memcpy(group->link.peer_mac, key->mac, sizeof(key->mac));
	list_append(&host->groups, &group->of_host);
	return group;
}

bool link_group_knows(struct proto_host *host, const uint8_t source[16])
{
	list_each(node, after, &host->groups)
	{
		const struct link_group *group = list_owner(node, struct link_group, of_host);

		if (group->role == PROTO_CLIENT &&
		    memcmp(group->source, source, sizeof(group->source)) == 0)
			return true;
	}
	return false;
}

bool link_group_admit(struct proto_host *host, enum proto_role role, const uint8_t source[16])
{
	unsigned int pending = 0, idle = 0;
	struct link_group *oldest = NULL;

	list_each(node, after, &host->groups)
	{
		struct link_group *group = list_owner(node, struct link_group, of_host);

		if (group->role != role ||
		    memcmp(group->source, source, sizeof(group->source)) != 0)
			continue;
		if (group->state == LINK_GROUP_PENDING)
			pending++;
		if (group->state != LINK_GROUP_ACTIVE || group->count)
			continue;
		if (!idle++)
			oldest = group;
	}
	if (idle >= PROTO_IDLE_MAX)
		link_group_end(oldest, LLC_DELETED_BY_PROGRAM);
	return pending < PROTO_PENDING_MAX;
}

static bool matches(const struct link_group *group, const struct link_group_key *key)
{
	const struct link *link = &group->link;

	return group->role == key->role && group->vlan == key->vlan && !group->out_of_sync &&
	       group->version == key->version &&
	       (key->role == PROTO_CLIENT ||
		memcmp(group->source, key->source, sizeof(key->source)) == 0) &&
	       memcmp(group->peer_id, key->peer_id, sizeof(key->peer_id)) == 0 &&
	       memcmp(link->peer.gid, key->gid, sizeof(key->gid)) == 0 &&
	       (key->version > 1 || memcmp(link->peer_mac, key->mac, sizeof(key->mac)) == 0) &&
	       (!key->queue_pair || link->peer.queue_pair == key->queue_pair);
}

static bool takes_another(const struct link_group *group)
{
	return group->count < group->max_connections && rkey_has_room(group) && !group->silent;
}

struct link_group *link_group_find(struct proto_host *host, const struct link_group_key *key,
				   struct link_group **pending)
{
	*pending = NULL;
	list_each(node, after, &host->groups)
	{
		struct link_group *group = list_owner(node, struct link_group, of_host);

		if (!matches(group, key))
			continue;
		if (group->state == LINK_GROUP_PENDING && !group->stalled)
			*pending = group;
		else if (group->state == LINK_GROUP_ACTIVE && takes_another(group))
			return group;
	}
	return NULL;
}

struct link_group *link_group_find_link(struct proto_host *host, const struct link_group_key *key)
{
	struct link_group *found = NULL;

	list_each(node, after, &host->groups)
	{
		struct link_group *group = list_owner(node, struct link_group, of_host);

		if (group->state == LINK_GROUP_ACTIVE && matches(group, key))
			found = group; /* the last: what went before it with this number is no more */
	}
	return found;
}

bool link_group_join(struct link_group *group, struct connection *connection)
{
	struct proto_host *host = group->host;

	for (unsigned int slot = 0; slot < PROTO_CONNECTIONS_MAX; slot++) {
		if (group->connections[slot])
			continue;
		host->last_token += 1U << 8;
		if (!host->last_token)
			host->last_token = 1U << 8; /* a token is never 0 */
		group->connections[slot] = connection;
		group->count++;
		connection->group = group;
		connection->slot = (uint8_t)slot;
		connection->token = host->last_token | slot;
		proto_timer_stop(host, &group->linger);
		return true;
	}
	return false;
}

static void start_lingering(struct link_group *group)
{
	const uint32_t linger = group->host->config.linger;

	proto_timer_start(group->host, &group->linger,
			  (linger ? linger : PROTO_LINGER) +
				  (group->role == PROTO_CLIENT ? PROTO_LINGER_CLIENT_MORE : 0));
}

void link_group_leave(struct connection *connection)
{
	struct link_group *group = connection->group;

	if (!group)
		return;
	list_remove(&connection->waiting);
	link_forget(&group->link, connection);
	group->connections[connection->slot] = NULL;
	group->count--;
	if (group->first == connection)
		group->first = NULL;
	connection->group = NULL;
	if (connection->rmb) {
		rmb_leave(connection->rmb);
		connection->rmb = NULL;
	}
	if (!group->count && group->state == LINK_GROUP_ACTIVE)
		start_lingering(group);
}

/* Those who waited choose again: this group, or a new one. */
static void candidates_go_on(struct link_group *group)
{
	struct list waited;

	list_init(&waited);
	list_each(node, after, &group->candidates)
	{
		list_remove(node);
		list_append(&waited, node);
	}
	while (!list_empty(&waited)) {
		struct connection *connection = list_owner(waited.next, struct connection, waiting);

		list_remove(&connection->waiting);
		server_select(connection);
	}
}

void link_group_stall(struct link_group *group)
{
	group->stalled = true;
	candidates_go_on(group);
}

static const uint8_t *peer_name(const struct link_group *group)
{
	return group->role == PROTO_SERVER ? group->confirmed_id : group->peer_id;
}

/*
 * Groups with somebody else at the same address, or with the same queue pair there: the peer of theirs
 * may be no more.
 */
static void test_namesakes(const struct link_group *group)
{
	list_each(node, after, &group->host->groups)
	{
		struct link_group *other = list_owner(node, struct link_group, of_host);

		if (other != group && other->state == LINK_GROUP_ACTIVE &&
		    memcmp(other->link.peer.gid, group->link.peer.gid, CLC_GID_SIZE) == 0 &&
		    (other->link.peer.queue_pair == group->link.peer.queue_pair ||
		     memcmp(peer_name(other), peer_name(group), CLC_PEER_ID_SIZE) != 0))
			link_test(&other->link);
	}
}

void link_group_activate(struct link_group *group)
{
	group->state = LINK_GROUP_ACTIVE;
	link_activate(&group->link);
	test_namesakes(group);
	candidates_go_on(group);
}

void link_group_close(struct link_group *group, enum link_group_farewell farewell)
{
	if (group->state == LINK_GROUP_ENDING && farewell == FAREWELL_NONE)
		link_group_ended(group); /* the last message will never be complete */
	if (group->state >= LINK_GROUP_ENDING)
		return;
	group->state = LINK_GROUP_ENDING;
	group->unanswered = farewell == FAREWELL_ASKED && !PROTO_HAS_BUG(PROTO_BUG_ENDED_UNHEARD);
	proto_timer_stop(group->host, &group->linger);
	proto_timer_stop(group->host, &group->flow_timer);
	group->flow = NULL;
	for (unsigned int slot = 0; slot < PROTO_CONNECTIONS_MAX; slot++) {
		struct connection *connection = group->connections[slot];

		if (connection && connection->rendezvous)
			rendezvous_group_lost(connection);
		else if (connection)
			close_group_lost(connection);
	}
	if (farewell != FAREWELL_NONE)
		proto_timer_start(group->host, &group->flow_timer, PROTO_LLC_WAIT);
	else
		link_group_ended(group);
	candidates_go_on(group);
}

void link_group_end(struct link_group *group, uint32_t reason)
{
	if (group->state >= LINK_GROUP_ENDING)
		return;
	if (control_delete_all(group, reason, reason == LLC_DELETED_BY_PROGRAM))
		link_group_close(group, FAREWELL_ASKED);
	else
		link_group_close(group, FAREWELL_NONE);
}

void link_group_said(struct link_group *group)
{
	group->said = true;
	if (!group->unanswered)
		link_group_ended(group);
}

void link_group_answered(struct link_group *group)
{
	group->unanswered = false;
	if (group->said)
		link_group_ended(group);
}

void link_group_ended(struct link_group *group)
{
	if (group->state != LINK_GROUP_ENDING)
		return;
	group->state = LINK_GROUP_DEAD;
	proto_timer_stop(group->host, &group->flow_timer);
	link_close(&group->link);
	while (!list_empty(&group->rmbs))
		rmb_free(list_owner(group->rmbs.next, struct rmb, of_group));
	list_remove(&group->of_host);
	list_append(&group->host->dead_groups, &group->of_host);
}

void link_group_lingered(struct link_group *group)
{
	link_group_end(group, LLC_DELETED_BY_PROGRAM);
}

void link_group_release(struct link_group *group)
{
	proto_release(group->host, group);
}
