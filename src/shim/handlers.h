/* SPDX-License-Identifier: MIT */
/*
 * Counting the program's signal handlers
 *
 * Theory of operation
 *
 * A wait of ours looks and yields for a while before it sleeps in the kernel.  A handler that runs
 * meanwhile interrupts nothing there, but it would have interrupted the kernel's wait: the program may
 * have set a flag in it, and relies on EINTR.  So a function of ours stands before each handler that
 * the program installs and counts, for the thread in which it runs; who waits compares before it goes
 * to sleep.  What is ready comes first, as in the kernel.
 *
 * The program sees its own handlers.  Faults are not counted: no wait is interrupted by one.
 */
#ifndef SMCU_SHIM_HANDLERS_H
#define SMCU_SHIM_HANDLERS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct handler_runs - what ran in this thread so far
 * @all: handlers
 * @interrupting: those without SA_RESTART
 */
struct handler_runs {
	volatile uint32_t all;
	volatile uint32_t interrupting;
};

extern __thread struct handler_runs handler_runs __attribute__((tls_model("initial-exec")));

/* handlers_set - sigaction(2) for a signal that is no fault */
int handlers_set(int number, const struct sigaction *action, struct sigaction *old);

/**
 * handlers_set_simply - signal(3) and its kin
 * @real: which of them
 *
 * Return: the former handler, or SIG_ERR with errno set.
 */
__sighandler_t handlers_set_simply(int number, __sighandler_t handler,
				   __sighandler_t (*real)(int, __sighandler_t));

/* handlers_look - the flags of @number have been changed */
void handlers_look(int number);

#endif
