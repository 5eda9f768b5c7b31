/* SPDX-License-Identifier: MIT */
/*
 * The TCP socket of a remote connection: messages of the rendezvous, falling back, and the end
 *
 * Theory of operation
 *
 * The socket is the application's: its file flags and options are left as they are, calls do not wait
 * (MSG_DONTWAIT), and nothing is taken from its stream but whole messages of the rendezvous, piece by piece
 * as connection_tcp_received() says.  It is watched edge-triggered: bytes that nobody wants now stay
 * there, and @look remembers them.  Until it is watched (remote.h) each look at the remote is one at the socket.
 *
 * Calls that take the socket's lock are made by the caller (caller.h), one at a time (@busy); when one is
 * done the remote is active again.  For our own user all of that happens at once.
 *
 * What the protocol wants sent is kept until the socket takes it; what it wants to happen after that
 * (@due) waits.  A reset does not.
 *
 * An error of the socket, or RST, is told to the protocol (connection_tcp_reset()).  The error itself is
 * left to the application where it goes on with this socket: SO_ERROR is asked only where that is out of the
 * question, by SMC-R.  There it tells a reset, which ends the connection, from a time-out, behind which
 * TCP alone is cut off: the link decides (connection_tcp_timed_out()), and this socket is of no use any more.
 *
 * Of SMC-R TCP carries nothing, and what stands between the hosts forgets an idle connection: SO_KEEPALIVE is
 * set, from when it is watched on; what the application thinks of it is another thing (struct message_rendezvous).
 */
#ifndef SMCU_DAEMON_REMOTE_TCP_H
#define SMCU_DAEMON_REMOTE_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/caller.h"
#include "daemon/loop.h"
#include "proto/proto.h"

/* Of messages that wait: a rendezvous sends two of CLC_LENGTH_MAX at the most. */
#define REMOTE_TCP_OUT_MAX 4096U

struct apps;
struct remote;

/* Due when all is sent. */
#define REMOTE_TCP_SHUT_WRITE (1U << 0)
#define REMOTE_TCP_SHUT (1U << 1)

enum remote_tcp_operation {
	REMOTE_TCP_SENDING, /* @out */
	REMOTE_TCP_RELAYING, /* what the application wrote */
	REMOTE_TCP_RELAYING_URGENT, /* the same, urgent */
	REMOTE_TCP_PEEKING,
	REMOTE_TCP_TAKING,
	REMOTE_TCP_SHUTTING,
	REMOTE_TCP_RESETTING,
	REMOTE_TCP_KEEPING_ALIVE,
};

/**
 * struct remote_tcp - see above
 * @fd: the socket
 * @call, @operation, @from, @length, @result: the call under way, if @busy; @result: what it returned, or
 * -errno
 * @in, @in_length: what is next on the stream, as far as it was looked at
 * @out, @out_length, @out_sent: what is to be sent; NULL if nothing is
 * @relayed: bytes of the application's that have been sent, to be released
 * @negotiated: bytes of the protocol's own that were [sent, taken]
 * @due: REMOTE_TCP_*, to be done
 * @reset_due: RST is to be sent
 * @shut: our stream was ended, or will be
 * @blocked: the socket takes nothing now
 * @look: there may be something to receive; @edge: more has come since it was looked at
 * @ended: the peer's stream has ended, behind what is there
 * @at_end: and there is nothing more; @told_end: the protocol knows
 * @failed: the connection is lost; @told: the protocol knows
 * @timed_out: nothing comes through by TCP any more; @told says whether the protocol knows
 * @keep_alive: where the application's SO_KEEPALIVE is noted; @kept_alive: SO_KEEPALIVE is set, or about to be
 * @error_taken: by a call of ours, so that the application would not find it on the socket
 */
struct remote_tcp {
	struct loop_watch watch;
	int fd;
	struct call call;
	enum remote_tcp_operation operation;
	const uint8_t *from;
	size_t length;
	ssize_t result;
	uint8_t in[CLC_LENGTH_MAX];
	size_t in_length;
	uint8_t *out;
	unsigned int out_length;
	unsigned int out_sent;
	size_t relayed;
	uint64_t negotiated[2];
	_Atomic uint32_t *keep_alive;
	unsigned int due;
	bool busy;
	bool reset_due;
	bool shut;
	bool blocked;
	bool look;
	bool edge;
	bool ended;
	bool at_end;
	bool told_end;
	bool failed;
	bool timed_out;
	bool told;
	bool kept_alive;
	bool error_taken;
};

/* remote_tcp_open - of socket @fd, which is not watched yet */
void remote_tcp_open(struct remote *remote, int fd);

/* remote_tcp_watch - watch it; returns 0 or -errno */
int remote_tcp_watch(struct remote *remote);

/* remote_tcp_keep_alive - if it is watched, and SMC-R, and that was not done: set SO_KEEPALIVE */
void remote_tcp_keep_alive(struct remote *remote);

/* remote_tcp_close - watch no longer; the descriptor is the caller's */
void remote_tcp_close(struct remote *remote);

/* remote_tcp_queue - send these bytes in the next turn */
void remote_tcp_queue(struct remote *remote, const void *bytes, size_t length);

/* remote_tcp_end - PROTO_TCP_SHUT_DOWN_WRITE, _SHUT_DOWN or _RESET, in the next turn */
void remote_tcp_end(struct remote *remote, enum proto_action_type how);

/* remote_tcp_work - do what is due; tell the protocol what has come */
void remote_tcp_work(struct remote *remote);

/* remote_tcp_finish - end our stream, if that is due: it can wait */
void remote_tcp_finish(struct remote *remote);

/* remote_tcp_idle - is nothing of ours left to be sent or done? */
bool remote_tcp_idle(const struct remote *remote);

/* remote_tcp_ready - is it idle, and does it take the application's bytes? */
bool remote_tcp_ready(const struct remote *remote);

/**
 * remote_tcp_relay - if it is ready: send what stands in the ring; @relayed will say how much went
 * @urgent: the last byte is
 */
void remote_tcp_relay(struct remote *remote, const uint8_t *bytes, size_t length, bool urgent);

/* remote_tcp_peek - if it is not busy: have @in filled, as far as there is something */
void remote_tcp_peek(struct remote *remote);

/* remote_tcp_take - if it is not busy: @length bytes that were seen are gone */
void remote_tcp_take(struct remote *remote, size_t length);

/**
 * remote_tcp_reset - RST on a socket that is no remote's, whoever else holds it
 * @fd: taken over
 */
void remote_tcp_reset(struct apps *apps, struct user *user, int fd);

#endif
