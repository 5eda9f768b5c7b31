/* SPDX-License-Identifier: MIT */
/*
 * smcu ss: every connection of smcu's programs, how it goes, and why by TCP if it does
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/report.h"
#include "cli/ss_remote.h"
#include "cli/table.h"
#include "control/reason.h"
#include "control/snapshot.h"

#define MOVED_SENDING 1U
#define MOVED_RECEIVING 2U
#define MOVED_BOTH (MOVED_SENDING | MOVED_RECEIVING)

enum column { STATE, USER, PROCESS, LOCAL, PEER, SENT, RECEIVED, CALLS, MODE, COLUMNS };

static const char *const titles[COLUMNS] = {
	"State", "User",     "Process", "Local-Address", "Peer-Address",
	"Sent",	 "Received", "Calls",	"Mode",
};

static const struct table_form form = {
	.titles = titles,
	.columns = COLUMNS,
	.right = 1U << SENT | 1U << RECEIVED | 1U << CALLS,
};

static const char *state_name(unsigned int state)
{
	switch (state) {
	case SIDE_CONNECTING:
		return "SYN-SENT";
	case SIDE_TCP:
	case SIDE_SHM:
	case SIDE_SMCR:
		return "ESTAB";
	case SIDE_LISTENING:
		return "LISTEN";
	default:
		return "UNCONN";
	}
}

static const char *moved_name(const struct snapshot_connection *c)
{
	return c->state == SIDE_SMCR ? "SMCR" : "SHM";
}

/* Listeners first, then by local port and address, then by process. */
static int compare(const void *left, const void *right)
{
	const struct snapshot_connection *a = left, *b = right;
	int order = (b->state == SIDE_LISTENING) - (a->state == SIDE_LISTENING);

	if (!order)
		order = (int)a->local.port - (int)b->local.port;
	if (!order)
		order = memcmp(a->local.bytes, b->local.bytes, sizeof(a->local.bytes));
	if (!order)
		order = (int)a->peer.port - (int)b->peer.port;
	if (!order)
		order = (a->pid > b->pid) - (a->pid < b->pid);
	if (!order)
		order = (a->fd > b->fd) - (a->fd < b->fd);
	return order;
}

static bool is_established(const struct snapshot_connection *c)
{
	return c->state == SIDE_TCP || c->state == SIDE_SHM || c->state == SIDE_SMCR;
}

static void mode_text(const struct snapshot_connection *c, char text[TABLE_CELL_MAX])
{
	const char *why = reason_text(c->reason);

	if (!is_established(c))
		snprintf(text, TABLE_CELL_MAX, "-");
	else if ((c->moved & MOVED_BOTH) == MOVED_BOTH)
		snprintf(text, TABLE_CELL_MAX, "%s", moved_name(c));
	else if (c->moved & MOVED_BOTH)
		snprintf(text, TABLE_CELL_MAX, "SHM (%s only; the other direction is TCP: %s)",
			 c->moved & MOVED_SENDING ? "sending" : "receiving",
			 c->reason == REASON_NONE ? "nothing was written since" : why);
	else
		snprintf(text, TABLE_CELL_MAX, "TCP: %s", why);
}

static void fill_row(struct table *table, size_t row, const struct snapshot_connection *c)
{
	char program[sizeof(c->program) + 1], address[NAME_ADDRESS_MAX], user[NAME_USER_MAX];
	char mode[TABLE_CELL_MAX];

	name_program(c->program, sizeof(c->program), program);
	name_user(c->uid, user);
	mode_text(c, mode);
	table_set(table, row, STATE, "%s", state_name(c->state));
	table_set(table, row, USER, "%s", user);
	table_set(table, row, PROCESS, "%d/%s", c->pid, program);
	name_address(&c->local, address);
	table_set(table, row, LOCAL, "%s", address);
	name_address(&c->peer, address);
	table_set(table, row, PEER, "%s", address);
	table_set(table, row, SENT, "%" PRIu64, c->bytes_tcp[0] + c->bytes_shm[0]);
	table_set(table, row, RECEIVED, "%" PRIu64, c->bytes_tcp[1] + c->bytes_shm[1]);
	table_set(table, row, CALLS, "%" PRIu64, c->calls[0] + c->calls[1]);
	table_set(table, row, MODE, "%s", mode);
}

static void print_details(const void *records, size_t row)
{
	const struct snapshot_connection *c = (const struct snapshot_connection *)records + row;

	if (c->state == SIDE_SMCR && c->remote.state)
		ss_remote_print(&c->remote);
}

static int print(const struct report *report, const void *records, size_t count)
{
	const struct snapshot_connection *connections = records;
	struct table table;
	int status = table_open(&table, &form, count);

	if (status)
		return status;
	for (size_t n = 0; n < count; n++)
		fill_row(&table, n, &connections[n]);
	table_print(&table, report->details ? print_details : NULL, records);
	table_close(&table);
	return STATUS_OK;
}

static json_t *json_address(const struct side_address *address)
{
	char ip[NAME_ADDRESS_MAX];

	name_ip(address, ip);
	return json_pack("{s:s, s:i}", "address", ip, "port", (int)address->port);
}

static json_t *json_direction(const struct snapshot_connection *c, unsigned int direction)
{
	return json_pack("{s:o, s:o, s:o}", "tcp", json_count(c->bytes_tcp[direction]), "shm",
			 json_count(c->bytes_shm[direction]), "calls",
			 json_count(c->calls[direction]));
}

/* @moved: what of it counts for this mode */
static json_t *json_mode(const struct snapshot_connection *c, unsigned int moved)
{
	if (!is_established(c))
		return json_null();
	return json_string(c->moved & moved ? moved_name(c) : "TCP");
}

/* Every object has every member: what makes no sense (the mode of a listener) is null. */
static json_t *json(const void *record)
{
	const struct snapshot_connection *c = record;
	bool explained = is_established(c) && (c->moved & MOVED_BOTH) != MOVED_BOTH;
	bool remote = c->state == SIDE_SMCR && c->remote.state;
	char user[NAME_USER_MAX];
	json_t *o = json_object();

	name_user(c->uid, user);
	json_object_set_new(o, "state", json_string(state_name(c->state)));
	json_object_set_new(o, "user", json_text(user, sizeof(user)));
	json_object_set_new(o, "uid", json_integer(c->uid));
	json_object_set_new(o, "pid", json_integer(c->pid));
	json_object_set_new(o, "program", json_text(c->program, sizeof(c->program)));
	json_object_set_new(o, "fd", json_integer(c->fd));
	json_object_set_new(o, "cookie", json_hex(c->cookie, 1));
	json_object_set_new(o, "local", json_address(&c->local));
	json_object_set_new(o, "peer", json_address(&c->peer));
	json_object_set_new(o, "sent", json_direction(c, 0));
	json_object_set_new(o, "received", json_direction(c, 1));
	json_object_set_new(o, "mode", json_mode(c, MOVED_BOTH));
	json_object_set_new(o, "sending", json_mode(c, MOVED_SENDING));
	json_object_set_new(o, "receiving", json_mode(c, MOVED_RECEIVING));
	json_object_set_new(o, "reason",
			    explained ? json_string(reason_name(c->reason)) : json_null());
	json_object_set_new(o, "reason_text",
			    explained ? json_string(reason_text(c->reason)) : json_null());
	json_object_set_new(o, "smcr", remote ? ss_remote_json(&c->remote) : json_null());
	return o;
}

int command_ss(int argc, char **argv)
{
	static const struct report_listing listing = {
		.what = QUERY_CONNECTIONS,
		.record_size = sizeof(struct snapshot_connection),
		.compare = compare,
		.print = print,
		.json = json,
	};

	return report_list(&listing, argc, argv);
}
