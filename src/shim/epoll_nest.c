/* SPDX-License-Identifier: MIT */
/*
 * An epoll that is itself waited for: polled, or registered in another
 *
 * Theory of operation
 *
 * Whoever waits for it waits in the kernel, which does not know of rings.  So a poller that was once
 * found nested gets a *flag*, an eventfd registered in the program's epoll, and before each wait for
 * it is *settled*: what its inner epoll has is taken, every watch that is not ready is armed, and the
 * flag is raised if one is ready and lowered if none is.  From then on the kernel's answer is right:
 * the flag for what is in the rings, the bells for what comes, and what the kernel watches natively.
 */
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/epoll.h"
#include "shim/epoll_share.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/quiet.h"

_Atomic uint32_t epoll_nested;

/* Its file has no type and tells its name only in /proc. */
static bool is_epoll(int fd)
{
	static const char wanted[] = "anon_inode:[eventpoll]";
	char path[64], target[sizeof(wanted)];
	struct stat status;
	ssize_t length;

	if (fstat(fd, &status) < 0 || (status.st_mode & S_IFMT))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target));
	return length == (ssize_t)sizeof(wanted) - 1 &&
	       memcmp(target, wanted, sizeof(wanted) - 1) == 0;
}

/* A flag for one that has none; without one (no descriptors) its rings are not seen from outside. */
static void flag_make(struct poller *poller)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = poller};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	fd = fd < 0 ? -1 : fd_hide(fd);
	if (fd < 0)
		return;
	if (libc.epoll_ctl(poller->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		fd_unhide(fd);
		return;
	}
	poller->flag = fd;
	atomic_fetch_add(&epoll_nested, 1);
}

struct poller *epoll_known(int fd)
{
	struct poller *poller = fd_poller(fd);

	return poller || !is_epoll(fd) ? poller : epoll_poller_of(fd);
}

void epoll_note_nested(int fd)
{
	struct poller *poller = epoll_known(fd);

	if (epoll_is_shared(poller))
		poller = epoll_share(fd);
	if (!poller || poller->flag >= 0 || epoll_is_shared(poller) ||
	    latch_take(&poller->lock) < 0)
		return;
	if (poller->flag < 0)
		flag_make(poller);
	latch_drop(&poller->lock);
}

void epoll_flag(struct poller *poller, bool up)
{
	const uint64_t one = 1;
	uint64_t count;

	if (poller->flag < 0 || poller->flagged == up)
		return;
	poller->flagged = up;
	if (up)
		(void)!quiet_write(poller->flag, &one, sizeof(one));
	else
		(void)!quiet_read(poller->flag, &count, sizeof(count));
}

void epoll_settle(struct poller *poller)
{
	if (poller->flag < 0 || latch_take(&poller->lock) < 0)
		return;
	if (poller->flag >= 0 && poller->inner >= 0)
		epoll_flag(poller, epoll_arm_hot(poller));
	latch_drop(&poller->lock);
}
