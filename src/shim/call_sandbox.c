/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: the calls by which a program filters its own system calls
 *
 * A vfork child shares our memory, but the filter is its own, and so is the program that it executes.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/call_fork.h"
#include "shim/call_number.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/sandbox.h"
#include "shim/settings.h"

/* Does it install a filter?  Without one it only asks whether there could be one. */
static bool by_prctl(int option, const unsigned long *a)
{
	return option == PR_SET_SECCOMP &&
	       (a[0] == SECCOMP_MODE_STRICT || (a[0] == SECCOMP_MODE_FILTER && a[1])) &&
	       fd_table_is_ours();
}

static bool by_seccomp(long number, const long *a)
{
	return number == SYS_seccomp &&
	       (a[0] == SECCOMP_SET_MODE_STRICT || (a[0] == SECCOMP_SET_MODE_FILTER && a[2])) &&
	       fd_table_is_ours();
}

static void begin(void)
{
	sandbox_enter();
	sandbox_be_silent(settings.sandboxed);
}

/* Of several filters, or after a limit, one may be refused. */
static void refused(bool was_sandboxed)
{
	if (was_sandboxed)
		return;
	sandbox_be_silent(false);
	sandbox_leave();
}

EXPORT int prctl(int option, ...)
{
	unsigned long a[4];
	va_list arguments;
	const bool was_sandboxed = settings.sandboxed;
	bool locks_in;
	int result;

	libc_ready();
	va_start(arguments, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(arguments, unsigned long);
	va_end(arguments);
	locks_in = by_prctl(option, a);
	if (locks_in)
		begin();
	result = libc.prctl(option, a[0], a[1], a[2], a[3]);
	if (locks_in && result < 0)
		refused(was_sandboxed);
	return result;
}

/*
 * The same by its number.  And a library that registers sockets with epoll through io_uring would do so
 * unseen: it is told that there is no io_uring, and uses epoll_ctl(2).
 */
__attribute__((no_sanitize_address)) /* callers give as many arguments as the call has */
EXPORT long
syscall(long number, ...)
{
	long a[6], result;
	const bool was_sandboxed = settings.sandboxed;
	va_list arguments;
	bool locks_in;

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
	if (call_by_number(number, a, &result))
		return result;
	if (__builtin_expect(fork_is_one(number, a), 0))
		return fork_by_system_call(number, a);
	locks_in = by_seccomp(number, a);
	if (locks_in)
		begin();
	result = libc.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (locks_in && result < 0)
		refused(was_sandboxed);
	return result;
}
