/* SPDX-License-Identifier: MIT */
#ifndef SAME_INSIDE_H
#define SAME_INSIDE_H

/*
 * Threads that sleep inside a call, to be cancelled there: pthread_create()'s functions, which give back their
 * argument if the call has gone well, and else NULL.
 */

extern int fd_inside; /* what they call upon */
extern int other_inside; /* of in_epoll_wait() the epoll, of in_splice() the pipe that it fills */

void *in_write(void *mark);
void *in_poll(void *mark);
void *in_select(void *mark);
void *in_epoll_wait(void *mark);
void *in_splice(void *mark);

#endif
