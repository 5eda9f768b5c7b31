/* SPDX-License-Identifier: MIT */
#include "shim/pass.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shim/cleanup.h"
#include "shim/connection.h"
#include "shim/libc.h"
#include "shim/parcel.h"
#include "shim/quiet.h"
#include "shim/settings.h"
#include "shim/signals.h"
#include "shim/user_memory.h"

#define FDS_MOST 253U /* SCM_MAX_FD of the kernel */
#define SENT_MOST 8192U /* of a control buffer that the kernel may take at all, nearly */
#define RECEIVED_MOST                                                                              \
	(CMSG_SPACE(FDS_MOST * sizeof(int)) + 1024U) /* and credentials, label, pidfd */

static bool has_control(const struct msghdr *message)
{
	struct msghdr own;

	return user_copy(&own, message, sizeof(own)) && own.msg_control &&
	       own.msg_controllen >= CMSG_LEN(sizeof(int));
}

bool pass_may_take(const struct msghdr *message)
{
	return !connection_none() && !settings.sandboxed && has_control(message);
}

bool pass_may_bring(const struct msghdr *message)
{
	if (settings.off || settings.sandboxed)
		return false;
	signals_guard(); /* this process may have had no connection yet */
	return has_control(message);
}

/* --- sending --- */

/* Is its length possible?  If not, the kernel says so. */
static bool is_sound(const struct msghdr *message, const struct cmsghdr *c)
{
	const size_t left = message->msg_controllen -
			    (size_t)((const char *)c - (const char *)message->msg_control);

	return c->cmsg_len >= CMSG_LEN(0) && c->cmsg_len <= left;
}

/* How many connections can take their rings along with so many descriptors of the program's? */
static unsigned int room_beside(size_t fds)
{
	const size_t room = fds < FDS_MOST ? (FDS_MOST - 1 - fds) / PARCEL_FDS_EACH : 0;

	return room < PARCEL_MOST ? (unsigned int)room : PARCEL_MOST;
}

static size_t count_fds(struct msghdr *message)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c && is_sound(message, c);
	     c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			count += (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	return count;
}

/* Which connections are in it?  0, or -EPERM: one cannot go, or -EINVAL: it is the kernel's to refuse. */
static int look_through(struct parcel *parcel, struct msghdr *message)
{
	int error = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		const int *fds = (const int *)(const void *)CMSG_DATA(c);

		if (!is_sound(message, c))
			return -EINVAL;
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) && !error; i++)
			error = parcel_add(parcel, fds[i]);
	}
	return error;
}

/* Who reads at the other end of @line may have our side segment? */
static bool is_our_user(int line)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t length = sizeof(peer);

	return libc.getsockopt(line, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

/* The thread is cancelled. */
static void abandon(void *parcel)
{
	parcel_end(parcel, true);
}

static ssize_t send_parcel(int line, struct msghdr *message, struct parcel *parcel, int flags)
{
	const size_t own = CMSG_ALIGN(message->msg_controllen),
		     bytes = parcel->fd_count * sizeof(int);
	struct cmsghdr *rights = (struct cmsghdr *)(void *)((char *)message->msg_control + own);
	struct cleanup cleanup;
	ssize_t n;

	memset((char *)message->msg_control + message->msg_controllen, 0,
	       own - message->msg_controllen);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(rights), parcel->fds, bytes);
	message->msg_controllen = own + CMSG_SPACE(bytes);
	cleanup_push(&cleanup, abandon, parcel);
	n = libc.sendmsg(line, message, flags);
	cleanup_pop(&cleanup);
	return n;
}

ssize_t pass_send(int line, const struct msghdr *message, int flags)
{
	_Alignas(struct cmsghdr) char control[SENT_MOST + CMSG_SPACE(PARCEL_FDS * sizeof(int))];
	struct parcel parcel = {.count = 0};
	struct msghdr own;
	ssize_t result = -EPERM;
	int error;

	if (!user_copy(&own, message, sizeof(own)) || own.msg_controllen > SENT_MOST ||
	    !user_copy(control, own.msg_control, own.msg_controllen))
		return libc.sendmsg(line, message, flags);
	own.msg_control = control;
	parcel.most = is_our_user(line) ? room_beside(count_fds(&own)) : 0;
	error = look_through(&parcel, &own);
	if (error == -EINVAL || (!parcel.count && !error)) {
		parcel_end(&parcel, true);
		return libc.sendmsg(line, message, flags);
	}
	if (error)
		settings_say("descriptor %d: a moved connection cannot be passed over it now",
			     line);
	else
		result = parcel_close(&parcel);
	if (result == 0) {
		result = send_parcel(line, &own, &parcel, flags);
		result = result < 0 ? -errno : result;
	}
	parcel_end(&parcel, result < 0);
	return to_errno(result);
}

/* --- receiving --- */

bool pass_is_line(int fd)
{
	int domain = 0;
	socklen_t length = sizeof(domain);

	return libc.getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
	       domain == AF_UNIX;
}

/**
 * struct control_writer - the program's control buffer, filled as the kernel fills it
 * @at, @room: what is left of it
 * @truncated: something did not fit: MSG_CTRUNC
 * @fault: there is no such memory
 */
struct control_writer {
	char *at;
	size_t room;
	bool truncated;
	bool fault;
};

static void put(struct control_writer *to, const struct cmsghdr *part, size_t bytes, size_t space)
{
	struct cmsghdr header = *part;

	header.cmsg_len = CMSG_LEN(bytes);
	to->fault |= !user_copy(to->at, &header, sizeof(header)) ||
		     !user_copy(to->at + CMSG_LEN(0), CMSG_DATA(part), bytes);
	if (space > to->room)
		space = to->room;
	to->at += space;
	to->room -= space;
}

/* Anything but descriptors is cut where the buffer ends. */
static void put_part(struct control_writer *to, const struct cmsghdr *part)
{
	size_t length = part->cmsg_len;

	if (to->room < sizeof(*part)) {
		to->truncated = true;
		return;
	}
	if (length > to->room) {
		to->truncated = true;
		length = to->room;
	}
	put(to, part, length - CMSG_LEN(0), CMSG_SPACE(part->cmsg_len - CMSG_LEN(0)));
}

/* Descriptors that do not fit are not there. */
static void put_rights(struct control_writer *to, struct cmsghdr *part, bool peeked)
{
	int *fds = (int *)(void *)CMSG_DATA(part);
	const unsigned int came = (unsigned int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	const size_t fit = to->room < CMSG_LEN(0) ? 0 : (to->room - CMSG_LEN(0)) / sizeof(int);
	unsigned int count = parcel_open(fds, came, peeked);

	while (count > fit) {
		to->truncated = true;
		connection_forget(fds[--count]);
		quiet_close(fds[count]);
	}
	if (count)
		put(to, part, count * sizeof(int), CMSG_SPACE(count * sizeof(int)));
}

static ssize_t receive(int line, struct msghdr *message, struct msghdr *own, int flags)
{
	_Alignas(struct cmsghdr) char control[RECEIVED_MOST];
	void *const theirs = own->msg_control;
	struct control_writer to = {.at = theirs, .room = own->msg_controllen};
	ssize_t n;

	own->msg_control = control;
	own->msg_controllen = sizeof(control);
	n = libc.recvmsg(line, own, flags);
	if (n < 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(own); c; c = CMSG_NXTHDR(own, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			put_rights(&to, c, flags & MSG_PEEK);
		else
			put_part(&to, c);
	}
	own->msg_control = theirs;
	own->msg_controllen = (size_t)(to.at - (char *)theirs);
	if (to.truncated)
		own->msg_flags |= MSG_CTRUNC;
	return to.fault || !user_copy(message, own, sizeof(*own)) ? to_errno(-EFAULT) : n;
}

ssize_t pass_receive(int line, struct msghdr *message, int flags)
{
	struct msghdr own;

	if (!pass_is_line(line) || !user_copy(&own, message, sizeof(own)))
		return libc.recvmsg(line, message, flags);
	return receive(line, message, &own, flags);
}
