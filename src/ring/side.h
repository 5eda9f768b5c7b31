/* SPDX-License-Identifier: MIT */
/*
 * The side segment: what the holders of one end of a connection share among themselves
 *
 * Theory of operation
 *
 * Each process has one side segment, a sealed memfd of fixed virtual size that it creates with its
 * first tracked connection: one struct side_header, then SIDE_RECORDS records, of which only those
 * in use were ever touched.  A record belongs to one end of one connection.  Children inherit the
 * mapping, so parent and child see the same locks, cursors and counts; the peer never maps it
 * (struct segment_direction is what the peer sees, and nothing there is believed unchecked).
 *
 * The daemon gets the descriptor with HELLO and reads it with pread(2) when somebody asks for
 * statistics.  It takes nothing from it but numbers to print.
 */
#ifndef SMCU_RING_SIDE_H
#define SMCU_RING_SIDE_H

#include <stdatomic.h>
#include <stdint.h>

#define SIDE_MAGIC 0x3144495355434d53ULL /* "SMCUSID1" */
#define SIDE_RECORDS 65536U
#define SIDE_HEADER_SIZE 4096U
#define SIDE_SIZES 20U /* buckets of the histogram: a write of n bytes counts in floor(log2(n)) */

enum side_state {
	SIDE_FREE = 0,
	SIDE_CONNECTING, /* connect(2) has begun and is not known to have ended */
	SIDE_TCP, /* established; @reason says why it is not in shared memory */
	SIDE_SHM, /* at least one direction has moved */
	SIDE_LISTENING,
	SIDE_SMCR /* through shared memory with the daemon, and from there by RDMA to another host */
};

/**
 * struct side_address - an address in IPv6 form (IPv4 is v4-mapped)
 * @bytes: network byte order
 * @port: host byte order
 */
struct side_address {
	uint8_t bytes[16];
	uint16_t port;
	uint16_t reserved;
};

enum side_moved {
	MOVED_NOT = 0,
	MOVED,
	MOVED_ONTO_DATA /* receiving: bytes were in the ring when its turn came */
};

/**
 * struct side_direction - one direction, as this end knows it
 * @lock: thread id of the holder, SIDE_LOCK_WAITERS ored in; 0 when free
 * @in_kernel: calls that are inside the kernel's TCP for this direction at this moment
 * @tcp_bytes: bytes that passed through TCP, counted by the shim
 * @position: stream position in the ring: produced (sending) or consumed (receiving)
 * @lap: stream position of ring offset 0 in the lap of @position
 * @previous_lap: sending: the same for the lap before
 * @seen: the last believed cursor of the peer
 * @calls: successful calls; see side_count_call()
 * @moved: enum side_moved: is the direction in the ring?
 */
struct side_direction {
	_Atomic uint32_t lock;
	_Atomic uint32_t in_kernel;
	_Atomic uint64_t tcp_bytes;
	_Atomic uint64_t position;
	uint64_t lap;
	uint64_t previous_lap;
	uint64_t seen;
	_Atomic uint64_t calls;
	_Atomic uint32_t moved;
	_Atomic uint32_t high_water; /* sending: ring bytes touched since the pages last went back */
};

/* side_count_call - one more successful call: a figure for people, of two at once one may be lost */
static inline void side_count_call(struct side_direction *direction)
{
	uint64_t calls = atomic_load_explicit(&direction->calls, memory_order_relaxed);

	atomic_store_explicit(&direction->calls, calls + 1, memory_order_relaxed);
}

/**
 * struct side_record - one end of one connection
 * @state: enum side_state
 * @reason: enum reason, while it is not (entirely) in shared memory
 * @flags: SIDE_* flags below
 * @holders: processes that hold the end
 * @pid: process that made the record
 * @fd: its descriptor, for people
 * @cookie: SO_COOKIE, 0 while not known
 * @local, @peer: the two addresses, zero while not known
 * @low_water: SO_RCVLOWAT set since there are rings; 0: not set
 * @left_by: thread id of who ended, the last one if several did, without closing; else 0
 * @send, @receive: the two directions
 * @sizes: histogram of write sizes
 */
struct side_record {
	_Atomic uint32_t state;
	_Atomic uint32_t reason;
	_Atomic uint32_t flags;
	_Atomic uint32_t holders;
	int32_t pid;
	int32_t fd;
	uint64_t cookie;
	struct side_address local;
	struct side_address peer;
	_Atomic uint32_t low_water;
	_Atomic uint32_t left_by;
	uint32_t reserved[4];
	_Alignas(64) struct side_direction send;
	_Alignas(64) struct side_direction receive;
	_Alignas(64) _Atomic uint32_t sizes[SIDE_SIZES];
};

#define SIDE_LOCK_WAITERS 0x80000000U

/* flags of side_record.flags */
#define SIDE_NONBLOCK                                                                              \
	(1U << 0) /* O_NONBLOCK as last seen; the kernel's flag decides before a sleep */
#define SIDE_BACK (1U << 1) /* one of the ends went back to TCP: nothing more comes into our ring */
#define SIDE_GIVEN_AWAY                                                                            \
	(1U << 2) /* a process that does not count as a holder may have the socket */
#define SIDE_INQ (1U << 3) /* TCP_INQ: recvmsg() says how much is left */
#define SIDE_REST_TOLD                                                                             \
	(1U << 4) /* once is enough: an epoll of several processes has told of what is in the ring */

/**
 * struct side_totals - sums over the records that are gone (those alive are added by who reads)
 * @connections: TCP connections established
 * @moved: of these, how many moved (at least one direction)
 * @bytes_tcp, @bytes_shm: [0] sent, [1] received
 * @calls: successful calls: [0] sending, [1] receiving
 * @reasons: connections that ended as TCP, by enum reason
 * @sizes: histogram of write sizes
 */
struct side_totals {
	_Atomic uint64_t connections;
	_Atomic uint64_t moved;
	_Atomic uint64_t bytes_tcp[2];
	_Atomic uint64_t bytes_shm[2];
	_Atomic uint64_t calls[2];
	_Atomic uint64_t reasons[32];
	_Atomic uint64_t sizes[SIDE_SIZES];
};

/**
 * struct side_header - the first SIDE_HEADER_SIZE bytes of a side segment
 * @magic: SIDE_MAGIC
 * @record_size: sizeof(struct side_record)
 * @pid_namespace: inode of the namespace in which the locks' thread ids are counted
 * @used: records [0, used) may be in use; the rest was never touched
 * @inbox: incremented by the daemon after each message it sends to this session
 * @totals: what is over
 * @left: records that nobody holds any more and that are not free (side_leave())
 * @heard: incremented by the daemon whenever it has read what this session told it
 */
struct side_header {
	uint64_t magic;
	uint32_t record_size;
	_Atomic uint32_t used;
	_Atomic uint64_t inbox;
	uint64_t pid_namespace;
	struct side_totals totals;
	_Atomic uint32_t left;
	_Atomic uint64_t heard;
};

#define SIDE_BYTES (SIDE_HEADER_SIZE + (uint64_t)SIDE_RECORDS * sizeof(struct side_record))

_Static_assert(sizeof(struct side_header) <= SIDE_HEADER_SIZE, "the header fits its page");
_Static_assert(sizeof(struct side_record) == 384, "records are told by size");

#endif
