/* SPDX-License-Identifier: MIT */
/*
 * What the files of a remote connection (remote.h) share
 *
 *   remote.c         the list, the turn, the protocol's actions, the end
 *   remote_open.c    what a RENDEZVOUS brings, and whether it may be SMC-R
 *   remote_map.c     the segment
 *   remote_bell.c    its bells
 *   remote_stream.c  the two rings
 *   remote_tcp.c     the TCP socket
 *   remote_relay.c   falling back
 */
#ifndef SMCU_DAEMON_REMOTE_STATE_H
#define SMCU_DAEMON_REMOTE_STATE_H

#include "daemon/loop.h"
#include "daemon/remote.h"
#include "daemon/remote_relay.h"
#include "daemon/remote_tcp.h"
#include "proto/rendezvous.h"
#include "ring/ring.h"

#define REMOTE_DESCRIPTORS 2U /* held: TCP, the stand-in */

enum remote_phase { REMOTE_RENDEZVOUS, REMOTE_SMC, REMOTE_RELAY, REMOTE_ENDED };

/**
 * struct remote - one connection to another host
 * @of_all: in remotes.all; @of_active: in remotes.active, @of_late: in remotes.late, or in no list
 * @vain_looks: so often nothing was new since it became active
 * @user: who pays; kept
 * @connection: of the protocol; NULL before and after
 * @role: who connected is the client
 * @cookie, @local, @peer: of the TCP socket
 * @own: where we stand in direction 0 and 1
 * @send: direction 0, what the application sends: we read it
 * @receive: direction 1, what it receives: the RMB element
 * @written, @read: positions that the protocol was told
 * @urgent: position behind the last urgent byte of the peer's, 0: none; @passed: urgent bytes before it are not
 *	read (segment_urgent.hole_to)
 * @stand_in, @stand_in_fd: our end; @stand_in_rang: since the last look at what it holds
 * @watched: TCP and the stand-in are
 * @app_shut: the stand-in's stream from the application has ended
 * @app_gone: so has all that it holds of the connection
 * @told_shut, @told_close: the protocol was told
 * @peer_shut: MARK_SHUT was set and the stand-in's writing shut down
 * @peer_closed: MARK_CLOSED was set
 * @broken: a cursor in the segment is no honest one
 * @reset: the stand-in is closed, or about to be, so that the application gets ECONNRESET
 */
struct remote {
	struct list of_all;
	struct list of_active;
	struct list of_late;
	unsigned int vain_looks;
	struct apps *apps;
	struct user *user;
	struct connection *connection;
	enum remote_phase phase;
	enum proto_role role;
	uint64_t cookie;
	struct side_address local;
	struct side_address peer;
	struct remote_map *map;
	struct side_direction own[2];
	struct ring send;
	struct ring receive;
	uint64_t written;
	uint64_t read;
	uint64_t urgent;
	uint64_t passed;
	struct loop_watch stand_in;
	int stand_in_fd;
	bool stand_in_rang;
	struct remote_tcp tcp;
	struct remote_relay relay;
	bool watched;
	bool app_shut;
	bool app_gone;
	bool told_shut;
	bool told_close;
	bool peer_shut;
	bool peer_closed;
	bool broken;
	bool reset;
};

/* remote_activate - look at it in the next turn, or in this one if that is still to come */
void remote_activate(struct remote *remote);

/* remote_look_later - the same, where nothing new has happened to it */
void remote_look_later(struct remote *remote);

/* remote_finish_later - there is something to do that can wait */
void remote_finish_later(struct remote *remote);

/* remote_reset_application - close the stand-in: ECONNRESET after what is in the ring */
void remote_reset_application(struct remote *remote);

/* remote_mark - set MARK_* of the peer's stream, and wake who waits for it */
void remote_mark(struct remote *remote, uint32_t marks);

/* remote_app_marks - MARK_* of the application's stream, as it says */
uint32_t remote_app_marks(const struct remote *remote);

/* remote_add - a new one in the list; remote_remove - give all of it back */
void remote_add(struct remote *remote);
void remote_remove(struct remote *remote);

/* remote_map.c */

/**
 * remote_map_new - map a segment
 * @owner: who pays for it
 * @segment: descriptor; stays the caller's
 * @message: says how large its parts are
 * @error: set if it fails: -EINVAL: it is not such a segment; -ENOMEM
 */
struct remote_map *remote_map_new(struct apps *apps, struct user *owner, int segment,
				  const struct message_rendezvous *message, int *error);

/* remote_maps_most - how many segments may be mapped, so that enough is left to decline others, and for all else */
unsigned int remote_maps_most(void);

/* remote_stream.c */

/* remote_stream_open - both rings, after @remote->map */
void remote_stream_open(struct remote *remote);

/**
 * remote_look - tell the protocol what is new in the rings
 *
 * Return: whether anything was; sets @broken if a cursor is not possible.
 */
bool remote_look(struct remote *remote);

/* remote_has_news - is something in the rings that remote_look() or the relay has not seen? */
bool remote_has_news(const struct remote *remote);

/* remote_urgent - the byte before @position, which is not published yet, is urgent */
void remote_urgent(struct remote *remote, uint64_t position);

/* remote_app_urgent - position behind the last urgent byte of the application's, as it says; 0: none */
uint64_t remote_app_urgent(const struct remote *remote);

/* remote_release - what the application wrote before @position is not needed any more */
void remote_release(struct remote *remote, uint64_t position);

#endif
