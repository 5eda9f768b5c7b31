/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_CALL_STDIO_H
#define SMCU_SHIM_CALL_STDIO_H

/**
 * call_stdio_take_over - descriptor @fd is a connection of ours, since the program's start or a dup2()
 *
 * If it is one of the standard three, stdin, stdout or stderr become streams on it that come back to us.
 */
void call_stdio_take_over(int fd);

#endif
