/* SPDX-License-Identifier: MIT */
#include "daemon/follow.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>

#define SWITCHES_LEAST (FOLLOW_TURNS / 4)

void follow_saw(struct follow *follow, int processor)
{
	follow->seen++;
	if (processor < 0 || processor == sched_getcpu())
		return;
	follow->apart++;
	follow->processor = processor;
}

int follow_decide(struct follow *follow, long switches)
{
	const bool mostly_apart = follow->apart > follow->seen / 4 * 3;
	const bool crowded = switches - follow->switches >= (long)SWITCHES_LEAST;
	const int processor = mostly_apart && crowded ? follow->processor : -1;

	*follow = (struct follow){.switches = switches};
	return processor;
}

/* The kernel moves a thread at once if it may not stay; then it may again run everywhere. */
static void go_to(int processor)
{
	cpu_set_t allowed, there;

	if (processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof(allowed), &allowed) < 0 ||
	    !CPU_ISSET((size_t)processor, &allowed))
		return;
	CPU_ZERO(&there);
	CPU_SET((size_t)processor, &there);
	if (sched_setaffinity(0, sizeof(there), &there) == 0)
		(void)sched_setaffinity(0, sizeof(allowed), &allowed);
}

void follow_turn(struct follow *follow)
{
	struct rusage usage;
	int processor;

	if (++follow->turns < FOLLOW_TURNS || getrusage(RUSAGE_THREAD, &usage) < 0)
		return;
	processor = follow_decide(follow, usage.ru_nivcsw);
	if (processor >= 0)
		go_to(processor);
}
