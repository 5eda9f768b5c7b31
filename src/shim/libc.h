/* SPDX-License-Identifier: MIT */
/*
 * The real functions behind those that the shim stands in for
 *
 * Every symbol is resolved once, in the constructor, or at the first call when another library's
 * constructor comes first.  The rest of the shim calls libc.NAME for anything it interposes.
 */
#ifndef SMCU_SHIM_LIBC_H
#define SMCU_SHIM_LIBC_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* X(return type, name, parameters) */
#define LIBC_FUNCTIONS(X)                                                                          \
	X(int, socket, (int, int, int))                                                            \
	X(int, connect, (int, const struct sockaddr *, socklen_t))                                 \
	X(int, listen, (int, int))                                                                 \
	X(int, accept, (int, struct sockaddr *, socklen_t *))                                      \
	X(int, accept4, (int, struct sockaddr *, socklen_t *, int))                                \
	X(int, shutdown, (int, int))                                                               \
	X(int, setsockopt, (int, int, int, const void *, socklen_t))                               \
	X(int, getsockopt, (int, int, int, void *, socklen_t *))                                   \
	X(int, close, (int))                                                                       \
	X(int, dup, (int))                                                                         \
	X(int, dup2, (int, int))                                                                   \
	X(int, dup3, (int, int, int))                                                              \
	X(int, fcntl, (int, int, ...))                                                             \
	X(int, fcntl64, (int, int, ...))                                                           \
	X(int, ioctl, (int, unsigned long, ...))                                                   \
	X(ssize_t, read, (int, void *, size_t))                                                    \
	X(ssize_t, write, (int, const void *, size_t))                                             \
	X(ssize_t, readv, (int, const struct iovec *, int))                                        \
	X(ssize_t, writev, (int, const struct iovec *, int))                                       \
	X(ssize_t, preadv64v2, (int, const struct iovec *, int, off64_t, int))                     \
	X(ssize_t, pwritev64v2, (int, const struct iovec *, int, off64_t, int))                    \
	X(ssize_t, recv, (int, void *, size_t, int))                                               \
	X(ssize_t, send, (int, const void *, size_t, int))                                         \
	X(ssize_t, recvfrom, (int, void *, size_t, int, struct sockaddr *, socklen_t *))           \
	X(ssize_t, sendto, (int, const void *, size_t, int, const struct sockaddr *, socklen_t))   \
	X(ssize_t, recvmsg, (int, struct msghdr *, int))                                           \
	X(ssize_t, sendmsg, (int, const struct msghdr *, int))                                     \
	X(int, recvmmsg, (int, struct mmsghdr *, unsigned int, int, struct timespec *))            \
	X(int, sendmmsg, (int, struct mmsghdr *, unsigned int, int))                               \
	X(ssize_t, sendfile, (int, int, off_t *, size_t))                                          \
	X(ssize_t, sendfile64, (int, int, off_t *, size_t))                                        \
	X(ssize_t, splice, (int, off_t *, int, off_t *, size_t, unsigned int))                     \
	X(int, poll, (struct pollfd *, nfds_t, int))                                               \
	X(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))        \
	X(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *))                      \
	X(int, pselect,                                                                            \
	  (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))          \
	X(int, epoll_create, (int))                                                                \
	X(int, epoll_create1, (int))                                                               \
	X(int, epoll_ctl, (int, int, int, struct epoll_event *))                                   \
	X(int, epoll_wait, (int, struct epoll_event *, int, int))                                  \
	X(int, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *))               \
	X(int, epoll_pwait2,                                                                       \
	  (int, struct epoll_event *, int, const struct timespec *, const sigset_t *))             \
	X(FILE *, fdopen, (int, const char *))                                                     \
	X(int, vdprintf, (int, const char *, va_list))                                             \
	X(int, close_range, (unsigned int, unsigned int, int))                                     \
	X(void, closefrom, (int))                                                                  \
	X(int, getrlimit, (__rlimit_resource_t, struct rlimit *))                                  \
	X(int, setrlimit, (__rlimit_resource_t, const struct rlimit *))                            \
	X(int, prlimit, (pid_t, __rlimit_resource_t, const struct rlimit *, struct rlimit *))      \
	X(long, sysconf, (int))                                                                    \
	X(int, sigaction, (int, const struct sigaction *, struct sigaction *))                     \
	X(__sighandler_t, signal, (int, __sighandler_t))                                           \
	X(__sighandler_t, __sysv_signal, (int, __sighandler_t))                                    \
	X(__sighandler_t, sigset, (int, __sighandler_t))                                           \
	X(int, sigignore, (int))                                                                   \
	X(int, siginterrupt, (int, int))                                                           \
	X(int, execve, (const char *, char *const *, char *const *))                               \
	X(int, execvpe, (const char *, char *const *, char *const *))                              \
	X(int, execveat, (int, const char *, char *const *, char *const *, int))                   \
	X(int, posix_spawn,                                                                        \
	  (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,   \
	   char *const *, char *const *))                                                          \
	X(int, posix_spawnp,                                                                       \
	  (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,   \
	   char *const *, char *const *))                                                          \
	X(int, system, (const char *))                                                             \
	X(FILE *, popen, (const char *, const char *))                                             \
	X(int, chroot, (const char *))                                                             \
	X(pid_t, fork, (void))                                                                     \
	X(pid_t, _Fork, (void))                                                                    \
	X(int, clone, (int (*)(void *), void *, int, void *, ...))                                 \
	X(int, prctl, (int, ...))                                                                  \
	X(void, _exit, (int))                                                                      \
	X(long, syscall, (long, ...))

/**
 * struct libc_table - the real functions
 */
struct libc_table {
#define X(type, name, parameters) type(*name) parameters;
	LIBC_FUNCTIONS(X)
#undef X
};

extern struct libc_table libc;
extern bool libc_is_resolved;

/* No other library has put its own send(2) between us and libc. */
extern bool libc_send_is_libcs;

void libc_resolve(void);

/* libc_ready - called first by every stand-in */
static inline void libc_ready(void)
{
	if (__builtin_expect(!libc_is_resolved, 0))
		libc_resolve();
}

extern __thread uint32_t libc_thread_id __attribute__((tls_model("initial-exec")));

uint32_t libc_thread_id_slow(void);

/* thread_id - the calling thread's kernel id, kept */
static inline uint32_t thread_id(void)
{
	return libc_thread_id ? libc_thread_id : libc_thread_id_slow();
}

/* to_errno - what a stand-in returns: @result, or -1 with errno set where it is -errno */
static inline ssize_t to_errno(ssize_t result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

#define EXPORT __attribute__((visibility("default")))

#endif
