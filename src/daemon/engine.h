/* SPDX-License-Identifier: MIT */
/*
 * The engine: runs the protocol between hosts (src/proto) on the adapters of this one (src/fabric)
 *
 * Theory of operation
 *
 * Each RNIC (rnic.h) is a host of the protocol of its own: what it says of itself are that adapter's
 * addresses, and its link groups live there.  A TCP connection that is to become SMC-R is served by
 * the RNIC of the interface that it passes through, or else by the first one: the RDMA network need
 * not be TCP's.
 *
 *   application ── segment, bells, stand-in ── remote ── proto ── rnic ── fabric ── other host
 *                                   TCP ───────┘
 *
 * Here the actions of the protocol are given to those who carry them out: of connections to remote.h,
 * of links and memory to rnic.h, timers to the loop.  The protocol must not be called from within an
 * action; answers are queued and given in a task of the loop.
 *
 * The end has two steps, since peers have something to say when their connections are reset, and would wait for
 * ever for somebody to acknowledge it: engine_end(), for which the loop goes on, and engine_close().
 */
#ifndef SMCU_DAEMON_ENGINE_H
#define SMCU_DAEMON_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/loop.h"
#include "daemon/network.h"
#include "proto/rendezvous.h"
#include "ring/side.h"

#define ENGINE_RNICS_MAX 4U

struct apps;
struct config;
struct rnic;

/**
 * struct engine - all of it
 * @rnics, @rnic_count: those that could be opened
 * @instance: of this daemon, a part of its peer id: others see that it was started anew
 * @ending: engine_end() was called
 * @network: what is known of the host's interfaces
 */
struct engine {
	struct loop *loop;
	struct apps *apps;
	struct rnic *rnics[ENGINE_RNICS_MAX];
	unsigned int rnic_count;
	uint8_t instance[2];
	bool ending;
	struct network network;
};

/**
 * engine_open - open the RNICs that the configuration names
 *
 * Says in the log which are there.  Return: 0, also if none is configured; -errno: one that is cannot
 * be had.
 */
int engine_open(struct engine *engine, struct apps *apps, const struct config *config);

/**
 * engine_end - end every link group; applications and remote ends are told so
 *
 * From now on there is no RNIC for anybody.  The loop is stopped once the remote ends have answered, after
 * PROTO_LLC_WAIT at the latest.
 *
 * Return: whether there is anybody to wait for.
 */
bool engine_end(struct engine *engine);

/* engine_close - end what is left, without waiting */
void engine_close(struct engine *engine);

/* engine_choose - the RNIC that serves a TCP connection with that address of ours; NULL: none */
struct rnic *engine_choose(struct engine *engine, const struct side_address *local);

/**
 * engine_facts - what the rendezvous has to know of a TCP connection
 * @element: bytes of its ring for receiving
 *
 * The socket is not asked: its owner can hold its lock.
 */
void engine_facts(struct rnic *rnic, enum proto_role role, const struct side_address *local,
		  const struct side_address *peer, uint32_t element,
		  struct rendezvous_facts *facts);

#endif
