/* SPDX-License-Identifier: MIT */
/*
 * What a thread's call holds while it copies, for a signal handler that jumps out of it
 *
 * A cleanup buffer (cleanup.h) for each copy would cost more than a small copy itself.  So who copies only
 * notes here what it holds, and the function that stands before each handler (handlers.c) pushes a buffer
 * if it has interrupted such a call.  So does who is in the kernel in a program of one thread, where nobody
 * else can cancel it.
 */
#ifndef SMCU_SHIM_HOLD_H
#define SMCU_SHIM_HOLD_H

#include <stdatomic.h>
#include <stddef.h>

/**
 * struct hold - of one thread
 * @abandon: gives @what up; NULL: nothing is held
 * @what: mostly the connection, a reference to which the call has
 */
struct hold {
	void (*abandon)(void *what);
	void *what;
};

extern __thread struct hold hold __attribute__((tls_model("initial-exec")));

static inline void hold_begin(void *what, void (*abandon)(void *what))
{
	hold.what = what;
	atomic_signal_fence(memory_order_seq_cst);
	hold.abandon = abandon;
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void hold_end(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	hold.abandon = NULL;
	atomic_signal_fence(memory_order_seq_cst);
}

#endif
