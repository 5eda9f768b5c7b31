/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: the limit on descriptors
 *
 * The program sees and sets its own soft limit; the real one is higher, to have room for the hidden
 * descriptors (fd_table.h).
 */
#include <sys/resource.h>
#include <unistd.h>

#include "shim/fd_table.h"
#include "shim/libc.h"

static bool is_shown_otherwise(int resource)
{
	return resource == RLIMIT_NOFILE && fd_soft_limit != RLIM_INFINITY;
}

static void show(struct rlimit *limit)
{
	if (fd_soft_limit < limit->rlim_cur)
		limit->rlim_cur = fd_soft_limit;
}

EXPORT int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	int result;

	libc_ready();
	result = libc.getrlimit(resource, limit);
	if (result == 0 && is_shown_otherwise((int)resource))
		show(limit);
	return result;
}

EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	libc_ready();
	if (!is_shown_otherwise((int)resource))
		return libc.setrlimit(resource, limit);
	return fd_set_limits(limit);
}

EXPORT int prlimit(pid_t pid, __rlimit_resource_t resource, const struct rlimit *limit,
		   struct rlimit *old)
{
	libc_ready();
	if ((pid != 0 && pid != getpid()) || !is_shown_otherwise((int)resource))
		return libc.prlimit(pid, resource, limit, old);
	if (old && getrlimit(resource, old) < 0)
		return -1;
	return limit ? fd_set_limits(limit) : 0;
}

/* The same functions under the names that programs with 64-bit offsets use. */
EXPORT int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *limit)
{
	return getrlimit(resource, (struct rlimit *)limit);
}

EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	return setrlimit(resource, (const struct rlimit *)limit);
}

EXPORT int prlimit64(pid_t pid, __rlimit_resource_t resource, const struct rlimit64 *limit,
		     struct rlimit64 *old)
{
	return prlimit(pid, resource, (const struct rlimit *)limit, (struct rlimit *)old);
}

_Static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "they differ in name only");

EXPORT long sysconf(int name)
{
	libc_ready();
	if (name == _SC_OPEN_MAX && fd_soft_limit != RLIM_INFINITY)
		return (long)fd_soft_limit;
	return libc.sysconf(name);
}

EXPORT int getdtablesize(void)
{
	return (int)sysconf(_SC_OPEN_MAX);
}
