/* SPDX-License-Identifier: MIT */
/*
 * The bells of a segment (ring/doorbell.h), as the daemon has them
 *
 * Theory of operation
 *
 * They belong to the segment, like its map: they are watched from its first use on, and what they tell is
 * told to the remote that uses it now.  Between two uses only their end counts: the shim has given the
 * segment up.  Each byte is an event of its own, so that a few may stay in there.
 */
#ifndef SMCU_DAEMON_REMOTE_BELL_H
#define SMCU_DAEMON_REMOTE_BELL_H

#include <stdbool.h>

#include "daemon/caller.h"
#include "daemon/loop.h"

struct apps;
struct remote;
struct remote_map;

enum remote_bell_kind { BELL_DATA, BELL_SPACE, BELLS };

/**
 * struct remote_bell - our end of one
 * @watch: its descriptor
 * @rings: how often it was armed since it was drained
 * @drain: takes what rang it, if @draining
 */
struct remote_bell {
	struct remote_map *map;
	struct loop_watch watch;
	unsigned int rings;
	struct call drain;
	bool draining;
};

/**
 * remote_bells_open - watch them
 * @fds: by enum remote_bell_kind; taken over
 *
 * Return: 0, or -errno; then remote_bells_close().
 */
int remote_bells_open(struct remote_map *map, struct apps *apps, const int fds[BELLS]);

/* remote_bells_close - @late: nobody waits for it.  A second time nothing happens. */
void remote_bells_close(struct remote_map *map, bool late);

/* remote_bells_busy - is the caller at one of them? */
bool remote_bells_busy(const struct remote_map *map);

/* remote_arm - ask for the bells to be rung; look once more afterwards */
void remote_arm(struct remote *remote);

/* remote_disarm - the data bell need not be rung: we look */
void remote_disarm(struct remote *remote);

/* remote_wake_reader - there is something to read, or a mark */
void remote_wake_reader(struct remote *remote);

/**
 * remote_wake_writer - there is room, if there is enough to wake for
 * @before: bytes that were in the ring before some were released; SIZE_MAX: wake in any case
 */
void remote_wake_writer(struct remote *remote, size_t before);

#endif
