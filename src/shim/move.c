/* SPDX-License-Identifier: MIT */
#include "shim/move.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "shim/bell.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/quiet.h"
#include "shim/remote.h"

#define STATE_ESTABLISHED 1 /* tcpi_state */
#define STATE_FIN_WAIT2 5 /* with all that come behind it there is a FIN of the peer's */
#define TURNS_DUE 2U /* the second exchange */
#define REQUIRE_SECONDS 2 /* what --require grants the daemon and the peer */
#define MOVE_AFTER_BUILT_IN 16384U
#define SWITCH_MOST 4096U /* a call up to that size switches whole */

static uint64_t coarse_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

/* How many bytes the kernel says that programs wrote to, and read from, an established socket. */
struct kernel_counts {
	uint64_t written;
	uint64_t read;
};

static bool tcp_info(int fd, struct tcp_info *info)
{
	socklen_t length = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &length) == 0;
}

/* Of a socket in any state; the peer's FIN counts as received, and not as queued. */
static bool count_read(int fd, uint64_t *count)
{
	struct tcp_info before, after;
	int queued;

	if (!tcp_info(fd, &before) || libc.ioctl(fd, SIOCINQ, &queued) < 0 ||
	    !tcp_info(fd, &after) || before.tcpi_bytes_received != after.tcpi_bytes_received)
		return false;
	*count = (uint64_t)queued + (after.tcpi_state > STATE_FIN_WAIT2 ? 1U : 0U);
	if (*count > after.tcpi_bytes_received) /* it was disconnected */
		return false;
	*count = after.tcpi_bytes_received - *count;
	return true;
}

static bool count_in_kernel(const struct connection *connection, int fd, bool both,
			    struct kernel_counts *counts)
{
	struct tcp_info before, after;
	int queued_out, queued_in;

	/* Three calls are no snapshot: repeat until nothing moved in between. */
	for (int attempt = 0; attempt < 4; attempt++) {
		if (!tcp_info(fd, &before) || before.tcpi_state != STATE_ESTABLISHED ||
		    libc.ioctl(fd, SIOCOUTQ, &queued_out) < 0 ||
		    libc.ioctl(fd, SIOCINQ, &queued_in) < 0 || !tcp_info(fd, &after) ||
		    after.tcpi_state != STATE_ESTABLISHED)
			return false;
		if (before.tcpi_bytes_acked != after.tcpi_bytes_acked ||
		    (both && before.tcpi_bytes_received != after.tcpi_bytes_received))
			continue;
		counts->written = (uint64_t)after.tcpi_bytes_acked + (uint64_t)queued_out -
				  (connection->opened_by_connect ? 1U : 0U); /* its SYN */
		counts->read = (uint64_t)after.tcpi_bytes_received - (uint64_t)queued_in;
		return true;
	}
	return false;
}

/* Under --require: a connection that should have moved by now is no good. */
static void insist(struct connection *connection, int fd)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	enum phase phase = connection_phase(connection);

	if (phase == PHASE_ATTACHED || phase == PHASE_BACK || connection->offered_at == 0 ||
	    settings.sandboxed)
		return;
	if (phase != PHASE_PINNED && coarse_seconds() < connection->offered_at + REQUIRE_SECONDS)
		return;
	settings_say("connection on descriptor %d stays TCP and is reset: %s", fd,
		     reason_text(connection->side->reason));
	(void)quiet_connect(fd, &nowhere, sizeof(nowhere));
}

/* That another host has declined tells more than that its connection is no one of this host. */
static enum reason waiting_reason(const struct connection *connection)
{
	return connection->declined ? REASON_DECLINED : REASON_WAITING;
}

void move_offer(struct connection *connection, int fd)
{
	struct side_record *side = connection->side;
	uint32_t expected = PHASE_TCP;
	int error;

	if (settings.sandboxed)
		return;
	if (settings.require && connection->offered_at == 0)
		connection->offered_at = coarse_seconds();
	if (session_is_away())
		return;
	connection_describe(connection, fd);
	if (!is_alone(connection)) {
		side->reason = REASON_SHARED;
		return;
	}
	if (!atomic_compare_exchange_strong(&connection->phase, &expected, PHASE_OFFERED))
		return;
	side->reason = waiting_reason(connection);
	error = session_offer(connection, fd);
	if (error) {
		expected = PHASE_OFFERED;
		side->reason = REASON_NO_DAEMON;
		atomic_compare_exchange_strong(&connection->phase, &expected, PHASE_TCP);
	}
}

static bool is_due(const struct connection *connection)
{
	const struct side_record *side = connection->side;

	if (connection->turns >= TURNS_DUE && settings.move_after == MOVE_AFTER_BUILT_IN)
		return true;
	return side->send.tcp_bytes + side->receive.tcp_bytes >= settings.move_after;
}

void move_account_slowly(struct connection *connection, int fd, enum way way)
{
	if (connection->last_call != way) {
		if (connection->last_call != DIRECTION_NONE && connection->turns < TURNS_DUE)
			connection->turns++;
		connection->last_call = (uint8_t)way;
	}
	if (__builtin_expect(is_remote(connection), 0)) /* not any more: it was given up */
		remote_begin_anew(connection);
	if (connection_phase(connection) == PHASE_TCP && is_due(connection))
		move_offer(connection, fd);
	if (__builtin_expect(settings.require, 0))
		insist(connection, fd);
}

static bool may_attach(struct connection *connection, enum reason *reason)
{
	int low_water = 1;
	socklen_t length = sizeof(low_water);

	*reason = REASON_SHARED;
	if (!is_alone(connection))
		return false;
	*reason = REASON_OPTION;
	libc.getsockopt(connection->fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, &length);
	return low_water <= 1;
}

static void drop_parts(const struct move_parts *parts)
{
	fd_unhide(parts->segment);
	fd_unhide(parts->data_bell);
	fd_unhide(parts->space_bell);
}

/*
 * From here on all threads use the rings; false: one of them has pinned the connection meanwhile.
 *
 * One that gives the socket away says so first and pins it then: either it was before us, or it finds
 * rings, or we see here what it said.  Whoever gets the socket has no rings then, and nothing may move.
 */
static bool enter_rings(struct connection *connection)
{
	uint32_t offered = PHASE_OFFERED, waiting = waiting_reason(connection);
	_Atomic uint32_t *reason = &connection->side->reason;

	if (!atomic_compare_exchange_strong(&connection->phase, &offered, PHASE_ATTACHED))
		return false;
	if (is_alone(connection)) {
		atomic_compare_exchange_strong(reason, &waiting, REASON_ATTACHED);
	} else {
		move_forbid(connection);
		atomic_store(reason, REASON_SHARED);
	}
	return true;
}

bool move_attach(struct connection *connection, const struct message_paired *paired, const int *fds)
{
	struct move_parts parts = {.stand_in = -1,
				   .ring_bytes = paired->ring_bytes,
				   .end = paired->end,
				   .same_user = paired->flags & PAIRED_SAME_USER};
	enum reason reason;

	if (connection_phase(connection) != PHASE_OFFERED ||
	    !segment_bytes_valid(paired->ring_bytes))
		return false;
	if (!may_attach(connection, &reason)) {
		connection_pin(connection, reason);
		return false;
	}
	parts.segment = fd_hide_of_connection(fds[0]);
	parts.data_bell = fd_hide_of_connection(fds[1]);
	parts.space_bell = fd_hide_of_connection(fds[2]);
	if (parts.segment < 0 || parts.data_bell < 0 || parts.space_bell < 0) {
		drop_parts(&parts);
		connection_pin(connection, REASON_DESCRIPTORS);
		return true; /* they are closed */
	}
	if (!move_set_up(connection, &parts)) {
		drop_parts(&parts);
		connection_pin(connection, REASON_MEMORY);
		return true;
	}
	if (!epoll_prepare(connection)) {
		connection_pin(connection, REASON_DESCRIPTORS);
		return true; /* the rings are unused and go with the connection */
	}
	if (!enter_rings(connection)) {
		connection_give_up_rings(connection);
		return true;
	}
	epoll_attach(connection);
	move_confirm(connection, connection->fd, 0);
	return true;
}

bool move_take_up(struct connection *connection, struct side_record *side,
		  const struct move_parts *parts)
{
	connection->side = side;
	if (!move_set_up(connection, parts)) {
		connection->side = NULL;
		return false;
	}
	atomic_store(&connection->phase, PHASE_ATTACHED);
	return true;
}

void move_refused(struct connection *connection, enum reason reason)
{
	if (connection->declined && reason == REASON_ELSEWHERE)
		reason = REASON_DECLINED;
	if (connection_phase(connection) == PHASE_OFFERED)
		connection_pin(connection, reason);
}

void move_forbid(struct connection *connection)
{
	struct segment_writer *ours = our_writer(connection);
	uint32_t none = SWITCH_NONE;

	atomic_compare_exchange_strong(&ours->switched, &none, SWITCH_OFF);
}

static void second_user(struct connection *connection)
{
	move_forbid(connection);
	connection->side->reason = REASON_SECOND_USER;
	settings_say("descriptor %d: %s", connection->fd, reason_text(REASON_SECOND_USER));
}

void move_confirm_slowly(struct connection *connection, int fd, uint32_t own)
{
	struct side_record *side = connection->side;
	struct segment_writer *ours = our_writer(connection);
	struct kernel_counts counts;
	uint64_t sent, received;
	uint32_t reading;

	if (atomic_load(&ours->switched) == SWITCH_OFF ||
	    (atomic_load(&side->flags) & SIDE_GIVEN_AWAY)) /* who has it may know of no rings */
		return;
	/* Who never blocks in a call waits somewhere: past libc, where nothing in a ring would wake it? */
	if ((atomic_load(&side->flags) & SIDE_NONBLOCK) && !atomic_load(&connection->waited_for))
		return;
	reading = atomic_load(&side->receive.in_kernel);
	if (reading > 1 || atomic_load(&connection->pollers))
		return;
	sent = atomic_load(&side->send.tcp_bytes);
	received = atomic_load(&side->receive.tcp_bytes);
	if (!count_in_kernel(connection, fd, true, &counts))
		return;
	if (counts.read == received && counts.written == sent) {
		atomic_fetch_or(&ours->marks, MARK_ATTACHED);
		return;
	}
	/* A call of another thread that was under way has changed the one or the other. */
	if (sent != atomic_load(&side->send.tcp_bytes) ||
	    received != atomic_load(&side->receive.tcp_bytes))
		return;
	if (reading == own && atomic_load(&side->receive.in_kernel) == own &&
	    atomic_load(&side->send.in_kernel) == 0 && ++connection->mismatches > 2)
		second_user(connection);
}

/* 1: nobody else has written to the socket; 0: somebody has; -1: cannot tell now. */
static int sender_is_alone(struct connection *connection, int fd)
{
	struct kernel_counts counts;

	if (!count_in_kernel(connection, fd, false, &counts))
		return -1;
	return counts.written == atomic_load(&connection->side->send.tcp_bytes);
}

static bool has_much_room(int fd)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t length = sizeof(memory);

	return libc.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) == 0 &&
	       memory[SK_MEMINFO_WMEM_QUEUED] <= memory[SK_MEMINFO_SNDBUF] / 2;
}

/*
 * The part of a call that switches: all of a small one, since a reader asleep in the kernel returns with
 * it, but only where there is so much room that the kernel takes all or nothing.  Else a single byte.
 */
static size_t switching_part(int fd, const struct place *place, size_t want, struct msghdr *message)
{
	size_t size = want <= SWITCH_MOST && has_much_room(fd) ? want : 1;

	message->msg_iovlen = (size_t)place_vectors(place, message->msg_iov, size);
	if (place_total(message->msg_iov, (int)message->msg_iovlen) == size)
		return size;
	message->msg_iovlen = (size_t)place_vectors(place, message->msg_iov, 1);
	return 1;
}

/* With the send lock held. */
static ssize_t switch_with(struct connection *connection, int fd, const struct place *place,
			   size_t want)
{
	struct iovec some[PLACE_VECTORS];
	struct msghdr message = {.msg_iov = some};
	struct side_record *side = connection->side;
	struct segment_writer *ours = our_writer(connection);
	uint64_t sent = atomic_load(&side->send.tcp_bytes);
	size_t size;
	ssize_t n;
	int alone;

	if (atomic_load(&side->send.in_kernel) || atomic_load(&side->send.moved))
		return 0;
	alone = sender_is_alone(connection, fd);
	if (alone != 1) {
		if (alone == 0)
			second_user(connection);
		return 0;
	}
	size = switching_part(fd, place, want, &message);
	atomic_store(&ours->switch_at, sent + size);
	atomic_store(&ours->switched, SWITCH_BEGUN);
	n = quiet_sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n <= 0) {
		atomic_store(&ours->switched, SWITCH_NONE); /* never reached: as if nothing was */
		return n < 0 && errno == EAGAIN ? -EAGAIN : 0;
	}
	atomic_fetch_add(&side->send.tcp_bytes, (uint64_t)n);
	if ((size_t)n == want) /* else what puts the rest into the ring counts the call */
		side_count_call(&side->send);
	if ((size_t)n != size) { /* a bad address behind a good one: never reached either */
		atomic_store(&ours->switched, SWITCH_OFF);
		return n;
	}
	alone = sender_is_alone(connection, fd);
	for (int again = 0; alone < 0 && again < 16; again++)
		alone = sender_is_alone(connection, fd);
	if (alone != 1) {
		atomic_store(&ours->switched, SWITCH_OFF);
		side->reason = REASON_SECOND_USER;
		return n;
	}
	atomic_store(&side->send.moved, MOVED);
	atomic_store(&ours->switched, SWITCH_DONE);
	return n;
}

static void note_moved(struct connection *connection)
{
	if (is_remote(connection))
		return; /* it was made moved */
	atomic_store(&connection->side->reason, REASON_NONE);
	atomic_store(&connection->side->state, SIDE_SHM);
}

void move_note_back(struct connection *connection, enum reason reason)
{
	struct side_record *side = connection->side;

	if (atomic_load_explicit(&side->flags, memory_order_relaxed) & SIDE_BACK)
		return;
	atomic_store(&side->reason, is_remote(connection) ? REASON_DECLINED : reason);
	atomic_store(&side->state, SIDE_TCP);
	atomic_fetch_or(&side->flags, SIDE_BACK);
}

ssize_t move_send(struct connection *connection, int fd, const struct place *place, size_t want)
{
	struct side_record *side = connection->side;
	const int saved = errno;
	ssize_t result;

	if (latch_take(&side->send.lock) < 0)
		return 0;
	result = 0;
	if (writer_enter(connection)) {
		result = switch_with(connection, fd, place, want);
		writer_leave(connection);
	}
	if (send_has_moved(connection)) {
		note_moved(connection);
		bell_tell_reader(connection);
	}
	latch_drop(&side->send.lock);
	errno = saved;
	return result;
}

/* An urgent byte on its way is received, and neither queued nor read. */
static bool has_urgent(const struct connection *connection)
{
	return atomic_load(&peer_writer(connection)->urgent) != 0 || is_back(connection);
}

/*
 * Who has read, and could not count it: a signal handler has jumped out just then.  While nobody reads the kernel
 * knows, and else who reads comes here again.
 */
static void count_again(struct connection *connection)
{
	struct side_direction *direction = &connection->side->receive;
	uint64_t counted = atomic_load(&direction->tcp_bytes);
	uint64_t read;

	if (settings.sandboxed || atomic_load(&direction->in_kernel) || has_urgent(connection))
		return;
	if (count_read(atomic_load(&connection->fd), &read) && read > counted &&
	    atomic_load(&direction->in_kernel) == 0 && !has_urgent(connection))
		atomic_compare_exchange_strong(&direction->tcp_bytes, &counted, read);
}

bool move_receive(struct connection *connection)
{
	struct side_record *side = connection->side;
	const struct segment_writer *theirs = peer_writer(connection);

	if (atomic_load(&side->receive.moved))
		return true;
	if (atomic_load_explicit(&theirs->switched, memory_order_acquire) != SWITCH_DONE)
		return false;
	if (atomic_load(&side->receive.tcp_bytes) < atomic_load(&theirs->switch_at))
		count_again(connection);
	if (atomic_load(&side->receive.tcp_bytes) < atomic_load(&theirs->switch_at))
		return false;
	atomic_store(&side->receive.moved,
		     ring_available(&connection->receive) ? MOVED_ONTO_DATA : MOVED);
	note_moved(connection);
	return true;
}

bool move_at_the_switch(const struct connection *connection)
{
	const struct segment_writer *theirs = peer_writer(connection);
	uint32_t switched = atomic_load_explicit(&theirs->switched, memory_order_acquire);

	return (switched == SWITCH_BEGUN || switched == SWITCH_DONE) &&
	       atomic_load(&connection->side->receive.tcp_bytes) >= atomic_load(&theirs->switch_at);
}
