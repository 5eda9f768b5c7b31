/* SPDX-License-Identifier: MIT */
/* epoll with company: several epolls, a move while registered, other descriptors, dup, fork */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

static void add(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {events, {.u64 = data}};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		say_call("add", -1);
}

static int by_data(const void *a, const void *b)
{
	const struct epoll_event *x = a, *y = b;

	return x->data.u64 < y->data.u64 ? -1 : x->data.u64 > y->data.u64;
}

/* Print all events, sorted by their data. */
static void wait_all(const char *what, int epoll, int ms)
{
	struct epoll_event events[16];
	char text[48];
	int n, i;

	memset(events, 0, sizeof(events));
	n = epoll_wait(epoll, events, 16, ms);
	say_call(what, n);
	if (n > 1)
		qsort(events, (size_t)n, sizeof(events[0]), by_data);
	for (i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "  %llu", (unsigned long long)events[i].data.u64);
		say_poll(text, events[i].events);
	}
}

/* The connection is registered first and moves then: no event lost, none invented. */
static void a_move_while_in_two_epolls(void)
{
	int ends[2], level = epoll_create1(0), edge = epoll_create1(0);
	char in[10];

	connect_pair(ends);
	add(level, ends[1], EPOLLIN, 1);
	add(edge, ends[1], EPOLLIN | EPOLLOUT | EPOLLET, 2);
	wait_all("level idle", level, 0);
	wait_all("edge idle", edge, 0);
	pair_warm(ends);
	settle();
	wait_all("level after warm-up", level, 20);
	wait_all("edge after warm-up", edge, 20);
	wait_all("edge after warm-up", edge, 20);
	say_call("write", write(ends[0], "abc", 3));
	wait_all("level data", level, 1000);
	wait_all("edge data", edge, 1000);
	wait_all("level again", level, 20);
	wait_all("edge again", edge, 20);
	say_call("read", read(ends[1], in, 10));
	wait_all("level empty", level, 20);
	wait_all("edge empty", edge, 20);
	close(level);
	say_call("write", write(ends[0], "def", 3));
	wait_all("edge data", edge, 1000);
	close(edge);
	pair_close(ends);
}

static void a_move_while_a_thread_waits(void)
{
	int ends[2], epoll = epoll_create1(0), i;
	struct epoll_event event;
	char byte;

	connect_pair(ends);
	add(epoll, ends[1], EPOLLIN, 1);
	for (i = 0; i < 100; i++) {
		write_all(ends[0], "x", 1);
		if (epoll_wait(epoll, &event, 1, 5000) != 1 || event.data.u64 != 1)
			say("no event at %d", i);
		if (read_all(ends[1], &byte, 1) != 1)
			say("no byte at %d", i);
		write_all(ends[1], "y", 1);
		if (read_all(ends[0], &byte, 1) != 1)
			say("no answer at %d", i);
		sleep_us(200);
	}
	wait_all("idle", epoll, 20);
	close(epoll);
	pair_close(ends);
}

static void sockets_pipes_timers_and_events(void)
{
	struct itimerspec soon = {.it_value = {0, 30000000}};
	int one[2], two[2], pipes[2], epoll = epoll_create1(0);
	int timer = timerfd_create(CLOCK_MONOTONIC, 0), event = eventfd(0, 0);

	pair_open(one);
	pair_open(two);
	if (pipe(pipes) < 0)
		die("pipe");
	add(epoll, one[1], EPOLLIN, 1);
	add(epoll, two[1], EPOLLIN | EPOLLET, 2);
	add(epoll, pipes[0], EPOLLIN, 3);
	add(epoll, timer, EPOLLIN, 4);
	add(epoll, event, EPOLLIN, 5);
	wait_all("idle", epoll, 20);
	timerfd_settime(timer, 0, &soon, NULL);
	wait_all("timer", epoll, 5000);
	write_all(one[0], "a", 1);
	write_all(two[0], "b", 1);
	write_all(pipes[1], "c", 1);
	if (eventfd_write(event, 1) < 0)
		die("eventfd");
	settle();
	wait_all("all", epoll, 5000);
	wait_all("all but the edge", epoll, 5000);
	drain(one[1]);
	wait_all("not the sockets", epoll, 5000);
	close(epoll);
	pair_close(one);
	pair_close(two);
	close(pipes[0]);
	close(pipes[1]);
	close(timer);
	close(event);
}

static void an_epoll_can_be_polled(void)
{
	int ends[2], inner = epoll_create1(0), outer = epoll_create1(0);
	struct pollfd wanted = {inner, POLLIN, 0};
	char in[10];

	pair_open(ends);
	add(inner, ends[1], EPOLLIN, 1);
	add(outer, inner, EPOLLIN, 2);
	say_call("poll idle", poll(&wanted, 1, 0));
	wait_all("outer idle", outer, 20);
	send_later(ends[0], "later", 30);
	say_call("poll", poll(&wanted, 1, 5000));
	say_poll("  revents", (unsigned int)wanted.revents);
	wait_all("outer", outer, 1000);
	wait_all("inner", inner, 1000);
	send_later_join();
	say_call("read", read(ends[1], in, 10));
	wait_all("inner empty", inner, 20);
	wait_all("outer empty", outer, 20);
	say_call("poll empty", poll(&wanted, 1, 20));
	send_later(ends[0], "later", 30);
	wait_all("outer", outer, 5000);
	send_later_join();
	close(outer);
	close(inner);
	pair_close(ends);
}

/* A registration belongs to the open socket: it stays while a duplicate is open. */
static void a_duplicate_keeps_the_registration(void)
{
	int ends[2], epoll = epoll_create1(0), twin;

	pair_open(ends);
	add(epoll, ends[1], EPOLLIN, 1);
	twin = dup(ends[1]);
	say_call("close", close(ends[1]));
	say_call("write", write(ends[0], "abc", 3));
	wait_all("twin open", epoll, 1000);
	say_call("close twin", close(twin));
	wait_all("all closed", epoll, 20);
	close(epoll);
	close(ends[0]);
}

static void both_duplicates_can_be_registered(void)
{
	int ends[2], epoll = epoll_create1(0), twin;

	pair_open(ends);
	twin = dup(ends[1]);
	add(epoll, ends[1], EPOLLIN, 1);
	add(epoll, twin, EPOLLIN | EPOLLOUT, 2);
	wait_all("idle", epoll, 0);
	say_call("write", write(ends[0], "abc", 3));
	settle();
	wait_all("data", epoll, 1000);
	say_call("delete", epoll_ctl(epoll, EPOLL_CTL_DEL, twin, NULL));
	wait_all("one left", epoll, 1000);
	close(twin);
	close(epoll);
	pair_close(ends);
}

static void a_new_socket_with_an_old_number(void)
{
	int ends[2], more[2], epoll = epoll_create1(0), number;

	pair_open(ends);
	add(epoll, ends[1], EPOLLIN, 1);
	number = ends[1];
	pair_close(ends);
	pair_open(more);
	if (more[1] != number && dup2(more[1], number) < 0)
		die("dup2");
	write_all(more[0], "x", 1);
	wait_all("not registered", epoll, 20);
	add(epoll, number, EPOLLIN, 2);
	wait_all("registered", epoll, 1000);
	close(epoll);
	pair_close(more);
	if (more[1] != number)
		close(number);
}

static void a_crowd_gets_its_turn(void)
{
	enum { COUNT = 20 };
	int ends[COUNT][2], epoll = epoll_create1(0), seen[COUNT + 1] = {0}, pipes[2], i, kinds = 0;
	struct epoll_event event;

	setenv("SAME_WARMUP", "8", 1);
	if (pipe(pipes) < 0)
		die("pipe");
	add(epoll, pipes[0], EPOLLIN, COUNT);
	for (i = 0; i < COUNT; i++) {
		pair_open(ends[i]);
		add(epoll, ends[i][1], EPOLLIN, (uint64_t)i);
		write_all(ends[i][0], "x", 1);
	}
	write_all(pipes[1], "x", 1);
	settle();
	/* one event a call, nothing is read: each of them must come up */
	for (i = 0; i < 50 * COUNT; i++)
		if (epoll_wait(epoll, &event, 1, 1000) == 1)
			seen[event.data.u64]++;
	for (i = 0; i <= COUNT; i++)
		kinds += seen[i] > 0;
	say("came up: %d of %d", kinds, COUNT + 1);
	for (i = 0; i < COUNT; i++)
		pair_close(ends[i]);
	close(epoll);
}

static void a_child_waits_on_an_inherited_epoll(void)
{
	int ends[2], epoll = epoll_create1(0), status;
	pid_t pid;

	pair_open(ends);
	add(epoll, ends[1], EPOLLIN, 7);
	pid = fork();
	if (pid == 0) {
		struct epoll_event event;
		char in[10];

		if (epoll_wait(epoll, &event, 1, 5000) != 1 || event.data.u64 != 7)
			_exit(1);
		_exit(read(ends[1], in, sizeof(in)) == 3 ? 0 : 2);
	}
	settle();
	say_call("write", write(ends[0], "abc", 3));
	waitpid(pid, &status, 0);
	say("child %d", WEXITSTATUS(status));
	wait_all("parent", epoll, 20);
	say_call("write", write(ends[0], "abc", 3));
	wait_all("parent", epoll, 1000);
	close(epoll);
	pair_close(ends);
}

struct waiter {
	int epoll;
	int woken;
};

static void *wait_once(void *argument)
{
	struct waiter *waiter = argument;
	struct epoll_event event;

	waiter->woken = epoll_wait(waiter->epoll, &event, 1, 3000);
	return NULL;
}

static void an_edge_wakes_one_of_many_threads(void)
{
	struct waiter waiters[4];
	pthread_t threads[4];
	int ends[2], epoll = epoll_create1(0), i, woken = 0;

	pair_open(ends);
	add(epoll, ends[1], EPOLLIN | EPOLLET, 1);
	for (i = 0; i < 4; i++) {
		waiters[i].epoll = epoll;
		pthread_create(&threads[i], NULL, wait_once, &waiters[i]);
	}
	let_block();
	write_all(ends[0], "x", 1);
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		woken += waiters[i].woken;
	}
	say("woken %d", woken);
	close(epoll);
	pair_close(ends);
}

static void added_by_a_thread_while_another_waits(void)
{
	struct waiter waiter;
	pthread_t thread;
	int ends[2];

	pair_open(ends);
	waiter.epoll = epoll_create1(0);
	pthread_create(&thread, NULL, wait_once, &waiter);
	let_block();
	say_call("write", write(ends[0], "abc", 3));
	settle();
	add(waiter.epoll, ends[1], EPOLLIN, 1);
	pthread_join(thread, NULL);
	say("woken %d", waiter.woken);
	close(waiter.epoll);
	pair_close(ends);
}

static void modified_by_a_thread_while_another_waits(void)
{
	struct epoll_event event = {EPOLLOUT, {0}};
	struct waiter waiter;
	pthread_t thread;
	int ends[2];

	pair_open(ends);
	waiter.epoll = epoll_create1(0);
	add(waiter.epoll, ends[1], EPOLLIN, 1);
	pthread_create(&thread, NULL, wait_once, &waiter);
	let_block();
	say_call("modify", epoll_ctl(waiter.epoll, EPOLL_CTL_MOD, ends[1], &event));
	pthread_join(thread, NULL);
	say("woken %d", waiter.woken);
	close(waiter.epoll);
	pair_close(ends);
}

#define PUMPED (48U << 20)

/* A hop of a proxy: what came from @from and has not gone to @to yet. */
struct hop {
	int from, to;
	size_t held, done;
	int ended;
	char bytes[16384];
};

/* As far as it gets without waiting. */
static int hop_on(struct hop *hop)
{
	int moved = 0;
	ssize_t n;

	for (;;) {
		if (!hop->held && !hop->ended) {
			n = read(hop->from, hop->bytes, sizeof(hop->bytes));
			if (n < 0)
				return moved;
			hop->held = (size_t)n;
			hop->done = 0;
			if (n == 0)
				hop->ended = 1 + (shutdown(hop->to, SHUT_WR) < 0);
		}
		if (!hop->held)
			return moved;
		n = write(hop->to, hop->bytes + hop->done, hop->held);
		if (n <= 0)
			return moved;
		hop->held -= (size_t)n;
		hop->done += (size_t)n;
		moved = 1;
	}
}

/*
 * A server that is its own client, as nginx is when it proxies to itself: both ends of the inner
 * connection in one edge-triggered epoll of one thread, and a slow reader at the far end.
 */
static void a_proxy_to_oneself_on_one_epoll(void)
{
	static struct hop outer;
	static char block[65536], in[262144];
	struct epoll_event events[8];
	int one[2], two[2], epoll = epoll_create1(0), n = 1, all[3], i;
	size_t sent = 0, got = 0, wrong = 0, length;
	ssize_t went;

	pair_open(one);
	pair_open(two);
	outer = (struct hop){.from = one[1], .to = two[0]};
	all[0] = one[0];
	all[1] = one[1];
	all[2] = two[0];
	for (i = 0; i < 3; i++) {
		set_nonblocking(all[i], 1);
		add(epoll, all[i], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, (uint64_t)i);
	}
	set_nonblocking(two[1], 1);
	while (got < PUMPED && n > 0) {
		while (sent < PUMPED) {
			length = PUMPED - sent < sizeof(block) ? PUMPED - sent : sizeof(block);
			pattern_fill(61, sent, block, length);
			went = write(one[0], block, length);
			if (went <= 0)
				break;
			sent += (size_t)went;
		}
		hop_on(&outer);
		/* the far end is another program: it reads when this thread has nothing to do */
		n = epoll_wait(epoll, events, 8, 0);
		if (n > 0)
			continue;
		went = read(two[1], in, sizeof(in));
		if (went > 0) {
			wrong += pattern_check(61, got, in, (size_t)went) != (size_t)went;
			got += (size_t)went;
			n = 1;
		} else {
			n = epoll_wait(epoll, events, 8, 3000);
		}
	}
	say("pumped %zu, wrong %zu", got, wrong);
	say("held %zu", outer.held);
	close(epoll);
	pair_close(one);
	pair_close(two);
}

#define TABLES 3 /* threads, with an epoll each */
#define COURTS 8 /* connections that a thread plays at a time */
#define MATCHES 40 /* how often it opens new ones */
#define SHOTS 400 /* messages on each */

/* Both ends of some connections on one level-triggered epoll; returns the events with nothing to read. */
static intptr_t play_a_match(int epoll)
{
	struct epoll_event events[2 * COURTS];
	int ends[COURTS][2], shots[COURTS] = {0}, over = 0, court, n, i;
	intptr_t vain = 0;
	char ball[64];

	for (court = 0; court < COURTS; court++) {
		connect_pair(ends[court]);
		for (i = 0; i < 2; i++) {
			set_nonblocking(ends[court][i], 1);
			add(epoll, ends[court][i], EPOLLIN, (uint64_t)(2 * court + i));
		}
		write_all(ends[court][0], "serve", 5);
	}
	while (over < COURTS) {
		n = epoll_wait(epoll, events, 2 * COURTS, 5000);
		if (n <= 0)
			die("epoll_wait");
		for (i = 0; i < n; i++) {
			int side = (int)events[i].data.u64 % 2;
			ssize_t length;

			court = (int)events[i].data.u64 / 2;
			length = read(ends[court][side], ball, sizeof(ball));
			if (length <= 0)
				vain++;
			else if (++shots[court] < SHOTS)
				write_all(ends[court][side], ball, (size_t)length);
			else
				over++;
		}
	}
	for (court = 0; court < COURTS; court++)
		pair_close(ends[court]);
	return vain;
}

static void *play(void *unused)
{
	int epoll = epoll_create1(0), match;
	intptr_t vain = 0;

	(void)unused;
	for (match = 0; match < MATCHES; match++)
		vain += play_a_match(epoll);
	close(epoll);
	return (void *)vain;
}

/* What one thread learns from the daemon changes what another waits for (found with nginx and wrk). */
static void an_event_has_something_to_read(void)
{
	pthread_t threads[TABLES];
	intptr_t all = 0;
	void *vain;
	int i;

	for (i = 0; i < TABLES; i++)
		if (pthread_create(&threads[i], NULL, play, NULL) != 0)
			die("pthread_create");
	for (i = 0; i < TABLES; i++) {
		pthread_join(threads[i], &vain);
		all += (intptr_t)vain;
	}
	say("in vain: %d", (int)all);
}

const struct behaviour same_epoll_more[] = {
	{"an_event_has_something_to_read", an_event_has_something_to_read},
	{"a_proxy_to_oneself_on_one_epoll", a_proxy_to_oneself_on_one_epoll},
	{"a_move_while_in_two_epolls", a_move_while_in_two_epolls},
	{"a_move_while_a_thread_waits", a_move_while_a_thread_waits},
	{"sockets_pipes_timers_and_events", sockets_pipes_timers_and_events},
	{"an_epoll_can_be_polled", an_epoll_can_be_polled},
	{"a_duplicate_keeps_the_registration", a_duplicate_keeps_the_registration},
	{"both_duplicates_can_be_registered", both_duplicates_can_be_registered},
	{"a_new_socket_with_an_old_number", a_new_socket_with_an_old_number},
	{"a_crowd_gets_its_turn", a_crowd_gets_its_turn},
	{"a_child_waits_on_an_inherited_epoll", a_child_waits_on_an_inherited_epoll},
	{"an_edge_wakes_one_of_many_threads", an_edge_wakes_one_of_many_threads},
	{"added_by_a_thread_while_another_waits", added_by_a_thread_while_another_waits},
	{"modified_by_a_thread_while_another_waits", modified_by_a_thread_while_another_waits},
	{NULL, NULL},
};
