/* SPDX-License-Identifier: MIT */
/*
 * The program's signal handlers, as far as they concern the shim
 *
 * Would an interrupted call be restarted?
 *
 * A blocked read(2) on TCP is restarted after a handler with SA_RESTART, and fails with EINTR after
 * one without.  ppoll(2), with which we can watch the bell and the TCP socket together, always
 * fails with EINTR.  If all of the program's handlers agree, we know what to do then; if they do
 * not, the sleep is a recv(2) on the bell alone, which the kernel restarts or not as it is right.
 *
 * SIGSEGV and SIGBUS are caught from the first connection on (user_memory.h).  The program's own
 * dispositions of the two are kept here: it sees and sets those, and what is not ours goes to them.
 */
#ifndef SMCU_SHIM_SIGNALS_H
#define SMCU_SHIM_SIGNALS_H

enum signals_habit { SIGNALS_RESTART, SIGNALS_INTERRUPT, SIGNALS_DIFFER };

/* signals_habit - what the handlers installed now say; cheap unless they were changed since */
enum signals_habit signals_habit(void);

/* signals_guard - catch faults from here on; once is enough, again is cheap */
void signals_guard(void);

#endif
