/* SPDX-License-Identifier: MIT */
/*
 * Undoing what a call holds, when its thread is cancelled in it or a signal handler jumps out of it
 *
 * These are libc's cleanup buffers as they were before pthread_cleanup_push() became a setjmp().  They cost
 * half as much, and longjmp() knows of them: it runs those of the frames that it leaves.  What
 * pthread_cleanup_push() has noted is still noted after a jump, and ends the thread in a frame that is
 * gone.
 */
#ifndef SMCU_SHIM_CLEANUP_H
#define SMCU_SHIM_CLEANUP_H

#include <pthread.h>

void _pthread_cleanup_push(struct _pthread_cleanup_buffer *buffer, void (*routine)(void *),
			   void *argument);
void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *buffer, int execute);

/* cleanup_push - @routine is to run if the caller's frame is left otherwise than by its return */
static inline void cleanup_push(struct _pthread_cleanup_buffer *buffer, void (*routine)(void *),
				void *argument)
{
	_pthread_cleanup_push(buffer, routine, argument);
}

/* cleanup_pop - the last one pushed is not needed */
static inline void cleanup_pop(struct _pthread_cleanup_buffer *buffer)
{
	_pthread_cleanup_pop(buffer, 0);
}

#endif
