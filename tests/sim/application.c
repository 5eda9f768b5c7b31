/* SPDX-License-Identifier: MIT */
/*
 * A program at one end: writes, reads, and ends in one of several ways
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

void sim_check(struct sim_world *world, struct sim_end *end, uint64_t position,
	       const uint8_t *bytes, size_t length)
{
	while (length) {
		size_t piece = length;
		const uint8_t *right = sim_pattern(end->peer, position, &piece);

		if (memcmp(bytes, right, piece) != 0)
			sim_fail(world, "%u.%u: wrong bytes in the %zu at %llu",
				 sim_host_name(end->host), end->index, length,
				 (unsigned long long)position);
		bytes += piece;
		position += piece;
		length -= piece;
	}
}

/* What was written, and what was closed, and is not in TCP yet. */
static void tcp_catch_up(struct sim_world *world, struct sim_end *end)
{
	while (end->tcp_written < end->written) {
		size_t length = end->written - end->tcp_written;
		const uint8_t *bytes = sim_pattern(end, end->tcp_written, &length);

		sim_tcp_send(world, end, bytes, length);
		end->tcp_written += length;
	}
	end->released = end->written;
	if ((end->shut || end->closed) && !end->aborted)
		sim_tcp_fin(world, end);
}

static bool write_some(struct sim_world *world, struct sim_end *end)
{
	uint64_t room = end->buffer - (end->written - end->released);
	uint64_t n = 1 + sim_below(world, end->chunk);
	bool urgent = sim_percent(world, end->urgent_percent);

	if (n > end->to_write - end->written)
		n = end->to_write - end->written;
	if (n > room)
		n = room;
	if (!n || end->shut || end->peer_gone || end->reset)
		return false;
	end->written += n;
	if (end->mode == SIM_TCP)
		tcp_catch_up(world, end);
	else if (end->connection && connection_written(end->connection, end->written, urgent) != 0)
		sim_fail(world, "a write is refused");
	if (urgent)
		end->urgent_at = end->written;
	return true;
}

static void read_memory(struct sim_world *world, struct sim_end *end, uint64_t n)
{
	const struct sim_region *region = end->region;
	uint64_t left = n;

	if (!region)
		sim_fail(world, "there is no memory to read from");
	while (left) {
		uint64_t offset = end->read % region->size;
		uint64_t piece = region->size - offset < left ? region->size - offset : left;

		sim_check(world, end, end->read, region->bytes + offset, piece);
		end->read += piece;
		left -= piece;
	}
	if (end->connection && connection_read(end->connection, end->read) != 0)
		sim_fail(world, "a read is refused");
}

static bool read_some(struct sim_world *world, struct sim_end *end)
{
	struct sim_half *in = &end->in;
	bool tcp = end->mode == SIM_TCP;
	uint64_t there = tcp ? in->arrived - in->taken : end->readable - end->read;
	uint64_t n = 1 + sim_below(world, 2 * end->chunk);

	if (n > there)
		n = there;
	if (!n || (tcp && end->late))
		return false;
	if (tcp) {
		sim_check(world, end, end->read, in->bytes + in->taken, n);
		in->taken += n;
		end->read += n;
	} else {
		read_memory(world, end, n);
	}
	return true;
}

static bool at_end(struct sim_world *world, struct sim_end *end)
{
	const struct sim_half *in = &end->in;

	if (end->mode == SIM_TCP && in->fin && in->taken == in->arrived && !end->eof) {
		if (end->read != end->peer->written && !end->peer->host->dead &&
		    end->peer->mode == SIM_TCP)
			sim_fail(world, "%u.%u: TCP ended after %llu of %llu bytes",
				 sim_host_name(end->host), end->index,
				 (unsigned long long)end->read,
				 (unsigned long long)end->peer->written);
		end->readable = end->read;
		end->eof = true;
	}
	return end->eof && end->read == end->readable;
}

static void shut_down(struct sim_world *world, struct sim_end *end)
{
	end->shut = true;
	if (end->mode == SIM_TCP)
		sim_tcp_fin(world, end);
	else if (end->connection)
		connection_shut_down(end->connection);
}

static void close_end(struct sim_world *world, struct sim_end *end)
{
	sim_trace(world, "%u.%u closes, %llu read, %llu written", sim_host_name(end->host),
		  end->index, (unsigned long long)end->read, (unsigned long long)end->written);
	end->closed = true;
	end->unread_at_close = end->mode == SIM_SMC && end->readable != end->read;
	if (end->mode == SIM_TCP)
		sim_tcp_fin(world, end);
	if (end->connection)
		connection_close(end->connection, end->linger);
	sim_place_leave(world, end);
}

static void abort_end(struct sim_world *world, struct sim_end *end)
{
	sim_trace(world, "%u.%u aborts", sim_host_name(end->host), end->index);
	end->closed = end->aborted = true;
	if (end->connection)
		connection_abort(end->connection);
	else
		sim_tcp_reset(world, end);
	sim_place_leave(world, end);
}

/* One call of the program, whichever it is time for.  Return: whether there was one. */
static bool act(struct sim_world *world, struct sim_end *end)
{
	bool stuck = end->reset || (end->peer_gone && !end->eof);
	bool wrote_all = end->written == end->to_write || end->peer_gone || stuck;
	bool ended = at_end(world, end) || stuck;
	bool waits = end->style == SIM_RESPONDS && !ended;

	if (end->style == SIM_ABORTS && sim_percent(world, 10)) {
		abort_end(world, end);
		return false;
	}
	if (sim_percent(world, 50) && read_some(world, end))
		return true;
	if (!waits && write_some(world, end))
		return true;
	if (!(wrote_all && end->style == SIM_CLOSES) && read_some(world, end))
		return true;
	if (wrote_all && !waits && !end->shut && end->style != SIM_CLOSES) {
		shut_down(world, end);
		return true;
	}
	if (wrote_all && !waits && (ended || end->style == SIM_CLOSES)) {
		close_end(world, end);
		return false;
	}
	return end->style == SIM_ABORTS;
}

static void run(struct sim_world *world, struct sim_event *event)
{
	struct sim_end *end = event->object;

	end->woken = false;
	if (end->host->dead || end->closed || !end->started)
		return;
	if (end->mode == SIM_TCP) {
		sim_poll_late(end);
		tcp_catch_up(world, end);
	}
	if (act(world, end))
		sim_wake(world, end);
}

void sim_wake(struct sim_world *world, struct sim_end *end)
{
	if (end->closed && end->mode == SIM_TCP)
		tcp_catch_up(world, end); /* it closed before it was known that this is TCP */
	if (end->woken || end->closed)
		return;
	end->woken = true;
	sim_plan(world, world->now + sim_below(world, end->pace), run, end);
}
