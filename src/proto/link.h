/* SPDX-License-Identifier: MIT */
/*
 * A link: one reliable connection between queue pairs, and the order of what is sent there
 * (RFC 7609, 2 and 3)
 *
 * Theory of operation
 *
 *   UNUSED ─create─> ACTIVATING ─CONFIRM LINK and response─> ACTIVE ─failed, deleted─> INACTIVE
 *
 * The server's queue pair can send as soon as it is connected; the client's receives first, and sends
 * once CONFIRM LINK has come.
 *
 * PROTO_SENDS SENDs may be under way.  Their completions come in the order in which they were posted,
 * so a ring remembers what each was for.  Some of them are reserved for LLC.  LLC messages that find
 * no room wait in a short queue (what does not fit there is dropped: the peer asks again, or gives
 * up); connections that find none stand in line (@waiting) and are called when there is room.
 *
 * Each time PROTO_TEST_LINK_IDLE passes without a message from the peer TEST LINK is sent; if nothing
 * comes then either, the link is down.  So it is when the peer's address turns out to be another's.
 */
#ifndef SMCU_PROTO_LINK_H
#define SMCU_PROTO_LINK_H

#include "proto/proto.h"
#include "wire/llc.h"

enum link_state { LINK_UNUSED, LINK_INACTIVE, LINK_ACTIVATING, LINK_ACTIVE };

/**
 * struct link_end - what a queue pair is to be connected to
 * @gid, @mac: of the peer's port; the next hop's MAC if @routed
 * @queue_pair, @sequence: 24 bits: number, first PSN
 * @mtu: path MTU code, the less of both
 * @routed: through a gateway
 */
struct link_end {
	uint8_t gid[CLC_GID_SIZE];
	uint8_t mac[CLC_MAC_SIZE];
	uint32_t queue_pair;
	uint32_t sequence;
	uint8_t mtu;
	bool routed;
};

/**
 * struct link_post - a SEND under way
 * @connection: whose CDC message it is, or NULL for LLC; also NULL when that is gone
 * @position: up to where that message covers the connection's data
 * @last: the link group's last one
 * @confirms: it is the response to CONFIRM LINK
 */
struct link_post {
	struct connection *connection;
	uint64_t position;
	bool last;
	bool confirms;
};

#define LINK_QUEUE 16U

/**
 * struct link - see above
 * @group: whose it is
 * @engine: the engine's
 * @number: in the group, chosen by the server, not 0
 * @user_id: name for people
 * @sends: the queue pair is in RTS
 * @queue_pair, @sequence: our end: number, first PSN
 * @peer_mac: as the peer said it; peer.mac may be a gateway's
 * @posts, @first_post, @post_count: ring of what is under way
 * @queue, @first_queued, @queued: ring of LLC messages that wait
 * @waiting: connections that wait
 * @test: timer
 * @heard: a message came since @test was started
 * @testing: TEST LINK is out
 * @tests: how many were sent
 */
struct link {
	struct link_group *group;
	void *engine;
	enum link_state state;
	uint8_t number;
	uint32_t user_id;
	bool sends;
	uint32_t queue_pair;
	uint32_t sequence;
	struct link_end peer;
	uint8_t peer_mac[CLC_MAC_SIZE];
	struct link_post posts[PROTO_SENDS];
	unsigned int first_post;
	unsigned int post_count;
	struct {
		uint8_t bytes[PROTO_MESSAGE_LENGTH];
		bool last;
		bool confirms;
	} queue[LINK_QUEUE];
	unsigned int first_queued;
	unsigned int queued;
	struct list waiting;
	struct proto_timer test;
	bool heard;
	bool testing;
	uint64_t tests;
};

void link_init(struct link *link, struct link_group *group);

/* link_open - ask for a queue pair */
void link_open(struct link *link);

/* link_activate - CONFIRM LINK is done */
void link_activate(struct link *link);

/* link_test - is the peer still there?  Else it fails soon */
void link_test(struct link *link);

/* link_close - destroy the queue pair; connections that wait are left in line */
void link_close(struct link *link);

/* link_connect - to RTR after @link->peer; if @sends to RTS too */
void link_connect(struct link *link, bool sends);

/* link_has_room - may a connection post a SEND? */
bool link_has_room(const struct link *link);

/* link_post_cdc - of @connection, which has asked link_has_room(), covering its data to @position */
void link_post_cdc(struct link *link, struct connection *connection, uint64_t position,
		   const uint8_t bytes[PROTO_MESSAGE_LENGTH]);

/* link_forget - @connection is going away */
void link_forget(struct link *link, struct connection *connection);

/**
 * link_send_llc - send an LLC message of 44 bytes, or queue it
 * @last: the link group has nothing more to say
 *
 * Return: false if it was dropped.
 */
bool link_send_llc(struct link *link, struct llc_message *message, bool last);

/* Events */

/* link_created - the answer to PROTO_LINK_CREATE; @queue_pair: number */
void link_created(struct link *link, bool ok, uint32_t queue_pair);

/* link_connected - the answer to PROTO_LINK_CONNECT */
void link_connected(struct link *link, bool ok);

/* link_received - a SEND of the peer; @length: all bytes of it */
void link_received(struct link *link, const void *bytes, size_t length);

/* link_sent - the oldest SEND under way is complete; if not @ok, the link is down */
void link_sent(struct link *link, bool ok);

/* link_failed - port, device or queue pair is lost */
void link_failed(struct link *link);

/* link_test_expired - for proto_timer_expired() */
void link_test_expired(struct link *link);

#endif
