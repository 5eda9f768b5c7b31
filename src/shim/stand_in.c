/* SPDX-License-Identifier: MIT */
#include "shim/stand_in.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring/doorbell.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/quiet.h"
#include "shim/settings.h"

_Atomic bool stand_in_wanted;
static _Atomic uint32_t lock;
static int prepared[2] = {-1, -1};
static pid_t owner; /* a child that was made behind our back must not use what is its parent's */

static void discard(int ends[2])
{
	for (int i = 0; i < 2; i++)
		fd_unhide(ends[i]);
	ends[0] = ends[1] = -1;
}

static int make(int ends[2], bool *short_of)
{
	const int in_line = 1;
	int error = doorbell_create(ends);

	if (error)
		return error;
	if (libc.setsockopt(ends[0], SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof(in_line)) < 0)
		error = -errno;
	/* Unread at the daemon's end: its closing, or its death, is a reset. */
	if (!error && quiet_send(ends[0], "", 1, MSG_NOSIGNAL) != 1)
		error = -errno;
	for (int i = 0; i < 2; i++)
		ends[i] = fd_hide_for_a_moment(ends[i], short_of);
	if (error)
		discard(ends);
	return error;
}

int stand_in_make(int ends[2], bool *short_of)
{
	bool found = false;

	if (latch_take(&lock) == 0) {
		const pid_t we = getpid();

		found = owner == we && prepared[0] >= 0;
		for (int i = 0; i < 2; i++) {
			ends[i] = prepared[i];
			prepared[i] = -1;
		}
		owner = we;
		latch_drop(&lock);
	}
	atomic_store(&stand_in_wanted, true);
	return found ? 0 : make(ends, short_of);
}

void stand_in_prepare_slowly(void)
{
	const int saved = errno;
	bool short_of = false;

	if (settings.sandboxed || latch_take(&lock) < 0)
		return;
	atomic_store(&stand_in_wanted, false);
	if (prepared[0] < 0 && owner == getpid() && make(prepared, &short_of) == 0 && short_of)
		discard(prepared); /* only for one that is needed now */
	latch_drop(&lock);
	errno = saved;
}

void stand_in_before_fork(void)
{
	(void)latch_take(&lock);
}

void stand_in_after_fork(bool in_child)
{
	if (!in_child) {
		latch_drop(&lock);
		return;
	}
	discard(prepared);
	atomic_store(&stand_in_wanted, false);
	atomic_store(&lock, 0);
}
