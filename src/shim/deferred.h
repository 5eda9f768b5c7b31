/* SPDX-License-Identifier: MIT */
/*
 * What a signal handler sent while its own thread was putting bytes into the same ring
 *
 * Theory of operation
 *
 * The handler finds the direction's lock held by the very thread that it interrupted.  It cannot wait
 * for it, and on a blocking socket it must not fail: its bytes are kept here, in order, and the
 * interrupted call puts them into the ring behind the piece that it was at, and then ends short, as a
 * write that a signal has interrupted does.
 *
 * A thread holds one such lock at a time, so there is one list a thread.
 */
#ifndef SMCU_SHIM_DEFERRED_H
#define SMCU_SHIM_DEFERRED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shim/place.h"

/**
 * struct deferred - one call of a handler
 * @next: the one after it
 * @size: bytes mapped
 * @iov, @rest: what is still to be sent of @bytes
 * @bytes: a copy of what it sent
 */
struct deferred {
	struct deferred *next;
	size_t size;
	struct iovec iov;
	struct place rest;
	unsigned char bytes[];
};

extern __thread struct deferred *deferred_list __attribute__((tls_model("initial-exec")));

/**
 * deferred_add - keep the next @n bytes at @place
 *
 * Async-signal-safe.  Return: @n, -EFAULT, or -EAGAIN when there is no memory.
 */
ssize_t deferred_add(struct place place, size_t n);

/* deferred_first - what is to be sent next, or NULL; deferred_drop - it was */
static inline struct deferred *deferred_first(void)
{
	return deferred_list;
}

void deferred_drop(void);

#endif
