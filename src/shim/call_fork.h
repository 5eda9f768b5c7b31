/* SPDX-License-Identifier: MIT */
/*
 * Following forks, by whatever way
 */
#ifndef SMCU_SHIM_CALL_FORK_H
#define SMCU_SHIM_CALL_FORK_H

#include <stdbool.h>

/* fork_follow - in the constructor: be called around fork(3) */
void fork_follow(void);

/* fork_is_one - would this system call make a process with memory of its own? */
bool fork_is_one(long number, const long arguments[6]);

/* fork_by_system_call - make it, as syscall(2) does; returns twice */
long fork_by_system_call(long number, const long arguments[6]);

#endif
