/* SPDX-License-Identifier: MIT */
/*
 * Side files: the side segments that clients gave us
 *
 * Theory of operation
 *
 * A side file comes with HELLO, is checked once, and is kept while a session uses it.  Processes
 * that were forked share theirs: each has a session of its own with the same file, which is known
 * by its inode and exists here once, so that its records are counted once.
 *
 * Its first page is mapped to count mail in, and what was heard.  The seals keep the file from shrinking; a hole
 * punched there is filled when touched, or, when memory is short, is a SIGBUS, which is caught.
 * Nothing is written by write(2), which would wait for the inode's lock: a client can hold that for
 * ever by writing from memory that never arrives.  pread(2) takes no such lock.
 */
#ifndef SMCU_DAEMON_SIDE_FILE_H
#define SMCU_DAEMON_SIDE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/hash.h"
#include "ring/side.h"

/**
 * struct side_file - one side segment
 * @inode: its inode number; all memory files are on one file system
 * @fd: the file
 * @header: its first page, mapped
 * @users: sessions that use it
 * @walk: number of the walk that read it last (stats.c)
 */
struct side_file {
	uint64_t inode;
	int fd;
	struct side_header *header;
	unsigned int users;
	uint64_t walk;
	UT_hash_handle hh;
};

/* side_file_guard - install the SIGBUS handler; call once */
void side_file_guard(void);

/**
 * side_file_enter - a session brought @fd
 * @files: all side files
 * @kept: set if @fd belongs to the side file now; else it stays the caller's
 *
 * Return: the side file, or NULL if @fd is no valid side segment, or memory is short.
 */
struct side_file *side_file_enter(struct side_file **files, int fd, bool *kept);

/**
 * side_file_leave - a session ends
 *
 * Return: the file's descriptor, the caller's now, if this was the last session to use it; else -1.
 */
int side_file_leave(struct side_file **files, struct side_file *file);

/* side_file_count_mail - one more message was sent; false if the page cannot be had */
bool side_file_count_mail(struct side_file *file);

/* side_file_count_heard - messages were read; false if the page cannot be had */
bool side_file_count_heard(struct side_file *file);

#endif
