/* SPDX-License-Identifier: MIT */
/*
 * smcu ss: every connection of smcu's programs, and why each one is not in shared memory
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/report.h"
#include "control/reason.h"
#include "control/snapshot.h"

#define MOVED_SENDING 1U
#define MOVED_RECEIVING 2U
#define MOVED_BOTH (MOVED_SENDING | MOVED_RECEIVING)

enum column { STATE, USER, PROCESS, LOCAL, PEER, SENT, RECEIVED, CALLS, MODE, COLUMNS };

#define CELL_MAX 160

static const char *const titles[COLUMNS] = {
	"State", "User",     "Process", "Local-Address", "Peer-Address",
	"Sent",	 "Received", "Calls",	"Mode",
};

/* struct row - one line of the table, ready to print */
struct row {
	char cell[COLUMNS][CELL_MAX];
};

static const char *state_name(unsigned int state)
{
	switch (state) {
	case SIDE_CONNECTING:
		return "SYN-SENT";
	case SIDE_TCP:
	case SIDE_SHM:
		return "ESTAB";
	case SIDE_LISTENING:
		return "LISTEN";
	default:
		return "UNCONN";
	}
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

static void mode_text(const struct snapshot_connection *c, char text[CELL_MAX])
{
	const char *why = reason_text(c->reason);

	if (c->state != SIDE_TCP && c->state != SIDE_SHM)
		snprintf(text, CELL_MAX, "-");
	else if ((c->moved & MOVED_BOTH) == MOVED_BOTH)
		snprintf(text, CELL_MAX, "SHM");
	else if (c->moved & MOVED_BOTH)
		snprintf(text, CELL_MAX, "SHM (%s only; the other direction is TCP: %s)",
			 c->moved & MOVED_SENDING ? "sending" : "receiving",
			 c->reason == REASON_NONE ? "nothing was written since" : why);
	else
		snprintf(text, CELL_MAX, "TCP: %s", why);
}

static void row_fill(struct row *row, const struct snapshot_connection *c)
{
	char program[sizeof(c->program) + 1], address[NAME_ADDRESS_MAX], user[NAME_USER_MAX];

	name_program(c->program, sizeof(c->program), program);
	name_user(c->uid, user);
	snprintf(row->cell[STATE], CELL_MAX, "%s", state_name(c->state));
	snprintf(row->cell[USER], CELL_MAX, "%s", user);
	snprintf(row->cell[PROCESS], CELL_MAX, "%d/%s", c->pid, program);
	name_address(&c->local, address);
	snprintf(row->cell[LOCAL], CELL_MAX, "%s", address);
	name_address(&c->peer, address);
	snprintf(row->cell[PEER], CELL_MAX, "%s", address);
	snprintf(row->cell[SENT], CELL_MAX, "%llu",
		 (unsigned long long)(c->bytes_tcp[0] + c->bytes_shm[0]));
	snprintf(row->cell[RECEIVED], CELL_MAX, "%llu",
		 (unsigned long long)(c->bytes_tcp[1] + c->bytes_shm[1]));
	snprintf(row->cell[CALLS], CELL_MAX, "%llu",
		 (unsigned long long)(c->calls[0] + c->calls[1]));
	mode_text(c, row->cell[MODE]);
}

static void row_print(const struct row *row, const int widths[COLUMNS])
{
	for (int i = 0; i < MODE; i++)
		printf("%*s  ", i >= SENT && i <= CALLS ? widths[i] : -widths[i], row->cell[i]);
	puts(row->cell[MODE]);
}

static int print_table(const struct snapshot_connection *connections, size_t count)
{
	struct row *rows = calloc(count + 1, sizeof(*rows));
	int widths[COLUMNS] = {0};

	if (!rows) {
		perror("smcu");
		return STATUS_FAILED;
	}
	for (int i = 0; i < COLUMNS; i++)
		snprintf(rows[0].cell[i], CELL_MAX, "%s", titles[i]);
	for (size_t n = 0; n < count; n++)
		row_fill(&rows[n + 1], &connections[n]);
	for (size_t n = 0; n <= count; n++)
		for (int i = 0; i < COLUMNS; i++) {
			int width = (int)strlen(rows[n].cell[i]);

			widths[i] = width > widths[i] ? width : widths[i];
		}
	for (size_t n = 0; n <= count; n++)
		row_print(&rows[n], widths);
	free(rows);
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

static json_t *json_mode(bool established, bool moved)
{
	return established ? json_string(moved ? "SHM" : "TCP") : json_null();
}

/* Every object has every member: what makes no sense (the mode of a listener) is null. */
static json_t *json_connection(const struct snapshot_connection *c)
{
	bool established = c->state == SIDE_TCP || c->state == SIDE_SHM;
	bool explained = established && (c->moved & MOVED_BOTH) != MOVED_BOTH;
	char user[NAME_USER_MAX], cookie[24];
	json_t *o = json_object();

	name_user(c->uid, user);
	snprintf(cookie, sizeof(cookie), "%llx", (unsigned long long)c->cookie);
	json_object_set_new(o, "state", json_string(state_name(c->state)));
	json_object_set_new(o, "user", json_text(user, sizeof(user)));
	json_object_set_new(o, "uid", json_integer(c->uid));
	json_object_set_new(o, "pid", json_integer(c->pid));
	json_object_set_new(o, "program", json_text(c->program, sizeof(c->program)));
	json_object_set_new(o, "fd", json_integer(c->fd));
	json_object_set_new(o, "cookie", json_string(cookie));
	json_object_set_new(o, "local", json_address(&c->local));
	json_object_set_new(o, "peer", json_address(&c->peer));
	json_object_set_new(o, "sent", json_direction(c, 0));
	json_object_set_new(o, "received", json_direction(c, 1));
	json_object_set_new(o, "mode", json_mode(established, c->moved & MOVED_BOTH));
	json_object_set_new(o, "sending", json_mode(established, c->moved & MOVED_SENDING));
	json_object_set_new(o, "receiving", json_mode(established, c->moved & MOVED_RECEIVING));
	json_object_set_new(o, "reason",
			    explained ? json_string(reason_name(c->reason)) : json_null());
	json_object_set_new(o, "reason_text",
			    explained ? json_string(reason_text(c->reason)) : json_null());
	return o;
}

static int print_json(const struct snapshot_connection *connections, size_t count)
{
	json_t *array = json_array();

	for (size_t n = 0; array && n < count; n++)
		json_array_append_new(array, json_connection(&connections[n]));
	return report_json(array);
}

int command_ss(int argc, char **argv)
{
	struct report report;
	void *records;
	size_t count;
	int status = report_open(&report, argc, argv);

	if (!status)
		status = report_query(&report, QUERY_CONNECTIONS,
				      sizeof(struct snapshot_connection), &records, &count);
	if (status)
		return status;
	qsort(records, count, sizeof(struct snapshot_connection), compare);
	status = report.json ? print_json(records, count) : print_table(records, count);
	free(records);
	return status;
}
