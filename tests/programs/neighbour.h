/* SPDX-License-Identifier: MIT */
/*
 * A neighbour: another process, started before there are any connections, that gets descriptors
 * over a line (an AF_UNIX socket)
 */
#ifndef TESTS_NEIGHBOUR_H
#define TESTS_NEIGHBOUR_H

#include <stdio.h>
#include <sys/types.h>

#define MOST_PASSED 4 /* descriptors in one message */

/**
 * struct neighbour - the other process
 * @line: leads to it
 * @said: what it prints, shown when it has ended: the order of two processes is no behaviour
 */
struct neighbour {
	pid_t pid;
	int line;
	FILE *said;
};

/* neighbour_start - it calls @run with its end of the line, and ends */
struct neighbour neighbour_start(void (*run)(int line));

/* neighbour_join - wait for its end; print what it said and how it ended */
void neighbour_join(const struct neighbour *neighbour);

/* pass - sendmsg(2) of one byte and @count descriptors */
ssize_t pass(int line, const int *fds, int count, int flags);

/**
 * take - recvmsg(2) of one byte and descriptors; print what came, but for their numbers
 * @room: bytes of the control buffer
 *
 * Return: how many came.
 */
int take(int line, int *fds, size_t room, int flags);

/* take_one - the one that should have come, or -1 */
int take_one(int line);

/* hand_over, await - the two take turns: a byte on the line hands the word over */
void hand_over(int line);
void await(int line);

#endif
