/* SPDX-License-Identifier: MIT */
/*
 * From descriptors to connections and epolls, and the hidden descriptors
 *
 * The table is an array of tagged pointers indexed by descriptor, lazily touched.  Hidden
 * descriptors (segments, bells, the session) live above the program's own: between its soft limit
 * and the hard one where there is room, else just under the limit.
 */
#ifndef SMCU_SHIM_FD_TABLE_H
#define SMCU_SHIM_FD_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct connection;
struct poller;

#define FD_TABLE_MAX 1048576
#define FD_SANDBOX 3 /* a soft limit below that is a sandbox (sandbox.h) */

/* One slot holds a connection, a poller (tag 1), or FD_HIDDEN. */
#define FD_TAG_POLLER ((uintptr_t)1)
#define FD_HIDDEN ((uintptr_t)2)

extern _Atomic uintptr_t *fd_table;
extern int fd_table_size;
extern _Atomic int fd_table_end;
extern pid_t fd_table_owner; /* the process whose table it is: a vfork child is not */
extern bool fd_table_is_certain; /* in a sandbox: do not ask who we are */

void fd_table_init(void);

/**
 * fd_set_limits - setrlimit(RLIMIT_NOFILE), keeping room for the hidden descriptors
 * @limit: what the program wants; its soft limit is what it will be shown
 *
 * Return: 0, or -1 with errno set.
 */
int fd_set_limits(const struct rlimit *limit);

/**
 * fd_limited - a call made @fd: is it one that the program may have?
 *
 * Return: @fd; or -1 with EMFILE, and it is closed, when it is not below the program's soft limit.
 */
int fd_limited(int fd);

/**
 * fd_may_take - is there a number left for what accept(2) on @fd would bring?
 *
 * The kernel takes the number first, and leaves the connection where it is if there is none; the limit that it
 * knows is higher than the program's.  Asks the kernel only when the numbers are near that.
 *
 * Return: true; or false with EMFILE.
 */
bool fd_may_take(int fd);

/* The soft limit to show to the program; RLIM_INFINITY before fd_table_init(). */
extern rlim_t fd_soft_limit;

static inline uintptr_t fd_table_slot(int fd)
{
	if ((unsigned int)fd >= (unsigned int)fd_table_size)
		return 0;
	return atomic_load_explicit(&fd_table[fd], memory_order_acquire);
}

static inline bool fd_is_hidden(int fd)
{
	return fd_table_slot(fd) == FD_HIDDEN;
}

static inline struct poller *fd_poller(int fd)
{
	uintptr_t slot = fd_table_slot(fd);

	return slot & FD_TAG_POLLER ? (struct poller *)(slot & ~FD_TAG_POLLER) : NULL;
}

static inline struct connection *fd_connection(int fd)
{
	uintptr_t slot = fd_table_slot(fd);

	return slot > FD_HIDDEN && !(slot & FD_TAG_POLLER) ? (struct connection *)slot : NULL;
}

/* fd_table_top - one above the highest number that ever led anywhere */
static inline int fd_table_top(void)
{
	return atomic_load_explicit(&fd_table_end, memory_order_acquire);
}

/* fd_table_set - @fd leads to @value; false when @fd is beyond the table */
bool fd_table_set(int fd, uintptr_t value);

/**
 * fd_hide - move a descriptor of the shim's own out of the program's way, close-on-exec
 *
 * Closes @fd.  Return: the new number, or -EMFILE when there is none.
 */
int fd_hide(int fd);

/* fd_hide_of_connection - the same for a part of a connection; -EMFILE when these have their share already */
int fd_hide_of_connection(int fd);

/**
 * fd_hide_for_a_moment - the same, for what will soon be closed again: where connections have their share it is
 * hidden at the program's own number @fd, and @where_it_is becomes true
 */
int fd_hide_for_a_moment(int fd, bool *where_it_is);

/* fd_hidden_room - how many more of connections can be hidden; less than none if some are where they were */
int fd_hidden_room(void);

/* fd_hide_where_it_is - the same for one that another program of ours has passed on */
void fd_hide_where_it_is(int fd);

/**
 * fd_limits_show, fd_limits_raise - before an exec the real soft limit is what the program believes;
 * after one that failed it is higher again
 */
void fd_limits_show(void);
void fd_limits_raise(void);

/* fd_unhide - close a hidden descriptor (-1: nothing) */
void fd_unhide(int fd);

/* fd_unhide_at - the same, with -1 put there before: a child of another thread's fork must not close it again */
void fd_unhide_at(int *place);

/*
 * fd_each_open - visit this process's descriptors, ours and not, as the kernel lists them
 *
 * Allocates nothing, and serves a vfork child.
 */
void fd_each_open(void (*visit)(int fd, void *context), void *context);

/**
 * fd_kernel_table - how large would the kernel's table of descriptors be without the hidden ones?
 *
 * select(2) looks no further, whatever it is told.  Slow.  Return: a multiple of 64.
 */
int fd_kernel_table(void);

/* fd_table_is_ours - false in a vfork child, which shares our memory but not our descriptors */
bool fd_table_is_ours(void);

#endif
