/* SPDX-License-Identifier: MIT */
/*
 * Records of a SNAPSHOT: what the daemon knows, for the command to print
 */
#ifndef SMCU_CONTROL_SNAPSHOT_H
#define SMCU_CONTROL_SNAPSHOT_H

#include <stdint.h>

#include "ring/side.h"

#define SNAPSHOT_NAME 16U /* of an interface */
#define SNAPSHOT_GIDS 16U
#define SNAPSHOT_DECLINES 48U

/**
 * struct snapshot_remote - SMC-R's part of a connection
 * @state: enum connection_state; 0: nothing is known, and the rest is zero
 * @role: 0: client, 1: server of the link group
 * @group: number of the link group, unique within @device
 * @link: number of the link
 * @device: interface
 * @peer_gid: of the adapter that the data goes to, whatever TCP has between
 * @token, @peer_token: alert tokens, of our end and the peer's
 * @size, @peer_size: bytes of the RMB elements, ours and the peer's
 * @flags, @peer_flags: connection flags of the latest CDC messages (CDC_*)
 * @written, @sent, @released, @peer_consumed: positions in the stream that we send
 * @produced, @consumed, @confirmed: positions in the stream that we receive
 */
struct snapshot_remote {
	uint32_t state;
	uint32_t role;
	uint32_t group;
	uint32_t link;
	char device[SNAPSHOT_NAME];
	uint8_t peer_gid[16];
	uint32_t token;
	uint32_t peer_token;
	uint32_t size;
	uint32_t peer_size;
	uint32_t flags;
	uint32_t peer_flags;
	uint64_t written;
	uint64_t sent;
	uint64_t released;
	uint64_t peer_consumed;
	uint64_t produced;
	uint64_t consumed;
	uint64_t confirmed;
};

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
 * @remote: if @state is SIDE_SMCR
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
	struct snapshot_remote remote;
};

/**
 * struct snapshot_totals - since the daemon started; live connections included
 * @connections, @moved, @bytes_tcp, @bytes_shm, @calls, @reasons, @sizes: see struct side_totals
 * @sessions: processes connected now
 * @sessions_dropped: sessions ended for misbehaviour
 * @offers, @paired: hand-overs received, pairs made
 * @refused: hand-overs refused, by enum reason
 * @uptime_ms: milliseconds since the daemon started
 * @smcr, @fallbacks, @failed: rendezvous with another host that ended as SMC-R, as TCP, and with an
 *	error of the connection
 * @declines: of @fallbacks: how many with each diagnosis, in the order in which they were first met; a
 *	count of 0 ends the list; the last one is also of all that found no room
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
	uint64_t smcr;
	uint64_t fallbacks;
	uint64_t failed;
	struct {
		uint32_t diagnosis;
		uint32_t reserved;
		uint64_t count;
	} declines[SNAPSHOT_DECLINES];
};

/**
 * struct snapshot_link_group - the connections with one host
 * @group: number, unique within @device
 * @role: ours; 0: client, 1: server
 * @state: enum link_group_state
 * @version, @release: of SMC
 * @vlan: 0: none
 * @connections, @connections_max: members now, and at the most
 * @links, @links_max: active ones now, and at the most
 * @rmbs, @rkeys: memory of ours that is known to the peer, keys of the peer that we know
 * @direct: v2: no gateway between the hosts
 * @out_of_sync: takes no more connections
 * @peer_id: of the peer's instance
 * @eid: v2: group of hosts agreed on, blank padded; v1: zero
 * @device, @pnetid: adapter and its physical network; NUL-terminated
 */
struct snapshot_link_group {
	uint32_t group;
	uint32_t role;
	uint32_t state;
	uint32_t version;
	uint32_t release;
	uint32_t vlan;
	uint32_t connections;
	uint32_t connections_max;
	uint32_t links;
	uint32_t links_max;
	uint32_t rmbs;
	uint32_t rkeys;
	uint32_t direct;
	uint32_t out_of_sync;
	uint8_t peer_id[8];
	char eid[32];
	char device[SNAPSHOT_NAME];
	char pnetid[24];
};

/**
 * struct snapshot_link - a link of a link group
 * @group: its number; @link: in the group; @user_id: name that both hosts know
 * @state: enum link_state
 * @connections: that use it
 * @queue_pair, @peer_queue_pair: 24 bits
 * @mtu: bytes of a packet's payload at the most
 * @routed: through a gateway
 * @sends: messages under way
 * @tests: TEST LINK messages sent
 * @gid, @peer_gid, @mac, @peer_mac: of the two ends
 * @device: interface
 */
struct snapshot_link {
	uint32_t group;
	uint32_t link;
	uint32_t user_id;
	uint32_t state;
	uint32_t connections;
	uint32_t queue_pair;
	uint32_t peer_queue_pair;
	uint32_t mtu;
	uint32_t routed;
	uint32_t sends;
	uint64_t tests;
	uint8_t gid[16];
	uint8_t peer_gid[16];
	uint8_t mac[6];
	uint8_t peer_mac[6];
	char device[SNAPSHOT_NAME];
	uint32_t reserved;
};

/**
 * struct snapshot_device - an adapter
 * @device: interface; @kind: who carries it; NUL-terminated
 * @pnetid: physical network, "" if nobody said
 * @active: packets pass
 * @mtu: bytes of a packet's payload at the most
 * @mac: of the interface
 * @gid_count, @gids: its addresses
 * @groups, @links, @connections: that use it
 * @packets: it counts them, and the rest is not zero
 * @sent ... @unknown: struct soft_counters
 */
struct snapshot_device {
	char device[SNAPSHOT_NAME];
	char kind[SNAPSHOT_NAME];
	char pnetid[24];
	uint32_t active;
	uint32_t mtu;
	uint8_t mac[6];
	uint8_t reserved[2];
	uint32_t gid_count;
	uint32_t groups;
	uint32_t links;
	uint32_t connections;
	uint32_t packets;
	uint8_t gids[SNAPSHOT_GIDS][16];
	uint64_t sent;
	uint64_t received;
	uint64_t trains;
	uint64_t repeated;
	uint64_t timeouts;
	uint64_t gaps;
	uint64_t duplicates;
	uint64_t not_ready;
	uint64_t refused;
	uint64_t bad_length;
	uint64_t bad_icrc;
	uint64_t bad_partition;
	uint64_t stranger;
	uint64_t unknown;
};

#endif
