/* SPDX-License-Identifier: MIT */
#include "ring/wait.h"

#include <sched.h>

void wait_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	/* Not "pause": a hypervisor may take many of them in a row for a lock held by a sleeper. */
	for (int i = 0; i < 4; i++)
		__asm__ volatile("lfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

bool wait_step(struct wait *wait)
{
	switch (wait_next(wait)) {
	case WAIT_PAUSE:
		wait_pause();
		return true;
	case WAIT_YIELD:
		sched_yield();
		return true;
	default:
		return false;
	}
}
