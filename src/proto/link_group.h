/* SPDX-License-Identifier: MIT */
/*
 * Link groups: the connections between two hosts that share a link (RFC 7609, 2 and 3)
 *
 * Theory of operation
 *
 *   PENDING ─first contact done─> ACTIVE ─last connection gone─> (linger) ─> ENDING ─> gone
 *      └─declined, failed────────────────────────────────────────────────────────────────┘
 *
 * The server of the first connection is the server of the group for ever, so two hosts can have two.
 * The server decides: a Proposal goes to a group of the same peer, GID, VLAN, role and TCP address that is neither
 * out of sync nor full (255 connections, 255 keys of the peer) nor silent, else it is a *first contact* and
 * makes a new group.  While one is pending, further Proposals of that peer wait for it; if it takes longer than
 * PROTO_GROUP_WAIT, one of them makes another group, and the others wait for that one.  The client finds
 * the group by what the Accept says; if it has none the two hosts are out of sync: it declines so, and
 * the server ends that group with all its connections.  Where the client does not even answer CONFIRM RKEY, it may
 * have been started anew: that connection, and later ones, go to another group.
 *
 * A peer that was started anew has another name.  When a first contact with it is done, it has answered at its
 * RDMA address, and the links of groups with another name at that address are tested.  A peer whose adapter was
 * removed and came back has its name, but gives the numbers of its queue pairs again: a link with the number of the
 * new one is tested, too, and the new one is what its Accepts mean.
 *
 * A group ends, and its connections, if there are any, are reset at once,
 *   - after lingering: DELETE LINK ALL, orderly; when the host is stopped, or the peer is out of sync: not orderly,
 *   - when the peer sends DELETE LINK for it: it is answered as the role demands,
 *   - when its link is down.
 *
 * Who has asked for the end keeps the queue pair until the peer has answered, PROTO_LLC_WAIT at most: what the
 * peer sends meanwhile has to be acknowledged, or it is never done with its connections (Linux over Soft-RoCE).
 * A client answers by a response, a server by asking the same.  Linux says nothing as a client, and as a server
 * the same, orderly; but either of them says DELETE LINK ALL, not orderly, when its connections are no more.  So
 * what ends the wait is a response or that.
 *
 * What a peer says of itself it can invent, and so be another for each connection, or somebody else.  So a server's
 * group is for the TCP address that it was made from: nobody else can join it, wait for it, or end it by saying that
 * it is lost.  (A host with two addresses has two groups.)  And servers count by that address: of PENDING groups there
 * are PROTO_PENDING_MAX, and further first contacts are declined; of ACTIVE ones without connections PROTO_IDLE_MAX,
 * and the oldest ends for another.  A client, of which a server may want a new group each time, has the latter, too.
 *
 * ADD LINK is rejected: groups have one link.
 */
#ifndef SMCU_PROTO_LINK_GROUP_H
#define SMCU_PROTO_LINK_GROUP_H

#include "proto/link.h"
#include "proto/proto.h"
#include "proto/rkey.h"

/* How a link group takes its leave of the peer. */
enum link_group_farewell {
	FAREWELL_NONE, /* it cannot, or need not */
	FAREWELL_SAID, /* the last message is under way */
	FAREWELL_ASKED, /* likewise, and the peer is to answer */
};

enum link_group_state { LINK_GROUP_PENDING, LINK_GROUP_ACTIVE, LINK_GROUP_ENDING, LINK_GROUP_DEAD };

/**
 * struct link_group - see above
 * @of_host: in proto_host.groups
 * @role: ours
 * @version: of SMC, also of LLC
 * @release: of v2
 * @little: the peer writes v2 lengths with the least significant byte first, so we do
 * @out_of_sync: takes no more connections
 * @stalled: the first contact takes long: nobody waits for it any more
 * @silent: a request of ours was not answered, and nothing has come since: takes none until something does
 * @peer_id: of the peer: server: as in its Proposals, client: as in its Accepts
 * @confirmed_id: server: as in its Confirm, which may say more
 * @vlan: of the TCP connections
 * @source: the peer's address on TCP: as a server that of all connections, as a client of the first
 * @eid: v2: group of hosts that was agreed on
 * @max_connections, @max_links, @features: as negotiated
 * @direct: v2: no gateway between the hosts
 * @first: the connection that makes the first contact; at the client also while that waits for ADD LINK
 * @candidates: connections whose rendezvous waits for this one to be ACTIVE
 * @connections: members, by the lowest byte of their token
 * @count: of members
 * @rkeys: the peer's
 * @rmbs: ours; @resting: how many of them rest
 * @flow: the RMB whose exchange is under way, or NULL
 * @flow_deletes: it is DELETE RKEY; @undeleted: how many of those in a row were not answered
 * @flows: RMBs that wait for theirs
 * @flow_timer: of @flow; when ENDING, of the end
 * @said: when ENDING: our last message is out
 * @unanswered: when ENDING: the peer's answer is waited for
 * @linger: timer
 */
struct link_group {
	struct list of_host;
	struct proto_host *host;
	enum proto_role role;
	enum link_group_state state;
	uint8_t version;
	uint8_t release;
	bool little;
	bool out_of_sync;
	bool stalled;
	bool silent;
	uint8_t peer_id[CLC_PEER_ID_SIZE];
	uint8_t confirmed_id[CLC_PEER_ID_SIZE];
	int vlan;
	uint8_t source[16];
	uint8_t eid[CLC_EID_SIZE];
	uint8_t max_connections;
	uint8_t max_links;
	uint16_t features;
	bool direct;
	struct connection *first;
	struct list candidates;
	struct connection *connections[PROTO_CONNECTIONS_MAX];
	unsigned int count;
	struct link link;
	struct rkey_entry rkeys[LLC_RKEYS_MAX];
	struct list rmbs;
	unsigned int resting;
	struct rmb *flow;
	bool flow_deletes;
	unsigned int undeleted;
	struct list flows;
	struct proto_timer flow_timer;
	bool said;
	bool unanswered;
	struct proto_timer linger;
};

/**
 * struct link_group_key - what a Proposal or an Accept must find again
 * @role: ours
 * @source: the peer's address on TCP, which a server compares
 * @version: v1 compares @mac too
 * @queue_pair: 0: any
 */
struct link_group_key {
	enum proto_role role;
	uint8_t source[16];
	uint8_t version;
	uint8_t peer_id[CLC_PEER_ID_SIZE];
	uint8_t gid[CLC_GID_SIZE];
	uint8_t mac[CLC_MAC_SIZE];
	uint32_t queue_pair;
	int vlan;
};

/**
 * link_group_admit - may a peer at this address have another link group in this role?
 *
 * Ends the oldest of its idle ones if they are too many.  The answer counts for servers: a client's groups in the
 * making are as many as it has asked for itself.
 */
bool link_group_admit(struct proto_host *host, enum proto_role role, const uint8_t source[16]);

/* link_group_knows - client: is there one with a server at this address? */
bool link_group_knows(struct proto_host *host, const uint8_t source[16]);

/* link_group_create - for a first contact; NULL without memory */
struct link_group *link_group_create(struct proto_host *host, const struct link_group_key *key);

/**
 * link_group_find - one with @key that takes another connection
 * @pending: set to one with @key that may become so, and is worth waiting for
 */
struct link_group *link_group_find(struct proto_host *host, const struct link_group_key *key,
				   struct link_group **pending);

/* link_group_find_link - client: the latest with a link as in @key, however full */
struct link_group *link_group_find_link(struct proto_host *host, const struct link_group_key *key);

/* link_group_stall - PENDING for too long: those who wait for it choose again */
void link_group_stall(struct link_group *group);

/* link_group_join - make @connection a member and give it a token; false if there is no room */
bool link_group_join(struct link_group *group, struct connection *connection);

/* link_group_leave - the connection is over; its RMB rests or is retired */
void link_group_leave(struct connection *connection);

/* link_group_activate - first contact is done */
void link_group_activate(struct link_group *group);

/**
 * link_group_end - end it, and all its connections by force
 * @reason: LLC_DELETED_*, sent to the peer if that is possible
 */
void link_group_end(struct link_group *group, uint32_t reason);

/* link_group_close - the same, with nothing more to say than what @farewell tells */
void link_group_close(struct link_group *group, enum link_group_farewell farewell);

/* link_group_said - the last message is out */
void link_group_said(struct link_group *group);

/* link_group_answered - the peer has said its last word */
void link_group_answered(struct link_group *group);

/* link_group_ended - all is said, or was waited for long enough */
void link_group_ended(struct link_group *group);

/* link_group_lingered - for proto_timer_expired() */
void link_group_lingered(struct link_group *group);

/* link_group_release - for proto_leave() */
void link_group_release(struct link_group *group);

#endif
