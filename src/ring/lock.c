/* SPDX-License-Identifier: MIT */
#include "ring/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ring/side.h"

#define YIELDS_BEFORE_SLEEP 50

static bool thread_is_gone(uint32_t tid)
{
	return syscall(SYS_tkill, (pid_t)tid, 0) < 0 && errno == ESRCH;
}

static void sleep_on(_Atomic uint32_t *word, uint32_t value)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &moment, NULL, 0);
}

int lock_take_slowly(_Atomic uint32_t *word, uint32_t tid)
{
	const int saved = errno;

	for (unsigned int tries = 0;; tries++) {
		uint32_t value = atomic_load_explicit(word, memory_order_relaxed);
		uint32_t holder = value & ~SIDE_LOCK_WAITERS;

		if (holder == tid)
			return -EDEADLK;
		if (value == 0 || (tries > YIELDS_BEFORE_SLEEP && thread_is_gone(holder))) {
			/* Somebody may still wait: say so for them. */
			uint32_t mine = tries > YIELDS_BEFORE_SLEEP ? tid | SIDE_LOCK_WAITERS : tid;

			if (atomic_compare_exchange_strong(word, &value, mine))
				break;
			continue;
		}
		if (tries <= YIELDS_BEFORE_SLEEP) {
			sched_yield();
			continue;
		}
		if (!(value & SIDE_LOCK_WAITERS) &&
		    !atomic_compare_exchange_strong(word, &value, value | SIDE_LOCK_WAITERS))
			continue;
		sleep_on(word, value | SIDE_LOCK_WAITERS);
	}
	errno = saved;
	return 0;
}

void lock_wake(_Atomic uint32_t *word)
{
	const int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	errno = saved;
}
