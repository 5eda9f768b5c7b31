/* SPDX-License-Identifier: MIT */
/*
 * Pairing: what an offered socket is, and which two of them are one connection
 *
 * Theory of operation
 *
 * An offer is taken if the kernel finds, at the addresses it names and in our network namespace,
 * an established TCP socket whose cookie is that of the socket passed: then it is that one.  The
 * same question tells the cookie of the socket at the mirrored addresses, its peer.  The socket
 * itself is closed at once: a copy of ours would hold the application's FIN back.
 *
 *   offered --(peer is pending, and expects this one)--> paired
 *      |                                                   ^
 *      +---------------------> pending --------------------+
 *
 * Two ends are paired if each one's peer is the other, by cookie and by address.  (By cookie alone
 * is not enough: a socket keeps its cookie when it is disconnected and connected elsewhere.)  While
 * pending nothing is sent.  A pending or a paired end is forgotten with WITHDRAW or with its
 * session; all that is kept of a paired end is that it counts towards its user's limits.
 *
 * An end that has no peer at the mirrored addresses may have it in another network namespace of this
 * kernel, or behind address translation.  If its initial sequence numbers were recorded
 * (tcp_option.h), it waits PAIRING_ELSEWHERE_MS for an end that has the same two the other way
 * round.  They come from the kernel with the socket itself, so that nobody can claim another's.  The
 * addresses of such an end are what its process says they are: they matter to rules and are shown.
 *
 * Only calls that cannot block are made on an offered descriptor: getsockopt(2) of what needs no
 * socket lock.  TCP_INFO, getsockname(2) and getpeername(2) wait for the lock, which a client holds
 * for ever by sending from memory that never arrives.
 */
#ifndef SMCU_DAEMON_PAIRING_H
#define SMCU_DAEMON_PAIRING_H

#include <stdbool.h>
#include <stdint.h>

#include "control/reason.h"
#include "daemon/hash.h"
#include "daemon/session.h"

#define PAIRING_ELSEWHERE_MS 10000

/**
 * struct offer_numbers - the initial sequence numbers of a connection, as one end has them
 */
struct offer_numbers {
	uint32_t sent;
	uint32_t received;
};

/**
 * struct offer - one end, pending or paired
 * @id: the session's number for it
 * @cookie: of its socket; @peer_cookie: of its peer's
 * @numbers: its initial sequence numbers, if @elsewhere
 * @elsewhere: looks for its peer by them, not by address; @patience runs meanwhile
 * @paired: no longer in apps.pending
 * @charged: bytes counted towards the user's memory
 * @by_id: in session.offers; @by_cookie: in apps.pending; @by_numbers: in apps.elsewhere
 */
struct offer {
	struct session *session;
	uint64_t id;
	uint64_t cookie;
	uint64_t peer_cookie;
	struct side_address local;
	struct side_address peer;
	struct offer_numbers numbers;
	bool elsewhere;
	struct loop_timer patience;
	bool paired;
	uint64_t charged;
	UT_hash_handle by_id;
	UT_hash_handle by_cookie;
	UT_hash_handle by_numbers;
};

/**
 * pairing_offer - an OFFER arrived
 * @fd: the socket; it is taken over and closed
 *
 * Answers now, later or never; dooms the session if the id is in use.
 */
void pairing_offer(struct session *session, const struct message_offer *message, int fd);

/* pairing_withdraw - a WITHDRAW arrived; unknown ids are ignored */
void pairing_withdraw(struct session *session, uint64_t id);

/* pairing_forget - the session ends: withdraw all its offers */
void pairing_forget(struct session *session);

#endif
