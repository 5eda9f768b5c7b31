/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_CALL_FD_H
#define SMCU_SHIM_CALL_FD_H

/* call_fd_close - close(2), which is no cancellation point here */
int call_fd_close(int fd);

#endif
