/* SPDX-License-Identifier: MIT */
#include "shim/latch.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/settings.h"

__thread struct latches latches;

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

	if (__builtin_expect(!latches.held, 1) || settings.sandboxed || (flags & (int)SA_RESETHAND))
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
