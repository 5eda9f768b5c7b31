/* SPDX-License-Identifier: MIT */
/*
 * A parcel: the connections of one message, and what they take along (pass.h)
 */
#ifndef SMCU_SHIM_PARCEL_H
#define SMCU_SHIM_PARCEL_H

#include <stdbool.h>

#include "shim/heirloom.h"

#define PARCEL_MOST 48U /* connections with their rings in one message */
#define PARCEL_FDS_EACH 5U
#define PARCEL_FDS (PARCEL_MOST * PARCEL_FDS_EACH + 1U)

/**
 * struct parcel - what goes with one message
 * @connections, @count: the connections; the parcel keeps them alive
 * @most: how many can take their rings along
 * @fds, @fd_count: what they take along, the manifest last
 */
struct parcel {
	struct connection *connections[PARCEL_MOST];
	unsigned int count;
	unsigned int most;
	int fds[PARCEL_FDS];
	unsigned int fd_count;
};

/**
 * parcel_add - descriptor @fd is being passed
 *
 * No effect unless it is a connection of ours that has rings.  One without stays TCP, and so does one
 * whose rings cannot go: it goes back before.
 *
 * Return: 0; -EPERM when that cannot be, because something is unread in them, or it leads to another host.
 */
int parcel_add(struct parcel *parcel, int fd);

/* parcel_close - write the manifest; the receiver is a holder now.  0 or -errno. */
int parcel_close(struct parcel *parcel);

/* parcel_end - the message is on its way, or (@failed) it is not */
void parcel_end(struct parcel *parcel, bool failed);

/**
 * parcel_open - descriptors have come: take those of a parcel off
 * @fds, @count: all that came
 * @peeked: they will come once more
 *
 * Return: how many of them are the program's.  Those that are connections are taken up.
 */
unsigned int parcel_open(int *fds, unsigned int count, bool peeked);

#endif
