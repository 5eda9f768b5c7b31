/* SPDX-License-Identifier: MIT */
#include "shim/parcel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/back.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/quiet.h"
#include "shim/side.h"

#define TITLE "smcu-passed %u;" /* how many descriptors are not the program's, this one included */
#define TITLE_ROOM 32
#define TEXT_MOST (TITLE_ROOM + PARCEL_MOST * HEIRLOOM_TEXT)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* --- sending --- */

/* It stays TCP, unless another thread attaches it just now. */
static void give_away(struct connection *connection)
{
	if (!connection->side)
		return;
	/* For all holders: the receiver does not count as one. */
	atomic_fetch_or(&connection->side->flags, SIDE_GIVEN_AWAY);
	connection_pin(connection, REASON_SHARED);
}

/* Its rings cannot go along. */
static int go_without(struct connection *connection)
{
	if (!back_unless_rest(connection, REASON_BACK))
		return -EPERM;
	give_away(connection);
	return 0;
}

int parcel_add(struct parcel *parcel, int fd)
{
	struct connection *connection = connection_get(fd);
	int error = 0;

	if (!connection)
		return 0;
	if (!is_attached(connection))
		give_away(connection);
	if (!is_attached(connection)) {
		connection_put(connection);
		return 0;
	}
	for (unsigned int i = 0; i < parcel->count; i++)
		if (parcel->connections[i] == connection) {
			connection_put(connection);
			return 0;
		}
	if (parcel->count < parcel->most && side_of(connection->side) >= 0) {
		parcel->connections[parcel->count++] = connection;
		return 0;
	}
	error = go_without(connection);
	connection_put(connection);
	return error;
}

/* Descriptors become positions among those that are not the program's. */
static int position_of(struct parcel *parcel, int fd)
{
	parcel->fds[parcel->fd_count] = fd;
	return (int)parcel->fd_count++;
}

static size_t write_text(struct parcel *parcel, char *text)
{
	char *at = text + TITLE_ROOM;
	size_t title;

	for (unsigned int i = 0; i < parcel->count; i++) {
		struct heirloom heirloom = heirloom_of(parcel->connections[i]);

		heirloom.segment = position_of(parcel, heirloom.segment);
		heirloom.data_bell = position_of(parcel, heirloom.data_bell);
		heirloom.space_bell = position_of(parcel, heirloom.space_bell);
		if (heirloom.stand_in >= 0)
			heirloom.stand_in = position_of(parcel, heirloom.stand_in);
		heirloom.side = position_of(parcel, heirloom.side);
		at += heirloom_print(&heirloom, at);
	}
	title = (size_t)snprintf(text, TITLE_ROOM, TITLE, parcel->fd_count + 1);
	memmove(text + title, text + TITLE_ROOM, (size_t)(at - text) - TITLE_ROOM);
	return (size_t)(at - text) - TITLE_ROOM + title;
}

int parcel_close(struct parcel *parcel)
{
	char text[TEXT_MOST];
	size_t length;
	int manifest = memfd_create("smcu-passed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (manifest < 0)
		return -errno;
	parcel->fd_count = 0;
	length = write_text(parcel, text);
	if (quiet_write(manifest, text, length) != (ssize_t)length ||
	    libc.fcntl(manifest, F_ADD_SEALS, SEALS) < 0) {
		quiet_close(manifest);
		return -ENOBUFS;
	}
	parcel->fds[parcel->fd_count++] = manifest;
	for (unsigned int i = 0; i < parcel->count; i++)
		atomic_fetch_add(&parcel->connections[i]->side->holders, 1);
	return 0;
}

void parcel_end(struct parcel *parcel, bool failed)
{
	if (parcel->fd_count)
		quiet_close(parcel->fds[parcel->fd_count - 1]);
	for (unsigned int i = 0; i < parcel->count; i++) {
		if (failed && parcel->fd_count)
			atomic_fetch_sub(&parcel->connections[i]->side->holders, 1);
		connection_put(parcel->connections[i]);
	}
}

/* --- receiving --- */

/* The text of a manifest, NUL-terminated; false when @fd is none. */
static bool read_text(int fd, char text[TEXT_MOST])
{
	ssize_t n;

	if (libc.fcntl(fd, F_GET_SEALS) != SEALS)
		return false;
	n = quiet_pread(fd, text, TEXT_MOST - 1, 0);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* Positions become descriptors; each is taken once, so that a wrong text closes nothing twice. */
static bool resolve(int *position, int *fds, unsigned int count)
{
	const int at = *position;

	if (at < 0 || (unsigned int)at >= count || fds[at] < 0)
		return false;
	*position = fds[at];
	fds[at] = -1;
	return true;
}

static bool resolve_all(struct heirloom *heirloom, int *fds, unsigned int count)
{
	int *positions[] = {&heirloom->segment, &heirloom->data_bell, &heirloom->space_bell,
			    &heirloom->side, &heirloom->stand_in};
	const unsigned int all = heirloom->stand_in >= 0 ? 5 : 4;
	unsigned int done = 0;

	while (done < all && resolve(positions[done], fds, count))
		done++;
	if (done == all && heirloom_is_valid(heirloom))
		return true;
	while (done)
		quiet_close(*positions[--done]);
	return false;
}

/* The program's descriptors of this connection, several perhaps, lead to it. */
static void lead_to(const struct heirloom *heirloom, struct side_record *record, const int *fds,
		    unsigned int count)
{
	/* Passed back, or to a child: then this is one holder, as it was. */
	struct connection *const ours = connection_by_cookie(heirloom->cookie);
	struct connection *connection = ours;

	if (connection)
		heirloom_drop(heirloom, record);
	for (unsigned int i = 0; i < count; i++) {
		if (heirloom_cookie(fds[i]) != heirloom->cookie)
			continue;
		if (connection)
			connection_dup(connection, fds[i]);
		else
			connection = heirloom_take_up(heirloom, record, fds[i]);
	}
	if (!connection)
		heirloom_drop(heirloom, record);
	if (ours)
		connection_put(ours);
}

static void take_up(struct heirloom *heirloom, const int *fds, unsigned int count, bool peeked)
{
	struct side_record *record = NULL;

	if (heirloom_hide(heirloom, false))
		record = heirloom_record(heirloom);
	if (record) {
		if (peeked)
			atomic_fetch_add(&record->holders, 1);
		lead_to(heirloom, record, fds, count);
		return;
	}
	for (unsigned int i = 0; i < count && !heirloom->returned; i++)
		if (heirloom_cookie(fds[i]) == heirloom->cookie)
			heirloom_refuse(fds[i]);
}

static const char *next_entry(const char *entry)
{
	const char *end = strchr(entry, ';');

	return end && end[1] ? end + 1 : NULL;
}

unsigned int parcel_open(int *fds, unsigned int count, bool peeked)
{
	char text[TEXT_MOST];
	struct heirloom heirloom;
	unsigned int extra;

	for (unsigned int i = 0; i < count; i++)
		connection_forget(fds[i]);
	if (!count || !read_text(fds[count - 1], text) || sscanf(text, TITLE, &extra) != 1 ||
	    extra == 0 || extra > count)
		return count;
	count -= extra;
	for (const char *entry = next_entry(text); entry; entry = next_entry(entry))
		if (heirloom_scan(&heirloom, entry) &&
		    resolve_all(&heirloom, fds + count, extra - 1))
			take_up(&heirloom, fds, count, peeked);
	for (unsigned int i = count; i < count + extra; i++)
		if (fds[i] >= 0)
			quiet_close(fds[i]);
	return count;
}
