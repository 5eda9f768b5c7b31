/* SPDX-License-Identifier: MIT */
#include "daemon/side_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static sigjmp_buf guard_jump;
static volatile sig_atomic_t guarded;

static void bus_error(int signal)
{
	if (guarded)
		siglongjmp(guard_jump, 1);
	sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	raise(signal);
}

void side_file_guard(void)
{
	sigaction(SIGBUS, &(struct sigaction){.sa_handler = bus_error, .sa_flags = SA_NODEFER},
		  NULL);
}

/* Count something in, in a page of the client's. */
static bool count_in(_Atomic uint64_t *word)
{
	if (sigsetjmp(guard_jump, 0)) {
		guarded = 0;
		return false;
	}
	guarded = 1;
	atomic_fetch_add(word, 1);
	guarded = 0;
	return true;
}

bool side_file_count_mail(struct side_file *file)
{
	return count_in(&file->header->inbox);
}

bool side_file_count_heard(struct side_file *file)
{
	return count_in(&file->header->heard);
}

/*
 * A side segment is a memfd of the right size that cannot shrink.  The seals are asked for first:
 * only memory files have them, and on those nothing else blocks.
 */
static bool is_side_segment(int fd, uint64_t *inode)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct side_header header;
	struct statfs system;
	struct stat status;

	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return false;
	if (fstatfs(fd, &system) < 0 || system.f_type != TMPFS_MAGIC)
		return false;
	if (fstat(fd, &status) < 0 || (uint64_t)status.st_size != SIDE_BYTES)
		return false;
	*inode = status.st_ino;
	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return false;
	return header.magic == SIDE_MAGIC && header.record_size == sizeof(struct side_record);
}

static struct side_file *side_file_new(int fd, uint64_t inode)
{
	struct side_file *file = calloc(1, sizeof(*file));
	void *page;

	if (!file)
		return NULL;
	page = mmap(NULL, SIDE_HEADER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		free(file);
		return NULL;
	}
	file->header = page;
	file->fd = fd;
	file->inode = inode;
	return file;
}

struct side_file *side_file_enter(struct side_file **files, int fd, bool *kept)
{
	struct side_file *file;
	uint64_t inode;

	*kept = false;
	if (!is_side_segment(fd, &inode))
		return NULL;
	HASH_FIND(hh, *files, &inode, sizeof(inode), file);
	if (!file) {
		file = side_file_new(fd, inode);
		if (!file)
			return NULL;
		HASH_ADD(hh, *files, inode, sizeof(file->inode), file);
		*kept = true;
	}
	file->users++;
	return file;
}

int side_file_leave(struct side_file **files, struct side_file *file)
{
	int fd = file->fd;

	if (--file->users)
		return -1;
	munmap(file->header, SIDE_HEADER_SIZE);
	HASH_DELETE(hh, *files, file);
	free(file);
	return fd;
}
