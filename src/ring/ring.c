/* SPDX-License-Identifier: MIT */
#include "ring/ring.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

static _Atomic uint32_t ring_reach = RING_REACH_LEAST; /* of each ring of this process */

static uint64_t own_position(const struct ring *ring)
{
	return atomic_load_explicit(&ring->own->position, memory_order_relaxed);
}

/* Once: another process that holds our end, and may not be our friend, can write there. */
static uint64_t read_once(const uint64_t *word)
{
	return *(const volatile uint64_t *)word;
}

bool ring_map(struct ring *ring)
{
	void *far;

	if (ring->far || ring->bytes <= SEGMENT_NEAR)
		return true;
	far = mmap(NULL, ring->bytes - SEGMENT_NEAR, PROT_READ | PROT_WRITE, MAP_SHARED,
		   ring->segment, (off_t)ring->far_offset);
	if (far == MAP_FAILED)
		return false;
	ring->far = far;
	return true;
}

/* Contiguous bytes from @offset, at most @n, and where they are. */
static ssize_t ring_span(struct ring *ring, uint64_t offset, uint64_t n, uint8_t **span)
{
	if (offset < SEGMENT_NEAR) {
		*span = ring->near + offset;
		return (ssize_t)(n < SEGMENT_NEAR - offset ? n : SEGMENT_NEAR - offset);
	}
	if (!ring_map(ring))
		return -ENOMEM;
	*span = ring->far + (offset - SEGMENT_NEAR);
	return (ssize_t)n;
}

static void begin_lap(struct side_direction *own, uint64_t produced)
{
	/* @previous_lap is looked at only while the reader is behind @lap: not yet. */
	own->previous_lap = own->lap;
	atomic_signal_fence(memory_order_seq_cst);
	own->lap = produced;
}

void ring_share(uint32_t rings)
{
	uint32_t share = rings ? RING_CACHE_BYTES / rings : RING_CACHE_BYTES;

	if (share > RING_CACHE_BYTES / 2)
		share = RING_CACHE_BYTES / 2;
	if (share < RING_REACH_LEAST)
		share = RING_REACH_LEAST;
	atomic_store_explicit(&ring_reach, share, memory_order_relaxed);
}

void ring_sign(struct ring *ring)
{
	atomic_store_explicit(&ring->shared->reader.processor, (uint32_t)sched_getcpu() + 1,
			      memory_order_relaxed);
}

void ring_find_reader(struct ring *ring)
{
	const int theirs = ring_reader_processor(ring);
	enum wait_peer peer = WAIT_PEER_ANYWHERE;

	if (theirs >= 0)
		peer = theirs == sched_getcpu() ? WAIT_PEER_HERE : WAIT_PEER_ELSEWHERE;
	atomic_store_explicit(&ring->peer, (uint8_t)peer, memory_order_relaxed);
}

static uint32_t reach_of(const struct ring *ring, uint64_t produced)
{
	if (ring_reader_at(ring) == WAIT_PEER_HERE)
		return RING_REACH_HERE;
	return produced - atomic_load_explicit(&ring->run, memory_order_relaxed) >= RING_STREAM_RUN
		       ? RING_CACHE_BYTES / 2
		       : atomic_load_explicit(&ring_reach, memory_order_relaxed);
}

/*
 * What is left of the lap, where that can be said without a look at the reader: it was in this lap when it was
 * last looked at, and the lap is not to end here.  0: it cannot.
 */
static uint64_t left_of_lap(const struct ring *ring, uint64_t produced, uint64_t *offset)
{
	const uint64_t lap = read_once(&ring->own->lap);

	*offset = produced - lap;
	return read_once(&ring->own->seen) >= lap && *offset < reach_of(ring, produced) &&
			       *offset < ring->bytes
		       ? ring->bytes - *offset
		       : 0;
}

ssize_t ring_reserve(struct ring *ring, uint8_t **span)
{
	struct side_direction *own = ring->own;
	uint64_t produced = own_position(ring);
	uint64_t offset, lap, consumed;
	uint64_t room = left_of_lap(ring, produced, &offset);

	if (room)
		return ring_span(ring, offset, room, span);
	consumed = atomic_load_explicit(&ring->shared->reader.consumed, memory_order_acquire);
	if (consumed < own->seen || consumed > produced)
		return -EPROTO;
	own->seen = consumed;
	ring_find_reader(ring);
	if (consumed >= own->lap) {
		offset = produced - own->lap;
		if (offset == ring->bytes ||
		    (consumed == produced && offset >= reach_of(ring, produced))) {
			if (consumed == own->lap && consumed != produced)
				return 0; /* a whole lap is unread */
			begin_lap(own, produced);
		}
	}
	lap = read_once(&own->lap);
	offset = produced - lap;
	if (consumed >= lap)
		room = ring->bytes - offset;
	else
		room = consumed - read_once(&own->previous_lap) - offset;
	if (offset > ring->bytes || room > ring->bytes - offset)
		return -EPROTO; /* only a holder of our own end can have done this */
	return room ? ring_span(ring, offset, room, span) : 0;
}

static void publish(struct ring *ring, uint64_t produced)
{
	struct side_direction *own = ring->own;

	atomic_store_explicit(&own->position, produced, memory_order_relaxed);
	atomic_store_explicit(&ring->shared->writer.lap, own->lap, memory_order_relaxed);
	atomic_store_explicit(&ring->shared->writer.produced, produced, memory_order_release);
}

void ring_publish(struct ring *ring, size_t n)
{
	struct side_direction *own = ring->own;
	uint64_t produced = own_position(ring) + n;
	uint64_t reach = produced - own->lap;

	if (reach > atomic_load_explicit(&own->high_water, memory_order_relaxed))
		atomic_store_explicit(&own->high_water, (uint32_t)reach, memory_order_relaxed);
	publish(ring, produced);
}

void ring_arrived(struct ring *ring, uint64_t position)
{
	if (position == own_position(ring))
		return;
	ring->own->lap = (position - 1) / ring->bytes * ring->bytes;
	publish(ring, position);
}

const uint8_t *ring_arrived_at(struct ring *ring, uint64_t position)
{
	uint8_t *at;

	return ring_span(ring, position % ring->bytes, 1, &at) > 0 ? at : NULL;
}

/*
 * The stretch of the stream that the reader can reach in its lap.  Sets @offset to where it
 * starts in the ring.
 */
static ssize_t readable(struct ring *ring, uint64_t *offset)
{
	struct side_direction *own = ring->own;
	uint64_t consumed = own_position(ring);
	uint64_t produced =
		atomic_load_explicit(&ring->shared->writer.produced, memory_order_acquire);
	uint64_t lap = atomic_load_explicit(&ring->shared->writer.lap, memory_order_relaxed);
	uint64_t limit = produced;

	if (produced < own->seen || produced - consumed > ring->bytes)
		return -EPROTO;
	own->seen = produced;
	if (produced == consumed)
		return 0;
	/* A lap that begins beyond @produced was begun after we looked: not our concern yet. */
	if (lap != own->lap && lap <= produced) {
		if (lap < consumed || lap < own->lap)
			return -EPROTO;
		if (lap == consumed)
			own->lap = lap;
		else
			limit = lap;
	}
	*offset = consumed - read_once(&own->lap);
	if (*offset > ring->bytes || limit - consumed > ring->bytes - *offset)
		return -EPROTO;
	return (ssize_t)(limit - consumed);
}

ssize_t ring_front_at(struct ring *ring, size_t skip, uint8_t **span)
{
	uint64_t offset, rest;
	ssize_t n = readable(ring, &offset);

	if (n <= 0)
		return n;
	if (skip < (size_t)n)
		return ring_span(ring, offset + skip, (size_t)n - skip, span);
	/* What follows, if anything, begins the next lap at offset 0. */
	rest = read_once(&ring->own->seen) - own_position(ring) - (size_t)n;
	if (rest > ring->bytes)
		return -EPROTO; /* only a holder of our own end can have done this */
	skip -= (size_t)n;
	return skip < rest ? ring_span(ring, skip, rest - skip, span) : 0;
}

void ring_release(struct ring *ring, size_t n)
{
	uint64_t consumed = own_position(ring) + n;

	atomic_store_explicit(&ring->own->position, consumed, memory_order_relaxed);
	atomic_store_explicit(&ring->shared->reader.consumed, consumed, memory_order_release);
}

size_t ring_available(const struct ring *ring)
{
	uint64_t n = atomic_load_explicit(&ring->shared->writer.produced, memory_order_acquire) -
		     own_position(ring);

	return n > ring->bytes ? ring->bytes : (size_t)n;
}

size_t ring_unread(const struct ring *ring)
{
	uint64_t n = own_position(ring) -
		     atomic_load_explicit(&ring->shared->reader.consumed, memory_order_acquire);

	return n > ring->bytes ? ring->bytes : (size_t)n;
}

size_t ring_room(const struct ring *ring)
{
	return ring->bytes - ring_unread(ring);
}

bool ring_writable(const struct ring *ring)
{
	/* As TCP: writable again when a third or more is free. */
	return ring_room(ring) >= ring->bytes / 3;
}

void ring_trim(struct ring *ring, uint32_t least)
{
	struct side_direction *own = ring->own;
	uint32_t touched = atomic_load_explicit(&own->high_water, memory_order_relaxed);
	uint8_t *far;

	if (touched < least || touched == 0 || ring_unread(ring))
		return;
	(void)madvise(ring->near, SEGMENT_NEAR, MADV_REMOVE);
	if (touched > SEGMENT_NEAR) {
		/* Who touched the far part may have been another process. */
		if (ring_span(ring, SEGMENT_NEAR, 1, &far) < 0)
			return;
		(void)madvise(far, ring->bytes - SEGMENT_NEAR, MADV_REMOVE);
	}
	atomic_store_explicit(&own->high_water, 0, memory_order_relaxed);
}

void ring_unmap(struct ring *ring)
{
	if (ring->far)
		munmap(ring->far, ring->bytes - SEGMENT_NEAR);
	ring->far = NULL;
}
