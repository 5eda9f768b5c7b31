/* SPDX-License-Identifier: MIT */
/* Every option that the kernel has, by number: what it says of each, before and after the move */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

#ifndef IP_PROTOCOL
#define IP_PROTOCOL 52
#endif
#define MOST 100 /* numbers beyond those of any kernel yet */

/* Those that only TCP serves, and make a difference by rule (docs/semantics.md). */
static int is_known_to_differ(int level, int option)
{
	if (level == IPPROTO_TCP)
		return option == TCP_ULP || option == TCP_REPAIR || option == TCP_ZEROCOPY_RECEIVE;
	return level == SOL_SOCKET && option == SO_ZEROCOPY;
}

/* These tell of buffers, clocks, processors and numbers that are new each time. */
static int is_another_each_time(int level, int option)
{
	static const int sockets[] = {SO_SNDBUF,       SO_RCVBUF,	    SO_INCOMING_CPU,
				      SO_COOKIE,       SO_INCOMING_NAPI_ID, SO_MEMINFO,
				      SO_NETNS_COOKIE, SO_PEERNAME};
	static const int tcp[] = {TCP_INFO,	    TCP_CC_INFO,  TCP_TIMESTAMP,
				  TCP_WINDOW_CLAMP, TCP_QUICKACK, TCP_QUEUE_SEQ};
	size_t i;

	if (level == IPPROTO_IP)
		return option == IP_PROTOCOL;
	for (i = 0; level == SOL_SOCKET && i < sizeof(sockets) / sizeof(sockets[0]); i++)
		if (sockets[i] == option)
			return 1;
	for (i = 0; level == IPPROTO_TCP && i < sizeof(tcp) / sizeof(tcp[0]); i++)
		if (tcp[i] == option)
			return 1;
	return 0;
}

/* How long it is is returned; 0: it cannot be asked for. */
static socklen_t say_option(int fd, int level, int option, unsigned char bytes[512])
{
	socklen_t length = 512, i;
	char text[64], *end = text;
	int result;

	memset(bytes, 0, length);
	result = getsockopt(fd, level, option, bytes, &length);
	if (result < 0) {
		snprintf(text, sizeof(text), "%s", strerrorname_np(errno));
	} else if (is_another_each_time(level, option)) {
		snprintf(text, sizeof(text), "there");
	} else {
		end += snprintf(text, sizeof(text), "%u bytes:", length);
		for (i = 0; i < length && i < 12; i++)
			end += sprintf(end, " %02x", bytes[i]);
	}
	say("level %d option %d: %s", level, option, text);
	return result == 0 ? length : 0;
}

/* Ask for each, set it to what it is, or to 1, and ask again. */
static void go_through(int fd, int level)
{
	unsigned char bytes[512];
	const int one = 1;
	socklen_t length;

	for (int option = 1; option < MOST; option++) {
		if (is_known_to_differ(level, option))
			continue;
		length = say_option(fd, level, option, bytes);
		say_call(" set", length ? setsockopt(fd, level, option, bytes, length)
					: setsockopt(fd, level, option, &one, sizeof(one)));
		(void)say_option(fd, level, option, bytes);
	}
}

static void exchange(const int ends[2])
{
	char in[10];

	for (int i = 0; i < 2; i++) {
		say_call("write", write(ends[i], "after", 5));
		say_call("recv", recv(ends[!i], in, 5, MSG_WAITALL));
	}
}

static void every_option_after_the_move(void)
{
	int ends[2];

	pair_open(ends);
	go_through(ends[0], SOL_SOCKET);
	go_through(ends[0], IPPROTO_TCP);
	go_through(ends[0], IPPROTO_IP);
	exchange(ends);
	pair_close(ends);
}

static void every_option_before_the_move(void)
{
	int ends[2];

	connect_pair(ends);
	go_through(ends[0], SOL_SOCKET);
	go_through(ends[0], IPPROTO_TCP);
	go_through(ends[0], IPPROTO_IP);
	pair_warm(ends);
	exchange(ends);
	pair_close(ends);
}

const struct behaviour same_every_option[] = {
	{"every_option_before_the_move", every_option_before_the_move},
	{"every_option_after_the_move", every_option_after_the_move},
	{NULL, NULL},
};
