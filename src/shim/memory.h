/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_MEMORY_H
#define SMCU_SHIM_MEMORY_H

#include <stddef.h>
#include <sys/mman.h>

/* memory_reserve - zeroed address space for a pool, touched as it is needed; NULL: none */
static inline void *memory_reserve(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

#endif
