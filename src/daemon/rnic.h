/* SPDX-License-Identifier: MIT */
/*
 * RNICs: one adapter, the protocol that is spoken on it, and what the two have made together
 *
 * Theory of operation
 *
 * A link of the protocol is a queue pair with a domain of its own (rnic_link.c), so that the keys of one
 * peer are of no use to another.  Its receives are posted from one region.  An RMB is two regions of
 * one segment: the element that the peer writes, and the application's ring that our WRITEs read; both
 * are kept, with the mapping, until PROTO_DEREGISTER.
 *
 * In each turn of the loop the answers that are owed to the protocol are given, the fabric is run if it
 * is due, its completions and events are told, and what was posted meanwhile is flushed.
 */
#ifndef SMCU_DAEMON_RNIC_H
#define SMCU_DAEMON_RNIC_H

#include "daemon/engine.h"
#include "fabric/fabric.h"
#include "fabric/soft/faults.h"
#include "proto/proto.h"

#define RNIC_NAME_SIZE 16U

/* What the protocol asked for and is not told yet. */
enum answer_kind { ANSWER_CREATED, ANSWER_CONNECTED, ANSWER_REGISTERED, ANSWER_RESOLVED };

/**
 * struct answer - one of them
 * @kind: after which one of the members below counts
 * @ok: it worked
 * @route: of ANSWER_RESOLVED
 */
struct answer {
	enum answer_kind kind;
	bool ok;
	enum rendezvous_route route;
	struct link *link;
	struct rmb *rmb;
	struct connection *connection;
	struct answer *next;
};

/**
 * struct rnic - see above
 * @name: of the interface
 * @device: the adapter
 * @watch: its descriptor
 * @taken: what has arrived was taken in this turn; @unfinished: there is more for the next one
 * @host: the protocol
 * @gid_index: of the address that the protocol names, [0] in v1, [1] in v2
 * @vlan: of the interface
 * @answers: to be given, oldest first; @answers_end: where the next one is put
 * @link_count, @rmb_count: that there are now
 */
struct rnic {
	struct engine *engine;
	char name[RNIC_NAME_SIZE];
	struct fabric_device *device;
	struct loop_watch watch;
	bool taken;
	bool unfinished;
	struct proto_host host;
	unsigned int gid_index[2];
	int vlan;
	struct answer *answers;
	struct answer **answers_end;
	unsigned int link_count;
	unsigned int rmb_count;
};

/**
 * struct rnic_options - what is configured
 * @interface, @pnetid: names; @pnetid may be ""
 * @faults: for tests
 * @proto: of the protocol, but for what the adapter says: its addresses, MAC and MTU, and @peer_id
 */
struct rnic_options {
	const char *interface;
	const char *pnetid;
	struct fault_rates faults;
	struct proto_config proto;
};

/* rnic_open - open the adapter of an interface; NULL with @error set to -errno */
struct rnic *rnic_open(struct engine *engine, const struct rnic_options *options, int *error);

void rnic_close(struct rnic *rnic);

/* rnic_work - do what is due; true if anything was */
bool rnic_work(struct rnic *rnic);

/* rnic_give_answers - what the protocol asked for, as far as it is known */
void rnic_give_answers(struct rnic *rnic);

/* rnic_rest - send what was held back; how many milliseconds the loop may sleep then */
int rnic_rest(struct rnic *rnic);

/* For the files of the engine. */

/* rnic_answer - a new answer, to be filled; NULL without memory: the time-out of whoever waits answers */
struct answer *rnic_answer(struct rnic *rnic, enum answer_kind kind);

/* rnic_forget - what is owed to this object is not */
void rnic_forget(struct rnic *rnic, const void *object);

/* rnic_now - nanoseconds */
uint64_t rnic_now(void);

/* rnic_act - an action of the protocol that concerns a link or memory */
void rnic_act(struct rnic *rnic, const struct proto_action *action);

/* rnic_link_number - of a link's queue pair */
uint32_t rnic_link_number(const struct link *link);

/* rnic_rmb_name - what the peer has to know of a registered RMB */
void rnic_rmb_name(const struct rmb *rmb, uint32_t *rkey, uint64_t *address);

/* rnic_complete - a completion of one of the links; rnic_fatal - its queue pair has failed */
void rnic_complete(const struct fabric_completion *completion);
void rnic_fatal(const struct fabric_event *event);

#endif
