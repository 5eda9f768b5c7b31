/* SPDX-License-Identifier: MIT */
#include "shim/memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "shim/libc.h"
#include "shim/settings.h"

#define STEP 262144U /* how much of a pool is opened at a time; whole pages */

static _Atomic size_t taken;

/**
 * struct limit - one of the two
 * @resource: RLIMIT_*
 * @believed: the program's
 * @real: the kernel's
 */
static struct limit {
	const int resource;
	struct rlimit believed;
	struct rlimit real;
} limits[] = {
	{RLIMIT_AS, {RLIM_INFINITY, RLIM_INFINITY}, {RLIM_INFINITY, RLIM_INFINITY}},
	{RLIMIT_DATA, {RLIM_INFINITY, RLIM_INFINITY}, {RLIM_INFINITY, RLIM_INFINITY}},
};

#define LIMITS (sizeof(limits) / sizeof(limits[0]))

static bool is_within(const struct limit *limit, size_t bytes)
{
	const rlim_t room = limit->real.rlim_cur - limit->believed.rlim_cur;

	return limit->believed.rlim_cur == RLIM_INFINITY ||
	       bytes <= (room ? room : limit->believed.rlim_cur / MEMORY_PART);
}

bool memory_take(size_t bytes)
{
	size_t now = atomic_fetch_add(&taken, bytes) + bytes;

	for (size_t i = 0; i < LIMITS; i++)
		if (!is_within(&limits[i], now)) {
			atomic_fetch_sub(&taken, bytes);
			return false;
		}
	return true;
}

void memory_give(size_t bytes)
{
	atomic_fetch_sub(&taken, bytes);
}

void *memory_reserve(size_t bytes)
{
	void *memory;

	if (!memory_take(bytes))
		return NULL;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory != MAP_FAILED)
		return memory;
	memory_give(bytes);
	return NULL;
}

void *memory_map(int fd, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (memory == MAP_FAILED || mprotect(memory, bytes, PROT_READ | PROT_WRITE) == 0)
		return memory;
	munmap(memory, bytes);
	return MAP_FAILED;
}

static bool pool_reserve(struct memory_pool *pool, size_t bytes)
{
	const int kind = pool->shared ? MAP_SHARED : MAP_PRIVATE;
	void *memory;

	if (!memory_take(bytes))
		return false;
	memory = mmap(NULL, bytes, PROT_NONE, kind | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		memory_give(bytes);
		return false;
	}
	pool->base = memory;
	return true;
}

bool memory_pool_open(struct memory_pool *pool, size_t need, size_t most)
{
	size_t step;

	if (need <= pool->open)
		return true;
	if (need > most || settings.sandboxed || (!pool->base && !pool_reserve(pool, most + STEP)))
		return false;
	step = (need - pool->open + STEP - 1) / STEP * STEP;
	if (mprotect(pool->base + pool->open, step, PROT_READ | PROT_WRITE) < 0)
		return false;
	pool->open += step;
	return true;
}

static struct limit *limit_of(int resource)
{
	for (size_t i = 0; i < LIMITS; i++)
		if (limits[i].resource == resource)
			return &limits[i];
	return NULL;
}

bool memory_is_limit(int resource)
{
	return limit_of(resource) != NULL;
}

static rlim_t more(rlim_t value)
{
	return value >= RLIM_INFINITY - MEMORY_SHARE ? value : value + MEMORY_SHARE;
}

int memory_set_limit(int resource, const struct rlimit *limit)
{
	struct limit *own = limit_of(resource);
	struct rlimit real = {more(limit->rlim_cur), more(limit->rlim_max)};
	int result = libc.setrlimit((__rlimit_resource_t)resource, &real);

	if (result < 0 && errno == EPERM && limit->rlim_max <= own->believed.rlim_max) {
		/* A hard limit that was there before us: what is below it has to do. */
		real.rlim_max = limit->rlim_max;
		if (real.rlim_cur > real.rlim_max)
			real.rlim_cur = real.rlim_max;
		result = libc.setrlimit((__rlimit_resource_t)resource, &real);
	}
	if (result == 0) {
		own->believed = *limit;
		own->real = real;
	}
	return result;
}

void memory_show_limit(int resource, struct rlimit *limit)
{
	const struct limit *own = limit_of(resource);

	/* Another process may have set another. */
	if (limit->rlim_cur == own->real.rlim_cur && limit->rlim_max == own->real.rlim_max)
		*limit = own->believed;
}

void memory_limits_init(void)
{
	struct rlimit limit;

	for (size_t i = 0; i < LIMITS; i++) {
		if (libc.getrlimit((__rlimit_resource_t)limits[i].resource, &limit) == 0 &&
		    (limit.rlim_cur != RLIM_INFINITY || limit.rlim_max != RLIM_INFINITY))
			(void)memory_set_limit(limits[i].resource, &limit);
	}
}

static void set_soft(const struct limit *limit, rlim_t soft)
{
	const struct rlimit real = {soft, limit->real.rlim_max};

	if (limit->believed.rlim_cur != RLIM_INFINITY)
		(void)libc.setrlimit((__rlimit_resource_t)limit->resource, &real);
}

void memory_limits_lower(void)
{
	for (size_t i = 0; i < LIMITS; i++)
		set_soft(&limits[i], limits[i].believed.rlim_cur);
}

void memory_limits_raise(void)
{
	for (size_t i = 0; i < LIMITS; i++)
		set_soft(&limits[i], limits[i].real.rlim_cur);
}
