/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: the send and receive family
 *
 * Each looks the descriptor up.  No connection, or one without rings: the real call, counted.
 * Otherwise stream_receive() or stream_send().
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/place.h"
#include "shim/stream.h"
#include "shim/user_memory.h"

#define MOST_AT_ONCE 0x7ffff000U /* what Linux transfers in one call */

/*
 * The frame of every receiving stand-in: KERNEL is the real call, RING the one on a connection that
 * has rings.  MSG_WAITALL never reaches the kernel: it would go on waiting there after a move.
 */
#define RECEIVE(KERNEL, RING, FLAGS)                                                               \
	do {                                                                                       \
		struct connection *connection;                                                     \
		ssize_t result;                                                                    \
                                                                                                   \
		libc_ready();                                                                      \
		connection = enter(fd);                                                            \
		if (!connection)                                                                   \
			return KERNEL;                                                             \
		if (stream_kernel_begin(connection, DIRECTION_RECEIVE)) {                          \
			result = KERNEL;                                                           \
			stream_kernel_end(connection, fd, DIRECTION_RECEIVE,                       \
					  (FLAGS) & (MSG_PEEK | MSG_ERRQUEUE) ? 0 : result);       \
		} else {                                                                           \
			result = to_errno(RING);                                                   \
		}                                                                                  \
		connection_put(connection);                                                        \
		return result;                                                                     \
	} while (0)

#define SEND(KERNEL, RING)                                                                         \
	do {                                                                                       \
		struct connection *connection;                                                     \
		ssize_t result;                                                                    \
                                                                                                   \
		libc_ready();                                                                      \
		connection = enter(fd);                                                            \
		if (!connection)                                                                   \
			return KERNEL;                                                             \
		if (stream_kernel_begin(connection, DIRECTION_SEND)) {                             \
			result = KERNEL;                                                           \
			if (result > 0)                                                            \
				stream_note_size(connection, (size_t)result);                      \
			stream_kernel_end(connection, fd, DIRECTION_SEND, result);                 \
		} else {                                                                           \
			result = to_errno(RING);                                                   \
		}                                                                                  \
		connection_put(connection);                                                        \
		return result;                                                                     \
	} while (0)

/* connection_get(), and a cancellation point: the ring may serve a call without any other. */
static struct connection *enter(int fd)
{
	if (fd_connection(fd))
		pthread_testcancel();
	return connection_get(fd);
}

typedef ssize_t stream_call(struct connection *connection, int fd, const struct iovec *iov, int count,
			    int flags);

/* stream_receive() or stream_send() on vectors of the program's, which may lie anywhere. */
static ssize_t with_vectors(stream_call *call, struct connection *connection, int fd,
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
static ssize_t read_vectors(struct connection *connection, int fd, const struct iovec *iov, int count,
			    int flags)
{
	return place_total(iov, count) ? stream_receive(connection, fd, iov, count, flags) : 0;
}

EXPORT ssize_t readv(int fd, const struct iovec *vector, int count)
{
	libc_ready();
	if (is_odd_vector(vector, count))
		return libc.readv(fd, vector, count);
	RECEIVE(libc.readv(fd, vector, count),
		with_vectors(read_vectors, connection, fd, vector, (size_t)count, 0), 0);
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
	     with_vectors(stream_send, connection, fd, vector, (size_t)count, 0));
}

/* With some bytes there, a signal ends the wait for the rest even under SA_RESTART. */
static int wait_interruptibly(struct connection *connection, int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};
	struct timeval limit = {0};
	socklen_t length = sizeof(limit);
	int n, ms = -1;

	if (libc.getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &length) == 0 &&
	    (limit.tv_sec || limit.tv_usec))
		ms = (int)(limit.tv_sec * 1000 + (limit.tv_usec + 999) / 1000);
	atomic_fetch_add(&connection->pollers, 1);
	n = is_attached(connection) ? 1 : libc.poll(&look, 1, ms);
	atomic_fetch_sub(&connection->pollers, 1);
	if (n == 0)
		errno = EAGAIN;
	return n > 0 ? 0 : -1;
}

/* MSG_WAITALL on a connection that may yet move is many calls without it. */
static ssize_t receive_all(int fd, const struct iovec *vector, int flags)
{
	struct connection *connection = enter(fd);
	struct iovec rest = *vector;
	size_t done = 0;
	ssize_t n = 0;

	while (connection && done < vector->iov_len) {
		rest.iov_base = (char *)vector->iov_base + done;
		rest.iov_len = vector->iov_len - done;
		if (!stream_kernel_begin(connection, DIRECTION_RECEIVE)) {
			n = stream_receive(connection, fd, &rest, 1, flags);
			done += n > 0 ? (size_t)n : 0;
			break;
		}
		n = done ? wait_interruptibly(connection, fd) : 0;
		if (n == 0)
			n = libc.recv(fd, rest.iov_base, rest.iov_len, flags & ~MSG_WAITALL);
		n = n < 0 ? -errno : n;
		stream_kernel_end(connection, fd, DIRECTION_RECEIVE, n);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (connection)
		connection_put(connection);
	return to_errno(done ? (ssize_t)done : n);
}

static bool waits_for_all(int fd, int flags)
{
	struct connection *connection;
	bool tracked;

	if ((flags & (MSG_WAITALL | MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_DONTWAIT)) != MSG_WAITALL)
		return false;
	connection = connection_get(fd);
	tracked = connection && connection->side && !stream_is_nonblocking(connection, flags);
	if (connection)
		connection_put(connection);
	return tracked;
}

static void pin_out_of_band(int fd, int flags)
{
	struct connection *connection;

	if (__builtin_expect(!(flags & (MSG_OOB | MSG_ZEROCOPY)), 1))
		return;
	connection = connection_get(fd);
	if (!connection)
		return;
	connection_pin(connection, REASON_OPTION);
	connection_put(connection);
}

EXPORT ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	const struct iovec vector = {.iov_base = buffer, .iov_len = size};

	libc_ready();
	pin_out_of_band(fd, flags);
	if (waits_for_all(fd, flags))
		return receive_all(fd, &vector, flags);
	RECEIVE(libc.recv(fd, buffer, size, flags),
		stream_receive(connection, fd, &vector, 1, flags), flags);
}

static ssize_t receive_from(int fd, const struct iovec *vector, int flags, struct sockaddr *address,
			    socklen_t *length)
{
	const socklen_t none = 0;
	struct connection *connection = enter(fd);
	ssize_t result;

	if (!connection)
		return libc.recvfrom(fd, vector->iov_base, vector->iov_len, flags, address, length);
	if (stream_kernel_begin(connection, DIRECTION_RECEIVE)) {
		result = libc.recvfrom(fd, vector->iov_base, vector->iov_len, flags, address,
				       length);
		stream_kernel_end(connection, fd, DIRECTION_RECEIVE,
				  flags & (MSG_PEEK | MSG_ERRQUEUE) ? 0 : result);
	} else {
		result = to_errno(stream_receive(connection, fd, vector, 1, flags));
		if (result >= 0 && address && !user_copy(length, &none, sizeof(none)))
			result = to_errno(-EFAULT); /* TCP names no sender, but says so */
	}
	connection_put(connection);
	return result;
}

EXPORT ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address,
			socklen_t *length)
{
	const struct iovec vector = {.iov_base = buffer, .iov_len = size};

	libc_ready();
	pin_out_of_band(fd, flags);
	if (waits_for_all(fd, flags))
		return receive_all(fd, &vector, flags);
	return receive_from(fd, &vector, flags, address, length);
}

EXPORT ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
	const struct iovec vector = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};

	libc_ready();
	pin_out_of_band(fd, flags);
	SEND(libc.send(fd, buffer, size, flags), stream_send(connection, fd, &vector, 1, flags));
}

EXPORT ssize_t sendto(int fd, const void *buffer, size_t size, int flags,
		      const struct sockaddr *address, socklen_t length)
{
	const struct iovec vector = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};

	libc_ready();
	pin_out_of_band(fd, flags);
	if (flags & MSG_FASTOPEN)
		return libc.sendto(fd, buffer, size, flags, address, length);
	SEND(libc.sendto(fd, buffer, size, flags, address, length),
	     stream_send(connection, fd, &vector, 1, flags));
}

/* What a received message says beside its bytes: TCP names no sender and has nothing to add. */
static bool fill_in(struct msghdr *message, struct msghdr *own)
{
	own->msg_namelen = 0;
	own->msg_controllen = 0;
	own->msg_flags = 0;
	return user_copy(message, own, sizeof(*own));
}

static ssize_t receive_message_ring(struct connection *connection, int fd, struct msghdr *message,
				    int flags)
{
	struct msghdr own;
	ssize_t n;

	if (!user_copy(&own, message, sizeof(own)))
		return -EFAULT;
	n = with_vectors(stream_receive, connection, fd, own.msg_iov, own.msg_iovlen, flags);
	if (n < 0)
		return n;
	return fill_in(message, &own) ? n : -EFAULT;
}

static ssize_t send_message_ring(struct connection *connection, int fd, const struct msghdr *message,
				 int flags)
{
	struct msghdr own;

	if (!user_copy(&own, message, sizeof(own)))
		return -EFAULT;
	return with_vectors(stream_send, connection, fd, own.msg_iov, own.msg_iovlen, flags);
}

/* recvmsg(2) and sendmsg(2), apart because recvmmsg(2) and sendmmsg(2) are many of them. */
static ssize_t receive_message(int fd, struct msghdr *message, int flags)
{
	struct connection *connection = enter(fd);
	ssize_t result;

	if (!connection)
		return libc.recvmsg(fd, message, flags);
	if (stream_kernel_begin(connection, DIRECTION_RECEIVE)) {
		result = libc.recvmsg(fd, message, flags & ~MSG_WAITALL);
		stream_kernel_end(connection, fd, DIRECTION_RECEIVE,
				  flags & (MSG_PEEK | MSG_ERRQUEUE) ? 0 : result);
	} else if (flags & (MSG_OOB | MSG_ERRQUEUE)) {
		result = libc.recvmsg(fd, message, flags);
	} else {
		result = to_errno(receive_message_ring(connection, fd, message, flags));
	}
	connection_put(connection);
	return result;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	struct msghdr own;
	struct iovec one;
	ssize_t n;

	libc_ready();
	pin_out_of_band(fd, flags);
	if (waits_for_all(fd, flags) && user_copy(&own, message, sizeof(own)) &&
	    own.msg_iovlen == 1 && user_copy(&one, own.msg_iov, sizeof(one))) {
		n = receive_all(fd, &one, flags);
		return n < 0 || fill_in(message, &own) ? n : to_errno(-EFAULT);
	}
	return receive_message(fd, message, flags);
}

static ssize_t send_message(int fd, const struct msghdr *message, int flags)
{
	SEND(libc.sendmsg(fd, message, flags), send_message_ring(connection, fd, message, flags));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	libc_ready();
	pin_out_of_band(fd, flags);
	if (flags & MSG_FASTOPEN)
		return libc.sendmsg(fd, message, flags);
	return send_message(fd, message, flags);
}

static bool is_ours(int fd)
{
	struct connection *connection = connection_get(fd);

	if (connection)
		connection_put(connection);
	return connection != NULL;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		    struct timespec *timeout)
{
	unsigned int i;

	libc_ready();
	if (!is_ours(fd))
		return libc.recvmmsg(fd, messages, count, flags, timeout);
	for (i = 0; i < count; i++) {
		int after_first = i && (flags & MSG_WAITFORONE) ? MSG_DONTWAIT : 0;
		ssize_t n = receive_message(fd, &messages[i].msg_hdr,
					    (flags & ~MSG_WAITFORONE) | after_first);

		if (n < 0)
			break;
		messages[i].msg_len = (unsigned int)n;
	}
	return i || !count ? (int)i : -1;
}

EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	unsigned int i;

	libc_ready();
	if (!is_ours(fd))
		return libc.sendmmsg(fd, messages, count, flags);
	for (i = 0; i < count; i++) {
		ssize_t n = send_message(fd, &messages[i].msg_hdr, flags);

		if (n < 0)
			break;
		messages[i].msg_len = (unsigned int)n;
	}
	return i || !count ? (int)i : -1;
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
