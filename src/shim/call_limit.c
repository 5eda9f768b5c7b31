/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: the limits on descriptors and on memory
 *
 * The program sees and sets its own; the real ones are higher, to have room for the hidden descriptors
 * (fd_table.h) and for what the shim maps (memory.h).
 *
 * A vfork child shares our memory, and with it what we believe, but its limits are its own.  When it sets
 * one, its real limits become what it was shown, and are all there is from there on.
 */
#include "shim/call_limit.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/sandbox.h"
#include "shim/settings.h"
#include "shim/signals.h"
#include "shim/user_memory.h"

static _Atomic pid_t with_own_limits; /* the last vfork child that has set one */

bool limits_are_own(void)
{
	return atomic_load(&with_own_limits) && atomic_load(&with_own_limits) == getpid();
}

static int set_own_limit(int resource, const struct rlimit *limit)
{
	if (!limits_are_own()) {
		fd_limits_show();
		memory_limits_lower();
		atomic_store(&with_own_limits, getpid());
	}
	return libc.setrlimit((__rlimit_resource_t)resource, limit);
}

static bool is_shown_otherwise(int resource)
{
	return resource == RLIMIT_NOFILE && fd_soft_limit != RLIM_INFINITY;
}

static void show(struct rlimit *limit)
{
	if (fd_soft_limit < limit->rlim_cur)
		limit->rlim_cur = fd_soft_limit;
}

static int set_limits(const struct rlimit *limit)
{
	const bool was_sandboxed = settings.sandboxed;
	int result;

	if (limit->rlim_cur < FD_SANDBOX && limit->rlim_cur <= limit->rlim_max)
		sandbox_enter();
	result = fd_set_limits(limit);
	if (result < 0 && !was_sandboxed)
		sandbox_leave();
	return result;
}

EXPORT int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	int result;

	libc_ready();
	result = libc.getrlimit(resource, limit);
	if (limits_are_own())
		return result;
	if (result == 0 && memory_is_limit((int)resource))
		memory_show_limit((int)resource, limit);
	else if (result == 0 && is_shown_otherwise((int)resource))
		show(limit);
	return result;
}

EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	struct rlimit own;

	libc_ready();
	if (settings.off || (!memory_is_limit((int)resource) && !is_shown_otherwise((int)resource)))
		return libc.setrlimit(resource, limit);
	signals_guard();
	if (!user_copy(&own, limit, sizeof(own))) {
		errno = EFAULT;
		return -1;
	}
	if (fd_table_owner &&
	    !fd_table_is_ours()) /* there is none before the constructor has run */
		return set_own_limit((int)resource, &own);
	return memory_is_limit((int)resource) ? memory_set_limit((int)resource, &own)
					      : set_limits(&own);
}

EXPORT int prlimit(pid_t pid, __rlimit_resource_t resource, const struct rlimit *limit,
		   struct rlimit *old)
{
	libc_ready();
	if ((pid != 0 && pid != getpid()) ||
	    (!memory_is_limit((int)resource) && !is_shown_otherwise((int)resource)))
		return libc.prlimit(pid, resource, limit, old);
	if (old && getrlimit(resource, old) < 0)
		return -1;
	return limit ? setrlimit(resource, limit) : 0;
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
