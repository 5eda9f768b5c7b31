/* SPDX-License-Identifier: MIT */
#include "shim/side.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/lock.h"
#include "shim/fd_table.h"
#include "shim/libc.h"

#define KNOWN 16U /* side segments that a process may have inherited, one a generation */

/* Those mapped here: this process's, and those of whom it has connections from. */
static struct {
	struct side_header *header;
	int fd;
} known[KNOWN];
static _Atomic uint32_t known_count;

static _Atomic(struct side_header *) header;
static int descriptor = -1;
static _Atomic uint32_t hint;
static _Atomic uint32_t lock; /* of making the segment */

static struct side_record *records(struct side_header *of)
{
	return (struct side_record *)((char *)of + SIDE_HEADER_SIZE);
}

static void know(struct side_header *of, int fd)
{
	uint32_t at = atomic_load(&known_count);

	if (at == KNOWN)
		return; /* what lies there cannot be passed on */
	known[at].header = of;
	known[at].fd = fd;
	atomic_store(&known_count, at + 1);
}

static uint32_t known_of(const struct side_record *record)
{
	uint32_t at, count = atomic_load(&known_count);

	for (at = 0; at < count; at++)
		if (record >= records(known[at].header) &&
		    record < records(known[at].header) + SIDE_RECORDS)
			break;
	return at < count ? at : KNOWN;
}

int side_of(const struct side_record *record)
{
	uint32_t at = known_of(record);

	return at < KNOWN ? known[at].fd : -1;
}

uint32_t side_index(const struct side_record *record)
{
	uint32_t at = known_of(record);

	return at < KNOWN ? (uint32_t)(record - records(known[at].header)) : 0;
}

struct side_record *side_take_up(int fd, uint32_t index)
{
	uint32_t count = atomic_load(&known_count);
	struct side_header *of;

	for (uint32_t at = 0; at < count; at++)
		if (known[at].fd == fd)
			return &records(known[at].header)[index];
	of = mmap(NULL, SIDE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (of == MAP_FAILED || of->magic != SIDE_MAGIC || of->record_size != sizeof(struct side_record))
		return NULL;
	fd_hide_where_it_is(fd);
	know(of, fd);
	if (!atomic_load(&header)) {
		/* It serves for this process's own records too, and the daemon sees all in one. */
		atomic_store(&header, of);
		descriptor = fd;
	}
	return &records(of)[index];
}

static struct side_header *segment_make(void)
{
	struct side_header *made;
	void *memory;
	int fd = memfd_create("smcu-side", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)SIDE_BYTES) < 0 ||
	    libc.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		libc.close(fd);
		return NULL;
	}
	memory = mmap(NULL, SIDE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	fd = fd_hide(fd);
	if (memory == MAP_FAILED || fd < 0) {
		if (memory != MAP_FAILED)
			munmap(memory, SIDE_BYTES);
		fd_unhide(fd);
		return NULL;
	}
	made = memory;
	made->magic = SIDE_MAGIC;
	made->record_size = sizeof(struct side_record);
	descriptor = fd;
	know(made, fd);
	return made;
}

static struct side_header *segment_get(void)
{
	struct side_header *of = atomic_load_explicit(&header, memory_order_acquire);

	if (of || lock_take(&lock, thread_id()) < 0)
		return of;
	of = atomic_load(&header);
	if (!of) {
		of = segment_make();
		atomic_store(&header, of);
	}
	lock_drop(&lock);
	return of;
}

bool side_make(void)
{
	return segment_get() != NULL;
}

struct side_record *side_new(void)
{
	struct side_header *of = segment_get();
	uint32_t start, used;

	if (!of)
		return NULL;
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
		while (used <= at &&
		       !atomic_compare_exchange_weak(&of->used, &used, at + 1))
			;
		atomic_store_explicit(&hint, at + 1, memory_order_relaxed);
		memset((char *)record + sizeof(record->state), 0,
		       sizeof(*record) - sizeof(record->state));
		atomic_store(&record->holders, 1);
		record->pid = fd_table_owner;
		return record;
	}
	return NULL;
}

/* The totals of the segment that holds @record, which may be an ancestor's. */
static struct side_totals *totals_of(const struct side_record *record)
{
	uint32_t at = known_of(record);

	return at < KNOWN ? &known[at].header->totals : NULL;
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
	struct side_header *of = atomic_load(&header);
	struct side_totals *totals = totals_of(record);

	if (totals)
		totals_add(totals, record);
	if (of && totals == &of->totals)
		atomic_store_explicit(&hint, (uint32_t)(record - records(of)), memory_order_relaxed);
	atomic_store_explicit(&record->state, SIDE_FREE, memory_order_release);
}

struct side_header *side_header(void)
{
	return atomic_load_explicit(&header, memory_order_acquire);
}

int side_descriptor(void)
{
	return descriptor;
}

void side_after_fork(void)
{
	/* The mapping stays for the inherited connections; the descriptor stays for exec. */
	atomic_store(&header, NULL);
	descriptor = -1;
	atomic_store(&hint, 0);
	atomic_store(&lock, 0); /* another thread of the parent may have been making it */
}
