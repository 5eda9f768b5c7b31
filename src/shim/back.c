/* SPDX-License-Identifier: MIT */
#include "shim/back.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "shim/bell.h"
#include "shim/clock.h"
#include "shim/connection.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/heirloom.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/move.h"
#include "shim/quiet.h"

#define PATIENCE_NS                                                                                \
	1000000000ULL /* how long a peer may be inside: it was stopped there, or it lies */
#define READER_NS 20000000ULL /* how long a woken reader may take; one that does not read never comes */
#define MOMENT_NS 100000L

static const struct timespec moment = {.tv_nsec = MOMENT_NS};

/* One whose peer is on another host cannot: TCP carries nothing there. */
static bool goes_back(const struct connection *connection)
{
	return is_attached(connection) && !is_remote(connection);
}

/* Nothing more goes into our ring, and the peer is asked to put nothing into its own. */
static void say_it(struct connection *connection)
{
	_Atomic uint32_t *lock;
	bool locked;

	if (!goes_back(connection))
		return;
	lock = &connection->side->send.lock;
	locked = latch_take(lock) == 0;
	atomic_fetch_or(&our_writer(connection)->marks, MARK_BACK);
	move_forbid(connection);
	if (locked)
		latch_drop(lock);
}

/* After it, who is not inside will see the mark. */
static void make_it_seen(void)
{
	/* Without it (an old kernel): a store does not stay unseen for a moment. */
	if (libc.syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		quiet_sleep(&moment);
}

static void wait_for_writers(const struct connection *connection, uint64_t deadline)
{
	while (goes_back(connection) && atomic_load(&peer_busy(connection)->inside) &&
	       now_ns() < deadline)
		quiet_sleep(&moment);
}

/*
 * A reader that sleeps in the kernel since before the switch takes all that TCP has when it is woken.  What we
 * send there is not to be among it: it gets the time to go on into the ring.
 */
static void wait_for_the_reader(const struct connection *connection, uint64_t deadline)
{
	while (goes_back(connection) && send_has_moved(connection) &&
	       ring_unread(&connection->send) == atomic_load(&our_writer(connection)->produced) &&
	       ring_unread(&connection->send) && now_ns() < deadline)
		quiet_sleep(&moment);
}

/* Who sleeps on a bell, there or here, looks: the bells are no longer rung. */
static void wake_all(struct connection *connection, bool others_here)
{
	bell_tell_reader(connection);
	(void)bell_answer(connection, &peer_writer(connection)->wants_space, BELL_SPACE);
	if (!others_here)
		return;
	(void)libc.shutdown(connection->data_bell, SHUT_RD);
	(void)libc.shutdown(connection->space_bell, SHUT_RD);
}

static void give_up_descriptors(struct connection *connection)
{
	fd_unhide(connection->data_bell);
	fd_unhide(connection->space_bell);
	fd_unhide(connection->segment);
	connection->data_bell = connection->space_bell = connection->segment = -1;
}

/* Are other threads inside a call, or other processes' memory ours? */
static bool others_are_here(const struct connection *connection)
{
	return atomic_load(&connection->users) > 2 || !fd_table_is_ours(); /* the table, and we */
}

/* It is the kernel's, and the rest, if there is one, is read first. */
static void become_tcp(struct connection *connection)
{
	uint32_t attached = PHASE_ATTACHED;
	bool others_here;

	if (!atomic_compare_exchange_strong(&connection->phase, &attached, PHASE_BACK))
		return; /* another thread was first */
	epoll_go_back(connection);
	others_here = others_are_here(connection);
	wake_all(connection, others_here);
	if (!others_here)
		give_up_descriptors(connection);
}

/**
 * struct departure - of several
 * @all: of everything, into a sandbox; else of those that are marked
 * @deadline: for writers; @readers: for readers
 */
struct departure {
	bool all;
	enum reason reason;
	uint64_t deadline;
	uint64_t readers;
};

static bool is_leaving(const struct connection *connection, const struct departure *departure)
{
	return departure->all || atomic_load(&connection->goes_back);
}

static void say_each(struct connection *connection, void *context)
{
	if (!connection_hold(connection))
		return;
	if (is_leaving(connection, context))
		say_it(connection);
	connection_put(connection);
}

static void wait_each(struct connection *connection, void *context)
{
	const struct departure *departure = context;

	if (!connection_hold(connection))
		return;
	if (is_leaving(connection, departure)) {
		wait_for_writers(connection, departure->deadline);
		wait_for_the_reader(connection, departure->readers);
	}
	connection_put(connection);
}

/* The writers are out. */
static void arrive(struct connection *connection, enum reason reason, bool with_rest)
{
	move_note_back(connection, reason);
	if (with_rest || ring_available(&connection->receive) == 0)
		become_tcp(connection);
	else
		wake_all(connection, others_are_here(connection));
}

static void arrive_each(struct connection *connection, void *context)
{
	const struct departure *departure = context;

	if (!connection_hold(connection))
		return;
	if (goes_back(connection) && is_leaving(connection, departure)) {
		/* All of it, since the peer may say at any time that it wrote there. */
		if (departure->all)
			(void)ring_map(&connection->receive);
		arrive(connection, departure->reason, departure->all);
	}
	atomic_store(&connection->goes_back, false);
	connection_put(connection);
}

static void depart(struct departure *departure)
{
	const int saved = errno;

	if (!connection_any_attached())
		return;
	connection_each(say_each, departure);
	make_it_seen();
	departure->deadline = now_ns() + PATIENCE_NS;
	departure->readers = now_ns() + READER_NS;
	connection_each(wait_each, departure);
	connection_each(arrive_each, departure);
	errno = saved;
}

void back_all(void)
{
	depart(&(struct departure){.all = true, .reason = REASON_SANDBOX});
}

void back_mark(struct connection *connection)
{
	if (goes_back(connection))
		atomic_store(&connection->goes_back, true);
}

void back_marked(enum reason reason)
{
	depart(&(struct departure){.reason = reason});
}

bool back_one(struct connection *connection, enum reason reason)
{
	const int saved = errno;

	if (goes_back(connection)) {
		say_it(connection);
		make_it_seen();
		wait_for_writers(connection, now_ns() + PATIENCE_NS);
		wait_for_the_reader(connection, now_ns() + READER_NS);
		arrive(connection, reason, false);
	}
	errno = saved;
	return !is_attached(connection) && !has_rest(connection);
}

bool back_unless_rest(struct connection *connection, enum reason reason)
{
	if (goes_back(connection) && ring_available(&connection->receive))
		return false;
	return back_one(connection, reason);
}

/* Nobody of either end is inside a write any more. */
static bool are_out(struct segment_control *control)
{
	const uint64_t deadline = now_ns() + PATIENCE_NS;

	for (unsigned int end = 0; end < 2; end++)
		while (atomic_load(&control->direction[end].busy.inside)) {
			if (now_ns() >= deadline)
				return false;
			quiet_sleep(&moment);
		}
	return true;
}

static bool is_unread(struct segment_control *control, unsigned int end)
{
	struct segment_direction *in = &control->direction[!end];

	return atomic_load(&in->writer.produced) != atomic_load(&in->reader.consumed);
}

static void ring_for(_Atomic uint32_t *armed, int bell)
{
	if (atomic_exchange(armed, 0))
		(void)quiet_send(bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool back_by_segment(const struct heirloom *heirloom)
{
	struct segment_control *control = memory_map(heirloom->segment, SEGMENT_PAGE);
	struct segment_direction *out;
	uint32_t none = SWITCH_NONE;
	bool goes;

	if (control == MAP_FAILED)
		return false;
	goes = !is_unread(control, heirloom->end);
	if (goes) {
		out = &control->direction[heirloom->end];
		atomic_fetch_or(&out->writer.marks, MARK_BACK);
		atomic_compare_exchange_strong(&out->writer.switched, &none, SWITCH_OFF);
		make_it_seen();
		goes = are_out(control) && !is_unread(control, heirloom->end);
		ring_for(&out->armed.wants_data, heirloom->data_bell);
		ring_for(&control->direction[!heirloom->end].writer.wants_space,
			 heirloom->space_bell);
	}
	munmap(control, SEGMENT_PAGE);
	return goes;
}
