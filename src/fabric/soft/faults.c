/* SPDX-License-Identifier: MIT */
#include "fabric/soft/faults.h"

#include <stdlib.h>
#include <string.h>

#define MILLION 1000000U
#define PASSES_MAX 8U
#define HOLD_NS 3000000U

static uint64_t random_next(struct faults *faults)
{
	uint64_t z = faults->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static bool happens(struct faults *faults, uint32_t rate)
{
	return rate && random_next(faults) % MILLION < rate;
}

void faults_init(struct faults *faults, const struct fault_rates *rates)
{
	*faults = (struct faults){.rates = *rates, .random = rates->seed};
}

void faults_free(struct faults *faults)
{
	for (unsigned int i = 0; i < faults->count; i++)
		free(faults->held[i].bytes);
	faults->count = 0;
}

static void release(struct faults *faults, struct soft_device *device, unsigned int index)
{
	struct fault_held held = faults->held[index];

	faults->held[index] = faults->held[--faults->count];
	soft_receive(device, &held.datagram);
	free(held.bytes);
}

static bool hold(struct faults *faults, const struct soft_datagram *datagram, uint64_t now)
{
	struct fault_held *held = &faults->held[faults->count];
	uint8_t *bytes = faults->count < FAULTS_HELD ? malloc(datagram->size) : NULL;

	if (!bytes)
		return false;
	memcpy(bytes, datagram->bytes, datagram->size);
	*held = (struct fault_held){
		.datagram = *datagram,
		.bytes = bytes,
		.passes = 1 + (unsigned int)(random_next(faults) % PASSES_MAX),
		.deadline = now + HOLD_NS,
	};
	held->datagram.bytes = bytes;
	faults->count++;
	return true;
}

void faults_receive(struct faults *faults, struct soft_device *device,
		    const struct soft_datagram *datagram, uint64_t now)
{
	if (happens(faults, faults->rates.loss))
		return;
	if (happens(faults, faults->rates.duplicates))
		soft_receive(device, datagram);
	if (happens(faults, faults->rates.reordered) && hold(faults, datagram, now))
		return;
	soft_receive(device, datagram);
	for (unsigned int i = faults->count; i > 0; i--)
		if (--faults->held[i - 1].passes == 0)
			release(faults, device, i - 1);
}

void faults_release(struct faults *faults, struct soft_device *device, uint64_t now)
{
	for (unsigned int i = faults->count; i > 0; i--)
		if (faults->held[i - 1].deadline <= now)
			release(faults, device, i - 1);
}

uint64_t faults_deadline(const struct faults *faults)
{
	uint64_t deadline = FABRIC_NEVER;

	for (unsigned int i = 0; i < faults->count; i++)
		if (faults->held[i].deadline < deadline)
			deadline = faults->held[i].deadline;
	return deadline;
}
