/* SPDX-License-Identifier: MIT */
/*
 * The preload library's start, fork, and what it keeps programs from doing
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/connection.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/inherit.h"
#include "shim/libc.h"
#include "shim/session.h"
#include "shim/settings.h"
#include "shim/side.h"

/* No lock of ours is held across fork, and the child counts as a holder from the start. */
static void before_fork(void)
{
	session_before_fork();
	epoll_before_fork();
	connection_before_fork();
}

static void after_fork_in_parent(void)
{
	epoll_after_fork(false);
	session_after_fork(false);
}

static void after_fork_in_child(void)
{
	libc_thread_id = 0;
	fd_table_owner = (pid_t)libc.syscall(SYS_getpid);
	epoll_after_fork(true);
	session_after_fork(true);
	connection_after_fork();
	side_after_fork();
}

__attribute__((constructor)) static void start(void)
{
	libc_ready();
	settings_from_environment();
	if (settings.off)
		return;
	session_note_paths();
	fd_table_init();
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
	inherit_take_up();
}

/* A process that ends without closing is a holder no more (who is killed stays one: that is safe). */
__attribute__((destructor)) static void end(void)
{
	if (fd_table_is_ours())
		connection_leave_all();
}

EXPORT void _exit(int status)
{
	libc_ready();
	end();
	libc._exit(status);
	__builtin_unreachable();
}

EXPORT void _Exit(int status)
{
	_exit(status);
}

/* A program that filters its own system calls may be killed for those of a session with the daemon. */
EXPORT int prctl(int option, ...)
{
	unsigned long a[4];
	va_list arguments;
	int result;

	libc_ready();
	va_start(arguments, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(arguments, unsigned long);
	va_end(arguments);
	result = libc.prctl(option, a[0], a[1], a[2], a[3]);
	if (option == PR_SET_SECCOMP && result == 0)
		settings.sandboxed = true;
	return result;
}

/*
 * The same by its number.  And a library that registers sockets with epoll through io_uring would do so
 * unseen: it is told that there is no io_uring, and uses epoll_ctl(2).
 */
EXPORT long syscall(long number, ...)
{
	long a[6], result;
	va_list arguments;

	libc_ready();
	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
#ifdef SYS_io_uring_setup
	if (number == SYS_io_uring_setup && !settings.off) {
		errno = ENOSYS;
		return -1;
	}
#endif
	result = libc.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (number == SYS_seccomp && result >= 0 && a[0] != SECCOMP_GET_ACTION_AVAIL &&
	    a[0] != SECCOMP_GET_NOTIF_SIZES)
		settings.sandboxed = true;
	return result;
}
