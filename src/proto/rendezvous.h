/* SPDX-License-Identifier: MIT */
/*
 * The rendezvous: from a TCP connection to SMC or back to TCP (RFC 7609, 3; clc.h)
 *
 * Theory of operation
 *
 *   client                                  server
 *   ──Proposal──>                           PROPOSAL: negotiate; RESOLVE the way (v2)
 *   ACCEPT                                  GROUP: wait while one to this client is pending, not for ever
 *                                           LINK (first contact), BUFFER: register the RMB
 *                                           KEY (later contact): CONFIRM RKEY
 *                              <──Accept──
 *   RESOLVE (v2, routed)                    CONFIRM
 *   LINK, BUFFER, KEY as on the right
 *   ──Confirm──>
 *   later contact: done                     later contact: done
 *   CONFIRM_LINK                            CONNECT_LINK
 *                                      <══CONFIRM LINK══  CONFIRM_LINK
 *   CONNECT_LINK ══CONFIRM LINK response══> done
 *   SENT_CONFIRM; ADD_LINK if several links were agreed on
 *   done
 *
 * Ways out of it
 *
 *   PROTO_FELL_BACK  TCP goes on.  Either a Decline was received, which is never answered, or we send
 *                    one where @sent says so, or nobody spoke of SMC at all.
 *   PROTO_FAILED     the TCP stream is in a state that nobody knows: the application gets an error
 *
 * A wait for CONFIRM LINK or its response that ends without it goes on for a second (GRACE), in
 * which the peer's Decline may come; then we decline.  After a Decline of ours a message of the
 * rendezvous may still come from the peer, who had not seen it; rendezvous_late() finds it in front
 * of the application's data.
 *
 * Where this differs from Linux, because here the application's connect() and accept() have already
 * returned and TCP would have gone on: a client that gets no Accept in time declines; a server that
 * gets no Proposal at all, or what is none from its first bytes, leaves the stream untouched to TCP.
 *
 * The engine looks at the stream without taking (MSG_PEEK) and takes what
 * connection_tcp_received() says: not a byte behind a message.
 */
#ifndef SMCU_PROTO_RENDEZVOUS_H
#define SMCU_PROTO_RENDEZVOUS_H

#include "proto/link_group.h"
#include "proto/negotiation.h"
#include "proto/proto.h"

enum rendezvous_step {
	RENDEZVOUS_PROPOSAL,
	RENDEZVOUS_ACCEPT,
	RENDEZVOUS_RESOLVE,
	RENDEZVOUS_GROUP,
	RENDEZVOUS_LINK,
	RENDEZVOUS_BUFFER,
	RENDEZVOUS_KEY,
	RENDEZVOUS_CONFIRM,
	RENDEZVOUS_CONNECT_LINK,
	RENDEZVOUS_CONFIRM_LINK,
	RENDEZVOUS_SENT_CONFIRM,
	RENDEZVOUS_ADD_LINK,
	RENDEZVOUS_GRACE,
};

/**
 * struct rendezvous - what is needed until it is over
 * @facts: of the TCP connection
 * @step: what is waited for
 * @negotiation: what is agreed on so far
 * @first_contact: a new link group is being made
 * @started: the Proposal has been sent, or received
 * @answered: client: a message came that the peer may send
 * @declining_version: form of a Decline of ours, as of now
 * @grace_diagnosis: to decline with after GRACE; 0: success
 * @add_link_seen: ADD LINK came before its time
 * @tcp_ended: no Decline will come any more
 * @proposal: server: as received
 * @peer: server: as in the Proposal, client: as in the Accept; of v2 with its GID for v2
 * @awaited: server: the link group whose first contact is waited for
 * @routed: through a gateway
 * @next_hop: its MAC
 * @accept: client: as received
 * @message: the message that is coming, as far as it is kept
 * @length, @filled: of that message: all bytes, those that are here; @filled is 0 between messages
 */
struct rendezvous {
	struct rendezvous_facts facts;
	enum rendezvous_step step;
	struct negotiation negotiation;
	bool first_contact;
	bool started;
	bool answered;
	uint8_t declining_version;
	uint32_t grace_diagnosis;
	bool add_link_seen;
	bool tcp_ended;
	struct clc_peer peer;
	struct link_group *awaited;
	bool routed;
	uint8_t next_hop[CLC_MAC_SIZE];
	struct clc_message proposal;
	struct clc_message accept;
	uint8_t message[CLC_LENGTH_MAX];
	unsigned int length;
	unsigned int filled;
};

enum rendezvous_route { RENDEZVOUS_UNREACHABLE, RENDEZVOUS_DIRECT, RENDEZVOUS_ROUTED };

/* Events */

/**
 * connection_start - a TCP connection is established
 * @engine: the engine's, in the connection
 *
 * Return: the connection, whose first actions are out already: if PROTO_GONE is among them it is not
 * there any more.  NULL if there is no memory for it.
 */
struct connection *connection_start(struct proto_host *host, const struct rendezvous_facts *facts,
				    void *engine);

/* connection_tcp_wanted - bytes to look for on TCP; 0: leave it alone.  Each event may change it */
size_t connection_tcp_wanted(const struct connection *connection);

/**
 * connection_tcp_received - these bytes are next on TCP
 * @length: at most connection_tcp_wanted()
 *
 * Return: how many to take off the stream; if none, call again when there are more.
 */
size_t connection_tcp_received(struct connection *connection, const void *bytes, size_t length);

/* connection_tcp_ended - TCP's stream ended where a message was wanted */
void connection_tcp_ended(struct connection *connection);

/* connection_resolved - the answer to PROTO_RESOLVE; @mac: of the next hop, if RENDEZVOUS_ROUTED */
void connection_resolved(struct connection *connection, enum rendezvous_route route,
			 const uint8_t mac[CLC_MAC_SIZE]);

/**
 * rendezvous_late - is there a message of the rendezvous before the application's data?
 * @role: ours
 * @bytes, @length: next on TCP
 *
 * To be asked after PROTO_FELL_BACK with @late, at the first bytes, and again after each message.
 *
 * Return: bytes to drop; 0: the rest is the application's; -EAGAIN: not to be told from so few.
 */
int rendezvous_late(enum proto_role role, const void *bytes, size_t length);

/* For the other files of this directory. */

/* rendezvous_at - is its rendezvous at @step? */
bool rendezvous_at(const struct connection *connection, enum rendezvous_step step);

/* rendezvous_wait - go to @step, for so long; 0: for as long as the whole rendezvous may take */
void rendezvous_wait(struct connection *connection, enum rendezvous_step step,
		     uint32_t milliseconds);

/* rendezvous_decline - back to TCP, and tell the peer */
void rendezvous_decline(struct connection *connection, uint32_t diagnosis);

/* rendezvous_fall_back - back to TCP, without a word */
void rendezvous_fall_back(struct connection *connection, uint32_t diagnosis, bool late);

/* rendezvous_fail - the stream is of no use; @error: errno */
void rendezvous_fail(struct connection *connection, int error);

/* rendezvous_done - this is SMC */
void rendezvous_done(struct connection *connection);

/* rendezvous_send - a CLC message on TCP */
void rendezvous_send(struct connection *connection, const struct clc_message *message);

/* rendezvous_side - our side of an Accept or Confirm */
void rendezvous_side(struct connection *connection, struct clc_message *message, uint8_t type);

/**
 * rendezvous_take_side - the peer's side
 *
 * Return: 0 or the diagnosis to decline with.
 */
uint32_t rendezvous_take_side(struct connection *connection, const struct clc_accept_r *r);

/* rendezvous_expired - @connection->step or @connection->limit */
void rendezvous_expired(struct connection *connection, bool limit);

/* rendezvous_link_created, _connected - what was asked for is there, or not */
void rendezvous_link_created(struct connection *connection, bool ok);
void rendezvous_link_connected(struct connection *connection, bool ok);

/* rendezvous_want_buffer - take the RMB that rests in the connection's memory, or have one registered */
void rendezvous_want_buffer(struct connection *connection);

/* rendezvous_rmb_registered, _known - likewise */
void rendezvous_rmb_registered(struct connection *connection, bool ok);
void rendezvous_rmb_known(struct connection *connection, bool ok);

/* rendezvous_link_confirmed - CONFIRM LINK came, or its response; @diagnosis: it is not acceptable */
void rendezvous_link_confirmed(struct connection *connection, uint32_t diagnosis);

/* rendezvous_confirm_sent - client: the response is complete */
void rendezvous_confirm_sent(struct connection *connection);

/* rendezvous_add_link - client: ADD LINK came and was rejected */
void rendezvous_add_link(struct connection *connection);

/* rendezvous_group_lost - the link is down, or the group is ended */
void rendezvous_group_lost(struct connection *connection);

/* The two roles (rendezvous_client.c, rendezvous_server.c). */

void client_start(struct connection *connection);
void client_accepted(struct connection *connection, const struct clc_message *accept);
void client_resolved(struct connection *connection, enum rendezvous_route route);
void client_confirm(struct connection *connection);

void server_proposed(struct connection *connection, const struct clc_message *proposal);
void server_resolved(struct connection *connection, enum rendezvous_route route);
void server_accept(struct connection *connection);
void server_confirmed(struct connection *connection, const struct clc_message *confirm);

/* server_waited - for another's first contact, for long enough */
void server_waited(struct connection *connection);

/* server_select - find or make a link group */
void server_select(struct connection *connection);

#endif
