/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: reading and writing bytes and vectors of them (see call_io.h)
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/call_io.h"
#include "shim/call_socket.h"
#include "shim/cleanup.h"
#include "shim/clock.h"
#include "shim/connection.h"
#include "shim/direct.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/place.h"
#include "shim/settings.h"
#include "shim/stream.h"
#include "shim/user_memory.h"

#define MOST_AT_ONCE 0x7ffff000U /* what Linux transfers in one call */

struct connection *call_io_enter(int fd)
{
	struct connection *there = fd_connection(fd);

	if (!there)
		return NULL;
	if (!__libc_single_threaded || is_attached(there))
		pthread_testcancel();
	return connection_get_looked_up(there, fd);
}

ssize_t call_io_with_vectors(stream_call *call, struct connection *connection, int fd,
			     const struct iovec *vector, size_t count, int flags)
{
	struct iovec own[count > 0 && count <= IOV_MAX ? count : 1];
	size_t room = MOST_AT_ONCE;

	if (count > IOV_MAX)
		return -EMSGSIZE;
	if (!user_copy(own, vector, count * sizeof(*own)))
		return -EFAULT;
	for (size_t i = 0; i < count; i++) {
		if ((ssize_t)own[i].iov_len < 0)
			return -EINVAL;
		if (own[i].iov_len > room)
			own[i].iov_len = room;
		room -= own[i].iov_len;
	}
	return call(connection, fd, own, (int)count, flags);
}

EXPORT ssize_t read(int fd, void *buffer, size_t size)
{
	const struct iovec vector = {.iov_base = buffer, .iov_len = size};

	libc_ready();
	if (size == 0) /* nothing, at once: unlike recv() */
		return libc.read(fd, buffer, size);
	RECEIVE(libc.read(fd, buffer, size), stream_receive(connection, fd, &vector, 1, 0), 0);
}

/* What the kernel refuses without looking at the socket. */
static bool is_odd_vector(const struct iovec *vector, int count)
{
	return !vector || count < 0 || count > IOV_MAX;
}

/* Nothing, at once: unlike recvmsg(). */
static ssize_t read_vectors(struct connection *connection, int fd, const struct iovec *iov,
			    int count, int flags)
{
	return place_total(iov, count) ? stream_receive(connection, fd, iov, count, flags) : 0;
}

EXPORT ssize_t readv(int fd, const struct iovec *vector, int count)
{
	libc_ready();
	if (is_odd_vector(vector, count))
		return libc.readv(fd, vector, count);
	RECEIVE(libc.readv(fd, vector, count),
		call_io_with_vectors(read_vectors, connection, fd, vector, (size_t)count, 0), 0);
}

EXPORT ssize_t write(int fd, const void *buffer, size_t size)
{
	const struct iovec vector = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};

	SEND(libc.write(fd, buffer, size), stream_send(connection, fd, &vector, 1, 0));
}

EXPORT ssize_t writev(int fd, const struct iovec *vector, int count)
{
	libc_ready();
	if (is_odd_vector(vector, count))
		return libc.writev(fd, vector, count);
	SEND(libc.writev(fd, vector, count),
	     call_io_with_vectors(stream_send, connection, fd, vector, (size_t)count, 0));
}

/* Nothing more comes but an error, which the next call is to find. */
static bool is_left_to_the_next(int fd, const struct pollfd *look)
{
	int queued = 0;

	return (look->revents & POLLERR) && libc.ioctl(fd, FIONREAD, &queued) == 0 && queued == 0;
}

/* The thread is cancelled in a step of call_io_receive_all(). */
static void abandon_step(void *context)
{
	struct connection *connection = context;

	stream_kernel_end(connection, -1, DIRECTION_RECEIVE, 0);
	connection_wake(connection);
	connection_put(connection);
}

static void abandon_wait(void *context)
{
	struct connection *connection = context;

	atomic_fetch_sub(&connection->pollers, 1);
	abandon_step(connection);
}

/*
 * With some bytes there, a signal ends the wait for the rest even under SA_RESTART.  0, -EAGAIN, -EINTR;
 * -ESTALE: it has rings now.
 */
static ssize_t wait_interruptibly(struct connection *connection, int fd, uint64_t deadline)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};
	const uint64_t now = now_ns(), left = deadline > now ? deadline - now : 0;
	const struct timespec limit = {.tv_sec = (time_t)(left / 1000000000),
				       .tv_nsec = (long)(left % 1000000000)};
	struct cleanup cleanup;
	int n = -1, error = ESTALE;

	atomic_fetch_add(&connection->pollers, 1);
	if (!is_attached(connection)) {
		cleanup_push(&cleanup, abandon_wait, connection);
		n = libc.ppoll(&look, 1, deadline == UINT64_MAX ? NULL : &limit, NULL);
		cleanup_pop(&cleanup);
		error = errno;
	}
	atomic_fetch_sub(&connection->pollers, 1);
	if (n == 0 || (n > 0 && is_left_to_the_next(fd, &look)))
		return -EAGAIN;
	return n > 0 ? 0 : -error;
}

/* stream_deadline() of a call that began at @start. */
static uint64_t deadline_since(int fd, uint64_t start)
{
	const uint64_t deadline = stream_deadline(fd, DIRECTION_RECEIVE);

	return deadline == UINT64_MAX ? deadline : deadline - (now_ns() - start);
}

static ssize_t sleep_in_kernel(struct connection *connection, int fd, struct msghdr *message,
			       int flags)
{
	struct cleanup cleanup;
	ssize_t n;

	cleanup_push(&cleanup, abandon_step, connection);
	n = libc.recvmsg(fd, message, flags);
	cleanup_pop(&cleanup);
	return n < 0 ? -errno : n;
}

/*
 * A step of call_io_receive_all() in TCP, behind @done bytes.  The kernel's time-out begins anew with each
 * step, that of the call does not; in a sandbox there may be no step but the program's own.
 */
static ssize_t receive_kernel_step(struct connection *connection, int fd, struct msghdr *message,
				   int flags, size_t done, uint64_t deadline)
{
	ssize_t n = 0;

	if (!settings.sandboxed) {
		flags &= ~MSG_WAITALL;
		if (done)
			n = wait_interruptibly(connection, fd, deadline);
	}
	if (n == 0)
		n = sleep_in_kernel(connection, fd, message, flags);
	stream_kernel_end(connection, fd, DIRECTION_RECEIVE, n);
	return n;
}

ssize_t call_io_receive_all(struct connection *connection, int fd, const struct iovec *iov,
			    int count, int flags)
{
	struct place place = {.iov = iov, .count = count};
	const size_t total = place_total(iov, count);
	struct iovec some[PLACE_VECTORS];
	struct msghdr message = {.msg_iov = some};
	size_t done = 0, want;
	const uint64_t start = now_ns();
	uint64_t deadline = 0;
	ssize_t n = 0;
	bool rings = false;

	place_advance(&place, 0);
	connection_sleep(connection);
	for (;; fd = connection_fd(connection, fd)) {
		message.msg_iovlen = (size_t)place_vectors(&place, some, SIZE_MAX);
		want = place_total(some, (int)message.msg_iovlen);
		if (done && deadline == 0 && !settings.sandboxed)
			deadline = deadline_since(fd, start);
		rings = !stream_kernel_begin(connection, DIRECTION_RECEIVE);
		if (rings)
			n = stream_receive_until(connection, fd, some, (int)message.msg_iovlen,
						 flags, &deadline);
		else
			n = receive_kernel_step(connection, fd, &message, flags, done, deadline);
		if (n == -ESTALE)
			continue; /* it has rings now, or has none any more */
		if (n <= 0)
			break;
		done += (size_t)n;
		place_advance(&place, (size_t)n);
		if (done == total || (rings && (size_t)n < want && is_attached(connection)))
			break;
	}
	connection_wake(connection);
	return stream_result(connection, done, n);
}

static ssize_t receive_all(int fd, const struct iovec *vector, int flags)
{
	struct connection *connection = call_io_enter(fd);
	ssize_t n = 0;

	if (connection) {
		n = call_io_receive_all(connection, fd, vector, 1, flags);
		connection_put(connection);
	}
	return to_errno(n);
}

bool call_io_waits_for_all(int fd, int flags)
{
	struct connection *connection;
	bool tracked;

	if ((flags & (MSG_WAITALL | MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_DONTWAIT)) !=
	    MSG_WAITALL)
		return false;
	connection = connection_get(fd);
	tracked = connection && connection->side && !stream_is_nonblocking(connection, flags) &&
		  (!settings.sandboxed || has_rest(connection));
	if (connection)
		connection_put(connection);
	return tracked;
}

void call_io_pin_out_of_band(int fd, int flags)
{
	struct connection *connection;

	if (__builtin_expect(!(flags & (MSG_OOB | MSG_ZEROCOPY)), 1))
		return;
	connection = connection_get(fd);
	if (!connection)
		return;
	offer_pin(connection, fd);
	connection_put(connection);
}

EXPORT ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	const struct iovec vector = {.iov_base = buffer, .iov_len = size};

	libc_ready();
	call_io_pin_out_of_band(fd, flags);
	if (call_io_waits_for_all(fd, flags))
		return receive_all(fd, &vector, flags);
	RECEIVE(libc.recv(fd, buffer, size, flags),
		stream_receive(connection, fd, &vector, 1, flags), flags);
}

/* TCP names no sender, but says so. */
static int name_nobody(socklen_t *length)
{
	const socklen_t none = 0;
	int room;

	if (!user_copy(&room, length, sizeof(room)))
		return (int)to_errno(-EFAULT);
	if (room < 0)
		return (int)to_errno(-EINVAL);
	return user_copy(length, &none, sizeof(none)) ? 0 : (int)to_errno(-EFAULT);
}

static ssize_t receive_all_from(int fd, const struct iovec *vector, int flags,
				const struct sockaddr *address, socklen_t *length)
{
	const ssize_t n = receive_all(fd, vector, flags);

	return n >= 0 && address && name_nobody(length) < 0 ? -1 : n;
}

static ssize_t receive_from(int fd, const struct iovec *vector, int flags, struct sockaddr *address,
			    socklen_t *length)
{
	struct connection *connection = call_io_enter(fd);
	ssize_t result;

	if (!connection)
		return libc.recvfrom(fd, vector->iov_base, vector->iov_len, flags, address, length);
	if (call_io_begin(connection, flags)) {
		IN_KERNEL(result,
			  libc.recvfrom(fd, vector->iov_base, vector->iov_len, flags, address,
					length),
			  DIRECTION_RECEIVE, flags);
		result = call_io_end(connection, fd, flags, result);
	} else {
		result = stream_receive(connection, fd, vector, 1, flags);
		result = result == -ESTALE ? libc.recvfrom(fd, vector->iov_base, vector->iov_len,
							   flags, address, length)
					   : to_errno(result);
		if (result >= 0 && address && name_nobody(length) < 0)
			result = -1;
	}
	connection_put(connection);
	return result;
}

EXPORT ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address,
			socklen_t *length)
{
	const struct iovec vector = {.iov_base = buffer, .iov_len = size};

	libc_ready();
	call_io_pin_out_of_band(fd, flags);
	if (call_io_waits_for_all(fd, flags))
		return receive_all_from(fd, &vector, flags, address, length);
	return receive_from(fd, &vector, flags, address, length);
}

EXPORT ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
	const struct iovec vector = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};

	libc_ready();
	call_io_pin_out_of_band(fd, flags);
	SEND(direct_send(fd, buffer, size, flags), stream_send(connection, fd, &vector, 1, flags));
}

EXPORT ssize_t sendto(int fd, const void *buffer, size_t size, int flags,
		      const struct sockaddr *address, socklen_t length)
{
	struct iovec vector = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};
	const struct msghdr message = {.msg_name = (void *)(uintptr_t)address,
				       .msg_namelen = length,
				       .msg_iov = &vector,
				       .msg_iovlen = 1};

	libc_ready();
	call_io_pin_out_of_band(fd, flags);
	if (flags & MSG_FASTOPEN)
		return call_socket_fast_open(fd, &message, flags);
	SEND(libc.sendto(fd, buffer, size, flags, address, length),
	     stream_send(connection, fd, &vector, 1, flags));
}

#define READ_FLAGS (RWF_NOWAIT | RWF_HIPRI)

/* Those at a position: a socket has only the present one, -1. */
EXPORT ssize_t preadv64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags)
{
	libc_ready();
	if (offset != -1 || (flags & ~READ_FLAGS) || is_odd_vector(vector, count))
		return libc.preadv64v2(fd, vector, count, offset, flags);
	RECEIVE(libc.preadv64v2(fd, vector, count, offset, flags),
		call_io_with_vectors(read_vectors, connection, fd, vector, (size_t)count,
				     flags & RWF_NOWAIT ? MSG_DONTWAIT : 0),
		0);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
	return preadv64v2(fd, vector, count, offset, flags);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags)
{
	libc_ready();
	if (offset != -1 || (flags & ~READ_FLAGS) || is_odd_vector(vector, count))
		return libc.pwritev64v2(fd, vector, count, offset, flags);
	SEND(libc.pwritev64v2(fd, vector, count, offset, flags),
	     call_io_with_vectors(stream_send, connection, fd, vector, (size_t)count,
				  flags & RWF_NOWAIT ? MSG_DONTWAIT : 0));
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
	return pwritev64v2(fd, vector, count, offset, flags);
}

/* The fortified variants check the size and then are the plain ones. */
extern void __chk_fail(void) __attribute__((noreturn));

EXPORT ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room)
{
	if (size > room)
		__chk_fail();
	return read(fd, buffer, size);
}

EXPORT ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags)
{
	if (size > room)
		__chk_fail();
	return recv(fd, buffer, size, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
			      struct sockaddr *address, socklen_t *length)
{
	if (size > room)
		__chk_fail();
	return recvfrom(fd, buffer, size, flags, address, length);
}
