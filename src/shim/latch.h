/* SPDX-License-Identifier: MIT */
/*
 * Locks for short work, which no signal handler of the program's can leave half done
 *
 * Theory of operation
 *
 * A handler may jump out of what it has interrupted and never come back: what was locked there would stay
 * locked for ever.  Where a call copies, and may copy for long, it notes what to give up then (hold.h).
 * All else is short, and there the handler waits: the function before each handler (handlers.c) sees that
 * its thread has latches, blocks the signal in what was interrupted and sends it to the thread once more; with
 * the last latch it is let in.  So handlers see nothing of ours half done either.
 */
#ifndef SMCU_SHIM_LATCH_H
#define SMCU_SHIM_LATCH_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "ring/lock.h"
#include "shim/libc.h"

/**
 * struct latches - of one thread
 * @waiting: signals that wait for the last of them, bit 0 is signal 1
 * @held: how many
 */
struct latches {
	volatile uint64_t waiting;
	volatile uint32_t held;
};

extern __thread struct latches latches __attribute__((tls_model("initial-exec")));

/**
 * latch_puts_off - does a handler have to wait for what it has interrupted?
 * @flags, @info, @interrupted: of its sigaction(2), and what the kernel gave it
 *
 * Not in a sandbox, which may end who asks for that, nor with SA_RESETHAND: the handler is gone when it is called.
 * (And not without SA_SIGINFO on processors where the kernel then gives no context.)
 */
bool latch_puts_off(int number, int flags, siginfo_t *info, ucontext_t *interrupted);

/* latch_let_in - the signals that wait */
void latch_let_in(void);

/**
 * latch_set_aside - a handler that does not wait has its own latches, and leaves those that do where they are
 *
 * Return: what latch_give_back() is to have when it returns.
 */
struct latches latch_set_aside(void);
void latch_give_back(struct latches aside, int flags, ucontext_t *interrupted);

static inline void latch_begin(void)
{
	latches.held = latches.held + 1;
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void latch_end(void)
{
	const uint32_t held = latches.held;

	atomic_signal_fence(memory_order_seq_cst);
	if (held)
		latches.held = held - 1;
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(latches.waiting != 0, 0) && held <= 1)
		latch_let_in();
}

/* latch_pause - none, as long as it may be left for good; latch_resume() gives them back */
static inline uint32_t latch_pause(void)
{
	const uint32_t held = latches.held;

	atomic_signal_fence(memory_order_seq_cst);
	latches.held = 0;
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(latches.waiting != 0, 0))
		latch_let_in();
	return held;
}

static inline void latch_resume(uint32_t held)
{
	latches.held = held;
	atomic_signal_fence(memory_order_seq_cst);
}

/* latch_after_fork - the child has none of them */
static inline void latch_after_fork(void)
{
	(void)latch_pause();
}

/* latch_try, latch_take, latch_drop - as lock_*(); who waits for the lock has no latch yet */
static inline bool latch_try(_Atomic uint32_t *word)
{
	latch_begin();
	if (lock_try(word, thread_id()))
		return true;
	latch_end();
	return false;
}

int latch_take_slowly(_Atomic uint32_t *word);

static inline int latch_take(_Atomic uint32_t *word)
{
	return __builtin_expect(latch_try(word), 1) ? 0 : latch_take_slowly(word);
}

static inline void latch_drop(_Atomic uint32_t *word)
{
	lock_drop(word);
	latch_end();
}

#endif
