/* SPDX-License-Identifier: MIT */
/*
 * Two devices with a network between them, of any backend; and one end of a connection, which
 * checks what it is told against what every backend must guarantee
 *
 * Theory of operation
 *
 * An end has a *window* that the peer writes into, from its start to its end without a gap, a
 * buffer that requests are sent from, and slots for receives.  What the n-th request carries
 * follows from the end's seed and n.  So whoever receives the message of a SEND knows all bytes
 * that must be in the window by then, and what the message must say.
 *
 * Each completion is looked at when it is polled: order, exactly once, only signalled ones or all
 * after an error, one cause, then flushed.  Before and behind each region lie bytes that must never
 * change.
 */
#ifndef SMCU_TESTS_FABRIC_WORLD_H
#define SMCU_TESTS_FABRIC_WORLD_H

#include "fabric/fabric.h"
#include "fabric/sim/network.h"
#include "fabric/sim/packets.h"
#include "fabric/soft/udp.h"

#include "../unit/unit.h"

enum world_kind { WORLD_SIM, WORLD_PACKETS, WORLD_UDP };

/**
 * struct world - two devices
 * @now: virtual time, but for WORLD_UDP
 */
struct world {
	enum world_kind kind;
	struct sim_network *messages;
	struct packet_network *packets;
	struct fabric_device *devices[2];
	struct fabric_gid gids[2];
	uint64_t now;
};

/* struct world_rates - of the network, as in the backends; @mtu: code of WORLD_PACKETS */
struct world_rates {
	uint64_t seed;
	uint32_t loss, damaged, duplicates, reordered, blocked, partial;
	uint64_t delay_most;
	unsigned int train_max;
	uint8_t mtu;
};

/* world_open - Return: false: this backend cannot be used here (UDP port 4791 is taken). */
bool world_open(struct world *world, enum world_kind kind, const struct world_rates *rates);

void world_close(struct world *world);

/* world_step - let time pass until something happens, @limit at the most, and run both devices */
void world_step(struct world *world, uint64_t limit);

#define END_REQUESTS_MAX 256U
#define END_SLOT_SIZE 20000U
#define END_SLOTS 16U
#define END_WINDOW_SIZE (1U << 20)
#define END_GUARD 64U

/* struct end_memory - a region with guards around it */
struct end_memory {
	uint8_t *block;
	uint8_t *at;
	size_t size;
	struct fabric_region *region;
};

/* struct end_request - what was posted; @window_end: bytes of the peer's window that are written when
 * it has been executed */
struct end_request {
	bool signaled;
	bool send;
	uint32_t length;
	uint32_t window_end;
};

/**
 * struct end - one end of a connection
 * @seed: of what it sends
 * @posted: requests; @completed: next one to be heard of; @received: next SEND of the peer's
 * requests
 * @receives_posted, @receives_completed: of its own receives
 * @window_sent: bytes of the peer's window that it has written
 * @failed: an error was heard of; @cause: the first one that is not FABRIC_FLUSHED
 * @flushing: a request failed: from there on all are heard of
 * @fatal_events, @fatal_status: heard
 */
struct end {
	struct fabric_device *device;
	struct fabric_domain *domain;
	struct fabric_queue_pair *pair;
	struct end *peer;
	struct end_memory window, buffer, slots;
	uint64_t seed;
	struct end_request requests[END_REQUESTS_MAX];
	unsigned int posted, completed, received;
	unsigned int receives_posted, receives_completed;
	uint32_t window_sent;
	bool failed, flushing;
	enum fabric_status cause;
	unsigned int fatal_events;
	enum fabric_status fatal_status;
};

/* struct end_options - zero: what SMC-R uses, and all of the port's MTU */
struct end_options {
	uint8_t mtu;
	uint8_t rnr_timer;
	uint8_t timeout;
	uint8_t retries;
	uint8_t rnr_retries;
	uint32_t depth;
	bool no_retries;
	bool no_remote_write;
};

/* ends_open - both ends of a connection, up to RTS */
void ends_open(struct world *world, struct end ends[2], const struct end_options *options,
	       uint64_t seed);

void ends_close(struct world *world, struct end ends[2]);

/* end_receive - post a receive; false: the queue is full */
bool end_receive(struct end *end);

/* end_send, end_write - post a request; false: the queue is full */
bool end_send(struct end *end, uint32_t length, unsigned int flags);
bool end_write(struct end *end, uint32_t length, unsigned int flags);

/* end_poll - look at everything that the device of both or one of these ends has to say */
void end_poll(struct end *end);

/* ends_run - steps, until all that was posted is completed, an end has failed, or time is over */
void ends_run(struct world *world, struct end ends[2], uint64_t time);

/* end_is_done - has every request been executed, as far as the end can know? */
bool end_is_done(const struct end *end);

/* end_is_flushed - after an error: has everything that was posted completed, and one event come? */
void end_is_flushed(const struct end *end);

/* ends_unhurt - nothing is written where it must not be */
void ends_unhurt(const struct end ends[2]);

#endif
