/* SPDX-License-Identifier: MIT */
/*
 * The messages between shim, command and daemon
 *
 * Theory of operation
 *
 * A session is one SOCK_SEQPACKET connection on the daemon's unix socket.  Each packet is one
 * message: a fixed-size struct that starts with struct message_header, in host byte order (both
 * ends are on one host), with descriptors beside it as SCM_RIGHTS.
 *
 *   shim                          daemon
 *     HELLO (+ side segment)  ->
 *                             <-  WELCOME (policy from the configuration file)
 *     OFFER id (+ TCP socket) ->                       "this end may move"
 *                             <-  PAIRED id (+ segment, data bell, space bell)
 *                             or  REFUSED id reason
 *     WITHDRAW id             ->                       the end was closed, moved or not
 *
 *   command
 *     HELLO                   ->
 *                             <-  WELCOME
 *     QUERY what              ->
 *                             <-  SNAPSHOT (+ a sealed memfd holding @count records)
 *
 * The daemon answers when it likes: nobody waits for PAIRED.  After each message to a shim it
 * increments side_header.inbox in the shim's side segment, so that the shim learns of mail by
 * looking at a word.  (The daemon maps that page, which the seals keep from shrinking; pwrite(2)
 * would wait for the inode's lock, which a client can hold for ever.)
 *
 * A packet that is short, long, of unknown type or version, or that brings the wrong number of
 * descriptors ends the session (after one FAREWELL saying why, when that can be sent).
 */
#ifndef SMCU_CONTROL_MESSAGE_H
#define SMCU_CONTROL_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "ring/side.h"

#define MESSAGE_VERSION 1U
#define MESSAGE_FDS_MAX 3U  /* descriptors that one valid message carries at the most */
#define MESSAGE_SIZE_MAX 256U

enum message_type {
	MESSAGE_HELLO = 1,
	MESSAGE_WELCOME,
	MESSAGE_OFFER,
	MESSAGE_PAIRED,
	MESSAGE_REFUSED,
	MESSAGE_WITHDRAW,
	MESSAGE_QUERY,
	MESSAGE_SNAPSHOT,
	MESSAGE_FAREWELL,
	MESSAGE_TYPE_END
};

/**
 * struct message_header - starts every message
 * @type: enum message_type
 * @version: MESSAGE_VERSION
 * @length: bytes of the whole message, header included
 */
struct message_header {
	uint16_t type;
	uint16_t version;
	uint32_t length;
};

enum message_role { ROLE_SHIM = 1, ROLE_COMMAND = 2 };

/**
 * struct message_hello - opens a session; ROLE_SHIM brings its side segment as a descriptor
 * @role: enum message_role
 */
struct message_hello {
	struct message_header header;
	uint32_t role;
	uint32_t reserved;
};

/**
 * struct policy - what the configuration file says to shims
 * @move_after: bytes either way after which a connection is handed over; 0: at once
 * @ring_bytes: virtual size of one direction's ring; a power of two, RING_BYTES_MIN to _MAX
 * @wait_yields: how often a waiter yields the processor before it sleeps
 * @reserved: zero
 *
 * The shim overrides single members from its environment (SMCU_MOVE_AFTER, ...).
 */
struct policy {
	uint64_t move_after;
	uint32_t ring_bytes;
	uint32_t wait_yields;
	uint64_t reserved;
};

/**
 * struct message_welcome - the daemon's answer to HELLO
 * @daemon_pid: in the daemon's own pid namespace, for messages to people
 * @release: the daemon's version string, NUL-terminated
 */
struct message_welcome {
	struct message_header header;
	struct policy policy;
	int32_t daemon_pid;
	uint32_t reserved;
	char release[32];
};

/**
 * struct message_offer - hands one end of a connection over; brings its TCP socket
 * @id: chosen by the shim, unique within the session, never reused
 * @local, @peer: its addresses, as getsockname(2) and getpeername(2) say
 *
 * The daemon does not believe the addresses: the kernel must find the socket with this cookie at
 * them.  They are here because asking the socket itself (getsockname, getpeername, TCP_INFO) waits
 * for the socket's lock, which a client can hold for ever (send(2) of a page that never comes).  An
 * offer without them (ports 0) is served for processes of the daemon's own user only.
 */
struct message_offer {
	struct message_header header;
	uint64_t id;
	struct side_address local;
	struct side_address peer;
};

/**
 * struct message_paired - the two ends found each other
 * @id: from OFFER
 * @end: 0 or 1: this end writes direction @end of the segment and reads direction 1 - @end
 * @ring_bytes: size of each direction's ring in the segment (a power of two)
 * @flags: PAIRED_*
 *
 * Brings the segment, the data bell and the space bell, in this order (see segment.h, doorbell.h).
 */
struct message_paired {
	struct message_header header;
	uint64_t id;
	uint32_t end;
	uint32_t ring_bytes;
	uint32_t flags;
	uint32_t reserved;
};

/* Both ends belong to one user: a call that the peer could block may be made on the segment. */
#define PAIRED_SAME_USER (1U << 0)

/**
 * struct message_refused - this end stays TCP
 * @id: from OFFER
 * @reason: enum reason
 */
struct message_refused {
	struct message_header header;
	uint64_t id;
	uint32_t reason;
	uint32_t reserved;
};

/**
 * struct message_withdraw - the end with this @id is closed
 */
struct message_withdraw {
	struct message_header header;
	uint64_t id;
};

enum query_what { QUERY_CONNECTIONS = 1, QUERY_TOTALS = 2 };

/**
 * struct message_query - a command asks; @what: enum query_what
 */
struct message_query {
	struct message_header header;
	uint32_t what;
	uint32_t reserved;
};

/**
 * struct message_snapshot - the answer; brings a sealed memfd with @count records
 * @what: enum query_what
 * @count: number of records
 * @record_size: sizeof(struct snapshot_connection) or sizeof(struct snapshot_totals)
 */
struct message_snapshot {
	struct message_header header;
	uint32_t what;
	uint32_t count;
	uint32_t record_size;
	uint32_t reserved;
};

/**
 * struct message_farewell - why the daemon ends this session; @text is NUL-terminated
 */
struct message_farewell {
	struct message_header header;
	char text[120];
};

/**
 * union message - any message; the header says which
 */
union message {
	struct message_header header;
	struct message_hello hello;
	struct message_welcome welcome;
	struct message_offer offer;
	struct message_paired paired;
	struct message_refused refused;
	struct message_withdraw withdraw;
	struct message_query query;
	struct message_snapshot snapshot;
	struct message_farewell farewell;
};

/**
 * message_check - is this packet a well-formed message?
 * @message: the packet
 * @length: bytes received
 * @fd_count: descriptors received
 *
 * Looks at type, version, length, number of descriptors and enumerations, before anything else is
 * believed.  OK without a shared library but libc: the shim uses it too.
 *
 * Return: 0, or -EPROTO, -EPROTONOSUPPORT (version), -EMSGSIZE (length), -EBADF (descriptors).
 */
int message_check(const union message *message, size_t length, unsigned int fd_count);

/* message_size - bytes of a message of @type, 0 for an unknown one */
size_t message_size(unsigned int type);

/* message_fd_range - fewest and most descriptors that a message of @type brings (0 for unknown) */
void message_fd_range(unsigned int type, unsigned int *least, unsigned int *most);

/* message_init - zero @message and fill in the header for @type */
void message_init(union message *message, enum message_type type);

#endif
