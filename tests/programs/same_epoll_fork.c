/* SPDX-License-Identifier: MIT */
/* one epoll of a parent and its child: the kernel's is one for both, whoever changes or waits */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

#define MOST 8

/**
 * struct order - what one of the two processes is to do with the epoll, or with a connection
 * @what: 'w'ait, 'c'ontrol (@operation), 'r'ead at most @number bytes, 'x': close @fd
 * @number: of 'w': the time limit, milliseconds
 */
struct order {
	char what;
	int operation;
	int fd;
	uint32_t events;
	uint64_t data;
	int number;
};

/**
 * struct report - what became of it
 */
struct report {
	int result;
	int error;
	struct epoll_event events[MOST];
};

static int epoll, child_line, asleep_most;

static struct report obey(const struct order *order)
{
	struct epoll_event event = {.events = order->events, .data.u64 = order->data};
	struct report report = {0};
	char in[100];

	errno = 0;
	if (order->what == 'w')
		report.result = epoll_wait(epoll, report.events, MOST, order->number);
	else if (order->what == 'c')
		report.result = epoll_ctl(epoll, order->operation, order->fd, &event);
	else if (order->what == 'x')
		report.result = close(order->fd);
	else
		report.result = (int)recv(order->fd, in, (size_t)order->number, MSG_DONTWAIT);
	report.error = errno;
	return report;
}

static void print(const char *who, const struct order *order, const struct report *report)
{
	char text[100];

	snprintf(text, sizeof(text), "%s: %c", who, order->what);
	errno = report->error;
	say_call(text, report->result);
	for (int i = 0; order->what == 'w' && i < report->result; i++) {
		snprintf(text, sizeof(text), "  data %d", (int)report->events[i].data.u64);
		say_poll(text, report->events[i].events);
	}
}

static void child_start(void)
{
	struct order order;
	struct report report;
	int line[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) < 0)
		die("socketpair");
	if (fork() == 0) {
		close(line[0]);
		while (read_all(line[1], &order, sizeof(order)) == sizeof(order)) {
			report = obey(&order);
			write_all(line[1], &report, sizeof(report));
		}
		_exit(0);
	}
	close(line[1]);
	child_line = line[0];
}

static void child_begin(const struct order *order)
{
	write_all(child_line, order, sizeof(*order));
}

static struct report child_result(void)
{
	struct report report;

	if (read_all(child_line, &report, sizeof(report)) != sizeof(report))
		die("child");
	return report;
}

static void child_end(void)
{
	close(child_line);
	wait(NULL);
}

enum who { PARENT, CHILD };

static void let(enum who who, struct order order)
{
	struct report report;

	if (who == CHILD)
		child_begin(&order);
	report = who == CHILD ? child_result() : obey(&order);
	print(who == CHILD ? "child" : "parent", &order, &report);
}

static void waits(enum who who, int milliseconds)
{
	let(who, (struct order){.what = 'w', .number = milliseconds});
}

static void controls(enum who who, int operation, int fd, uint32_t events, uint64_t data)
{
	let(who,
	    (struct order){
		    .what = 'c', .operation = operation, .fd = fd, .events = events, .data = data});
}

static void reads(enum who who, int fd, int most)
{
	let(who, (struct order){.what = 'r', .fd = fd, .number = most});
}

static void writes(int fd, const char *text)
{
	say_call("write", write(fd, text, strlen(text)));
	settle();
}

static void open_both(int ends[2])
{
	pair_open(ends);
	epoll = epoll_create1(EPOLL_CLOEXEC);
}

static void close_both(const int ends[2])
{
	child_end();
	close(epoll);
	pair_close(ends);
}

static void a_one_shot_rearmed_by_another_process(void)
{
	int ends[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN | EPOLLONESHOT, 7);
	child_start();
	writes(ends[0], "one");
	waits(CHILD, 2000);
	waits(PARENT, 20);
	reads(CHILD, ends[1], 100);
	writes(ends[0], "two");
	waits(PARENT, 20);
	waits(CHILD, 20);
	controls(PARENT, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLONESHOT, 8);
	waits(CHILD, 2000);
	waits(PARENT, 20);
	reads(PARENT, ends[1], 100);
	controls(CHILD, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLONESHOT, 9);
	waits(CHILD, 20);
	writes(ends[0], "three");
	waits(PARENT, 2000);
	waits(CHILD, 20);
	reads(CHILD, ends[1], 100);
	close_both(ends);
}

static void an_edge_shared_by_processes_is_taken_once(void)
{
	int ends[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN | EPOLLET, 7);
	child_start();
	waits(CHILD, 20);
	writes(ends[0], "one");
	waits(CHILD, 2000);
	waits(PARENT, 20);
	waits(CHILD, 20);
	writes(ends[0], "two");
	waits(PARENT, 2000);
	waits(CHILD, 20);
	reads(CHILD, ends[1], 100);
	waits(PARENT, 20);
	waits(CHILD, 20);
	close_both(ends);
}

static void *wait_asleep(void *argument)
{
	struct report *report = argument;

	*report = obey(&(struct order){.what = 'w', .number = asleep_most});
	return NULL;
}

static void an_edge_wakes_one_of_two_processes(void)
{
	struct report report;
	pthread_t thread;
	int ends[2], both = 0;

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN | EPOLLET, 7);
	child_start();
	asleep_most = 1000;
	for (int i = 0; i < 2; i++) {
		child_begin(&(struct order){.what = 'w', .number = asleep_most});
		pthread_create(&thread, NULL, wait_asleep, &report);
		let_block();
		say_call("write", write(ends[0], "a", 1));
		pthread_join(thread, NULL);
		both = report.result;
		both += child_result().result;
		say("both together %d", both);
	}
	reads(CHILD, ends[1], 100);
	close_both(ends);
}

static void a_registration_changed_by_another_process(void)
{
	int ends[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN, 7);
	child_start();
	writes(ends[0], "one");
	waits(CHILD, 2000);
	waits(PARENT, 2000);
	controls(PARENT, EPOLL_CTL_MOD, ends[1], EPOLLPRI, 8);
	waits(CHILD, 20);
	controls(CHILD, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLOUT, 9);
	waits(PARENT, 2000);
	controls(CHILD, EPOLL_CTL_DEL, ends[1], 0, 0);
	waits(PARENT, 20);
	controls(PARENT, EPOLL_CTL_MOD, ends[1], EPOLLIN, 10);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN, 11);
	controls(CHILD, EPOLL_CTL_ADD, ends[1], EPOLLIN, 12);
	waits(CHILD, 2000);
	reads(CHILD, ends[1], 100);
	waits(PARENT, 20);
	writes(ends[0], "two");
	waits(PARENT, 2000);
	waits(CHILD, 2000);
	controls(PARENT, EPOLL_CTL_DEL, ends[1], 0, 0);
	waits(CHILD, 20);
	close_both(ends);
}

static void a_child_adds_to_an_inherited_epoll(void)
{
	int ends[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[0], EPOLLIN, 6);
	child_start();
	controls(CHILD, EPOLL_CTL_ADD, ends[1], EPOLLIN, 7);
	waits(CHILD, 20);
	writes(ends[0], "one");
	waits(CHILD, 2000);
	waits(PARENT, 2000);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN, 8);
	controls(PARENT, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLONESHOT, 9);
	waits(CHILD, 2000);
	waits(PARENT, 20);
	reads(PARENT, ends[1], 100);
	writes(ends[1], "two");
	waits(CHILD, 2000);
	reads(CHILD, ends[0], 100);
	waits(PARENT, 20);
	close_both(ends);
}

static void what_the_parent_changed_after_the_fork_holds(void)
{
	int ends[2], more[2];

	open_both(ends);
	pair_open(more);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN, 7);
	controls(PARENT, EPOLL_CTL_ADD, more[1], EPOLLIN, 8);
	controls(PARENT, EPOLL_CTL_ADD, more[0], EPOLLIN | EPOLLONESHOT, 9);
	child_start();
	controls(PARENT, EPOLL_CTL_MOD, ends[1], EPOLLIN, 17);
	controls(PARENT, EPOLL_CTL_DEL, more[1], 0, 0);
	writes(more[1], "fires");
	waits(PARENT, 2000);
	writes(ends[0], "one");
	writes(more[0], "nobody");
	waits(CHILD, 2000);
	reads(CHILD, ends[1], 100);
	waits(PARENT, 20);
	controls(CHILD, EPOLL_CTL_MOD, more[0], EPOLLIN | EPOLLONESHOT, 19);
	waits(PARENT, 2000);
	waits(CHILD, 20);
	reads(PARENT, more[0], 100);
	pair_close(more);
	close_both(ends);
}

static void bytes_unread_when_an_epoll_is_shared(void)
{
	int ends[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN, 7);
	child_start();
	writes(ends[0], "unread");
	waits(CHILD, 2000);
	waits(PARENT, 2000);
	reads(CHILD, ends[1], 2);
	waits(PARENT, 2000);
	reads(PARENT, ends[1], 2);
	writes(ends[0], "more");
	waits(CHILD, 2000);
	controls(PARENT, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLONESHOT, 8);
	waits(PARENT, 2000);
	waits(CHILD, 20);
	controls(CHILD, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLONESHOT, 9);
	waits(CHILD, 2000);
	waits(PARENT, 20);
	reads(CHILD, ends[1], 2);
	reads(PARENT, ends[1], 100);
	reads(CHILD, ends[1], 100);
	controls(PARENT, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLET, 10);
	waits(CHILD, 20);
	writes(ends[0], "edge");
	waits(PARENT, 2000);
	waits(CHILD, 20);
	close_both(ends);
}

static void an_edge_unread_when_an_epoll_is_shared(void)
{
	int ends[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN | EPOLLET, 7);
	waits(PARENT, 20);
	child_start();
	writes(ends[0], "one");
	waits(PARENT, 2000);
	waits(CHILD, 20);
	waits(PARENT, 20);
	writes(ends[0], "two");
	waits(CHILD, 2000);
	waits(PARENT, 20);
	reads(PARENT, ends[1], 100);
	close_both(ends);
}

static void a_connection_made_after_the_fork_is_watched_by_both(void)
{
	int ends[2], before[2], after[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN, 7);
	child_start();
	pair_open(before);
	controls(PARENT, EPOLL_CTL_ADD, before[1], EPOLLIN, 8);
	waits(CHILD, 20);
	waits(PARENT, 20);
	pair_open(after);
	controls(PARENT, EPOLL_CTL_ADD, after[1], EPOLLIN | EPOLLONESHOT, 9);
	writes(before[0], "x");
	waits(CHILD, 2000);
	reads(PARENT, before[1], 10);
	writes(after[0], "x");
	waits(CHILD, 2000);
	waits(PARENT, 20);
	pair_close(before);
	pair_close(after);
	close_both(ends);
}

static void a_parent_asleep_learns_what_its_child_changes(void)
{
	struct order wait_long = {.what = 'w'};
	struct report report;
	pthread_t thread;
	int ends[2], own[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLPRI, 7);
	child_start();
	pair_open(own);
	controls(PARENT, EPOLL_CTL_ADD, own[1], EPOLLIN | EPOLLONESHOT, 6);
	asleep_most = 5000;
	pthread_create(&thread, NULL, wait_asleep, &report);
	let_block();
	controls(CHILD, EPOLL_CTL_MOD, ends[1], EPOLLIN | EPOLLONESHOT, 8);
	say_call("write", write(ends[0], "wake", 4));
	pthread_join(thread, NULL);
	print("parent", &wait_long, &report);
	waits(CHILD, 20);
	writes(own[0], "x");
	waits(CHILD, 2000);
	waits(PARENT, 20);
	pair_close(own);
	close_both(ends);
}

static void a_child_goes_on_with_what_its_parent_closes(void)
{
	int ends[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN, 7);
	waits(PARENT, 20);
	child_start();
	say_call("close", close(ends[1]));
	let(CHILD, (struct order){.what = 'x', .fd = ends[0]});
	writes(ends[0], "one");
	waits(CHILD, 2000);
	reads(CHILD, ends[1], 100);
	say_call("close", close(epoll));
	writes(ends[0], "two");
	waits(CHILD, 2000);
	reads(CHILD, ends[1], 100);
	waits(CHILD, 20);
	child_end();
	close(ends[0]);
}

static void a_child_goes_on_with_an_epoll_that_its_parent_closes(void)
{
	int ends[2];

	open_both(ends);
	controls(PARENT, EPOLL_CTL_ADD, ends[1], EPOLLIN, 7);
	child_start();
	say_call("close", close(epoll));
	say_call("close", close(ends[1]));
	writes(ends[0], "one");
	waits(CHILD, 2000);
	reads(CHILD, ends[1], 100);
	waits(CHILD, 20);
	child_end();
	close(ends[0]);
}

const struct behaviour same_epoll_fork[] = {
	{"a_one_shot_rearmed_by_another_process", a_one_shot_rearmed_by_another_process},
	{"an_edge_shared_by_processes_is_taken_once", an_edge_shared_by_processes_is_taken_once},
	{"an_edge_wakes_one_of_two_processes", an_edge_wakes_one_of_two_processes},
	{"a_registration_changed_by_another_process", a_registration_changed_by_another_process},
	{"a_child_adds_to_an_inherited_epoll", a_child_adds_to_an_inherited_epoll},
	{"what_the_parent_changed_after_the_fork_holds",
	 what_the_parent_changed_after_the_fork_holds},
	{"bytes_unread_when_an_epoll_is_shared", bytes_unread_when_an_epoll_is_shared},
	{"an_edge_unread_when_an_epoll_is_shared", an_edge_unread_when_an_epoll_is_shared},
	{"a_connection_made_after_the_fork_is_watched_by_both",
	 a_connection_made_after_the_fork_is_watched_by_both},
	{"a_parent_asleep_learns_what_its_child_changes",
	 a_parent_asleep_learns_what_its_child_changes},
	{"a_child_goes_on_with_what_its_parent_closes",
	 a_child_goes_on_with_what_its_parent_closes},
	{"a_child_goes_on_with_an_epoll_that_its_parent_closes",
	 a_child_goes_on_with_an_epoll_that_its_parent_closes},
	{NULL, NULL}};
