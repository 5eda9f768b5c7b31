/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_CALL_NUMBER_H
#define SMCU_SHIM_CALL_NUMBER_H

#include <stdbool.h>

/**
 * call_by_number - is syscall(2) asked for a call that has a stand-in?
 * @a: six arguments
 * @result: then, what that returned, with errno
 *
 * Some programs make calls on descriptors by their numbers, to step around libc's cancellation points (libuv
 * closes and duplicates in that way) or for an older libc.
 */
bool call_by_number(long number, const long *a, long *result);

#endif
