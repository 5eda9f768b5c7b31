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
 * From ATTACHED a process that sandboxes itself goes BACK (sandbox.h), and a connection on which SMC-R with another
 * host was not agreed on goes to TCP, and begins anew (remote.h).
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
#include "shim/count.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/smc_name.h"
#include "shim/spare.h"

enum phase {
	PHASE_FREE = 0,
	PHASE_IDLE, /* a socket, not connected */
	PHASE_LISTENING,
	PHASE_TCP, /* connecting or connected, and watched whether it lives */
	PHASE_OFFERED, /* handed to the daemon */
	PHASE_ATTACHED, /* has its segment; directions move as they can */
	PHASE_PINNED, /* stays TCP */
	PHASE_BACK /* TCP again; what is left in the receiving ring is read first */
};

enum way { DIRECTION_SEND = 0, DIRECTION_RECEIVE = 1, DIRECTION_NONE = 2 };

/* What we learned about the peer, ored into connection.ended and never taken back. */
#define ENDED_TCP (1U << 0) /* the kernel's TCP saw a FIN, a reset or an error */
#define ENDED_DATA_BELL (1U << 1)
#define ENDED_SPACE_BELL (1U << 2)
#define ENDED_BROKEN (1U << 3) /* the peer broke the rules of the ring: reset */
#define ENDED_RESET                                                                                \
	(1U << 4) /* an error that TCP had was not told yet: it is due, see connection.due */
#define ENDED_KILLED (1U << 5) /* it died with our data unread, and we said so */
#define ENDED_HANGUP (1U << 6) /* the kernel reports POLLHUP or POLLERR */
#define ENDED_LOOK (1U << 7) /* TCP has something to read although the direction has moved */
#define ENDED_BY_US (1U << 8) /* this end shut its reading down */

struct watch; /* a registration in an epoll (epoll.h) */

/**
 * struct connection - see above; what each call looks at is in one cache line, each ring in another
 * @users: calls that are inside
 * @phase: enum phase
 * @ended: ENDED_*
 * @fd: one of its descriptors, for calls on the socket itself; after the last was closed @kept
 * @stand_in: a hidden one, of a connection with another host (remote.h); else -1
 * @pollers: threads inside the kernel's poll or select with this socket, before it moved
 * @side: the record shared with the other holders of this end
 * @control: the segment's control page and near parts; NULL before ATTACHED
 * @offer: enum offer (offer.h)
 * @turns: how often the direction of calls has changed (see move.h)
 * @last_call: enum way of the last call that moved bytes
 * @vain_reads: how often in a row it was asked in vain, while it has rings
 * @mismatches: how often the counts were found different with nobody inside
 * @waited_for: it was polled, or registered in an epoll, by a call that we have seen, or asked again and again
 * @left: this process counts as a holder of @side no more
 * @stays_tcp: it has been pinned, which a negotiation in vain does not undo
 * @bell_armed: the [data, space] bell was armed, so that it may have been rung
 * @bell_rung: a byte was seen on the [data, space] bell: drain it before arming again
 * @opened_by_connect: our end sent the SYN (TCP_INFO counts it among the acknowledged bytes)
 * @handed_over: the daemon has, or had, its socket for a rendezvous
 * @declined: negotiated with another host, and TCP after all
 * @same_user: the peer is the same user's, and may be let hold up a system call of ours
 * @end: our number in the segment
 * @due: with ENDED_RESET, the errno that a call is to return
 * @send, @receive: the rings
 * @not_trimmed_at: where the sending ring stood when its pages were last to be given back
 * @habits: waiting habits, by enum way
 * @id: in the session with the daemon
 * @checked_at, @looked_at: coarse time of the last look at TCP's state by who reads, by who writes
 * @offered_at: coarse time of the offer, for --require
 * @sleepers, @sleeper: calls between connection_sleep() and connection_wake(), and the last one's thread
 * @descriptors: how many descriptors of this process lead here
 * @times_full: how often a non-blocking writer found the ring full (space is then an edge)
 * @kept: a hidden one, where the last was closed while other threads slept inside; else -1
 * @segment, @data_bell, @space_bell: hidden descriptors, -1 before ATTACHED
 * @defer_accept: TCP_DEFER_ACCEPT as the program has set it on an offering listener
 * @goes_back: it is one of several that go back to TCP now (back.h)
 * @name: how the socket was asked for, if by SMC's name
 * @spare: what its segment becomes when it is over; @spare.number is 0 if it is not to be kept
 * @watches: registrations in epolls, guarded by the epoll lock
 * @counted: the record whose holders were one more made for a child to come, in the fork @counted_in
 * @next_free: link of the pool
 */
struct connection {
	_Alignas(64) _Atomic uint32_t users;
	_Atomic uint32_t phase;
	_Atomic uint32_t ended;
	_Atomic int fd;
	_Atomic int stand_in;
	_Atomic uint32_t pollers;
	struct side_record *side;
	struct segment_control *control;
	_Atomic uint8_t offer;
	_Atomic uint8_t turns;
	_Atomic uint8_t last_call;
	_Atomic uint8_t vain_reads;
	_Atomic uint8_t mismatches;
	_Atomic bool waited_for;
	_Atomic bool left;
	_Atomic bool stays_tcp;
	_Atomic bool bell_armed[2];
	_Atomic bool bell_rung[2];
	bool opened_by_connect;
	bool handed_over;
	bool declined;
	bool same_user;
	unsigned int end;
	_Atomic int due;

	_Alignas(64) struct ring send;
	_Atomic uint64_t not_trimmed_at;

	_Alignas(64) struct ring receive;
	struct wait_habit habits[2];

	_Alignas(64) _Atomic uint64_t id;
	_Atomic uint64_t checked_at;
	_Atomic uint64_t looked_at;
	_Atomic uint64_t offered_at;
	_Atomic uint32_t sleepers;
	_Atomic uint32_t sleeper;
	_Atomic int32_t descriptors;
	_Atomic uint32_t times_full;
	int kept;
	int segment;
	int data_bell;
	int space_bell;
	int defer_accept;
	_Atomic bool goes_back;
	struct smc_name name;
	struct spare spare;
	struct watch *watches;
	_Atomic(struct side_record *) counted;
	uint32_t counted_in;
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
	if (count_down(&connection->users, count_is_private()))
		connection_put_last(connection);
}

/* connection_get_looked_up - the same, after fd_connection() has said @connection */
static inline struct connection *connection_get_looked_up(struct connection *connection, int fd)
{
	count_up(&connection->users, count_is_private());
	if (__builtin_expect(fd_connection(fd) == connection, 1))
		return connection;
	connection_put(connection);
	return NULL;
}

/* connection_renew - connect(AF_UNSPEC) dissolved it: its descriptors are a new socket's now */
void connection_renew(struct connection *connection);

/* connection_establish - connect(2) has begun or accept(2) returned it: count it from now on */
void connection_establish(struct connection *connection, int fd, bool by_connect);

/* connection_take_up - it was established before this program was started, and has not moved */
void connection_take_up(struct connection *connection, struct side_record *side);

/* connection_pin - this connection stays TCP; no effect on what has moved already */
void connection_pin(struct connection *connection, enum reason reason);

/* connection_dup - @fd is one more descriptor of @connection */
void connection_dup(struct connection *connection, int fd);

/**
 * connection_close - the program gives @number up
 * @connection: what connection_get(@number) gave; the caller still puts it
 * @fd: the same, or -1: it is another file's already
 *
 * Says good-bye in the ring when it is the last descriptor; the caller then closes it for real.
 * Of two threads that close the same descriptor, one does.  While other threads sleep in calls, the
 * socket stays open for them, as it does in the kernel, and the last to leave says good-bye.
 */
void connection_close(struct connection *connection, int number, int fd);

/* connection_sleep - this call may sleep: the socket is to stay open; connection_wake() when it returns */
static inline void connection_sleep(struct connection *connection)
{
	atomic_fetch_add(&connection->sleepers, 1);
	atomic_store(&connection->sleeper, thread_id());
}

static inline void connection_wake(struct connection *connection)
{
	atomic_fetch_sub(&connection->sleepers, 1);
}

/**
 * connection_fd - a descriptor of the socket, in a call that was given @fd and has slept since
 *
 * Return: @fd, unless another thread closed it or made it something else meanwhile.
 */
int connection_fd(const struct connection *connection, int fd);

/* connection_forget - @fd is new: what had that number was closed where we could not see it */
void connection_forget(int fd);

/* connection_keep_no_segment - another process has, or may have, those that there are now */
void connection_keep_no_segment(void);

/**
 * connection_before_fork - the child will hold every end that this process holds
 *
 * Return: a number of this fork, not 0, for connection_uncount().
 */
uint32_t connection_before_fork(void);

/* connection_uncount - the child of that fork was not made; 0: nothing */
void connection_uncount(uint32_t fork);

/* connection_make_id - give it the id under which it is offered; unique in this process */
uint64_t connection_make_id(struct connection *connection);

/* connection_give_up_rings - unmap them and close what they are made of, if there are any */
void connection_give_up_rings(struct connection *connection);

/* connection_count_rings - a connection got its two rings, or lost them (ring_share()) */
void connection_count_rings(int more);

/* connection_offers_are_void - the daemon is gone: what was offered and not paired is TCP again */
void connection_offers_are_void(void);

/* connection_leave_all - a holder less: this process ends */
void connection_leave_all(void);

/* connection_address - an IPv4 or IPv6 address in IPv6 form; @to is left alone if it is another */
void connection_address(struct side_address *to, const struct sockaddr_storage *from);

/* connection_describe - note addresses and cookie, when they are known at last */
void connection_describe(struct connection *connection, int fd);

/* connection_after_fork - in the child: no other thread is inside a call any more */
void connection_after_fork(void);

/* connection_by_id - for the daemon's answers; to be put again; NULL if it is gone */
struct connection *connection_by_id(uint64_t id);

/* connection_by_cookie - the established one with that socket, or NULL; to be put again */
struct connection *connection_by_cookie(uint64_t cookie);

/* connection_any_attached - has any of this process rings? */
bool connection_any_attached(void);

/* connection_each - visit all that are open; another thread may close one meanwhile, see connection_hold() */
void connection_each(void (*visit)(struct connection *connection, void *context), void *context);

/* connection_hold - keep alive, until connection_put(), what connection_each() shows; false: it was closed */
bool connection_hold(struct connection *connection);

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

/* is_alone - does no other process hold this end? */
static inline bool is_alone(const struct connection *connection)
{
	const struct side_record *side = connection->side;

	return atomic_load(&side->holders) == 1 && !(atomic_load(&side->flags) & SIDE_GIVEN_AWAY);
}

/* has_low_water - has SO_RCVLOWAT been set, and may what it asks for be in TCP and in the ring? */
static inline bool has_low_water(const struct connection *connection)
{
	return atomic_load_explicit(&connection->side->low_water, memory_order_relaxed) > 1 &&
	       !receive_has_moved(connection);
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

/* our_armed, peer_armed - the word that a reader arms: of this end's, of the peer's */
static inline struct segment_armed *our_armed(const struct connection *connection)
{
	return &connection->control->direction[!connection->end].armed;
}

static inline struct segment_armed *peer_armed(const struct connection *connection)
{
	return &connection->control->direction[connection->end].armed;
}

static inline struct segment_busy *our_busy(const struct connection *connection)
{
	return &connection->control->direction[connection->end].busy;
}

static inline struct segment_busy *peer_busy(const struct connection *connection)
{
	return &connection->control->direction[!connection->end].busy;
}

/* is_remote - is its peer on another host, and the daemon the other end of its rings? */
static inline bool is_remote(const struct connection *connection)
{
	return atomic_load_explicit(&connection->stand_in, memory_order_relaxed) >= 0;
}

/* is_back - has one of the ends gone back to TCP? Then the kernel serves all sends (sandbox.h) */
static inline bool is_back(const struct connection *connection)
{
	return (atomic_load_explicit(&peer_writer(connection)->marks, memory_order_acquire) |
		atomic_load_explicit(&our_writer(connection)->marks, memory_order_relaxed)) &
	       MARK_BACK;
}

/* receive_is_back - does TCP follow what is in the receiving ring now? */
static inline bool receive_is_back(const struct connection *connection)
{
	return (atomic_load_explicit(&peer_writer(connection)->marks, memory_order_acquire) &
		MARK_BACK) ||
	       (atomic_load_explicit(&connection->side->flags, memory_order_acquire) & SIDE_BACK);
}

/**
 * connection_state_fd - the socket that tells of the peer's end, of errors and hang-ups
 * @fd: the connection's own
 */
static inline int connection_state_fd(const struct connection *connection, int fd)
{
	return __builtin_expect(is_remote(connection), 0) && !receive_is_back(connection)
		       ? connection->stand_in
		       : fd;
}

/* is_draining - a remote one went back to TCP, and the daemon has not sent all that is in the ring */
static inline bool is_draining(const struct connection *connection)
{
	return __builtin_expect(is_remote(connection), 0) && is_back(connection) &&
	       ring_unread(&connection->send);
}

/* send_has_room - is there room enough in the ring to wake a writer for? */
static inline bool send_has_room(const struct connection *connection)
{
	return ring_writable(&connection->send) && !is_draining(connection);
}

/**
 * writer_enter - before this end writes into its ring, or switches to it; with the send lock held
 *
 * Which end goes back waits until no writer of the other is inside (sandbox.c), and makes its mark seen
 * by membarrier(2): a plain store does here.
 *
 * Return: false when one of the ends has gone back, else writer_leave() must follow.
 */
static inline bool writer_enter(const struct connection *connection)
{
	_Atomic uint32_t *inside = &our_busy(connection)->inside;

	atomic_store_explicit(inside, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(!is_back(connection), 1))
		return true;
	atomic_store_explicit(inside, 0, memory_order_release);
	return false;
}

static inline void writer_leave(const struct connection *connection)
{
	atomic_store_explicit(&our_busy(connection)->inside, 0, memory_order_release);
}

/* has_rest - in PHASE_BACK: is something left in the ring?  Memory only */
static inline bool has_rest(const struct connection *connection)
{
	return connection_phase(connection) == PHASE_BACK && ring_available(&connection->receive);
}

#endif
