/* SPDX-License-Identifier: MIT */
/*
 * Offering SMC-R to another host, and its verdict
 *
 * Theory of operation
 *
 * Before connect(2) and listen(2) a socket is *opted in*: the kernel side of the TCP option is asked to put
 * the SMC option into its SYN or SYN-ACK (bpf/tcp_option.h).  That is done when the daemon's policy says so;
 * a session is opened to learn it, and the first one gets SESSION_PATIENCE_MS to say so.  Not opted in are
 * connections to this host, ports and addresses that the daemon's rules deny (rules.h), and sockets that TCP alone
 * can serve (offer_note_option()).
 *
 * When it is established the *verdict* is asked for once (offer_settle()), before the first byte is read
 * or written: by connect(2), by accept(2), or, where connect(2) did not wait, by the first call on the
 * socket or the poll that reports it.  Agreed: remote_hand_over().
 *
 *   NOT ──connect, listen──> MADE ──first call when established──> SETTLING ──> OVER
 *    └──an option──> NEVER
 *
 * A listener that offers is OVER from the beginning, since its children have verdicts; an option that TCP alone
 * can serve makes it WITHDRAWN.  A child that was established before may have agreed, and is handed over.
 */
#ifndef SMCU_SHIM_OFFER_H
#define SMCU_SHIM_OFFER_H

#include <stdbool.h>
#include <sys/socket.h>

#include "shim/connection.h"

enum offer { OFFER_NOT = 0, OFFER_NEVER, OFFER_MADE, OFFER_SETTLING, OFFER_OVER, OFFER_WITHDRAWN };

/* How many connections are MADE and wait for their verdict. */
extern _Atomic uint32_t offers_pending;

/* offer_connect, offer_listen - before the real call; they have the sequence numbers recorded as well */
void offer_connect(struct connection *connection, int fd, const struct sockaddr *address,
		   socklen_t length);
void offer_listen(struct connection *connection, int fd);

/* offer_connecting - connect(2) has begun: a verdict will come */
void offer_connecting(struct connection *connection);

/* offer_drop - the connection is closed */
void offer_drop(struct connection *connection);

/* offer_accepted - accept(2) has returned @fd of a listener that may have offered */
void offer_accepted(struct connection *connection, int fd);

/* offer_refuse - the same where there is no memory for a connection: if both agreed it is reset */
void offer_refuse(int fd);

/* offer_settle_all - before a fork, and before a sandbox */
void offer_settle_all(void);

/* offer_has_children - may what this listener accepts have agreed? */
bool offer_has_children(const struct connection *listener);

/* offer_withdraw - if this is a listener that offers: no more, and its options are the program's again */
void offer_withdraw(struct connection *connection);

void offer_settle_slowly(struct connection *connection, int fd);

/* offer_settle - before a call that reads, writes or asks: is the verdict known now? */
static inline void offer_settle(struct connection *connection, int fd)
{
	uint8_t offer = atomic_load_explicit(&connection->offer, memory_order_acquire);

	if (__builtin_expect(offer == OFFER_MADE || offer == OFFER_SETTLING, 0))
		offer_settle_slowly(connection, fd);
}

/**
 * offer_pin - the program does what only TCP, or a connection to another host, can do: it stays what it is
 *
 * One whose verdict is not known yet may become remote.
 */
void offer_pin(struct connection *connection, int fd);

/*
 * offer_note_option - the program has set an option: does it keep the socket from being offered?  On one that is
 * connected it is too late: the SYN has gone out
 */
void offer_note_option(int fd, int level, int name);

/**
 * offer_hold_option - setsockopt(2) of what an offering listener must not have
 *
 * TCP_DEFER_ACCEPT: the peer's first bytes come after accept(2).  Return: true: done, it is remembered.
 */
bool offer_hold_option(int fd, int level, int name, const void *value, socklen_t length);

/* offer_show_option - getsockopt(2) of the same; true: @value was filled */
bool offer_show_option(int fd, int level, int name, void *value, const socklen_t *length);

#endif
