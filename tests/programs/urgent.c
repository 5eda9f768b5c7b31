/* SPDX-License-Identifier: MIT */
/*
 * Urgent data between two hosts: one program sends, the other observes and prints what TCP shows
 *
 *   urgent send|observe --port=N [--address=A] [--listen] [--only=BEHAVIOUR] [--smc]
 *
 * --smc asks for the kernel's own SMC.
 *
 * Each behaviour has a connection of its own.  The observer says when the next step is to come, by a byte;
 * what it prints does not depend on how fast things are, and is compared between plain TCP and smcu.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#ifndef AF_SMC
#define AF_SMC 43
#endif
#define MUCH 100000
#define SETTLE_US 150000 /* enough for what was sent to have arrived */

static const char *errno_name(void)
{
	return strerrorname_np(errno);
}

static void say_call(const char *what, ssize_t n)
{
	printf("  %s = %zd %s\n", what, n, n < 0 ? errno_name() : "");
}

static void say_read(int fd, const char *what, int flags)
{
	char in[64] = "";
	ssize_t n = recv(fd, in, sizeof(in) - 1, flags);

	printf("  %s = %zd %s\n", what, n, n < 0 ? errno_name() : in);
}

static void say_urgent(int fd, int flags)
{
	char in[2] = "";
	ssize_t n = recv(fd, in, 1, MSG_OOB | flags);

	printf("  %s = %zd %s\n", flags ? "peek at urgent" : "urgent", n,
	       n < 0 ? errno_name() : in);
}

static void say_poll(int fd, short events, int timeout)
{
	struct pollfd look = {.fd = fd, .events = events};
	int n = poll(&look, 1, timeout);

	printf("  poll = %d%s%s%s\n", n, look.revents & POLLIN ? " in" : "",
	       look.revents & POLLPRI ? " pri" : "", look.revents & POLLRDHUP ? " rdhup" : "");
}

static void say_state(int fd)
{
	int queued = -1;

	(void)ioctl(fd, FIONREAD, &queued);
	printf("  at mark %d, queued %d\n", sockatmark(fd), queued);
	say_poll(fd, POLLIN | POLLPRI | POLLRDHUP, 0);
}

/* The observer: let the sender take its next step, and what it sent arrive. */
static void next(int fd)
{
	fflush(stdout);
	write_all(fd, "n", 1);
	sleep_us(SETTLE_US);
}

/* The sender: wait for that. */
static void step(int fd)
{
	char byte;

	if (read_all(fd, &byte, 1) != 1)
		die("the observer is gone");
}

static void text(int fd, const char *bytes, int flags)
{
	ssize_t n = send(fd, bytes, strlen(bytes), flags);

	if (n != (ssize_t)strlen(bytes))
		die("send");
}

static void in_the_middle_send(int fd)
{
	step(fd);
	text(fd, "ab", 0);
	text(fd, "!", MSG_OOB);
	text(fd, "cd", 0);
	step(fd);
}

static void in_the_middle(int fd)
{
	say_urgent(fd, 0);
	next(fd);
	say_state(fd);
	say_urgent(fd, MSG_PEEK);
	say_urgent(fd, 0);
	say_urgent(fd, 0);
	say_state(fd);
	say_read(fd, "read", 0);
	say_state(fd);
	say_read(fd, "read", 0);
	say_state(fd);
	next(fd);
}

static void passed_without_being_taken(int fd)
{
	next(fd);
	say_read(fd, "peek", MSG_PEEK);
	say_read(fd, "read", 0);
	say_state(fd);
	say_read(fd, "peek", MSG_PEEK);
	say_state(fd);
	say_read(fd, "read", 0);
	say_state(fd);
	say_urgent(fd, 0);
	next(fd);
}

static void in_line(int fd)
{
	const int one = 1;

	say_call("in line", setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
	next(fd);
	say_state(fd);
	say_urgent(fd, 0);
	say_read(fd, "read", 0);
	say_state(fd);
	say_read(fd, "peek", MSG_PEEK);
	say_read(fd, "read", 0);
	say_state(fd);
	next(fd);
}

static void alone_send(int fd)
{
	step(fd);
	text(fd, "!", MSG_OOB);
	step(fd);
	text(fd, "then", 0);
	step(fd);
}

static void alone_and_taken(int fd)
{
	next(fd);
	say_state(fd);
	say_urgent(fd, 0);
	say_state(fd);
	next(fd);
	say_state(fd);
	say_read(fd, "read", 0);
	say_state(fd);
	next(fd);
}

static void alone_and_passed(int fd)
{
	next(fd);
	say_read(fd, "read", MSG_DONTWAIT);
	say_state(fd);
	say_urgent(fd, 0);
	next(fd);
	say_state(fd);
	say_read(fd, "read", 0);
	next(fd);
}

static void alone_in_line(int fd)
{
	const int one = 1;

	say_call("in line", setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
	next(fd);
	say_state(fd);
	say_read(fd, "read", 0);
	say_state(fd);
	next(fd);
	say_read(fd, "read", 0);
	next(fd);
}

static void behind_much_else_send(int fd)
{
	static char bytes[MUCH];

	pattern_fill(1, 0, bytes, sizeof(bytes));
	step(fd);
	write_all(fd, bytes, sizeof(bytes));
	text(fd, "xyz", MSG_OOB);
	text(fd, "after", 0);
	step(fd);
}

static void behind_much_else(int fd)
{
	static char in[MUCH + 100];
	size_t before = 0;
	ssize_t n;

	next(fd);
	say_poll(fd, POLLIN | POLLPRI, 0);
	while (before < MUCH + 2 && (n = read(fd, in + before, sizeof(in) - before)) > 0)
		before += (size_t)n;
	printf("  %zu bytes, %zu right, then %.2s\n", before, pattern_check(1, 0, in, MUCH),
	       in + MUCH);
	say_state(fd);
	say_urgent(fd, 0);
	say_read(fd, "read", 0);
	say_state(fd);
	next(fd);
}

static void two_send(int fd)
{
	step(fd);
	text(fd, "1", MSG_OOB);
	step(fd);
	text(fd, "2", MSG_OOB);
	step(fd);
	text(fd, "3", MSG_OOB);
	text(fd, "end", 0);
	step(fd);
}

static void a_newer_one_replaces_it(int fd)
{
	next(fd);
	say_state(fd);
	next(fd);
	say_state(fd);
	next(fd);
	say_state(fd);
	say_urgent(fd, 0);
	say_read(fd, "read", 0);
	say_state(fd);
	next(fd);
}

static void each_is_taken(int fd)
{
	for (int i = 0; i < 3; i++) {
		next(fd);
		say_urgent(fd, 0);
		say_state(fd);
	}
	say_read(fd, "read", 0);
	next(fd);
}

static void each_in_line(int fd)
{
	const int one = 1;

	say_call("in line", setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
	for (int i = 0; i < 3; i++)
		next(fd);
	say_state(fd);
	say_read(fd, "read", 0);
	say_state(fd);
	say_read(fd, "read", 0);
	say_state(fd);
	next(fd);
}

static void two_behind_data_send(int fd)
{
	step(fd);
	text(fd, "ab", 0);
	text(fd, "1", MSG_OOB);
	step(fd);
	text(fd, "cd", 0);
	text(fd, "2", MSG_OOB);
	text(fd, "ef", 0);
	step(fd);
}

static void an_older_one_is_data(int fd)
{
	next(fd);
	say_state(fd);
	next(fd);
	say_state(fd);
	say_urgent(fd, 0);
	say_read(fd, "read", 0);
	say_read(fd, "read", 0);
	next(fd);
}

static volatile sig_atomic_t signals, taken;
static volatile int signalled;

static void on_urgent(int number)
{
	char byte = 0;
	int saved = errno;

	(void)number;
	signals++;
	if (recv(signalled, &byte, 1, MSG_OOB) == 1)
		taken = byte;
	errno = saved;
}

static void a_signal_tells_of_it(int fd)
{
	signalled = fd;
	signals = taken = 0;
	signal(SIGURG, on_urgent);
	next(fd);
	printf("  nobody's: %d\n", (int)signals);
	say_call("owner", fcntl(fd, F_SETOWN, getpid()));
	next(fd);
	printf("  signals %d, taken %c\n", (int)signals, (int)taken);
	next(fd);
	printf("  signals %d, taken %c\n", (int)signals, (int)taken);
	say_state(fd);
	say_read(fd, "read", 0);
	next(fd);
	signal(SIGURG, SIG_DFL);
}

/* Its owner was set while it was being connected. */
static void a_signal_for_an_early_owner(int fd)
{
	signalled = fd;
	signals = taken = 0;
	signal(SIGURG, on_urgent);
	next(fd);
	printf("  signals %d, taken %c\n", (int)signals, (int)taken);
	next(fd);
	say_read(fd, "read", 0);
	next(fd);
	signal(SIGURG, SIG_DFL);
}

static void while_it_waits_send(int fd)
{
	for (int i = 0; i < 3; i++) {
		step(fd);
		sleep_us(SETTLE_US * 2);
		text(fd, "!", MSG_OOB);
	}
	step(fd);
	sleep_us(SETTLE_US * 2);
	text(fd, "?", MSG_OOB);
	sleep_us(SETTLE_US);
	text(fd, "end", 0);
	step(fd);
}

static void say_epoll(int fd)
{
	struct epoll_event event = {.events = EPOLLPRI | EPOLLET};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	say_call("add", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	event.events = 0;
	next(fd);
	say_call("epoll", epoll_wait(epoll, &event, 1, 5000));
	printf("  urgent there %d\n", (event.events & EPOLLPRI) != 0);
	say_call("epoll again", epoll_wait(epoll, &event, 1, 0));
	close(epoll);
}

static void a_wait_is_woken(int fd)
{
	struct timeval limit = {.tv_sec = 5};
	fd_set set;

	next(fd);
	say_poll(fd, POLLPRI, 5000);
	say_urgent(fd, 0);
	say_poll(fd, POLLPRI, 0);
	FD_ZERO(&set);
	FD_SET(fd, &set);
	next(fd);
	say_call("select", select(fd + 1, NULL, NULL, &set, &limit));
	printf("  set %d\n", FD_ISSET(fd, &set) != 0);
	say_urgent(fd, 0);
	say_epoll(fd);
	say_urgent(fd, 0);
	/* A blocked reader passes it. */
	next(fd);
	say_read(fd, "read", 0);
	say_urgent(fd, 0);
	next(fd);
}

static void before_the_end_send(int fd)
{
	step(fd);
	text(fd, "ab!", MSG_OOB);
	shutdown(fd, SHUT_WR);
	step(fd);
}

static void before_the_end(int fd)
{
	struct iovec part = {.iov_base = (char[4]){0}, .iov_len = 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	next(fd);
	say_state(fd);
	say_read(fd, "read", 0);
	say_call("urgent message", recvmsg(fd, &message, MSG_OOB));
	printf("  flags %x\n", (unsigned int)message.msg_flags);
	say_read(fd, "read", 0);
	say_urgent(fd, 0);
	next(fd);
}

static const struct {
	const char *name;
	void (*send)(int fd);
	void (*observe)(int fd);
} behaviours[] = {
	{"in_the_middle", in_the_middle_send, in_the_middle},
	{"passed_without_being_taken", in_the_middle_send, passed_without_being_taken},
	{"in_line", in_the_middle_send, in_line},
	{"alone_and_taken", alone_send, alone_and_taken},
	{"alone_and_passed", alone_send, alone_and_passed},
	{"alone_in_line", alone_send, alone_in_line},
	{"behind_much_else", behind_much_else_send, behind_much_else},
	{"a_newer_one_replaces_it", two_send, a_newer_one_replaces_it},
	{"each_is_taken", two_send, each_is_taken},
	{"each_in_line", two_send, each_in_line},
	{"an_older_one_is_data", two_behind_data_send, an_older_one_is_data},
	{"a_signal_tells_of_it", two_send, a_signal_tells_of_it},
	{"a_signal_for_an_early_owner", alone_send, a_signal_for_an_early_owner},
	{"a_wait_is_woken", while_it_waits_send, a_wait_is_woken},
	{"before_the_end", before_the_end_send, before_the_end},
};

/**
 * struct peer - where the connections go to, or come in
 */
struct peer {
	struct sockaddr_storage address;
	socklen_t length;
};

static int open_socket(const struct peer *peer, int listens, int domain)
{
	const int one = 1;
	int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!listens)
		return connect(fd, (const struct sockaddr *)&peer->address, peer->length) < 0 ? -1
											   : fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&peer->address, peer->length) < 0 || listen(fd, 4) < 0)
		return -1;
	return fd;
}

/* Who gets its signals is said before it is known whether it will be a connection. */
static int open_early(const struct peer *peer, int domain)
{
	int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd look = {.fd = fd, .events = POLLOUT};

	if (connect(fd, (const struct sockaddr *)&peer->address, peer->length) < 0 &&
	    errno != EINPROGRESS)
		return -1;
	if (fcntl(fd, F_SETOWN, getpid()) < 0 || poll(&look, 1, 5000) != 1)
		return -1;
	set_nonblocking(fd, 0);
	return fd;
}

static int open_connection(int listener, const struct peer *peer, int domain, bool early)
{
	int fd;

	if (listener >= 0)
		fd = accept(listener, NULL, NULL);
	else
		fd = early ? open_early(peer, domain) : open_socket(peer, 0, domain);
	if (fd < 0 || (early && fcntl(fd, F_SETOWN, getpid()) < 0))
		die("connection");
	return fd;
}

int main(int argc, char **argv)
{
	const int listens = option_given(argc, argv, "listen");
	const char *only = option_text(argc, argv, "only", NULL);
	const int observes = argc > 1 && strcmp(argv[1], "observe") == 0;
	struct peer peer;
	int listener = -1, domain;

	peer.length = address_of(option_text(argc, argv, "address", "127.0.0.1"),
				 (uint16_t)option_number(argc, argv, "port", 0), &peer.address);
	domain = option_given(argc, argv, "smc") ? AF_SMC : peer.address.ss_family;
	if (listens && (listener = open_socket(&peer, 1, domain)) < 0)
		die("listen");
	for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
		int fd;

		if (only && strcmp(only, behaviours[i].name) != 0)
			continue;
		fd = open_connection(listener, &peer, domain,
				     behaviours[i].observe == a_signal_for_an_early_owner);
		if (observes)
			printf("%s\n", behaviours[i].name);
		if (observes)
			behaviours[i].observe(fd);
		else
			behaviours[i].send(fd);
		close(fd);
	}
	if (observes)
		printf("done\n");
	return 0;
}
