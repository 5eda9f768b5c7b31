/* SPDX-License-Identifier: MIT */
/*
 * The ring: one direction of a connection in shared memory
 *
 * Theory of operation
 *
 * Positions are 64-bit stream positions that never wrap: @produced bytes were ever written into
 * the ring, @consumed were ever read.  Where a position stands in memory depends on the *lap*: the
 * stream position that stands at offset 0.  The writer begins a new lap
 *   - when it has reached the end of the ring, and
 *   - when the ring is empty and it stands far enough from the start (ring_share()),
 * so that a ring whose reader keeps up lives in a few pages, and one whose reader does not has its
 * whole size as a buffer.  At most one lap is ahead of the reader's.
 *
 *   same lap:        | free | C data P | free ........ |
 *   writer lapped:   | data P | free | C data (end of lap) | unused |
 *
 * The peer's cursors are copied from the segment, checked against the side record (monotonic, never
 * more than a ring apart, every offset inside the ring) and then used; a bad one is -EPROTO, which
 * ends this connection and nothing else.  The record says where we are, but not where to write: it
 * is shared with whoever holds the same end, after a fork perhaps another user, and offsets made of
 * it are checked as well.  Stores are ordered so that at each
 * instruction the cursors are consistent: a writer may be killed anywhere.
 *
 * All functions but ring_available(), ring_room() and ring_arrived_at() want the direction's lock (lock.h) held.
 */
#ifndef SMCU_RING_RING_H
#define SMCU_RING_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/segment.h"
#include <sys/types.h>

#include "ring/side.h"
#include "ring/wait.h"

/*
 * Where an empty ring goes back to its start.  Writing into lines that still stand in the reader's own
 * cache costs two to four times what it costs once they have left it, so that the rings of a process
 * together walk through RING_CACHE_BYTES: more than the caches of two cores, less than the one they
 * share.  Many rings get RING_REACH_LEAST each, to have few pages.
 */
#define RING_CACHE_BYTES (4U * 1024U * 1024U)
#define RING_REACH_LEAST (64U * 1024U)

/* Where both ends run on one processor, its caches serve both: how far to go, and how far ahead. */
#define RING_REACH_HERE (16U * 1024U)
#define RING_UNREAD_HERE (256U * 1024U)

/*
 * A *run* is what the writer writes while the reader neither sleeps nor answers.  One of that many
 * bytes is a stream, which is one at a time among many rings and gets its half of RING_CACHE_BYTES.
 */
#define RING_STREAM_RUN (256U * 1024U)

#define RING_PIECE (64U * 1024U) /* bytes copied at most between two publications */
#define RING_PIECE_LEAST 4096U

/*
 * ring_piece - how much of a write of @n bytes to publish at once: enough pieces for the reader to
 * copy one while the next is written
 */
static inline size_t ring_piece(size_t n)
{
	size_t piece = n / 4;

	return piece < RING_PIECE_LEAST ? RING_PIECE_LEAST
	       : piece > RING_PIECE	? RING_PIECE
					: piece;
}

/**
 * struct ring - one direction as one process sees it
 * @shared: control block in the segment, never believed unchecked
 * @own: this end's cursors, in the side record
 * @near: mapping of the first SEGMENT_NEAR bytes
 * @far: mapping of the rest, NULL until it is needed
 * @bytes: size of the ring
 * @segment: descriptor of the segment, to map @far from
 * @far_offset: where the far part stands in the segment
 * @run: writing: stream position at which the present run began; readers of our end set it too
 * @peer: writing: enum wait_peer: where the reader read, when that was last looked at
 */
struct ring {
	struct segment_direction *shared;
	struct side_direction *own;
	uint8_t *near;
	uint8_t *far;
	uint32_t bytes;
	int segment;
	uint64_t far_offset;
	_Atomic uint64_t run;
	_Atomic uint8_t peer;
};

/* ring_share - this process has so many rings in use: how far each goes when its reader keeps up */
void ring_share(uint32_t rings);

/**
 * ring_reserve - where the writer may write next
 * @span: set to the first byte
 *
 * Return: contiguous bytes that may be written at @span, 0 when the ring is full, or -EPROTO,
 * -ENOMEM.
 */
ssize_t ring_reserve(struct ring *ring, uint8_t **span);

/* ring_end_run - the reader slept, or its program has answered: what follows is a new run */
static inline void ring_end_run(struct ring *ring)
{
	atomic_store_explicit(&ring->run,
			      atomic_load_explicit(&ring->own->position, memory_order_relaxed),
			      memory_order_relaxed);
}

/**
 * ring_arrived - the peer's adapter has written the bytes before @position, each at its position
 * modulo the ring's size: make them visible to the reader
 *
 * A lap is then the whole ring.  Nothing else is written to such a ring.
 */
void ring_arrived(struct ring *ring, uint64_t position);

/**
 * ring_arrived_at - where the byte at @position stands in such a ring; without the lock only in a handler
 *	that has interrupted who holds it
 *
 * It has arrived, and not been read.  Return: NULL: no memory.
 */
const uint8_t *ring_arrived_at(struct ring *ring, uint64_t position);

/* ring_sign - reading: say on which processor, so that the writer may be told by ring_find_reader() */
void ring_sign(struct ring *ring);

/* ring_find_reader - writing: look where the reader last read, seen from here */
void ring_find_reader(struct ring *ring);

/* ring_reader_processor - where the reader last read, as it says; below 0: it does not say */
static inline int ring_reader_processor(const struct ring *ring)
{
	return (int)(atomic_load_explicit(&ring->shared->reader.processor, memory_order_relaxed) -
		     1);
}

/* ring_reader_at - what ring_find_reader() has seen */
static inline enum wait_peer ring_reader_at(const struct ring *ring)
{
	return (enum wait_peer)atomic_load_explicit(&ring->peer, memory_order_relaxed);
}

/* ring_publish - make the next @n reserved bytes visible to the reader */
void ring_publish(struct ring *ring, size_t n);

/**
 * ring_front_at - what the reader may read next but @skip bytes
 * @span: set to the first byte
 *
 * Return: contiguous readable bytes at @span, 0 when there are no more than @skip, or -EPROTO, -ENOMEM.
 */
ssize_t ring_front_at(struct ring *ring, size_t skip, uint8_t **span);

/* ring_front - what the reader may read next: ring_front_at() without a skip */
static inline ssize_t ring_front(struct ring *ring, uint8_t **span)
{
	return ring_front_at(ring, 0, span);
}

/* ring_release - the next @n readable bytes have been read */
void ring_release(struct ring *ring, size_t n);

/* ring_available - readable bytes as of now; a lying peer may make it any number up to the size */
size_t ring_available(const struct ring *ring);

/* ring_unread - bytes written and not yet read by the peer, as far as it says */
size_t ring_unread(const struct ring *ring);

/* ring_room - bytes that a writer could write as of now, at least when all of it is asked for */
size_t ring_room(const struct ring *ring);

/* ring_writable - is there room enough to wake a writer for? */
bool ring_writable(const struct ring *ring);

/**
 * ring_trim - give the pages of an empty ring back (the writer owns free space, so only it may)
 * @least: do so only when at least that many bytes were touched
 */
void ring_trim(struct ring *ring, uint32_t least);

/* ring_map - map the far part, if there is one; false: no memory */
bool ring_map(struct ring *ring);

/* ring_unmap - forget the far mapping */
void ring_unmap(struct ring *ring);

#endif
