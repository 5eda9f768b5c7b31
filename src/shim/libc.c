/* SPDX-License-Identifier: MIT */
#include "shim/libc.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring/lock.h"
#include "shim/fd_table.h"

struct libc_table libc;
bool libc_is_resolved, libc_send_is_libcs;
__thread uint32_t libc_thread_id;
rlim_t fd_soft_limit = RLIM_INFINITY; /* fd_table.h's: asked for before the table is there */

static bool are_of_one_library(const void *one, const void *other)
{
	Dl_info of_one, of_other;

	return dladdr(one, &of_one) && dladdr(other, &of_other) &&
	       of_one.dli_fbase == of_other.dli_fbase;
}

void libc_resolve(void)
{
	/* A function that this libc lacks stays NULL; nothing can have called its stand-in then. */
#define X(type, name, parameters) *(void **)&libc.name = dlsym(RTLD_NEXT, #name);
	LIBC_FUNCTIONS(X)
#undef X
	libc_send_is_libcs =
		are_of_one_library((void *)libc.send, (void *)gnu_get_libc_version);
	libc_is_resolved = true;
}

uint32_t libc_thread_id_slow(void)
{
	pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;

	if (!lock_is_quiet) {
		libc_thread_id = (uint32_t)libc.syscall(SYS_gettid);
		return libc_thread_id;
	}
	/* Without a system call: a lock of libc's names its holder. */
	pthread_mutex_lock(&own);
	libc_thread_id = (uint32_t)own.__data.__owner;
	pthread_mutex_unlock(&own);
	return libc_thread_id;
}
