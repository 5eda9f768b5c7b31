/* SPDX-License-Identifier: MIT */
/*
 * A connection: cursors of two streams, and the CDC messages that move them (RFC 7609, 4)
 *
 * Theory of operation
 *
 * Sending.  The application writes up to @written.  What of it fits into the peer's element is named in
 * one or two WRITEs (two if it goes beyond the element's end), followed by a CDC message with the new
 * producer cursor; @sent is then there.  When the message is complete, @released follows: those bytes
 * need not be kept.  While a message is under way few bytes wait for its completion, so that many
 * small writes become one; the first one never waits.
 *
 *   0 ... consumed by the peer (@peer_consumed) ... @released ... @sent ... @written
 *         └──────────── at most the peer's element (@peer_size) ────┘
 *
 * Receiving.  A CDC message says up to where the peer has written (@produced) and read.  The
 * application reads up to @consumed; each message of ours says so, and one is sent for it alone when
 *   - the peer asked, or an urgent byte was passed, or
 *   - more than a tenth of the element has been read since, and the peer has no more than half of it
 *     free, or is blocked.
 *
 * A message that is owed and finds no room on the link is sent when there is some: nothing is lost.
 * Cursors that no honest peer can send abort the connection.
 *
 * Urgent data: the byte before @urgent_at.  It is the last one that its message covers; until then
 * messages say that it is to come.
 *
 * A connection whose rendezvous is not over has @rendezvous.  The server can get messages before the
 * Confirm that says who the peer is: TCP is slower.  They are taken up, and told with PROTO_CONNECTED.
 */
#ifndef SMCU_PROTO_CONNECTION_H
#define SMCU_PROTO_CONNECTION_H

#include "proto/close.h"
#include "proto/proto.h"
#include "wire/cdc.h"

struct rendezvous;

#define CONNECTION_CORK_MOST 65536U /* bytes that wait for a completion, at most */
#define CONNECTION_UPDATE_LEAST 2304U /* bytes read that are not worth a message of their own */

/**
 * struct connection - see above
 * @of_host: in proto_host.connections
 * @waiting: in link.waiting, or in link_group.candidates
 * @engine: the engine's
 * @rendezvous: while it is not over
 * @group: NULL before and after
 * @slot: index there
 * @token: alert token that the peer uses for us
 * @rmb: ours; @memory: what it is made of, or NULL
 * @size: of our element
 * @peer_token, @peer_size: of the peer's side
 * @peer_element: offset of its element in its RMB
 * @peer_rkey, @peer_rkey_generation: index in link_group.rkeys, and that entry's generation
 * @state, @closing, @application_closed: close.h
 * @flags, @received_flags: CDC_* connection flags, ours and the peer's
 * @written, @sent, @released, @peer_consumed: positions of what we send
 * @urgent_at: position behind our urgent byte that is not out yet; 0: none
 * @discards: what is not sent will not be
 * @blocked: our last message said that more is to come
 * @owes: a message is due even without data
 * @sequence: of our last message
 * @pending: messages under way
 * @produced, @consumed, @confirmed: positions of what we receive; @confirmed: consumed as last told
 * @peer_urgent: position behind the peer's urgent byte, 0: none
 * @peer_blocked: the peer has more
 * @received_sequence: of the peer's last message
 * @told_urgent_pending: PROTO_URGENT_PENDING was told for the urgent byte to come
 * @fin_owed: PROTO_TCP_SHUT_DOWN or _WRITE that follows when all messages are complete; else 0
 * @linger: as given to connection_close()
 * @step, @limit: timers
 */
struct connection {
	struct list of_host;
	struct list waiting;
	struct proto_host *host;
	void *engine;
	struct rendezvous *rendezvous;
	struct link_group *group;
	uint8_t slot;
	uint32_t token;
	struct rmb *rmb;
	struct rmb_memory *memory;
	uint32_t size;
	uint32_t peer_token;
	uint32_t peer_size;
	uint64_t peer_element;
	uint8_t peer_rkey;
	uint32_t peer_rkey_generation;
	enum connection_state state;
	enum connection_closing closing;
	bool application_closed;
	enum proto_action_type fin_owed;
	uint8_t flags;
	uint8_t received_flags;

	uint64_t written;
	uint64_t sent;
	uint64_t released;
	uint64_t peer_consumed;
	uint64_t urgent_at;
	bool discards;
	bool blocked;
	bool owes;
	uint16_t sequence;
	unsigned int pending;

	uint64_t produced;
	uint64_t consumed;
	uint64_t confirmed;
	uint64_t peer_urgent;
	bool peer_blocked;
	uint16_t received_sequence;
	bool told_urgent_pending;
	uint32_t linger;

	struct proto_timer step;
	struct proto_timer limit;
};

/* Events: what the application did */

/**
 * connection_written - there is more to send
 * @position: all bytes before it are there
 * @urgent: the last one is urgent
 *
 * Return: 0, or -EINVAL: less than before; -EPIPE: shut down or closed.
 */
int connection_written(struct connection *connection, uint64_t position, bool urgent);

/**
 * connection_read - the application has read
 * @position: all bytes before it
 *
 * Return: 0, or -EINVAL: less than before, or more than is there.
 */
int connection_read(struct connection *connection, uint64_t position);

/* For the other files of this directory. */

/* connection_activate - the rendezvous is over: this is SMC */
void connection_activate(struct connection *connection);

/* connection_received - a CDC message for one of @group */
void connection_received(struct link_group *group, const void *bytes, size_t length);

/* connection_completed - a message that covered the data before @position is complete */
void connection_completed(struct connection *connection, uint64_t position);

/* connection_transmit - send what is due and fits */
void connection_transmit(struct connection *connection);

/* connection_unsent - bytes that are still to be sent */
uint64_t connection_unsent(const struct connection *connection);

/* connection_tell - an action that has a connection and a position at most */
void connection_tell(struct connection *connection, enum proto_action_type type, uint64_t position,
		     uint32_t number);

/* connection_finish - nothing is left: PROTO_GONE */
void connection_finish(struct connection *connection);

#endif
