/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: select, by way of poll
 */
#include <errno.h>
#include <sys/select.h>

#include "shim/call_poll.h"
#include "shim/clock.h"
#include "shim/connection.h"
#include "shim/libc.h"
#include "shim/remote.h"
#include "shim/sandbox.h"
#include "shim/settings.h"
#include "shim/user_memory.h"

#define SELECT_IN (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECT_OUT (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)

static bool in_set(int fd, const fd_set *set)
{
	return set && FD_ISSET(fd, set);
}

static nfds_t sets_to_fds(int n, const fd_set *in, const fd_set *out, const fd_set *except,
			  struct pollfd *fds)
{
	nfds_t count = 0;

	for (int fd = 0; fd < n; fd++) {
		short events = 0;

		if (in_set(fd, in))
			events |= POLLIN;
		if (in_set(fd, out))
			events |= POLLOUT;
		if (in_set(fd, except))
			events |= POLLPRI;
		if (in_set(fd, in) || in_set(fd, out) || in_set(fd, except))
			fds[count++] = (struct pollfd){.fd = fd, .events = events};
	}
	return count;
}

static int set_bit(fd_set *set, int fd, bool on)
{
	if (!set || !FD_ISSET(fd, set))
		return 0;
	if (on)
		return 1;
	FD_CLR(fd, set);
	return 0;
}

static int fds_to_sets(const struct pollfd *fds, nfds_t count, fd_set *in, fd_set *out,
		       fd_set *except)
{
	int bits = 0;

	for (nfds_t i = 0; i < count; i++) {
		short revents = fds[i].revents;

		if (revents & POLLNVAL)
			return -EBADF;
		bits += set_bit(in, fds[i].fd, revents & SELECT_IN);
		bits += set_bit(out, fds[i].fd, revents & SELECT_OUT);
		bits += set_bit(except, fds[i].fd, revents & POLLPRI);
	}
	return bits;
}

/* The three sets, copied: the program may have given any address. */
struct sets {
	fd_set *program[3];
	fd_set own[3];
};

static size_t set_bytes(int n)
{
	return ((size_t)n + 8 * sizeof(fd_mask) - 1) / (8 * sizeof(fd_mask)) * sizeof(fd_mask);
}

static bool sets_copy(struct sets *sets, int n, bool back)
{
	for (int i = 0; i < 3; i++)
		if (sets->program[i] &&
		    !user_copy(back ? sets->program[i] : &sets->own[i],
			       back ? &sets->own[i] : sets->program[i], set_bytes(n)))
			return false;
	return true;
}

static fd_set *set_of(struct sets *sets, int i)
{
	return sets->program[i] ? &sets->own[i] : NULL;
}

/* In a sandbox the call is the kernel's, unless a ring still has something: then nobody waits. */
static int select_rest(int n, struct sets *sets, bool *ours)
{
	struct timeval at_once = {0};
	fd_set rests;
	int result;

	FD_ZERO(&rests);
	if (n < 0 || n > FD_SETSIZE || !sets->program[0] || !sets_copy(sets, n, false))
		return 0;
	for (int fd = 0; fd < n; fd++) {
		const struct pollfd entry = {.fd = fd, .events = POLLIN};

		if (!FD_ISSET(fd, &sets->own[0]) || !sandbox_has_rest(&entry, 1))
			continue;
		FD_SET(fd, &rests);
		*ours = true;
	}
	if (!*ours)
		return 0;
	result = libc.select(n, set_of(sets, 0), set_of(sets, 1), set_of(sets, 2), &at_once);
	if (result < 0)
		return -errno;
	for (int fd = 0; fd < n; fd++) {
		if (!FD_ISSET(fd, &rests) || FD_ISSET(fd, &sets->own[0]))
			continue;
		FD_SET(fd, &sets->own[0]);
		result++;
	}
	return sets_copy(sets, n, true) ? result : -EFAULT;
}

static int select_all(int n, struct sets *sets, const struct timespec *timeout,
		      const sigset_t *mask, bool *ours)
{
	struct pollfd fds[FD_SETSIZE];
	nfds_t count;
	int result;

	*ours = false;
	if (settings.sandboxed && !remote_any())
		return select_rest(n, sets, ours);
	if (n < 0 || n > FD_SETSIZE || connection_none() || !sets_copy(sets, n, false))
		return 0; /* the kernel will say what is wrong */
	count = sets_to_fds(n, set_of(sets, 0), set_of(sets, 1), set_of(sets, 2), fds);
	result = poll_all(fds, count, timeout, mask, ours);
	if (result < 0 || !*ours)
		return result;
	result = fds_to_sets(fds, count, set_of(sets, 0), set_of(sets, 1), set_of(sets, 2));
	return result < 0 || sets_copy(sets, n, true) ? result : -EFAULT;
}

EXPORT int select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	struct sets sets = {.program = {in, out, except}};
	struct timeval left = {0};
	struct timespec limit;
	uint64_t start, spent, whole;
	bool ours;
	int result;

	libc_ready();
	if (timeout &&
	    (!user_copy(&left, timeout, sizeof(left)) || left.tv_sec < 0 || left.tv_usec < 0))
		return libc.select(n, in, out, except, timeout);
	limit.tv_sec = left.tv_sec + left.tv_usec / 1000000;
	limit.tv_nsec = left.tv_usec % 1000000 * 1000;
	start = timeout ? now_ns() : 0;
	result = select_all(n, &sets, timeout ? &limit : NULL, NULL, &ours);
	if (!ours)
		return libc.select(n, in, out, except, timeout);
	if (timeout) { /* Linux tells what was left, if it can */
		whole = (uint64_t)limit.tv_sec * 1000000000ULL + (uint64_t)limit.tv_nsec;
		spent = now_ns() - start;
		whole = spent < whole ? whole - spent : 0;
		left.tv_sec = (time_t)(whole / 1000000000);
		left.tv_usec = (suseconds_t)(whole % 1000000000 / 1000);
		(void)user_copy(timeout, &left, sizeof(left));
	}
	return (int)to_errno(result);
}

EXPORT int pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
		   const sigset_t *mask)
{
	struct sets sets = {.program = {in, out, except}};
	struct timespec limit = {0};
	bool ours;
	int result;

	libc_ready();
	if (timeout && (!user_copy(&limit, timeout, sizeof(limit)) || limit.tv_sec < 0 ||
			(unsigned long)limit.tv_nsec > 999999999))
		return libc.pselect(n, in, out, except, timeout, mask);
	result = select_all(n, &sets, timeout ? &limit : NULL, mask, &ours);
	return ours ? (int)to_errno(result) : libc.pselect(n, in, out, except, timeout, mask);
}
