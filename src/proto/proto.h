/* SPDX-License-Identifier: MIT */
/*
 * The protocol between hosts: SMC-R v1, v2 and v2.1, as state machines (RFC 7609; SMC version 2)
 *
 * Theory of operation
 *
 * Here is what one host says and does; there is no clock, no socket, no device, no memory of its own.
 * Whoever runs it, the *engine*, calls a function for each event and carries out the actions that
 * come back:
 *
 *   TCP bytes, messages received, completions, timers, what      action: send this on TCP, post this
 *   applications did  -> connection_*(), link_*(), rmb_*(),  ->  SEND, post this WRITE, register this
 *   proto_timer_expired()                                        region, start a timer, tell the
 *                                                                application
 *
 * proto_environment.emit() is called for each action, in order, while the event is being handled.  It
 * must not call back: it acts, or queues.  Answers (a region was registered, a queue pair is there)
 * are events of their own and come later.
 *
 *   host ──── link group ──── link          the rendezvous (rendezvous.h) makes a connection a member of
 *              │  │  └────── peer's rkeys   a link group, or leaves it to TCP; then it moves cursors
 *              │  └───────── rmb            (connection.h) until it is closed (close.h)
 *              └── connection
 *
 * Data never passes through here.  A connection's two streams have 64-bit positions, 0 for the first
 * byte.  Of what the application wrote (connection_written()) pieces are named that are to be written
 * into the peer's element; of what the peer wrote it is said up to which position it is there.
 *
 * Objects live until the event that ended them has been handled: then the engine gets
 * PROTO_GONE (connections), PROTO_LINK_DESTROY, PROTO_DEREGISTER, and never mentions that object
 * again, even if an answer was still owed.  `engine` in each object is the engine's own.
 */
#ifndef SMCU_PROTO_PROTO_H
#define SMCU_PROTO_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/list.h"
#include "wire/clc.h"

struct connection;
struct link;
struct link_group;
struct rmb;

/* Times, in milliseconds, and where they come from: Linux has them so. */
#define PROTO_CLC_WAIT 6000U /* for a Proposal, Accept or Confirm */
#define PROTO_RENDEZVOUS_LIMIT 15000U /* for all of it, so that a peer cannot go on for ever */
#define PROTO_CONFIRM_LINK_SERVER_WAIT 2000U
#define PROTO_CONFIRM_LINK_CLIENT_WAIT 6000U /* Declines must not cross; Linux's takes 5 s */
#define PROTO_ADD_LINK_WAIT 2000U
#define PROTO_DECLINE_GRACE 1000U /* for the peer's Decline, after one of the three before */
#define PROTO_GROUP_WAIT 2000U /* for the first contact of another connection */
#define PROTO_LLC_WAIT 2000U /* for the response of an LLC flow, or the end of a link group */
#define PROTO_TEST_LINK_IDLE 30000U
#define PROTO_TEST_LINK_WAIT 2000U
#define PROTO_LINGER 600000U /* of a link group without connections, unless configured */
#define PROTO_LINGER_CLIENT_MORE 10000U /* no server reuses what its client has dropped */
#define PROTO_UNREAD_FLUSH 2000U /* for sending after a close that leaves data unread */
#define PROTO_LAST_WORD_WAIT 60000U /* for the peer's close after ours, as TCP's FIN-WAIT-2 of nobody's socket */
#define PROTO_ABORT_WAIT 6000U /* for the peer's answer to an abnormal close */

#define PROTO_CONNECTIONS_MAX 255U /* of a link group */
#define PROTO_CONNECTIONS_LEAST 16U /* that a link group must be allowed to have */
#define PROTO_PENDING_MAX 16U /* link groups that one address may have in the making at a server */
#define PROTO_IDLE_MAX 16U /* link groups without connections that are kept for one address */
#define PROTO_LINKS_MAX 2U /* that may be negotiated */
#define PROTO_MESSAGE_LENGTH 44U /* of every SEND that is posted here */
#define PROTO_SENDS 16U /* SENDs under way on a link */
#define PROTO_SENDS_RESERVED 2U /* of these, for LLC */
#define PROTO_ELEMENT_LEAST 16384U /* bytes of an RMB element: times a power of two */

enum proto_role { PROTO_CLIENT, PROTO_SERVER };

enum proto_timer_purpose {
	PROTO_TIMER_STEP, /* connection: the present wait of the rendezvous */
	PROTO_TIMER_LIMIT, /* connection: all of the rendezvous; later: flush, abort, last word */
	PROTO_TIMER_FLOW, /* link group: the LLC flow under way, or the end */
	PROTO_TIMER_LINGER, /* link group: without connections */
	PROTO_TIMER_TEST, /* link: TEST LINK */
};

/**
 * struct proto_timer - one timer, run by the engine
 * @purpose: what for
 * @running: started and neither stopped nor expired
 * @owner: a connection, link group or link, after @purpose
 * @engine: the engine's
 */
struct proto_timer {
	enum proto_timer_purpose purpose;
	bool running;
	void *owner;
	void *engine;
};

enum proto_action_type {
	PROTO_TCP_SEND = 0, /* @connection: @bytes, @length, whole and in order */
	PROTO_TCP_SHUT_DOWN_WRITE, /* @connection: FIN, once what was to be sent is sent */
	PROTO_TCP_SHUT_DOWN, /* @connection: both directions */
	PROTO_TCP_RESET, /* @connection: RST */
	PROTO_RESOLVE, /* @connection: the way to @gid; connection_resolved() */
	PROTO_LINK_CREATE, /* @link: a queue pair; link_created() */
	PROTO_LINK_CONNECT, /* @link: to RTR after @link->peer, if @number also to RTS; link_connected() */
	PROTO_LINK_DESTROY, /* @link: with all that is posted there */
	PROTO_SEND, /* @link: @bytes, @length, signalled, solicited; link_sent() */
	PROTO_WRITE, /* @link: @length from @position of @connection to @rkey, @address; not signalled */
	PROTO_REGISTER, /* @rmb: memory for @rmb->size; rmb_registered() */
	PROTO_DEREGISTER, /* @rmb */
	PROTO_TIMER_START, /* @timer: @number milliseconds; once more if it runs */
	PROTO_TIMER_STOP, /* @timer */
	PROTO_CONNECTED, /* @connection: data goes through shared memory from now on */
	PROTO_FELL_BACK, /* @connection: TCP for ever; @number: diagnosis; @late: rendezvous_late(); @mute */
	PROTO_FAILED, /* @connection: @number: errno; an application sees it, TCP is of no use; @mute */
	PROTO_READABLE, /* @connection: bytes before @position are there */
	PROTO_RELEASED, /* @connection: bytes written before @position need not be kept */
	PROTO_URGENT, /* @connection: the byte before @position is urgent; goes before its PROTO_READABLE */
	PROTO_URGENT_PENDING, /* @connection: an urgent byte is to come */
	PROTO_ENDED, /* @connection: nothing comes after @position; @number: CDC_* flags of the peer */
	PROTO_RESET, /* @connection: ended by force; @number: errno */
	PROTO_GONE, /* @connection: there is nothing left of it */
};

/**
 * struct proto_action - something for the engine to do
 * @type: what; which of the members count is said there
 * @late: messages of the rendezvous may still come, before the first byte of the peer's application
 * @mute: client: the peer has agreed by its option, and not one message of it came (it merely echoes options)
 * @bytes: valid during emit()
 */
struct proto_action {
	enum proto_action_type type;
	bool late;
	bool mute;
	struct connection *connection;
	struct link *link;
	struct rmb *rmb;
	struct proto_timer *timer;
	const uint8_t *gid;
	const void *bytes;
	uint32_t length;
	uint32_t number;
	uint32_t rkey;
	uint64_t address;
	uint64_t position;
};

/**
 * struct proto_environment - what the engine gives
 * @context: handed back in each call
 * @emit: carries out an action or queues it
 * @allocate: zeroed memory, or NULL
 * @release: what allocate() gave
 * @random: 32 bits nobody can guess
 */
struct proto_environment {
	void *context;
	void (*emit)(void *context, const struct proto_action *action);
	void *(*allocate)(void *context, size_t size);
	void (*release)(void *context, void *memory);
	uint32_t (*random)(void *context);
};

/**
 * struct proto_config - what this host is
 * @peer_id: of this instance: two bytes that change when it is started anew, and a MAC
 * @v1, @v2: there is an RDMA port with a GID for that version
 * @gid_v1, @gid_v2: of the port
 * @mac, @mtu: likewise; path MTU code, 1 to 5
 * @eids, @eid_count: names of groups of hosts that this one belongs to
 * @release: of v2: 0 or 1
 * @max_connections: in a link group: PROTO_CONNECTIONS_LEAST to PROTO_CONNECTIONS_MAX
 * @max_links: in a link group: 1 to PROTO_LINKS_MAX
 * @linger: milliseconds that a server's link group stays without connections; 0: PROTO_LINGER.  A client's stays
 *	PROTO_LINGER_CLIENT_MORE longer
 * @features: bits
 * @name: of the host, ASCII, blank padded
 */
struct proto_config {
	uint8_t peer_id[CLC_PEER_ID_SIZE];
	bool v1;
	bool v2;
	uint8_t gid_v1[CLC_GID_SIZE];
	uint8_t gid_v2[CLC_GID_SIZE];
	uint8_t mac[CLC_MAC_SIZE];
	uint8_t mtu;
	uint8_t eids[CLC_EIDS_MAX][CLC_EID_SIZE];
	uint8_t eid_count;
	uint8_t release;
	uint8_t max_connections;
	uint8_t max_links;
	uint32_t linger;
	uint16_t features;
	uint8_t name[CLC_HOST_SIZE];
};

/**
 * struct proto_host - one end of everything
 * @groups: of struct link_group
 * @connections: of struct connection
 * @dead_groups, @dead_connections: to be released when the present event is over
 * @last_token: alert token given last, without its lowest byte
 * @last_user_id: likewise of link user ids
 */
struct proto_host {
	struct proto_config config;
	struct proto_environment environment;
	struct list groups;
	struct list connections;
	struct list dead_groups;
	struct list dead_connections;
	uint32_t last_token;
	uint32_t last_user_id;
};

/* proto_host_init - @config and @environment are copied */
void proto_host_init(struct proto_host *host, const struct proto_config *config,
		     const struct proto_environment *environment);

/**
 * proto_host_end - end every connection and link group
 *
 * What was established is reset, what was not is declined, at once; link groups stay until their peers have
 * answered, PROTO_LLC_WAIT at most.
 */
void proto_host_end(struct proto_host *host);

/* proto_host_stop - the same, without waiting for anybody: nothing is left afterwards */
void proto_host_stop(struct proto_host *host);

/* proto_timer_expired - a timer that was started and not stopped since */
void proto_timer_expired(struct proto_host *host, struct proto_timer *timer);

/* For the other files of this directory. */

void proto_emit(struct proto_host *host, const struct proto_action *action);
void *proto_allocate(struct proto_host *host, size_t size);
void proto_release(struct proto_host *host, void *memory);

/* proto_random24 - a packet sequence number to begin with */
uint32_t proto_random24(struct proto_host *host);

void proto_timer_init(struct proto_timer *timer, enum proto_timer_purpose purpose, void *owner);
void proto_timer_start(struct proto_host *host, struct proto_timer *timer, uint32_t milliseconds);
void proto_timer_stop(struct proto_host *host, struct proto_timer *timer);

/* proto_leave - the last call of each event: release what died meanwhile */
void proto_leave(struct proto_host *host);

#endif
