/* SPDX-License-Identifier: MIT */
#include "daemon/listing.h"

#include <string.h>
#include <unistd.h>

#include "control/snapshot.h"
#include "daemon/rnic.h"
#include "fabric/soft/device.h"
#include "proto/connection.h"
#include "proto/link_group.h"
#include "proto/rkey.h"

_Static_assert(SNAPSHOT_NAME >= RNIC_NAME_SIZE, "every interface's name fits");
_Static_assert(SNAPSHOT_GIDS == FABRIC_GIDS_MAX, "every address fits");

/* One record after the other. */
struct output {
	int file;
	uint32_t count;
	size_t record_size;
};

static void put(struct output *output, const void *record)
{
	if (output->record_size &&
	    write(output->file, record, output->record_size) != (ssize_t)output->record_size)
		output->record_size = 0;
	else
		output->count++;
}

/* The names of links come from a counter whose lowest byte is the link's number in its group. */
uint32_t listing_group_number(const struct link_group *group)
{
	return group->link.user_id & ~(uint32_t)0xff;
}

static unsigned int count_of(const struct list *list)
{
	unsigned int count = 0;

	list_each(node, after, list) count++;
	return count;
}

static void put_group(struct output *output, const struct rnic *rnic,
		      const struct link_group *group)
{
	struct snapshot_link_group record = {0};
	struct fabric_port port = {0};

	record.group = listing_group_number(group);
	record.role = group->role == PROTO_SERVER;
	record.state = group->state;
	record.version = group->version;
	record.release = group->release;
	record.vlan = group->vlan > 0 ? (uint32_t)group->vlan : 0;
	record.connections = group->count;
	record.connections_max = group->max_connections;
	record.links = group->link.state == LINK_ACTIVE;
	record.links_max = group->max_links;
	record.rmbs = count_of(&group->rmbs);
	for (unsigned int i = 0; i < LLC_RKEYS_MAX; i++)
		record.rkeys += group->rkeys[i].used;
	record.direct = group->direct;
	record.out_of_sync = group->out_of_sync;
	memcpy(record.peer_id, group->peer_id, sizeof(record.peer_id));
	memcpy(record.eid, group->eid, sizeof(record.eid));
	memcpy(record.device, rnic->name, sizeof(rnic->name));
	if (!fabric_port_query(rnic->device, &port))
		memcpy(record.pnetid, port.pnetid, sizeof(port.pnetid));
	put(output, &record);
}

static void put_link(struct output *output, const struct rnic *rnic, const struct link_group *group)
{
	const struct proto_config *config = &rnic->host.config;
	const struct link *link = &group->link;
	struct snapshot_link record = {0};

	record.group = listing_group_number(group);
	record.link = link->number;
	record.user_id = link->user_id;
	record.state = link->state;
	record.connections = group->count;
	record.queue_pair = link->queue_pair;
	record.peer_queue_pair = link->peer.queue_pair;
	record.mtu = fabric_mtu_bytes(link->peer.mtu);
	record.routed = link->peer.routed;
	record.sends = link->post_count;
	record.tests = link->tests;
	memcpy(record.gid, group->version == 1 ? config->gid_v1 : config->gid_v2,
	       sizeof(record.gid));
	memcpy(record.peer_gid, link->peer.gid, sizeof(record.peer_gid));
	memcpy(record.mac, config->mac, sizeof(record.mac));
	memcpy(record.peer_mac, link->peer_mac, sizeof(record.peer_mac));
	memcpy(record.device, rnic->name, sizeof(rnic->name));
	put(output, &record);
}

static void copy_counters(struct snapshot_device *record, const struct fabric_device *device)
{
	const struct soft_counters *counters;

	if (strcmp(device->ops->name, "soft") != 0)
		return;
	counters = soft_counters(device);
	record->packets = 1;
	record->sent = counters->sent;
	record->received = counters->received;
	record->trains = counters->trains;
	record->repeated = counters->repeated;
	record->timeouts = counters->timeouts;
	record->gaps = counters->gaps;
	record->duplicates = counters->duplicates;
	record->not_ready = counters->not_ready;
	record->refused = counters->refused;
	record->bad_length = counters->bad_length;
	record->bad_icrc = counters->bad_icrc;
	record->bad_partition = counters->bad_partition;
	record->stranger = counters->stranger;
	record->unknown = counters->unknown;
}

static void put_device(struct output *output, const struct rnic *rnic)
{
	struct snapshot_device record = {0};
	struct fabric_port port = {0};
	struct fabric_gid gid;

	memcpy(record.device, rnic->name, sizeof(rnic->name));
	strncpy(record.kind, rnic->device->ops->name, sizeof(record.kind) - 1);
	if (!fabric_port_query(rnic->device, &port)) {
		record.active = port.active;
		record.mtu = fabric_mtu_bytes(port.mtu);
		memcpy(record.mac, port.mac, sizeof(record.mac));
		memcpy(record.pnetid, port.pnetid, sizeof(port.pnetid));
	}
	for (unsigned int i = 0; i < FABRIC_GIDS_MAX; i++)
		if (!fabric_gid_query(rnic->device, i, &gid))
			memcpy(record.gids[record.gid_count++], gid.bytes, sizeof(gid.bytes));
	list_each(node, after, &rnic->host.groups)
	{
		const struct link_group *group = list_owner(node, struct link_group, of_host);

		record.groups++;
		record.links += group->link.state == LINK_ACTIVE;
		record.connections += group->count;
	}
	copy_counters(&record, rnic->device);
	put(output, &record);
}

static size_t record_size(enum query_what what)
{
	switch (what) {
	case QUERY_LINK_GROUPS:
		return sizeof(struct snapshot_link_group);
	case QUERY_LINKS:
		return sizeof(struct snapshot_link);
	default:
		return sizeof(struct snapshot_device);
	}
}

static void put_groups(struct output *output, const struct rnic *rnic, enum query_what what)
{
	list_each(node, after, &rnic->host.groups)
	{
		const struct link_group *group = list_owner(node, struct link_group, of_host);

		if (what == QUERY_LINK_GROUPS)
			put_group(output, rnic, group);
		else if (group->link.state != LINK_UNUSED)
			put_link(output, rnic, group);
	}
}

size_t listing_write(const struct engine *engine, enum query_what what, int file, uint32_t *count)
{
	struct output output = {.file = file, .record_size = record_size(what)};

	for (unsigned int i = 0; engine && i < engine->rnic_count; i++) {
		if (what == QUERY_DEVICES)
			put_device(&output, engine->rnics[i]);
		else
			put_groups(&output, engine->rnics[i], what);
	}
	*count = output.count;
	return output.record_size;
}
