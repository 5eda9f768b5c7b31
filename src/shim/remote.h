/* SPDX-License-Identifier: MIT */
/*
 * Remote connections: the peer is on another host, and the daemon is the other end of the segment
 *
 * Theory of operation
 *
 * When both hosts have sent the SMC option (offer.h) the shim makes what the daemon makes for a pair on one
 * host: segment, bells, and a *stand-in* beside them, a unix socket that behaves as the TCP socket would if
 * that carried the data.  All of it goes to the daemon with the socket (struct message_rendezvous),
 * unanswered, and the connection is in PHASE_ATTACHED with both directions moved; what is written goes
 * into the ring from the first byte on.  connection.stand_in >= 0 says that it is remote.
 *
 * From then on the stand-in is asked wherever a connection on one host asks its TCP socket for
 * ends, errors and hang-ups (connection_state_fd()): what is on TCP is for the daemon to read.  O_NONBLOCK,
 * time-outs and SO_LINGER stay on the real socket.  The two kinds of socket differ in one thing: a stream
 * socket that was reset gives EPIPE and SIGPIPE first and its error later, TCP the other way round
 * (remote_send()); and TCP that was reset after the peer's end of file gives EPIPE (remote_take_error()).
 *
 * Urgent data is in the rings; what tells of the peer's comes over the stand-in: urgent.h.
 *
 * The verdict is a mark of the daemon's: MARK_ATTACHED: it is SMC-R.  MARK_BACK: it is TCP.  Then what is read
 * comes from TCP at once, and sends wait until the daemon has sent what the ring holds
 * (is_draining()).  When that is done, and somebody comes by who holds no lock of ours (remote_look()), the
 * connection is given up to the kernel: PHASE_PINNED, registrations in epolls return, and what the
 * rings are made of is closed, unless another thread is inside: then when it has left.  After that it is in PHASE_TCP,
 * as if it had just been established: its peer may be on this host after all, behind a load balancer or in another
 * container.  The kernel has counted bytes that only the daemon knows of: it leaves their number in the segment.
 *
 * Both the daemon and we shut TCP's sending side down if the program did so before the ring was drained: we
 * mark, then look at the ring; it drains, then looks at the mark.
 */
#ifndef SMCU_SHIM_REMOTE_H
#define SMCU_SHIM_REMOTE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "shim/connection.h"

#define REMOTE_HIDDEN 5 /* descriptors of one: the segment, two bells, the stand-in, and the daemon's end of that */

/**
 * remote_hand_over - both ends sent the option: make it a remote connection
 *
 * In want of room for hidden descriptors it takes some of the program's for as long as the daemon needs to decline:
 * TCP is what the program gets.  If nothing can be done it is reset, since its peer waits for a rendezvous.  With --require the verdict is waited
 * for; else nobody waits.
 */
void remote_hand_over(struct connection *connection, int fd);

bool remote_look_slowly(struct connection *connection, int fd);

/**
 * remote_look - note the daemon's verdict; without a lock of ours
 *
 * Return: true when it is the kernel's now, and no longer attached.
 */
static inline bool remote_look(struct connection *connection, int fd)
{
	return __builtin_expect(is_remote(connection), 0) && remote_look_slowly(connection, fd);
}

/* remote_begin_anew - a call through TCP of one that was given up: it may be movable now that others have left */
void remote_begin_anew(struct connection *connection);

/* remote_send - a send that is not the ring's: its error, end or reset; bytes or -errno */
ssize_t remote_send(struct connection *connection, int fd, const struct msghdr *message, int flags);

/* remote_take_error - SO_ERROR: a positive errno, which is then no longer due, or 0 */
int remote_take_error(struct connection *connection, int fd);

/*
 * remote_broke - the stand-in has told of a reset: reset TCP as well.  A daemon that died has left that to us,
 * and its peer's would wait until it tests the link
 */
void remote_broke(struct connection *connection, int fd);

/* remote_is_lost - while it drains: the daemon is gone, and with it what was in the ring: reset */
bool remote_is_lost(struct connection *connection, int fd);

/* remote_shutdown - shutdown(2), after MARK_SHUT */
int remote_shutdown(struct connection *connection, int fd, int how);

/* remote_linger - close(2) with SO_LINGER: wait until the daemon has taken what is in the ring */
void remote_linger(struct connection *connection, int fd);

/**
 * remote_note_keep_alive - setsockopt(2) has set SO_KEEPALIVE to *@value: it stays on all the same
 *
 * The daemon keeps the idle TCP connection alive for what stands between the hosts; what the program said is
 * remembered in the segment, where all who hold the connection find it.
 */
void remote_note_keep_alive(int fd, const void *value);

/* remote_show_keep_alive - getsockopt(2) has put SO_KEEPALIVE into @value: put there what the program said */
void remote_show_keep_alive(int fd, void *value, socklen_t length);

/* remote_any - has this process any? */
bool remote_any(void);

/* remote_count - one more, or less */
void remote_count(int more);

#endif
