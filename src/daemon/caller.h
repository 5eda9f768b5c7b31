/* SPDX-License-Identifier: MIT */
/*
 * The caller: makes the system calls that a user can block
 *
 * Theory of operation
 *
 * send(2), recv(2), shutdown(2) and connect(2) wait, however they are asked not to, for a lock of the
 * socket that somebody who also has it holds for as long as he likes: by sending from, or receiving into,
 * memory that never arrives.  So on sockets that users passed the loop makes none of them itself, but for
 * users whom it cannot mistrust: our own.
 *
 *   loop ──call──> queue ──> thread ──result, eventfd──> loop: done()
 *
 * One thread makes all calls, which take microseconds.  When it has been in one call for CALLER_PATIENCE_MS
 * it is left there, and another takes over.  That call is *stuck*, and counted against its user; the calls
 * of a user who has CALLER_STUCK_MAX of them are *parked* until one comes back.
 */
#ifndef SMCU_DAEMON_CALLER_H
#define SMCU_DAEMON_CALLER_H

#include <pthread.h>
#include <stdbool.h>

#include "daemon/loop.h"
#include "daemon/users.h"

#define CALLER_PATIENCE_MS 20
#define CALLER_STUCK_MAX 4U

struct worker;

/**
 * struct call - one call, in the caller's hand from caller_submit() to done()
 * @run: makes it; in another thread, unless it is our own user's
 * @done: in the loop
 * @user: whose socket it is; kept by who submits
 * @stuck: counted in user.stuck
 */
struct call {
	void (*run)(struct call *call);
	void (*done)(struct call *call);
	struct user *user;
	bool stuck;
	struct call *next;
};

/**
 * struct calls - calls in order
 */
struct calls {
	struct call *first;
	struct call *last;
};

/**
 * struct caller - see above
 * @trusted: our own user
 * @finished_watch: an eventfd
 * @patience: looks whether the thread is stuck
 * @lock: protects @queue, @finished, @worker and its members
 * @more: there is something in the queue
 * @queue: to be made; @finished: made; @parked: of users with too many stuck, the loop's alone
 * @worker: the thread that takes from the queue, or NULL
 */
struct caller {
	struct loop *loop;
	uid_t trusted;
	struct loop_watch finished_watch;
	struct loop_timer patience;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct calls queue;
	struct calls finished;
	struct calls parked;
	struct worker *worker;
};

/* caller_open - returns 0 or -errno */
int caller_open(struct caller *caller, struct loop *loop, uid_t trusted);

/* caller_close - make no more; a thread that is stuck is left behind */
void caller_close(struct caller *caller);

/**
 * caller_submit - make @call
 *
 * Our own user's is made at once, and done before this returns.
 */
void caller_submit(struct caller *caller, struct call *call);

#endif
