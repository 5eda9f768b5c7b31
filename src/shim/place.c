/* SPDX-License-Identifier: MIT */
#include "shim/place.h"

#include "shim/user_memory.h"

size_t place_total(const struct iovec *iov, int count)
{
	size_t total = 0;

	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	return total;
}

void place_advance(struct place *place, size_t n)
{
	place->offset += n;
	while (place->count > 0 && place->offset >= place->iov->iov_len) {
		place->offset -= place->iov->iov_len;
		place->iov++;
		place->count--;
	}
}

uint8_t *place_at(const struct place *place, size_t *room)
{
	*room = place->iov->iov_len - place->offset;
	return (uint8_t *)place->iov->iov_base + place->offset;
}

/* The next @n bytes, to or from @memory of ours. */
static bool place_copy(struct place *place, void *memory, size_t n, bool to_program)
{
	uint8_t *ours = memory;

	while (n > 0) {
		size_t room;
		uint8_t *theirs = place_at(place, &room);
		const size_t part = room < n ? room : n;

		if (!user_copy(to_program ? theirs : ours, to_program ? ours : theirs, part))
			return false;
		place_advance(place, part);
		ours += part;
		n -= part;
	}
	return true;
}

bool place_take(struct place *place, void *to, size_t n)
{
	return place_copy(place, to, n, false);
}

bool place_put(struct place *place, const void *from, size_t n)
{
	return place_copy(place, (void *)(uintptr_t)from, n, true);
}

int place_vectors(const struct place *place, struct iovec *some, size_t most)
{
	size_t offset = place->offset;
	int n = 0;

	for (int i = 0; i < place->count && n < PLACE_VECTORS && most > 0; i++) {
		some[n].iov_base = (uint8_t *)place->iov[i].iov_base + offset;
		some[n].iov_len = place->iov[i].iov_len - offset;
		if (some[n].iov_len > most)
			some[n].iov_len = most;
		most -= some[n].iov_len;
		offset = 0;
		n++;
	}
	return n;
}
