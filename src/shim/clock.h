/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_CLOCK_H
#define SMCU_SHIM_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define NEVER UINT64_MAX /* a deadline that does not come */
#define SECOND_NS 1000000000ULL

/* now_ns - CLOCK_MONOTONIC in nanoseconds */
static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/**
 * clock_deadline - when a valid @timeout that begins now is over, in now_ns()
 *
 * Return: 0 when there is nothing to wait; NEVER without a time-out, and with one of more than the 584
 * years that fit, where Linux, too, does not wait shorter.
 */
static inline uint64_t clock_deadline(const struct timespec *timeout)
{
	uint64_t now;

	if (!timeout)
		return NEVER;
	if (timeout->tv_sec == 0 && timeout->tv_nsec == 0)
		return 0;
	now = now_ns();
	if ((uint64_t)timeout->tv_sec >= (NEVER - now) / SECOND_NS)
		return NEVER;
	return now + (uint64_t)timeout->tv_sec * SECOND_NS + (uint64_t)timeout->tv_nsec;
}

/* clock_rest - what is left of a valid @timeout when @spent nanoseconds of it are over */
static inline struct timespec clock_rest(const struct timespec *timeout, uint64_t spent)
{
	struct timespec rest = {.tv_sec = timeout->tv_sec - (time_t)(spent / SECOND_NS),
				.tv_nsec = timeout->tv_nsec - (long)(spent % SECOND_NS)};

	if (rest.tv_nsec < 0) {
		rest.tv_sec--;
		rest.tv_nsec += (long)SECOND_NS;
	}
	return rest.tv_sec < 0 ? (struct timespec){0} : rest;
}

#endif
