/* SPDX-License-Identifier: MIT */
/*
 * smcu link: the links of link groups, and the two ends of each
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/report.h"
#include "cli/smcr_names.h"
#include "cli/table.h"
#include "control/snapshot.h"

enum column {
	GROUP,
	LINK,
	DEVICE,
	STATE,
	CONNECTIONS,
	QUEUE_PAIR,
	PEER_PAIR,
	GID,
	PEER_GID,
	COLUMNS
};

static const char *const titles[COLUMNS] = {
	"LG-ID", "Link-UID", "Net-Dev", "Link-State", "#Conns", "QP", "Peer-QP", "GID", "Peer-GID",
};

static const struct table_form form = {
	.titles = titles,
	.columns = COLUMNS,
	.right = 1U << CONNECTIONS,
};

static int compare(const void *left, const void *right)
{
	const struct snapshot_link *a = left, *b = right;
	int order = strncmp(a->device, b->device, sizeof(a->device));

	return order ? order : (a->user_id > b->user_id) - (a->user_id < b->user_id);
}

static void print_details(const void *records, size_t row)
{
	const struct snapshot_link *l = (const struct snapshot_link *)records + row;
	char mac[NAME_MAC_MAX], peer_mac[NAME_MAC_MAX];

	name_mac(l->mac, mac);
	name_mac(l->peer_mac, peer_mac);
	printf("    link %u  mac %s  peer-mac %s  mtu %u  messages-under-way %u  tests %llu%s\n",
	       l->link, mac, peer_mac, l->mtu, l->sends, (unsigned long long)l->tests,
	       l->routed ? "  routed" : "");
}

static int print(const struct report *report, const void *records, size_t count)
{
	const struct snapshot_link *links = records;
	char gid[NAME_ADDRESS_MAX];
	struct table table;
	int status = table_open(&table, &form, count);

	if (status)
		return status;
	for (size_t n = 0; n < count; n++) {
		const struct snapshot_link *l = &links[n];

		table_set(&table, n, GROUP, "%08x", l->group);
		table_set(&table, n, LINK, "%08x", l->user_id);
		table_set(&table, n, DEVICE, "%.*s", (int)sizeof(l->device), l->device);
		table_set(&table, n, STATE, "%s", smcr_link_state(l->state));
		table_set(&table, n, CONNECTIONS, "%u", l->connections);
		table_set(&table, n, QUEUE_PAIR, "%06x", l->queue_pair);
		table_set(&table, n, PEER_PAIR, "%06x", l->peer_queue_pair);
		name_gid(l->gid, gid);
		table_set(&table, n, GID, "%s", gid);
		name_gid(l->peer_gid, gid);
		table_set(&table, n, PEER_GID, "%s", gid);
	}
	table_print(&table, report->details ? print_details : NULL, records);
	table_close(&table);
	return STATUS_OK;
}

static json_t *json(const void *record)
{
	const struct snapshot_link *l = record;
	json_t *o = json_object();

	json_object_set_new(o, "group", json_hex(l->group, 8));
	json_object_set_new(o, "link", json_integer(l->link));
	json_object_set_new(o, "uid", json_hex(l->user_id, 8));
	json_object_set_new(o, "device", json_text(l->device, sizeof(l->device)));
	json_object_set_new(o, "state", json_string(smcr_link_state(l->state)));
	json_object_set_new(o, "connections", json_integer(l->connections));
	json_object_set_new(o, "qp", json_hex(l->queue_pair, 6));
	json_object_set_new(o, "peer_qp", json_hex(l->peer_queue_pair, 6));
	json_object_set_new(o, "gid", json_gid(l->gid));
	json_object_set_new(o, "peer_gid", json_gid(l->peer_gid));
	json_object_set_new(o, "mac", json_mac(l->mac));
	json_object_set_new(o, "peer_mac", json_mac(l->peer_mac));
	json_object_set_new(o, "mtu", json_integer(l->mtu));
	json_object_set_new(o, "routed", json_boolean(l->routed));
	json_object_set_new(o, "messages_under_way", json_integer(l->sends));
	json_object_set_new(o, "tests", json_count(l->tests));
	return o;
}

int command_link(int argc, char **argv)
{
	static const struct report_listing listing = {
		.what = QUERY_LINKS,
		.record_size = sizeof(struct snapshot_link),
		.compare = compare,
		.print = print,
		.json = json,
	};

	return report_list(&listing, argc, argv);
}
