/* SPDX-License-Identifier: MIT */
#include "shim/latch.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/settings.h"

__thread struct latches latches;

/* Without SA_SIGINFO the kernel need not pass one. */
static bool has_context(int flags)
{
#ifdef __x86_64__
	(void)flags;
	return true;
#else
	return flags & SA_SIGINFO;
#endif
}

static void set_mask(int how, uint64_t signals)
{
	libc.syscall(SYS_rt_sigprocmask, how, &signals, NULL, sizeof(signals));
}

void latch_let_in(void)
{
	const int saved = errno;
	const uint64_t waiting = latches.waiting;

	latches.waiting = 0;
	set_mask(SIG_UNBLOCK, waiting);
	errno = saved;
}

int latch_take_slowly(_Atomic uint32_t *word)
{
	const int saved = errno;
	int error = -EAGAIN;

	for (unsigned int tries = 0; error == -EAGAIN; tries++) {
		latch_begin();
		error = lock_take_step(word, thread_id(), tries);
		if (error)
			latch_end();
	}
	errno = saved;
	return error;
}

struct latches latch_set_aside(void)
{
	const struct latches aside = latches;

	latches.held = 0;
	latches.waiting = 0;
	return aside;
}

/* It came when the last latch was just dropped: what waits is let in where it was blocked. */
static void let_in_there(uint64_t waiting, ucontext_t *interrupted)
{
	for (int number = 1; waiting; number++, waiting >>= 1)
		if (waiting & 1)
			sigdelset(&interrupted->uc_sigmask, number);
}

void latch_give_back(struct latches aside, int flags, ucontext_t *interrupted)
{
	if (!aside.held && has_context(flags)) {
		let_in_there(aside.waiting, interrupted);
		return;
	}
	latches.held = aside.held;
	latches.waiting |= aside.waiting;
}

static bool send_again(int number, siginfo_t *info)
{
	return libc.syscall(SYS_rt_tgsigqueueinfo, getpid(), thread_id(), number, info) == 0;
}

bool latch_puts_off(int number, int flags, siginfo_t *info, ucontext_t *interrupted)
{
	siginfo_t bare = {.si_signo = number, .si_code = SI_USER};
	const uint64_t bit = 1ULL << (number - 1);
	const int saved = errno;
	bool sent;

	if (__builtin_expect(!latches.held, 1) || settings.sandboxed ||
	    (flags & (int)SA_RESETHAND) || !has_context(flags))
		return false;
	if (flags & SA_NODEFER)
		set_mask(SIG_BLOCK, bit);
	/* Without SA_SIGINFO the kernel has told nothing, and nobody asks. */
	sent = send_again(number, flags & SA_SIGINFO ? info : &bare);
	if (sent) {
		latches.waiting |= bit;
		sigaddset(&interrupted->uc_sigmask, number);
	} else if (flags & SA_NODEFER) {
		set_mask(SIG_UNBLOCK, bit);
	}
	errno = saved;
	return sent;
}
