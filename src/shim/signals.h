/* SPDX-License-Identifier: MIT */
/*
 * Would an interrupted call be restarted?
 *
 * A blocked read(2) on TCP is restarted after a handler with SA_RESTART, and fails with EINTR after
 * one without.  ppoll(2), with which we can watch the bell and the TCP socket together, always
 * fails with EINTR.  If all of the program's handlers agree, we know what to do then; if they do
 * not, the sleep is a recv(2) on the bell alone, which the kernel restarts or not as it is right.
 */
#ifndef SMCU_SHIM_SIGNALS_H
#define SMCU_SHIM_SIGNALS_H

enum signals_habit { SIGNALS_RESTART, SIGNALS_INTERRUPT, SIGNALS_DIFFER };

/* signals_habit - what the handlers installed now say; cheap unless they were changed since */
enum signals_habit signals_habit(void);

#endif
