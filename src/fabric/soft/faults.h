/* SPDX-License-Identifier: MIT */
/*
 * Loss, duplication and reordering of single packets, for tests of a real network path
 *
 * Theory of operation
 *
 * Packets leave in segmented sends, which everything below sees as one; so they are spoilt where
 * they arrive, after the receiver has cut them apart.  A packet is lost, handed in twice, or kept
 * back until some others have passed it, or some time.
 */
#ifndef SMCU_FABRIC_SOFT_FAULTS_H
#define SMCU_FABRIC_SOFT_FAULTS_H

#include "fabric/soft/device.h"

#define FAULTS_HELD 32U

/**
 * struct fault_rates - how often, of a million packets
 * @seed: the same seed spoils the same packets
 * @loss, @duplicates, @reordered: independent of each other
 */
struct fault_rates {
	uint64_t seed;
	uint32_t loss;
	uint32_t duplicates;
	uint32_t reordered;
};

/* struct fault_held - a packet kept back: @passes others may pass, or until @deadline */
struct fault_held {
	struct soft_datagram datagram;
	uint8_t *bytes;
	unsigned int passes;
	uint64_t deadline;
};

/**
 * struct faults - between a socket and a device
 * @random: state
 * @held: packets kept back, @count of them
 */
struct faults {
	struct fault_rates rates;
	uint64_t random;
	struct fault_held held[FAULTS_HELD];
	unsigned int count;
};

void faults_init(struct faults *faults, const struct fault_rates *rates);

void faults_free(struct faults *faults);

/* faults_receive - hand a datagram to the device, or not, or twice, or later */
void faults_receive(struct faults *faults, struct soft_device *device,
		    const struct soft_datagram *datagram, uint64_t now);

/* faults_release - hand in what was kept back long enough */
void faults_release(struct faults *faults, struct soft_device *device, uint64_t now);

/* faults_deadline - when faults_release() has something to do */
uint64_t faults_deadline(const struct faults *faults);

#endif
