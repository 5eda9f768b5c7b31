/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_CALL_STDIO_H
#define SMCU_SHIM_CALL_STDIO_H

#include <sys/types.h>

/**
 * call_stdio_write - what glibc's own streams do to write to @fd
 *
 * They write again after a call that has written a part: what is left would be lost.  And fopencookie(3)
 * takes a negative result for a large count.
 *
 * Return: how many bytes went; fewer than @size when a call has failed, with its errno.
 */
ssize_t call_stdio_write(int fd, const char *buffer, size_t size);

/**
 * call_stdio_take_over - descriptor @fd is a connection of ours, since the program's start or a dup2()
 *
 * If it is one of the standard three, stdin, stdout or stderr become streams on it that come back to us.
 */
void call_stdio_take_over(int fd);

#endif
