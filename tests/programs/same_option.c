/* SPDX-License-Identifier: MIT */
/* time-outs, low-water marks, queue lengths and what the socket says of itself */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "same.h"

static void set_time_out(int fd, int option, long ms)
{
	struct timeval time = {ms / 1000, (ms % 1000) * 1000};

	say_call("setsockopt", setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time)));
}

static void receive_time_out(void)
{
	struct timeval time = {0, 0};
	socklen_t size = sizeof(time);
	uint64_t before;
	char in[10];
	int ends[2];

	pair_open(ends);
	set_time_out(ends[1], SO_RCVTIMEO, 100);
	getsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &time, &size);
	say("it is %ld.%06ld", time.tv_sec, time.tv_usec);
	before = now_ms();
	say_call("recv", recv(ends[1], in, 10, 0));
	say("waited: %s", now_ms() - before >= 90 ? "yes" : "no");
	before = now_ms();
	say_call("read", read(ends[1], in, 10));
	say("waited: %s", now_ms() - before >= 90 ? "yes" : "no");
	send_later(ends[0], "in time", 20);
	say_call("recv", recv(ends[1], in, 10, 0));
	send_later_join();
	set_time_out(ends[1], SO_RCVTIMEO, 0);
	send_later(ends[0], "late", 200);
	say_call("recv", recv(ends[1], in, 10, 0));
	send_later_join();
	pair_close(ends);
}

static void receive_time_out_with_some_of_all(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	set_time_out(ends[1], SO_RCVTIMEO, 500);
	send_later(ends[0], "some", 20);
	say_call("recv all", recv(ends[1], in, 10, MSG_WAITALL));
	send_later_join();
	say_call("recv all", recv(ends[1], in, 10, MSG_WAITALL));
	pair_close(ends);
}

static void receive_time_out_set_before_the_move(void)
{
	uint64_t before;
	char in[10];
	int ends[2];

	connect_pair(ends);
	set_time_out(ends[1], SO_RCVTIMEO, 300);
	set_nonblocking(ends[0], 1);
	set_nonblocking(ends[0], 0);
	pair_warm(ends);
	before = now_ms();
	say_call("recv", recv(ends[1], in, 10, 0));
	say("waited: %s", now_ms() - before >= 290 ? "yes" : "no");
	pair_close(ends);
}

static void send_time_out(void)
{
	uint64_t before;
	int ends[2];

	pair_open(ends);
	set_time_out(ends[0], SO_SNDTIMEO, 100);
	fill(ends[0]);
	before = now_ms();
	say_call("send", send(ends[0], "x", 1, 0));
	say("waited: %s", now_ms() - before >= 90 ? "yes" : "no");
	drain(ends[1]);
	say_call("send", send(ends[0], "x", 1, 0));
	pair_close(ends);
}

static void send_time_out_after_some(void)
{
	size_t in = 0;
	int ends[2];
	ssize_t n;

	pair_open(ends);
	set_time_out(ends[0], SO_SNDTIMEO, 100);
	n = send(ends[0], same_block, sizeof(same_block), 0);
	say("some went: %s", n > 131072 && n < (ssize_t)sizeof(same_block) ? "yes" : "no");
	in = drain(ends[1]);
	say("as many came: %s", in == (size_t)n ? "yes" : "no");
	pair_close(ends);
}

static int to_drain;

static void drain_it(void)
{
	drain(to_drain);
}

/* In nanoseconds these would be a tenth of a second, were they counted in 64 bits. */
static void time_outs_of_a_thousand_years(void)
{
	const struct timeval time = {73786976295, 0};
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("for receiving",
		 setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	say_call("for sending", setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)));
	send_later(ends[0], "late", 400);
	say_call("recv", recv(ends[1], in, sizeof(in), 0));
	send_later_join();
	fill(ends[0]);
	to_drain = ends[1];
	run_later(drain_it, 400);
	say_call("send", send(ends[0], "x", 1, 0));
	run_later_join();
	pair_close(ends);
}

static void low_water_mark(void)
{
	struct pollfd wanted;
	int ends[2], mark = 10;
	char in[20];

	pair_open(ends);
	say_call("mark", setsockopt(ends[1], SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark)));
	wanted = (struct pollfd){ends[1], POLLIN, 0};
	say_call("write", write(ends[0], "12345", 5));
	settle();
	say_call("poll", poll(&wanted, 1, 50));
	say_call("recv dontwait", recv(ends[1], in, 20, MSG_DONTWAIT | MSG_PEEK));
	say_call("write", write(ends[0], "6789012", 7));
	settle();
	say_call("poll", poll(&wanted, 1, 1000));
	say_call("recv", recv(ends[1], in, 20, 0));
	send_later(ends[0], "abcdefghijkl", 30);
	say_call("recv waits", recv(ends[1], in, 20, 0));
	send_later_join();
	pair_close(ends);
}

static int queue(int fd, unsigned long request)
{
	int bytes = -1;

	return ioctl(fd, request, &bytes) < 0 ? -errno : bytes;
}

static void how_much_is_queued(void)
{
	char in[100];
	int ends[2], i;

	pair_open(ends);
	say("FIONREAD %d", queue(ends[1], FIONREAD));
	say_call("write", write(ends[0], "0123456789", 10));
	settle();
	say("FIONREAD %d", queue(ends[1], FIONREAD));
	say_call("read", read(ends[1], in, 4));
	say("FIONREAD %d SIOCINQ %d", queue(ends[1], FIONREAD), queue(ends[1], SIOCINQ));
	say_call("read", read(ends[1], in, 100));
	/* until the acknowledgement has come */
	for (i = 0; i < 100 && queue(ends[0], SIOCOUTQ); i++)
		settle();
	say("FIONREAD %d", queue(ends[1], FIONREAD));
	say("SIOCOUTQ %d", queue(ends[0], SIOCOUTQ));
	say("SIOCATMARK %d", queue(ends[1], SIOCATMARK));
	fill(ends[0]);
	say("SIOCOUTQ when full is more than 0: %s", queue(ends[0], SIOCOUTQ) > 0 ? "yes" : "no");
	pair_close(ends);
}

static void what_the_socket_says(void)
{
	struct sockaddr_in own, peer, other;
	socklen_t size = sizeof(own);
	struct tcp_info info;
	struct stat status;
	int ends[2], value;

	pair_open(ends);
	getsockname(ends[0], (struct sockaddr *)&own, &size);
	size = sizeof(peer);
	getpeername(ends[0], (struct sockaddr *)&peer, &size);
	size = sizeof(other);
	getpeername(ends[1], (struct sockaddr *)&other, &size);
	say("names fit: %s", own.sin_port == other.sin_port && peer.sin_port ? "yes" : "no");
	size = sizeof(value);
	say_call("SO_ERROR", getsockopt(ends[0], SOL_SOCKET, SO_ERROR, &value, &size));
	say("%d", value);
	say_call("SO_TYPE", getsockopt(ends[0], SOL_SOCKET, SO_TYPE, &value, &size));
	say("%d", value);
	size = sizeof(info);
	say_call("TCP_INFO", getsockopt(ends[0], IPPROTO_TCP, TCP_INFO, &info, &size));
	say("state %d", info.tcpi_state);
	say_call("fstat", fstat(ends[0], &status));
	say("a socket: %d", S_ISSOCK(status.st_mode));
	say("isatty %d", isatty(ends[0]));
	pair_close(ends);
}

static void buffer_sizes_can_be_set(void)
{
	int ends[2], size = 65536;
	socklen_t length = sizeof(size);
	struct pollfd wanted;

	pair_open(ends);
	say_call("SO_SNDBUF", setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, length));
	say_call("SO_RCVBUF", setsockopt(ends[1], SOL_SOCKET, SO_RCVBUF, &size, length));
	getsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, &length);
	say("SO_SNDBUF %d", size);
	wanted = (struct pollfd){ends[0], POLLOUT, 0};
	fill(ends[0]);
	say_call("poll when full", poll(&wanted, 1, 50));
	drain(ends[1]);
	say_call("poll when empty", poll(&wanted, 1, 1000));
	say_poll("writer", (unsigned int)wanted.revents);
	pair_close(ends);
}

static void nagle_and_cork(void)
{
	int ends[2], on = 1, off = 0;
	char in[10];

	pair_open(ends);
	say_call("cork", setsockopt(ends[0], IPPROTO_TCP, TCP_CORK, &on, sizeof(on)));
	say_call("write", write(ends[0], "abc", 3));
	say_call("write", write(ends[0], "def", 3));
	say_call("uncork", setsockopt(ends[0], IPPROTO_TCP, TCP_CORK, &off, sizeof(off)));
	say_call("recv", recv(ends[1], in, 6, MSG_WAITALL));
	say("%.6s", in);
	say_call("delay", setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &off, sizeof(off)));
	say_call("quick", setsockopt(ends[1], IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)));
	say_call("write", write(ends[0], "ghi", 3));
	say_call("recv", recv(ends[1], in, 3, MSG_WAITALL));
	pair_close(ends);
}

/* Too few to fill a page: they are to be read. */
static void receive_by_mapping(int fd, const void *address)
{
	struct {
		struct tcp_zerocopy_receive base;
		uint32_t in_queue;
		int32_t error;
	} asked = {.base = {.address = (uintptr_t)address, .length = 16384}};
	socklen_t size = sizeof(asked);

	say_call("receive", getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &asked, &size));
	say("mapped %u, to be read %u, there %u", asked.base.length, asked.base.recv_skip_hint,
	    asked.in_queue);
}

static void a_zerocopy_receive_tells_what_is_to_be_read(void)
{
	char in[20];
	void *address;
	int ends[2];

	pair_open(ends);
	address = mmap(NULL, 16384, PROT_READ, MAP_SHARED, ends[1], 0);
	say("mapped: %d", address != MAP_FAILED);
	receive_by_mapping(ends[1], address);
	say_call("write", write(ends[0], "0123456789", 10));
	settle();
	receive_by_mapping(ends[1], address);
	receive_by_mapping(ends[1], (char *)address + 1);
	say_call("read", read(ends[1], in, 4));
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	settle();
	receive_by_mapping(ends[1], address);
	say_call("read", read(ends[1], in, sizeof(in)));
	receive_by_mapping(ends[1], address);
	receive_by_mapping(-1, address);
	munmap(address, 16384);
	pair_close(ends);
}

const struct behaviour same_option[] = {
	{"receive_time_out", receive_time_out},
	{"receive_time_out_with_some_of_all", receive_time_out_with_some_of_all},
	{"receive_time_out_set_before_the_move", receive_time_out_set_before_the_move},
	{"send_time_out", send_time_out},
	{"send_time_out_after_some", send_time_out_after_some},
	{"time_outs_of_a_thousand_years", time_outs_of_a_thousand_years},
	{"low_water_mark", low_water_mark},
	{"how_much_is_queued", how_much_is_queued},
	{"what_the_socket_says", what_the_socket_says},
	{"buffer_sizes_can_be_set", buffer_sizes_can_be_set},
	{"nagle_and_cork", nagle_and_cork},
	{"a_zerocopy_receive_tells_what_is_to_be_read",
	 a_zerocopy_receive_tells_what_is_to_be_read},
	{NULL, NULL},
};
