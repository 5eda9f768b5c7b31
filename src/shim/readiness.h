/* SPDX-License-Identifier: MIT */
/*
 * Is a moved connection ready?  The answer of poll(2) and epoll(7), computed from the rings
 *
 * A direction that has not moved is asked of the kernel.  Ends, errors and hang-ups are the
 * kernel's too; they are asked for once something has told us to look (connection.ended).
 */
#ifndef SMCU_SHIM_READINESS_H
#define SMCU_SHIM_READINESS_H

#include <poll.h>
#include <stdbool.h>

#include "shim/connection.h"

/**
 * readiness - poll(2)'s revents for an attached connection
 * @fd: its TCP socket
 * @wanted: bits that may be wanted
 * @ask: ask the kernel in any case (a poll without waiting must see what just happened)
 *
 * Return: POLLIN | POLLRDNORM, POLLOUT | POLLWRNORM, POLLRDHUP, POLLHUP, POLLERR, whatever holds, wanted or
 * not, and POLLPRI where it is wanted.
 */
short readiness(struct connection *connection, int fd, short wanted, bool ask);

/* readiness_glance - may readiness have changed?  Looks at memory only, errs on the side of yes */
bool readiness_glance(const struct connection *connection, short wanted);

/* readiness_note - the kernel reported @revents on the TCP socket */
void readiness_note(struct connection *connection, short revents);

#endif
