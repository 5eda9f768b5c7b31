/* SPDX-License-Identifier: MIT */
/*
 * The messages of the simulated fabric, and the two halves of its queue pairs
 *
 * Used by network.c, whose theory of operation is in network.h.
 */
#ifndef SMCU_FABRIC_SIM_MESSAGE_H
#define SMCU_FABRIC_SIM_MESSAGE_H

#include "fabric/base.h"
#include "fabric/sim/inbox.h"
#include "fabric/sim/network.h"

#define SIM_DEVICES_MAX 16U

enum sim_kind {
	SIM_SEND,
	SIM_WRITE,
	SIM_WRITE_PART, /* some bytes of the WRITE with this sequence number, ahead of it */
	SIM_ACK,
	SIM_MISSING,
	SIM_NOT_READY,
	SIM_REFUSED,
};

/**
 * struct sim_message - on its way
 * @from: address of its sender; @from_pair, @to_pair: numbers of the queue pairs
 * @sequence: of a request; of an answer: all before it are executed
 * @address, @key: of a WRITE
 * @status: of a refusal: what the sender is told
 * @rnr_timer: code
 * @length: of @bytes
 */
struct sim_message {
	enum sim_kind kind;
	struct fabric_gid from;
	uint32_t from_pair;
	uint32_t to_pair;
	uint32_t sequence;
	uint64_t address;
	uint32_t key;
	enum fabric_status status;
	uint8_t rnr_timer;
	uint32_t length;
	uint8_t bytes[];
};

/**
 * struct sim_pair - a queue pair
 * @expected: number of the request that is executed next
 * @quiet: the peer was told that one is missing, or of no receive
 * @oldest: number of the oldest request; @sent: how many were sent since
 * @waiting: the peer had no receive
 * @rnr_left: how often it still may have none
 * @timer: when to send again; FABRIC_NEVER
 * @progress: when something last succeeded, or was first sent
 * @latest: when that arrives which was last sent and not reordered
 * @posted: there are requests that nobody has looked at
 * @link: in the device's list of those in RTS, if @listed
 */
struct sim_pair {
	struct base_pair base;
	TAILQ_ENTRY(sim_pair) link;
	bool listed;
	bool posted;
	uint32_t expected;
	bool quiet;
	uint32_t oldest;
	uint32_t sent;
	bool waiting;
	uint8_t rnr_left;
	uint64_t timer;
	uint64_t progress;
	uint64_t latest;
};

/* struct sim_device - a device; @sending: its queue pairs in RTS */
struct sim_device {
	struct base_device base;
	struct sim_network *network;
	struct fabric_gid gid;
	struct fabric_port port;
	struct inbox inbox;
	uint64_t now;
	bool frozen;
	TAILQ_HEAD(sim_sending, sim_pair) sending;
};

/**
 * struct sim_network - see network.h
 * @random: state of all chance
 */
struct sim_network {
	struct sim_rates rates;
	uint64_t random;
	struct sim_device *devices[SIM_DEVICES_MAX];
};

static inline struct sim_device *sim_device_of(struct sim_pair *pair)
{
	return (struct sim_device *)pair->base.fabric.device;
}

/* sim_message_create - to the peer of @pair; NULL: no memory, as good as lost */
struct sim_message *sim_message_create(struct sim_pair *pair, enum sim_kind kind, uint32_t sequence,
				       uint32_t length);

/* sim_message_send - it belongs to the network then */
void sim_message_send(struct sim_pair *pair, struct sim_message *message);

/* sim_request_arrived, sim_answer_arrived - at its queue pair, which is in RTR or RTS, or RTS */
void sim_request_arrived(struct sim_pair *pair, const struct sim_message *message);
void sim_answer_arrived(struct sim_pair *pair, const struct sim_message *message);

/* sim_send_requests - those that may be sent now */
void sim_send_requests(struct sim_pair *pair);

/* sim_timeout - sim_pair.timer has come */
void sim_timeout(struct sim_pair *pair);

#endif
