/* SPDX-License-Identifier: MIT */
#include "shim/fd_table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/quiet.h"

_Atomic uintptr_t *fd_table;
int fd_table_size;
_Atomic int fd_table_end;
pid_t fd_table_owner;
bool fd_table_is_certain;

#define LIMITS_VARIABLE "SMCU_NOFILE"
#define RESERVE 64 /* hidden ones, or a quarter of them, that connections leave */
#define NEAR_LIMIT 64 /* numbers that may have been taken unseen since */
#define WITHOUT_PROC 1024 /* descriptors looked at where /proc is not there */

/* Where the hidden descriptors begin, how many there are and may be. */
static int hidden_floor;
static int hidden_most;
static _Atomic int hidden_count;
/* Of connections and epolls, now or before: the kernel's table never shrinks. */
static _Atomic int highest_known;
/* What the program got last: others are about as high. */
static _Atomic int last_number;

int fd_limited(int fd)
{
	if (fd >= 0)
		atomic_store_explicit(&last_number, fd, memory_order_relaxed);
	if (fd < 0 || (rlim_t)fd < fd_soft_limit)
		return fd;
	quiet_close(fd);
	errno = EMFILE;
	return -1;
}

bool fd_may_take(int fd)
{
	int probe;

	if ((rlim_t)atomic_load_explicit(&last_number, memory_order_relaxed) + NEAR_LIMIT < fd_soft_limit)
		return true;
	probe = libc.fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (probe < 0)
		return errno != EMFILE;
	quiet_close(probe);
	atomic_store_explicit(&last_number, probe, memory_order_relaxed);
	if ((rlim_t)probe < fd_soft_limit)
		return true;
	errno = EMFILE;
	return false;
}

int fd_set_limits(const struct rlimit *limit)
{
	struct rlimit real = *limit;
	rlim_t most = limit->rlim_max < FD_TABLE_MAX ? limit->rlim_max : FD_TABLE_MAX;
	rlim_t soft = limit->rlim_cur;

	if (soft > limit->rlim_max) {
		errno = EINVAL;
		return -1;
	}
	/*
	 * Keep the kernel's table of descriptors small when the hard limit is generous.  A sandbox has no
	 * hidden ones, and poll(2) is to refuse what is beyond its limit.
	 */
	if (soft < most && soft >= FD_SANDBOX)
		real.rlim_cur = soft * 8 < most && soft >= 1024 ? soft * 8 : most;
	if (libc.setrlimit(RLIMIT_NOFILE, &real) < 0)
		return -1;
	fd_soft_limit = soft;
	most = real.rlim_cur < FD_TABLE_MAX ? real.rlim_cur : FD_TABLE_MAX;
	/*
	 * Above the program's where there is room; else in the upper three quarters, and fewer than
	 * half, so that they do not take from the program what it asked for.
	 */
	hidden_floor = (int)(soft < most ? soft : most / 4);
	hidden_most = (int)(most - soft > most / 2 ? most - soft : most / 2 - most / 64);
	return 0;
}

/*
 * A program that libc starts for another (system(3), popen(3)) inherits the raised limit: the
 * environment says which it was, and what its parent believed.
 */
static void say_limits(rlim_t believed, rlim_t raised)
{
	char text[64];

	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)believed,
		 (unsigned long long)raised);
	(void)setenv(LIMITS_VARIABLE, text, 1);
}

static rlim_t believed_of(rlim_t soft)
{
	const char *said = getenv(LIMITS_VARIABLE);
	unsigned long long believed, raised;

	if (said && sscanf(said, "%llu:%llu", &believed, &raised) == 2 && raised == soft)
		return (rlim_t)believed;
	return soft;
}

static void make_room_for_hidden(void)
{
	struct rlimit limit;

	if (libc.getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	fd_table_size = (int)(limit.rlim_max < FD_TABLE_MAX ? limit.rlim_max : FD_TABLE_MAX);
	limit.rlim_cur = believed_of(limit.rlim_cur);
	(void)fd_set_limits(&limit);
	if (libc.getrlimit(RLIMIT_NOFILE, &limit) == 0)
		say_limits(fd_soft_limit, limit.rlim_cur);
}

void fd_table_init(void)
{
	void *table;

	make_room_for_hidden();
	if (fd_table_size == 0)
		return;
	table = memory_reserve((size_t)fd_table_size * sizeof(*fd_table));
	if (!table) {
		fd_table_size = 0;
		return;
	}
	fd_table = table;
	fd_table_owner = getpid();
}

bool fd_table_set(int fd, uintptr_t value)
{
	int end = fd_table_top();

	if ((unsigned int)fd >= (unsigned int)fd_table_size)
		return false;
	while (value && end <= fd && !atomic_compare_exchange_weak(&fd_table_end, &end, fd + 1))
		;
	if (value > FD_HIDDEN && fd > atomic_load_explicit(&highest_known, memory_order_relaxed))
		atomic_store_explicit(&highest_known, fd, memory_order_relaxed);
	atomic_store_explicit(&fd_table[fd], value, memory_order_release);
	return true;
}

/* How many connections may have: the rest is for what their epolls and the session need. */
static int most_of_connections(void)
{
	return hidden_most - (hidden_most / 4 < RESERVE ? hidden_most / 4 : RESERVE);
}

/* Another number for it: -EMFILE if there are so many. */
static int hidden_copy(int fd, int most)
{
	int hidden = -1;

	if (atomic_fetch_add(&hidden_count, 1) < most)
		hidden = libc.fcntl(fd, F_DUPFD_CLOEXEC, hidden_floor);
	if (hidden >= 0 && fd_table_set(hidden, FD_HIDDEN))
		return hidden;
	if (hidden >= 0)
		quiet_close(hidden);
	atomic_fetch_sub(&hidden_count, 1);
	return -EMFILE;
}

static int hide_among(int fd, int most)
{
	int hidden = hidden_copy(fd, most);

	quiet_close(fd);
	return hidden;
}

int fd_hide(int fd)
{
	return hide_among(fd, INT_MAX);
}

int fd_hide_of_connection(int fd)
{
	return hide_among(fd, most_of_connections());
}

int fd_hide_for_a_moment(int fd, bool *where_it_is)
{
	int hidden = hidden_copy(fd, most_of_connections());

	if (hidden < 0) {
		fd_hide_where_it_is(fd);
		*where_it_is = true;
		return fd;
	}
	quiet_close(fd);
	return hidden;
}

int fd_hidden_room(void)
{
	return most_of_connections() - atomic_load(&hidden_count);
}

void fd_hide_where_it_is(int fd)
{
	const bool was = fd_is_hidden(fd);

	(void)libc.fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (fd_table_set(fd, FD_HIDDEN) && !was)
		atomic_fetch_add(&hidden_count, 1);
}

void fd_limits_show(void)
{
	struct rlimit limit;

	if (fd_soft_limit == RLIM_INFINITY || libc.getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = fd_soft_limit;
	(void)libc.setrlimit(RLIMIT_NOFILE, &limit);
}

void fd_limits_raise(void)
{
	struct rlimit limit;

	if (fd_soft_limit == RLIM_INFINITY || libc.getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = fd_soft_limit;
	(void)fd_set_limits(&limit);
}

void fd_unhide(int fd)
{
	if (fd < 0)
		return;
	fd_table_set(fd, 0);
	quiet_close(fd);
	atomic_fetch_sub(&hidden_count, 1);
}

void fd_unhide_at(int *place)
{
	const int hidden = *place;

	*place = -1;
	fd_unhide(hidden);
}

bool fd_table_is_ours(void)
{
	return fd_table_is_certain || getpid() == fd_table_owner;
}

static void each_number(int directory, void (*visit)(int fd, void *context), void *context)
{
	_Alignas(struct dirent64) char entries[4096];
	long n;

	while ((n = libc.syscall(SYS_getdents64, directory, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(entries + at);

			if (entry->d_name[0] != '.' && atoi(entry->d_name) != directory)
				visit(atoi(entry->d_name), context);
			at += entry->d_reclen;
		}
	}
}

void fd_each_open(void (*visit)(int fd, void *context), void *context)
{
	int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory >= 0) {
		each_number(directory, visit, context);
		libc.close(directory);
		return;
	}
	for (int fd = 0; fd < WITHOUT_PROC; fd++)
		visit(fd, context);
}

static void note_highest(int fd, void *context)
{
	int *highest = context;

	if (fd > *highest && !fd_is_hidden(fd))
		*highest = fd;
}

int fd_kernel_table(void)
{
	int highest = atomic_load(&highest_known), size = 64;

	fd_each_open(note_highest, &highest);
	if (highest < size)
		return size;
	for (size = 128; size <= highest;)
		size *= 2;
	return size;
}
