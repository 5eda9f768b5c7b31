/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: calls on descriptors as such
 *
 * A vfork child shares our memory but not our descriptors: there, only the real call is made, and not on
 * the hidden ones, which the program that it executes needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/call_fd.h"
#include "shim/call_stdio.h"
#include "shim/connection.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/offer.h"
#include "shim/quiet.h"
#include "shim/settings.h"
#include "shim/stream.h"
#include "shim/urgent.h"

/*
 * Before @fd stops being what it is: close, or the target of dup2.  Returns what is to be put when it
 * has: that closes the bells, after TCP.
 */
static struct connection *let_go(int fd)
{
	struct connection *connection = connection_get(fd);
	struct poller *poller = fd_poller(fd);

	if (connection)
		connection_close(connection, fd, fd);
	else if (poller)
		epoll_closed(poller, fd);
	return connection;
}

/* Of a descriptor that the program can have: no call of ours is needed but the real one? */
static bool is_plain(int fd)
{
	return fd_table_slot(fd) == 0 || (!fd_is_hidden(fd) && !fd_table_is_ours());
}

int call_fd_close(int fd)
{
	struct connection *connection;
	int result, error;

	if (fd_is_hidden(fd)) {
		errno = EBADF;
		return -1;
	}
	if (is_plain(fd))
		return quiet_close(fd);
	connection = let_go(fd);
	result = quiet_close(fd);
	error = errno;
	if (connection)
		connection_put(connection);
	errno = error;
	return result;
}

EXPORT int close(int fd)
{
	libc_ready();
	if (is_plain(fd))
		return libc.close(fd);
	if (!fd_is_hidden(fd))
		pthread_testcancel(); /* from here on it is given up */
	return call_fd_close(fd);
}

/* @fd became one more name for what @old is. */
static void copied(int old, int fd)
{
	struct connection *connection = connection_get(old);
	struct poller *poller = connection || settings.sandboxed ? NULL : epoll_known(old);

	if (connection) {
		connection_dup(connection, fd);
		connection_put(connection);
	} else if (poller) {
		epoll_dup(poller, fd);
	}
}

EXPORT int dup(int fd)
{
	int result;

	libc_ready();
	result = fd_limited(libc.dup(fd));
	if (result >= 0 && fd_table_is_ours())
		copied(fd, result);
	return result;
}

static int copy_to(int old, int fd, int flags, bool three)
{
	struct connection *gone = NULL;
	bool ours;
	int result;

	libc_ready();
	if (fd_is_hidden(old) || fd_is_hidden(fd)) {
		errno = EBADF;
		return -1;
	}
	ours = fd_table_is_ours();
	if (ours && fd_table_slot(fd) && old != fd && !(flags & ~O_CLOEXEC) && libc.fcntl(old, F_GETFD) >= 0)
		gone = let_go(fd);
	result = three ? libc.dup3(old, fd, flags) : libc.dup2(old, fd);
	if (ours && result >= 0 && old != fd)
		copied(old, fd);
	if (ours && result >= 0 && fd_connection(fd))
		call_stdio_take_over(fd);
	if (gone)
		connection_put(gone);
	return result;
}

EXPORT int dup2(int old, int fd)
{
	return copy_to(old, fd, 0, false);
}

EXPORT int dup3(int old, int fd, int flags)
{
	return copy_to(old, fd, flags, true);
}

static void status_flags_set(int fd, long flags)
{
	struct connection *connection = connection_get(fd);

	if (!connection)
		return;
	if (connection->side) {
		if (flags & O_NONBLOCK)
			atomic_fetch_or(&connection->side->flags, SIDE_NONBLOCK);
		else
			atomic_fetch_and(&connection->side->flags, ~SIDE_NONBLOCK);
	}
	if (flags & O_ASYNC)
		offer_pin(connection, fd);
	connection_put(connection);
}

/* Who gets SIGURG from now on. */
static void owner_set(int fd)
{
	struct connection *connection = connection_get(fd);

	if (!connection)
		return;
	offer_pin(connection, fd);
	if (is_attached(connection) && is_remote(connection))
		urgent_follow_owner(connection, fd);
	connection_put(connection);
}

static int control(int (*real)(int, int, ...), int fd, int command, void *argument)
{
	const bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
	int result;

	if (fd_is_hidden(fd)) {
		errno = EBADF;
		return -1;
	}
	result = real(fd, command, argument);
	if (copies)
		result = fd_limited(result);
	if (result < 0 || (fd_table_slot(fd) == 0 && !copies) || !fd_table_is_ours())
		return result;
	if (copies)
		copied(fd, result);
	else if (command == F_SETFL)
		status_flags_set(fd, (long)argument);
	else if (command == F_SETOWN || command == F_SETOWN_EX)
		owner_set(fd);
	return result;
}

EXPORT int fcntl(int fd, int command, ...)
{
	va_list arguments;
	void *argument;

	libc_ready();
	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return control(libc.fcntl, fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...)
{
	va_list arguments;
	void *argument;

	libc_ready();
	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return control(libc.fcntl64 ? libc.fcntl64 : libc.fcntl, fd, command, argument);
}

/* The queues of a moved connection are those of TCP and of the ring together. */
static void add_queued(struct connection *connection, unsigned long request, int *value)
{
	if (!is_attached(connection) && connection_phase(connection) != PHASE_BACK)
		return;
	if (is_remote(connection) && !receive_is_back(connection))
		*value = 0; /* what is in TCP is the daemon's */
	if (request == FIONREAD && is_remote(connection) && !receive_is_back(connection))
		*value = (int)urgent_queued(connection);
	else if (request == FIONREAD) /* before the move too: they follow TCP's last byte */
		*value += (int)ring_available(&connection->receive);
	else if (request == SIOCOUTQ && send_has_moved(connection))
		*value += (int)ring_unread(&connection->send);
}

/* Is what is read next what followed an urgent byte? */
static bool is_at_mark(struct connection *connection, int at_mark)
{
	if (is_attached(connection) && is_remote(connection) && !receive_is_back(connection))
		return urgent_at_mark(connection);
	if (!is_attached(connection) || !receive_has_moved(connection) ||
	    !atomic_load(&peer_writer(connection)->urgent))
		return at_mark;
	return at_mark && stream_before_mark(connection) == 0;
}

EXPORT int sockatmark(int fd)
{
	int at_mark;

	return ioctl(fd, SIOCATMARK, &at_mark) < 0 ? -1 : at_mark;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct connection *connection;
	va_list arguments;
	void *argument;
	int result;

	libc_ready();
	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	result = libc.ioctl(fd, request, argument);
	if (result < 0 || !argument)
		return result;
	connection = connection_get(fd);
	if (!connection)
		return result;
	offer_settle(connection, fd);
	if (request == FIONREAD || request == SIOCOUTQ)
		add_queued(connection, request, argument);
	else if (request == SIOCATMARK)
		*(int *)argument = is_at_mark(connection, *(int *)argument);
	else if (request == FIONBIO)
		status_flags_set(fd, *(const int *)argument ? O_NONBLOCK : 0);
	else if (request == FIOASYNC && *(const int *)argument)
		offer_pin(connection, fd);
	else if (request == FIOSETOWN || request == SIOCSPGRP)
		owner_set(fd);
	connection_put(connection);
	return result;
}

/* Does another thread go on with the table of descriptors that this one had? */
static bool has_other_threads(void)
{
	struct stat threads;

	return stat("/proc/self/task", &threads) == 0 && threads.st_nlink > 3;
}

/* Is @fd one for which the kernel's call alone does not do?  A stranger steps around the hidden ones. */
static bool is_marked(unsigned int fd, bool ours)
{
	return ours ? fd_table_slot((int)fd) != 0 : fd_is_hidden((int)fd);
}

static void close_marked(int fd, int flags)
{
	if (fd_is_hidden(fd))
		return;
	if (flags & (int)CLOSE_RANGE_CLOEXEC)
		(void)libc.fcntl(fd, F_SETFD, FD_CLOEXEC);
	else
		(void)close(fd);
}

/* Stretch by stretch. */
static void close_around(unsigned int first, unsigned int last, int flags, bool ours)
{
	const unsigned int top = (unsigned int)fd_table_top();
	unsigned int end;

	for (unsigned int start = first; start <= last && start < top; start = end + 1) {
		end = start;
		if (is_marked(start, ours)) {
			close_marked((int)start, flags);
			continue;
		}
		while (end < last && end + 1 < top && !is_marked(end + 1, ours))
			end++;
		(void)libc.close_range(start, end, flags);
	}
	if (last >= top)
		(void)libc.close_range(first > top ? first : top, last, flags);
}

/*
 * A thread that gets a table of its own leaves ours to the others, and does with its own as a vfork child
 * does: that these descriptors are closed for it alone is not known here.
 */
EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	const int known = (int)(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE);
	bool ours;

	libc_ready();
	if (first > last || (flags & ~known) || fd_table_top() == 0)
		return libc.close_range(first, last, flags);
	ours = fd_table_is_ours();
	if (flags & (int)CLOSE_RANGE_UNSHARE) {
		ours = ours && !has_other_threads();
		if (unshare(CLONE_FILES) < 0)
			return -1;
	}
	close_around(first, last, flags & (int)CLOSE_RANGE_CLOEXEC, ours);
	return 0;
}

EXPORT void closefrom(int first)
{
	(void)close_range(first < 0 ? 0 : (unsigned int)first, ~0U, 0);
}
