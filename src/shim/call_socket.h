/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_CALL_SOCKET_H
#define SMCU_SHIM_CALL_SOCKET_H

#include <sys/socket.h>

/* call_socket_fast_open - sendmsg(2) with MSG_FASTOPEN, which may be a connect(2) as well */
ssize_t call_socket_fast_open(int fd, const struct msghdr *message, int flags);

#endif
