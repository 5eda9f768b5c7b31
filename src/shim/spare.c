/* SPDX-License-Identifier: MIT */
#include "shim/spare.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring/segment.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/quiet.h"

static struct spare pool[SPARE_MAX];
static _Atomic uint32_t pool_count;
static _Atomic uint32_t pool_lock;
static _Atomic uint32_t session; /* counts the daemon's: what was named in another is nobody's */
static pid_t pool_owner;

/* What waits is this process's: a child that was made behind our back must not use it. */
static bool is_ours(void)
{
	return pool_owner == getpid();
}

void spare_discard(const struct spare *spare)
{
	munmap(spare->memory, SEGMENT_PAGE + 2 * SEGMENT_NEAR);
	memory_give(segment_size(spare->ring_bytes));
	fd_unhide(spare->descriptor);
	fd_unhide(spare->data_bell);
	fd_unhide(spare->space_bell);
}

static void remove_at(uint32_t i)
{
	pool[i] = pool[--pool_count];
}

static bool is_free(const struct spare *spare)
{
	const struct segment_control *control = spare->memory;

	return atomic_load_explicit(&control->over, memory_order_acquire) == spare->use;
}

static bool is_spent(const struct spare *spare)
{
	const struct segment_control *control = spare->memory;

	return atomic_load(&control->over) == SEGMENT_SPENT;
}

static bool same_host(const struct spare *spare, const struct side_address *peer)
{
	return memcmp(spare->peer.bytes, peer->bytes, sizeof(peer->bytes)) == 0;
}

/* The one to use: the peer's last; SPARE_MAX: none. */
static uint32_t choose(uint32_t ring_bytes, const struct side_address *peer)
{
	uint32_t best = SPARE_MAX;

	for (uint32_t i = pool_count; i-- > 0;) {
		if (is_spent(&pool[i])) {
			spare_discard(&pool[i]);
			remove_at(i);
			return choose(ring_bytes, peer);
		}
		if (pool[i].ring_bytes != ring_bytes || !is_free(&pool[i]))
			continue;
		if (best == SPARE_MAX ||
		    (same_host(&pool[i], peer) && !same_host(&pool[best], peer)))
			best = i;
	}
	return best;
}

/* The daemon, which is done with it, rings no more. */
static void empty(int bell)
{
	char bytes[64];

	while (quiet_recv(bell, bytes, sizeof(bytes), MSG_DONTWAIT) == (ssize_t)sizeof(bytes))
		;
}

bool spare_take(uint32_t ring_bytes, const struct side_address *peer, struct spare *taken)
{
	struct segment_control *control;
	uint32_t i = SPARE_MAX;

	if (!atomic_load(&pool_count) || latch_take(&pool_lock) < 0)
		return false;
	if (is_ours())
		i = choose(ring_bytes, peer);
	if (i < SPARE_MAX) {
		*taken = pool[i];
		remove_at(i);
	}
	latch_drop(&pool_lock);
	if (i == SPARE_MAX)
		return false;
	control = taken->memory;
	if (taken->rung[0])
		empty(taken->data_bell);
	if (taken->rung[1])
		empty(taken->space_bell);
	memset(control->direction, 0, sizeof(control->direction));
	taken->use++;
	taken->peer = *peer;
	return true;
}

void spare_name(struct spare *fresh, const struct side_address *peer)
{
	static _Atomic uint32_t last;

	fresh->number = atomic_fetch_add(&last, 1) + 1;
	fresh->use = fresh->number != 0; /* once around: from then on none is kept */
	fresh->session = atomic_load(&session);
	fresh->peer = *peer;
}

bool spare_give(const struct spare *given)
{
	bool kept = false;

	if (!given->number || given->use >= SEGMENT_SPENT - 1 ||
	    given->session != atomic_load(&session) || latch_take(&pool_lock) < 0)
		return false;
	if (!pool_count)
		pool_owner = getpid();
	if (is_ours() && pool_count < SPARE_MAX) {
		pool[pool_count++] = *given;
		kept = true;
	}
	latch_drop(&pool_lock);
	return kept;
}

void spare_drop(void)
{
	atomic_fetch_add(&session, 1);
	if (!atomic_load(&pool_count) || latch_take(&pool_lock) < 0)
		return;
	while (pool_count) {
		pool_count--;
		spare_discard(&pool[pool_count]);
	}
	latch_drop(&pool_lock);
}

void spare_before_fork(void)
{
	(void)latch_take(&pool_lock);
}

void spare_after_fork(bool in_child)
{
	if (in_child)
		atomic_store(&pool_lock, 0);
	else
		latch_drop(&pool_lock);
	if (in_child)
		spare_drop();
}
