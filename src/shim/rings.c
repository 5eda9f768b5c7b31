/* SPDX-License-Identifier: MIT */
/*
 * The rings of a connection, made and given up
 */
#include <sys/mman.h>

#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/memory.h"
#include "shim/move.h"
#include "shim/remote.h"
#include "shim/settings.h"

static void set_up_rings(struct connection *connection, uint8_t *memory,
			 const struct move_parts *parts)
{
	unsigned int out = parts->end, in = !parts->end;

	connection->segment = parts->segment;
	connection->data_bell = parts->data_bell;
	connection->space_bell = parts->space_bell;
	atomic_store(&connection->stand_in, parts->stand_in);
	if (parts->stand_in >= 0)
		remote_count(1);
	connection->end = out;
	connection->same_user = parts->same_user;
	connection->control = (struct segment_control *)memory;
	connection_count_rings(2);
	connection->send = (struct ring){
		.shared = &connection->control->direction[out],
		.own = &connection->side->send,
		.near = memory + segment_near_offset(out),
		.bytes = parts->ring_bytes,
		.segment = connection->segment,
		.far_offset = segment_far_offset(out, parts->ring_bytes),
	};
	connection->receive = (struct ring){
		.shared = &connection->control->direction[in],
		.own = &connection->side->receive,
		.near = memory + segment_near_offset(in),
		.bytes = parts->stand_in < 0 ? parts->ring_bytes : parts->element_bytes,
		.segment = connection->segment,
		.far_offset = segment_far_offset(in, parts->ring_bytes),
	};
}

bool move_set_up(struct connection *connection, const struct move_parts *parts)
{
	void *memory = parts->memory;

	if (memory) {
		set_up_rings(connection, memory, parts);
		return true;
	}
	/* All of it, as if it were mapped at once: later nobody could say no. */
	if (!memory_take(segment_size(parts->ring_bytes)))
		return false;
	memory = memory_map(parts->segment, SEGMENT_PAGE + 2 * SEGMENT_NEAR);
	if (memory == MAP_FAILED) {
		memory_give(segment_size(parts->ring_bytes));
		return false;
	}
	set_up_rings(connection, memory, parts);
	return true;
}

/* In a sandbox the memory stays: nobody may be told that it is free. */
static void unmap(struct connection *connection)
{
	connection_count_rings(-2);
	if (settings.sandboxed)
		return;
	ring_unmap(&connection->send);
	ring_unmap(&connection->receive);
	munmap(connection->control, SEGMENT_PAGE + 2 * SEGMENT_NEAR);
	memory_give(segment_size(connection->send.bytes));
}

/* For the next connection, if no other process has ever had it, and it is small. */
static bool keep(struct connection *connection)
{
	for (unsigned int i = 0; i < 2; i++)
		connection->spare.rung[i] = atomic_load(&connection->bell_armed[i]);
	if (settings.sandboxed || !connection->side || !is_alone(connection) ||
	    atomic_load(&connection->ended) & (ENDED_DATA_BELL | ENDED_SPACE_BELL) ||
	    connection->send.far || connection->receive.far || !spare_give(&connection->spare))
		return false;
	connection_count_rings(-2);
	connection->segment = connection->data_bell = connection->space_bell = -1;
	return true;
}

void connection_give_up_rings(struct connection *connection)
{
	if (connection->control && !keep(connection))
		unmap(connection);
	connection->control = NULL;
	connection->spare.number = 0;
	fd_unhide_at(&connection->data_bell);
	fd_unhide_at(&connection->space_bell);
	fd_unhide_at(&connection->segment);
	if (connection->stand_in >= 0)
		remote_count(-1);
	fd_unhide(atomic_exchange(&connection->stand_in, -1));
}
