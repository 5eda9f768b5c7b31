/* SPDX-License-Identifier: MIT */
/*
 * Remote connections: the daemon's end of what an application shares with another host
 *
 * Theory of operation
 *
 * A RENDEZVOUS message (control/message.h says what the two sides owe each other) makes a *remote*: the
 * segment, mapped; the two rings, of which we read one and the peer's RNIC writes the other; two bells;
 * the stand-in; the TCP socket; and a connection of the protocol (proto/connection.h).  It outlives the
 * session that brought it, because what an application wrote arrives after its end.
 *
 *   RENDEZVOUS ─PROTO_CONNECTED──> SMC ─────────────────────────────> ENDED ─PROTO_GONE─> gone
 *      ├─PROTO_FELL_BACK─> RELAY ─ring empty, nothing late─> (all given up) ───────────────┘
 *      └─PROTO_FAILED────────────────────────────────────────> ENDED
 *
 * Looking.  A remote that something happened to is *active*: in each turn of the loop its ring is looked
 * at (connection_written(), connection_read()) until nothing is new with any of them for as long as
 * waiting awake pays (ring/wait.h); then the bells are armed, and after one more look they are left
 * alone.  So a busy application makes no system call to wake us.  All calls of
 * the protocol and all system calls but those that wake the application are made there, in a task: what
 * the protocol says (remote_act()) and what the loop sees is only noted.
 *
 * What can wait.  The end of a connection is not as urgent as what others wait for: to tell the protocol of a close, to
 * end TCP's stream, and to give a remote back comes when nothing else is new, and others have had the processor.
 *
 * Watching.  The loop watches TCP and the stand-in from when a remote is first left alone.  Until then each look is
 * one at TCP too, as long as a message of the rendezvous is awaited, and MARK_GONE tells of the close: a short
 * connection is over before it costs an epoll_ctl(2).  Its bells (remote_bell.h) are watched with the segment.
 *
 * What is in the segment is another's word: cursors are checked by ring.h against records of our own,
 * and a wrong one fails that connection.  The segment is mapped only if it has its seals and its size.
 *
 * Urgent data.  What the application says of its last urgent byte is looked at with its cursor: of two between
 * which we have not looked, the older one is data, as in TCP's own send queue.  PROTO_URGENT_PENDING is not told:
 * the signal comes with the byte.
 *
 * Falling back.  After PROTO_FELL_BACK bytes in the ring are sent by TCP, as TCP takes them: remote_relay.h.
 *
 * The end.  The stand-in tells what the application does: its writing is shut down, or it is gone.
 * PROTO_ENDED, PROTO_RESET and PROTO_FAILED are told to it as control/message.h says.  After a reset
 * nothing can follow, so that the connection is closed in the application's name at once: what is in its
 * ring it can read without us.
 *
 * Calls on the TCP socket (recv, send, shutdown) take its lock; @see remote_tcp.h.
 */
#ifndef SMCU_DAEMON_REMOTE_H
#define SMCU_DAEMON_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/message.h"
#include "daemon/follow.h"
#include "daemon/loop.h"
#include "daemon/remote_bell.h"
#include "proto/connection.h"
#include "proto/list.h"
#include "proto/proto.h"
#include "proto/rkey.h"
#include "ring/wait.h"

struct apps;
struct remote;
struct segment_control;
struct session;

/**
 * struct remotes - all of them
 * @all: of struct remote; @count: how many
 * @active: those to be looked at in the next turn
 * @late: those with something to do that can wait; @put_off: turns for which it did
 * @quiet, @busy: turns in a row in which nothing, and something, was new
 * @awake: they are being looked at; else all bells are armed, since @asleep_since (ns)
 * @touched: something has happened to one of them since the last look
 * @news: something was new in this turn
 * @maps: segments that are mapped; @maps_most: from so many on connections are declined
 * @deserted: kept segments that the shim has given up
 * @wait: how long to look in vain; @habit: what was learned about it
 * @follow: where the apps are
 */
struct remotes {
	struct list all;
	struct list active;
	struct list late;
	unsigned int put_off;
	unsigned int quiet;
	unsigned int busy;
	unsigned int count;
	bool awake;
	bool touched;
	bool news;
	unsigned int maps;
	unsigned int maps_most;
	struct remote_map *deserted;
	uint64_t asleep_since;
	struct wait wait;
	struct wait_habit habit;
	struct follow follow;
};

/* remotes_open - none yet; takes part in the loop */
void remotes_open(struct apps *apps);

/* remotes_finish - do what could wait */
void remotes_finish(struct apps *apps);

/**
 * remotes_rest - the end of a turn, when all that is to be sent is sent: give the processor away, or arm
 * @busy: something has come from the network
 *
 * Return: whether to look again at once.
 */
bool remotes_rest(struct apps *apps, bool busy);

/* remotes_close - drop what is left; the engine has been closed before */
void remotes_close(struct apps *apps);

/**
 * struct remote_map - a segment in our memory; lives until the last user puts it
 * @owner: who pays for it; @charged: bytes
 * @send: the application's ring, @send_bytes: all of its parts, one behind the other
 * @receive: the RMB element, @receive_bytes
 * @control: the control page
 * @use: of the connection that has it now; 0: none
 * @regions: how many RMBs it is now
 * @memory: what the protocol knows of it
 * @keeper: the session that keeps it, or NULL; @number, @next_kept: there (remote_kept.h)
 * @bells: open from its first use until nobody uses it or keeps it; @hung_up: the shim has closed its ends
 * @remote: who uses it; NULL: nobody does
 * @is_deserted, @next_deserted: in remotes.deserted
 */
struct remote_map {
	uint8_t *send;
	size_t send_bytes;
	uint8_t *receive;
	size_t receive_bytes;
	struct segment_control *control;
	struct apps *apps;
	struct user *owner;
	uint64_t charged;
	unsigned int users;
	uint32_t use;
	unsigned int regions;
	struct rmb_memory memory;
	struct session *keeper;
	uint32_t number;
	struct remote_map *next_kept;
	struct remote_bell bells[BELLS];
	bool hung_up;
	struct remote *remote;
	bool is_deserted;
	struct remote_map *next_deserted;
};

/* remote_map_get - one user more */
struct remote_map *remote_map_get(struct remote *remote);
void remote_map_put(struct remote_map *map);

#define REMOTE_PIECES_MAX 2U /* of a stretch of the application's ring: it may go on at its start */

/**
 * struct remote_piece - where bytes of a stream stand, in remote_map.send
 */
struct remote_piece {
	const uint8_t *at;
	size_t length;
};

/**
 * remote_find - where the bytes [@position, @position + @length) of the application's stream stand
 *
 * They were written, and not released yet.
 *
 * Return: how many pieces; 0: the application has damaged its ring.
 */
unsigned int remote_find(struct remote *remote, uint64_t position, size_t length,
			 struct remote_piece pieces[REMOTE_PIECES_MAX]);

/**
 * remote_open - a RENDEZVOUS arrived
 * @fds, @count: what it brought; taken over
 *
 * A segment or descriptor that is not what it should be dooms the session.  What else speaks against it
 * (a limit, a rule, no adapter there) makes the rendezvous decline; where not even that is possible the
 * application gets a reset, by its stand-in, and the peer by TCP.
 */
void remote_open(struct session *session, const struct message_rendezvous *message, const int *fds,
		 unsigned int count);

/**
 * remote_act - an action of the protocol for this connection; connection.engine is the remote
 *
 * Those that have a connection, but for PROTO_RESOLVE and PROTO_WRITE, which the engine carries out.  Others
 * are ignored.  Calls nothing of the protocol.
 */
void remote_act(struct remote *remote, const struct proto_action *action);

/**
 * struct remote_facts - for people
 * @uid: user of the session that brought it
 * @cookie: of the TCP socket; @local, @peer: as the application said
 * @connection: of the protocol; NULL before and after
 * @smc: PROTO_CONNECTED was told
 */
struct remote_facts {
	uid_t uid;
	uint64_t cookie;
	struct side_address local;
	struct side_address peer;
	const struct connection *connection;
	bool smc;
};

/* remote_describe - see struct remote_facts */
void remote_describe(const struct remote *remote, struct remote_facts *facts);

#endif
