/* SPDX-License-Identifier: MIT */
#include "shim/signals.h"

#include <stddef.h>

#include "shim/libc.h"

static _Atomic unsigned int changes = 1;    /* how often a disposition was set */
static _Atomic unsigned int looked_at;      /* @changes when @habit was found */
static _Atomic enum signals_habit habit;

/* What a thread brings upon itself does not interrupt it asleep; sanitizers and runtimes catch it. */
static bool is_fault(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
	       number == SIGABRT || number == SIGTRAP || number == SIGSYS;
}

enum signals_habit signals_habit(void)
{
	unsigned int now = atomic_load(&changes);
	bool restarts = false, interrupts = false;

	if (atomic_load(&looked_at) == now)
		return atomic_load(&habit);
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;

		if (is_fault(number) || libc.sigaction(number, NULL, &action) < 0 || action.sa_handler == SIG_DFL ||
		    action.sa_handler == SIG_IGN)
			continue;
		if (action.sa_flags & SA_RESTART)
			restarts = true;
		else
			interrupts = true;
	}
	atomic_store(&habit, restarts && interrupts ? SIGNALS_DIFFER
			     : interrupts	    ? SIGNALS_INTERRUPT
						    : SIGNALS_RESTART);
	atomic_store(&looked_at, now);
	return atomic_load(&habit);
}

EXPORT int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	int result;

	libc_ready();
	result = libc.sigaction(number, action, old);
	if (action)
		atomic_fetch_add(&changes, 1);
	return result;
}

EXPORT __sighandler_t signal(int number, __sighandler_t handler)
{
	__sighandler_t old;

	libc_ready();
	old = libc.signal(number, handler);
	atomic_fetch_add(&changes, 1);
	return old;
}

EXPORT __sighandler_t __sysv_signal(int number, __sighandler_t handler)
{
	__sighandler_t old;

	libc_ready();
	old = libc.__sysv_signal(number, handler);
	atomic_fetch_add(&changes, 1);
	return old;
}

EXPORT int siginterrupt(int number, int interrupt)
{
	int result;

	libc_ready();
	result = libc.siginterrupt(number, interrupt);
	atomic_fetch_add(&changes, 1);
	return result;
}
