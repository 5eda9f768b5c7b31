/* SPDX-License-Identifier: MIT */
/*
 * The shim's share of the address space, and the program's limit on it
 *
 * A program that limits its memory (RLIMIT_AS, RLIMIT_DATA) means what it uses itself.  So the real
 * limit is higher by MEMORY_SHARE, the program is shown its own, and what the shim maps is counted and
 * never more than that share while there is a limit: a connection whose rings would be more stays TCP.
 * Under a hard limit that was there before and cannot be raised, a part of it has to do.
 *
 * A program started by exec gets the believed soft limit; one that libc starts (system(3)) the real one.
 */
#ifndef SMCU_SHIM_MEMORY_H
#define SMCU_SHIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>

#define MEMORY_SHARE (1ULL << 30)
#define MEMORY_PART 4U

/* memory_reserve - zeroed address space for a table, touched as it is needed; NULL: none */
void *memory_reserve(size_t bytes);

/* memory_take - may so much more be mapped?  memory_give - it is unmapped */
bool memory_take(size_t bytes);
void memory_give(size_t bytes);

/* memory_is_limit - one of the two limits that this is about */
bool memory_is_limit(int resource);

/* memory_limits_init - in the constructor: the program may have been started with a limit */
void memory_limits_init(void);

/* memory_set_limit - setrlimit(2) for the program; 0, or -1 with errno */
int memory_set_limit(int resource, const struct rlimit *limit);

/* memory_show_limit - what getrlimit(2) gave becomes what the program believes */
void memory_show_limit(int resource, struct rlimit *limit);

/* Around an exec: before it the real soft limit is the program's; after one that failed no more. */
void memory_limits_lower(void);
void memory_limits_raise(void);

/*
 * memory_map - the first @bytes of a file, shared; MAP_FAILED
 *
 * Mapped without access first: a program that has locked its memory (mlockall(2)) gets pages as they
 * are touched, and not all at once.  Counted by who calls.
 */
void *memory_map(int fd, size_t bytes);

/**
 * struct memory_pool - address space that becomes memory as it is needed; zero at first
 * @base: where it begins
 * @open: bytes that can be used
 * @shared: children made by fork see what becomes of it
 *
 * It is reserved without access and opened in steps, for the same reason: it may be hundreds of megabytes.
 */
struct memory_pool {
	char *base;
	size_t open;
	bool shared;
};

/*
 * memory_pool_open - see to it that the first @need of @most bytes can be used; they are zero at first
 *
 * In a sandbox what is open is all there is.
 */
bool memory_pool_open(struct memory_pool *pool, size_t need, size_t most);

#endif
