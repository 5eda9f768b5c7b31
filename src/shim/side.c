/* SPDX-License-Identifier: MIT */
#include "shim/side.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/segment.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/memory.h"

#define KNOWN 64U /* side segments that connections may lie in: inherited or passed on */

/**
 * struct segment - one that is mapped here: this process's, or of whom it has connections
 * @header: NULL: this place is free
 * @users: connections of this process whose records lie there
 * @inode: all memory files are on one file system
 */
static struct segment {
	struct side_header *header;
	int fd;
	_Atomic uint32_t users;
	ino_t inode;
} known[KNOWN];

static struct segment *own; /* in which new records are made; NULL: none yet */

struct side_own side_own;
static int descriptor = -1;
static _Atomic uint32_t hint;
static _Atomic uint32_t lock; /* of the segments known */

static struct side_record *records(struct side_header *of)
{
	return (struct side_record *)((char *)of + SIDE_HEADER_SIZE);
}

static ino_t inode_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/* With the lock.  NULL: it lies in none. */
static struct segment *segment_of(const struct side_record *record)
{
	for (uint32_t at = 0; at < KNOWN; at++)
		if (known[at].header && record >= records(known[at].header) &&
		    record < records(known[at].header) + SIDE_RECORDS)
			return &known[at];
	return NULL;
}

int side_of(const struct side_record *record)
{
	const struct segment *segment;
	int fd;

	if (latch_take(&lock) < 0)
		return -1;
	segment = segment_of(record);
	fd = segment ? segment->fd : -1;
	latch_drop(&lock);
	return fd;
}

uint32_t side_index(const struct side_record *record)
{
	const struct segment *segment;
	uint32_t index = 0;

	if (latch_take(&lock) < 0)
		return 0;
	segment = segment_of(record);
	if (segment)
		index = (uint32_t)(record - records(segment->header));
	latch_drop(&lock);
	return index;
}

static void *map_segment(int fd)
{
	void *memory;

	if (!memory_take(SIDE_BYTES))
		return MAP_FAILED;
	memory = memory_map(fd, SIDE_BYTES);
	if (memory == MAP_FAILED)
		memory_give(SIDE_BYTES);
	return memory;
}

static void unmap_segment(void *memory)
{
	munmap(memory, SIDE_BYTES);
	memory_give(SIDE_BYTES);
}

static void forget(struct segment *segment)
{
	unmap_segment(segment->header);
	fd_unhide(segment->fd);
	segment->header = NULL;
}

/* A free place, or one of a segment that no connection lies in any more. */
static struct segment *place(void)
{
	for (uint32_t at = 0; at < KNOWN; at++)
		if (!known[at].header)
			return &known[at];
	for (uint32_t at = 0; at < KNOWN; at++)
		if (known[at].users == 0 && known[at].header != atomic_load(&side_own.header)) {
			forget(&known[at]);
			return &known[at];
		}
	return NULL;
}

static struct segment *know(struct segment *segment, struct side_header *of, int fd)
{
	segment->header = of;
	segment->fd = fd;
	segment->inode = inode_of(fd);
	atomic_store(&segment->users, 0);
	return segment;
}

static uint64_t pid_namespace(void)
{
	struct stat status;

	return stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

/* Locks hold thread ids, which mean the same in one namespace only. */
static bool is_usable(const struct side_header *of)
{
	return of->magic == SIDE_MAGIC && of->record_size == sizeof(struct side_record) &&
	       of->pid_namespace == pid_namespace();
}

static struct segment *take_up_segment(int fd)
{
	struct segment *segment = place();
	struct side_header *of = segment ? map_segment(fd) : MAP_FAILED;

	if (of == MAP_FAILED)
		return NULL;
	if (!is_usable(of)) {
		unmap_segment(of);
		return NULL;
	}
	return know(segment, of, fd);
}

struct side_record *side_take_up(int fd, uint32_t index)
{
	const ino_t inode = inode_of(fd);
	struct segment *segment = NULL;

	if (latch_take(&lock) < 0) {
		fd_unhide(fd);
		return NULL;
	}
	for (uint32_t at = 0; at < KNOWN && !segment; at++)
		if (known[at].header && known[at].inode == inode)
			segment = &known[at];
	if (segment && segment->fd != fd)
		fd_unhide(fd);
	if (!segment) {
		segment = take_up_segment(fd);
		if (!segment)
			fd_unhide(fd);
	}
	if (segment)
		atomic_fetch_add(&segment->users, 1);
	latch_drop(&lock);
	return segment ? &records(segment->header)[index] : NULL;
}

void side_drop(const struct side_record *record)
{
	struct side_header *of = atomic_load(&side_own.header);
	struct segment *segment;

	if (of && record >= records(of) && record < records(of) + SIDE_RECORDS) {
		atomic_fetch_sub(&own->users, 1);
		return;
	}
	if (latch_take(&lock) < 0)
		return;
	segment = segment_of(record);
	if (segment)
		atomic_fetch_sub(&segment->users, 1);
	latch_drop(&lock);
}

void side_adopt(const struct side_record *record)
{
	struct segment *segment;

	if (latch_take(&lock) < 0)
		return;
	segment = segment_of(record);
	if (segment && !atomic_load(&side_own.header)) {
		own = segment;
		descriptor = segment->fd;
		atomic_store(&side_own.header, segment->header);
	}
	latch_drop(&lock);
}

static struct side_header *segment_make(void)
{
	struct segment *segment = place();
	struct side_header *made;
	void *memory;
	int fd = segment ? segment_file("smcu-side", SIDE_BYTES) : -1;

	if (fd < 0)
		return NULL;
	memory = map_segment(fd);
	fd = fd_hide(fd);
	if (memory == MAP_FAILED || fd < 0) {
		if (memory != MAP_FAILED)
			unmap_segment(memory);
		fd_unhide(fd);
		return NULL;
	}
	made = memory;
	made->magic = SIDE_MAGIC;
	made->record_size = sizeof(struct side_record);
	made->pid_namespace = pid_namespace();
	descriptor = fd;
	own = know(segment, made, fd);
	return made;
}

static struct side_header *segment_get(void)
{
	struct side_header *of = atomic_load_explicit(&side_own.header, memory_order_acquire);

	if (of || latch_take(&lock) < 0)
		return of;
	of = atomic_load(&side_own.header);
	if (!of) {
		of = segment_make();
		atomic_store(&side_own.header, of);
	}
	latch_drop(&lock);
	return of;
}

bool side_make(void)
{
	return segment_get() != NULL;
}

static struct side_record *take_free(struct side_header *of)
{
	uint32_t start, used;

	used = atomic_load_explicit(&of->used, memory_order_relaxed);
	start = atomic_load_explicit(&hint, memory_order_relaxed);
	for (uint32_t i = 0; i <= used && i < SIDE_RECORDS; i++) {
		uint32_t at = start + i <= used ? start + i : start + i - used - 1;
		struct side_record *record = &records(of)[at];
		uint32_t unused = SIDE_FREE;

		if (at >= SIDE_RECORDS ||
		    atomic_load_explicit(&record->state, memory_order_relaxed) != SIDE_FREE ||
		    !atomic_compare_exchange_strong(&record->state, &unused, SIDE_CONNECTING))
			continue;
		while (used <= at && !atomic_compare_exchange_weak(&of->used, &used, at + 1))
			;
		atomic_store_explicit(&hint, at + 1, memory_order_relaxed);
		memset((char *)record + sizeof(record->state), 0,
		       sizeof(*record) - sizeof(record->state));
		atomic_store(&record->holders, 1);
		return record;
	}
	return NULL;
}

/* The totals of the segment that holds @record, which may be an ancestor's. */
static struct side_totals *totals_of(const struct side_record *record)
{
	const struct segment *segment = NULL;

	if (latch_take(&lock) == 0) {
		segment = segment_of(record);
		latch_drop(&lock);
	}
	return segment ? &segment->header->totals : NULL;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
	if (n)
		atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static void totals_add(struct side_totals *totals, struct side_record *record)
{
	const struct side_direction *ways[2] = {&record->send, &record->receive};
	bool moved = false;

	for (int i = 0; i < 2; i++) {
		moved |= ways[i]->moved;
		add(&totals->bytes_tcp[i], ways[i]->tcp_bytes);
		add(&totals->bytes_shm[i], ways[i]->position);
		add(&totals->calls[i], ways[i]->calls);
	}
	add(&totals->connections, 1);
	add(moved ? &totals->moved : &totals->reasons[record->reason & 31], 1);
	for (unsigned int i = 0; i < SIDE_SIZES; i++)
		add(&totals->sizes[i], record->sizes[i]);
}

void side_free(struct side_record *record)
{
	struct side_header *of = atomic_load(&side_own.header);
	struct side_totals *totals = totals_of(record);

	if (totals)
		totals_add(totals, record);
	if (of && totals == &of->totals)
		atomic_store_explicit(&hint, (uint32_t)(record - records(of)),
				      memory_order_relaxed);
	atomic_store_explicit(&record->state, SIDE_FREE, memory_order_release);
}

/* Is it one that nobody holds, and that nobody can be inside a call on?  Of several that ask, one is told so. */
static bool take_left(struct side_record *record)
{
	const uint32_t by = atomic_load(&record->left_by);
	uint32_t none = 0;

	if (atomic_load(&record->state) == SIDE_FREE || atomic_load(&record->holders) || !by ||
	    !lock_thread_is_gone(by))
		return false;
	return atomic_compare_exchange_strong(&record->holders, &none, 1) &&
	       atomic_load(&record->left_by) == by;
}

/* The lowest one last, which is where the search for a free one begins then. */
static void free_left(struct side_header *of)
{
	uint32_t at = atomic_load(&of->used);

	atomic_store(&of->left, 0);
	for (at = at < SIDE_RECORDS ? at : SIDE_RECORDS; at-- > 0;)
		if (take_left(&records(of)[at]))
			side_free(&records(of)[at]);
}

/* A look at all of them is worth it when many will be free, or when there is no other. */
static bool is_worth_a_look(const struct side_header *of, uint32_t least)
{
	return !lock_is_quiet && atomic_load_explicit(&of->left, memory_order_relaxed) > least;
}

struct side_record *side_new(void)
{
	struct side_header *of = segment_get();
	struct side_record *record;

	if (!of)
		return NULL;
	if (__builtin_expect(is_worth_a_look(of, atomic_load(&of->used) / 8), 0))
		free_left(of);
	record = take_free(of);
	if (!record && is_worth_a_look(of, 0)) {
		free_left(of);
		record = take_free(of);
	}
	if (!record)
		return NULL;
	atomic_fetch_add(&own->users, 1);
	record->pid = fd_table_owner;
	return record;
}

/* In the header, which may be an ancestor's. */
static void count_left(const struct side_record *record)
{
	const struct segment *segment;

	if (latch_take(&lock) < 0)
		return;
	segment = segment_of(record);
	if (segment)
		atomic_fetch_add(&segment->header->left, 1);
	latch_drop(&lock);
}

void side_leave(struct side_record *record, bool ends)
{
	if (ends)
		atomic_store(&record->left_by, thread_id());
	if (atomic_fetch_sub(&record->holders, 1) != 1)
		return;
	if (atomic_load(&record->left_by))
		count_left(record);
	else
		side_free(record);
}

int side_descriptor(void)
{
	return descriptor;
}

void side_after_fork(void)
{
	/* The mapping stays for the inherited connections; the descriptor stays for exec. */
	atomic_store(&side_own.header, NULL);
	own = NULL;
	descriptor = -1;
	atomic_store(&hint, 0);
	atomic_store(&lock, 0); /* another thread of the parent may have been making it */
}
