/* SPDX-License-Identifier: MIT */
/*
 * What the file actions of a posix_spawn(3) say, and the same around the hidden descriptors
 *
 * POSIX has no way to ask.  glibc keeps an array whose elements have not changed since it has them; what is
 * believed of it here is tried out first, on actions of our own (spawn_actions_are_known()).
 *
 * The child that carries them out is libc's: what closes a hidden descriptor there (addclosefrom_np(3), a
 * loop over all numbers) cannot be stepped around when it happens, but is left out before.
 */
#ifndef SMCU_SHIM_SPAWN_ACTIONS_H
#define SMCU_SHIM_SPAWN_ACTIONS_H

#include <spawn.h>
#include <stdbool.h>

/* spawn_actions_are_known - does this libc keep them as we believe? */
bool spawn_actions_are_known(void);

/* spawn_actions_each_copied - visit the descriptors that dup2 is to copy; they must be known */
void spawn_actions_each_copied(const posix_spawn_file_actions_t *actions,
			       void (*visit)(int fd, void *context), void *context);

/**
 * spawn_actions_spare - the same actions, but none that closes a hidden descriptor
 * @actions: known
 * @spared: set to what spawn_actions_free() is to be called with
 *
 * Return: 0, or ENOMEM.
 */
int spawn_actions_spare(const posix_spawn_file_actions_t *actions,
			posix_spawn_file_actions_t *spared);
void spawn_actions_free(posix_spawn_file_actions_t *spared);

#endif
