/* SPDX-License-Identifier: MIT */
#include "shim/inherit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/call_stdio.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/settings.h"
#include "shim/side.h"

#define VARIABLE "SMCU_INHERITED="
#define LIBRARY "libsmcu-preload.so"
#define WITHOUT_PROC 1024 /* descriptors looked at where /proc is not there */

/**
 * struct heirloom - one entry of the variable, in this order
 * @cookie: of the socket
 * @segment, @data_bell, @space_bell, @side: descriptors; -1 but for the last where it has not moved
 * @record: index in the side segment
 * @end, @ring_bytes, @same_user, @by_connect: as in struct connection
 * @counted: the new program is a holder already
 */
struct heirloom {
	uint64_t cookie;
	int segment, data_bell, space_bell, side;
	uint32_t record;
	unsigned int end, ring_bytes, same_user, by_connect, counted;
};

#define FORMAT "%" PRIx64 ",%d,%d,%d,%d,%" PRIu32 ",%u,%u,%u,%u,%u;"
#define SCAN "%" SCNx64 ",%d,%d,%d,%d,%" SCNu32 ",%u,%u,%u,%u,%u;"
#define FIELDS 11

/* --- looking through this process's descriptors --- */

static void each_number(int directory, void (*visit)(int fd, void *context), void *context)
{
	_Alignas(struct dirent64) char entries[4096];
	long n;

	while ((n = libc.syscall(SYS_getdents64, directory, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(entries + at);

			if (entry->d_name[0] != '.' && atoi(entry->d_name) != directory)
				visit(atoi(entry->d_name), context);
			at += entry->d_reclen;
		}
	}
}

static void each_descriptor(void (*visit)(int fd, void *context), void *context)
{
	int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory >= 0) {
		each_number(directory, visit, context);
		libc.close(directory);
		return;
	}
	for (int fd = 0; fd < WITHOUT_PROC; fd++)
		visit(fd, context);
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t length = sizeof(cookie);

	if (fd_is_hidden(fd) || libc.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) < 0)
		return 0;
	return cookie;
}

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

static void inheritance_add(struct inheritance *inheritance, struct connection *connection)
{
	if (!is_heritable(inheritance, connection))
		return;
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
	cookie = cookie_of(fd);
	connection = cookie ? connection_by_cookie(cookie) : NULL;
	if (connection)
		inheritance_add(context, connection);
}

static void keep(struct connection *connection, void *context)
{
	inheritance_add(context, connection);
}

static bool has_shim(char *const env[])
{
	for (; env && *env; env++)
		if (strncmp(*env, "LD_PRELOAD=", 11) == 0 && strstr(*env, LIBRARY))
			return true;
	return false;
}

size_t inherit_find(struct inheritance *inheritance, char *const env[], bool spawn)
{
	const int saved = errno;
	size_t variables = 0;

	inheritance->count = 0;
	inheritance->counted = !spawn && fd_table_is_ours();
	if (inheritance->counted ? connection_none() : !connection_any_attached())
		return 0;
	if (spawn)
		connection_each(keep, inheritance);
	else
		each_descriptor(keep_if_it_survives, inheritance);
	errno = saved;
	if (inheritance->count && !has_shim(env)) {
		settings_say("the program started has no shim: it cannot use moved connections");
		inheritance->count = 0;
	}
	while (inheritance->count && env[variables])
		variables++;
	return inheritance->count ? (variables + 2) * sizeof(char *) + sizeof(VARIABLE) +
					    inheritance->count * INHERIT_ENTRY
				  : 0;
}

static void set_close_on_exec(const struct connection *connection, int flag)
{
	if (connection->segment >= 0) {
		(void)libc.fcntl(connection->segment, F_SETFD, flag);
		(void)libc.fcntl(connection->data_bell, F_SETFD, flag);
		(void)libc.fcntl(connection->space_bell, F_SETFD, flag);
	}
	(void)libc.fcntl(side_of(connection->side), F_SETFD, flag);
}

static int print_entry(const struct connection *connection, bool counted, char *to)
{
	return snprintf(to, INHERIT_ENTRY, FORMAT, connection->side->cookie, connection->segment,
			connection->data_bell, connection->space_bell, side_of(connection->side),
			side_index(connection->side), connection->end, connection->send.bytes,
			(unsigned int)connection->same_user,
			(unsigned int)connection->opened_by_connect, (unsigned int)counted);
}

char **inherit_begin(const struct inheritance *inheritance, char *const env[], void *room)
{
	const int saved = errno;
	char **own = room, *text;
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
		text += print_entry(connection, inheritance->counted, text);
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

static bool is_memory_file(int fd, uint64_t size)
{
	const int sealed = F_SEAL_SHRINK | F_SEAL_GROW;
	struct stat status;
	int seals = libc.fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & sealed) == sealed && fstat(fd, &status) == 0 &&
	       (uint64_t)status.st_size == size;
}

static bool is_valid(const struct heirloom *heirloom)
{
	if (heirloom->record >= SIDE_RECORDS || !is_memory_file(heirloom->side, SIDE_BYTES))
		return false;
	if (heirloom->segment < 0)
		return true;
	return segment_bytes_valid(heirloom->ring_bytes) && heirloom->end < 2 &&
	       is_memory_file(heirloom->segment, segment_size(heirloom->ring_bytes)) &&
	       libc.fcntl(heirloom->data_bell, F_GETFD) >= 0 &&
	       libc.fcntl(heirloom->space_bell, F_GETFD) >= 0;
}

/**
 * struct search - for the descriptors of one connection
 * @cookie: of its socket
 * @connection: once the first was found
 */
struct search {
	const struct heirloom *heirloom;
	struct side_record *side;
	struct connection *connection;
};

static void take_if_it_is(int fd, void *context)
{
	struct search *search = context;
	const struct heirloom *heirloom = search->heirloom;
	const struct move_parts parts = {
		.segment = heirloom->segment,
		.data_bell = heirloom->data_bell,
		.space_bell = heirloom->space_bell,
		.ring_bytes = heirloom->ring_bytes,
		.end = heirloom->end,
		.same_user = heirloom->same_user,
	};

	if (cookie_of(fd) != heirloom->cookie)
		return;
	if (search->connection) {
		connection_dup(search->connection, fd);
	} else {
		search->connection = connection_new(fd);
		if (!search->connection)
			return;
		search->connection->opened_by_connect = heirloom->by_connect;
		if (heirloom->segment < 0)
			connection_take_up(search->connection, search->side);
		else if (!move_take_up(search->connection, search->side, &parts)) {
			settings_say("descriptor %d: no memory for its ring: it is reset", fd);
			(void)libc.shutdown(fd, SHUT_RDWR);
			return;
		}
	}
	call_stdio_take_over(fd);
}

static void take_up(const struct heirloom *heirloom)
{
	struct search search = {.heirloom = heirloom};

	search.side = side_take_up(heirloom->side, heirloom->record);
	if (!search.side || search.side->cookie != heirloom->cookie)
		return;
	if (heirloom->segment >= 0) {
		fd_hide_where_it_is(heirloom->segment);
		fd_hide_where_it_is(heirloom->data_bell);
		fd_hide_where_it_is(heirloom->space_bell);
	}
	each_descriptor(take_if_it_is, &search);
	if (search.connection)
		return;
	/* It was not passed on after all. */
	fd_unhide(heirloom->segment);
	fd_unhide(heirloom->data_bell);
	fd_unhide(heirloom->space_bell);
	atomic_fetch_sub(&search.side->holders, 1);
}

void inherit_take_up(void)
{
	const char *entry = getenv("SMCU_INHERITED");
	struct heirloom heirloom;

	for (; entry && *entry; entry = strchr(entry, ';') ? strchr(entry, ';') + 1 : NULL) {
		if (sscanf(entry, SCAN, &heirloom.cookie, &heirloom.segment, &heirloom.data_bell,
			   &heirloom.space_bell, &heirloom.side, &heirloom.record, &heirloom.end,
			   &heirloom.ring_bytes, &heirloom.same_user, &heirloom.by_connect,
			   &heirloom.counted) == FIELDS &&
		    is_valid(&heirloom))
			take_up(&heirloom);
	}
	if (getenv("SMCU_INHERITED"))
		unsetenv("SMCU_INHERITED");
}
