/* SPDX-License-Identifier: MIT */
/*
 * epoll: the shim translates, the kernel sleeps
 *
 * Theory of operation
 *
 * A *poller* stands beside each epoll in which a TCP socket is registered, and a *watch* for each
 * such registration.  Until its connection is attached, a watch only remembers events and data:
 * the registration itself is in the kernel, in the program's epoll (@native).  When the connection
 * is attached, the registration moves to the poller's own *inner* epoll, edge-triggered, with three
 * descriptors: the TCP socket, the data bell and the space bell.  (Of two watches of one connection, for
 * two of its descriptors, one *leads*: the bells are registered for it, and wake the other.)  The inner epoll is registered in
 * the program's epoll, edge-triggered, with the poller's address as data, so that every wait in the
 * kernel wakes for it.
 *
 * An epoll that gets a second number gets its poller at once, whatever is in it: the program may register by one
 * of them and wait by the other.
 *
 * A watch is *hot* while it stands in the poller's hot list: its readiness is computed from the
 * rings at each wait, without a system call.  Before a sleep, each hot watch found idle is *armed*
 * (the peer is to ring) and leaves the list; so does one found idle many times in a row.  A bell or
 * the TCP socket showing up in the inner epoll makes its watch hot again.  Where several threads wait, one that
 * leaves does the same with what it leaves behind, and wakes another for what it was not told of.
 *
 * A thread may take a registration over while another has just got its event from the kernel.  That
 * thread does not report it once more in the same call: what the program has read by then is not there
 * a second time.
 *
 * Level-triggered readiness is the ring's state.  An edge is: new data since the last report, an
 * end or error not reported yet, space after a writer found the ring full, and ADD or MOD.
 *
 * One lock guards each poller with its watches; epoll_links guards connection.watches and is taken
 * first.
 */
#ifndef SMCU_SHIM_EPOLL_H
#define SMCU_SHIM_EPOLL_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "ring/wait.h"
#include "shim/connection.h"
#include "shim/watch.h"

/**
 * struct poller - beside one of the program's epolls
 * @lock: guards it and its watches
 * @epoll: one of the program's descriptors that lead here
 * @descriptors: how many there are
 * @inner: the inner epoll (hidden), -1 until a watched connection is attached
 * @flag: where somebody waits for this epoll itself (epoll_nest.c): a hidden eventfd in it; else -1
 * @flagged: it is raised (looked at without the lock)
 * @sleepers: threads asleep in the kernel for it
 * @watches: all of them
 * @hot: list head (whether there is one, is looked at without the lock)
 * @hot_count: its length
 * @turn: which look at it this was
 * @generation: of the process whose it is; a child's is higher than its parent's
 * @born: how many forks that process had made
 * @shared: more than one process uses it, or has (epoll_share.h); @returned: ours know, and went back
 * @base: where the epoll is inherited: the parent's poller
 * @left, @left_count: watches that are left for a child
 * @active: something happened since idle pages were last given back
 * @takeovers: registrations taken over from the kernel so far
 * @asked_at: when the kernel was last asked without waiting, nanoseconds
 * @rings_first: it had enough for all the program's room then: next it is the rings' turn
 * @habit: of waiting here; @vain_asks: waits since the kernel had something when it was asked meanwhile
 * @peer: enum wait_peer: where that was which a wait last was for
 * @meets: who goes to sleep now does so to be moved there (struct wait)
 * @next_free: link of the pool
 */
struct poller {
	_Atomic uint32_t lock;
	_Atomic int epoll;
	int descriptors;
	_Atomic int inner;
	int flag;
	_Atomic bool flagged;
	_Atomic uint32_t sleepers;
	struct watch *watches;
	_Atomic(struct watch *) hot;
	uint32_t hot_count;
	uint32_t turn;
	uint32_t generation;
	uint32_t born;
	_Atomic bool shared;
	_Atomic bool returned;
	struct poller *base;
	struct watch *left;
	uint32_t left_count;
	_Atomic bool active;
	_Atomic uint32_t takeovers;
	_Atomic uint64_t asked_at;
	_Atomic bool rings_first;
	struct wait_habit habit;
	_Atomic uint32_t vain_asks;
	_Atomic uint8_t peer;
	_Atomic bool meets;
	struct poller *next_free;
};

/* epoll_control - epoll_ctl(2) on a TCP socket the shim knows; returns 0 or -errno */
int epoll_control(int epoll, int operation, int fd, struct connection *connection,
		  struct epoll_event *event);

/**
 * epoll_wait_for - epoll_wait(2) and its kin
 * @poller: may be NULL
 * @timeout: NULL waits for ever
 *
 * Return: number of events, or -errno.
 */
int epoll_wait_for(struct poller *poller, int epoll, struct epoll_event *events, int most,
		   const struct timespec *timeout, const sigset_t *mask);

/* epoll_settle_offers - before and after a wait: ask for the verdicts of what it watches (offer.h) */
void epoll_settle_offers(struct poller *poller);

/* epoll_prepare - before a connection is attached: can its registrations be taken over? */
bool epoll_prepare(struct connection *connection);

/* epoll_attach - the connection has rings now: take its registrations over */
void epoll_attach(struct connection *connection);

/**
 * epoll_go_back - the connection is TCP's again: its registrations return to the kernel
 *
 * epoll_give_up follows when that was done for all: the inner epolls are closed.
 */
void epoll_go_back(struct connection *connection);
void epoll_give_up(void);

/**
 * epoll_has_rest, epoll_add_rest - what epoll_wait(2) does not know of in PHASE_BACK
 * @events, @n, @most: what it gave, and for how many there is room
 *
 * Return: how many events there are.
 */
bool epoll_has_rest(struct poller *poller);
int epoll_add_rest(struct poller *poller, struct epoll_event *events, int n, int most);

/* epoll_has_remote - is a connection with another host (remote.h) registered there? */
bool epoll_has_remote(const struct poller *poller);

/* epoll_moved - its receiving direction has just moved: what is in the ring is new to its watches */
void epoll_moved(struct connection *connection);

/* epoll_forget - @fd is about to be closed: its registrations end; -1: all of them */
void epoll_forget(struct connection *connection, int fd);

/* epoll_orphan - @fd is about to be closed, while another descriptor of the connection stays */
void epoll_orphan(struct connection *connection, int fd);

/* epoll_closed - the program closes descriptor @fd of its epoll; epoll_dup - it has one more */
void epoll_closed(struct poller *poller, int fd);
void epoll_dup(struct poller *poller, int fd);

/* epoll_note_nested - @fd is polled, or registered in an epoll: if it is an epoll, it gets a flag */
void epoll_note_nested(int fd);

/* How many have a flag; epoll_settle_nested - before a wait for any of them but @self */
extern _Atomic uint32_t epoll_nested;
void epoll_settle_nested(const struct poller *self);

/* epoll_settle - one of them; epoll_flag - with its lock held: raise or lower its flag */
void epoll_settle(struct poller *poller);
void epoll_flag(struct poller *poller, bool up);

/* epoll_arm_hot - with the lock held: take what the inner epoll has, arm all; is one ready? */
bool epoll_arm_hot(struct poller *poller);

/*
 * epoll_known - the poller beside @fd, made if @fd is an epoll that has none; else NULL
 *
 * Where an epoll gets a second number or is waited for itself it must have one: what is registered by one
 * number is waited for by the other.
 */
struct poller *epoll_known(int fd);

/* epoll_poller_of - the poller beside an epoll, made if there is none; NULL: no memory */
struct poller *epoll_poller_of(int epoll);

/* epoll_companion - a poller of ours beside an epoll that is inherited, and shared; NULL: no memory */
struct poller *epoll_companion(int epoll, struct poller *base);

/* epoll_lock, epoll_unlock - epoll_links, for who reads or changes the lists; false: this thread has it */
bool epoll_lock(void);
void epoll_unlock(void);

/* Which generation of processes we are (poller.generation), and how many forks we have made. */
extern uint32_t epoll_generation, epoll_forks;

static inline bool epoll_is_inherited(const struct poller *poller)
{
	return poller->generation != epoll_generation;
}

/* epoll_is_shared - an epoll that more than one process uses, or would from now on */
static inline bool epoll_is_shared(const struct poller *poller)
{
	return poller && (epoll_is_inherited(poller) ||
			  atomic_load_explicit(&poller->shared, memory_order_relaxed));
}

/* How far the peer has come; a move onto bytes is a step, since they are new to who only asked TCP. */
static inline uint64_t epoll_produced(const struct connection *connection)
{
	return atomic_load_explicit(&peer_writer(connection)->produced, memory_order_acquire) +
	       (atomic_load(&connection->side->receive.moved) == MOVED_ONTO_DATA);
}

/* epoll_kernel_wait - the program's epoll alone, until @deadline (UINT64_MAX: for ever) */
int epoll_kernel_wait(int epoll, struct epoll_event *events, int most, uint64_t deadline,
		      const sigset_t *mask);

void epoll_before_fork(void);
void epoll_after_fork(bool in_child);

#endif
