/* SPDX-License-Identifier: MIT */
#include "shim/sandbox.h"

#include <errno.h>

#include "ring/lock.h"
#include "shim/back.h"
#include "shim/connection.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/offer.h"
#include "shim/quiet.h"
#include "shim/session.h"
#include "shim/settings.h"
#include "shim/user_memory.h"

#define IN_BITS (POLLIN | POLLRDNORM)

/* One that has no rings, and gets none: so settings.sandboxed says already. */
static void stay(struct connection *connection, void *context)
{
	(void)context;
	if (!connection_hold(connection))
		return;
	offer_withdraw(connection);
	if (connection->side && !is_attached(connection)) {
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

	if (settings.sandboxed || settings.off)
		return;
	offer_settle_all();
	settings.sandboxed = true; /* no offers any more, and no new rings */
	session_let_finish();
	connection_each(stay, NULL);
	back_all();
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
