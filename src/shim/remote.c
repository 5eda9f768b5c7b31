/* SPDX-License-Identifier: MIT */
#include "shim/remote.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "control/message.h"
#include "ring/doorbell.h"
#include "shim/bell.h"
#include "shim/clock.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/offer.h"
#include "shim/quiet.h"
#include "shim/session.h"
#include "shim/settings.h"
#include "shim/stand_in.h"
#include "shim/stream.h"
#include "shim/urgent.h"
#include "shim/user_memory.h"

/*
 * What --require grants the daemon to come to a verdict: the protocol's own limit for all of a rendezvous, and a
 * second.  A daemon that lives says before that how it ends.
 */
#define REQUIRE_NS 16000000000ULL
#define SHORT_NS 1000000000ULL /* what a program short of descriptors sleeps in accept() at the most */
#define LOOK_MS 10 /* how often a close that lingers looks */

static _Atomic int remotes;

bool remote_any(void)
{
	return atomic_load(&remotes) > 0;
}

void remote_count(int more)
{
	atomic_fetch_add(&remotes, more);
}

/* --- handing over --- */

enum part { SEGMENT, DATA_BELL, SPACE_BELL, STAND_IN, PARTS };

/**
 * struct parts - what a remote connection is made of
 * @ours, @theirs: by enum part; -1 where there is none (any more)
 * @segment: ours; @segment.memory: it served before, is mapped, and hidden like its bells; else NULL
 * @short_of: descriptors are, and these are for a moment: it is declined
 */
struct parts {
	int ours[PARTS];
	int theirs[PARTS];
	struct spare segment;
	bool short_of;
};

static void close_theirs(const struct parts *parts)
{
	for (int part = DATA_BELL; part < STAND_IN; part++)
		if (parts->theirs[part] >= 0)
			quiet_close(parts->theirs[part]);
	fd_unhide(parts->theirs[STAND_IN]);
}

static void parts_close(struct parts *parts)
{
	if (parts->segment.memory) {
		spare_discard(&parts->segment);
		parts->ours[SEGMENT] = parts->ours[DATA_BELL] = parts->ours[SPACE_BELL] = -1;
	}
	for (int part = SEGMENT; part < PARTS; part++)
		fd_unhide(parts->ours[part]);
	close_theirs(parts);
}

/* Hide our ends of what is new. */
static void parts_hide(struct parts *parts)
{
	for (int part = SEGMENT; part < STAND_IN && !parts->segment.memory; part++)
		if (parts->ours[part] >= 0)
			parts->ours[part] =
				fd_hide_for_a_moment(parts->ours[part], &parts->short_of);
	if (parts->short_of && !parts->segment.memory)
		parts->segment.number = parts->segment.use = 0; /* nor is it kept */
}

static int pair(struct parts *parts, enum part part)
{
	int ends[2];
	int error = doorbell_create(ends);

	if (error)
		return error;
	parts->ours[part] = ends[0];
	parts->theirs[part] = ends[1];
	return 0;
}

/* And its bells: 0 or -errno. */
static int find_segment(struct parts *parts, const struct side_address *peer)
{
	int error;

	session_check();
	if (spare_take(settings.ring_bytes, peer, &parts->segment)) {
		parts->ours[SEGMENT] = parts->segment.descriptor;
		parts->ours[DATA_BELL] = parts->segment.data_bell;
		parts->ours[SPACE_BELL] = parts->segment.space_bell;
		return 0;
	}
	parts->segment = (struct spare){.ring_bytes = settings.ring_bytes};
	spare_name(&parts->segment, peer);
	error = segment_create(settings.ring_bytes);
	if (error < 0)
		return error;
	parts->ours[SEGMENT] = error;
	error = pair(parts, DATA_BELL);
	return error ? error : pair(parts, SPACE_BELL);
}

/* 0 or -errno; then parts_close(). */
static int parts_make(struct parts *parts, const struct side_address *peer)
{
	int error = find_segment(parts, peer), stand_in[2] = {-1, -1};

	if (!error)
		error = stand_in_make(stand_in, &parts->short_of);
	parts->ours[STAND_IN] = stand_in[0];
	parts->theirs[STAND_IN] = stand_in[1];
	parts_hide(parts);
	return error;
}

/* A peer that waits for a rendezvous must not take the program's bytes for one. */
static void reset(struct connection *connection, int fd, const char *why)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	settings_say("descriptor %d: SMC-R was agreed on and is not to be had: reset: %s", fd, why);
	if (!is_attached(connection)) /* else the stand-in says so, whose other end is closed */
		atomic_fetch_or(&connection->ended, ENDED_RESET);
	(void)quiet_connect(fd, &nowhere, sizeof(nowhere));
}

static int say_rendezvous(const struct connection *connection, int fd, const struct parts *parts)
{
	const int all[] = {fd, parts->ours[SEGMENT], parts->theirs[DATA_BELL],
			   parts->theirs[SPACE_BELL], parts->theirs[STAND_IN]};
	const int again[] = {fd, parts->theirs[STAND_IN]};
	union message message;

	message_init(&message, MESSAGE_RENDEZVOUS);
	message.rendezvous.role =
		connection->opened_by_connect ? RENDEZVOUS_CLIENT : RENDEZVOUS_SERVER;
	message.rendezvous.ring_bytes = connection->send.bytes;
	message.rendezvous.element_bytes = connection->receive.bytes;
	message.rendezvous.segment = parts->segment.number;
	message.rendezvous.use = parts->segment.use;
	message.rendezvous.wish = parts->short_of ? RENDEZVOUS_DECLINE : RENDEZVOUS_TRY;
	message.rendezvous.local = connection->side->local;
	message.rendezvous.peer = connection->side->peer;
	if (parts->segment.memory) /* the daemon has the rest */
		return session_rendezvous(&message, again, RENDEZVOUS_FDS_AGAIN);
	return session_rendezvous(&message, all, RENDEZVOUS_FDS);
}

/* Rings, from the first byte on.  NULL, or why not. */
static const char *attach(struct connection *connection, const struct parts *parts)
{
	const struct move_parts rings = {
		.memory = parts->segment.memory,
		.segment = parts->ours[SEGMENT],
		.data_bell = parts->ours[DATA_BELL],
		.space_bell = parts->ours[SPACE_BELL],
		.stand_in = parts->ours[STAND_IN],
		.ring_bytes = settings.ring_bytes,
		.element_bytes = settings.element_bytes,
	};
	uint32_t established = PHASE_TCP;

	if (!move_set_up(connection, &rings))
		return "no memory";
	connection->spare = parts->segment;
	connection->spare.descriptor = parts->ours[SEGMENT];
	connection->spare.data_bell = parts->ours[DATA_BELL];
	connection->spare.space_bell = parts->ours[SPACE_BELL];
	connection->spare.memory = connection->control;
	for (unsigned int d = 0; d < 2; d++)
		atomic_store(&connection->control->direction[d].writer.switched, SWITCH_DONE);
	atomic_fetch_or(&our_writer(connection)->marks, MARK_ATTACHED);
	atomic_store(&connection->side->send.moved, MOVED);
	atomic_store(&connection->side->receive.moved, MOVED);
	atomic_store(&connection->side->reason, REASON_RENDEZVOUS);
	atomic_store(&connection->side->state, SIDE_SMCR);
	connection->handed_over = true;
	if (epoll_prepare(connection) &&
	    atomic_compare_exchange_strong(&connection->phase, &established, PHASE_ATTACHED))
		return NULL;
	atomic_store(&connection->side->state, SIDE_TCP);
	return "another thread made it TCP, or an epoll is full";
}

/* Which of these marks of the daemon's come within that time?  None if it dies first. */
static unsigned int await_marks(struct connection *connection, unsigned int wanted, uint64_t within_ns)
{
	const uint64_t deadline = now_ns() + within_ns;
	struct pollfd look[2] = {{.fd = connection->data_bell, .events = POLLIN},
				 {.fd = connection->stand_in}};
	uint32_t held;

	while (!(atomic_load(&peer_writer(connection)->marks) & wanted) && now_ns() < deadline &&
	       !look[1].revents) {
		bell_arm(connection, BELL_DATA);
		held = latch_pause();
		(void)quiet_poll(look, 2, LOOK_MS);
		latch_resume(held);
		if (look[0].revents)
			bell_seen(connection, BELL_DATA);
	}
	return atomic_load(&peer_writer(connection)->marks) & wanted;
}

/* Under --require: the verdict is waited for, and must be SMC-R. */
static void insist(struct connection *connection, int fd)
{
	const unsigned int verdicts = MARK_ATTACHED | MARK_DECLINED | MARK_BACK;

	if (await_marks(connection, verdicts, REQUIRE_NS) == MARK_ATTACHED)
		return;
	(void)libc.shutdown(connection->stand_in, SHUT_RDWR);
	atomic_fetch_or(&connection->ended, ENDED_RESET | ENDED_TCP | ENDED_HANGUP);
	reset(connection, fd, "the verdict is TCP, or there is none");
}

/* A decline is a short matter: it brings the descriptors back before the caller goes on. */
static void await_tcp(struct connection *connection, int fd)
{
	if (await_marks(connection, MARK_BACK, SHORT_NS))
		(void)remote_look(connection, fd);
}

void remote_hand_over(struct connection *connection, int fd)
{
	struct parts parts = {{-1, -1, -1, -1}, {-1, -1, -1, -1}, {.descriptor = -1}, false};
	const int saved = errno;
	const char *why = NULL;

	connection_describe(connection, fd);
	session_learn_policy(); /* of a child, which has no session yet */
	if (!connection->side)
		why = "no memory";
	else if (!settings.rendezvous)
		why = "no daemon";
	else if (!is_alone(connection))
		why = "another process has it as well";
	else if (parts_make(&parts, &connection->side->peer) < 0)
		why = "no descriptors";
	if (why) {
		parts_close(&parts);
		reset(connection, fd, why);
		errno = saved;
		return;
	}
	why = attach(connection, &parts);
	if (!why) {
		urgent_follow_owner(connection, fd);
		epoll_attach(connection);
		if (say_rendezvous(connection, fd, &parts) < 0)
			why = "the daemon does not take it";
		else if (!connection->opened_by_connect)
			sched_yield(); /* the peer waits for the daemon, the program for the peer */
	} else if (!connection->control) {
		parts_close(&parts);
		parts.theirs[DATA_BELL] = parts.theirs[SPACE_BELL] = parts.theirs[STAND_IN] = -1;
	}
	close_theirs(&parts);
	if (why) {
		connection->spare.number = 0;
		reset(connection, fd, why);
	} else if (settings.require) {
		insist(connection, fd);
	} else if (parts.short_of && !connection->opened_by_connect) {
		/* Some were the program's own numbers: its next accept() is to find them free again. */
		await_tcp(connection, fd);
	}
	errno = saved;
}

/* --- the verdict --- */

/*
 * May it move to shared memory of this host?  Not if something happened to it that only the rings' end tells of, or that
 * TCP counts in another way.
 */
static bool may_begin_anew(const struct connection *connection)
{
	const unsigned int harmless = ENDED_DATA_BELL | ENDED_SPACE_BELL;

	return is_alone(connection) && !atomic_load(&connection->stays_tcp) &&
	       !settings.sandboxed && !(atomic_load(&connection->ended) & ~harmless) &&
	       !atomic_load(&our_writer(connection)->urgent) &&
	       !(atomic_load(&our_writer(connection)->marks) & (MARK_SHUT | MARK_CLOSED));
}

/* The kernel has counted what the daemon sent of ours, and what it said and heard itself. */
static void count_daemons_bytes(struct connection *connection)
{
	const struct segment_control *control = connection->control;
	struct side_record *side = connection->side;

	atomic_fetch_add(&side->send.tcp_bytes,
			 atomic_load(&side->send.position) + atomic_load(&control->negotiated[0]));
	atomic_fetch_add(&side->receive.tcp_bytes, atomic_load(&control->negotiated[1]));
}

static void forget_ring(struct side_direction *direction)
{
	atomic_store(&direction->position, 0);
	atomic_store(&direction->moved, MOVED_NOT);
	direction->lap = direction->previous_lap = direction->seen = 0;
	atomic_store(&direction->high_water, 0);
}

/* PINNED, and nobody but us is inside: from the beginning, as if it had just been established. */
static void begin_anew(struct connection *connection)
{
	struct side_record *side = connection->side;
	uint32_t pinned = PHASE_PINNED;
	bool may = may_begin_anew(connection);

	if (may)
		count_daemons_bytes(connection);
	connection_give_up_rings(connection);
	if (!may)
		return;
	forget_ring(&side->send);
	forget_ring(&side->receive);
	atomic_store(&side->low_water, 0);
	atomic_fetch_and(&side->flags, ~SIDE_BACK);
	atomic_store(&connection->ended, 0);
	for (unsigned int i = 0; i < 2; i++) {
		connection->bell_armed[i] = connection->bell_rung[i] = false;
		connection->habits[i].hopeless = false;
	}
	connection->mismatches = 0;
	connection->not_trimmed_at = UINT64_MAX;
	connection->times_full = 0;
	connection->declined = true;
	atomic_compare_exchange_strong(&connection->phase, &pinned, PHASE_TCP);
}

/* Besides the table, and us. */
static bool others_are_here(const struct connection *connection)
{
	return atomic_load(&connection->users) > 2;
}

/* The rest is the kernel's. */
static void give_up(struct connection *connection, int fd)
{
	uint32_t attached = PHASE_ATTACHED;

	if (!atomic_compare_exchange_strong(&connection->phase, &attached, PHASE_PINNED))
		return;
	if (atomic_load(&our_writer(connection)->marks) & MARK_SHUT)
		(void)libc.shutdown(fd, SHUT_WR);
	if (is_alone(connection)) {
		atomic_store(&connection->side->send.moved, MOVED_NOT);
		atomic_store(&connection->side->receive.moved, MOVED_NOT);
	}
	epoll_go_back(connection);
	if (others_are_here(connection)) {
		connection->spare.number = 0;
		(void)libc.shutdown(connection->data_bell, SHUT_RD);
		(void)libc.shutdown(connection->space_bell, SHUT_RD);
	} else {
		begin_anew(connection);
	}
}

void remote_begin_anew(struct connection *connection)
{
	if (!settings.sandboxed && connection_phase(connection) == PHASE_PINNED &&
	    !others_are_here(connection))
		begin_anew(connection);
}

/* A writer that was inside when the daemon went back may have put something there. */
static bool is_drained(struct connection *connection)
{
	_Atomic uint32_t *lock = &connection->side->send.lock;
	bool drained;

	if (latch_take(lock) < 0)
		return false;
	drained = ring_unread(&connection->send) == 0;
	latch_drop(lock);
	return drained;
}

bool remote_look_slowly(struct connection *connection, int fd)
{
	const int saved = errno;
	unsigned int marks;

	if (!is_attached(connection)) /* another thread may be about to unmap the marks */
		return true;
	marks = atomic_load(&peer_writer(connection)->marks);
	if (!(marks & MARK_BACK)) {
		uint32_t waiting = REASON_RENDEZVOUS;

		if (marks & MARK_ATTACHED)
			atomic_compare_exchange_strong(&connection->side->reason, &waiting,
						       REASON_NONE);
		return false;
	}
	move_note_back(connection, REASON_BACK);
	if (!is_drained(connection))
		return false;
	give_up(connection, connection_fd(connection, fd));
	errno = saved;
	return !is_attached(connection);
}

bool remote_is_lost(struct connection *connection, int fd)
{
	const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	struct pollfd look = {.fd = connection->stand_in};

	if (quiet_poll(&look, 1, 0) <= 0 || ring_unread(&connection->send) == 0)
		return false;
	if (!(atomic_fetch_or(&connection->ended, ENDED_BROKEN) & ENDED_BROKEN)) {
		libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		libc.shutdown(fd, SHUT_RDWR);
	}
	return true;
}

/* --- what a TCP socket would do --- */

void remote_broke(struct connection *connection, int fd)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	if (!is_back(connection))
		(void)quiet_connect(connection_fd(connection, fd), &nowhere, sizeof(nowhere));
}

int remote_take_error(struct connection *connection, int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	(void)libc.getsockopt(connection->stand_in, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error)
		remote_broke(connection, fd);
	/* A reset after the end of file. */
	if (error == ECONNRESET && (atomic_load(&peer_writer(connection)->marks) & MARK_SHUT))
		error = EPIPE;
	return error;
}

ssize_t remote_send(struct connection *connection, int fd, const struct msghdr *message, int flags)
{
	const int error = remote_take_error(connection, fd);

	if (error && error != EPIPE)
		return -error;
	if (stream_is_nonblocking(connection, flags)) /* the stand-in itself is not */
		flags |= MSG_DONTWAIT;
	return stream_kernel_send(connection, NULL, connection->stand_in, message,
				  flags & ~(MSG_MORE | MSG_OOB));
}

int remote_shutdown(struct connection *connection, int fd, int how)
{
	int result = libc.shutdown(connection->stand_in, how);

	/* The stand-in may be closed already where the verdict was TCP. */
	if (is_back(connection) && ring_unread(&connection->send) == 0)
		result = libc.shutdown(fd, how);
	else if (receive_is_back(connection) && how != SHUT_WR)
		result = libc.shutdown(fd, SHUT_RD);
	return result;
}

void remote_note_keep_alive(int fd, const void *value)
{
	struct connection *connection = connection_get(fd);
	const int on = 1;
	int wanted = 0;

	if (!connection)
		return;
	if (is_attached(connection) && is_remote(connection) && !is_back(connection) &&
	    user_copy(&wanted, value, sizeof(wanted))) {
		atomic_store(&our_writer(connection)->keep_alive,
			     wanted ? KEEP_ALIVE_ON : KEEP_ALIVE_OFF);
		if (!wanted && atomic_load(&peer_writer(connection)->marks) & MARK_ATTACHED)
			(void)libc.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	connection_put(connection);
}

void remote_show_keep_alive(int fd, void *value, socklen_t length)
{
	struct connection *connection = connection_get(fd);
	uint32_t noted = KEEP_ALIVE_AS_TCP;
	int number;

	if (!connection)
		return;
	if (is_attached(connection) && is_remote(connection) && !is_back(connection))
		noted = atomic_load(&our_writer(connection)->keep_alive);
	number = noted == KEEP_ALIVE_ON;
	if (noted != KEEP_ALIVE_AS_TCP && length <= sizeof(number))
		(void)user_copy(value, &number, length);
	connection_put(connection);
}

void remote_linger(struct connection *connection, int fd)
{
	struct pollfd look = {.fd = connection->stand_in};
	struct linger linger = {0};
	socklen_t length = sizeof(linger);
	uint64_t deadline;

	if (!settings.sandboxed && quiet_poll(&look, 1, 0) > 0 && (look.revents & POLLERR)) {
		remote_broke(connection, fd);
		return;
	}
	if (settings.sandboxed ||
	    libc.getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) < 0 || !linger.l_onoff ||
	    linger.l_linger <= 0)
		return;
	deadline = now_ns() + (uint64_t)linger.l_linger * UINT64_C(1000000000);
	while (ring_unread(&connection->send) && now_ns() < deadline)
		if (quiet_poll(&look, 1, LOOK_MS) != 0)
			return; /* nobody is there any more, or a signal came */
}
