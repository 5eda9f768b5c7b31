/* SPDX-License-Identifier: MIT */
#include "shim/inherit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/program.h"
#include "shim/back.h"
#include "shim/call_stdio.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/heirloom.h"
#include "shim/libc.h"
#include "shim/offer.h"
#include "shim/settings.h"
#include "shim/side.h"
#include "shim/spawn_actions.h"

#define VARIABLE "SMCU_INHERITED="

/* --- before exec --- */

/*
 * One that has not moved is passed on by a process that gives its own up, so that it can move later;
 * one that has, in any case.
 */
static bool is_heritable(const struct inheritance *inheritance, const struct connection *connection)
{
	if (!connection->side || side_of(connection->side) < 0)
		return false;
	return is_attached(connection) ||
	       (inheritance->counted && connection_phase(connection) == PHASE_TCP);
}

/* A child that has it is not going to be told. */
static void give_away(const struct inheritance *inheritance, struct connection *connection)
{
	if (!inheritance->counted && connection->side)
		atomic_fetch_or(&connection->side->flags, SIDE_GIVEN_AWAY);
}

static void inheritance_add(struct inheritance *inheritance, struct connection *connection)
{
	if (!is_heritable(inheritance, connection)) {
		give_away(inheritance, connection);
		return;
	}
	for (unsigned int i = 0; i < inheritance->count; i++)
		if (inheritance->connections[i] == connection)
			return;
	if (inheritance->count < INHERIT_MOST)
		inheritance->connections[inheritance->count++] = connection;
	else
		settings_say("descriptor %d: too many moved connections to be passed on",
			     connection->fd);
}

static void keep_if_it_survives(int fd, void *context)
{
	uint64_t cookie;
	struct connection *connection;
	int flags = libc.fcntl(fd, F_GETFD);

	if (flags < 0 || (flags & FD_CLOEXEC))
		return;
	cookie = heirloom_cookie(fd);
	connection = cookie ? connection_by_cookie(cookie) : NULL;
	if (!connection)
		return;
	inheritance_add(context, connection);
	connection_put(connection);
}

static void keep(struct connection *connection, void *context)
{
	inheritance_add(context, connection);
}

static void keep_copied(int fd, void *context)
{
	struct connection *connection = connection_get(fd);

	if (!connection)
		return;
	inheritance_add(context, connection);
	connection_put(connection);
}

/* What the file actions copy is what the program is started for: it comes first. */
static void keep_what_spawn_leaves(struct inheritance *inheritance,
				   const posix_spawn_file_actions_t *actions)
{
	if (actions && !spawn_actions_are_known()) {
		connection_each(keep, inheritance);
		return;
	}
	if (actions)
		spawn_actions_each_copied(actions, keep_copied, inheritance);
	for (int fd = 0; fd < fd_table_top(); fd++)
		if (fd_connection(fd) && !(libc.fcntl(fd, F_GETFD) & FD_CLOEXEC))
			keep_copied(fd, inheritance);
}

/* Who accepts there without a shim would wait for a peer that waits for a rendezvous. */
static void stop_offering(struct connection *connection, void *context)
{
	const int flags = libc.fcntl(connection->fd, F_GETFD);

	(void)context;
	if (flags >= 0 && !(flags & FD_CLOEXEC))
		offer_withdraw(connection);
}

static void print_address(const struct side_address *address, char *text, size_t size)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const bool is_mapped = memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
	char host[INET6_ADDRSTRLEN] = "?";

	(void)inet_ntop(is_mapped ? AF_INET : AF_INET6, address->bytes + (is_mapped ? 12 : 0), host,
			sizeof(host));
	snprintf(text, size, "%s:%u", host, address->port);
}

static void say_lost(const struct connection *connection, const char *why)
{
	char local[64], peer[64];

	print_address(&connection->side->local, local, sizeof(local));
	print_address(&connection->side->peer, peer, sizeof(peer));
	settings_say("descriptor %d (%s to %s) is in shared memory, and the program started cannot "
		     "use it: it has no shim: %s",
		     connection->fd, local, peer, why);
}

/*
 * The program started finds TCP, and nothing is passed on.  But what is unread in a ring it would not find there,
 * nor anything of a connection with another host.
 */
static void lose(struct inheritance *inheritance, const char *why)
{
	bool goes = false;

	connection_each(stop_offering, NULL);
	for (unsigned int i = 0; i < inheritance->count; i++) {
		struct connection *connection = inheritance->connections[i];

		give_away(inheritance, connection);
		if (!is_attached(connection))
			continue;
		if (is_remote(connection) || ring_available(&connection->receive)) {
			say_lost(connection, why);
			continue;
		}
		back_mark(connection);
		goes = true;
	}
	inheritance->count = 0;
	if (goes) /* it takes some milliseconds */
		back_marked(REASON_BACK);
}

size_t inherit_find(struct inheritance *inheritance, const struct program *program,
		    char *const env[], enum inherit_how how,
		    const posix_spawn_file_actions_t *actions)
{
	const int saved = errno;
	size_t variables = 0;
	const char *lost;

	inheritance->count = 0;
	inheritance->counted = how == INHERIT_EXEC && fd_table_is_ours();
	if (connection_none())
		return 0;
	if (how == INHERIT_EXEC)
		fd_each_open(keep_if_it_survives, inheritance);
	else
		keep_what_spawn_leaves(inheritance, actions);
	lost = program_loses_the_shim(program, env);
	if (lost)
		lose(inheritance, lost);
	errno = saved;
	while (inheritance->count && env[variables])
		variables++;
	return inheritance->count ? (variables + 2) * sizeof(char *) + sizeof(VARIABLE) +
					    inheritance->count * HEIRLOOM_TEXT
				  : 0;
}

static void set_close_on_exec(const struct connection *connection, int flag)
{
	if (connection->segment >= 0) {
		(void)libc.fcntl(connection->segment, F_SETFD, flag);
		(void)libc.fcntl(connection->data_bell, F_SETFD, flag);
		(void)libc.fcntl(connection->space_bell, F_SETFD, flag);
		if (is_remote(connection))
			(void)libc.fcntl(connection->stand_in, F_SETFD, flag);
	}
	(void)libc.fcntl(side_of(connection->side), F_SETFD, flag);
}

char **inherit_begin(const struct inheritance *inheritance, char *const env[], void *room)
{
	const int saved = errno;
	char **own = room, *text;
	struct heirloom heirloom;
	size_t n = 0;

	for (; env && *env; env++)
		if (strncmp(*env, VARIABLE, sizeof(VARIABLE) - 1) != 0)
			own[n++] = *env;
	text = (char *)&own[n + 2];
	own[n] = text;
	own[n + 1] = NULL;
	text = stpcpy(text, VARIABLE);
	for (unsigned int i = 0; i < inheritance->count; i++) {
		struct connection *connection = inheritance->connections[i];

		if (!inheritance->counted)
			atomic_fetch_add(&connection->side->holders, 1);
		set_close_on_exec(connection, 0);
		heirloom = heirloom_of(connection);
		text += heirloom_print(&heirloom, text);
	}
	errno = saved;
	return own;
}

void inherit_end(const struct inheritance *inheritance, bool failed)
{
	const int saved = errno;

	for (unsigned int i = 0; i < inheritance->count; i++) {
		struct connection *connection = inheritance->connections[i];

		set_close_on_exec(connection, FD_CLOEXEC);
		if (failed && !inheritance->counted)
			atomic_fetch_sub(&connection->side->holders, 1);
	}
	errno = saved;
}

/* --- in the new program --- */

/**
 * struct search - for the descriptors of one connection
 * @record: its record
 * @connection: once the first was found
 */
struct search {
	const struct heirloom *heirloom;
	struct side_record *record;
	struct connection *connection;
};

static void take_if_it_is(int fd, void *context)
{
	struct search *search = context;

	if (heirloom_cookie(fd) != search->heirloom->cookie)
		return;
	if (!search->record) {
		if (!search->heirloom->returned)
			heirloom_refuse(fd);
		return;
	}
	if (search->connection)
		connection_dup(search->connection, fd);
	else
		search->connection = heirloom_take_up(search->heirloom, search->record, fd);
	if (search->connection)
		call_stdio_take_over(fd);
}

static void take_up(struct heirloom *heirloom)
{
	struct search search = {.heirloom = heirloom};

	(void)heirloom_hide(heirloom, true);
	search.record = heirloom_record(heirloom);
	if (search.record)
		side_adopt(search.record);
	fd_each_open(take_if_it_is, &search);
	if (search.record && !search.connection)
		heirloom_drop(heirloom, search.record); /* it was not passed on after all */
}

static void refuse_if_it_is(int fd, void *context)
{
	if (heirloom_cookie(fd) == *(const uint64_t *)context)
		heirloom_lost(fd);
}

void inherit_take_up(void)
{
	const char *entry = getenv("SMCU_INHERITED");
	struct heirloom heirloom;

	for (; entry && *entry; entry = strchr(entry, ';') ? strchr(entry, ';') + 1 : NULL) {
		if (!heirloom_scan(&heirloom, entry))
			continue;
		if (heirloom_is_valid(&heirloom))
			take_up(&heirloom);
		else if (heirloom.segment >= 0)
			fd_each_open(refuse_if_it_is, &heirloom.cookie);
	}
	if (getenv("SMCU_INHERITED"))
		unsetenv("SMCU_INHERITED");
}
