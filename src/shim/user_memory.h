/* SPDX-License-Identifier: MIT */
/*
 * Copying to and from the program's memory
 *
 * Theory of operation
 *
 * A program may give a call an address at which nothing can be read or written.  The kernel answers
 * EFAULT, so the shim must not die of it.  Each thread that copies leaves a *recovery* where its
 * signal handler finds it; a SIGSEGV or SIGBUS at an address inside the copy goes back there, and any
 * other fault is the program's, whose handler gets it as if ours were not in between (signals.h).
 */
#ifndef SMCU_SHIM_USER_MEMORY_H
#define SMCU_SHIM_USER_MEMORY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * user_copy - memcpy() where one side is the program's
 *
 * Wants signals_guard() to have been called.  Return: false when there was no such memory; some bytes
 * may have been copied.
 */
bool user_copy(void *to, const void *from, size_t n);

/* user_copy_recover - does this fault belong to a copy?  Then it does not return. */
void user_copy_recover(const siginfo_t *fault);

/* user_copy_set_aside - while a handler runs: no copy is under way (NULL), and then again what this returned */
void *user_copy_set_aside(void *copy);

#endif
