/* SPDX-License-Identifier: MIT */
/* calls by their numbers and past libc, as some libraries make them */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "same.h"

static void messages_by_number(const int ends[2])
{
	char in[16];
	struct iovec out = {"vector", 6}, into = {in, sizeof(in)};
	struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1};

	say_call("write", syscall(SYS_write, ends[0], "abc", 3L));
	say_call("read", syscall(SYS_read, ends[1], in, 10L));
	say_call("writev", syscall(SYS_writev, ends[0], &out, 1L));
	say_call("readv", syscall(SYS_readv, ends[1], &into, 1L));
	say_call("sendto", syscall(SYS_sendto, ends[0], "abc", 3L, 0L, NULL, 0L));
	say_call("recvfrom", syscall(SYS_recvfrom, ends[1], in, 10L, 0L, NULL, NULL));
	say_call("sendmsg", syscall(SYS_sendmsg, ends[0], &message, 0L));
	message.msg_iov = &into;
	say_call("recvmsg", syscall(SYS_recvmsg, ends[1], &message, 0L));
	say_call("nothing", syscall(SYS_recvfrom, ends[1], in, 10L, (long)MSG_DONTWAIT, NULL, NULL));
}

static void waits_by_number(const int ends[2])
{
	struct epoll_event event = {EPOLLIN, {.u64 = 7}};
	const int epoll = epoll_create1(0), copy = (int)syscall(SYS_dup3, epoll, dup(0), 0L);
	char in[10];

	say_call("epoll_ctl", syscall(SYS_epoll_ctl, epoll, (long)EPOLL_CTL_ADD, ends[1], &event));
	say_call("write", write(ends[0], "abc", 3));
	say_call("epoll_pwait", syscall(SYS_epoll_pwait, copy, &event, 1L, 1000L, NULL, 8L));
	say("data %llu", (unsigned long long)event.data.u64);
	say_call("read", read(ends[1], in, 10));
	say_call("epoll_pwait", syscall(SYS_epoll_pwait, copy, &event, 1L, 20L, NULL, 8L));
	say_call("close", syscall(SYS_close, epoll));
	say_call("close", syscall(SYS_close, copy));
}

static void calls_by_their_numbers(void)
{
	int ends[2];
	char in[10];

	pair_open(ends);
	messages_by_number(ends);
	waits_by_number(ends);
	say_call("shutdown", syscall(SYS_shutdown, ends[0], (long)SHUT_WR));
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "abc", 3));
	say_call("close", syscall(SYS_close, ends[1]));
	say_call("read", read(ends[0], in, 10));
	say_call("read", read(ends[0], in, 10));
	say_call("close again", syscall(SYS_close, ends[1]));
	close(ends[0]);
}

/* Where nothing of libc's is called at all. */
static long past_libc(long number, long a, long b, long c, long d)
{
#ifdef __x86_64__
	register long fourth __asm__("r10") = d;
	register long fifth __asm__("r8") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
			 : "rcx", "r11", "memory");
	return result < 0 ? -1 : result;
#else
	return syscall(number, a, b, c, d, 0L);
#endif
}

static int close_by_number(int fd)
{
	return (int)syscall(SYS_close, fd);
}

static int close_past_libc(int fd)
{
	return (int)past_libc(SYS_close, fd, 0, 0, 0);
}

/* What gets the number next is another file, and knows nothing of what was there. */
static void a_file_gets_its_number(int (*close_it)(int fd))
{
	int ends[2], lines[2], spare;
	char in[10];

	pair_open(ends);
	say_call("close", close_it(ends[1]));
	say_call("the end", read(ends[0], in, 10));
	while ((spare = dup(0)) < ends[1]) /* up to it */
		;
	close(spare);
	say_call("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, lines));
	say("the number again: %d", lines[0] == ends[1]);
	say_call("write", write(lines[1], "abc", 3));
	say_call("read", read(lines[0], in, 10));
	close(lines[0]);
	close(lines[1]);
	close(ends[0]);
}

static void a_socket_gets_its_number(int (*close_it)(int fd))
{
	int ends[2], next[2], listener;
	uint16_t port = 0;
	char in[10];

	pair_open(ends);
	listener = listen_local(&port);
	next[0] = connect_local(port, 0);
	say_call("close", close_it(ends[1]));
	next[1] = accept(listener, NULL, NULL);
	say("the number again: %d", next[1] == ends[1]);
	pair_warm(next);
	say_call("write", write(next[1], "abc", 3));
	say_call("read", read(next[0], in, 10));
	say_call("the end", read(ends[0], in, 10));
	close(listener);
	close(ends[0]);
	pair_close(next);
}

static void a_socket_closed_by_number(void)
{
	a_file_gets_its_number(close_by_number);
	a_socket_gets_its_number(close_by_number);
}

static void a_socket_closed_past_libc(void)
{
	a_socket_gets_its_number(close_past_libc);
}

/* An event loop with system calls of its own, whose reads and writes are libc's. */
static void waited_for_past_libc(void)
{
	struct epoll_event event = {EPOLLIN | EPOLLET, {.u64 = 7}};
	int ends[2], epoll = epoll_create1(0), late = 0;
	char in[16];

	connect_pair(ends);
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	past_libc(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, ends[1], (long)&event);
	for (int i = 0; i < 300; i++) {
		write_all(ends[0], "question", 8);
		if (past_libc(SYS_epoll_pwait, epoll, (long)&event, 1, 1000) != 1 && late++ > 2)
			break;
		while (read(ends[1], in, sizeof(in)) > 0)
			;
		write_all(ends[1], "answer", 6);
		if (read_all(ends[0], in, 6) != 6)
			die("no answer");
		sleep_us(300);
	}
	say("late: %d", late);
	close(epoll);
	pair_close(ends);
}

const struct behaviour same_number[] = {
	{"calls_by_their_numbers", calls_by_their_numbers},
	{"a_socket_closed_by_number", a_socket_closed_by_number},
	{"a_socket_closed_past_libc", a_socket_closed_past_libc},
	{"waited_for_past_libc", waited_for_past_libc},
	{NULL, NULL},
};
