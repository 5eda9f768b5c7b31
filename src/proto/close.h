/* SPDX-License-Identifier: MIT */
/*
 * Closing: from the first end of a stream to where nothing is left (RFC 7609, 4; Linux's states)
 *
 * Theory of operation
 *
 * Three flags of CDC messages: D, sending is done; C, closed; A, closed abnormally.  C or A is *final*.
 *
 *   ACTIVE ─we send D or final──> PEER_CLOSE_WAIT_1 ─peer's D──> PEER_CLOSE_WAIT_2
 *     │                             │peer's final                  │peer's final
 *     │                             └───> CLOSED if ours is out, else APP_FIN_CLOSE_WAIT ─close──> CLOSED
 *     ├─peer's D or C──> APP_CLOSE_WAIT_1 ─we send D──> APP_CLOSE_WAIT_2
 *     │                    └──close: final──┬─────────────┘
 *     │                                     └──> CLOSED if the peer's is here, else
 *     │                                          PEER_FIN_CLOSE_WAIT ─peer's final──> CLOSED
 *     ├─peer's A──> PROCESS_ABORT ─close: A──> CLOSED
 *     └─we abort: A──> PEER_ABORT_WAIT ─answered, or waited for long enough──> CLOSED
 *
 * Close and shutdown *flush* first: they take effect when all is sent that was written.  There is no
 * limit but the one that SO_LINGER sets, as with TCP, and PROTO_UNREAD_FLUSH if data is left unread;
 * what is unsent then makes it A.  So does unread data.  When the peer has closed there is nobody to flush for.
 *
 * TCP's FIN follows when the message with the flag is complete, so that no FIN overtakes data: if the
 * link fails before, TCP is reset.
 *
 * RST on TCP aborts, unless the peer has said its last word; if we have said ours and nobody is left to
 * read, it ends the connection.
 *
 * A connection that is CLOSED ends when the application has closed it and all its messages are
 * complete.  One that sent A and gets no answer ends after PROTO_ABORT_WAIT, one that sent C after
 * PROTO_LAST_WORD_WAIT: the peer has all that was written by then, can send nothing, and may close as late as it likes.
 */
#ifndef SMCU_PROTO_CLOSE_H
#define SMCU_PROTO_CLOSE_H

#include "proto/proto.h"

/* As Linux numbers them, for those who show them. */
enum connection_state {
	CONNECTION_ACTIVE = 1,
	CONNECTION_INIT = 2,
	CONNECTION_CLOSED = 7,
	CONNECTION_PEER_CLOSE_WAIT_1 = 20,
	CONNECTION_PEER_CLOSE_WAIT_2 = 21,
	CONNECTION_APP_CLOSE_WAIT_1 = 22,
	CONNECTION_APP_CLOSE_WAIT_2 = 23,
	CONNECTION_APP_FIN_CLOSE_WAIT = 24,
	CONNECTION_PEER_FIN_CLOSE_WAIT = 25,
	CONNECTION_PEER_ABORT_WAIT = 26,
	CONNECTION_PROCESS_ABORT = 27,
};

/* What waits until all is sent. */
enum connection_closing { CLOSING_NOTHING, CLOSING_WRITE, CLOSING_ALL };

#define CONNECTION_NO_LINGER UINT32_MAX

/* Events: what the application did */

/* connection_shut_down - it writes no more */
void connection_shut_down(struct connection *connection);

/**
 * connection_close - it is gone
 * @linger: milliseconds that sending may take; CONNECTION_NO_LINGER: as long as it takes
 */
void connection_close(struct connection *connection, uint32_t linger);

/* connection_abort - it is gone and wants the peer to know: SO_LINGER of 0 */
void connection_abort(struct connection *connection);

/* connection_tcp_reset - event: RST on the TCP connection, or it timed out during the rendezvous */
void connection_tcp_reset(struct connection *connection);

/*
 * connection_tcp_timed_out - event: nothing comes through by TCP any more (keep-alive)
 *
 * Whether the peer is gone the link knows, which is tested: without an answer all its connections end.
 */
void connection_tcp_timed_out(struct connection *connection);

/* For the other files of this directory. */

/* close_received - flags of a CDC message */
void close_received(struct connection *connection, uint8_t flags);

/* close_flushed - all is sent; closing goes on if it waited for that */
void close_flushed(struct connection *connection);

/* close_resume - the rendezvous is over; what the application did meanwhile takes effect */
void close_resume(struct connection *connection);

/* close_by_force - @error: errno, told to the application; 0: it wanted that itself */
void close_by_force(struct connection *connection, int error);

/* close_group_lost - there is no link any more */
void close_group_lost(struct connection *connection);

/* close_expired - flushing, the answer, or the last word took too long */
void close_expired(struct connection *connection);

/* close_settle - end the connection if nothing keeps it */
void close_settle(struct connection *connection);

#endif
