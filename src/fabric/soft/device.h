/* SPDX-License-Identifier: MIT */
/*
 * The soft adapter, without its sockets: RoCEv2 reliable connections as packets in and packets out
 *
 * Theory of operation
 *
 * A soft device is driven through a *transport*, which is UDP sockets (udp.h) or a simulated
 * network (sim/packets.h): the transport hands in datagrams with soft_receive() and takes *trains*,
 * equal datagrams to one destination in one buffer.  There is no clock in here, no randomness and
 * no system call.
 *
 * Each queue pair has a requester (requester.h) and a responder (responder.h).  Neither sends by
 * itself: they say that something is due, which puts the queue pair in the list of *active* ones,
 * and soft_output() takes turns through that list, first some packets, then the answer, which is the shortest and
 * so leaves in their train.  So a batch of datagrams that came in together is answered once, and a full transport
 * stops everything at one place.
 *
 * The answer to a single message is *held* as long as more is to be sent soon (fabric_flush()), but not for longer
 * than SOFT_HOLD: a request and its answer, of the programs above, are then sent and received twice instead of
 * four times.
 *
 * A queue pair that waits for something is in the list of *timed* ones.
 *
 * A datagram touches a queue pair only if it is for a number that exists, in RTR or RTS, comes from
 * the address and goes to the address that this queue pair is connected with, has the default
 * partition key and a correct ICRC.  What does not is counted and dropped, never answered.
 */
#ifndef SMCU_FABRIC_SOFT_DEVICE_H
#define SMCU_FABRIC_SOFT_DEVICE_H

#include "fabric/base.h"
#include "fabric/soft/heading.h"
#include "fabric/soft/requester.h"
#include "fabric/soft/responder.h"
#include "wire/roce.h"

#define SOFT_TRAIN_SIZE 65000U /* what a segmented send may have, and a little less */
#define SOFT_TRAIN_COUNT 64U
#define SOFT_PACKET_MAX (ROCE_HEADERS_MAX + 4096U + ROCE_ICRC_SIZE)
#define SOFT_IDS_CACHED 16U
#define SOFT_HOLD 50000U /* nanoseconds: less than a peer that waits for the answer notices */

/**
 * struct soft_train - datagrams to one destination: all of @segment bytes, but the last may be
 * shorter
 * @path: from where to where; the destination port is ROCE_PORT
 * @gid_index: of the source
 * @count: datagrams; the n-th of them has the IPv4 identification n
 * @segment: bytes of the first
 * @size: bytes of all
 */
struct soft_train {
	struct roce_path path;
	unsigned int gid_index;
	unsigned int count;
	uint32_t segment;
	uint32_t size;
	uint8_t bytes[SOFT_TRAIN_SIZE];
};

/**
 * struct soft_transport - where packets go to and come from
 * @receive: hand what has arrived to soft_receive()
 * @train: an empty train, which is sent with the next @send; NULL: there is no room now
 * @send: send the trains that were filled
 * @blocked: does @train give NULL until time has passed or the descriptor is ready?
 * @deadline: when to be called at the latest
 * @descriptor: for fabric_descriptor()
 * @source_port: which one to send from; @flow: the same for packets that must stay in order
 * @close: the device is closed
 */
struct soft_transport {
	void (*receive)(void *context, uint64_t now);
	struct soft_train *(*train)(void *context);
	void (*send)(void *context, uint64_t now);
	bool (*blocked)(void *context);
	uint64_t (*deadline)(void *context);
	int (*descriptor)(void *context);
	uint16_t (*source_port)(void *context, unsigned int gid_index, uint32_t flow);
	void (*close)(void *context);
};

/**
 * struct soft_counters - what happened, since the device was opened
 * @sent, @received: packets; @trains: sends
 * @repeated: packets sent again; @timeouts: of these, how often because there was no answer
 * @gaps: requests that arrived before one that was missing; @duplicates: a second time
 * @not_ready: answers that there is no receive
 * @refused: answers that a request is wrong
 * @bad_length, @bad_icrc, @bad_partition, @stranger, @unknown: dropped: too short or of another
 * kind, damaged, of another partition, from an address that is not the peer's, for no queue pair
 */
struct soft_counters {
	uint64_t sent, received, trains;
	uint64_t repeated, timeouts;
	uint64_t gaps, duplicates, not_ready, refused;
	uint64_t bad_length, bad_icrc, bad_partition, stranger, unknown;
};

/**
 * struct soft_pair - a queue pair
 * @route: to the peer
 * @own_kind: packets in a row with an identification that a soft device would send, see check.h
 * @active: it is in the list of those with something to send
 * @timed: it is in the list of those that wait
 */
struct soft_pair {
	struct base_pair base;
	struct roce_path route;
	uint8_t own_kind;
	uint32_t mtu;
	struct requester requester;
	struct responder responder;
	TAILQ_ENTRY(soft_pair) active_link;
	TAILQ_ENTRY(soft_pair) timed_link;
	bool active;
	bool timed;
};

/**
 * struct soft_device - a device; made by a transport, which sets @port and @gids
 * @transport, @context: where packets go
 * @gid_set: a bit for each of @gids that there is
 * @now: of the latest call
 * @train: the one that is being filled, or NULL
 * @train_max: datagrams that a train may have
 * @ids: how identifications enter the ICRC of some lengths; @id_lengths: which; 0: none
 * @headings: see heading.h
 */
struct soft_device {
	struct base_device base;
	const struct soft_transport *transport;
	void *context;
	struct fabric_port port;
	struct fabric_gid gids[FABRIC_GIDS_MAX];
	unsigned int gid_set;
	uint64_t now;
	bool more;
	struct soft_train *train;
	unsigned int train_max;
	TAILQ_HEAD(soft_active, soft_pair) active;
	TAILQ_HEAD(soft_timed, soft_pair) timed;
	struct roce_ids ids[SOFT_IDS_CACHED];
	size_t id_lengths[SOFT_IDS_CACHED];
	struct heading headings[HEADINGS];
	struct soft_counters counters;
};

/**
 * struct soft_datagram - what arrived
 * @path: from where, to where
 * @bytes, @size: the UDP payload; not changed, nor looked at after soft_receive()
 */
struct soft_datagram {
	struct roce_path path;
	const uint8_t *bytes;
	size_t size;
};

static inline struct soft_device *soft_device_of(struct soft_pair *pair)
{
	return (struct soft_device *)pair->base.fabric.device;
}

/**
 * soft_device_init - make a device
 * @device: zeroed; belongs to the transport, which frees it in its close
 * @train_max: 1 where a transport cannot segment, at most SOFT_TRAIN_COUNT
 * @random: for keys, addresses and numbers
 */
void soft_device_init(struct soft_device *device, const struct soft_transport *transport,
		      void *context, unsigned int train_max, uint64_t (*random)(void *context));

/* soft_receive - a datagram to ROCE_PORT of one of our addresses */
void soft_receive(struct soft_device *device, const struct soft_datagram *datagram);

/* soft_activate - the queue pair has something to send */
void soft_activate(struct soft_pair *pair);

/* soft_timed - the deadline for which the queue pair waits has changed: requester.timer, or responder.held_until */
void soft_timed(struct soft_pair *pair);

/* soft_counters - of a device whose backend is soft */
const struct soft_counters *soft_counters(const struct fabric_device *device);

#endif
