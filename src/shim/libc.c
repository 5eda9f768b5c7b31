/* SPDX-License-Identifier: MIT */
#include "shim/libc.h"

#include "shim/fd_table.h"

#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

struct libc_table libc;
bool libc_is_resolved;
__thread uint32_t libc_thread_id;
rlim_t fd_soft_limit = RLIM_INFINITY; /* fd_table.h's: asked for before the table is there */

void libc_resolve(void)
{
	/* A function that this libc lacks stays NULL; nothing can have called its stand-in then. */
#define X(type, name, parameters) *(void **)&libc.name = dlsym(RTLD_NEXT, #name);
	LIBC_FUNCTIONS(X)
#undef X
	libc_is_resolved = true;
}

uint32_t libc_thread_id_slow(void)
{
	libc_thread_id = (uint32_t)libc.syscall(SYS_gettid);
	return libc_thread_id;
}
