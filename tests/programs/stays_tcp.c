/* SPDX-License-Identifier: MIT */
/*
 * stays_tcp - a connection with something that only TCP serves
 *
 *   stays_tcp nothing | zerocopy | flag_zerocopy | repair | ulp | ring | ring_past_libc | sockmap
 *
 * What it is must be there before the connection moves, which the caller sees to (SMCU_MOVE_AFTER).
 * Then 400 messages go each way, and each is checked.  Prints the same with and without smcu; "no ..." and
 * why, and status 77, where the kernel has no such thing.
 */
#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "stays_tcp.h"

#define MESSAGES 400
#define LENGTH 200U
#define MISSING 77

static int send_flags;
static bool has_ring;

static void missing(const char *what)
{
	printf("no %s: %s\n", what, strerrorname_np(errno));
	exit(MISSING);
}

static void set(const int ends[2], int level, int name, int value, const char *what)
{
	for (int i = 0; i < 2; i++)
		if (setsockopt(ends[i], level, name, &value, sizeof(value)) < 0)
			missing(what);
}

static void put(int fd, const char *bytes, bool by_ring)
{
	const ssize_t n =
		by_ring ? ring_send(fd, bytes, LENGTH) : send(fd, bytes, LENGTH, send_flags);

	if (n != (ssize_t)LENGTH)
		die("send gave %zd", n);
}

static void get(int fd, char *bytes, bool by_ring)
{
	ssize_t n;

	for (size_t done = 0; done < LENGTH; done += (size_t)n) {
		n = by_ring ? ring_receive(fd, bytes + done, LENGTH - done)
			    : recv(fd, bytes + done, LENGTH - done, 0);
		if (n <= 0)
			die("receive gave %zd", n);
	}
}

static void exchange(const int ends[2])
{
	char out[LENGTH], in[LENGTH];
	int wrong = 0;

	for (uint64_t i = 0; i < 2 * (uint64_t)MESSAGES; i++) {
		pattern_fill(i % 2, i / 2 * LENGTH, out, LENGTH);
		put(ends[i % 2], out, has_ring && i % 4 < 2);
		get(ends[!(i % 2)], in, has_ring && i % 4 < 2);
		wrong += memcmp(in, out, LENGTH) != 0;
		if (i % 40 == 0)
			sleep_us(1000);
	}
	printf("%d messages each way, %d wrong\n", MESSAGES, wrong);
}

/* Each says from which send to which it tells. */
static void say_completions(int fd)
{
	unsigned int told = 0;
	char control[128];

	for (;;) {
		struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};
		struct pollfd look = {.fd = fd};
		struct sock_extended_err *error;

		if (poll(&look, 1, 2000) <= 0 || recvmsg(fd, &message, MSG_ERRQUEUE) < 0)
			break;
		error = (struct sock_extended_err *)CMSG_DATA(CMSG_FIRSTHDR(&message));
		told += error->ee_data - error->ee_info + 1;
		if (told == MESSAGES)
			break;
	}
	printf("%u completions\n", told);
}

static void repair(const int ends[2])
{
	set(ends, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON, "repair");
	set(ends, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF, "repair");
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	int ends[2];

	connect_pair(ends);
	if (strcmp(what, "zerocopy") == 0) {
		set(ends, SOL_SOCKET, SO_ZEROCOPY, 1, what);
		send_flags = MSG_ZEROCOPY;
	} else if (strcmp(what, "flag_zerocopy") == 0) {
		send_flags = MSG_ZEROCOPY;
	} else if (strcmp(what, "repair") == 0) {
		repair(ends);
	} else if (strcmp(what, "ulp") == 0) {
		if (setsockopt(ends[0], IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) < 0)
			missing("TLS in the kernel");
	} else if (strncmp(what, "ring", 4) == 0) {
		has_ring = ring_open(strcmp(what, "ring_past_libc") == 0);
	} else if (strcmp(what, "sockmap") == 0) {
		if (!sockmap_join(ends))
			missing(what);
	} else if (strcmp(what, "nothing") != 0) {
		fprintf(stderr, "usage: stays_tcp WHAT\n");
		return 2;
	}
	exchange(ends);
	if (strcmp(what, "zerocopy") == 0)
		say_completions(ends[0]);
	return 0;
}
