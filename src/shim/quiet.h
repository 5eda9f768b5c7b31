/* SPDX-License-Identifier: MIT */
/*
 * System calls of our own that are no cancellation points
 *
 * Theory of operation
 *
 * A call of the program's may be a cancellation point at its beginning, and where it sleeps.  In between,
 * locks and references are held, and bytes have moved that nobody has been told of: a bell must be rung
 * there, not be where the thread ends.  libc's send(), poll() and the like are such points, its syscall()
 * is none.  They are the same system calls, with the same numbers, as a sandbox may count on.
 *
 * What remains of the form libc.NAME() is the program's own call, or a sleep, with all that it holds given
 * up by a cleanup handler; but in a sandbox a reference may stay.
 */
#ifndef SMCU_SHIM_QUIET_H
#define SMCU_SHIM_QUIET_H

#include <sys/syscall.h>

#include "shim/libc.h"

static inline ssize_t quiet_send(int fd, const void *bytes, size_t size, int flags)
{
	return libc.syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0);
}

static inline ssize_t quiet_recv(int fd, void *bytes, size_t size, int flags)
{
	return libc.syscall(SYS_recvfrom, fd, bytes, size, flags, NULL, NULL);
}

static inline ssize_t quiet_sendmsg(int fd, const struct msghdr *message, int flags)
{
	return libc.syscall(SYS_sendmsg, fd, message, flags);
}

static inline ssize_t quiet_recvmsg(int fd, struct msghdr *message, int flags)
{
	return libc.syscall(SYS_recvmsg, fd, message, flags);
}

static inline ssize_t quiet_read(int fd, void *bytes, size_t size)
{
	return libc.syscall(SYS_read, fd, bytes, size);
}

static inline ssize_t quiet_write(int fd, const void *bytes, size_t size)
{
	return libc.syscall(SYS_write, fd, bytes, size);
}

static inline ssize_t quiet_pread(int fd, void *bytes, size_t size, off_t offset)
{
	return libc.syscall(SYS_pread64, fd, bytes, size, offset);
}

static inline ssize_t quiet_splice(int from, off64_t *from_offset, int to, off64_t *to_offset,
				   size_t size, unsigned int flags)
{
	return libc.syscall(SYS_splice, from, from_offset, to, to_offset, size, flags);
}

static inline int quiet_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	return (int)libc.syscall(SYS_connect, fd, address, length);
}

static inline int quiet_close(int fd)
{
#ifdef __SANITIZE_THREAD__
	return libc.close(fd); /* the sanitizer follows descriptors */
#else
	return (int)libc.syscall(SYS_close, fd);
#endif
}

/* quiet_poll - not for ever: @timeout_ms >= 0 */
static inline int quiet_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
#ifdef SYS_poll
	return (int)libc.syscall(SYS_poll, fds, count, timeout_ms);
#else
	struct timespec limit = {.tv_sec = timeout_ms / 1000,
				 .tv_nsec = timeout_ms % 1000 * 1000000L};

	return (int)libc.syscall(SYS_ppoll, fds, count, &limit, NULL, 0);
#endif
}

/* quiet_epoll_look - epoll_wait(2) that does not wait */
static inline int quiet_epoll_look(int epoll, struct epoll_event *events, int most)
{
#ifdef SYS_epoll_wait
	return (int)libc.syscall(SYS_epoll_wait, epoll, events, most, 0);
#else
	return (int)libc.syscall(SYS_epoll_pwait, epoll, events, most, 0, NULL, 0);
#endif
}

static inline void quiet_sleep(const struct timespec *time)
{
	(void)libc.syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, time, NULL);
}

#endif
