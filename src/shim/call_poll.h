/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_CALL_POLL_H
#define SMCU_SHIM_CALL_POLL_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

/**
 * poll_all - ppoll(2) where a connection of ours is in the set
 * @fds, @count: the program's
 * @ours: set to whether that is so; if not, nothing was done
 *
 * Return: what ppoll(2) returns, or -errno.
 */
int poll_all(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
	     bool *ours);

#endif
