/* SPDX-License-Identifier: MIT */
/*
 * The agent: runs programs in the guest for the test outside
 *
 * Theory of operation
 *
 * The two sides exchange lines of text.  The test says
 *
 *     run ID PROGRAM ARGUMENT ...   start it; words are separated by single spaces
 *     end ID                        close its standard input
 *     kill ID SIGNAL                a number
 *     write PATH TEXT               into a file, such as those below /proc/sys
 *     stop                          power off
 *
 * and the agent answers
 *
 *     ready              once, when it starts to listen
 *     ID out TEXT        a line that the program wrote, to standard output or standard error
 *     ID exit STATUS     it ended, after its last line; 128 + N if signal N ended it
 *     write STATUS       0 or an errno
 *
 * IDs are chosen by the test, small numbers that are not in use.  Programs run side by side; one
 * that blocks holds up nobody.  A line that makes no sense is answered with "error LINE".
 */
#ifndef INTEROP_AGENT_H
#define INTEROP_AGENT_H

#define AGENT_PROGRAMS 16 /* that run at one time; IDs are below it */
#define AGENT_LINE 1024 /* longest line, its end included */

/* agent_serve - serve the test on @fd; returns when it says stop or the port fails */
void agent_serve(int fd);

#endif
