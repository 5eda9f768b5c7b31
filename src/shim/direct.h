/* SPDX-License-Identifier: MIT */
/*
 * The kernel's call without libc's function around it
 *
 * After a system call the processor has forgotten where functions return to: each level that is returned through
 * costs a fair part of what a small send to a TCP peer may cost more in all.  In a program of one thread libc's function
 * has nothing to do there, since nobody can cancel it.  Where it is not libc's, but one that another library has put
 * before that, it is called.
 */
#ifndef SMCU_SHIM_DIRECT_H
#define SMCU_SHIM_DIRECT_H

#include <errno.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

#include "shim/libc.h"

/* direct_send - send(2), as the program would have it */
static inline ssize_t direct_send(int fd, const void *bytes, size_t size, int flags)
{
#ifdef __x86_64__
	register long r10 __asm__("r10") = flags;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = 0;
	long result;

	if (__builtin_expect(libc_send_is_libcs && __libc_single_threaded, 1)) {
		__asm__ volatile("syscall"
				 : "=a"(result)
				 : "0"((long)SYS_sendto), "D"((long)fd), "S"(bytes), "d"(size),
				   "r"(r10), "r"(r8), "r"(r9)
				 : "rcx", "r11", "memory");
		if (__builtin_expect(result >= 0, 1))
			return result;
		errno = (int)-result;
		return -1;
	}
#endif
	return libc.send(fd, bytes, size, flags);
}

#endif
