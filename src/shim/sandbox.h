/* SPDX-License-Identifier: MIT */
/*
 * Programs that sandbox themselves
 *
 * Theory of operation
 *
 * A program that installs a filter of system calls (or sets its limit of descriptors so low that a poll
 * of two is refused) may be killed for any call that it would not have made on TCP: for a write to a
 * bell, for a poll where it reads, for a number of descriptor that its filter does not know.  So before
 * the filter starts all that this process holds *goes back to TCP* (back.h), and from then on the shim
 * makes no system call of its own; the program's calls reach the kernel as they are.
 *
 * The rest stays in the ring, in memory that is mapped before: PHASE_BACK, in which a read takes from it
 * first, and poll, select and epoll report it.
 *
 * A connection with another host (remote.h) cannot go back, since nothing of it is in TCP.  It stays as it is, and
 * its calls go on to use its bells and its stand-in: a filter that forbids poll(2) or such numbers of
 * descriptors kills the program there.
 *
 * A connection that was made later, in the sandbox, is not looked at.
 */
#ifndef SMCU_SHIM_SANDBOX_H
#define SMCU_SHIM_SANDBOX_H

#include <poll.h>
#include <stdbool.h>

/* sandbox_enter - the program is about to lock itself in; again is cheap */
void sandbox_enter(void);

/* sandbox_be_silent - a filter is about to start: no system call of ours from here on */
void sandbox_be_silent(bool silent);

/* sandbox_leave - it was refused: new connections may move, what went back stays */
void sandbox_leave(void);

/* sandbox_has_rest - does a poll find unread bytes in a ring, that the kernel does not know of? */
bool sandbox_has_rest(const struct pollfd *fds, nfds_t count);

/**
 * sandbox_add_rest - add them to what poll(2) said
 * @n: what it returned, >= 0
 *
 * Return: how many are ready.
 */
int sandbox_add_rest(struct pollfd *fds, nfds_t count, int n);

#endif
