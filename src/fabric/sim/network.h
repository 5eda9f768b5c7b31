/* SPDX-License-Identifier: MIT */
/*
 * A simulated fabric of whole messages: for tests of what runs on a fabric
 *
 * Theory of operation
 *
 * Queue pairs here send each request as one message, whatever its length, with a number; the
 * receiver executes them in order, answers each, and says when one is missing or no receive is
 * posted.  So all that a real adapter can do to a connection happens, at a small part of the work
 * that packets are.
 *
 * Time is what the caller gives to fabric_run(); every device has an inbox with what is on its way.
 * The same seed and the same calls give the same run.
 *
 * Faults: messages and answers are lost, doubled, late by chance; a WRITE's bytes become visible in
 * part before it is complete; and what tests set by hand: a port that is down, a device that is
 * frozen (as its host would be; what arrives waits for it).  An answer that is lost for good,
 * because the port went down, leaves a message executed whose sender is told that it failed, as in
 * life.
 */
#ifndef SMCU_FABRIC_SIM_NETWORK_H
#define SMCU_FABRIC_SIM_NETWORK_H

#include "fabric/fabric.h"

struct sim_network;

/**
 * struct sim_rates - how bad the network is
 * @seed: of all chance
 * @loss, @duplicates, @reordered: messages and answers of a million
 * @partial: of a million WRITEs: some bytes are there earlier
 * @delay_least, @delay_most: on the way, ns
 */
struct sim_rates {
	uint64_t seed;
	uint32_t loss;
	uint32_t duplicates;
	uint32_t reordered;
	uint32_t partial;
	uint64_t delay_least;
	uint64_t delay_most;
};

/* sim_network_create - NULL: no memory */
struct sim_network *sim_network_create(const struct sim_rates *rates);

/* sim_network_free - when its devices are closed */
void sim_network_free(struct sim_network *network);

/**
 * sim_device_open - a device on the network
 * @gid: its address
 * @pnetid: for fabric_port_query(), shorter than FABRIC_PNETID_SIZE; NULL: not known
 *
 * Return: 0; -EINVAL; -ENOMEM.
 */
int sim_device_open(struct sim_network *network, const struct fabric_gid *gid, const char *pnetid,
		    struct fabric_device **device);

/* sim_port_set - a port that is not active neither sends nor receives */
void sim_port_set(struct fabric_device *device, bool active);

/* sim_freeze_set - a device that is frozen does nothing when it is run */
void sim_freeze_set(struct fabric_device *device, bool frozen);

#endif
