/* SPDX-License-Identifier: MIT */
/*
 * Chance that comes out the same each time
 */
#ifndef SMCU_FABRIC_SIM_RANDOM_H
#define SMCU_FABRIC_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_MILLION 1000000U

/* sim_random - 64 bits; @state: moved on */
static inline uint64_t sim_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* sim_random_between - @least to @most */
static inline uint64_t sim_random_between(uint64_t *state, uint64_t least, uint64_t most)
{
	return least + sim_random(state) % (most - least + 1);
}

/* sim_happens - something that happens @rate times in a million */
static inline bool sim_happens(uint64_t *state, uint32_t rate)
{
	return rate && sim_random(state) % SIM_MILLION < rate;
}

#endif
