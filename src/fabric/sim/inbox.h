/* SPDX-License-Identifier: MIT */
/*
 * What is on its way to a simulated device, by the time of its arrival (a binary heap)
 */
#ifndef SMCU_FABRIC_SIM_INBOX_H
#define SMCU_FABRIC_SIM_INBOX_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct inbox - a heap
 * @arrivals: @count of them; what arrives at the same time does so in the order of inbox_put()
 * @order: how many there ever were
 */
struct inbox {
	struct inbox_arrival {
		uint64_t at;
		uint64_t order;
		void *what;
	} * arrivals;
	unsigned int count;
	unsigned int room;
	uint64_t order;
};

/* inbox_put - @what arrives at @at; it is from malloc(3) and belongs to the inbox then.  Without
 * memory it is freed: lost. */
void inbox_put(struct inbox *inbox, uint64_t at, void *what);

/* inbox_take - what has arrived until @now, first comes first, or NULL */
void *inbox_take(struct inbox *inbox, uint64_t now);

/* inbox_deadline - when the next arrives; UINT64_MAX: nothing is on its way */
uint64_t inbox_deadline(const struct inbox *inbox);

void inbox_free(struct inbox *inbox);

#endif
