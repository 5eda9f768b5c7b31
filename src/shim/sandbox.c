/* SPDX-License-Identifier: MIT */
#include "shim/sandbox.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>

#include "ring/lock.h"
#include "shim/bell.h"
#include "shim/clock.h"
#include "shim/connection.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/offer.h"
#include "shim/session.h"
#include "shim/settings.h"
#include "shim/user_memory.h"

#define IN_BITS (POLLIN | POLLRDNORM)
#define PATIENCE_NS                                                                                \
	1000000000ULL /* how long a peer may be inside: it was stopped there, or it lies */
#define MOMENT_NS 100000L

static const struct timespec moment = {.tv_nsec = MOMENT_NS};

/* Keep @connection while we look at it; false: it was closed. */
static bool hold(struct connection *connection)
{
	atomic_fetch_add(&connection->users, 1);
	if (atomic_load(&connection->descriptors) > 0)
		return true;
	connection_put(connection);
	return false;
}

/* One whose peer is on another host cannot: TCP carries nothing there. */
static bool goes_back(const struct connection *connection)
{
	return is_attached(connection) && !is_remote(connection);
}

/* Nothing more goes into our ring, and the peer is asked to put nothing into its own. */
static void say_it(struct connection *connection, void *context)
{
	bool locked;

	(void)context;
	if (!hold(connection))
		return;
	if (goes_back(connection)) {
		_Atomic uint32_t *lock = &connection->side->send.lock;

		locked = lock_take(lock, thread_id()) == 0;
		atomic_fetch_or(&our_writer(connection)->marks, MARK_BACK);
		move_forbid(connection);
		if (locked)
			lock_drop(lock);
	}
	connection_put(connection);
}

/* After the barrier who is not inside will see the mark. */
static void wait_for_writers(struct connection *connection, void *context)
{
	const uint64_t *deadline = context;

	if (!hold(connection))
		return;
	while (goes_back(connection) && atomic_load(&peer_writer(connection)->inside) &&
	       now_ns() < *deadline)
		nanosleep(&moment, NULL);
	connection_put(connection);
}

/* Who sleeps on a bell, there or here, looks: the bells are no longer rung. */
static void wake_all(struct connection *connection, bool others_here)
{
	bell_tell_reader(connection);
	if (atomic_exchange(&peer_writer(connection)->wants_space, 0))
		bell_ring(connection, BELL_SPACE);
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

static void go_back(struct connection *connection)
{
	bool others_here;

	/* All of it, since the peer may say at any time that it wrote there. */
	(void)ring_map(&connection->receive);
	move_note_back(connection);
	atomic_store(&connection->phase, PHASE_BACK);
	epoll_go_back(connection);
	others_here = atomic_load(&connection->users) > 2; /* the table, and we */
	wake_all(connection, others_here);
	if (!others_here)
		give_up_descriptors(connection);
}

static void stay_or_go_back(struct connection *connection, void *context)
{
	(void)context;
	if (!hold(connection))
		return;
	offer_withdraw(connection);
	if (goes_back(connection)) {
		go_back(connection);
	} else if (connection->side && !is_attached(connection)) {
		if (connection->id)
			session_withdraw(connection->id);
		connection->id = 0;
		connection_pin(connection, REASON_SANDBOX);
	}
	connection_put(connection);
}

void sandbox_enter(void)
{
	const int saved = errno;
	uint64_t deadline;

	if (settings.sandboxed || settings.off)
		return;
	offer_settle_all();
	settings.sandboxed = true; /* no offers any more, and no new rings */
	session_let_finish();
	if (connection_any_attached()) {
		connection_each(say_it, NULL);
		/* Without it (an old kernel): a store does not stay unseen for a moment. */
		if (libc.syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
			nanosleep(&moment, NULL);
		deadline = now_ns() + PATIENCE_NS;
		connection_each(wait_for_writers, &deadline);
	}
	connection_each(stay_or_go_back, NULL);
	epoll_give_up();
	fd_limits_show();
	settings_say("the program sandboxes itself: all stays TCP");
	errno = saved;
}

void sandbox_be_silent(bool silent)
{
	(void)thread_id(); /* it has to be asked for */
	fd_table_is_certain = silent;
	atomic_store(&lock_is_quiet, silent);
}

void sandbox_leave(void)
{
	const int saved = errno;

	if (!settings.sandboxed)
		return;
	fd_limits_raise();
	settings.sandboxed = false;
	errno = saved;
}

/* What a poll for @entry does not learn from the kernel. */
static short rest_bits(const struct pollfd *entry)
{
	struct connection *connection = connection_get(entry->fd);
	bool rest = connection && has_rest(connection) && move_receive(connection);

	if (connection)
		connection_put(connection);
	return rest ? entry->events & IN_BITS : 0;
}

bool sandbox_has_rest(const struct pollfd *fds, nfds_t count)
{
	struct pollfd entry;

	if (connection_none() || count > (nfds_t)FD_TABLE_MAX)
		return false;
	for (nfds_t i = 0; i < count && user_copy(&entry, &fds[i], sizeof(entry)); i++)
		if (rest_bits(&entry))
			return true;
	return false;
}

int sandbox_add_rest(struct pollfd *fds, nfds_t count, int n)
{
	for (nfds_t i = 0; i < count; i++) {
		short bits = rest_bits(&fds[i]);

		if (bits && !fds[i].revents)
			n++;
		fds[i].revents |= bits;
	}
	return n;
}
