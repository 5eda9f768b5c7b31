/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: epoll
 */
#include <errno.h>

#include "shim/connection.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/session.h"
#include "shim/settings.h"

EXPORT int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	struct connection *connection;
	int result;

	libc_ready();
	connection = connection_get(fd);
	if (!connection) {
		result = libc.epoll_ctl(epoll, operation, fd, event);
		if (result == 0 && operation == EPOLL_CTL_ADD)
			epoll_note_nested(fd);
		return result;
	}
	result = epoll_control(epoll, operation, fd, connection, event);
	connection_put(connection);
	return (int)to_errno(result);
}

static int wait_for(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
		    const sigset_t *mask)
{
	if (session_has_mail())
		session_collect();
	return (int)to_errno(epoll_wait_for(fd_poller(epoll), epoll, events, most, timeout, mask));
}

/*
 * In a sandbox the call is the program's own.  Where a ring still has something it does not wait, and
 * there is room for that.
 */
#define WAIT_IN_SANDBOX(WAIT, AT_ONCE)                                                             \
	do {                                                                                       \
		struct poller *poller = fd_poller(epoll);                                          \
		const bool rest = epoll_has_rest(poller);                                          \
		const int room = rest && most > 1 ? most - 1 : most;                               \
		int n = rest ? AT_ONCE : WAIT;                                                     \
                                                                                                   \
		return rest && n >= 0 ? epoll_add_rest(poller, events, n, most) : n;               \
	} while (0)

/* Not so where the epoll is shared with a parent, whose inner epoll is in it. */
static bool in_sandbox(int epoll)
{
	const struct poller *poller = fd_poller(epoll);

	return settings.sandboxed && !(poller && poller->inner >= 0);
}

EXPORT int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
	libc_ready();
	if (in_sandbox(epoll))
		WAIT_IN_SANDBOX(libc.epoll_wait(epoll, events, room, timeout),
				libc.epoll_wait(epoll, events, room, 0));
	return epoll_pwait(epoll, events, most, timeout, NULL);
}

EXPORT int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout,
		       const sigset_t *mask)
{
	const struct timespec limit = {.tv_sec = timeout / 1000,
				       .tv_nsec = timeout % 1000 * 1000000L};

	libc_ready();
	if (in_sandbox(epoll))
		WAIT_IN_SANDBOX(libc.epoll_pwait(epoll, events, room, timeout, mask),
				libc.epoll_pwait(epoll, events, room, 0, mask));
	if (most <= 0)
		return libc.epoll_pwait(epoll, events, most, timeout, mask);
	return wait_for(epoll, events, most, timeout < 0 ? NULL : &limit, mask);
}

EXPORT int epoll_pwait2(int epoll, struct epoll_event *events, int most,
			const struct timespec *timeout, const sigset_t *mask)
{
	libc_ready();
	if (in_sandbox(epoll))
		WAIT_IN_SANDBOX(
			libc.epoll_pwait2(epoll, events, room, timeout, mask),
			libc.epoll_pwait2(epoll, events, room, &(struct timespec){0}, mask));
	if (most <= 0 ||
	    (timeout && (timeout->tv_sec < 0 || (unsigned long)timeout->tv_nsec > 999999999)))
		return libc.epoll_pwait2(epoll, events, most, timeout, mask);
	return wait_for(epoll, events, most, timeout, mask);
}
