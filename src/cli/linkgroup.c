/* SPDX-License-Identifier: MIT */
/*
 * smcu linkgroup: the groups of connections with other hosts
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/report.h"
#include "cli/smcr_names.h"
#include "cli/table.h"
#include "control/snapshot.h"

enum column { GROUP, ROLE, TYPE, VLAN, CONNECTIONS, PNETID, DEVICE, VERSION, STATE, COLUMNS };

static const char *const titles[COLUMNS] = {
	"LG-ID", "LG-Role", "LG-Type", "VLAN", "#Conns", "PNET-ID", "Net-Dev", "Version", "State",
};

static const struct table_form form = {
	.titles = titles,
	.columns = COLUMNS,
	.right = 1U << VLAN | 1U << CONNECTIONS,
};

static int compare(const void *left, const void *right)
{
	const struct snapshot_link_group *a = left, *b = right;
	int order = strncmp(a->device, b->device, sizeof(a->device));

	return order ? order : (a->group > b->group) - (a->group < b->group);
}

/* Blanks behind an EID are no part of it for people. */
static void eid_text(const struct snapshot_link_group *g, char text[sizeof(g->eid) + 1])
{
	size_t length;

	name_program(g->eid, sizeof(g->eid), text);
	for (length = strlen(text); length && text[length - 1] == ' '; length--)
		text[length - 1] = '\0';
}

static void peer_id_text(const struct snapshot_link_group *g, char text[2 * sizeof(g->peer_id) + 1])
{
	for (size_t i = 0; i < sizeof(g->peer_id); i++)
		snprintf(text + 2 * i, 3, "%02x", g->peer_id[i]);
}

static void print_details(const void *records, size_t row)
{
	const struct snapshot_link_group *g = (const struct snapshot_link_group *)records + row;
	char eid[sizeof(g->eid) + 1], peer_id[2 * sizeof(g->peer_id) + 1];

	eid_text(g, eid);
	peer_id_text(g, peer_id);
	printf("    peer-id %s  eid %s  connections-max %u  links %u of %u  rmbs %u  peer-rkeys %u"
	       "%s%s\n",
	       peer_id, eid[0] ? eid : "-", g->connections_max, g->links, g->links_max, g->rmbs,
	       g->rkeys, g->direct ? "  direct" : "", g->out_of_sync ? "  out-of-sync" : "");
}

static int print(const struct report *report, const void *records, size_t count)
{
	const struct snapshot_link_group *groups = records;
	struct table table;
	int status = table_open(&table, &form, count);

	if (status)
		return status;
	for (size_t n = 0; n < count; n++) {
		const struct snapshot_link_group *g = &groups[n];

		table_set(&table, n, GROUP, "%08x", g->group);
		table_set(&table, n, ROLE, "%s", smcr_role(g->role));
		table_set(&table, n, TYPE, "%s", smcr_group_type(g->links));
		table_set(&table, n, VLAN, "%u", g->vlan);
		table_set(&table, n, CONNECTIONS, "%u", g->connections);
		table_set(&table, n, PNETID, "%.*s", (int)sizeof(g->pnetid), g->pnetid);
		table_set(&table, n, DEVICE, "%.*s", (int)sizeof(g->device), g->device);
		table_set(&table, n, VERSION, "%u.%u", g->version, g->release);
		table_set(&table, n, STATE, "%s", smcr_group_state(g->state));
	}
	table_print(&table, report->details ? print_details : NULL, records);
	table_close(&table);
	return STATUS_OK;
}

static json_t *json(const void *record)
{
	const struct snapshot_link_group *g = record;
	char eid[sizeof(g->eid) + 1], peer_id[2 * sizeof(g->peer_id) + 1];
	json_t *o = json_object();

	eid_text(g, eid);
	peer_id_text(g, peer_id);
	json_object_set_new(o, "id", json_hex(g->group, 8));
	json_object_set_new(o, "device", json_text(g->device, sizeof(g->device)));
	json_object_set_new(o, "pnetid", json_text(g->pnetid, sizeof(g->pnetid)));
	json_object_set_new(o, "role", json_string(smcr_role(g->role)));
	json_object_set_new(o, "type", json_string(smcr_group_type(g->links)));
	json_object_set_new(o, "state", json_string(smcr_group_state(g->state)));
	json_object_set_new(o, "version", json_integer(g->version));
	json_object_set_new(o, "release", json_integer(g->release));
	json_object_set_new(o, "vlan", json_integer(g->vlan));
	json_object_set_new(o, "connections", json_integer(g->connections));
	json_object_set_new(o, "connections_max", json_integer(g->connections_max));
	json_object_set_new(o, "links", json_integer(g->links));
	json_object_set_new(o, "links_max", json_integer(g->links_max));
	json_object_set_new(o, "rmbs", json_integer(g->rmbs));
	json_object_set_new(o, "peer_rkeys", json_integer(g->rkeys));
	json_object_set_new(o, "direct", json_boolean(g->direct));
	json_object_set_new(o, "out_of_sync", json_boolean(g->out_of_sync));
	json_object_set_new(o, "peer_id", json_string(peer_id));
	json_object_set_new(o, "eid", eid[0] ? json_string(eid) : json_null());
	return o;
}

int command_linkgroup(int argc, char **argv)
{
	static const struct report_listing listing = {
		.what = QUERY_LINK_GROUPS,
		.record_size = sizeof(struct snapshot_link_group),
		.compare = compare,
		.print = print,
		.json = json,
	};

	return report_list(&listing, argc, argv);
}
