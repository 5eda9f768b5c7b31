/* SPDX-License-Identifier: MIT */
/*
 * How much memory two processes and the kernel use
 */
#ifndef SMCU_BENCH_MEMORY_H
#define SMCU_BENCH_MEMORY_H

#include <sys/types.h>

/**
 * struct memory - a reading, or the difference of two, in KiB
 * @client_pss, @server_pss: proportional set sizes (a page two processes map counts half in each)
 * @objects: kernel objects in use: sockets, files, inodes, ...
 * @slab: pages that hold such objects, used or not
 * @page_tables: page tables
 * @sockets: buffers of TCP sockets
 * @shmem: shared memory of the whole machine, mapped by anybody or not
 * @available: MemAvailable, of the whole machine
 */
struct memory {
	double client_pss;
	double server_pss;
	double objects;
	double slab;
	double page_tables;
	double sockets;
	double shmem;
	double available;
};

struct memory memory_read(pid_t client, pid_t server);

/* memory_print - JSON members of @after - @before for each of @connections connections */
void memory_print(const struct memory *before, const struct memory *after,
		  unsigned int connections);

#endif
