/* SPDX-License-Identifier: MIT */
/*
 * Connections passed to another process as SCM_RIGHTS
 *
 * Theory of operation
 *
 * One that has its rings takes what belongs to it (heirloom.h) along in the same message: behind the
 * program's own descriptors stand the connection's, and last a *manifest*, a sealed memory file with
 * the heirlooms as text, in which descriptors are counted from the first that is not the program's.
 * The receiver's shim takes these off again before its program sees the message, so that nobody
 * else is needed: the daemon may be gone, and the sender may close or die at once.  Both are holders
 * from then on, as after fork.
 *
 * The record goes as part of the sender's whole side segment, so that rings are passed to processes of the
 * same user only, or root's.  For others, and where there are too many for one message, a connection goes
 * back to TCP first (back.h); if it cannot, sendmsg(2) fails with EPERM.  A receiver that cannot use the
 * record (its locks count in another PID namespace; it has too many segments already) sends it back
 * itself; if that cannot be, the socket is shut down.  A receiver without the shim finds descriptors that
 * mean nothing to it, and nothing arrives for it.
 *
 * One that has no rings stays TCP from then on: the receiver's calls are not counted by us.
 */
#ifndef SMCU_SHIM_PASS_H
#define SMCU_SHIM_PASS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* pass_may_take, pass_may_bring - could connections go, or come, with the program's @message? cheap */
bool pass_may_take(const struct msghdr *message);
bool pass_may_bring(const struct msghdr *message);

/* pass_is_line - can descriptors be passed over @fd? */
bool pass_is_line(int fd);

/* pass_send - sendmsg(2) on a socket that is no connection of ours; -1 and errno as that */
ssize_t pass_send(int line, const struct msghdr *message, int flags);

/* pass_receive - recvmsg(2) on a socket that is no connection of ours; -1 and errno as that */
ssize_t pass_receive(int line, struct msghdr *message, int flags);

#endif
