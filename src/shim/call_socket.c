/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: making, connecting and configuring sockets
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/stream.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

static bool is_tcp(int domain, int type, int protocol)
{
	return (domain == AF_INET || domain == AF_INET6) &&
	       (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM &&
	       (protocol == 0 || protocol == IPPROTO_TCP);
}

EXPORT int socket(int domain, int type, int protocol)
{
	int fd;

	libc_ready();
	fd = fd_limited(libc.socket(domain, type, protocol));
	if (fd >= 0 && !settings.off && is_tcp(domain, type, protocol))
		(void)connection_new(fd);
	return fd;
}

static void note_nonblocking(struct connection *connection, bool on)
{
	if (!connection->side)
		return;
	if (on)
		atomic_fetch_or(&connection->side->flags, SIDE_NONBLOCK);
	else
		atomic_fetch_and(&connection->side->flags, ~SIDE_NONBLOCK);
}

static void connected(struct connection *connection, int fd, int result)
{
	int status = libc.fcntl(fd, F_GETFL);

	connection_establish(connection, fd, true);
	note_nonblocking(connection, status >= 0 && (status & O_NONBLOCK));
	if (result == 0 && settings.move_after == 0 && connection->side)
		move_offer(connection, fd);
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	struct connection *connection;
	int result, error;

	libc_ready();
	connection = connection_get(fd);
	result = libc.connect(fd, address, length);
	if (!connection)
		return result;
	error = errno;
	if ((result == 0 || error == EINPROGRESS || error == EINTR) && address &&
	    address->sa_family != AF_UNSPEC && connection_phase(connection) == PHASE_IDLE)
		connected(connection, fd, result);
	connection_put(connection);
	errno = error;
	return result;
}

EXPORT int listen(int fd, int backlog)
{
	struct connection *connection;
	int result;

	libc_ready();
	result = libc.listen(fd, backlog);
	connection = result == 0 ? connection_get(fd) : NULL;
	if (connection) {
		connection->phase = PHASE_LISTENING;
		connection_put(connection);
	}
	return result;
}

static bool fd_is_tcp(int fd)
{
	int domain = 0, protocol = 0;
	socklen_t length = sizeof(int);

	if (libc.getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0)
		return false;
	length = sizeof(int);
	return (domain == AF_INET || domain == AF_INET6) &&
	       libc.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
	       protocol == IPPROTO_TCP;
}

static void accepted(int listener, int fd, int flags)
{
	struct connection *connection = connection_get(listener);

	if (connection)
		connection_put(connection);
	else if (settings.off || !fd_is_tcp(fd))
		return; /* the listener was inherited or passed: ask the new socket itself */
	if (!connection_new(fd))
		return;
	connection = connection_get(fd);
	if (!connection)
		return;
	connection_establish(connection, fd, false);
	note_nonblocking(connection, flags & SOCK_NONBLOCK);
	if (settings.move_after == 0 && connection->side)
		move_offer(connection, fd);
	connection_put(connection);
}

EXPORT int accept(int fd, struct sockaddr *address, socklen_t *length)
{
	int result;

	libc_ready();
	result = fd_limited(libc.accept(fd, address, length));
	if (result >= 0)
		accepted(fd, result, 0);
	return result;
}

EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	int result;

	libc_ready();
	result = fd_limited(libc.accept4(fd, address, length, flags));
	if (result >= 0)
		accepted(fd, result, flags);
	return result;
}

/* Threads of ours that sleep on a bell find its end there, and look. */
static void wake_own(struct connection *connection, int how)
{
	if (how != SHUT_WR) {
		atomic_fetch_or(&connection->ended, ENDED_LOOK | ENDED_BY_US);
		(void)libc.shutdown(connection->data_bell, SHUT_RD);
	}
	if (how != SHUT_RD)
		(void)libc.shutdown(connection->space_bell, SHUT_RD);
}

EXPORT int shutdown(int fd, int how)
{
	struct connection *connection;
	int result;

	libc_ready();
	connection = connection_get(fd);
	/* The mark first: a FIN without it would say that we are gone. */
	if (connection && is_attached(connection) && (how == SHUT_WR || how == SHUT_RDWR))
		stream_shut(connection);
	result = libc.shutdown(fd, how);
	if (connection && is_attached(connection) && result == 0)
		wake_own(connection, how);
	if (connection)
		connection_put(connection);
	return result;
}

static bool only_tcp_can(int level, int name, const void *value, socklen_t length)
{
	int number = value && length >= sizeof(int) ? *(const int *)value : 0;

	if (level == IPPROTO_TCP)
		return name == TCP_ULP || name == TCP_REPAIR;
	if (level == SOL_SOCKET)
		return name == SO_ZEROCOPY && number;
	return false;
}

/*
 * Until the receiving direction has moved, who waits in the kernel for many bytes is not woken by the
 * switching byte: such a connection stays.
 */
static int set_low_water(int fd, const void *value, socklen_t length)
{
	struct connection *connection = connection_get(fd);
	int result = libc.setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, value, length);
	int mark = 1;
	socklen_t room = sizeof(mark);

	if (!connection)
		return result;
	if (result == 0)
		(void)libc.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &mark, &room);
	if (result == 0 && is_attached(connection) && receive_has_moved(connection))
		atomic_store(&connection->side->low_water, (uint32_t)mark);
	else if (mark > 1)
		connection_pin(connection, REASON_OPTION);
	connection_put(connection);
	return result;
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	struct connection *connection;
	bool refuse;

	libc_ready();
	if (level == SOL_SOCKET && name == SO_RCVLOWAT)
		return set_low_water(fd, value, length);
	if (__builtin_expect(only_tcp_can(level, name, value, length), 0)) {
		connection = connection_get(fd);
		if (connection) {
			connection_pin(connection, REASON_OPTION);
			/* Too late for what works on the bytes inside the kernel. */
			refuse = level == IPPROTO_TCP && is_attached(connection) &&
				 (send_has_moved(connection) || receive_has_moved(connection));
			connection_put(connection);
			if (refuse) {
				errno = ENOPROTOOPT;
				return -1;
			}
		}
	}
	return libc.setsockopt(fd, level, name, value, length);
}
