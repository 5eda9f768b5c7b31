/* SPDX-License-Identifier: MIT */
/*
 * A lock in shared memory that survives its holder
 *
 * The word holds the holder's thread id.  A holder copies what its call can move now, piece by piece: as
 * long as the ring has room or data, which for a large call and a peer that keeps up is all of it.  It
 * does not wait with the lock, for the peer, a file or a pipe.  (One exception: bytes spliced into a pipe
 * that cannot be written without waiting, a FIFO, where another writer takes the room at that moment.)
 * Who waits yields, then sleeps on the word for a millisecond at a time (later for up to 16), and takes
 * the lock over from a thread that no longer exists, or that is dead and not yet waited for.
 * What the lock guards must be consistent at each instruction, since its holder may be killed at
 * any.
 */
#ifndef SMCU_RING_LOCK_H
#define SMCU_RING_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Set in a process that may not make system calls: who waits only pauses, and takes the lock over after
 * some seconds, since it cannot ask whether the holder lives; nobody is woken.
 */
extern _Atomic bool lock_is_quiet;

/**
 * lock_take - take the lock, waiting for it
 * @tid: the calling thread's id
 *
 * Return: 0, or -EDEADLK when this very thread holds it (a signal handler interrupted the holder).
 */
int lock_take_slowly(_Atomic uint32_t *word, uint32_t tid);

/**
 * lock_take_step - the @tries-th attempt of lock_take_slowly(), or a short wait
 *
 * Return: 0, -EAGAIN: not yet, or -EDEADLK.  May change errno.
 */
int lock_take_step(_Atomic uint32_t *word, uint32_t tid, unsigned int tries);

/* lock_try - take the lock if it is free */
static inline bool lock_try(_Atomic uint32_t *word, uint32_t tid)
{
	uint32_t free = 0;

	return atomic_compare_exchange_strong_explicit(word, &free, tid, memory_order_seq_cst,
						       memory_order_relaxed);
}

static inline int lock_take(_Atomic uint32_t *word, uint32_t tid)
{
	return lock_try(word, tid) ? 0 : lock_take_slowly(word, tid);
}

void lock_wake(_Atomic uint32_t *word);

/* lock_thread_is_gone - does the thread exist no longer, or is it dead and not yet waited for? */
bool lock_thread_is_gone(uint32_t tid);

/*
 * Without waiters a plain store is enough, and half the price: who marks himself between the look and
 * the store sleeps his moment out.
 */
static inline void lock_drop(_Atomic uint32_t *word)
{
	if (!(atomic_load_explicit(word, memory_order_relaxed) & 0x80000000U))
		atomic_store_explicit(word, 0, memory_order_release);
	else if (atomic_exchange_explicit(word, 0, memory_order_release) & 0x80000000U)
		lock_wake(word);
}

#endif
