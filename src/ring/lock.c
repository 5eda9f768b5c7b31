/* SPDX-License-Identifier: MIT */
#include "ring/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "ring/side.h"
#include "ring/wait.h"

#define YIELDS_BEFORE_SLEEP 50
#define TRIES_BEFORE_DOUBT 70 /* some 20 ms: nobody copies for so long */
#define TRIES_BEFORE_PATIENCE 80 /* then each sleep is longer, up to PATIENCE times */
#define PATIENCE 16
#define MOMENT_NS 1000000
#define QUIET_PAUSES 100000000U /* some seconds */

_Atomic bool lock_is_quiet;

/*
 * A killed process keeps its number until it is waited for, and who should wait for it may be who
 * waits here; but it has no memory any more.
 */
static bool thread_is_dead(uint32_t tid)
{
	char byte = 0;
	const struct iovec iov = {.iov_base = &byte, .iov_len = 1};

	return process_vm_readv((pid_t)tid, &iov, 1, &iov, 1, 0) < 0 && errno == ESRCH;
}

static bool thread_has_no_number(uint32_t tid)
{
	return syscall(SYS_tkill, (pid_t)tid, 0) < 0 && errno == ESRCH;
}

bool lock_thread_is_gone(uint32_t tid)
{
	const int saved = errno;
	const bool gone = thread_has_no_number(tid) || thread_is_dead(tid);

	errno = saved;
	return gone;
}

static bool thread_is_gone(uint32_t tid, unsigned int tries)
{
	if (tries <= YIELDS_BEFORE_SLEEP)
		return false;
	/* Where a crowd waits for a living holder, the question is what holds it up. */
	if (tries > TRIES_BEFORE_PATIENCE && tries % PATIENCE)
		return false;
	if (thread_has_no_number(tid))
		return true;
	return tries > TRIES_BEFORE_DOUBT && thread_is_dead(tid);
}

static void sleep_on(_Atomic uint32_t *word, uint32_t value, unsigned int tries)
{
	const unsigned int beyond =
		tries > TRIES_BEFORE_PATIENCE ? tries - TRIES_BEFORE_PATIENCE : 0;
	const struct timespec moment = {
		.tv_nsec = MOMENT_NS * (long)(beyond < PATIENCE ? beyond + 1 : PATIENCE)};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &moment, NULL, 0);
}

static int take_quietly(_Atomic uint32_t *word, uint32_t tid)
{
	uint32_t value = atomic_load(word);

	for (unsigned int pauses = 0; value && pauses < QUIET_PAUSES; pauses++) {
		if ((value & ~SIDE_LOCK_WAITERS) == tid)
			return -EDEADLK;
		wait_pause();
		value = atomic_load(word);
	}
	/* Of several that give up on the holder, one is first. */
	return atomic_compare_exchange_strong(word, &value, tid) ? 0 : take_quietly(word, tid);
}

int lock_take_step(_Atomic uint32_t *word, uint32_t tid, unsigned int tries)
{
	uint32_t value = atomic_load_explicit(word, memory_order_relaxed);
	uint32_t holder = value & ~SIDE_LOCK_WAITERS;

	if (lock_is_quiet)
		return take_quietly(word, tid);
	if (holder == tid)
		return -EDEADLK;
	if (value == 0 || thread_is_gone(holder, tries)) {
		/* Somebody may still wait: say so for them. */
		uint32_t mine = tries > YIELDS_BEFORE_SLEEP ? tid | SIDE_LOCK_WAITERS : tid;

		return atomic_compare_exchange_strong(word, &value, mine) ? 0 : -EAGAIN;
	}
	if (tries <= YIELDS_BEFORE_SLEEP)
		sched_yield();
	else if ((value & SIDE_LOCK_WAITERS) ||
		 atomic_compare_exchange_strong(word, &value, value | SIDE_LOCK_WAITERS))
		sleep_on(word, value | SIDE_LOCK_WAITERS, tries);
	return -EAGAIN;
}

int lock_take_slowly(_Atomic uint32_t *word, uint32_t tid)
{
	const int saved = errno;
	int error = -EAGAIN;

	for (unsigned int tries = 0; error == -EAGAIN; tries++)
		error = lock_take_step(word, tid, tries);
	errno = saved;
	return error;
}

void lock_wake(_Atomic uint32_t *word)
{
	const int saved = errno;

	if (lock_is_quiet)
		return; /* a waiter's sleep is short */
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	errno = saved;
}
