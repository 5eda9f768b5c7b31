/* SPDX-License-Identifier: MIT */
/*
 * The applications' socket: accepts sessions, keeps users within their limits, ends sessions
 *
 * Theory of operation
 *
 * The loop calls the listener's handler; each session has its own (session.h).  Tasks of the loop
 * reap doomed sessions, wake the disposer and work on snapshots.
 *
 * Descriptors are counted, not guessed: apps_headroom() says how many may still be opened.  The
 * listener is paused below APPS_HEADROOM_ACCEPT, so that sessions accepted can be served.
 */
#ifndef SMCU_DAEMON_APPS_H
#define SMCU_DAEMON_APPS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/snapshot.h"
#include "daemon/caller.h"
#include "daemon/config.h"
#include "daemon/disposer.h"
#include "daemon/loop.h"
#include "daemon/remote.h"
#include "daemon/session.h"
#include "daemon/sock_diag.h"
#include "daemon/tcp_option.h"
#include "daemon/users.h"

#define APPS_HEADROOM_ACCEPT (2U * SESSION_FDS_MAX)
#define APPS_FDS_RESERVED 64U /* what the daemon has open for itself */
#define APPS_FDS_LEAST (APPS_FDS_RESERVED + APPS_HEADROOM_ACCEPT + 64U) /* sessions: two each */
#define APPS_RETRY_MS 10

struct engine;

/**
 * struct apps - all sessions and what they share
 * @config: settings in force; replaced on SIGHUP
 * @caller: makes the calls that a user can block
 * @tcp_option: our part in the TCP option's programs
 * @only_uid: the one user served, if @only_own
 * @exit_when_idle: stop the loop some time after the last session
 * @listener: the listening socket
 * @paused: the listener is not watched for want of descriptors
 * @retry: looks for room again while the listener is @paused or sessions are stalled
 * @idle: stops the loop
 * @sessions: oldest first; @sessions_last; @session_count
 * @doomed: sessions to be reaped
 * @stalled_count: sessions stalled
 * @users: by uid
 * @side_files: side segments of sessions, by inode
 * @pending: offers whose peer is not known yet, by cookie
 * @elsewhere: those of them that have no peer at the mirrored addresses, by sequence numbers
 * @questions: snapshots to make, in order; @questions_last; @walks: how many there were
 * @engine: what speaks with other hosts; NULL: nothing does
 * @remotes: connections to them
 * @totals: of sessions that are over, and of the daemon itself
 * @fd_limit: RLIMIT_NOFILE; @fds_held: sockets, side segments and queued descriptors
 * @netns: our SO_NETNS_COOKIE
 * @started: loop_now() at the start
 */
struct apps {
	struct loop *loop;
	struct config *config;
	struct disposer *disposer;
	struct caller caller;
	struct sock_diag diag;
	struct tcp_option tcp_option;
	bool only_own;
	uid_t only_uid;
	bool exit_when_idle;
	struct loop_watch listener;
	int listening;
	bool paused;
	struct loop_timer retry;
	struct loop_timer idle;
	struct session *sessions;
	struct session *sessions_last;
	unsigned int session_count;
	struct session *doomed;
	unsigned int stalled_count;
	struct user *users;
	struct side_file *side_files;
	struct offer *pending;
	struct offer *elsewhere;
	struct question *questions;
	struct question *questions_last;
	uint64_t walks;
	struct engine *engine;
	struct remotes remotes;
	struct snapshot_totals totals;
	uint64_t fd_limit;
	uint64_t fds_held;
	uint64_t netns;
	int64_t started;
};

/**
 * struct apps_options - how to serve
 * @listening: the listening socket; stays the caller's
 * @only_own: serve our own user only
 * @exit_when_idle: a daemon that `smcu run` started
 */
struct apps_options {
	int listening;
	bool only_own;
	bool exit_when_idle;
};

/* apps_open - start serving on @loop; returns 0 or -errno */
int apps_open(struct apps *apps, struct loop *loop, struct config *config,
	      const struct apps_options *options);

/* apps_close - end all sessions */
void apps_close(struct apps *apps);

/* apps_headroom - how many descriptors may still be opened */
uint64_t apps_headroom(const struct apps *apps);

/* apps_retry_later - have stalled sessions and the listener looked at again soon */
void apps_retry_later(struct apps *apps);

/* apps_dispose - close a descriptor that @user passed */
void apps_dispose(struct apps *apps, struct user *user, int fd);

#endif
