/* SPDX-License-Identifier: MIT */
/*
 * Connections across exec
 *
 * Theory of operation
 *
 * The program that is started gets the sockets by itself.  What it needs beside them (heirloom.h) are
 * descriptors that an exec closes: before it they are made to survive, and the environment says which
 * they are (SMCU_INHERITED, one heirloom a connection).  The new program's shim looks for the sockets among its
 * descriptors, whatever their numbers became on the way, takes those connections up where they are,
 * and removes the variable.  One that has not moved yet goes on counting in its record, and may move.
 *
 *   fork, dup2, exec   the child counts as a holder since the fork, and knows what it has
 *   vfork, exec        the same, but memory and so the table are the parent's: it is looked, and the
 *                      new program counts itself as one holder more
 *   posix_spawn        passed from the parent: what the file actions copy, and what is not close-on-exec
 *
 * Of more than INHERIT_MOST those are passed that were found first; for a spawn, what its actions copy.
 *
 * A program without a shim finds TCP: what it may have goes back before it starts (back.h), also in this process,
 * unless there is something unread in the ring.
 *
 * What a child that no fork(2) has made may have without being told (it has not moved yet, or the program
 * has no shim, see program.h) is *given away*: it stays TCP, and the parent's close says no good-bye for the child.
 *
 * Nothing here allocates: a vfork child must not, in its parent's memory.
 */
#ifndef SMCU_SHIM_INHERIT_H
#define SMCU_SHIM_INHERIT_H

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>

#define INHERIT_MOST 800U /* connections passed on: one variable holds so many heirlooms */

struct connection;
struct program;

/* Who starts the program: an exec, or posix_spawn(3) */
enum inherit_how { INHERIT_EXEC, INHERIT_SPAWN };

/**
 * struct inheritance - what one exec passes on
 * @connections, @count: those that the new program will or may have
 * @counted: it is a holder of them already
 */
struct inheritance {
	struct connection *connections[INHERIT_MOST];
	unsigned int count;
	bool counted;
};

/**
 * inherit_find - what is there to be passed on?
 * @program: what is to be started
 * @env: its environment
 * @how: who calls
 * @actions: of INHERIT_SPAWN, or NULL
 *
 * Says which connections in shared memory the program has, if it will have no shim to use them.
 *
 * Return: bytes that inherit_begin() needs, 0 when there is nothing.
 */
size_t inherit_find(struct inheritance *inheritance, const struct program *program,
		    char *const env[], enum inherit_how how,
		    const posix_spawn_file_actions_t *actions);

/* inherit_begin - let it survive; the environment to start the program with, in @room */
char **inherit_begin(const struct inheritance *inheritance, char *const env[], void *room);

/**
 * inherit_end - the exec has failed, or the child has been spawned
 * @failed: nobody has become a holder
 */
void inherit_end(const struct inheritance *inheritance, bool failed);

/* inherit_take_up - in a new program: what was passed on to us; what has come without its rings ends */
void inherit_take_up(void);

#endif
