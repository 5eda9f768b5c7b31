/* SPDX-License-Identifier: MIT */
/*
 * smcu device: the adapters for connections to other hosts, and what went over them
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/report.h"
#include "cli/table.h"
#include "control/snapshot.h"

enum column { DEVICE, KIND, STATE, PNETID, MTU, GROUPS, LINKS, CONNECTIONS, GID, COLUMNS };

static const char *const titles[COLUMNS] = {
	"Net-Dev", "Type", "State", "PNET-ID", "MTU", "#LGs", "#Links", "#Conns", "GIDs",
};

static const struct table_form form = {
	.titles = titles,
	.columns = COLUMNS,
	.right = 1U << MTU | 1U << GROUPS | 1U << LINKS | 1U << CONNECTIONS,
};

/* What is counted, by the names of JSON's members. */
static const struct {
	const char *name;
	size_t offset;
} counters[] = {
	{"sent", offsetof(struct snapshot_device, sent)},
	{"received", offsetof(struct snapshot_device, received)},
	{"trains", offsetof(struct snapshot_device, trains)},
	{"repeated", offsetof(struct snapshot_device, repeated)},
	{"timeouts", offsetof(struct snapshot_device, timeouts)},
	{"gaps", offsetof(struct snapshot_device, gaps)},
	{"duplicates", offsetof(struct snapshot_device, duplicates)},
	{"not_ready", offsetof(struct snapshot_device, not_ready)},
	{"refused", offsetof(struct snapshot_device, refused)},
	{"bad_length", offsetof(struct snapshot_device, bad_length)},
	{"bad_icrc", offsetof(struct snapshot_device, bad_icrc)},
	{"bad_partition", offsetof(struct snapshot_device, bad_partition)},
	{"stranger", offsetof(struct snapshot_device, stranger)},
	{"unknown", offsetof(struct snapshot_device, unknown)},
};

#define COUNTERS (sizeof(counters) / sizeof(counters[0]))

static uint64_t counter(const struct snapshot_device *d, size_t index)
{
	return *(const uint64_t *)((const char *)d + counters[index].offset);
}

static uint32_t gid_count(const struct snapshot_device *d)
{
	return d->gid_count < SNAPSHOT_GIDS ? d->gid_count : SNAPSHOT_GIDS;
}

static int compare(const void *left, const void *right)
{
	const struct snapshot_device *a = left, *b = right;

	return strncmp(a->device, b->device, sizeof(a->device));
}

static void print_details(const void *records, size_t row)
{
	const struct snapshot_device *d = (const struct snapshot_device *)records + row;
	char mac[NAME_MAC_MAX];

	name_mac(d->mac, mac);
	printf("    mac %s", mac);
	for (size_t i = 0; d->packets && i < COUNTERS; i++)
		printf("  %s %" PRIu64, counters[i].name, counter(d, i));
	putchar('\n');
}

static void gids_text(const struct snapshot_device *d, char text[TABLE_CELL_MAX])
{
	char gid[NAME_ADDRESS_MAX];
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < gid_count(d) && used < TABLE_CELL_MAX; i++) {
		name_gid(d->gids[i], gid);
		used += (size_t)snprintf(text + used, TABLE_CELL_MAX - used, "%s%s", i ? " " : "",
					 gid);
	}
}

static int print(const struct report *report, const void *records, size_t count)
{
	const struct snapshot_device *devices = records;
	char gids[TABLE_CELL_MAX];
	struct table table;
	int status = table_open(&table, &form, count);

	if (status)
		return status;
	for (size_t n = 0; n < count; n++) {
		const struct snapshot_device *d = &devices[n];

		table_set(&table, n, DEVICE, "%.*s", (int)sizeof(d->device), d->device);
		table_set(&table, n, KIND, "%.*s", (int)sizeof(d->kind), d->kind);
		table_set(&table, n, STATE, "%s", d->active ? "ACTIVE" : "INACTIVE");
		table_set(&table, n, PNETID, "%.*s", (int)sizeof(d->pnetid), d->pnetid);
		table_set(&table, n, MTU, "%u", d->mtu);
		table_set(&table, n, GROUPS, "%u", d->groups);
		table_set(&table, n, LINKS, "%u", d->links);
		table_set(&table, n, CONNECTIONS, "%u", d->connections);
		gids_text(d, gids);
		table_set(&table, n, GID, "%s", gids);
	}
	table_print(&table, report->details ? print_details : NULL, records);
	table_close(&table);
	return STATUS_OK;
}

static json_t *json_packets(const struct snapshot_device *d)
{
	json_t *object;

	if (!d->packets)
		return json_null();
	object = json_object();
	for (size_t i = 0; i < COUNTERS; i++)
		json_object_set_new(object, counters[i].name, json_count(counter(d, i)));
	return object;
}

static json_t *json(const void *record)
{
	const struct snapshot_device *d = record;
	json_t *o = json_object(), *gids = json_array();

	for (uint32_t i = 0; i < gid_count(d); i++)
		json_array_append_new(gids, json_gid(d->gids[i]));
	json_object_set_new(o, "device", json_text(d->device, sizeof(d->device)));
	json_object_set_new(o, "type", json_text(d->kind, sizeof(d->kind)));
	json_object_set_new(o, "pnetid", json_text(d->pnetid, sizeof(d->pnetid)));
	json_object_set_new(o, "active", json_boolean(d->active));
	json_object_set_new(o, "mtu", json_integer(d->mtu));
	json_object_set_new(o, "mac", json_mac(d->mac));
	json_object_set_new(o, "gids", gids);
	json_object_set_new(o, "groups", json_integer(d->groups));
	json_object_set_new(o, "links", json_integer(d->links));
	json_object_set_new(o, "connections", json_integer(d->connections));
	json_object_set_new(o, "packets", json_packets(d));
	return o;
}

int command_device(int argc, char **argv)
{
	static const struct report_listing listing = {
		.what = QUERY_DEVICES,
		.record_size = sizeof(struct snapshot_device),
		.compare = compare,
		.print = print,
		.json = json,
	};

	return report_list(&listing, argc, argv);
}
