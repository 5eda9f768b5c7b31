/* SPDX-License-Identifier: MIT */
/* epoll under several numbers, whose turn it is, and threads that leave something to others */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

#define TURNS 100
#define ROUNDS 50

static void control(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {events, {.u64 = data}};

	if (epoll_ctl(epoll, operation, fd, &event) < 0)
		say_call("epoll_ctl", -1);
}

static void wait_one(const char *what, int epoll, int ms)
{
	struct epoll_event events[4];
	char text[48];
	int n = epoll_wait(epoll, events, 4, ms);

	say_call(what, n);
	for (int i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "  %llu", (unsigned long long)events[i].data.u64);
		say_poll(text, events[i].events);
	}
}

/* Bytes to and fro, each told by both numbers of the epoll. */
static void exchange(const int ends[2], const int epolls[2])
{
	char in[10];

	for (int i = 0; i < 4; i++) {
		say_call("write", write(ends[0], "abc", 3));
		wait_one("data", epolls[i % 2], 1000);
		say_call("read", read(ends[1], in, sizeof(in)));
		wait_one("empty", epolls[i % 2], 20);
	}
}

/* As event loops do that keep one number to register with and one to wait with. */
static void registered_by_one_number(int (*copy)(int))
{
	int ends[2], waker = eventfd(0, 0), epolls[2] = {epoll_create1(0), -1};

	connect_pair(ends);
	control(epolls[0], EPOLL_CTL_ADD, waker, EPOLLIN | EPOLLET, 1);
	epolls[1] = copy(epolls[0]);
	control(epolls[1], EPOLL_CTL_ADD, ends[1], EPOLLIN, 2);
	pair_warm(ends);
	settle();
	wait_one("after warm-up", epolls[0], 0);
	exchange(ends, epolls);
	control(epolls[0], EPOLL_CTL_MOD, ends[1], EPOLLIN, 3);
	exchange(ends, epolls);
	say_call("write", eventfd_write(waker, 1));
	wait_one("waker", epolls[0], 1000);
	control(epolls[0], EPOLL_CTL_DEL, ends[1], 0, 0);
	say_call("write", write(ends[0], "abc", 3));
	wait_one("removed", epolls[1], 20);
	close(epolls[0]);
	close(epolls[1]);
	close(waker);
	pair_close(ends);
}

static int by_fcntl(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int by_dup2(int fd)
{
	return dup2(fd, dup(0));
}

static int by_dup3(int fd)
{
	return dup3(fd, eventfd(0, 0), O_CLOEXEC);
}

static void an_epoll_with_two_numbers(void)
{
	registered_by_one_number(dup);
	registered_by_one_number(by_fcntl);
	registered_by_one_number(by_dup2);
	registered_by_one_number(by_dup3);
}

/* A number that is closed is soon another epoll's. */
static void an_epoll_outlives_its_first_number(void)
{
	int ends[2], others[2], epolls[2], first = epoll_create1(0), next;

	connect_pair(others);
	control(first, EPOLL_CTL_ADD, others[1], EPOLLIN, 1);
	epolls[0] = dup(first);
	epolls[1] = dup(first);
	close(first);
	next = epoll_create1(0);
	say_call("the number again", next == first);
	pair_open(ends);
	control(epolls[0], EPOLL_CTL_ADD, ends[1], EPOLLIN, 2);
	exchange(ends, epolls);
	pair_warm(others);
	say_call("write", write(others[0], "abc", 3));
	wait_one("both numbers", epolls[1], 1000);
	wait_one("the new epoll", next, 20);
	close(next);
	close(epolls[0]);
	wait_one("one number", epolls[1], 1000);
	close(epolls[1]);
	pair_close(ends);
	pair_close(others);
}

/* Room for one event, and something that is always ready beside the socket. */
static void a_socket_beside_what_is_always_ready(void)
{
	int ends[2], always = eventfd(1, 0), epoll = epoll_create1(0), told[2] = {0, 0};
	struct epoll_event event;

	pair_open(ends);
	control(epoll, EPOLL_CTL_ADD, always, EPOLLIN, 0);
	control(epoll, EPOLL_CTL_ADD, ends[1], EPOLLIN, 1);
	write_all(ends[0], "abc", 3);
	settle();
	for (int i = 0; i < TURNS; i++) {
		if (epoll_wait(epoll, &event, 1, 1000) != 1)
			say_call("no event", -1);
		else
			told[event.data.u64]++;
		sleep_us(100);
	}
	say("each had its turns: %s", told[0] > TURNS / 10 && told[1] > TURNS / 10 ? "yes" : "no");
	close(epoll);
	close(always);
	pair_close(ends);
}

static _Atomic int bytes_read;
static int shared_epoll;

/* One event, and what it tells of; false when there is none, or the last word. */
static bool serve_one(int ms)
{
	struct epoll_event event;
	char in[16];
	ssize_t n;

	if (epoll_wait(shared_epoll, &event, 1, ms) != 1)
		return false;
	n = recv((int)event.data.fd, in, sizeof(in), MSG_DONTWAIT);
	if (n > 0)
		bytes_read += (int)n;
	return n != 0;
}

static void *serve(void *unused)
{
	(void)unused;
	while (serve_one(-1))
		;
	return NULL;
}

static bool are_read(int count)
{
	for (int ms = 0; ms < 2000 && bytes_read < count; ms++)
		sleep_us(1000);
	return bytes_read == count;
}

/* A thread that has something to do leaves the rest to the one that sleeps. */
static void what_one_thread_leaves_wakes_another(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int ends[3][2], late = 0, sent = 0;
	pthread_t other;

	bytes_read = 0;
	shared_epoll = epoll_create1(0);
	for (int i = 0; i < 3; i++) {
		pair_open(ends[i]);
		event.data.fd = ends[i][1];
		epoll_ctl(shared_epoll, EPOLL_CTL_ADD, ends[i][1], &event);
	}
	pthread_create(&other, NULL, serve, NULL);
	let_block();
	for (int round = 0; round < ROUNDS && !late; round++) {
		for (int i = 0; i < 3; i++)
			write_all(ends[i][0], "x", 1);
		serve_one(0);
		late += !are_read(sent += 3);
		serve_one(0);
		for (int i = 0; i < 3; i++) {
			write_all(ends[i][0], "x", 1);
			late += !are_read(sent += 1);
		}
	}
	say("late: %d", late);
	shutdown(ends[0][0], SHUT_WR);
	pthread_join(other, NULL);
	close(shared_epoll);
	for (int i = 0; i < 3; i++)
		pair_close(ends[i]);
}

const struct behaviour same_epoll_names[] = {
	{"an_epoll_with_two_numbers", an_epoll_with_two_numbers},
	{"an_epoll_outlives_its_first_number", an_epoll_outlives_its_first_number},
	{"what_one_thread_leaves_wakes_another", what_one_thread_leaves_wakes_another},
	{"a_socket_beside_what_is_always_ready", a_socket_beside_what_is_always_ready},
	{NULL, NULL},
};
