/* SPDX-License-Identifier: MIT */
/*
 * The program's signal handlers, as far as they concern the shim
 *
 * Would an interrupted call be restarted?
 *
 * A blocked read(2) on TCP is restarted after a handler with SA_RESTART, and fails with EINTR after
 * one without.  ppoll(2), with which we watch the bell and the TCP socket together, always fails with
 * EINTR.  What ran meanwhile is counted (handlers.h) and tells.  Of a handler that was installed past us,
 * and is not counted, we know only what the kernel says of all: if some would interrupt, it did.
 *
 * SIGSEGV and SIGBUS are caught from the first connection on (user_memory.h).  The program's own
 * dispositions of the two are kept here: it sees and sets those, and what is not ours goes to them.
 */
#ifndef SMCU_SHIM_SIGNALS_H
#define SMCU_SHIM_SIGNALS_H

#include <stdbool.h>

#include "shim/handlers.h"

/**
 * signals_restarted - a sleep of ours has failed with EINTR: would the kernel have gone on?
 * @before: the handlers that had run when the call began
 */
bool signals_restarted(const struct handler_runs *before);

/* signals_guard - catch faults from here on; once is enough, again is cheap */
void signals_guard(void);

#endif
