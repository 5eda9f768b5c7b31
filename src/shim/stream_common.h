/* SPDX-License-Identifier: MIT */
/*
 * What stream.c, stream_receive.c and stream_send.c share
 */
#ifndef SMCU_SHIM_STREAM_COMMON_H
#define SMCU_SHIM_STREAM_COMMON_H

#include "shim/libc.h"
#include "shim/stream.h"

/* stream_time_to_look - coarse time has moved since the last look at TCP */
bool stream_time_to_look(struct connection *connection);

/* stream_is_holder - does this thread hold the lock? */
static inline bool stream_is_holder(const _Atomic uint32_t *lock)
{
	return (atomic_load(lock) & ~SIDE_LOCK_WAITERS) == thread_id();
}

#endif
