/* SPDX-License-Identifier: MIT */
#include "fabric/sim/inbox.h"

#include <stdlib.h>

static bool before(const struct inbox_arrival *a, const struct inbox_arrival *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static bool make_room(struct inbox *inbox)
{
	unsigned int room = inbox->room ? 2 * inbox->room : 64;
	struct inbox_arrival *arrivals;

	if (inbox->count < inbox->room)
		return true;
	arrivals = realloc(inbox->arrivals, room * sizeof(*arrivals));
	if (!arrivals)
		return false;
	inbox->arrivals = arrivals;
	inbox->room = room;
	return true;
}

void inbox_put(struct inbox *inbox, uint64_t at, void *what)
{
	struct inbox_arrival arrival = {at, inbox->order++, what};
	unsigned int place;

	if (!make_room(inbox)) {
		free(what);
		return;
	}
	for (place = inbox->count++; place; place = (place - 1) / 2) {
		if (!before(&arrival, &inbox->arrivals[(place - 1) / 2]))
			break;
		inbox->arrivals[place] = inbox->arrivals[(place - 1) / 2];
	}
	inbox->arrivals[place] = arrival;
}

void *inbox_take(struct inbox *inbox, uint64_t now)
{
	struct inbox_arrival *heap = inbox->arrivals, last;
	unsigned int place = 0, child;
	void *what;

	if (inbox_deadline(inbox) > now || !inbox->count)
		return NULL;
	what = heap[0].what;
	last = heap[--inbox->count];
	while ((child = 2 * place + 1) < inbox->count) {
		if (child + 1 < inbox->count && before(&heap[child + 1], &heap[child]))
			child++;
		if (!before(&heap[child], &last))
			break;
		heap[place] = heap[child];
		place = child;
	}
	heap[place] = last;
	return what;
}

uint64_t inbox_deadline(const struct inbox *inbox)
{
	return inbox->count ? inbox->arrivals[0].at : UINT64_MAX;
}

void inbox_free(struct inbox *inbox)
{
	for (unsigned int i = 0; i < inbox->count; i++)
		free(inbox->arrivals[i].what);
	free(inbox->arrivals);
	*inbox = (struct inbox){0};
}
