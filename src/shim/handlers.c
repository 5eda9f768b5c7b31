/* SPDX-License-Identifier: MIT */
#include "shim/handlers.h"

#include <stdatomic.h>

#include "shim/cleanup.h"
#include "shim/fd_table.h"
#include "shim/hold.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/user_memory.h"

__thread struct handler_runs handler_runs;
__thread struct hold hold;

typedef void handler_function(int number, siginfo_t *info, void *context);

/**
 * struct kept - what the program installed where ours stands
 * @function: called with all three arguments, which does no harm to one that takes the first only
 * @flags: of sigaction(2)
 */
static struct kept {
	_Atomic(handler_function *) function;
	_Atomic int flags;
} kept[NSIG];

/* What a handler has interrupted: what the call there holds, and which signals wait for latches there. */
struct interrupted {
	struct hold hold;
	struct latches latches;
};

static void abandon(void *context)
{
	const struct interrupted *left = context;

	latches.waiting |= left->latches.waiting;
	if (latches.waiting)
		latch_let_in();
	if (left->hold.abandon)
		left->hold.abandon(left->hold.what);
}

/*
 * The handler may jump out of what it has interrupted, and has calls of its own: to them, and after a
 * jump, nothing is held and nothing is copied.
 */
static void call_aside(handler_function *function, int number, int flags, siginfo_t *info,
		       void *context)
{
	struct interrupted left = {.hold = hold, .latches = latch_set_aside()};
	const bool owes = left.hold.abandon || left.latches.waiting;
	void *copy = user_copy_set_aside(NULL);
	struct cleanup cleanup;

	hold_end();
	if (owes)
		cleanup_push(&cleanup, abandon, &left);
	function(number, info, context);
	if (owes)
		cleanup_pop(&cleanup);
	latch_give_back(left.latches, flags, context);
	(void)user_copy_set_aside(copy);
	if (left.hold.abandon)
		hold_begin(left.hold.what, left.hold.abandon);
}

static void run(int number, siginfo_t *info, void *context)
{
	handler_function *function = atomic_load(&kept[number].function);
	const int flags = atomic_load(&kept[number].flags);

	if (latch_puts_off(number, flags, info, context))
		return;
	handler_runs.all++;
	if (!(flags & SA_RESTART))
		handler_runs.interrupting++;
	call_aside(function, number, flags, info, context);
}

static bool is_function(__sighandler_t handler)
{
	return handler != SIG_DFL && handler != SIG_IGN && handler != SIG_ERR &&
	       handler != SIG_HOLD;
}

static bool is_counted(int number, const struct sigaction *action)
{
	return number > 0 && number < NSIG && action && is_function(action->sa_handler);
}

/* A vfork child shares our memory, but its handlers are its own. */
int handlers_set(int number, const struct sigaction *action, struct sigaction *old)
{
	const bool counts = is_counted(number, action) && fd_table_is_ours();
	handler_function *before =
		number > 0 && number < NSIG ? atomic_load(&kept[number].function) : NULL;
	const int flags = before ? atomic_load(&kept[number].flags) : 0;
	struct sigaction wanted;
	int result;

	if (counts) {
		wanted = *action;
		atomic_store(&kept[number].function, wanted.sa_sigaction);
		atomic_store(&kept[number].flags, wanted.sa_flags);
		wanted.sa_sigaction = run;
		action = &wanted;
	}
	result = libc.sigaction(number, action, old);
	if (result < 0 && counts) {
		atomic_store(&kept[number].function, before);
		atomic_store(&kept[number].flags, flags);
	}
	if (result == 0 && old && old->sa_sigaction == run)
		old->sa_sigaction = before;
	return result;
}

void handlers_look(int number)
{
	struct sigaction now;

	if (fd_table_is_ours() && libc.sigaction(number, NULL, &now) == 0 &&
	    now.sa_sigaction == run)
		atomic_store(&kept[number].flags, now.sa_flags);
}

__sighandler_t handlers_set_simply(int number, __sighandler_t handler,
				   __sighandler_t (*real)(int, __sighandler_t))
{
	const bool counts =
		number > 0 && number < NSIG && is_function(handler) && fd_table_is_ours();
	handler_function *before =
		number > 0 && number < NSIG ? atomic_load(&kept[number].function) : NULL;
	__sighandler_t old;

	if (counts) {
		atomic_store(&kept[number].function, (handler_function *)(void *)handler);
		handler = (__sighandler_t)(void *)run;
	}
	old = real(number, handler);
	if (old == SIG_ERR && counts)
		atomic_store(&kept[number].function, before);
	else if (counts)
		handlers_look(number);
	return old == (__sighandler_t)(void *)run ? (__sighandler_t)(void *)before : old;
}
