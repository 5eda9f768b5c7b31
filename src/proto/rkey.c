/* SPDX-License-Identifier: MIT */
#include "proto/rkey.h"

#include <errno.h>

#include "proto/bug.h"
#include "proto/connection.h"
#include "proto/control.h"
#include "proto/link_group.h"
#include "proto/rendezvous.h"

#define FINAL (CDC_CLOSED | CDC_ABNORMAL_CLOSE)

static void deregister(struct rmb *rmb)
{
	if (rmb->deregistered)
		return;
	rmb->deregistered = true;
	proto_emit(rmb->group->host, &(struct proto_action){.type = PROTO_DEREGISTER, .rmb = rmb});
}

/* An RMB that rested does so no more. */
static void stir(struct rmb *rmb, enum rmb_state state)
{
	rmb->memory->resting = NULL;
	rmb->group->resting--;
	rmb->state = state;
}

struct rmb *rmb_wake(struct connection *connection)
{
	struct rmb *rmb = connection->memory ? connection->memory->resting : NULL;

	if (!rmb)
		return NULL;
	if (rmb->group != connection->group || rmb->size != connection->size) {
		rmb_retire(rmb);
		return NULL;
	}
	stir(rmb, RMB_KNOWN);
	rmb->connection = connection;
	return rmb;
}

/* The peer has room for LLC_RKEYS_MAX keys. */
static void make_room(struct link_group *group)
{
	if (!group->resting || group->count + group->resting <= LLC_RKEYS_MAX)
		return;
	list_each(node, after, &group->rmbs)
	{
		struct rmb *rmb = list_owner(node, struct rmb, of_group);

		if (rmb->state == RMB_RESTING) {
			rmb_retire(rmb);
			return;
		}
	}
}

struct rmb *rmb_create(struct connection *connection, uint32_t size)
{
	struct link_group *group = connection->group;
	struct rmb *rmb = proto_allocate(group->host, sizeof(*rmb));

	if (!rmb)
		return NULL;
	rmb->group = group;
	rmb->connection = connection;
	rmb->memory = connection->memory;
	rmb->size = size;
	list_init(&rmb->queue);
	list_append(&group->rmbs, &rmb->of_group);
	make_room(group);
	proto_emit(group->host, &(struct proto_action){.type = PROTO_REGISTER,
						       .rmb = rmb,
						       .connection = connection});
	return rmb;
}

void rmb_registered(struct rmb *rmb, bool ok, uint32_t rkey, uint64_t address)
{
	struct proto_host *host = rmb->group->host;

	rmb->state = ok ? RMB_REGISTERED : RMB_NEW;
	rmb->rkey = rkey;
	rmb->address = address;
	if (rmb->connection)
		rendezvous_rmb_registered(rmb->connection, ok);
	proto_leave(host);
}

static void flow_start_next(struct link_group *group)
{
	struct llc_message message;

	while (!group->flow && !list_empty(&group->flows) && group->state == LINK_GROUP_ACTIVE) {
		struct rmb *rmb = list_owner(group->flows.next, struct rmb, queue);

		list_remove(&rmb->queue);
		if (group->silent && rmb->state != RMB_RETIRED) {
			rendezvous_rmb_known(rmb->connection, false);
			continue;
		}
		group->flow = rmb;
		group->flow_deletes = rmb->state == RMB_RETIRED;
		if (group->flow_deletes) {
			message = control_new(group, LLC_DELETE_RKEY);
			message.delete_rkey.count = 1;
			message.delete_rkey.rkeys[0] = rmb->rkey;
		} else {
			message = control_new(group, LLC_CONFIRM_RKEY);
			message.confirm_rkey.rkey = rmb->rkey;
			message.confirm_rkey.address = rmb->address;
		}
		/* One that cannot be sent now is answered by the timer. */
		link_send_llc(&group->link, &message, false);
		proto_timer_start(group->host, &group->flow_timer, PROTO_LLC_WAIT);
	}
}

static void flow_queue(struct rmb *rmb)
{
	list_append(&rmb->group->flows, &rmb->queue);
	flow_start_next(rmb->group);
}

void rmb_confirm(struct rmb *rmb)
{
	flow_queue(rmb);
}

void rmb_retire(struct rmb *rmb)
{
	struct link_group *group = rmb->group;
	bool known = rmb->state == RMB_KNOWN || group->flow == rmb;

	if (rmb->state == RMB_RESTING) {
		/* Nothing is under way to it: who writes there now has no right to. */
		stir(rmb, RMB_KNOWN);
		deregister(rmb);
		known = true;
	}
	list_remove(&rmb->queue);
	if (group->state != LINK_GROUP_ACTIVE && known)
		return; /* it goes with the group */
	if (PROTO_HAS_BUG(PROTO_BUG_DEREGISTER_EARLY))
		known = group->flow == rmb;
	if (!known) {
		rmb_free(rmb);
		return;
	}
	rmb->state = RMB_RETIRED;
	if (group->flow != rmb)
		flow_queue(rmb);
}

/* Has the peer said its last word, and may there be another connection? */
static bool may_rest(const struct rmb *rmb, const struct connection *connection)
{
	const struct link_group *group = rmb->group;

	return rmb->state == RMB_KNOWN && rmb->memory && rmb->memory->kept &&
	       (connection->received_flags & FINAL || PROTO_HAS_BUG(PROTO_BUG_REST_EARLY)) &&
	       group->state == LINK_GROUP_ACTIVE && group->flow != rmb &&
	       group->resting < RESTING_MOST;
}

void rmb_leave(struct rmb *rmb)
{
	bool rests = may_rest(rmb, rmb->connection);

	rmb->connection = NULL;
	if (!rests) {
		rmb_retire(rmb);
		return;
	}
	rmb->state = RMB_RESTING;
	rmb->memory->resting = rmb;
	rmb->group->resting++;
}

void rmb_memory_end(struct rmb_memory *memory)
{
	struct rmb *rmb = memory->resting;
	struct proto_host *host;

	memory->kept = false;
	if (!rmb)
		return;
	host = rmb->group->host;
	rmb_retire(rmb);
	proto_leave(host);
}

void rmb_free(struct rmb *rmb)
{
	struct proto_host *host = rmb->group->host;

	if (rmb->state == RMB_RESTING)
		stir(rmb, RMB_KNOWN);
	deregister(rmb);
	list_remove(&rmb->queue);
	list_remove(&rmb->of_group);
	proto_release(host, rmb);
}

int rkey_find(const struct link_group *group, uint32_t rkey, uint64_t address)
{
	for (int i = 0; i < (int)LLC_RKEYS_MAX; i++) {
		const struct rkey_entry *entry = &group->rkeys[i];

		if (entry->used && entry->rkey == rkey && entry->address == address)
			return i;
	}
	return -ENOENT;
}

static void rkey_store(struct rkey_entry *entry, uint32_t rkey, uint64_t address)
{
	entry->used = true;
	entry->rkey = rkey;
	entry->address = address;
}

int rkey_add(struct link_group *group, uint32_t rkey, uint64_t address)
{
	int index = rkey_find(group, rkey, address);

	for (int i = 0; index < 0 && i < (int)LLC_RKEYS_MAX; i++) {
		if (!group->rkeys[i].used) {
			rkey_store(&group->rkeys[i], rkey, address);
			index = i;
		}
	}
	return index < 0 ? -ENOSPC : index;
}

bool rkey_has_room(const struct link_group *group)
{
	for (unsigned int i = 0; i < LLC_RKEYS_MAX; i++)
		if (!group->rkeys[i].used)
			return true;
	return false;
}

static bool rkey_remove(struct link_group *group, uint32_t rkey)
{
	bool found = false;

	for (unsigned int i = 0; i < LLC_RKEYS_MAX; i++) {
		if (group->rkeys[i].used && group->rkeys[i].rkey == rkey) {
			group->rkeys[i].used = false;
			group->rkeys[i].generation++;
			found = true;
		}
	}
	return found;
}

/* The flow is over; @known: the peer has the key, or has had it. */
static void flow_ended(struct link_group *group, bool ok)
{
	struct rmb *rmb = group->flow;
	bool deleted = group->flow_deletes;

	group->flow = NULL;
	proto_timer_stop(group->host, &group->flow_timer);
	if (deleted && ok) {
		rmb_free(rmb);
	} else if (!deleted && rmb->state == RMB_RETIRED) {
		list_append(&group->flows, &rmb->queue); /* the connection ended meanwhile */
	} else if (!deleted) {
		rmb->state = RMB_KNOWN;
		rendezvous_rmb_known(rmb->connection, ok);
	}
	if (!PROTO_HAS_BUG(PROTO_BUG_FLOW_NOT_PASSED_ON))
		flow_start_next(group);
}

void rkey_flow_expired(struct link_group *group)
{
	if (!group->flow)
		return;
	group->silent =
		true; /* the peer may have been started anew, and know nothing of this group */
	if (group->flow_deletes && ++group->undeleted >= RKEY_UNDELETED_MOST)
		link_group_end(group, LLC_DELETED_PROTOCOL_VIOLATION);
	else
		flow_ended(group, false);
}

static void confirm_answered(struct link_group *group, const struct llc_message *message)
{
	struct rmb *rmb = group->flow;

	if (!rmb || group->flow_deletes)
		return;
	if (message->flags & LLC_NEGATIVE && message->flags & LLC_RETRY && rmb->connection &&
	    rmb->retries < RKEY_RETRIES) {
		rmb->retries++;
		group->flow = NULL;
		list_append(&group->flows, &rmb->queue);
		flow_start_next(group);
		return;
	}
	flow_ended(group, !(message->flags & LLC_NEGATIVE));
}

static void confirm_requested(struct link_group *group, struct llc_message *message)
{
	struct llc_confirm_rkey *m = &message->confirm_rkey;
	int index = m->count > 2 ? -EINVAL : rkey_add(group, m->rkey, m->address);

	message->flags |= LLC_RESPONSE;
	if (index < 0)
		message->flags |= LLC_NEGATIVE | LLC_RETRY;
	link_send_llc(&group->link, message, false);
}

static void delete_requested(struct link_group *group, struct llc_message *message)
{
	struct llc_message answer = control_new(group, LLC_DELETE_RKEY);
	unsigned int unknown = 0;

	for (unsigned int i = 0; i < message->delete_rkey.count; i++) {
		if (rkey_remove(group, message->delete_rkey.rkeys[i]))
			continue;
		if (group->version == 1)
			answer.delete_rkey.failed |= (uint8_t)(0x80U >> i);
		unknown++;
	}
	answer.flags = LLC_RESPONSE | (unknown ? LLC_NEGATIVE : 0);
	answer.delete_rkey.count = message->delete_rkey.count;
	if (group->version > 1)
		answer.delete_rkey.failed = (uint8_t)unknown;
	for (unsigned int i = 0; group->version == 1 && i < message->delete_rkey.count; i++)
		answer.delete_rkey.rkeys[i] = message->delete_rkey.rkeys[i];
	link_send_llc(&group->link, &answer, false);
}

void rkey_received(struct link_group *group, struct llc_message *message)
{
	bool response = message->flags & LLC_RESPONSE;

	if (message->type == LLC_CONFIRM_RKEY_CONTINUATION) {
		message->flags |= LLC_RESPONSE; /* of links that this group does not have */
		if (!response)
			link_send_llc(&group->link, message, false);
	} else if (message->type == LLC_CONFIRM_RKEY) {
		if (response)
			confirm_answered(group, message);
		else
			confirm_requested(group, message);
	} else if (!response) {
		delete_requested(group, message);
	} else if (group->flow && group->flow_deletes) {
		group->undeleted = 0;
		flow_ended(group, true);
	}
}
