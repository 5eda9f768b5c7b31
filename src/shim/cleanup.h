/* SPDX-License-Identifier: MIT */
/*
 * Undoing what a call holds, when its thread is cancelled in it or a signal handler jumps out of it
 *
 * These are libc's cleanup buffers as they were before pthread_cleanup_push() became a setjmp().  They cost
 * half as much, and longjmp() knows of them: it runs those of the frames that it leaves.  What
 * pthread_cleanup_push() has noted is still noted after a jump, and ends the thread in a frame that is
 * gone.
 *
 * What is undone need not be finished: in between, signal handlers need not wait for the latches that the call
 * has (latch.h).
 */
#ifndef SMCU_SHIM_CLEANUP_H
#define SMCU_SHIM_CLEANUP_H

#include <pthread.h>
#include <sys/single_threaded.h>

#include "shim/hold.h"
#include "shim/latch.h"

void _pthread_cleanup_push(struct _pthread_cleanup_buffer *buffer, void (*routine)(void *),
			   void *argument);
void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *buffer, int execute);

/* struct cleanup - @latches: that the call has; @holds: it is noted as a hold */
struct cleanup {
	struct _pthread_cleanup_buffer buffer;
	uint32_t latches;
	bool holds;
};

/* cleanup_push - @routine is to run if the caller's frame is left otherwise than by its return */
static inline void cleanup_push(struct cleanup *cleanup, void (*routine)(void *), void *argument)
{
	_pthread_cleanup_push(&cleanup->buffer, routine, argument);
	cleanup->latches = latch_pause();
}

/* cleanup_pop - the last one pushed is not needed */
static inline void cleanup_pop(struct cleanup *cleanup)
{
	latch_resume(cleanup->latches);
	_pthread_cleanup_pop(&cleanup->buffer, 0);
}

/**
 * cleanup_push_lightly, cleanup_pop_lightly - the same, where the call holds nothing else (hold.h)
 *
 * In a program of one thread, where only a handler can jump away, at half the price: what is small goes to a
 * TCP peer almost as fast as without us.
 */
static inline void cleanup_push_lightly(struct cleanup *cleanup, void (*routine)(void *),
					void *argument)
{
	cleanup->holds = __libc_single_threaded;
	if (!cleanup->holds) {
		cleanup_push(cleanup, routine, argument);
		return;
	}
	hold_begin(argument, routine);
	cleanup->latches = latch_pause();
}

static inline void cleanup_pop_lightly(struct cleanup *cleanup)
{
	if (!cleanup->holds) {
		cleanup_pop(cleanup);
		return;
	}
	latch_resume(cleanup->latches);
	hold_end();
}

#endif
