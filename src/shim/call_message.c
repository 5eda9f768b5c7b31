/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: messages, one and many
 */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shim/call_io.h"
#include "shim/call_socket.h"
#include "shim/clock.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/pass.h"
#include "shim/place.h"
#include "shim/quiet.h"
#include "shim/stream.h"
#include "shim/user_memory.h"

/* TCP_INQ: how many bytes are left, as a control message. */
static void say_what_is_left(int fd, struct msghdr *own, size_t room)
{
	char text[CMSG_SPACE(sizeof(int))] = {0};
	struct cmsghdr *head = (struct cmsghdr *)text;
	int left = 0;

	(void)ioctl(fd, FIONREAD, &left);
	head->cmsg_level = IPPROTO_TCP;
	head->cmsg_type = TCP_CM_INQ;
	head->cmsg_len = CMSG_LEN(sizeof(left));
	memcpy(CMSG_DATA(head), &left, sizeof(left));
	if (!own->msg_control || room < CMSG_LEN(sizeof(left)) ||
	    !user_copy(own->msg_control, text, CMSG_LEN(sizeof(left)))) {
		own->msg_flags = MSG_CTRUNC;
		return;
	}
	own->msg_controllen = room < sizeof(text) ? room : sizeof(text);
}

/* What a received message says beside its bytes: TCP names no sender. */
static bool fill_in(const struct connection *connection, int fd, struct msghdr *message,
		    struct msghdr *own, int flags)
{
	const size_t room = own->msg_controllen;

	own->msg_namelen = 0;
	own->msg_controllen = 0;
	own->msg_flags = flags;
	if (__builtin_expect(atomic_load(&connection->side->flags) & SIDE_INQ, 0))
		say_what_is_left(fd, own, room);
	return user_copy(message, own, sizeof(*own));
}

static ssize_t receive_message_with(stream_call *call, struct connection *connection, int fd,
				    struct msghdr *message, int flags)
{
	struct msghdr own;
	ssize_t n;

	if (!user_copy(&own, message, sizeof(own)))
		return -EFAULT;
	n = call_io_with_vectors(call, connection, fd, own.msg_iov, own.msg_iovlen, flags);
	if (n < 0)
		return n;
	return fill_in(connection, fd, message, &own, flags & MSG_OOB) ? n : -EFAULT;
}

static ssize_t send_message_ring(struct connection *connection, int fd,
				 const struct msghdr *message, int flags)
{
	struct msghdr own;

	if (!user_copy(&own, message, sizeof(own)))
		return -EFAULT;
	return call_io_with_vectors(stream_send, connection, fd, own.msg_iov, own.msg_iovlen,
				    flags);
}

/* recvmsg(2) and sendmsg(2), apart because recvmmsg(2) and sendmmsg(2) are many of them. */
static ssize_t receive_message(int fd, struct msghdr *message, int flags)
{
	struct connection *connection = call_io_enter(fd);
	ssize_t result;

	if (!connection)
		return pass_may_bring(message) ? pass_receive(fd, message, flags)
					       : libc.recvmsg(fd, message, flags);
	if (call_io_begin(connection, flags)) {
		IN_KERNEL(result, libc.recvmsg(fd, message, flags), DIRECTION_RECEIVE, flags);
		result = call_io_end(connection, fd, flags, result);
	} else if ((flags & MSG_ERRQUEUE) || ((flags & MSG_OOB) && !is_remote(connection))) {
		result = quiet_recvmsg(fd, message, flags); /* which does not wait */
	} else {
		result = receive_message_with(stream_receive, connection, fd, message, flags);
		result = result == -ESTALE ? libc.recvmsg(fd, message, flags) : to_errno(result);
	}
	connection_put(connection);
	return result;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	struct connection *connection;
	ssize_t result;

	libc_ready();
	call_io_pin_out_of_band(fd, flags);
	if (!call_io_waits_for_all(fd, flags))
		return receive_message(fd, message, flags);
	connection = call_io_enter(fd);
	if (!connection)
		return libc.recvmsg(fd, message, flags);
	result =
		to_errno(receive_message_with(call_io_receive_all, connection, fd, message, flags));
	connection_put(connection);
	return result;
}

static ssize_t send_message(int fd, const struct msghdr *message, int flags)
{
	if (!fd_connection(fd) && pass_may_take(message))
		return pass_send(fd, message, flags);
	SEND(libc.sendmsg(fd, message, flags), send_message_ring(connection, fd, message, flags));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	libc_ready();
	call_io_pin_out_of_band(fd, flags);
	if (flags & MSG_FASTOPEN)
		return call_socket_fast_open(fd, message, flags);
	return send_message(fd, message, flags);
}

static bool is_ours(int fd)
{
	struct connection *connection = connection_get(fd);

	if (connection)
		connection_put(connection);
	return connection != NULL;
}

static bool any_may(bool (*may)(const struct msghdr *), const struct mmsghdr *messages,
		    unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (may(&messages[i].msg_hdr))
			return true;
	return false;
}

static bool note_length(struct mmsghdr *message, ssize_t n)
{
	const unsigned int length = (unsigned int)n;

	return n >= 0 && user_copy(&message->msg_len, &length, sizeof(length));
}

/* The time is looked at after each message only, as the kernel does; false when it is out. */
static bool time_is_left(struct timespec *timeout, const struct timespec *limit, uint64_t start)
{
	struct timespec rest;

	if (!timeout)
		return true;
	rest = clock_rest(limit, now_ns() - start);
	return user_copy(timeout, &rest, sizeof(rest)) && (rest.tv_sec || rest.tv_nsec);
}

static int receive_messages(int fd, struct mmsghdr *messages, unsigned int count, int flags,
			    struct timespec *timeout, const struct timespec *limit)
{
	const uint64_t start = timeout ? now_ns() : 0;
	unsigned int i = 0;

	while (i < count) {
		int after_first = i && (flags & MSG_WAITFORONE) ? MSG_DONTWAIT : 0;
		ssize_t n = receive_message(fd, &messages[i].msg_hdr,
					    (flags & ~MSG_WAITFORONE) | after_first);

		if (!note_length(&messages[i], n))
			break;
		i++;
		if (!time_is_left(timeout, limit, start))
			break;
	}
	return i || !count ? (int)i : -1;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		    struct timespec *timeout)
{
	struct timespec limit = {0};

	libc_ready();
	if (!(is_ours(fd) || (any_may(pass_may_bring, messages, count) && pass_is_line(fd))) ||
	    (timeout && (!user_copy(&limit, timeout, sizeof(limit)) || limit.tv_sec < 0 ||
			 (unsigned long)limit.tv_nsec > 999999999)))
		return libc.recvmmsg(fd, messages, count, flags, timeout);
	return receive_messages(fd, messages, count, flags, timeout, &limit);
}

/* How many bytes the vectors have; a stream_call. */
static ssize_t total_of(struct connection *connection, int fd, const struct iovec *iov, int count,
			int flags)
{
	(void)connection, (void)fd, (void)flags;
	return (ssize_t)place_total(iov, count);
}

static bool is_whole(const struct msghdr *message, ssize_t sent)
{
	struct msghdr own;

	return user_copy(&own, message, sizeof(own)) &&
	       sent >= call_io_with_vectors(total_of, NULL, -1, own.msg_iov, own.msg_iovlen, 0);
}

/* As in the kernel, a message that was sent in part is the last, and no call has more than IOV_MAX. */
EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	unsigned int i = 0;

	libc_ready();
	if (count > IOV_MAX)
		count = IOV_MAX;
	if (!is_ours(fd) && !any_may(pass_may_take, messages, count))
		return libc.sendmmsg(fd, messages, count, flags);
	while (i < count) {
		const ssize_t n = send_message(fd, &messages[i].msg_hdr, flags);

		if (!note_length(&messages[i], n))
			break;
		if (!is_whole(&messages[i++].msg_hdr, n))
			break;
	}
	return i || !count ? (int)i : -1;
}
