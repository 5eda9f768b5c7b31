/* SPDX-License-Identifier: MIT */
/*
 * Counting without the processor's lock where nobody else counts
 *
 * A counter that only the process's one thread changes is changed by the handlers that interrupt it, too.  They come
 * before or after an instruction, never in its middle: one that adds to memory is enough, and costs a fifth of the same
 * with the lock.  Around a small call on a TCP connection five of them are half of what we add to it.
 *
 * What is in a side record may be counted by other holders, which are processes: count_is_ours().  That becomes
 * otherwise by calls of this thread alone.
 */
#ifndef SMCU_SHIM_COUNT_H
#define SMCU_SHIM_COUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>

#include "ring/side.h"

#ifdef __x86_64__
#define COUNT_BY_ONE_INSTRUCTION 1
#else
#define COUNT_BY_ONE_INSTRUCTION 0
#endif

/* count_is_private - is there no other thread that counts in what is this process's own? */
static inline bool count_is_private(void)
{
	return COUNT_BY_ONE_INSTRUCTION && __builtin_expect(__libc_single_threaded, 1);
}

/* count_is_ours - and no other holder of that end of a connection? */
static inline bool count_is_ours(const struct side_record *side)
{
	return count_is_private() &&
	       __builtin_expect(atomic_load_explicit(&side->holders, memory_order_relaxed) == 1, 1);
}

/* count_up, count_down - @ours: one of the two above; count_down: is it zero now? */
static inline void count_up(_Atomic uint32_t *word, bool ours)
{
#ifdef __x86_64__
	if (ours) {
		__asm__ volatile("incl %0" : "+m"(*(uint32_t *)word) : : "cc", "memory");
		return;
	}
#endif
	atomic_fetch_add(word, 1);
}

static inline bool count_down(_Atomic uint32_t *word, bool ours)
{
#ifdef __x86_64__
	bool zero;

	if (ours) {
		__asm__ volatile("decl %0" : "+m"(*(uint32_t *)word), "=@ccz"(zero) : : "memory");
		return zero;
	}
#endif
	return atomic_fetch_sub(word, 1) == 1;
}

/* count_more - the same for @n of something */
static inline void count_more(_Atomic uint64_t *word, uint64_t n, bool ours)
{
#ifdef __x86_64__
	if (ours) {
		__asm__ volatile("addq %1, %0" : "+m"(*(uint64_t *)word) : "r"(n) : "cc", "memory");
		return;
	}
#endif
	atomic_fetch_add_explicit(word, n, memory_order_relaxed);
}

#endif
