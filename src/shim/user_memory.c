/* SPDX-License-Identifier: MIT */
#include "shim/user_memory.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/**
 * struct recovery - where a copy goes on when it faults
 * @jump: the place
 * @to, @from, @n: what is copied
 * @outer: of the copy that a signal handler interrupted
 */
struct recovery {
#if defined(__x86_64__)
	void *jump[5];
#else
	sigjmp_buf jump;
#endif
	const void *to;
	const void *from;
	size_t n;
	struct recovery *outer;
};

/* The compiler's own saves three registers; the library's is for where there is none. */
#if defined(__x86_64__)
#define RECOVERY_SET(jump) __builtin_setjmp(jump)
#define RECOVERY_GO(jump) __builtin_longjmp(jump, 1)
#else
#define RECOVERY_SET(jump) sigsetjmp(jump, 0)
#define RECOVERY_GO(jump) siglongjmp(jump, 1)
#endif

static __thread struct recovery *volatile current __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) bool user_copy(void *to, const void *from, size_t n)
{
	struct recovery recovery = {.to = to, .from = from, .n = n, .outer = current};

	if (n == 0)
		return true; /* from anywhere */
	if (RECOVERY_SET(recovery.jump))
		return false;
	current = &recovery;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(to, from, n);
	atomic_signal_fence(memory_order_seq_cst);
	current = recovery.outer;
	return true;
}

static bool is_within(const void *address, const void *start, size_t n)
{
	return (uintptr_t)address - (uintptr_t)start < n;
}

/* A sanitizer's memcpy() faults in its own tables. */
static bool is_of(const struct recovery *recovery, const siginfo_t *fault)
{
#if defined(__SANITIZE_ADDRESS__)
	(void)is_within;
	return recovery && fault->si_code > 0;
#else
	/* Addresses that are none at all come without their number. */
	return recovery && fault->si_code > 0 &&
	       (fault->si_code == SI_KERNEL ||
		is_within(fault->si_addr, recovery->to, recovery->n) ||
		is_within(fault->si_addr, recovery->from, recovery->n));
#endif
}

/* A sanitizer takes a lock before each longjmp(), which the interrupted code may hold. */
__attribute__((no_sanitize_address)) void user_copy_recover(const siginfo_t *fault)
{
	struct recovery *recovery = current;

	if (!is_of(recovery, fault))
		return;
	current = recovery->outer;
	RECOVERY_GO(recovery->jump);
}

void *user_copy_set_aside(void *copy)
{
	struct recovery *before = current;

	current = copy;
	return before;
}
