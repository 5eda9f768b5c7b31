/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins (remote.h), made while nobody waits for them
 *
 * Theory of operation
 *
 * The pair of sockets that a stand-in is costs more than anything else that the shim does for a connection to
 * another host.  A program that has made one will make another: so the next pair is made when a call waits in any
 * case, and nobody else has wanted the processor for a while.  One is kept at most; a child of fork(2) has none.
 */
#ifndef SMCU_SHIM_STAND_IN_H
#define SMCU_SHIM_STAND_IN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/wait.h"
#include "shim/settings.h"

#define STAND_IN_YIELDS 4U /* after so many */

extern _Atomic bool stand_in_wanted;

/**
 * stand_in_make - the one that was prepared, or a new one
 * @ends: ours, and the daemon's, with our byte in it (message_rendezvous); both hidden
 * @short_of: becomes true if they could be hidden for a moment only
 *
 * Return: 0 or -errno.
 */
int stand_in_make(int ends[2], bool *short_of);

void stand_in_prepare_slowly(void);

/* stand_in_prepare - while somebody waits: make the next one, if there was one before */
static inline void stand_in_prepare(const struct wait *wait)
{
	if (__builtin_expect(atomic_load_explicit(&stand_in_wanted, memory_order_relaxed), 0) &&
	    wait->yields + STAND_IN_YIELDS <= settings.wait_yields)
		stand_in_prepare_slowly();
}

/* stand_in_before_fork, stand_in_after_fork - around a fork(2) */
void stand_in_before_fork(void);
void stand_in_after_fork(bool in_child);

#endif
