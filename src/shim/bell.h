/* SPDX-License-Identifier: MIT */
/*
 * Ringing the peer and arming our own doorbells (see ring/doorbell.h)
 */
#ifndef SMCU_SHIM_BELL_H
#define SMCU_SHIM_BELL_H

#include "shim/connection.h"

enum bell { BELL_DATA = 0, BELL_SPACE = 1 };

static inline int bell_fd(const struct connection *connection, enum bell bell)
{
	return bell == BELL_DATA ? connection->data_bell : connection->space_bell;
}

/* bell_answer - ring who has armed that word, if nobody else does: both or neither (latch.h); true: we did */
bool bell_answer(struct connection *connection, _Atomic uint32_t *armed, enum bell bell);

/* bell_tell_reader - we wrote, or set a mark: wake the peer's readers if they sleep */
static inline void bell_tell_reader(struct connection *connection)
{
	_Atomic uint32_t *armed = &peer_armed(connection)->wants_data;

	atomic_thread_fence(memory_order_seq_cst);
	if (__builtin_expect(atomic_load_explicit(armed, memory_order_relaxed) != 0, 0) &&
	    bell_answer(connection, armed, BELL_DATA))
		ring_end_run(&connection->send);
}

/**
 * bell_tell_writer - we read: wake the peer's writers if they sleep and there is room enough
 * @before: bytes that were in the ring before we read
 *
 * A writer arms its bell only while less than a third is free (ring_writable()), so only the read
 * that frees the third has to look: it is the one that the writer's own second look would miss.
 */
static inline void bell_tell_writer(struct connection *connection, size_t before)
{
	_Atomic uint32_t *armed = &peer_writer(connection)->wants_space;

	if (before < connection->receive.bytes / 3)
		return;

	atomic_thread_fence(memory_order_seq_cst);
	if (__builtin_expect(atomic_load_explicit(armed, memory_order_relaxed) != 0, 0) &&
	    ring_available(&connection->receive) <= connection->receive.bytes / 3 * 2)
		(void)bell_answer(connection, armed, BELL_SPACE);
}

/**
 * bell_arm - drain what was rung and ask to be rung again
 *
 * The caller looks at the ring once more afterwards, and only then sleeps.
 */
void bell_arm(struct connection *connection, enum bell bell);

/* bell_seen - a wait found the bell readable: the next bell_arm() drains it */
static inline void bell_seen(struct connection *connection, enum bell bell)
{
	atomic_store_explicit(&connection->bell_rung[bell], true, memory_order_relaxed);
}

#endif
