/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_CLOCK_H
#define SMCU_SHIM_CLOCK_H

#include <stdint.h>
#include <time.h>

/* now_ns - CLOCK_MONOTONIC in nanoseconds */
static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

#endif
