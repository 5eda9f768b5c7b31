/* SPDX-License-Identifier: MIT */
#ifndef TESTS_STAYS_TCP_H
#define TESTS_STAYS_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* ring_open - an io_uring for sends and receives; @past_libc: else by syscall(3); false: there is none, and why is said */
bool ring_open(bool past_libc);

/* ring_send, ring_receive - send(2) and recv(2) by it; bytes or -errno */
ssize_t ring_send(int fd, const void *bytes, size_t n);
ssize_t ring_receive(int fd, void *bytes, size_t n);

/* sockmap_join - what @ends[0] sends goes straight to @ends[1]; false: the kernel or our rights do not allow it */
bool sockmap_join(const int ends[2]);

#endif
