/* SPDX-License-Identifier: MIT */
/*
 * What stream.c, stream_receive.c and stream_send.c share
 */
#ifndef SMCU_SHIM_STREAM_COMMON_H
#define SMCU_SHIM_STREAM_COMMON_H

#include "shim/libc.h"
#include "shim/place.h"
#include "shim/stream.h"

/* stream_time_to_look - coarse time has moved since the @last look at TCP; sets that */
bool stream_time_to_look(_Atomic uint64_t *last);

/**
 * stream_receive_tcp - while the direction has not moved: TCP, and not beyond the switching bytes
 *
 * Nobody sleeps there beside another, who would not be woken by what comes in the ring.
 *
 * Return: bytes or -errno; -ESTALE: nothing there, wait for TCP and the bell together.
 */
ssize_t stream_receive_tcp(struct connection *connection, int fd, const struct place *place,
			   int flags, struct call *call);

/* stream_abandon_take - for hold_begin(), with the receiving ring's lock or before it: a handler has jumped away */
void stream_abandon_take(void *connection);

/* stream_is_holder - does this thread hold the lock? */
static inline bool stream_is_holder(const _Atomic uint32_t *lock)
{
	return (atomic_load(lock) & ~SIDE_LOCK_WAITERS) == thread_id();
}

#endif
