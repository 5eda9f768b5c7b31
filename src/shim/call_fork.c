/* SPDX-License-Identifier: MIT */
/*
 * fork, and stand-ins for the ways past it: the child is a holder of what it has from the start
 *
 * fork(3) calls us (pthread_atfork), also where libc itself forks, but does not say that it failed: so it
 * has a stand-in as well.  _Fork(3), clone(3) and the system calls do not call us; a child that they make
 * is treated as fork's, unless it shares our memory (a thread, or vfork's).
 */
#include "shim/call_fork.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/connection.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/offer.h"
#include "shim/session.h"
#include "shim/settings.h"
#include "shim/side.h"
#include "shim/spare.h"
#include "shim/stand_in.h"

/* This thread's last fork, while it is not known whether there is a child. */
static __thread uint32_t fork_under_way __attribute__((tls_model("initial-exec")));

/* No lock of ours is held across fork, and the child counts as a holder from the start. */
static void before_fork(void)
{
	offer_settle_all();
	session_before_fork();
	spare_before_fork();
	stand_in_before_fork();
	epoll_before_fork();
	fork_under_way = connection_before_fork();
	connection_keep_no_segment();
}

static void after_fork_in_parent(void)
{
	epoll_after_fork(false);
	connection_keep_no_segment(); /* those too that other threads have made meanwhile */
	stand_in_after_fork(false);
	spare_after_fork(false);
	session_after_fork(false);
}

static void after_fork_in_child(void)
{
	libc_thread_id = 0;
	if (!fd_table_is_certain)
		fd_table_owner = (pid_t)libc.syscall(SYS_getpid);
	epoll_after_fork(true);
	connection_keep_no_segment();
	stand_in_after_fork(true);
	spare_after_fork(true);
	session_after_fork(true);
	connection_after_fork();
	side_after_fork();
	latch_after_fork();
}

void fork_follow(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* It was counted for a child that there is not. */
static void undo_if_failed(long child)
{
	if (child < 0)
		connection_uncount(fork_under_way);
	fork_under_way = 0;
}

static void after(long child)
{
	const int saved = errno;

	if (child == 0)
		after_fork_in_child();
	else
		after_fork_in_parent();
	undo_if_failed(child);
	errno = saved;
}

/* A vfork child that makes a child of its own does it in its parent's memory. */
static bool is_followed(void)
{
	return !settings.off && fd_table_is_ours();
}

bool fork_is_one(long number, const long arguments[6])
{
	uint64_t flags = 0;

	switch (number) {
	case SYS_clone:
		if (arguments[1])
			return false; /* on another stack, to which no C function returns */
		flags = (uint64_t)arguments[0];
		break;
#ifdef SYS_clone3
	case SYS_clone3:
		if (arguments[0])
			flags = *(const uint64_t *)arguments[0]; /* clone_args.flags comes first */
		break;
#endif
#ifdef SYS_fork
	case SYS_fork:
		break;
#endif
	default:
		return false;
	}
	return !(flags & CLONE_VM) && is_followed();
}

long fork_by_system_call(long number, const long arguments[6])
{
	long child;

	before_fork();
	child = libc.syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
			     arguments[4], arguments[5]);
	after(child);
	return child;
}

EXPORT pid_t fork(void)
{
	pid_t child;

	libc_ready();
	child = libc.fork();
	undo_if_failed(child);
	return child;
}

EXPORT pid_t _Fork(void)
{
	pid_t child;

	libc_ready();
	if (!is_followed())
		return libc._Fork();
	before_fork();
	child = libc._Fork();
	after(child);
	return child;
}

/**
 * struct start - what the child is to run
 */
struct start {
	int (*function)(void *);
	void *argument;
};

static int start_child(void *context)
{
	const struct start *start = context;
	int status;

	after_fork_in_child();
	status = start->function(start->argument);
	connection_leave_all(); /* what follows is the system call, not _exit(2) */
	return status;
}

/* How many arguments follow those that clone() always has: the caller has put no more there than its flags ask for. */
static int more_arguments(int flags)
{
	if (flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID))
		return 3;
	if (flags & CLONE_SETTLS)
		return 2;
	return flags & (CLONE_PARENT_SETTID | CLONE_PIDFD) ? 1 : 0;
}

EXPORT int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
	struct start start = {function, argument};
	const int more = more_arguments(flags);
	void *rest[3] = {NULL};
	va_list arguments;
	int child;

	libc_ready();
	va_start(arguments, argument);
	for (int i = 0; i < more; i++)
		rest[i] = va_arg(arguments, void *);
	va_end(arguments);
	if ((flags & CLONE_VM) || !function || !is_followed())
		return libc.clone(function, stack, flags, argument, rest[0], rest[1], rest[2]);
	before_fork();
	child = libc.clone(start_child, stack, flags, &start, rest[0], rest[1], rest[2]);
	after(child < 0 ? -1 : 1);
	return child;
}
