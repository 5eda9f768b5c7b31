/* SPDX-License-Identifier: MIT */
#include "shim/signals.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/fd_table.h"
#include "shim/handlers.h"
#include "shim/libc.h"
#include "shim/user_memory.h"

static _Atomic unsigned int changes = 1; /* how often a disposition was set */
static _Atomic unsigned int looked_at; /* @changes when @all_restart was found */
static _Atomic bool all_restart;

/* What a thread brings upon itself does not interrupt it asleep; sanitizers and runtimes catch it. */
static bool is_fault(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
	       number == SIGABRT || number == SIGTRAP || number == SIGSYS;
}

/* All handlers that are installed now; cheap unless they were changed since the last time. */
static bool do_all_restart(void)
{
	const unsigned int now = atomic_load(&changes);
	bool all = true;

	if (atomic_load(&looked_at) == now)
		return atomic_load(&all_restart);
	for (int number = 1; number < NSIG && all; number++) {
		struct sigaction action;

		all = is_fault(number) || libc.sigaction(number, NULL, &action) < 0 ||
		      action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN ||
		      (action.sa_flags & SA_RESTART);
	}
	atomic_store(&all_restart, all);
	atomic_store(&looked_at, now);
	return all;
}

bool signals_restarted(const struct handler_runs *before)
{
	return handler_runs.all != before->all ? handler_runs.interrupting == before->interrupting
					       : do_all_restart();
}

/* --- faults --- */

static const int faults[] = {SIGSEGV, SIGBUS};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static struct sigaction programs[FAULTS]; /* what the program set */
static _Atomic bool guards;

/* The program's disposition of a fault that we catch, else NULL. */
static struct sigaction *program_action(int number)
{
	for (size_t i = 0; i < FAULTS && atomic_load(&guards); i++)
		if (faults[i] == number)
			return &programs[i];
	return NULL;
}

/* The same to be set; a vfork child, which shares our memory, sets its own in the kernel. */
static struct sigaction *program_action_here(int number)
{
	struct sigaction *own = program_action(number);

	return own && fd_table_is_ours() ? own : NULL;
}

/* Die of it, where it happened: the instruction runs again. */
static void fault_by_default(int number, const siginfo_t *info)
{
	const struct sigaction plain = {.sa_handler = SIG_DFL};

	libc.sigaction(number, &plain, NULL);
	if (info->si_code <= 0) /* somebody sent it */
		libc.syscall(SYS_tgkill, getpid(), libc.syscall(SYS_gettid), number);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	struct sigaction *own = program_action(number), action;

	user_copy_recover(info);
	action = *own;
	if (action.sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
		fault_by_default(number, info);
		return;
	}
	if ((unsigned int)action.sa_flags & SA_RESETHAND)
		own->sa_handler = SIG_DFL;
	/* The mask as the kernel would have it; our return restores the old one. */
	if (!(action.sa_flags & SA_NODEFER))
		sigaddset(&action.sa_mask, number);
	pthread_sigmask(SIG_BLOCK, &action.sa_mask, NULL);
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(number, info, context);
	else
		action.sa_handler(number);
}

void signals_guard(void)
{
	struct sigaction action = {.sa_sigaction = on_fault,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	if (atomic_load_explicit(&guards, memory_order_relaxed))
		return;
	for (size_t i = 0; i < FAULTS; i++)
		libc.sigaction(faults[i], NULL, &programs[i]);
	if (atomic_exchange(&guards, true))
		return;
	for (size_t i = 0; i < FAULTS; i++)
		libc.sigaction(faults[i], &action, NULL);
}

/* signal(3) and its kin for a fault: @flags are what they imply. */
static __sighandler_t set_handler(struct sigaction *own, __sighandler_t handler, unsigned int flags)
{
	__sighandler_t old = own->sa_handler;

	*own = (struct sigaction){.sa_handler = handler, .sa_flags = (int)flags};
	return old;
}

/* --- stand-ins --- */

/* libc's headers name these only on request, or not at all. */
int __sigaction(int number, const struct sigaction *action, struct sigaction *old);
__sighandler_t bsd_signal(int number, __sighandler_t handler);
__sighandler_t ssignal(int number, __sighandler_t handler);
__sighandler_t sysv_signal(int number, __sighandler_t handler);

EXPORT int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction *own, wanted;
	int result;

	libc_ready();
	own = program_action_here(number);
	if (own) {
		wanted = action ? *action : *own;
		if (old)
			*old = *own;
		*own = wanted;
		return 0;
	}
	result = is_fault(number) ? libc.sigaction(number, action, old)
				  : handlers_set(number, action, old);
	if (action)
		atomic_fetch_add(&changes, 1);
	return result;
}

EXPORT int __sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	return sigaction(number, action, old);
}

EXPORT __sighandler_t signal(int number, __sighandler_t handler)
{
	__sighandler_t old;

	libc_ready();
	if (program_action_here(number))
		return set_handler(program_action_here(number), handler, SA_RESTART);
	old = is_fault(number) ? libc.signal(number, handler)
			       : handlers_set_simply(number, handler, libc.signal);
	atomic_fetch_add(&changes, 1);
	return old;
}

/* Older names of the same. */
EXPORT __sighandler_t bsd_signal(int number, __sighandler_t handler)
{
	return signal(number, handler);
}

EXPORT __sighandler_t ssignal(int number, __sighandler_t handler)
{
	return signal(number, handler);
}

EXPORT __sighandler_t __sysv_signal(int number, __sighandler_t handler)
{
	__sighandler_t old;

	libc_ready();
	if (program_action_here(number))
		return set_handler(program_action_here(number), handler, SA_RESETHAND | SA_NODEFER);
	old = is_fault(number) ? libc.__sysv_signal(number, handler)
			       : handlers_set_simply(number, handler, libc.__sysv_signal);
	atomic_fetch_add(&changes, 1);
	return old;
}

EXPORT __sighandler_t sysv_signal(int number, __sighandler_t handler)
{
	return __sysv_signal(number, handler);
}

/* sigset(3) of a fault, which also blocks it, or does no longer. */
static __sighandler_t set_and_unblock(int number, struct sigaction *own, __sighandler_t handler)
{
	__sighandler_t old = own->sa_handler;
	sigset_t one, before;

	sigemptyset(&one);
	sigaddset(&one, number);
	if (handler != SIG_HOLD)
		(void)set_handler(own, handler, 0);
	pthread_sigmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &one, &before);
	return sigismember(&before, number) ? SIG_HOLD : old;
}

EXPORT __sighandler_t sigset(int number, __sighandler_t handler)
{
	__sighandler_t old;

	libc_ready();
	if (program_action_here(number))
		return set_and_unblock(number, program_action_here(number), handler);
	old = is_fault(number) ? libc.sigset(number, handler)
			       : handlers_set_simply(number, handler, libc.sigset);
	atomic_fetch_add(&changes, 1);
	return old;
}

EXPORT int sigignore(int number)
{
	int result;

	libc_ready();
	if (program_action_here(number)) {
		(void)set_handler(program_action_here(number), SIG_IGN, 0);
		return 0;
	}
	result = libc.sigignore(number);
	atomic_fetch_add(&changes, 1);
	return result;
}

EXPORT int siginterrupt(int number, int interrupt)
{
	int result;

	libc_ready();
	if (program_action_here(number)) {
		program_action_here(number)->sa_flags &= ~SA_RESTART;
		program_action_here(number)->sa_flags |= interrupt ? 0 : SA_RESTART;
		return 0;
	}
	result = libc.siginterrupt(number, interrupt);
	handlers_look(number);
	atomic_fetch_add(&changes, 1);
	return result;
}
