/* SPDX-License-Identifier: MIT */
/*
 * A place in a list of vectors, for calls that go through one in several steps
 */
#ifndef SMCU_SHIM_PLACE_H
#define SMCU_SHIM_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PLACE_VECTORS 16 /* vectors passed to the kernel at once: a stream may be cut anywhere */

/**
 * struct place - where a call stands
 * @iov, @count: the vectors not yet passed
 * @offset: bytes of @iov[0] that are
 */
struct place {
	const struct iovec *iov;
	int count;
	size_t offset;
};

/* place_total - bytes in all of @iov */
size_t place_total(const struct iovec *iov, int count);

/* place_advance - pass @n bytes, and vectors that are empty */
void place_advance(struct place *place, size_t n);

/* place_at - the next byte; @room: how many follow it in its vector */
uint8_t *place_at(const struct place *place, size_t *room);

/**
 * place_take, place_put - copy the next @n bytes from, or to, the program's memory, and pass them
 *
 * Return: false when some of it is no memory.
 */
bool place_take(struct place *place, void *to, size_t n);
bool place_put(struct place *place, const void *from, size_t n);

/**
 * place_vectors - the vectors from here on, at most PLACE_VECTORS of them and @most bytes
 *
 * Return: how many were written to @some.
 */
int place_vectors(const struct place *place, struct iovec *some, size_t most);

#endif
