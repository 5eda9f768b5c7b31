/* SPDX-License-Identifier: MIT */
/*
 * A simulated packet network: what carries soft devices in tests, instead of UDP
 *
 * Theory of operation
 *
 * Each device has an inbox.  A train that is sent is cut into packets; each is lost, damaged,
 * doubled or delayed by chance and put into the inbox of the device that has its destination
 * address.  The device takes what has arrived when it is run.  Time is what the caller says; the
 * same seed and the same calls give the same run, keys included.
 *
 * Packets from one device to another keep their order but for those that are reordered.
 */
#ifndef SMCU_FABRIC_SIM_PACKETS_H
#define SMCU_FABRIC_SIM_PACKETS_H

#include "fabric/fabric.h"

struct packet_network;

/**
 * struct packet_rates - how bad the network is
 * @seed: of all chance
 * @loss, @damaged, @duplicates, @reordered: packets of a million; of damaged ones some pass the
 * check where the addresses are IPv4 (soft/check.h)
 * @blocked: of a million trains: there is no room for it for some time
 * @delay_least, @delay_most: on the way, ns
 * @train_max: packets that a train may have, 1 to 64
 */
struct packet_rates {
	uint64_t seed;
	uint32_t loss;
	uint32_t damaged;
	uint32_t duplicates;
	uint32_t reordered;
	uint32_t blocked;
	uint64_t delay_least;
	uint64_t delay_most;
	unsigned int train_max;
};

/* packet_network_create - NULL: no memory */
struct packet_network *packet_network_create(const struct packet_rates *rates);

/* packet_network_free - when its devices are closed */
void packet_network_free(struct packet_network *network);

/**
 * packet_device_open - a soft device on the network
 * @gid: its address
 * @mtu: of its port, a code
 *
 * Return: 0 or -ENOMEM.
 */
int packet_device_open(struct packet_network *network, const struct fabric_gid *gid, uint8_t mtu,
		       struct fabric_device **device);

/* packet_port_set - a port that is not active neither sends nor receives */
void packet_port_set(struct fabric_device *device, bool active);

#endif
