/* SPDX-License-Identifier: MIT */
#ifndef TESTS_STAYS_TCP_H
#define TESTS_STAYS_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * ring_open - make an io_uring for sends and receives
 * @past_libc: by the processor's instruction; else by syscall(3)
 *
 * Return: false, and it is said why, when there is none.
 */
bool ring_open(bool past_libc);

/* ring_send, ring_receive - send(2) and recv(2) by it; bytes or -errno */
ssize_t ring_send(int fd, const void *bytes, size_t n);
ssize_t ring_receive(int fd, void *bytes, size_t n);

/* sockmap_join - what @ends[0] sends goes straight to @ends[1]; false: we may not, or the kernel cannot */
bool sockmap_join(const int ends[2]);

#endif
