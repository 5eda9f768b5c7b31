/* SPDX-License-Identifier: MIT */
#include "daemon/listing_remote.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/listing.h"
#include "daemon/remote.h"
#include "daemon/rnic.h"
#include "proto/link_group.h"

/* The records that are looked for, by their cookies. */
struct wanted {
	struct snapshot_connection *records[LISTING_BATCH];
	uint32_t count;
};

static int compare(const void *left, const void *right)
{
	const struct snapshot_connection *const *a = left, *const *b = right;

	return ((*a)->cookie > (*b)->cookie) - ((*a)->cookie < (*b)->cookie);
}

static struct snapshot_connection *look_up(const struct wanted *wanted, uint64_t cookie)
{
	struct snapshot_connection key = {.cookie = cookie}, *pointer = &key, **found;

	found = bsearch(&pointer, wanted->records, wanted->count, sizeof(pointer), compare);
	return found ? *found : NULL;
}

static void fill(struct snapshot_remote *out, const struct rnic *rnic,
		 const struct connection *connection)
{
	const struct link_group *group = connection->group;

	out->state = connection->state;
	memcpy(out->device, rnic->name, sizeof(rnic->name));
	out->token = connection->token;
	out->peer_token = connection->peer_token;
	out->size = connection->size;
	out->peer_size = connection->peer_size;
	out->flags = connection->flags;
	out->peer_flags = connection->received_flags;
	out->written = connection->written;
	out->sent = connection->sent;
	out->released = connection->released;
	out->peer_consumed = connection->peer_consumed;
	out->produced = connection->produced;
	out->consumed = connection->consumed;
	out->confirmed = connection->confirmed;
	if (!group)
		return;
	out->role = group->role == PROTO_SERVER;
	out->group = listing_group_number(group);
	out->link = group->link.number;
	memcpy(out->peer_gid, group->link.peer.gid, sizeof(out->peer_gid));
}

static void match(const struct wanted *wanted, const struct rnic *rnic, uid_t owner)
{
	list_each(node, after, &rnic->host.connections)
	{
		const struct connection *connection = list_owner(node, struct connection, of_host);
		struct snapshot_connection *record;
		struct remote_facts facts;

		remote_describe(connection->engine, &facts);
		if (!facts.smc || facts.uid != owner)
			continue;
		record = look_up(wanted, facts.cookie);
		if (record)
			fill(&record->remote, rnic, connection);
	}
}

void listing_remotes(const struct engine *engine, struct snapshot_connection *records,
		     uint32_t count, uid_t owner)
{
	struct wanted wanted = {.count = 0};

	for (uint32_t i = 0; i < count; i++)
		if (records[i].state == SIDE_SMCR)
			wanted.records[wanted.count++] = &records[i];
	if (!engine || !wanted.count)
		return;
	qsort(wanted.records, wanted.count, sizeof(wanted.records[0]), compare);
	for (unsigned int i = 0; i < engine->rnic_count; i++)
		match(&wanted, engine->rnics[i], owner);
}
