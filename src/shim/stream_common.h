/* SPDX-License-Identifier: MIT */
/*
 * What stream.c, stream_receive.c and stream_send.c share
 */
#ifndef SMCU_SHIM_STREAM_COMMON_H
#define SMCU_SHIM_STREAM_COMMON_H

#include "shim/stream.h"

/* stream_time_to_look - coarse time has moved since the last look at TCP */
bool stream_time_to_look(struct connection *connection);

/* stream_count_call - one more call through the ring; with the direction's lock held */
static inline void stream_count_call(struct side_direction *direction)
{
	uint64_t calls = atomic_load_explicit(&direction->calls, memory_order_relaxed);

	atomic_store_explicit(&direction->calls, calls + 1, memory_order_relaxed);
}

#endif
