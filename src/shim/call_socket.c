/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: making, connecting and configuring sockets
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "shim/back.h"
#include "shim/call_socket.h"
#include "shim/cleanup.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/offer.h"
#include "shim/remote.h"
#include "shim/stream.h"
#include "shim/user_memory.h"

static bool is_tcp(int domain, int type, int protocol)
{
	return (domain == AF_INET || domain == AF_INET6) &&
	       (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM &&
	       (protocol == 0 || protocol == IPPROTO_TCP);
}

EXPORT int socket(int domain, int type, int protocol)
{
	struct connection *connection = NULL;
	int fd, family;

	libc_ready();
	family = settings.off ? 0 : smc_name_family(domain, type, protocol);
	fd = fd_limited(family ? libc.socket(family, type, IPPROTO_TCP)
			       : libc.socket(domain, type, protocol));
	if (fd >= 0)
		connection_forget(fd);
	if (fd >= 0 && !settings.off && (family || is_tcp(domain, type, protocol)))
		connection = connection_new(fd);
	if (connection && family) {
		connection->name.domain = (uint16_t)domain;
		connection->name.protocol = (uint16_t)protocol;
	}
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

/* TCP_FASTOPEN_CONNECT: connect(2) has returned, and nothing was sent yet. */
static bool has_peer(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	return getpeername(fd, (struct sockaddr *)&address, &length) == 0;
}

static void connected(struct connection *connection, int fd, int result)
{
	int status = libc.fcntl(fd, F_GETFL);

	connection_establish(connection, fd, true);
	note_nonblocking(connection, status >= 0 && (status & O_NONBLOCK));
	offer_connecting(connection);
	if (result == 0)
		offer_settle(connection, fd);
	if (result == 0 && settings.move_after == 0 && connection->side && has_peer(fd))
		move_offer(connection, fd);
}

ssize_t call_socket_fast_open(int fd, const struct msghdr *message, int flags)
{
	struct cleanup cleanup;
	struct connection *connection;
	ssize_t result;
	int error;

	connection = connection_get(fd);
	if (!connection)
		return libc.sendmsg(fd, message, flags);
	cleanup_push(&cleanup, stream_abandon, connection);
	result = libc.sendmsg(fd, message, flags);
	cleanup_pop(&cleanup);
	error = errno;
	if (!settings.sandboxed && (result >= 0 || error == EINPROGRESS) &&
	    connection_phase(connection) == PHASE_IDLE)
		connected(connection, fd, -1);
	if (result > 0 && connection->side)
		move_account(connection, fd, DIRECTION_SEND, (size_t)result);
	connection_put(connection);
	errno = error;
	return result;
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	struct cleanup cleanup;
	struct connection *connection;
	int result, error;

	libc_ready();
	connection = connection_get(fd);
	if (connection && connection_phase(connection) == PHASE_IDLE)
		offer_connect(connection, fd, address, length);
	if (!connection)
		return libc.connect(fd, address, length);
	cleanup_push(&cleanup, stream_abandon, connection);
	result = libc.connect(fd, address, length);
	cleanup_pop(&cleanup);
	error = errno;
	if (result == 0 && address->sa_family == AF_UNSPEC && !settings.sandboxed &&
	    connection_phase(connection) != PHASE_IDLE)
		connection_renew(connection);
	if (!settings.sandboxed && (result == 0 || error == EINPROGRESS || error == EINTR) &&
	    address && address->sa_family != AF_UNSPEC &&
	    connection_phase(connection) == PHASE_IDLE)
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
	connection = connection_get(fd);
	if (connection && connection_phase(connection) == PHASE_IDLE)
		offer_listen(connection, fd);
	result = libc.listen(fd, backlog);
	if (connection && result == 0)
		connection->phase = PHASE_LISTENING;
	if (connection)
		connection_put(connection);
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
	struct connection *connection;
	struct smc_name name;
	bool may_offer = true;

	connection_forget(fd);
	if (settings.sandboxed)
		return; /* it stays TCP, and what there is to know of it would have to be asked */
	connection = connection_get(listener);
	if (connection) {
		may_offer = offer_has_children(connection);
		connection_put(connection);
	} else if (settings.off || !fd_is_tcp(fd))
		return; /* the listener was inherited or passed: ask the new socket itself */
	name = smc_name_of(listener);
	if (!connection_new(fd)) {
		if (may_offer)
			offer_refuse(fd);
		return;
	}
	connection = connection_get(fd);
	if (!connection)
		return;
	connection->name = name;
	connection_establish(connection, fd, false);
	note_nonblocking(connection, flags & SOCK_NONBLOCK);
	if (may_offer)
		offer_accepted(connection, fd);
	if (settings.move_after == 0 && connection->side)
		move_offer(connection, fd);
	connection_put(connection);
}

EXPORT int accept(int fd, struct sockaddr *address, socklen_t *length)
{
	int result;

	libc_ready();
	if (!settings.sandboxed && !fd_may_take(fd))
		return -1;
	result = fd_limited(libc.accept(fd, address, length));
	if (result >= 0)
		accepted(fd, result, 0);
	return result;
}

EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	int result;

	libc_ready();
	if (!settings.sandboxed && !fd_may_take(fd))
		return -1;
	result = fd_limited(libc.accept4(fd, address, length, flags));
	if (result >= 0)
		accepted(fd, result, flags);
	return result;
}

/* Threads of ours that sleep on a bell find its end there, and look. */
static void wake_own(struct connection *connection, int how)
{
	connection->spare.number = 0; /* they cannot be used again */
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
	if (connection) {
		offer_settle(connection, fd);
		(void)remote_look(connection, fd);
	}
	/* The mark first: a FIN without it would say that we are gone. */
	if (connection && is_attached(connection) && (how == SHUT_WR || how == SHUT_RDWR))
		stream_shut(connection);
	else if (connection && connection_phase(connection) == PHASE_BACK && how != SHUT_RD)
		atomic_fetch_or(&our_writer(connection)->marks,
				MARK_SHUT); /* an end with bytes unread is no reset */
	if (connection && is_attached(connection) && is_remote(connection))
		result = remote_shutdown(connection, fd, how);
	else
		result = libc.shutdown(fd, how);
	if (connection && is_attached(connection) && result == 0)
		wake_own(connection, how);
	if (connection)
		connection_put(connection);
	return result;
}

/* May the option be set where bytes are unread in a ring, which the kernel does not know of? */
enum tcp_need { NEED_NO_TCP, NEED_TCP, NEED_ALL_BYTES };

static enum tcp_need tcp_need_of(int level, int name, const void *value, socklen_t length)
{
	int number = 0;

	if (length >= sizeof(number))
		(void)user_copy(&number, value, sizeof(number));
	if (level == SOL_TLS || (level == IPPROTO_TCP && (name == TCP_ULP || name == TCP_REPAIR)))
		return NEED_ALL_BYTES;
	return level == SOL_SOCKET && name == SO_ZEROCOPY && number ? NEED_TCP : NEED_NO_TCP;
}

/* An option of the kernel's own TCP: one that has moved goes back.  False: it cannot, as it is now. */
static bool go_back_for(int fd, enum tcp_need need)
{
	struct connection *connection = connection_get(fd);
	bool can = true;

	if (!connection)
		return true;
	connection_pin(connection, REASON_OPTION);
	if (!is_attached(connection) || is_remote(connection)) /* nothing, or too late */
		can = need == NEED_TCP || !is_attached(connection) ||
		      !(send_has_moved(connection) || receive_has_moved(connection));
	else if (need == NEED_TCP)
		(void)back_one(connection, REASON_OPTION);
	else
		can = back_unless_rest(connection, REASON_OPTION);
	connection_put(connection);
	return can;
}

/*
 * Before there are rings, who waits in the kernel for many bytes is not woken by the switching bytes:
 * such a connection stays.
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
	if (result == 0 && is_attached(connection))
		atomic_store(&connection->side->low_water, (uint32_t)mark);
	else if (mark > 1)
		connection_pin(connection, REASON_OPTION);
	connection_put(connection);
	return result;
}

/* Before there is a record to note it in, such a socket is left to TCP. */
static void note_inq(int fd, const void *value)
{
	struct connection *connection = connection_get(fd);
	int on = 0;

	if (!connection)
		return;
	(void)user_copy(&on, value, sizeof(on));
	if (!connection->side)
		connection_pin(connection, REASON_OPTION);
	else if (on)
		atomic_fetch_or(&connection->side->flags, SIDE_INQ);
	else
		atomic_fetch_and(&connection->side->flags, ~SIDE_INQ);
	connection_put(connection);
}

/*
 * TCP_ZEROCOPY_RECEIVE cannot map what is in the ring: as with bytes that fill no page it is told how many
 * there are to be read.  @error: of the kernel, which knows of none.
 */
static bool show_unmapped(int fd, void *value, socklen_t length, int error)
{
	struct {
		struct tcp_zerocopy_receive base;
		uint32_t in_queue;
	} told = {0};
	const size_t size = length < sizeof(told) ? length : sizeof(told);
	struct connection *connection = connection_get(fd);
	uint32_t n = 0;

	if (connection && is_attached(connection) && receive_has_moved(connection))
		n = (uint32_t)ring_available(&connection->receive);
	if (connection)
		connection_put(connection);
	if (!n || size < sizeof(told.base) || (error && error != EIO) ||
	    !user_copy(&told, value, size))
		return false;
	told.base.length = 0;
	told.base.recv_skip_hint = n;
	told.in_queue = n + (error == EIO); /* the end counts, as a FIN does */
	return user_copy(value, &told, size);
}

/*
 * TCP_ZEROCOPY_RECEIVE maps what the kernel has: the connection goes back to it.  True: there is something in
 * the ring, and what the kernel has comes after it.
 */
static bool is_behind_the_ring(int fd)
{
	struct connection *connection = connection_get(fd);
	int queued = 0;

	if (!connection)
		return false;
	connection_pin(connection, REASON_OPTION);
	if (!is_remote(connection) && !back_one(connection, REASON_OPTION) &&
	    receive_has_moved(connection) && ring_available(&connection->receive))
		(void)libc.ioctl(fd, FIONREAD, &queued);
	connection_put(connection);
	return queued > 0;
}

EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	struct connection *connection;
	int result, error;

	libc_ready();
	if (smc_name_get_option(fd, level, name, value, length, &result))
		return (int)to_errno(result);
	if (__builtin_expect(level == IPPROTO_TCP && name == TCP_ZEROCOPY_RECEIVE, 0) &&
	    is_behind_the_ring(fd) && show_unmapped(fd, value, *length, 0))
		return 0;
	result = libc.getsockopt(fd, level, name, value, length);
	if (result == 0 && offer_show_option(fd, level, name, value, length))
		return 0;
	if (result == 0 && level == SOL_SOCKET && name == SO_KEEPALIVE)
		remote_show_keep_alive(fd, value, *length);
	if (level == IPPROTO_TCP && name == TCP_ZEROCOPY_RECEIVE &&
	    (result == 0 || errno != EFAULT) &&
	    show_unmapped(fd, value, *length, result < 0 ? errno : 0))
		return 0;
	if (result < 0 || level != SOL_SOCKET || name != SO_ERROR || *length != sizeof(error))
		return result;
	connection = connection_get(fd);
	if (connection) {
		offer_settle(connection, fd);
		error = -stream_take_due(connection);
		if (!error && is_attached(connection) && is_remote(connection) &&
		    !is_back(connection))
			error = remote_take_error(connection, fd);
		if (error)
			(void)user_copy(value, &error, sizeof(error));
		connection_put(connection);
	}
	return result;
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	enum tcp_need need;
	int result;

	libc_ready();
	if (smc_name_set_option(fd, level, name, value, length, &result))
		return (int)to_errno(result);
	if (level == SOL_SOCKET && name == SO_RCVLOWAT && !settings.sandboxed)
		return set_low_water(fd, value, length);
	need = tcp_need_of(level, name, value, length);
	if (__builtin_expect(need != NEED_NO_TCP, 0) && !go_back_for(fd, need)) {
		errno = ENOPROTOOPT;
		return -1;
	}
	if (offer_hold_option(fd, level, name, value, length))
		return 0;
	result = libc.setsockopt(fd, level, name, value, length);
	if (result == 0)
		offer_note_option(fd, level, name);
	if (__builtin_expect(result == 0 && level == SOL_SOCKET && name == SO_KEEPALIVE, 0))
		remote_note_keep_alive(fd, value);
	if (__builtin_expect(result == 0 && level == IPPROTO_TCP && name == TCP_INQ, 0))
		note_inq(fd, value);
	return result;
}
