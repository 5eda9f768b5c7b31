/* SPDX-License-Identifier: MIT */
/*
 * Records of a SNAPSHOT: what the daemon knows, for the command to print
 */
#ifndef SMCU_CONTROL_SNAPSHOT_H
#define SMCU_CONTROL_SNAPSHOT_H

#include <stdint.h>

#include "ring/side.h"

/**
 * struct snapshot_connection - one end of one connection
 * @state: enum side_state
 * @reason: enum reason
 * @uid: user of the process
 * @pid: process, in the daemon's pid namespace
 * @fd: descriptor in that process
 * @moved: bit 0: sending is in shared memory; bit 1: receiving is
 * @cookie: SO_COOKIE
 * @local, @peer: addresses
 * @bytes_tcp, @bytes_shm: [0] sent, [1] received
 * @calls: [0] sending, [1] receiving
 * @program: name under which the program was started, NUL-terminated
 */
struct snapshot_connection {
	uint32_t state;
	uint32_t reason;
	uint32_t uid;
	int32_t pid;
	int32_t fd;
	uint32_t moved;
	uint64_t cookie;
	struct side_address local;
	struct side_address peer;
	uint64_t bytes_tcp[2];
	uint64_t bytes_shm[2];
	uint64_t calls[2];
	char program[32];
};

/**
 * struct snapshot_totals - since the daemon started; live connections included
 * @connections, @moved, @bytes_tcp, @bytes_shm, @calls, @reasons, @sizes: see struct side_totals
 * @sessions: processes connected now
 * @sessions_dropped: sessions ended for misbehaviour
 * @offers, @paired: hand-overs received, pairs made
 * @refused: hand-overs refused, by enum reason
 * @uptime_ms: milliseconds since the daemon started
 */
struct snapshot_totals {
	uint64_t connections;
	uint64_t moved;
	uint64_t bytes_tcp[2];
	uint64_t bytes_shm[2];
	uint64_t calls[2];
	uint64_t reasons[32];
	uint64_t sizes[SIDE_SIZES];
	uint64_t sessions;
	uint64_t sessions_dropped;
	uint64_t offers;
	uint64_t paired;
	uint64_t refused[32];
	uint64_t uptime_ms;
};

#endif
