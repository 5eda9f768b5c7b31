/* SPDX-License-Identifier: MIT */
/*
 * The event loop: descriptors, timers, and what is left to do between two waits
 *
 * Theory of operation
 *
 * One epoll set, level-triggered.  A turn of the loop is: wait, call the handlers of what is ready,
 * call the handlers of timers that are due, call every *task*.  A task says how long the loop may
 * sleep: 0 when it has work left, LOOP_FOREVER when it has none.  So long work (a snapshot of many
 * records) is cut into slices by its owner, and clients are served in between.  Who leaves work to a task
 * that may have been called in this turn already says loop_again().
 *
 * A handler may remove any watch but may not free it before the turn ends: an event for it may
 * already be in hand.  Who frees does so in a task.
 *
 * Timers stand in one list ordered by deadline.  Nearly all have the same time-out, so a new one is
 * put in from the end.
 */
#ifndef SMCU_DAEMON_LOOP_H
#define SMCU_DAEMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_FOREVER (-1)
#define LOOP_TASKS_MAX 8U

/**
 * struct loop_watch - a descriptor watched
 * @fd: the descriptor, -1 when not watched
 * @handler: called with @context and the EPOLL* events
 */
struct loop_watch {
	int fd;
	void (*handler)(void *context, uint32_t events);
	void *context;
};

/**
 * struct loop_timer - a deadline
 * @deadline: in milliseconds of loop_now(); valid while @armed
 * @handler: called once with @context
 */
struct loop_timer {
	int64_t deadline;
	bool armed;
	void (*handler)(void *context);
	void *context;
	struct loop_timer *previous;
	struct loop_timer *next;
};

/**
 * struct loop_task - work between two waits
 * @run: does a slice of work; returns the milliseconds the loop may sleep at the most
 */
struct loop_task {
	int (*run)(void *context);
	void *context;
};

/**
 * struct loop - the loop
 * @epoll: the epoll descriptor
 * @stopping: loop_stop() was called
 * @again: loop_again() was called
 * @now: monotonic milliseconds at the start of this turn
 * @timers: first to fire; @timers_last: last to fire
 */
struct loop {
	int epoll;
	bool stopping;
	bool again;
	int64_t now;
	struct loop_timer *timers;
	struct loop_timer *timers_last;
	struct loop_task tasks[LOOP_TASKS_MAX];
	unsigned int task_count;
};

/* loop_open - make an empty loop; returns 0 or -errno */
int loop_open(struct loop *loop);

void loop_close(struct loop *loop);

/* loop_watch - watch @watch->fd for @events; returns 0 or -errno */
int loop_watch_add(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* loop_watch_change - from now on wait for @events (0: only errors) */
void loop_watch_change(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* loop_watch_remove - watch no longer; the descriptor stays open, @watch->fd becomes -1 */
void loop_watch_remove(struct loop *loop, struct loop_watch *watch);

/* loop_timer_start - fire @timer in @delay milliseconds (again, if it was armed) */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t delay);

void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* loop_task_add - call @run in each turn; there may be LOOP_TASKS_MAX */
void loop_task_add(struct loop *loop, int (*run)(void *context), void *context);

/* loop_again - call every task once more before the next sleep */
void loop_again(struct loop *loop);

/* loop_run - until loop_stop(); returns 0 or -errno */
int loop_run(struct loop *loop);

void loop_stop(struct loop *loop);

#endif
