/* SPDX-License-Identifier: MIT */
/*
 * This process's side segment: records are taken at connect and accept, and given back at close
 *
 * Before the first connection there is none.  A child makes its own with its first connection and
 * goes on using its parent's records for those it inherited (the mapping is shared).  A program that
 * was started with connections goes on with the segment that they came from.
 */
#ifndef SMCU_SHIM_SIDE_H
#define SMCU_SHIM_SIDE_H

#include <stdbool.h>

#include "ring/side.h"

/* side_new - a zeroed record with one holder, or NULL when there is none to be had */
struct side_record *side_new(void);

/* side_make - have a segment, records or not; false when there is none to be had */
bool side_make(void);

/* side_free - the last holder is gone: add the record to the totals and free it */
void side_free(struct side_record *record);

/**
 * side_leave - a holder less; side_free() if it was the last one
 * @ends: its process ends, in which other threads may be inside calls on the connection, and may close it
 *	yet: the record is free when it has ended, and side_new() needs one
 */
void side_leave(struct side_record *record, bool ends);

/**
 * struct side_own - this process's segment
 * @header: its first page; NULL before the first record
 * @collected: the count in its inbox up to which mail was taken (session.h)
 */
extern struct side_own {
	_Atomic(struct side_header *) header;
	_Atomic uint64_t collected;
} side_own;

/* side_header - @header */
static inline struct side_header *side_header(void)
{
	return atomic_load_explicit(&side_own.header, memory_order_acquire);
}

/* side_descriptor - the segment's (hidden) descriptor, -1 before the first record */
int side_descriptor(void);

/* side_of, side_index - where a record lies: the (hidden) descriptor, or -1, and its number there */
int side_of(const struct side_record *record);
uint32_t side_index(const struct side_record *record);

/**
 * side_take_up - a record in a segment that another program has passed on
 * @fd: the segment, hidden; taken over
 *
 * Return: NULL if it is none, if there are too many already, or if its processes are numbered in
 * another namespace.
 */
struct side_record *side_take_up(int fd, uint32_t index);

/* side_drop - a connection of this process with that record is gone; after side_free(), if that is due */
void side_drop(const struct side_record *record);

/*
 * side_adopt - if there is no segment yet, that of @record serves for this process's own records too:
 * its program is no more, and the daemon sees all in one
 */
void side_adopt(const struct side_record *record);

/* side_after_fork - in the child: the segment is the parent's, new records come from another */
void side_after_fork(void);

#endif
