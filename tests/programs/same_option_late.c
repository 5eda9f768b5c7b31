/* SPDX-License-Identifier: MIT */
/* options of the kernel's own TCP, set when the connection has been used for long */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h> /* wants time.h before it */

#include "same.h"

#define LARGE 20000
#define PAGES (16 * 4096)

static void exchange(const int ends[2])
{
	char in[10] = "";

	for (int i = 0; i < 2; i++) {
		say_call("write", write(ends[i], "and on", 6));
		say_call("read", read(ends[!i], in, sizeof(in)));
		say("%.6s", in);
	}
}

static void say_completion(int fd)
{
	_Alignas(struct cmsghdr) char control[200];
	struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};
	struct pollfd wanted = {.fd = fd};
	const struct sock_extended_err *error;

	say_call("poll", poll(&wanted, 1, 3000));
	say_poll("  events", (unsigned int)wanted.revents);
	say_call("recvmsg", recvmsg(fd, &message, MSG_ERRQUEUE));
	if (!CMSG_FIRSTHDR(&message))
		return;
	error = (const struct sock_extended_err *)(const void *)CMSG_DATA(CMSG_FIRSTHDR(&message));
	say("origin %d, %u to %u", error->ee_origin, error->ee_info, error->ee_data);
}

static void send_without_copy(const int ends[2])
{
	static char out[LARGE], in[LARGE];

	pattern_fill(3, 0, out, LARGE);
	say_call("send", send(ends[1], out, LARGE, MSG_ZEROCOPY));
	say_call("read", (ssize_t)read_all(ends[0], in, LARGE));
	say_pattern("read", 3, 0, in, LARGE);
	say_completion(ends[1]);
}

static void zero_copy_asked_for_late(void)
{
	const int on = 1;
	int ends[2];

	pair_open(ends);
	say_call("SO_ZEROCOPY", setsockopt(ends[1], SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)));
	send_without_copy(ends);
	exchange(ends);
	pair_close(ends);
}

static void zero_copy_with_bytes_unread(void)
{
	const int on = 1;
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "unread", 6));
	say_call("write", write(ends[1], "too", 3));
	settle();
	say_call("SO_ZEROCOPY", setsockopt(ends[1], SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)));
	say_call("read", read(ends[0], in, sizeof(in)));
	send_without_copy(ends);
	say_call("read", read(ends[1], in, 4));
	say_call("write", write(ends[0], "more", 4));
	settle();
	say_call("read", read(ends[1], in, sizeof(in)));
	exchange(ends);
	pair_close(ends);
}

static void an_upper_layer_asked_for_late(void)
{
	static const char *const names[] = {"tls", "nonesuch"};
	const char nothing[100] = "";
	int ends[2];

	pair_open(ends);
	for (int i = 0; i < 2; i++)
		say_call(names[i], setsockopt(ends[1], IPPROTO_TCP, TCP_ULP, names[i],
					      (socklen_t)strlen(names[i])));
	say_call("no key", setsockopt(ends[1], SOL_TLS, 1, nothing, sizeof(nothing)));
	exchange(ends);
	pair_close(ends);
}

static void repair_mode_asked_for_late(void)
{
	const int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF, queue = TCP_SEND_QUEUE;
	int ends[2];

	pair_open(ends);
	say_call("on", setsockopt(ends[1], IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)));
	say_call("queue",
		 setsockopt(ends[1], IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)));
	say_call("off", setsockopt(ends[1], IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)));
	exchange(ends);
	pair_close(ends);
}

static void ask_to_map(int fd, void *place)
{
	struct tcp_zerocopy_receive ask = {.address = (uintptr_t)place, .length = PAGES};
	socklen_t length = sizeof(ask);

	say_call("map", getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &ask, &length));
	say("mapped %u, to be read %u", ask.length, ask.recv_skip_hint);
}

static void received_by_mapping(void)
{
	void *place;
	char in[20];
	int ends[2];

	pair_open(ends);
	place = mmap(NULL, PAGES, PROT_READ, MAP_SHARED, ends[1], 0);
	say("mmap %s", place == MAP_FAILED ? strerrorname_np(errno) : "done");
	say_call("write", write(ends[0], "a few", 5));
	settle();
	ask_to_map(ends[1], place);
	say_call("read", read(ends[1], in, 3));
	ask_to_map(ends[1], place);
	say_call("read", read(ends[1], in, sizeof(in)));
	ask_to_map(ends[1], place);
	say_call("write", write(ends[0], "some more", 9));
	settle();
	ask_to_map(ends[1], place);
	say_call("read", read(ends[1], in, sizeof(in)));
	exchange(ends);
	pair_close(ends);
}

static void read_five(int fd)
{
	char in[20] = "";

	say_call("read", recv(fd, in, sizeof(in), MSG_DONTWAIT));
	say("%.5s", in);
}

static void urgent_after(int rounds, bool taken)
{
	char in[20], byte;
	int ends[2];

	connect_pair(ends);
	for (int i = 0; i < rounds; i++)
		for (int end = 0; end < 2; end++) {
			write_all(ends[end], "w", 1);
			read_all(ends[!end], &byte, 1);
			sleep_us(2000);
		}
	say_call("send", send(ends[0], "hello", 5, 0));
	say_call("urgent", send(ends[0], "!", 1, MSG_OOB));
	say_call("send", send(ends[0], "world", 5, 0));
	settle();
	read_five(ends[1]);
	if (taken)
		say_call("the byte", recv(ends[1], in, 1, MSG_OOB));
	read_five(ends[1]);
	say_call("the byte", recv(ends[1], in, 1, MSG_OOB));
	pair_close(ends);
}

/* The urgent byte follows at once what moves the connection, in one of these at the latest. */
static void urgent_data_at_the_move(void)
{
	for (int rounds = 0; rounds < 8; rounds++) {
		urgent_after(rounds, true);
		urgent_after(rounds, false);
	}
}

const struct behaviour same_option_late[] = {
	{"zero_copy_asked_for_late", zero_copy_asked_for_late},
	{"zero_copy_with_bytes_unread", zero_copy_with_bytes_unread},
	{"an_upper_layer_asked_for_late", an_upper_layer_asked_for_late},
	{"repair_mode_asked_for_late", repair_mode_asked_for_late},
	{"received_by_mapping", received_by_mapping},
	{"urgent_data_at_the_move", urgent_data_at_the_move},
	{NULL, NULL}};
