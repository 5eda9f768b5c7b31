/* SPDX-License-Identifier: MIT */
/* poll, ppoll, select, pselect: on sockets that moved, mixed with what cannot move */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "same.h"

static void poll_one(const char *what, int fd, short events, int ms)
{
	struct pollfd wanted = {fd, events, 0x55};
	int n = poll(&wanted, 1, ms);

	say_call(what, n);
	say_poll("  revents", (unsigned int)wanted.revents);
}

static void poll_tells_readable_and_writable(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	poll_one("idle, in", ends[1], POLLIN, 0);
	poll_one("idle, in and out", ends[1], POLLIN | POLLOUT, 0);
	poll_one("idle, nothing", ends[1], 0, 0);
	say_call("write", write(ends[0], "abc", 3));
	poll_one("data, in", ends[1], POLLIN, 1000);
	poll_one("data, all", ends[1], POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLRDHUP, 0);
	say_call("read 1", read(ends[1], in, 1));
	poll_one("some left", ends[1], POLLIN, 0);
	say_call("read", read(ends[1], in, 10));
	poll_one("none left", ends[1], POLLIN, 0);
	pair_close(ends);
}

static void poll_waits_its_time(void)
{
	struct pollfd wanted;
	uint64_t before;
	int ends[2];

	pair_open(ends);
	before = now_ms();
	poll_one("poll", ends[1], POLLIN, 100);
	say("waited: %s", now_ms() - before >= 99 ? "yes" : "no");
	wanted = (struct pollfd){ends[1], POLLIN, 0};
	before = now_ms();
	say_call("ppoll", ppoll(&wanted, 1, &(struct timespec){0, 100000000}, NULL));
	say("waited: %s", now_ms() - before >= 99 ? "yes" : "no");
	say_call("bad time", ppoll(&wanted, 1, &(struct timespec){0, 2000000000}, NULL));
	pair_close(ends);
}

static void poll_is_woken_by_data(void)
{
	char in[10];
	int ends[2], i;

	pair_open(ends);
	for (i = 0; i < 5; i++) {
		send_later(ends[0], "later", 30);
		poll_one("poll", ends[1], POLLIN, 5000);
		say_call("read", read(ends[1], in, 10));
		send_later_join();
	}
	pair_close(ends);
}

static void *drain_later(void *argument)
{
	sleep_us(50000);
	drain(*(int *)argument);
	return NULL;
}

static void poll_is_woken_by_room(void)
{
	pthread_t thread;
	int ends[2];

	pair_open(ends);
	fill(ends[0]);
	poll_one("full", ends[0], POLLOUT, 0);
	pthread_create(&thread, NULL, drain_later, &ends[1]);
	poll_one("poll", ends[0], POLLOUT, 5000);
	pthread_join(thread, NULL);
	pair_close(ends);
}

static void poll_is_woken_by_the_end(void)
{
	struct linger linger = {1, 0};
	int ends[2];

	pair_open(ends);
	shutdown(ends[0], SHUT_WR);
	poll_one("half closed, in", ends[1], POLLIN, 1000);
	poll_one("half closed, rdhup", ends[1], POLLRDHUP, 1000);
	poll_one("half closed, nothing", ends[1], 0, 0);
	setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(ends[0]);
	poll_one("reset, nothing asked", ends[1], 0, 1000);
	poll_one("reset, all", ends[1], POLLIN | POLLOUT | POLLRDHUP, 0);
	close(ends[1]);
}

static void poll_mixes_sockets_pipes_and_timers(void)
{
	struct itimerspec soon = {.it_value = {0, 40000000}};
	int first[2], second[2], pipes[2], timer = timerfd_create(CLOCK_MONOTONIC, 0);
	struct pollfd wanted[6];
	char in[10];
	int i;

	pair_open(first);
	pair_open(second);
	if (pipe(pipes) < 0 || timer < 0)
		die("pipe");
	wanted[0] = (struct pollfd){first[1], POLLIN, 0};
	wanted[1] = (struct pollfd){pipes[0], POLLIN, 0};
	wanted[2] = (struct pollfd){-5, POLLIN, 0x55};
	wanted[3] = (struct pollfd){second[1], POLLIN, 0};
	wanted[4] = (struct pollfd){timer, POLLIN, 0};
	wanted[5] = (struct pollfd){999, POLLIN, 0};
	say_call("poll", poll(wanted, 6, 0));
	for (i = 0; i < 6; i++)
		say_poll("  revents", (unsigned int)wanted[i].revents);
	timerfd_settime(timer, 0, &soon, NULL);
	say_call("poll", poll(wanted, 5, 5000));
	for (i = 0; i < 5; i++)
		say_poll("  revents", (unsigned int)wanted[i].revents);
	write_all(pipes[1], "p", 1);
	write_all(first[0], "a", 1);
	write_all(second[0], "b", 1);
	settle();
	say_call("poll", poll(wanted, 5, 5000));
	for (i = 0; i < 5; i++)
		say_poll("  revents", (unsigned int)wanted[i].revents);
	say_call("read", read(first[1], in, 10));
	say_call("poll", poll(wanted, 5, 5000));
	for (i = 0; i < 5; i++)
		say_poll("  revents", (unsigned int)wanted[i].revents);
	pair_close(first);
	pair_close(second);
	close(pipes[0]);
	close(pipes[1]);
	close(timer);
}

static void poll_of_the_same_twice(void)
{
	struct pollfd wanted[3];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "x", 1));
	wanted[0] = (struct pollfd){ends[1], POLLIN, 0};
	wanted[1] = (struct pollfd){ends[1], POLLOUT, 0};
	wanted[2] = (struct pollfd){ends[0], POLLIN | POLLOUT, 0};
	settle();
	say_call("poll", poll(wanted, 3, 1000));
	say_poll("in", (unsigned int)wanted[0].revents);
	say_poll("out", (unsigned int)wanted[1].revents);
	say_poll("writer", (unsigned int)wanted[2].revents);
	say_call("bad address", poll(no_access(), 1, 0));
	say_call("none", poll(NULL, 0, 1));
	pair_close(ends);
}

static void say_set(const char *what, const fd_set *set, int fd)
{
	say("  %s %d", what, FD_ISSET(fd, set) != 0);
}

static void select_tells_readable_and_writable(void)
{
	struct timeval now = {0, 0}, second = {1, 0}, tenth = {0, 100000};
	fd_set reads, writes, others;
	int ends[2], pipes[2];
	uint64_t before;

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	FD_ZERO(&reads);
	FD_ZERO(&writes);
	FD_ZERO(&others);
	FD_SET(ends[1], &reads);
	FD_SET(pipes[0], &reads);
	FD_SET(ends[0], &writes);
	FD_SET(ends[1], &others);
	say_call("select", select(FD_SETSIZE, &reads, &writes, &others, &now));
	say_set("readable", &reads, ends[1]);
	say_set("pipe", &reads, pipes[0]);
	say_set("writable", &writes, ends[0]);
	say_set("exception", &others, ends[1]);
	say_call("write", write(ends[0], "x", 1));
	FD_SET(ends[1], &reads);
	FD_SET(pipes[0], &reads);
	say_call("select", select(FD_SETSIZE, &reads, NULL, NULL, &second));
	say_set("readable", &reads, ends[1]);
	say_set("pipe", &reads, pipes[0]);
	drain(ends[1]);
	FD_ZERO(&reads);
	FD_SET(ends[1], &reads);
	before = now_ms();
	say_call("select", select(FD_SETSIZE, &reads, NULL, NULL, &tenth));
	say("waited: %s, time left %ld", now_ms() - before >= 99 ? "yes" : "no", tenth.tv_usec);
	say_set("readable", &reads, ends[1]);
	say_call("negative", select(-1, &reads, NULL, NULL, &now));
	FD_ZERO(&reads);
	FD_SET(40, &reads);
	say_call("bad descriptor", select(FD_SETSIZE, &reads, NULL, NULL, &now));
	say_call("bad set", select(FD_SETSIZE, no_access(), NULL, NULL, &now));
	pair_close(ends);
	close(pipes[0]);
	close(pipes[1]);
}

static void select_is_woken(void)
{
	struct timeval long_time = {5, 0};
	struct timespec time = {5, 0};
	fd_set reads;
	char in[10];
	int ends[2];

	pair_open(ends);
	FD_ZERO(&reads);
	FD_SET(ends[1], &reads);
	send_later(ends[0], "later", 30);
	say_call("select", select(ends[1] + 1, &reads, NULL, NULL, &long_time));
	say_set("readable", &reads, ends[1]);
	say("time left: %s", long_time.tv_sec >= 1 ? "yes" : "no");
	send_later_join();
	say_call("read", read(ends[1], in, 10));
	send_later(ends[0], "later", 30);
	say_call("pselect", pselect(ends[1] + 1, &reads, NULL, NULL, &time, NULL));
	send_later_join();
	say_call("read", read(ends[1], in, 10));
	shutdown(ends[0], SHUT_WR);
	say_call("select at the end", select(ends[1] + 1, &reads, NULL, NULL, NULL));
	say_set("readable", &reads, ends[1]);
	pair_close(ends);
}

/* The kernel's sets are arrays of bits, as long as the program says. */
enum { HIGH = 1500, WORD = 8 * sizeof(unsigned long) };

struct wide_set {
	unsigned long words[2048 / WORD];
};

static fd_set *only_high(struct wide_set *set)
{
	memset(set, 0, sizeof(*set));
	set->words[HIGH / WORD] = 1UL << (HIGH % WORD);
	return (fd_set *)set;
}

static void say_high(const char *what, const struct wide_set *set)
{
	say("  %s %lu", what, set->words[HIGH / WORD] >> (HIGH % WORD) & 1);
}

static void select_beyond_the_size_of_a_set(void)
{
	struct timeval now = {0, 0}, long_time = {5, 0};
	struct timespec time = {5, 0};
	struct wide_set reads, writes, others;
	char in[10];
	int ends[2];

	raise_descriptor_limit();
	pair_open(ends);
	say_call("dup2", dup2(ends[1], HIGH));
	say_call("idle",
		 select(HIGH + 1, only_high(&reads), only_high(&writes), only_high(&others), &now));
	say_high("readable", &reads);
	say_high("writable", &writes);
	say_high("exception", &others);
	send_later(ends[0], "later", 30);
	say_call("select", select(HIGH + 1, only_high(&reads), NULL, NULL, &long_time));
	say_high("readable", &reads);
	say("time left: %s", long_time.tv_sec >= 1 ? "yes" : "no");
	send_later_join();
	say_call("read", read(HIGH, in, 10));
	say_call("not looked at", select(HIGH, only_high(&reads), NULL, NULL, &now));
	say_high("as before", &reads);
	send_later(ends[0], "later", 30);
	reads.words[0] |= 1UL << ends[1];
	say_call("pselect", pselect(HIGH + 1, (fd_set *)&reads, NULL, NULL, &time, NULL));
	say_high("readable", &reads);
	send_later_join();
	say_call("close", close(HIGH));
	say_call("closed", select(HIGH + 1, only_high(&reads), NULL, NULL, &now));
	say_call("bad set", select(HIGH + 1, no_access(), NULL, NULL, &now));
	pair_close(ends);
}

/* No further than the table of descriptors, which is small here: getdtablesize() would be a safe number. */
static void select_ends_with_the_descriptors(void)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timeval now = {0, 0}, long_time = {5, 0};
	fd_set *last = (fd_set *)(pages + 4096 - sizeof(*last));
	int ends[2], most;

	raise_descriptor_limit();
	most = getdtablesize();
	pair_open(ends);
	memset(pages + 4096, 0x5a, 4096);
	FD_SET(ends[1], last);
	say_call("idle", select(most, last, NULL, NULL, &now));
	FD_SET(ends[1], last);
	send_later(ends[0], "later", 30);
	say_call("select", select(most, last, NULL, NULL, &long_time));
	say_set("readable", last, ends[1]);
	send_later_join();
	say("what follows is as before: %d", pages[4096] == 0x5a && pages[4096 + 512] == 0x5a);
	say_call("mprotect", mprotect(pages + 4096, 4096, PROT_NONE));
	say_call("select", select(most, last, NULL, NULL, &now));
	say_call("pselect", pselect(most, last, NULL, NULL, &(struct timespec){0, 0}, NULL));
	say_call("more than any", select(1 << 30, last, NULL, NULL, &now));
	say_set("readable", last, ends[1]);
	pair_close(ends);
	munmap(pages, 8192);
}

static void poll_of_as_many_as_the_limit(void)
{
	const struct rlimit limit = {300, 300};
	struct pollfd wanted[300];
	int ends[2], pipes[2];
	char in[10];

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	say_call("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
	for (size_t i = 0; i < 300; i++)
		wanted[i] = (struct pollfd){i % 3 ? -1 : pipes[0], POLLIN, 0x55};
	wanted[200].fd = ends[1];
	say_call("idle", poll(wanted, 300, 20));
	send_later(ends[0], "later", 30);
	say_call("poll", poll(wanted, 300, 5000));
	say_poll("connection", (unsigned int)wanted[200].revents);
	say_call("read", read(ends[1], in, 10));
	send_later_join();
	send_later(pipes[1], "later", 30);
	say_call("poll", poll(wanted, 300, 5000));
	say_poll("connection", (unsigned int)wanted[200].revents);
	say_poll("pipe", (unsigned int)wanted[201].revents);
	send_later_join();
	pair_close(ends);
}

static void poll_of_a_hundred(void)
{
	enum { COUNT = 50 };
	struct pollfd wanted[2 * COUNT];
	int ends[COUNT][2], i, n, ready = 0;

	setenv("SAME_WARMUP", "12", 1); /* few, but more bytes than any test of the move asks for */
	for (i = 0; i < COUNT; i++) {
		pair_open(ends[i]);
		wanted[2 * i] = (struct pollfd){ends[i][0], POLLIN, 0};
		wanted[2 * i + 1] = (struct pollfd){ends[i][1], POLLIN, 0};
	}
	say_call("poll idle", poll(wanted, 2 * COUNT, 20));
	for (i = 0; i < COUNT; i += 7)
		write_all(ends[i][0], "x", 1);
	settle();
	n = poll(wanted, 2 * COUNT, 1000);
	say_call("poll", n);
	for (i = 0; i < 2 * COUNT; i++)
		ready += wanted[i].revents != 0 && i % 2 == 1 && (i / 2) % 7 == 0;
	say("the right ones: %d", ready);
	for (i = 0; i < COUNT; i++)
		pair_close(ends[i]);
}

static void poll_sees_urgent_data(void)
{
	char in[4];
	int ends[2];

	pair_open(ends);
	say_call("send urgent", send(ends[0], "!", 1, MSG_OOB));
	settle();
	poll_one("poll", ends[1], POLLIN | POLLPRI, 1000);
	say_call("urgent", recv(ends[1], in, 1, MSG_OOB));
	poll_one("poll", ends[1], POLLIN | POLLPRI, 0);
	pair_close(ends);
}

static void poll_and_epoll_see_urgent_data_before_other_data(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLPRI};
	const int epoll = epoll_create1(0);
	int ends[2];

	pair_open(ends);
	say_call("add", epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event));
	say_call("send urgent", send(ends[0], "!", 1, MSG_OOB));
	say_call("send", send(ends[0], "after", 5, 0));
	settle();
	poll_one("poll", ends[1], POLLIN | POLLPRI, 1000);
	for (int i = 0; i < 2; i++) {
		event.events = 0;
		say_call("epoll_wait", epoll_wait(epoll, &event, 1, 1000));
		say_poll("events", event.events);
	}
	pair_close(ends);
	close(epoll);
}

/* Wait as @waits does with the longest time there is for what comes later. */
static void wait_for_long(const char *what, const int ends[2], int (*waits)(int fd))
{
	char in[10];

	send_later(ends[0], "late", 50);
	say_call(what, waits(ends[1]));
	send_later_join();
	say_call("read", recv(ends[1], in, sizeof(in), MSG_DONTWAIT));
}

static const struct timespec for_ever = {LONG_MAX, 999999999};

static int long_ppoll(int fd)
{
	struct pollfd wanted = {fd, POLLIN, 0};

	return ppoll(&wanted, 1, &for_ever, NULL);
}

static int select_for(int fd, struct timeval time)
{
	fd_set in;
	int n;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	n = select(fd + 1, &in, NULL, NULL, &time);
	say("much is left: %s", time.tv_sec > LONG_MAX / 2 ? "yes" : "no");
	return n;
}

static int long_select(int fd)
{
	return select_for(fd, (struct timeval){LONG_MAX, 999999});
}

static int select_of_too_many_microseconds(int fd)
{
	return select_for(fd, (struct timeval){LONG_MAX, 2000000});
}

static int long_pselect(int fd)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	return pselect(fd + 1, &in, NULL, NULL, &for_ever, NULL);
}

static int long_epoll_pwait2(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	const int epoll = epoll_create1(0);
	int n;

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	n = epoll_pwait2(epoll, &event, 1, &for_ever, NULL);
	close(epoll);
	return n;
}

/* Linux looks at the time behind a message. */
static int long_recvmmsg(int fd)
{
	struct timespec time = {LONG_MAX, 0};
	char first, second;
	struct iovec parts[2] = {{&first, 1}, {&second, 1}};
	struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &parts[0], .msg_iovlen = 1}},
				      {.msg_hdr = {.msg_iov = &parts[1], .msg_iovlen = 1}}};
	int n = recvmmsg(fd, messages, 2, 0, &time);

	say("much is left: %s", time.tv_sec > LONG_MAX / 2 ? "yes" : "no");
	return n;
}

static void the_longest_times(void)
{
	int ends[2];

	pair_open(ends);
	wait_for_long("ppoll", ends, long_ppoll);
	wait_for_long("select", ends, long_select);
	wait_for_long("select", ends, select_of_too_many_microseconds);
	wait_for_long("pselect", ends, long_pselect);
	wait_for_long("epoll_pwait2", ends, long_epoll_pwait2);
	say_call("write", write(ends[0], "x", 1));
	settle();
	wait_for_long("recvmmsg", ends, long_recvmmsg);
	pair_close(ends);
}

const struct behaviour same_poll[] = {
	{"poll_tells_readable_and_writable", poll_tells_readable_and_writable},
	{"poll_waits_its_time", poll_waits_its_time},
	{"poll_is_woken_by_data", poll_is_woken_by_data},
	{"poll_is_woken_by_room", poll_is_woken_by_room},
	{"poll_is_woken_by_the_end", poll_is_woken_by_the_end},
	{"poll_mixes_sockets_pipes_and_timers", poll_mixes_sockets_pipes_and_timers},
	{"poll_of_the_same_twice", poll_of_the_same_twice},
	{"select_tells_readable_and_writable", select_tells_readable_and_writable},
	{"select_is_woken", select_is_woken},
	{"select_beyond_the_size_of_a_set", select_beyond_the_size_of_a_set},
	{"select_ends_with_the_descriptors", select_ends_with_the_descriptors},
	{"poll_of_as_many_as_the_limit", poll_of_as_many_as_the_limit},
	{"poll_of_a_hundred", poll_of_a_hundred},
	{"poll_sees_urgent_data", poll_sees_urgent_data},
	{"poll_and_epoll_see_urgent_data_before_other_data",
	 poll_and_epoll_see_urgent_data_before_other_data},
	{"the_longest_times", the_longest_times},
	{NULL, NULL},
};
