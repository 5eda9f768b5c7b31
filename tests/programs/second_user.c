/* SPDX-License-Identifier: MIT */
/*
 * second_user - somebody else reads or writes the socket, past libc
 *
 * io_uring, raw system calls, other processes: what a preload library does not see.  Here it is the
 * `syscall` instruction, in the process itself or in a forked child.  A direction that such a user
 * touched before it could move must stay TCP for ever, and no byte may be lost or change its place.
 *
 *   second_user [--seed=S] [--rounds=N] [--before=BYTES]
 *
 * --before: as many bytes go each way before a connection can move (SMCU_MOVE_AFTER, which the
 * caller sets); the first raw call of a direction comes earlier.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

#define CHUNK 200U

static long raw(long number, long a, const void *b, size_t c)
{
	return raw_call(number, (const long[6]){a, (long)b, (long)c});
}

enum way { WAY_LIBC, WAY_RAW, WAY_CHILD };

static void raw_write(int fd, const char *bytes, size_t length)
{
	if (raw(SYS_write, fd, bytes, length) != (long)length)
		die("raw write");
}

static void put(enum way way, int fd, const char *bytes, size_t length)
{
	int status;
	pid_t pid;

	switch (way) {
	case WAY_LIBC:
		write_all(fd, bytes, length);
		break;
	case WAY_RAW:
		raw_write(fd, bytes, length);
		break;
	case WAY_CHILD:
		pid = fork();
		if (pid == 0) {
			raw_write(fd, bytes, length);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			die("child");
	}
}

static void get(enum way way, int fd, char *bytes, size_t length)
{
	long n;

	if (way == WAY_LIBC) {
		if (read_all(fd, bytes, length) != length)
			die("end of file");
		return;
	}
	while (length) {
		n = raw(SYS_read, fd, bytes, length);
		if (n <= 0)
			die("raw read gave %ld", n);
		bytes += n;
		length -= (size_t)n;
	}
}

static int round_once(uint64_t seed, uint64_t before)
{
	struct dice dice = {seed};
	int ends[2], tainted[2] = {0, 0}, want[2], one = 1, d;
	uint64_t at[2] = {0, 0};
	char out[CHUNK], in[CHUNK];
	enum way writes, reads;
	size_t length, good;
	char what[64];

	/* one direction or both get a second user; the other may move */
	d = (int)dice_below(&dice, 3);
	want[0] = d != 1;
	want[1] = d != 0;
	connect_pair(ends);
	for (d = 0; d < 2; d++)
		setsockopt(ends[d], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	while (at[0] + at[1] < 8 * before) {
		d = (int)dice_below(&dice, 2);
		length = 1 + dice_below(&dice, CHUNK);
		writes = reads = WAY_LIBC;
		if (want[d] && (tainted[d] || at[0] + at[1] + length < before / 2)) {
			if (dice_below(&dice, 4) == 0)
				writes = dice_below(&dice, 8) ? WAY_RAW : WAY_CHILD;
			if (dice_below(&dice, 4) == 0)
				reads = WAY_RAW;
			if (writes != WAY_LIBC || reads != WAY_LIBC)
				tainted[d] = 1;
		}
		pattern_fill(seed + (unsigned int)d, at[d], out, length);
		put(writes, ends[d], out, length);
		get(reads, ends[1 - d], in, length);
		good = pattern_check(seed + (unsigned int)d, at[d], in, length);
		if (good < length) {
			pattern_explain(seed + (unsigned int)d, at[d] + good, in + good,
					length - good, what, sizeof(what));
			printf("wrong: direction %d, position %llu: %s\n", d,
			       (unsigned long long)(at[d] + good), what);
			return -1;
		}
		at[d] += length;
		if (dice_below(&dice, 16) == 0)
			sleep_us(300);
	}
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static uint64_t current;

static void out_of_time(int signal_number)
{
	(void)signal_number;
	dprintf(1, "hangs: replay with --seed=%llu --rounds=1\n", (unsigned long long)current);
	_exit(3);
}

int main(int argc, char **argv)
{
	uint64_t rounds = option_number(argc, argv, "rounds", 50);
	uint64_t before = option_number(argc, argv, "before", 4000), i;
	int failures = 0;

	signal(SIGALRM, out_of_time);
	current = option_number(argc, argv, "seed", 1);
	for (i = 0; i < rounds; i++, current++) {
		alarm(20);
		if (round_once(current, before) < 0) {
			printf("replay with --seed=%llu --rounds=1\n", (unsigned long long)current);
			failures++;
		}
	}
	printf("%llu rounds, %d wrong\n", (unsigned long long)rounds, failures);
	return failures != 0;
}
