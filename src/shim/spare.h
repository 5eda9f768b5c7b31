/* SPDX-License-Identifier: MIT */
/*
 * Segments, with their bells, kept for the next connection to another host (struct message_rendezvous)
 *
 * Theory of operation
 *
 * A segment that this process has made, and that no other process has, is not unmapped with its connection:
 * it waits here, mapped, with its descriptor and its ends of the bells, until the daemon says that its use is over
 * (segment_control.over), and then serves the next connection.  Its far parts were never needed, or it is
 * not kept: so what waits is small.
 *
 * One that goes to the peer it served last is best: its RMB is known there.  A child of fork(2) has none:
 * it gives its copies back.  With the daemon all are lost that it has not said to be free.
 */
#ifndef SMCU_SHIM_SPARE_H
#define SMCU_SHIM_SPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/side.h"

#define SPARE_MAX 16U

/**
 * struct spare - a segment
 * @descriptor: hidden; -1: none
 * @data_bell, @space_bell: our ends, hidden
 * @rung: these two may have been, and are to be emptied
 * @memory: its control page and its near parts, mapped
 * @ring_bytes: see segment_size()
 * @number: our name for it, which the daemon knows in this @session; 0: not to be kept
 * @use: counts its uses
 * @peer: of the last one
 */
struct spare {
	int descriptor;
	int data_bell;
	int space_bell;
	bool rung[2];
	void *memory;
	uint32_t ring_bytes;
	uint32_t number;
	uint32_t use;
	uint32_t session;
	struct side_address peer;
};

/* spare_take - one that is free, as if it were new, for its next use; false: there is none */
bool spare_take(uint32_t ring_bytes, const struct side_address *peer, struct spare *taken);

/* spare_name - a segment that was just made: @fresh->number and what belongs to it */
void spare_name(struct spare *fresh, const struct side_address *peer);

/* spare_give - instead of unmapping and closing it: false: that is the caller's to do */
bool spare_give(const struct spare *given);

/* spare_discard - instead of spare_give(): unmap and close it */
void spare_discard(const struct spare *spare);

/* spare_drop - the daemon is gone: nothing that it was told of can be kept */
void spare_drop(void);

/* spare_before_fork, spare_after_fork - around a fork(2): the child has none */
void spare_before_fork(void);
void spare_after_fork(bool in_child);

#endif
