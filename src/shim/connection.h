/* SPDX-License-Identifier: MIT */
/*
 * A connection as one process sees it
 *
 * Theory of operation
 *
 * The shim makes a struct connection for every TCP socket that the program creates or accepts, and
 * the descriptor table (fd_table.h) leads from each of its descriptors to it.  Its *phase* only
 * goes forward:
 *
 *   IDLE ──connect/accept──> TCP ──due──> OFFERED ──PAIRED──> ATTACHED ──> each direction: moved
 *     └──listen──> LISTENING  └────────────────┴── PINNED: stays TCP, the side record says why
 *
 * What other holders of the same end need (locks, cursors, counts) is in the side record; what the
 * peer needs is in the segment; everything here is private.
 *
 * Lifetime: a call brackets its use with connection_get() and connection_put().  close() of the
 * last descriptor unlinks the connection, and whoever puts it last tears it down, so that a thread
 * blocked inside a call keeps its memory.  Structures come from a pool that is never given back:
 * connection_get() may look at one that was just freed.
 */
#ifndef SMCU_SHIM_CONNECTION_H
#define SMCU_SHIM_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/reason.h"
#include "ring/ring.h"
#include "ring/side.h"
#include "ring/wait.h"

enum phase {
	PHASE_FREE = 0,
	PHASE_IDLE,      /* a socket, not connected */
	PHASE_LISTENING,
	PHASE_TCP,       /* connecting or connected, and watched whether it lives */
	PHASE_OFFERED,   /* handed to the daemon */
	PHASE_ATTACHED,  /* has its segment; directions move as they can */
	PHASE_PINNED     /* stays TCP */
};

enum way { DIRECTION_SEND = 0, DIRECTION_RECEIVE = 1, DIRECTION_NONE = 2 };

/* What we learned about the peer, ored into connection.ended and never taken back. */
#define ENDED_TCP (1U << 0)     /* the kernel's TCP saw a FIN, a reset or an error */
#define ENDED_DATA_BELL (1U << 1)
#define ENDED_SPACE_BELL (1U << 2)
#define ENDED_BROKEN (1U << 3)  /* the peer broke the rules of the ring: reset */
#define ENDED_RESET (1U << 4)   /* a reset was seen while the ring still had data: it is due after that */
#define ENDED_KILLED (1U << 5)  /* it died with our data unread, and we said so */
#define ENDED_HANGUP (1U << 6)  /* the kernel reports POLLHUP or POLLERR */
#define ENDED_BY_US (1U << 8)   /* this end shut its reading down */
#define ENDED_LOOK (1U << 7)    /* TCP has something to read although the direction has moved */

struct watch; /* a registration in an epoll (epoll.h) */

/**
 * struct connection - see above
 * @users: calls that are inside
 * @phase: enum phase
 * @ended: ENDED_*
 * @descriptors: how many descriptors of this process lead here
 * @fd: one of them, for calls on the socket itself; -1 once the last was closed
 * @opened_by_connect: our end sent the SYN (TCP_INFO counts it among the acknowledged bytes)
 * @bell_rung: a byte was seen on the [data, space] bell: drain it before arming again
 * @mismatches: how often the counts were found different with nobody inside
 * @turns: how often the direction of calls has changed (see move.h)
 * @last_call: enum way of the last call that moved bytes
 * @pollers: threads inside the kernel's poll or select with this socket, before it moved
 * @id: in the session with the daemon
 * @checked_at: coarse time of the last look at TCP's state
 * @offered_at: coarse time of the offer, for --require
 * @side: the record shared with the other holders of this end
 * @control: the segment's control page and near parts; NULL before ATTACHED
 * @send, @receive: the rings
 * @segment, @data_bell, @space_bell: hidden descriptors, -1 before ATTACHED
 * @end: our number in the segment
 * @same_user: the peer is the same user's, and may be let hold up a system call of ours
 * @not_trimmed_at: where the sending ring stood when its pages were last to be given back
 * @habits: waiting habits, by enum way
 * @times_full: how often a non-blocking writer found the ring full (space is then an edge)
 * @watches: registrations in epolls, guarded by the epoll lock
 * @next_free: link of the pool
 */
struct connection {
	_Atomic uint32_t users;
	_Atomic uint32_t phase;
	_Atomic uint32_t ended;
	_Atomic int32_t descriptors;
	_Atomic int fd;
	bool opened_by_connect;
	bool bell_rung[2];
	uint8_t mismatches;
	uint8_t turns;
	uint8_t last_call;
	_Atomic uint32_t pollers;
	uint64_t id;
	_Atomic uint64_t checked_at;
	uint64_t offered_at;
	struct side_record *side;
	struct segment_control *control;
	struct ring send;
	struct ring receive;
	int segment;
	int data_bell;
	int space_bell;
	unsigned int end;
	bool same_user;
	uint64_t not_trimmed_at;
	struct wait_habit habits[2];
	_Atomic uint32_t times_full;
	struct watch *watches;
	struct connection *next_free;
};

/* connection_new - a connection in PHASE_IDLE with one descriptor @fd; NULL when memory is short */
struct connection *connection_new(int fd);

/**
 * connection_get - the connection behind a descriptor, kept alive until connection_put()
 *
 * Return: NULL when @fd is no TCP socket that the shim knows.  O(1), no system call.
 */
struct connection *connection_get(int fd);

/* connection_none - this process never had one */
bool connection_none(void);

void connection_put_last(struct connection *connection);

static inline void connection_put(struct connection *connection)
{
	if (atomic_fetch_sub_explicit(&connection->users, 1, memory_order_acq_rel) == 1)
		connection_put_last(connection);
}

/* connection_abandon - connection_put() for pthread_cleanup_push(): a thread ends inside a call */
void connection_abandon(void *connection);

/* connection_establish - connect(2) has begun or accept(2) returned it: count it from now on */
void connection_establish(struct connection *connection, int fd, bool by_connect);

/* connection_take_up - it was established before this program was started, and has not moved */
void connection_take_up(struct connection *connection, struct side_record *side);

/* connection_pin - this connection stays TCP; no effect on what has moved already */
void connection_pin(struct connection *connection, enum reason reason);

/* connection_dup - @fd is one more descriptor of @connection */
void connection_dup(struct connection *connection, int fd);

/**
 * connection_close - the program gives @fd up
 * @connection: what connection_get(@fd) gave; the caller still puts it
 *
 * Says good-bye in the ring when it is the last descriptor; the caller then closes @fd for real.
 * Of two threads that close the same descriptor, one does.
 */
void connection_close(struct connection *connection, int fd);

/* connection_before_fork - the child will hold every end that this process holds */
void connection_before_fork(void);

/* connection_make_id - give it the id under which it is offered; unique in this process */
uint64_t connection_make_id(struct connection *connection);

/* connection_count_rings - a connection got its two rings, or lost them (ring_share()) */
void connection_count_rings(int more);

/* connection_offers_are_void - the daemon is gone: what was offered and not paired is TCP again */
void connection_offers_are_void(void);

/* connection_leave_all - this process ends: it is a holder no more */
void connection_leave_all(void);

/* connection_describe - note addresses and cookie, when they are known at last */
void connection_describe(struct connection *connection, int fd);

/* connection_after_fork - in the child: no other thread is inside a call any more */
void connection_after_fork(void);

/* connection_by_id - for the daemon's answers; to be put again; NULL if it is gone */
struct connection *connection_by_id(uint64_t id);

/* connection_by_cookie - the established one with that socket, or NULL; not kept alive */
struct connection *connection_by_cookie(uint64_t cookie);

/* connection_any_attached - has any of this process rings? */
bool connection_any_attached(void);

/* connection_each - visit all that are open */
void connection_each(void (*visit)(struct connection *connection, void *context), void *context);

static inline enum phase connection_phase(const struct connection *connection)
{
	return (enum phase)atomic_load_explicit(&connection->phase, memory_order_acquire);
}

static inline bool send_has_moved(const struct connection *connection)
{
	return atomic_load_explicit(&connection->side->send.moved, memory_order_acquire);
}

static inline bool receive_has_moved(const struct connection *connection)
{
	return atomic_load_explicit(&connection->side->receive.moved, memory_order_acquire);
}

/* receive_is_enough - are there as many bytes in the ring as SO_RCVLOWAT asks for? */
static inline bool receive_is_enough(const struct connection *connection)
{
	size_t there = ring_available(&connection->receive);

	return there && there >= atomic_load_explicit(&connection->side->low_water, memory_order_relaxed);
}

/* is_attached - rings exist: calls go through the ring code */
static inline bool is_attached(const struct connection *connection)
{
	return connection_phase(connection) == PHASE_ATTACHED;
}

static inline bool has_ended(const struct connection *connection, unsigned int how)
{
	return atomic_load_explicit(&connection->ended, memory_order_relaxed) & how;
}

/* What the two ends say of their streams: ours, and the peer's. */
static inline struct segment_writer *our_writer(const struct connection *connection)
{
	return &connection->control->direction[connection->end].writer;
}

static inline struct segment_writer *peer_writer(const struct connection *connection)
{
	return &connection->control->direction[!connection->end].writer;
}

static inline struct segment_reader *our_reader(const struct connection *connection)
{
	return &connection->control->direction[!connection->end].reader;
}

static inline struct segment_reader *peer_reader(const struct connection *connection)
{
	return &connection->control->direction[connection->end].reader;
}

#endif
