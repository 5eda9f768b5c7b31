/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: select, by way of poll
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/select.h>

#include "shim/call_poll.h"
#include "shim/clock.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/remote.h"
#include "shim/sandbox.h"
#include "shim/settings.h"
#include "shim/user_memory.h"

#define SELECT_IN (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECT_OUT (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define SELECT_EXCEPT POLLPRI
#define WORD_BITS ((int)(8 * sizeof(fd_mask)))

/**
 * struct sets - the three sets, copied: the program may have given any address
 * @program: in, out, except; NULL where it gave none
 * @own: the copies, NULL too
 * @words: of each
 * @fds: room for all of them
 * @few, @few_fds: where they are when there are no more than FD_SETSIZE; the kernel has no such limit
 * @many: else
 */
struct sets {
	fd_set *const *program;
	fd_mask *own[3];
	int words;
	struct pollfd *fds;
	fd_mask few[3][FD_SETSIZE / (8 * sizeof(fd_mask))];
	struct pollfd few_fds[FD_SETSIZE];
	void *many;
};

static bool in_set(int fd, const fd_mask *set)
{
	return set && (set[fd / WORD_BITS] >> (fd % WORD_BITS) & 1);
}

static void set_bit(fd_mask *set, int fd, bool on)
{
	const fd_mask bit = (fd_mask)(1UL << (fd % WORD_BITS));

	set[fd / WORD_BITS] = on ? set[fd / WORD_BITS] | bit : set[fd / WORD_BITS] & ~bit;
}

static bool sets_copy(struct sets *sets, bool back)
{
	const size_t bytes = (size_t)sets->words * sizeof(fd_mask);

	for (int i = 0; i < 3; i++)
		if (sets->own[i] &&
		    !user_copy(back ? (void *)sets->program[i] : sets->own[i],
			       back ? sets->own[i] : (void *)sets->program[i], bytes))
			return false;
	return true;
}

/* Make room for @n descriptors and read them; 0, -ENOMEM, -EFAULT.  sets_leave() must follow. */
static int sets_read(struct sets *sets, int n)
{
	const size_t words = ((size_t)n + (size_t)WORD_BITS - 1) / (size_t)WORD_BITS;
	fd_mask *room = sets->few[0];

	sets->words = (int)words;
	sets->fds = sets->few_fds;
	if (n > FD_SETSIZE) {
		sets->many = malloc(3 * words * sizeof(fd_mask) + (size_t)n * sizeof(*sets->fds));
		if (!sets->many)
			return -ENOMEM;
		room = sets->many;
		sets->fds = (struct pollfd *)(room + 3 * words);
	}
	for (int i = 0; i < 3; i++)
		sets->own[i] = sets->program[i] ? room + (size_t)i * words : NULL;
	return sets_copy(sets, false) ? 0 : -EFAULT;
}

static void sets_leave(void *context)
{
	struct sets *sets = context;

	free(sets->many);
}

static bool any_in_word(const struct sets *sets, int word)
{
	for (int i = 0; i < 3; i++)
		if (sets->own[i] && sets->own[i][word])
			return true;
	return false;
}

static nfds_t sets_to_fds(struct sets *sets, int n)
{
	nfds_t count = 0;

	for (int fd = 0; fd < n; fd++) {
		short events = 0;

		if (fd % WORD_BITS == 0 && !any_in_word(sets, fd / WORD_BITS)) {
			fd += WORD_BITS - 1;
			continue;
		}
		if (in_set(fd, sets->own[0]))
			events |= POLLIN;
		if (in_set(fd, sets->own[1]))
			events |= POLLOUT;
		if (in_set(fd, sets->own[2]))
			events |= POLLPRI;
		if (events)
			sets->fds[count++] = (struct pollfd){.fd = fd, .events = events};
	}
	return count;
}

static int fds_to_sets(struct sets *sets, nfds_t count)
{
	static const short wanted[3] = {SELECT_IN, SELECT_OUT, SELECT_EXCEPT};
	int bits = 0;

	for (nfds_t at = 0; at < count; at++) {
		const struct pollfd *entry = &sets->fds[at];

		if ((entry->revents & POLLNVAL) || fd_is_hidden(entry->fd))
			return -EBADF;
		for (int i = 0; i < 3; i++) {
			if (!in_set(entry->fd, sets->own[i]))
				continue;
			set_bit(sets->own[i], entry->fd, entry->revents & wanted[i]);
			bits += !!(entry->revents & wanted[i]);
		}
	}
	return bits;
}

/* In a sandbox the call is the kernel's, unless a ring still has something: then nobody waits. */
static int select_rest(struct sets *sets, int n, bool *ours)
{
	struct timeval at_once = {0};
	nfds_t rests = 0;
	int result;

	for (int fd = 0; fd < n && sets->own[0]; fd++) {
		const struct pollfd entry = {.fd = fd, .events = POLLIN};

		if (in_set(fd, sets->own[0]) && sandbox_has_rest(&entry, 1))
			sets->fds[rests++] = entry;
	}
	*ours = rests > 0;
	if (!*ours)
		return 0;
	result = libc.select(n, (fd_set *)sets->own[0], (fd_set *)sets->own[1],
			     (fd_set *)sets->own[2], &at_once);
	if (result < 0)
		return -errno;
	for (nfds_t i = 0; i < rests; i++) {
		result += !in_set(sets->fds[i].fd, sets->own[0]);
		set_bit(sets->own[0], sets->fds[i].fd, true);
	}
	return sets_copy(sets, true) ? result : -EFAULT;
}

static int select_read(struct sets *sets, int n, const struct timespec *timeout,
		       const sigset_t *mask, bool *ours)
{
	nfds_t count;
	int result;

	if (settings.sandboxed && !remote_any())
		return select_rest(sets, n, ours);
	count = sets_to_fds(sets, n);
	result = poll_all(sets->fds, count, timeout, mask, ours);
	if (result < 0 || !*ours)
		return result;
	result = fds_to_sets(sets, count);
	return result < 0 || sets_copy(sets, true) ? result : -EFAULT;
}

static int select_copied(struct sets *sets, int n, const struct timespec *timeout,
			 const sigset_t *mask, bool *ours)
{
	int result;

	sets->many = NULL;
	pthread_cleanup_push(sets_leave, sets);
	result = sets_read(sets, n);
	*ours = result == -ENOMEM; /* as the kernel's; of bad addresses the kernel tells */
	if (result == 0)
		result = select_read(sets, n, timeout, mask, ours);
	pthread_cleanup_pop(1);
	return result;
}

static int select_all(fd_set *const program[3], int n, const struct timespec *timeout,
		      const sigset_t *mask, bool *ours)
{
	struct sets sets;

	*ours = false;
	if (n < 0 || connection_none())
		return 0; /* the kernel will say what is wrong */
	if (n > fd_table_size && n > FD_SETSIZE)
		n = fd_table_size > FD_SETSIZE ? fd_table_size : FD_SETSIZE;
	sets.program = program;
	return select_copied(&sets, n, timeout, mask, ours);
}

/*
 * The kernel looks at no more bits than its table of descriptors has room for, and a program that passes
 * getdtablesize() relies on it: its sets may end there.  Hidden descriptors make that table larger.
 *
 * Return: where to end; 0: the call has failed as it should.
 */
static int where_to_end(int n, int result)
{
	const int saved = errno;
	int end = 0;

	if (result < 0 && n > FD_SETSIZE && (saved == EBADF || saved == EFAULT) &&
	    !settings.sandboxed && fd_table_is_ours())
		end = fd_kernel_table();
	errno = saved;
	if (end && end < FD_SETSIZE)
		end = FD_SETSIZE;
	return end < n ? end : 0;
}

/* As libc's: more microseconds than a second has are seconds, as many as there can be. */
static struct timespec select_limit(const struct timeval *timeout)
{
	const time_t seconds = timeout->tv_usec / 1000000;
	struct timespec limit = {.tv_sec = LONG_MAX, .tv_nsec = 999999999};

	if (seconds <= LONG_MAX - timeout->tv_sec) {
		limit.tv_sec = timeout->tv_sec + seconds;
		limit.tv_nsec = timeout->tv_usec % 1000000 * 1000;
	}
	return limit;
}

static int select_ours_or_not(int n, fd_set *const program[3], struct timeval *timeout)
{
	struct timeval left = {0};
	struct timespec limit, rest;
	uint64_t start;
	bool ours;
	int result;

	if (timeout &&
	    (!user_copy(&left, timeout, sizeof(left)) || left.tv_sec < 0 || left.tv_usec < 0))
		return libc.select(n, program[0], program[1], program[2], timeout);
	limit = select_limit(&left);
	start = timeout ? now_ns() : 0;
	result = select_all(program, n, timeout ? &limit : NULL, NULL, &ours);
	if (!ours)
		return libc.select(n, program[0], program[1], program[2], timeout);
	if (timeout) { /* Linux tells what was left, if it can */
		rest = clock_rest(&limit, now_ns() - start);
		left = (struct timeval){.tv_sec = rest.tv_sec, .tv_usec = rest.tv_nsec / 1000};
		(void)user_copy(timeout, &left, sizeof(left));
	}
	return (int)to_errno(result);
}

EXPORT int select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	fd_set *const program[3] = {in, out, except};
	int result, end;

	libc_ready();
	result = select_ours_or_not(n, program, timeout);
	end = where_to_end(n, result);
	return end ? select_ours_or_not(end, program, timeout) : result;
}

static int pselect_ours_or_not(int n, fd_set *const program[3], const struct timespec *timeout,
			       const sigset_t *mask)
{
	struct timespec limit = {0};
	int result = 0;
	bool ours;

	ours = !timeout || (user_copy(&limit, timeout, sizeof(limit)) && limit.tv_sec >= 0 &&
			    (unsigned long)limit.tv_nsec <= 999999999);
	if (ours)
		result = select_all(program, n, timeout ? &limit : NULL, mask, &ours);
	return ours ? (int)to_errno(result)
		    : libc.pselect(n, program[0], program[1], program[2], timeout, mask);
}

EXPORT int pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
		   const sigset_t *mask)
{
	fd_set *const program[3] = {in, out, except};
	int result, end;

	libc_ready();
	result = pselect_ours_or_not(n, program, timeout, mask);
	end = where_to_end(n, result);
	return end ? pselect_ours_or_not(end, program, timeout, mask) : result;
}
