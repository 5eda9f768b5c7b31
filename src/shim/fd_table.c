/* SPDX-License-Identifier: MIT */
#include "shim/fd_table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shim/libc.h"

_Atomic uintptr_t *fd_table;
int fd_table_size;
pid_t fd_table_owner;

/* Where the hidden descriptors begin. */
static int hidden_floor;

/*
 * The program sees its soft limit as before (its descriptors are the lowest free ones anyway); the
 * room up to the hard limit is ours.
 */
static void make_room_for_hidden(void)
{
	struct rlimit limit;
	rlim_t soft, want;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	soft = limit.rlim_cur;
	want = limit.rlim_max < FD_TABLE_MAX ? limit.rlim_max : FD_TABLE_MAX;
	if (soft > want)
		soft = want;
	fd_table_size = (int)want;
	/* Keep the kernel's descriptor table small when the hard limit is generous. */
	if (want > soft * 8)
		want = soft * 8;
	limit.rlim_cur = want;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		want = soft;
	hidden_floor = want > soft ? (int)soft : (int)(want - want / 4 * 3);
}

void fd_table_init(void)
{
	void *table;

	make_room_for_hidden();
	if (fd_table_size == 0)
		return;
	table = mmap(NULL, (size_t)fd_table_size * sizeof(*fd_table), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED) {
		fd_table_size = 0;
		return;
	}
	fd_table = table;
	fd_table_owner = getpid();
}

bool fd_table_set(int fd, uintptr_t value)
{
	if ((unsigned int)fd >= (unsigned int)fd_table_size)
		return false;
	atomic_store_explicit(&fd_table[fd], value, memory_order_release);
	return true;
}

int fd_hide(int fd)
{
	int hidden = libc.fcntl(fd, F_DUPFD_CLOEXEC, hidden_floor);

	if (hidden < 0 || !fd_table_set(hidden, FD_HIDDEN)) {
		if (hidden >= 0)
			libc.close(hidden);
		libc.close(fd);
		return -EMFILE;
	}
	libc.close(fd);
	return hidden;
}

void fd_unhide(int fd)
{
	if (fd < 0)
		return;
	fd_table_set(fd, 0);
	libc.close(fd);
}

bool fd_table_is_ours(void)
{
	return getpid() == fd_table_owner;
}
