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
 *                             <-  RULES ... (if it may offer SMC-R to other hosts: to whom not)
 *                             <-  WELCOME (policy from the configuration file)
 *     OFFER id (+ TCP socket) ->                       "this end may move"
 *                             <-  PAIRED id (+ segment, data bell, space bell)
 *                             or  REFUSED id reason
 *     WITHDRAW id             ->                       the end was closed, moved or not
 *     RENDEZVOUS (+ TCP socket, segment, bells, stand-in) ->
 *                                                      "its peer, on another host, speaks SMC-R"
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
 * RENDEZVOUS is never answered: from then on the two talk through the segment (ring/segment.h) and
 * the stand-in (struct message_rendezvous).
 *
 * A packet that is short, long, of unknown type or version, or that brings the wrong number of
 * descriptors ends the session (after one FAREWELL saying why, when that can be sent).
 */
#ifndef SMCU_CONTROL_MESSAGE_H
#define SMCU_CONTROL_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "control/rule.h"
#include "ring/side.h"

#define MESSAGE_VERSION 3U
#define MESSAGE_FDS_MAX 5U /* descriptors that one valid message carries at the most */
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
	MESSAGE_RENDEZVOUS,
	MESSAGE_RULES,
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
 * @element_bytes: of the ring that a peer on another host writes into: its size as an RMB element
 * @flags: POLICY_*
 *
 * The shim overrides single members from its environment (SMCU_MOVE_AFTER, ...).
 */
struct policy {
	uint64_t move_after;
	uint32_t ring_bytes;
	uint32_t wait_yields;
	uint32_t element_bytes;
	uint32_t flags;
};

/* There is an RNIC, and the TCP option can be written: what was agreed on is taken. */
#define POLICY_RENDEZVOUS (1U << 0)
/* And this program may offer SMC-R to other hosts. */
#define POLICY_OFFER (1U << 1)

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

#define RULES_EACH 8U /* in one message */

/**
 * struct message_rules - what is not to be offered to other hosts; in force with the WELCOME that follows
 * @count: of @ends, 1 to RULES_EACH
 *
 * RULE_ENDS_MAX in all that come before one WELCOME.
 */
struct message_rules {
	struct message_header header;
	uint32_t count;
	struct rule_end ends[RULES_EACH];
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

/**
 * struct message_rendezvous - hands over a connection in whose SYN and SYN-ACK the SMC option was
 * @role: RENDEZVOUS_CLIENT or _SERVER: who sent the SYN is the client
 * @ring_bytes: of the segment, as in segment_size()
 * @element_bytes: of the ring in direction 1, from its start on: 16 KiB to @ring_bytes, a power of two
 * @segment: the shim's number for the segment, by which it knows it again; 0: it is used once
 * @use: counts the uses of that segment, from 1 on
 * @wish: RENDEZVOUS_TRY or _DECLINE
 * @local, @peer: its addresses, believed as little as those of an OFFER
 *
 * Brings, in this order, the TCP socket; the segment with its seals, both directions of which have
 * begun (SWITCH_DONE at 0, MARK_ATTACHED of end 0); and the daemon's ends of the data bell, the space
 * bell and the *stand-in*.  The shim is end 0.  The daemon does for end 1 what a shim would:
 *
 *   - direction 0 is the application's stream, to be sent; direction 1 is written by the peer's
 *     RNIC, at position modulo @element_bytes (ring_arrived()), and published by the daemon
 *   - the verdict is a mark of end 1: MARK_ATTACHED: SMC-R; MARK_BACK: TCP.  Until one of them stands
 *     the application writes into the ring and reads nothing.  Before the verdict, too, the daemon may
 *     send what is in the ring by TCP, and consume it
 *   - after MARK_BACK nothing is written into the ring any more (segment_writer.inside); the daemon
 *     sends what is there by TCP and consumes it, and while it has not consumed all, the application's
 *     sends wait for space (the bell is rung when a third is free, and when the ring is empty).  A
 *     stand-in that is closed before all is consumed is a reset; afterwards it says nothing.  The
 *     application reads from TCP as soon as the mark stands
 *   - when the ring is empty the daemon looks for MARK_SHUT and ends TCP's stream if it finds it.  A shim
 *     that shuts writing down sets the mark first, then looks whether all is consumed, with a fence
 *     between: if so it shuts TCP down itself.  (Both may.)  The daemon's copy of the socket is closed
 *     when the ring is empty and nobody is inside
 *
 * A segment, with its bells, may serve one connection after another of the process that made it.  The daemon
 * sets segment_control.over to @use when it is done with one and keeps them, to SEGMENT_SPENT if it does not.
 * Then the shim, which has left it before, empties the bells, sets the directions to zero and hands it over
 * with the next @use; with that message come the TCP socket and the stand-in alone.
 *
 * Urgent data is part of both streams.  In direction 0 the shim says in segment_writer.urgent where the byte
 * stands before it publishes it; the daemon makes of that one the last byte of a message, and by TCP an urgent
 * one.  In direction 1 the daemon does three things before it publishes the byte: where the shim's cursor stands
 * in front of an older urgent byte, or of a hole behind which that stands, it puts that into the hole
 * (segment_urgent); it sets segment_writer.urgent; and it sends a byte by MSG_OOB over the stand-in, which is what
 * POLLPRI and SIGURG come from.  The shim rings the space bell when it has passed an urgent byte and the bell
 * is armed, however much room there is: the peer may send nothing before it knows that.
 *
 * The bells are closed with the application's last descriptor, like the stand-in, and not before, unless
 * MARK_BACK stands and all is consumed: the end of a bell is that of an application that was killed.
 *
 * The stand-in is a stream socketpair that behaves towards its shim as the TCP socket would if that
 * carried the data:
 *
 *   - the daemon shuts its writing down when the peer's stream has ended, after MARK_SHUT; and does the
 *     same, after MARK_SHUT and MARK_CLOSED, when the peer has closed.  If the application then sends, it
 *     sends to the stand-in; the daemon closes that without reading, and so resets it as TCP would
 *   - a byte of the shim's lies unread in the daemon's end from the beginning: whenever the daemon closes
 *     its end, or dies, the application gets ECONNRESET, and what was in the ring before it
 *   - what the daemon sends over it are the bytes of urgent data, of which the value means nothing; the shim
 *     takes them at any time, and gives the stand-in the owner (F_SETOWN) of the real socket
 *   - the shim shuts its writing down, after MARK_SHUT, when the application does; its end is closed
 *     with the application's last descriptor, after MARK_CLOSED, or without it if that was killed.  MARK_GONE
 *     says the same a moment earlier: no call is at the segment any more
 *
 * The real socket is left alone by the shim until MARK_BACK; SO_LINGER is set on it as ever, and the daemon
 * reads it there.  SO_KEEPALIVE is the daemon's: some time after MARK_ATTACHED it sets it, having noted in
 * segment_writer.keep_alive of direction 0 what it was, if nothing is there.  The shim, when the program sets it, does
 * that, notes it, and then, if MARK_ATTACHED stands, sets it to 1; what is noted is what the program is told.
 */
struct message_rendezvous {
	struct message_header header;
	uint32_t role;
	uint32_t ring_bytes;
	uint32_t element_bytes;
	uint32_t segment;
	uint32_t use;
	uint32_t wish;
	struct side_address local;
	struct side_address peer;
};

#define RENDEZVOUS_FDS 5U
#define RENDEZVOUS_FDS_AGAIN 2U /* where the daemon has the rest */

enum rendezvous_role { RENDEZVOUS_CLIENT = 1, RENDEZVOUS_SERVER = 2 };

/* For SMC-R if the host has it; or for TCP, since the program is short of descriptors. */
enum rendezvous_wish { RENDEZVOUS_TRY = 0, RENDEZVOUS_DECLINE = 1 };

/* What is asked for, and what the records of the answer are (control/snapshot.h). */
enum query_what {
	QUERY_CONNECTIONS = 1, /* struct snapshot_connection */
	QUERY_TOTALS, /* struct snapshot_totals, one */
	QUERY_LINK_GROUPS, /* struct snapshot_link_group */
	QUERY_LINKS, /* struct snapshot_link */
	QUERY_DEVICES, /* struct snapshot_device */
	QUERY_END
};

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
 * @record_size: bytes of one record; see enum query_what
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
	struct message_rendezvous rendezvous;
	struct message_rules rules;
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
