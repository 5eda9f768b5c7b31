/* SPDX-License-Identifier: MIT */
/*
 * What a thread's call holds while it copies, for a signal handler that jumps out of it
 *
 * A cleanup buffer (cleanup.h) for each copy would cost more than a small copy itself.  So who copies only
 * notes here what it holds, and the function that stands before each handler (handlers.c) pushes a buffer
 * if it has interrupted such a call.
 */
#ifndef SMCU_SHIM_HOLD_H
#define SMCU_SHIM_HOLD_H

#include <stdatomic.h>
#include <stddef.h>

struct connection;

/**
 * struct hold - of one thread
 * @abandon: gives it up; NULL: nothing is held
 * @connection: held by the call, to be put
 */
struct hold {
	void (*abandon)(struct connection *connection);
	struct connection *connection;
};

extern __thread struct hold hold __attribute__((tls_model("initial-exec")));

static inline void hold_begin(struct connection *connection,
			      void (*abandon)(struct connection *connection))
{
	hold.connection = connection;
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
