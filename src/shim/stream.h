/* SPDX-License-Identifier: MIT */
/*
 * Sending and receiving on a connection that has rings
 *
 * Theory of operation
 *
 * Before a connection is attached, calls go straight to the kernel and are only counted
 * (stream_kernel_begin(), stream_kernel_end()).  From then on they come through here: a direction
 * that has not moved is TCP's, one that has is the ring's.
 *
 * A receiver asks the ring first and TCP last.  What TCP then says is the truth about the peer: end
 * of file, a reset, or bytes that somebody wrote past the shim.  A sender whose peer is gone, or
 * whose own end was shut down, hands its call to the kernel, which answers with the errors,
 * signals and resets of TCP: the state of the TCP socket is never imitated, with one exception (a
 * peer killed with our data unread in its ring resets, as it would have: stream_note_death()).
 *
 * The functions return bytes or -errno.  stream_receive() also returns -ESTALE in PHASE_BACK: there is
 * nothing left in the ring, and the call is the kernel's after all.
 */
#ifndef SMCU_SHIM_STREAM_H
#define SMCU_SHIM_STREAM_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "shim/connection.h"
#include "shim/handlers.h"
#include "shim/latch.h"
#include "shim/move.h"
#include "shim/offer.h"
#include "shim/remote.h"

#define STREAM_KEEP 4096U /* ring bytes not worth giving back */
#define STREAM_IDLE_NS 1000000000ULL /* a sleep that long is idleness */

/**
 * stream_kernel_begin - is this call the kernel's alone?
 *
 * Return: true when the connection has no rings; the caller makes the real call and then
 * stream_kernel_end().  Otherwise it calls stream_receive() or stream_send().
 *
 * Inline, as what it looks at is side by side: the kernel has left nothing of us in the processor's first cache, and a
 * small send to a TCP peer costs little more than the lines that we touch.
 */
static inline __attribute__((always_inline)) bool
stream_kernel_begin(struct connection *connection, enum way way)
{
	struct side_record *side = connection->side;
	struct side_direction *direction;

	if (!side)
		return true;
	if (connection_phase(connection) == PHASE_OFFERED && session_has_mail())
		session_collect();
	offer_settle(connection, atomic_load(&connection->fd));
	(void)remote_look(connection, atomic_load(&connection->fd));
	direction = way == DIRECTION_SEND ? &side->send : &side->receive;
	latch_begin();
	/* First count, then look: move_confirm() does it the other way round. */
	count_up(&direction->in_kernel, count_is_ours(side));
	if (!is_attached(connection) && (way == DIRECTION_SEND || !has_rest(connection)))
		return true;
	(void)count_down(&direction->in_kernel, count_is_ours(side));
	latch_end();
	return false;
}

/* stream_kernel_end - the real call returned @n (bytes that left or entered the socket if > 0) */
static inline void stream_kernel_end(struct connection *connection, int fd, enum way way, ssize_t n)
{
	struct side_record *side = connection->side;
	struct side_direction *direction;

	if (!side)
		return;
	direction = way == DIRECTION_SEND ? &side->send : &side->receive;
	if (n > 0)
		move_account(connection, fd, way, (size_t)n);
	(void)count_down(&direction->in_kernel, count_is_ours(side));
	latch_end();
}

/* stream_note_size - count a write of @n bytes in the histogram; one of two at once may be lost */
static inline void stream_note_size(struct connection *connection, size_t n)
{
	unsigned int bucket = n > 1 ? 63U - (unsigned int)__builtin_clzl(n) : 0;
	_Atomic uint32_t *count;

	if (!connection->side)
		return;
	count = &connection->side->sizes[bucket < SIDE_SIZES ? bucket : SIDE_SIZES - 1];
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

ssize_t stream_receive(struct connection *connection, int fd, const struct iovec *iov, int count,
		       int flags);

/**
 * stream_receive_until - one of the steps of a call that is only to wait so long in all
 * @deadline: of the call, in now_ns(); 0: not known yet, then it is filled when it has to wait
 */
ssize_t stream_receive_until(struct connection *connection, int fd, const struct iovec *iov,
			     int count, int flags, uint64_t *deadline);

ssize_t stream_send(struct connection *connection, int fd, const struct iovec *iov, int count,
		    int flags);

/**
 * struct stream_source - what is no memory (sendfile, splice)
 * @read: at most @n bytes to @to; bytes, 0 at the end, -errno.  Without @waits others wait for it, and it
 *	must not: -EINPROGRESS when it would, or cannot know.
 * @is_consumed: what was read must be sent; else it can be read again
 */
struct stream_source {
	ssize_t (*read)(struct stream_source *source, void *to, size_t n, bool waits);
	bool is_consumed;
};

/**
 * stream_fill - send at most @total bytes from @source
 *
 * Stops early when it has no more for now.
 */
ssize_t stream_fill(struct connection *connection, int fd, size_t total, int flags,
		    struct stream_source *source);

/* stream_is_native - does the kernel serve sends, although the direction has moved? */
bool stream_is_native(struct connection *connection, int fd);

/**
 * stream_trim - give back the pages of our ring, when the connection has been idle for a while
 *
 * Only between ends of one user: the peer could block the call.
 */
void stream_trim(struct connection *connection);

/* stream_wants_trim - would stream_trim() have something to do? */
static inline bool stream_wants_trim(const struct connection *connection)
{
	const struct side_direction *send = &connection->side->send;

	/* A peer that was given a second and has not read may sleep for ever: once is enough. */
	return connection->same_user &&
	       atomic_load_explicit(&send->high_water, memory_order_relaxed) > STREAM_KEEP &&
	       (ring_unread(&connection->send) == 0 ||
		connection->not_trimmed_at != send->position);
}

/* stream_shut - before shutdown(SHUT_WR): nothing more comes */
void stream_shut(struct connection *connection);

/**
 * stream_before_mark - how many bytes a read may take before it stops where an urgent byte was sent
 *
 * Return: 0 at the mark, SIZE_MAX when there is none ahead.
 */
static inline size_t stream_before_mark(const struct connection *connection)
{
	uint64_t urgent = atomic_load(&peer_writer(connection)->urgent);
	uint64_t position = atomic_load(&connection->side->receive.position);

	return urgent && urgent - 1 >= position ? (size_t)(urgent - 1 - position) : SIZE_MAX;
}

/**
 * stream_note_death - TCP saw the peer's end: did it leave our data unread?
 *
 * A kernel that had held that data would have sent a reset instead.  Then the socket is brought into the
 * state after one, and the error is due once (ENDED_RESET).  Return: true the first time.
 */
bool stream_note_death(struct connection *connection, int fd);

/* stream_owe - TCP has said @error, -errno, and the next call is to return it; no effect if it is no end */
void stream_owe(struct connection *connection, ssize_t error);

int stream_take_due_slowly(struct connection *connection);

/* stream_take_due - the error that is due, -errno, and now no longer is; 0: none */
static inline int stream_take_due(struct connection *connection)
{
	return __builtin_expect(has_ended(connection, ENDED_RESET), 0)
		       ? stream_take_due_slowly(connection)
		       : 0;
}

/**
 * stream_result - what a call returns that moved @done bytes in steps, the last of which gave @n
 *
 * The bytes, if any.  An error that the last step took from the socket is then due at the next call.
 */
ssize_t stream_result(struct connection *connection, size_t done, ssize_t n);

/* stream_break - the peer broke the rules of the ring: this connection ends with a reset */
void stream_break(struct connection *connection, int fd);

/* stream_is_nonblocking - would this call return EAGAIN rather than wait? */
static inline bool stream_is_nonblocking(const struct connection *connection, int flags)
{
	return (flags & MSG_DONTWAIT) ||
	       (atomic_load_explicit(&connection->side->flags, memory_order_relaxed) &
		SIDE_NONBLOCK);
}

/**
 * struct call - what the steps of one blocking call share; zero at first, but for @before
 * @before: the handlers that had run when it began: later ones interrupt its waits
 * @deadline: filled from SO_RCVTIMEO or SO_SNDTIMEO at the first wait
 * @beyond: receiving: only more readable bytes than that are worth waking for
 * @partial: bytes were transferred already: a signal ends the call, SA_RESTART or not
 * @interrupted: sending: a signal handler has sent something here (deferred.h): end short
 * @sleeps: it has called connection_sleep(): stream_leave()
 */
struct call {
	struct handler_runs before;
	uint64_t deadline;
	size_t beyond;
	bool partial;
	bool interrupted;
	bool sleeps;
};

/* stream_leave - the call ends */
static inline void stream_leave(struct connection *connection, const struct call *call)
{
	if (call->sleeps)
		connection_wake(connection);
}

/**
 * stream_kernel_send, stream_kernel_receive - the kernel's call, on a connection with rings
 * @in_kernel: where the caller is counted meanwhile, or NULL
 *
 * With MSG_DONTWAIT no cancellation point; else one, which then gives up the count and the reference.
 * Return: bytes or -errno.
 */
ssize_t stream_kernel_send(struct connection *connection, _Atomic uint32_t *in_kernel, int fd,
			   const struct msghdr *message, int flags);
ssize_t stream_kernel_receive(struct connection *connection, _Atomic uint32_t *in_kernel, int fd,
			      struct msghdr *message, int flags);

/**
 * struct kernel_call - what a call in the kernel holds, which may be cancelled there
 * @in_kernel: where it is counted, or NULL
 * @polls: it counts as a poller
 */
struct kernel_call {
	struct connection *connection;
	_Atomic uint32_t *in_kernel;
	bool polls;
};

/* stream_abandon_call - for cleanup_push(): give all that up */
void stream_abandon_call(void *kernel_call);

/* stream_abandon - for cleanup_push(): a call that is cancelled gives its reference up */
void stream_abandon(void *connection);

/* stream_deadline - when SO_RCVTIMEO or SO_SNDTIMEO is over, in now_ns(); UINT64_MAX: never */
uint64_t stream_deadline(int fd, enum way way);

/**
 * stream_wait - wait until the ring of @way may have changed
 *
 * Return: 0 to look again, -EAGAIN (time-out, or the descriptor turned non-blocking), -EINTR.
 */
int stream_wait(struct connection *connection, int fd, enum way way, struct call *call);

#endif
