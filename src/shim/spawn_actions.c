/* SPDX-License-Identifier: MIT */
#include "shim/spawn_actions.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/types.h>

#include "shim/fd_table.h"
#include "shim/libc.h"

#define SOON 64 /* numbers above the highest in use that other threads may be about to take */

enum tag { TAG_CLOSE, TAG_DUP2, TAG_OPEN, TAG_CHDIR, TAG_FCHDIR, TAG_CLOSEFROM };

/**
 * struct action - as glibc keeps it
 * @tag: enum tag, or another that is none of ours
 * @fd: what it is about, but for TAG_CHDIR; of TAG_CLOSEFROM the lowest
 * @target: of TAG_DUP2
 * @rest: for the size
 */
struct action {
	int tag;
	union {
		struct {
			int fd;
			int target;
		};
		struct {
			int fd;
			char *path;
			int flags;
			mode_t mode;
		} rest;
	};
};

static struct action *list_of(const posix_spawn_file_actions_t *actions)
{
	return (struct action *)actions->__actions;
}

static bool is(const struct action *action, int tag, int fd)
{
	return action->tag == tag && action->fd == fd;
}

static bool try_out(void)
{
	int (*add_closefrom)(posix_spawn_file_actions_t *, int);
	posix_spawn_file_actions_t actions;
	const struct action *list;
	bool known;

	*(void **)&add_closefrom = dlsym(RTLD_DEFAULT, "posix_spawn_file_actions_addclosefrom_np");
	if (posix_spawn_file_actions_init(&actions) != 0)
		return false;
	known = posix_spawn_file_actions_addclose(&actions, 11) == 0 &&
		posix_spawn_file_actions_adddup2(&actions, 12, 13) == 0 &&
		posix_spawn_file_actions_addopen(&actions, 14, "/", 15, 16) == 0 &&
		(!add_closefrom || add_closefrom(&actions, 17) == 0) &&
		posix_spawn_file_actions_addclose(&actions, 18) == 0 &&
		actions.__used == (add_closefrom ? 5 : 4);
	list = list_of(&actions);
	known = known && is(&list[0], TAG_CLOSE, 11) && is(&list[1], TAG_DUP2, 12) &&
		list[1].target == 13 && is(&list[2], TAG_OPEN, 14) && list[2].rest.flags == 15 &&
		list[2].rest.mode == 16 && (!add_closefrom || is(&list[3], TAG_CLOSEFROM, 17)) &&
		is(&list[actions.__used - 1], TAG_CLOSE, 18);
	posix_spawn_file_actions_destroy(&actions);
	return known;
}

bool spawn_actions_are_known(void)
{
	static _Atomic int known; /* 1 yes, -1 no, 0 not tried */
	int now = atomic_load(&known);

	if (!now) {
		now = try_out() ? 1 : -1;
		atomic_store(&known, now);
	}
	return now > 0;
}

void spawn_actions_each_copied(const posix_spawn_file_actions_t *actions,
			       void (*visit)(int fd, void *context), void *context)
{
	const struct action *list = list_of(actions);

	for (int i = 0; i < actions->__used; i++)
		if (list[i].tag == TAG_DUP2)
			visit(list[i].fd, context);
}

static void note_highest(int fd, void *context)
{
	int *highest = context;

	if (!fd_is_hidden(fd) && fd > *highest)
		*highest = fd;
}

/* One above the highest number that may be the program's when all actions are done. */
static int end_of_numbers(const posix_spawn_file_actions_t *actions)
{
	const struct action *list = list_of(actions);
	int highest = 0;

	fd_each_open(note_highest, &highest);
	for (int i = 0; i < actions->__used; i++) {
		if (list[i].tag == TAG_OPEN)
			note_highest(list[i].fd, &highest);
		else if (list[i].tag == TAG_DUP2)
			note_highest(list[i].target, &highest);
	}
	return highest + SOON < fd_table_top() ? highest + SOON : fd_table_top();
}

/* Closing what is not open is an error only beyond the limit. */
static bool can_be_closed(int fd, const struct rlimit *limit)
{
	return !fd_is_hidden(fd) && ((rlim_t)fd < limit->rlim_cur || libc.fcntl(fd, F_GETFD) >= 0);
}

/* "All from @first on" with the numbers that it means, into @to; returns how many actions that took. */
static int spell_out(const struct action *action, int end, const struct rlimit *limit,
		     struct action *to)
{
	const int top = fd_table_top();
	int n = 0;

	for (int fd = action->fd; fd < end; fd++)
		if (can_be_closed(fd, limit))
			to[n++] = (struct action){.tag = TAG_CLOSE, .fd = fd};
	to[n] = *action;
	if (action->fd < top)
		to[n].fd = top;
	return n + 1;
}

int spawn_actions_spare(const posix_spawn_file_actions_t *actions,
			posix_spawn_file_actions_t *spared)
{
	const struct action *list = list_of(actions);
	const int end = end_of_numbers(actions);
	struct rlimit limit = {.rlim_cur = 0};
	size_t room = 1;
	struct action *made;
	int n = 0;

	(void)libc.getrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < actions->__used; i++)
		room += 1 + (list[i].tag == TAG_CLOSEFROM ? (size_t)end : 0);
	made = calloc(room, sizeof(*made));
	if (!made)
		return ENOMEM;
	for (int i = 0; i < actions->__used; i++) {
		if (list[i].tag == TAG_CLOSEFROM)
			n += spell_out(&list[i], end, &limit, &made[n]);
		else if (list[i].tag != TAG_CLOSE || !fd_is_hidden(list[i].fd))
			made[n++] = list[i];
	}
	*spared = *actions;
	spared->__actions = (struct __spawn_action *)made;
	spared->__used = spared->__allocated = n;
	return 0;
}

void spawn_actions_free(posix_spawn_file_actions_t *spared)
{
	free(spared->__actions); /* what the actions point to is still the program's */
}
