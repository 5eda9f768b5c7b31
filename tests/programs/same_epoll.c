/* SPDX-License-Identifier: MIT */
/* epoll on one connection: level, edge, one-shot, and the errors of epoll_ctl */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

static int epoll_with(int fd, uint32_t events)
{
	struct epoll_event event = {events, {.u64 = 0x1122334455667788ULL}};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0)
		die("epoll");
	say_call("add", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

static void wait_one(const char *what, int epoll, int ms)
{
	struct epoll_event event = {0, {0}};
	int n = epoll_wait(epoll, &event, 1, ms);

	say_call(what, n);
	if (n > 0)
		say_poll(event.data.u64 == 0x1122334455667788ULL ? "  events" : "  strange data",
			 event.events);
}

static void modify(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = {events, {.u64 = 0x1122334455667788ULL}};

	say_call("modify", epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
}

static void level_repeats_until_read(void)
{
	int ends[2], epoll;
	char in[10];

	pair_open(ends);
	epoll = epoll_with(ends[1], EPOLLIN);
	wait_one("idle", epoll, 0);
	say_call("write", write(ends[0], "abc", 3));
	wait_one("data", epoll, 1000);
	wait_one("again", epoll, 0);
	say_call("read 1", read(ends[1], in, 1));
	wait_one("some left", epoll, 0);
	say_call("read", read(ends[1], in, 10));
	wait_one("none left", epoll, 20);
	modify(epoll, ends[1], EPOLLIN | EPOLLOUT);
	wait_one("writable", epoll, 0);
	wait_one("writable", epoll, 0);
	close(epoll);
	pair_close(ends);
}

static void edge_tells_each_arrival_once(void)
{
	int ends[2], epoll;
	char in[10];

	pair_open(ends);
	epoll = epoll_with(ends[1], EPOLLIN | EPOLLET);
	wait_one("idle", epoll, 0);
	say_call("write", write(ends[0], "abc", 3));
	wait_one("data", epoll, 1000);
	wait_one("again", epoll, 20);
	say_call("read 1", read(ends[1], in, 1));
	wait_one("some left", epoll, 20);
	say_call("write", write(ends[0], "def", 3));
	wait_one("more came", epoll, 1000);
	wait_one("again", epoll, 20);
	say_call("read", read(ends[1], in, 10));
	wait_one("none left", epoll, 20);
	say_call("write", write(ends[0], "g", 1));
	wait_one("more came", epoll, 1000);
	close(epoll);
	pair_close(ends);
}

/*
 * What nginx relies on: it takes a call that did less than asked as "empty" or "full", and what
 * FIONREAD said once as all that is to be read, and does not call again before the next edge.
 * Returns how many of @total bytes came before there was none.
 */
static size_t edge_pump(const int ends[2], size_t total, size_t *wrong)
{
	enum { PART = 30000 };
	static char block[PART];
	struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {0}}, events[2];
	int epoll = epoll_create1(0), can_write = 1, can_read = 1, n, i;
	int left = -1; /* what FIONREAD said; -1: not asked since the last event */
	size_t sent = 0, got = 0, length;
	struct dice dice = {7};
	ssize_t went;

	for (i = 0; i < 2; i++) {
		set_nonblocking(ends[i], 1);
		event.data.fd = ends[i];
		epoll_ctl(epoll, EPOLL_CTL_ADD, ends[i], &event);
	}
	do {
		while (can_write && sent < total) {
			length = 1 + dice_below(&dice, PART);
			length = total - sent < length ? total - sent : length;
			pattern_fill(71, sent, block, length);
			went = write(ends[0], block, length);
			can_write = went == (ssize_t)length;
			sent += went > 0 ? (size_t)went : 0;
		}
		for (i = 0; i < 40 && can_read; i++) {
			length = 1 + dice_below(&dice, PART);
			if (left > 0 && length > (size_t)left)
				length = (size_t)left;
			went = read(ends[1], block, length);
			can_read = went == (ssize_t)length;
			if (left >= 0 && went > 0)
				left -= (int)went;
			else if (can_read)
				ioctl(ends[1], FIONREAD, &left);
			can_read = can_read && left > 0;
			if (went > 0 && pattern_check(71, got, block, (size_t)went) != (size_t)went)
				++*wrong;
			got += went > 0 ? (size_t)went : 0;
		}
		n = epoll_wait(epoll, events, 2, can_read || got == total ? 0 : 1000);
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == ends[0] && events[i].events & EPOLLOUT)
				can_write = 1;
			if (events[i].data.fd == ends[1] && events[i].events & EPOLLIN) {
				can_read = 1;
				left = -1;
			}
		}
	} while (got < total && (n > 0 || can_read));
	close(epoll);
	return got;
}

static void a_short_call_is_followed_by_an_edge(void)
{
	size_t wrong = 0;
	int ends[2];

	pair_open(ends);
	say("%zu came", edge_pump(ends, 64U << 20, &wrong));
	say("%zu wrong", wrong);
	pair_close(ends);
}

/* The bytes before the switch are read to the last one while those after it wait already. */
static void an_edge_is_not_lost_in_the_move(void)
{
	size_t wrong = 0, whole = 0;
	int ends[2], i;

	for (i = 0; i < 25; i++) {
		connect_pair(ends);
		whole += edge_pump(ends, 12U << 20, &wrong) == 12U << 20;
		pair_close(ends);
	}
	say("%zu whole, %zu wrong", whole, wrong);
}

static void edge_tells_room_once(void)
{
	int ends[2], epoll;

	pair_open(ends);
	epoll = epoll_with(ends[0], EPOLLOUT | EPOLLET);
	wait_one("first", epoll, 0);
	wait_one("again", epoll, 20);
	fill(ends[0]);
	wait_one("full", epoll, 20);
	drain(ends[1]);
	wait_one("room", epoll, 1000);
	wait_one("again", epoll, 20);
	close(epoll);
	pair_close(ends);
}

static void level_tells_room(void)
{
	int ends[2], epoll;

	pair_open(ends);
	epoll = epoll_with(ends[0], EPOLLOUT);
	wait_one("first", epoll, 0);
	fill(ends[0]);
	wait_one("full", epoll, 20);
	drain(ends[1]);
	wait_one("room", epoll, 1000);
	wait_one("room", epoll, 1000);
	close(epoll);
	pair_close(ends);
}

static void edge_of_both_directions(void)
{
	int ends[2], epoll;

	pair_open(ends);
	epoll = epoll_with(ends[1], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	wait_one("first", epoll, 0);
	wait_one("again", epoll, 20);
	say_call("write", write(ends[0], "abc", 3));
	wait_one("data", epoll, 1000);
	wait_one("again", epoll, 20);
	shutdown(ends[0], SHUT_WR);
	wait_one("half closed", epoll, 1000);
	wait_one("again", epoll, 20);
	close(epoll);
	pair_close(ends);
}

static void one_shot_needs_rearming(void)
{
	int ends[2], epoll;
	char in[10];

	pair_open(ends);
	epoll = epoll_with(ends[1], EPOLLIN | EPOLLONESHOT);
	say_call("write", write(ends[0], "abc", 3));
	wait_one("data", epoll, 1000);
	wait_one("again", epoll, 20);
	say_call("write", write(ends[0], "def", 3));
	wait_one("more", epoll, 20);
	modify(epoll, ends[1], EPOLLIN | EPOLLONESHOT);
	wait_one("rearmed", epoll, 1000);
	say_call("read", (ssize_t)read_all(ends[1], in, 6));
	modify(epoll, ends[1], EPOLLIN | EPOLLONESHOT);
	wait_one("rearmed and empty", epoll, 20);
	say_call("write", write(ends[0], "g", 1));
	wait_one("data", epoll, 1000);
	modify(epoll, ends[1], EPOLLIN | EPOLLONESHOT | EPOLLET);
	wait_one("edge and one-shot with data there", epoll, 1000);
	wait_one("again", epoll, 20);
	close(epoll);
	pair_close(ends);
}

static void modify_brings_an_edge_again(void)
{
	int ends[2], epoll;

	pair_open(ends);
	epoll = epoll_with(ends[1], EPOLLIN | EPOLLET);
	say_call("write", write(ends[0], "abc", 3));
	wait_one("data", epoll, 1000);
	wait_one("again", epoll, 20);
	modify(epoll, ends[1], EPOLLIN | EPOLLET);
	wait_one("after modify", epoll, 1000);
	wait_one("again", epoll, 20);
	close(epoll);
	pair_close(ends);
}

static void hang_up_and_errors(void)
{
	struct linger linger = {1, 0};
	int ends[2], epoll;
	char in[10];

	pair_open(ends);
	epoll = epoll_with(ends[1], EPOLLRDHUP);
	wait_one("idle", epoll, 0);
	say_call("write", write(ends[0], "abc", 3));
	wait_one("data not asked for", epoll, 20);
	shutdown(ends[0], SHUT_WR);
	wait_one("half closed", epoll, 1000);
	modify(epoll, ends[1], EPOLLIN);
	wait_one("data and end", epoll, 1000);
	say_call("read", read(ends[1], in, 10));
	wait_one("end", epoll, 1000);
	shutdown(ends[1], SHUT_WR);
	wait_one("both shut", epoll, 1000);
	close(epoll);
	pair_close(ends);
	pair_open(ends);
	epoll = epoll_with(ends[1], 0);
	setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(ends[0]);
	wait_one("reset", epoll, 1000);
	modify(epoll, ends[1], EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	wait_one("reset, all", epoll, 1000);
	close(ends[1]);
	wait_one("closed", epoll, 20);
	close(epoll);
}

static void errors_of_epoll_ctl(void)
{
	struct epoll_event event = {EPOLLIN, {0}};
	int ends[2], epoll, other = epoll_create1(0), file = temporary_file(1, 1);

	pair_open(ends);
	epoll = epoll_with(ends[1], EPOLLIN);
	say_call("add again", epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event));
	say_call("modify what is not there", epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event));
	say_call("delete what is not there", epoll_ctl(epoll, EPOLL_CTL_DEL, ends[0], &event));
	say_call("add a bad descriptor", epoll_ctl(epoll, EPOLL_CTL_ADD, 999, &event));
	say_call("add a file", epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event));
	say_call("add to no epoll", epoll_ctl(ends[0], EPOLL_CTL_ADD, ends[1], &event));
	say_call("unknown operation", epoll_ctl(epoll, 9, ends[0], &event));
	say_call("no event", epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], NULL));
	say_call("itself", epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event));
	say_call("delete", epoll_ctl(epoll, EPOLL_CTL_DEL, ends[1], NULL));
	say_call("delete again", epoll_ctl(epoll, EPOLL_CTL_DEL, ends[1], NULL));
	say_call("wait for none", epoll_wait(epoll, &event, 0, 0));
	say_call("wait on no epoll", epoll_wait(ends[0], &event, 1, 0));
	say_call("write", write(ends[0], "abc", 3));
	wait_one("after delete", epoll, 20);
	event.events = EPOLLIN | EPOLLEXCLUSIVE;
	say_call("add exclusive", epoll_ctl(other, EPOLL_CTL_ADD, ends[1], &event));
	say_call("modify exclusive", epoll_ctl(other, EPOLL_CTL_MOD, ends[1], &event));
	say_call("wait", epoll_wait(other, &event, 1, 1000));
	close(epoll);
	close(other);
	close(file);
	pair_close(ends);
}

static void a_short_wait_waits(void)
{
	struct epoll_event event;
	struct timespec time = {0, 50000000};
	uint64_t before;
	int ends[2], epoll;

	pair_open(ends);
	epoll = epoll_with(ends[1], EPOLLIN);
	before = now_ms();
	wait_one("wait", epoll, 100);
	say("waited: %s", now_ms() - before >= 99 ? "yes" : "no");
	before = now_ms();
	say_call("epoll_pwait2", epoll_pwait2(epoll, &event, 1, &time, NULL));
	say("waited: %s", now_ms() - before >= 49 ? "yes" : "no");
	send_later(ends[0], "later", 30);
	wait_one("woken", epoll, 5000);
	send_later_join();
	send_later(ends[0], "later", 30);
	wait_one("woken", epoll, -1);
	send_later_join();
	close(epoll);
	pair_close(ends);
}

const struct behaviour same_epoll[] = {
	{"level_repeats_until_read", level_repeats_until_read},
	{"edge_tells_each_arrival_once", edge_tells_each_arrival_once},
	{"a_short_call_is_followed_by_an_edge", a_short_call_is_followed_by_an_edge},
	{"an_edge_is_not_lost_in_the_move", an_edge_is_not_lost_in_the_move},
	{"edge_tells_room_once", edge_tells_room_once},
	{"level_tells_room", level_tells_room},
	{"edge_of_both_directions", edge_of_both_directions},
	{"one_shot_needs_rearming", one_shot_needs_rearming},
	{"modify_brings_an_edge_again", modify_brings_an_edge_again},
	{"hang_up_and_errors", hang_up_and_errors},
	{"errors_of_epoll_ctl", errors_of_epoll_ctl},
	{"a_short_wait_waits", a_short_wait_waits},
	{NULL, NULL},
};
