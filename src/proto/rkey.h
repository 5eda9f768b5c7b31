/* SPDX-License-Identifier: MIT */
/*
 * RMBs and keys: which of our memory the peer may write, and which of the peer's we may
 * (RFC 7609, 3)
 *
 * Theory of operation
 *
 * Each connection has an RMB of its own, with one element.
 *
 *   NEW ─register─> REGISTERED ─first contact: by the CLC message──────┐
 *                        └─later contact: CONFIRM RKEY, response────> KNOWN ─DELETE RKEY─> gone
 *                                                                     │  ^
 *                                                                   RESTING
 *
 * The memory is shared with the application.  Where that keeps it for its next connection (struct
 * rmb_memory) the RMB *rests* in between, registered and known to the peer: a next connection in the same
 * link group needs no exchange and no registration, as with Linux, whose RMBs are the kernel's.  It may
 * rest only when the peer has said its last word, behind which no WRITE of its comes; in any other link
 * group the memory becomes another RMB, and this one is deregistered before, so that no peer can write into
 * what is another's.  RESTING_MOST of a link group rest, fewer if the peer's table of keys would be full.
 *
 * A link group runs one exchange of its own at a time (the *flow*); RMBs that want one stand in its
 * queue.  CONFIRM RKEY that is not answered in time, or in the negative, fails the connection; with
 * RETRY it is sent again.  DELETE RKEY is sent when the connection is over: WRITEs that the peer had
 * under way come before its response, so memory behind a response is safe.  Without one the RMB stays
 * registered until the link group ends; a WRITE without a region would end the link.  A peer that answers none of
 * RKEY_UNDELETED_MOST in a row, and yet is there, has no use for them: the link group ends, or they would pile up.
 *
 * Requests of the peer are answered at once, whatever runs here.  Its keys are kept in a table of 255;
 * a key may serve several connections, so that only the peer's DELETE RKEY removes it.  A connection
 * whose key is gone and that still has data is aborted.
 */
#ifndef SMCU_PROTO_RKEY_H
#define SMCU_PROTO_RKEY_H

#include "proto/proto.h"
#include "wire/llc.h"

enum rmb_state { RMB_NEW, RMB_REGISTERED, RMB_KNOWN, RMB_RESTING, RMB_RETIRED };

#define RESTING_MOST 64U

/**
 * struct rmb_memory - memory that connections use one after the other
 * @resting: the RMB that it is between two of them; NULL: none
 * @kept: there may be another one: the engine's; rmb_memory_end() takes it back
 */
struct rmb_memory {
	struct rmb *resting;
	bool kept;
};

/**
 * struct rmb - memory of ours for one connection
 * @of_group: in link_group.rmbs
 * @queue: in link_group.flows, while it waits for its turn
 * @group: where its peer is
 * @connection: whose it is; NULL once that is over
 * @memory: what it is made of; NULL: used once
 * @engine: the engine's
 * @state: what has been done with it
 * @size: bytes
 * @rkey, @address: once registered
 * @retries: of CONFIRM RKEY
 * @deregistered: the peer may not have agreed to that yet
 */
struct rmb {
	struct list of_group;
	struct list queue;
	struct link_group *group;
	struct connection *connection;
	struct rmb_memory *memory;
	void *engine;
	enum rmb_state state;
	uint32_t size;
	uint32_t rkey;
	uint64_t address;
	unsigned int retries;
	bool deregistered;
};

#define RKEY_RETRIES 3U
#define RKEY_UNDELETED_MOST 8U
#define RKEY_NONE 0xffU /* no index */

/**
 * struct rkey_entry - memory of the peer
 * @used: the rest counts
 * @rkey, @address: on the link of the group
 * @generation: counts removals: the same key may come back for another connection
 */
struct rkey_entry {
	bool used;
	uint32_t generation;
	uint32_t rkey;
	uint64_t address;
};

/* rmb_wake - the RMB that rests in the memory of @connection, if it serves; NULL: rmb_create() */
struct rmb *rmb_wake(struct connection *connection);

/* rmb_create - for @connection, which is a member of a link group; asks for its registration */
struct rmb *rmb_create(struct connection *connection, uint32_t size);

/**
 * rmb_registered - event: the answer to PROTO_REGISTER
 * @ok: whether the rest counts
 */
void rmb_registered(struct rmb *rmb, bool ok, uint32_t rkey, uint64_t address);

/* rmb_confirm - have the peer know it, then call rendezvous_rmb_known() */
void rmb_confirm(struct rmb *rmb);

/* rmb_retire - it is not needed any more */
void rmb_retire(struct rmb *rmb);

/* rmb_leave - its connection is over: it rests, or is retired */
void rmb_leave(struct rmb *rmb);

/* rmb_memory_end - no other connection will use it; nothing is registered if none does now */
void rmb_memory_end(struct rmb_memory *memory);

/* rmb_free - deregister and forget it; when the link group ends, or nobody knows it */
void rmb_free(struct rmb *rmb);

/**
 * rkey_add - take up a key of the peer
 *
 * Return: its index, that of the same key if it is known already, or -ENOSPC.
 */
int rkey_add(struct link_group *group, uint32_t rkey, uint64_t address);

/* rkey_find - its index, or -ENOENT */
int rkey_find(const struct link_group *group, uint32_t rkey, uint64_t address);

/* rkey_has_room - is there room for another key? */
bool rkey_has_room(const struct link_group *group);

/* rkey_received - a CONFIRM RKEY, its continuation, or a DELETE RKEY, request or response */
void rkey_received(struct link_group *group, struct llc_message *message);

/* rkey_flow_expired - no response came */
void rkey_flow_expired(struct link_group *group);

#endif
