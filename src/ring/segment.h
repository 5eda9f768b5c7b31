/* SPDX-License-Identifier: MIT */
/*
 * The segment: the memory that the two ends of a connection share
 *
 * Theory of operation
 *
 * One sealed memfd a connection holds both directions.  Its first page has the cursors and the
 * armed words of both; then come the *near* parts of the two rings, SEGMENT_NEAR bytes each, then
 * the *far* parts, the rest of each ring:
 *
 *   | control page | near 0 | near 1 |      far 0      |      far 1      |
 *
 * A ring is virtually as large as TCP's buffering, but while the reader keeps up, the writer goes
 * back to the start of the near part (a new *lap*, see ring.h), so that few pages are ever touched.
 * The far parts are mapped when they are first needed.
 *
 * Where the peer is on another host, the daemon is the other end (struct message_rendezvous).
 *
 * Both ends map all of it writable, so each may change any byte at any moment.  A value read from
 * here is copied out, checked against what this end knows from its side record, and only then used.
 * The daemon creates the segment sealed against shrinking and growing and never maps it.
 */
#ifndef SMCU_RING_SEGMENT_H
#define SMCU_RING_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_PAGE 4096U
#define SEGMENT_NEAR (256U * 1024U) /* bytes of a ring's near part */
#define RING_BYTES_MIN SEGMENT_NEAR /* a ring may be all near */
#define RING_BYTES_MAX (64U * 1024U * 1024U)
#define RING_BYTES_DEFAULT (4U * 1024U * 1024U)
#define ELEMENT_BYTES_MIN (16U * 1024U) /* of a ring that is an RMB element (RFC 7609, 4.4.1) */
#define ELEMENT_BYTES_DEFAULT (512U * 1024U)

/* What the writer says about its stream, ored into segment_writer.marks and never taken back. */
#define MARK_ATTACHED (1U << 0) /* its shim drives the connection through this segment */
#define MARK_SHUT (1U << 1) /* shutdown(SHUT_WR): nothing follows what is in the ring */
#define MARK_CLOSED (1U << 2) /* closed by its last holder */
#define MARK_BACK (1U << 3) /* it went back to TCP, which carries what follows, both ways */
#define MARK_GONE (1U << 4) /* closed, and nobody is inside a call on it any more (to another host) */
#define MARK_DECLINED (1U << 5) /* it will be TCP, MARK_BACK follows (from the daemon) */

/* segment_writer.switched: how far the writer is with leaving TCP */
enum switch_state {
	SWITCH_NONE = 0, /* everything so far went to TCP */
	SWITCH_BEGUN, /* @switch_at is set, the bytes up to there are on their way */
	SWITCH_DONE, /* what follows byte @switch_at is in the ring */
	SWITCH_OFF /* given up: this direction stays TCP for ever */
};

/* segment_writer.keep_alive: what SO_KEEPALIVE is to the application, whatever the daemon has made of it */
enum keep_alive {
	KEEP_ALIVE_AS_TCP = 0, /* what the socket says */
	KEEP_ALIVE_OFF,
	KEEP_ALIVE_ON
};

/**
 * struct segment_writer - cache line of one direction that its writer writes
 * @produced: stream position in the ring after the last byte written (starts at 0 in the ring)
 * @lap: stream position that stands at ring offset 0 in the lap of @produced
 * @switch_at: bytes that went through TCP before the ring begins; valid from SWITCH_BEGUN on
 * @switched: enum switch_state
 * @marks: MARK_*
 * @wants_space: armed word of the space bell: the writer sleeps, ring when there is space
 * @urgent: 1 + the position at which the last urgent byte was sent; 0: none was.  On one host it went by way
 *	of TCP; between hosts it stands there in the ring
 * @writing: the writer is inside a write of several pieces: more follows at once
 * @keep_alive: between hosts, of the application's direction: enum keep_alive
 */
struct segment_writer {
	_Atomic uint64_t produced;
	_Atomic uint64_t lap;
	_Atomic uint64_t switch_at;
	_Atomic uint32_t switched;
	_Atomic uint32_t marks;
	_Atomic uint32_t wants_space;
	_Atomic uint32_t writing;
	_Atomic uint64_t urgent;
	_Atomic uint32_t keep_alive;
};

/**
 * struct segment_reader - cache line of one direction that its reader writes
 * @consumed: stream position after the last byte read
 * @processor: 1 + the one it last read on; 0: it does not say
 */
struct segment_reader {
	_Atomic uint64_t consumed;
	_Atomic uint32_t processor;
};

/**
 * struct segment_armed - cache line that a writer looks at after each write, and which seldom changes
 * @wants_data: armed word of the data bell: the reader sleeps, ring when there is data
 */
struct segment_armed {
	_Atomic uint32_t wants_data;
};

/**
 * struct segment_busy - cache line that a writer writes around each write; only who goes back looks at it
 * @inside: the writer has looked for MARK_BACK and is at its ring or its switch: wait for it
 */
struct segment_busy {
	_Atomic uint32_t inside;
};

/**
 * struct segment_urgent - more about urgent bytes that came from another host
 * @hole_from, @hole_to: the writer's: not read, where they are not in line (shim/urgent.h); empty: none
 * @taken: the reader's: the segment_writer.urgent whose byte was taken by MSG_OOB
 */
struct segment_urgent {
	_Atomic uint64_t hole_from;
	_Atomic uint64_t hole_to;
	_Atomic uint64_t taken;
};

/*
 * struct segment_direction - control block of one direction
 *
 * A line that both write, or that one polls while the other writes what nobody waits for, goes to and fro between
 * their processors for each message.
 */
struct segment_direction {
	_Alignas(64) struct segment_writer writer;
	_Alignas(64) struct segment_reader reader;
	_Alignas(64) struct segment_armed armed;
	_Alignas(64) struct segment_busy busy;
	_Alignas(64) struct segment_urgent urgent;
};

#define SEGMENT_SPENT UINT32_MAX /* over: never to be used again */

/**
 * struct segment_control - the control page
 * @over: the last use by a connection to another host that is over (message_rendezvous.use): the daemon's
 * @negotiated: bytes that the daemon itself has [sent, taken] by TCP to negotiate; it says so before MARK_BACK
 */
struct segment_control {
	struct segment_direction direction[2];
	_Atomic uint32_t over;
	_Atomic uint64_t negotiated[2];
};

_Static_assert(sizeof(struct segment_direction) == 320, "layout is shared between releases");
_Static_assert(sizeof(struct segment_writer) <= 64, "one cache line");
_Static_assert(sizeof(struct segment_control) <= SEGMENT_PAGE, "one page");

/* segment_size - bytes of the memfd for rings of @ring_bytes each */
static inline uint64_t segment_size(uint32_t ring_bytes)
{
	return SEGMENT_PAGE + 2ULL * ring_bytes;
}

/* segment_near_offset, segment_far_offset - where the parts of direction @d start in the memfd */
static inline uint64_t segment_near_offset(unsigned int d)
{
	return SEGMENT_PAGE + (uint64_t)d * SEGMENT_NEAR;
}

static inline uint64_t segment_far_offset(unsigned int d, uint32_t ring_bytes)
{
	return SEGMENT_PAGE + 2ULL * SEGMENT_NEAR + (uint64_t)d * (ring_bytes - SEGMENT_NEAR);
}

/* segment_bytes_valid - may a ring have this size? (a power of two between the limits) */
static inline int segment_bytes_valid(uint64_t ring_bytes)
{
	return ring_bytes >= RING_BYTES_MIN && ring_bytes <= RING_BYTES_MAX &&
	       (ring_bytes & (ring_bytes - 1)) == 0;
}

/**
 * segment_file - make a memfd of @bytes, sealed SHRINK, GROW and SEAL
 *
 * A process that may not write files of that size (RLIMIT_FSIZE) would be killed by SIGXFSZ for it:
 * segment_file_may_be() says whether it may.
 *
 * Return: a close-on-exec descriptor, or -errno; -EFBIG: it may not.
 */
int segment_file(const char *name, uint64_t bytes);
bool segment_file_may_be(uint64_t bytes);

/**
 * segment_create - segment_file() of segment_size()
 * @ring_bytes: see segment_bytes_valid()
 *
 * Return: a close-on-exec descriptor, or -errno.
 */
int segment_create(uint32_t ring_bytes);

#endif
