/* SPDX-License-Identifier: MIT */
/* Connections passed to another process as SCM_RIGHTS, before and after they moved */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "neighbour.h"
#include "same.h"

static void answers_on_it(int line)
{
	int fd = take_one(line);
	char in[20];

	say_call("read", read(fd, in, sizeof(in)));
	say("%.4s", in);
	say_call("write", write(fd, "pong", 4));
	say_call("read", read(fd, in, sizeof(in)));
	say_call("close", close(fd));
}

static void a_passed_connection_goes_on_there(void)
{
	struct neighbour neighbour = neighbour_start(answers_on_it);
	char in[20];
	int ends[2];

	pair_open(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	say_call("close", close(ends[1]));
	write_all(ends[0], "ping", 4);
	say_call("read", (ssize_t)read_all(ends[0], in, 4));
	shutdown(ends[0], SHUT_WR);
	neighbour_join(&neighbour);
	say_call("read", read(ends[0], in, sizeof(in)));
	close(ends[0]);
}

static void with_unread_data(void)
{
	struct neighbour neighbour = neighbour_start(answers_on_it);
	char in[20];
	int ends[2];

	pair_open(ends);
	write_all(ends[0], "skip", 4);
	write_all(ends[0], "ping", 4);
	say_call("read", (ssize_t)read_all(ends[1], in, 4));
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	say_call("close", close(ends[1]));
	say_call("read", (ssize_t)read_all(ends[0], in, 4));
	close(ends[0]);
	neighbour_join(&neighbour);
}

static void echoes_a_lot(int line)
{
	static char bytes[65536];
	int fd = take_one(line);
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		write_all(fd, bytes, (size_t)n);
	say_call("read", n);
}

static void echo_through(int fd, uint64_t seed)
{
	enum { PART = 50000, TIMES = 40 };
	static char out[PART], in[PART];
	size_t wrong = 0;

	for (int i = 0; i < TIMES; i++) {
		pattern_fill(seed, (uint64_t)i * PART, out, PART);
		write_all(fd, out, PART);
		if (read_all(fd, in, PART) != PART)
			die("short");
		wrong += memcmp(in, out, PART) != 0;
	}
	say("%zu parts wrong", wrong);
}

static void two_megabytes_through_the_new_holder(void)
{
	struct neighbour neighbour = neighbour_start(echoes_a_lot);
	int ends[2];

	pair_open(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	close(ends[1]);
	echo_through(ends[0], 71);
	shutdown(ends[0], SHUT_WR);
	neighbour_join(&neighbour);
	close(ends[0]);
}

static void writes_and_leaves(int line)
{
	int fd = take_one(line);

	write_all(fd, "there", 5);
	hand_over(line);
	await(line);
	close(fd);
}

static void the_sender_keeps_it_too(void)
{
	struct neighbour neighbour = neighbour_start(writes_and_leaves);
	char in[20];
	int ends[2];

	pair_open(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	await(neighbour.line);
	say_call("write", write(ends[1], "here", 4));
	say_call("read", (ssize_t)read_all(ends[0], in, 9));
	say("%.9s", in);
	hand_over(neighbour.line);
	neighbour_join(&neighbour);
	say_call("no end yet", recv(ends[0], in, 1, MSG_DONTWAIT));
	say_call("write", write(ends[1], "last", 4));
	close(ends[1]);
	say_call("read", (ssize_t)read_all(ends[0], in, 4));
	say_call("read", read(ends[0], in, 1));
	close(ends[0]);
}

static void passes_it_back(int line)
{
	int fd = take_one(line);

	write_all(fd, "a", 1);
	pass(line, &fd, 1, 0);
	close(fd);
}

static void it_comes_back(void)
{
	struct neighbour neighbour = neighbour_start(passes_it_back);
	char in[20];
	int ends[2], fd;

	pair_open(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	close(ends[1]);
	fd = take_one(neighbour.line);
	neighbour_join(&neighbour);
	say_call("write", write(fd, "b", 1));
	say_call("read", (ssize_t)read_all(ends[0], in, 2));
	say_call("write", write(ends[0], "c", 1));
	say_call("read", read(fd, in, 5));
	close(fd);
	say_call("read", read(ends[0], in, 5));
	close(ends[0]);
}

static void to_oneself(void)
{
	int ends[2], lines[2], fd;
	char in[5];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, lines) < 0)
		die("socketpair");
	pair_open(ends);
	say_call("sendmsg", pass(lines[0], &ends[1], 1, 0));
	fd = take_one(lines[1]);
	say_call("close", close(ends[1]));
	say_call("write", write(ends[0], "x", 1));
	say_call("read", read(fd, in, 5));
	say_call("close", close(fd));
	say_call("read", read(ends[0], in, 5));
	close(ends[0]);
	pair_close(lines);
}

static void uses_two(int line)
{
	int fds[MOST_PASSED] = {-1, -1, -1};
	char in[10];

	take(line, fds, CMSG_SPACE(3 * sizeof(int)), 0);
	say_call("read one", read(fds[0], in, 10));
	say_call("read pipe", read(fds[1], in, 10));
	say_call("read other", read(fds[2], in, 10));
}

static void two_and_a_pipe_in_one_message(void)
{
	struct neighbour neighbour = neighbour_start(uses_two);
	int one[2], other[2], pipes[2], fds[3];

	pair_open(one);
	pair_open(other);
	if (pipe(pipes) < 0)
		die("pipe");
	write_all(one[0], "1", 1);
	write_all(pipes[1], "12", 2);
	write_all(other[0], "123", 3);
	fds[0] = one[1];
	fds[1] = pipes[0];
	fds[2] = other[1];
	say_call("sendmsg", pass(neighbour.line, fds, 3, 0));
	neighbour_join(&neighbour);
	pair_close(one);
	pair_close(other);
	pair_close(pipes);
}

static void has_room_for_one(int line)
{
	int fds[MOST_PASSED] = {-1, -1};
	char in[10];

	take(line, fds, CMSG_LEN(sizeof(int)), 0);
	say_call("read", read(fds[0], in, 10));
	say("the next descriptor is %d further", dup(line) - fds[0]);
}

static void more_than_there_is_room_for(void)
{
	struct neighbour neighbour = neighbour_start(has_room_for_one);
	int one[2], other[2], fds[2];
	char byte;

	pair_open(one);
	pair_open(other);
	write_all(one[0], "1", 1);
	fds[0] = one[1];
	fds[1] = other[1];
	say_call("sendmsg", pass(neighbour.line, fds, 2, 0));
	close(other[1]);
	neighbour_join(&neighbour);
	say_call("read", read(other[0], &byte, 1));
	close(other[0]);
	pair_close(one);
}

static void has_no_room(int line)
{
	char byte;

	say_call("read", read(line, &byte, 1));
	hand_over(line);
	await(line);
}

static void nobody_takes_it(void)
{
	struct neighbour neighbour = neighbour_start(has_no_room);
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	await(neighbour.line);
	say_call("write", write(ends[0], "x", 1));
	say_call("read", read(ends[1], in, 10));
	say_call("close", close(ends[1]));
	say_call("read", read(ends[0], in, 10));
	hand_over(neighbour.line);
	neighbour_join(&neighbour);
	close(ends[0]);
}

static void peeks_first(int line)
{
	int fds[MOST_PASSED], more[MOST_PASSED];
	char in[10];

	take(line, fds, CMSG_SPACE(sizeof(int)), MSG_PEEK);
	take(line, more, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
	say("close on exec %d %d", fcntl(fds[0], F_GETFD), fcntl(more[0], F_GETFD));
	say_call("read", read(fds[0], in, 2));
	say_call("close", close(fds[0]));
	say_call("read", read(more[0], in, 10));
	close(more[0]);
}

static void the_message_is_peeked_at(void)
{
	struct neighbour neighbour = neighbour_start(peeks_first);
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	close(ends[1]);
	write_all(ends[0], "abcd", 4);
	neighbour_join(&neighbour);
	say_call("read", read(ends[0], in, 10));
	close(ends[0]);
}

static void waits_for_it(int line)
{
	int fd = take_one(line);
	struct pollfd look = {.fd = fd, .events = POLLIN};
	char in[10];

	hand_over(line);
	say_call("poll", poll(&look, 1, 5000));
	say_call("read", read(fd, in, 10));
	say_call("read", read(fd, in, 10));
}

static void the_new_holder_sleeps_on_it(void)
{
	struct neighbour neighbour = neighbour_start(waits_for_it);
	int ends[2];

	pair_open(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	close(ends[1]);
	await(neighbour.line);
	settle();
	say_call("write", write(ends[0], "a", 1));
	settle();
	say_call("write", write(ends[0], "b", 1));
	neighbour_join(&neighbour);
	close(ends[0]);
}

static void is_killed(int line)
{
	int fd = take_one(line);

	write_all(fd, "last words", 10);
	hand_over(line);
	for (;;)
		pause();
}

static void the_new_holder_is_killed(void)
{
	struct neighbour neighbour = neighbour_start(is_killed);
	char in[20];
	int ends[2];

	pair_open(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	close(ends[1]);
	await(neighbour.line);
	kill(neighbour.pid, SIGKILL);
	neighbour_join(&neighbour);
	say_call("read", (ssize_t)read_all(ends[0], in, 10));
	say_call("read", read(ends[0], in, 10));
	close(ends[0]);
}

static void takes_many_messages(int line)
{
	enum { MESSAGES = 2 };
	char bytes[MESSAGES], in[10];
	struct iovec parts[MESSAGES];
	struct mmsghdr messages[MESSAGES] = {0};
	_Alignas(struct cmsghdr) char control[MESSAGES][CMSG_SPACE(sizeof(int))];
	int i, fd, n;

	await(line);
	for (i = 0; i < MESSAGES; i++) {
		parts[i] = (struct iovec){&bytes[i], 1};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
						      .msg_iovlen = 1,
						      .msg_control = control[i],
						      .msg_controllen = sizeof(control[i])};
	}
	n = recvmmsg(line, messages, MESSAGES, 0, NULL);
	say_call("recvmmsg", n);
	for (i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&messages[i].msg_hdr)), sizeof(fd));
		say("%u byte", messages[i].msg_len);
		say_call("read", read(fd, in, 10));
	}
}

static void two_messages_taken_at_once(void)
{
	struct neighbour neighbour = neighbour_start(takes_many_messages);
	int one[2], other[2];

	pair_open(one);
	pair_open(other);
	hand_over(neighbour.line);
	say_call("sendmsg", pass(neighbour.line, &one[1], 1, 0));
	say_call("sendmsg", pass(neighbour.line, &other[1], 1, 0));
	write_all(one[0], "1", 1);
	write_all(other[0], "12", 2);
	neighbour_join(&neighbour);
	pair_close(one);
	pair_close(other);
}

static void serves_what_it_is_given(int line)
{
	int fd = take_one(line), i;
	char in[10];

	for (i = 0; i < 20; i++)
		if (read_all(fd, in, 4) == 4)
			write_all(fd, in, 4);
	say_call("read", read(fd, in, 10));
}

/* As a server that gives each connection to a worker right after accept. */
static void passed_before_its_first_byte(void)
{
	struct neighbour neighbour = neighbour_start(serves_what_it_is_given);
	int ends[2], i, wrong = 0;
	char in[4];

	connect_pair(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[1], 1, 0));
	close(ends[1]);
	for (i = 0; i < 20; i++) {
		write_all(ends[0], "ping", 4);
		wrong += read_all(ends[0], in, 4) != 4 || memcmp(in, "ping", 4) != 0;
		sleep_us(500);
	}
	say("%d wrong", wrong);
	close(ends[0]);
	neighbour_join(&neighbour);
}

static void the_client_end_passed_before_its_first_byte(void)
{
	struct neighbour neighbour = neighbour_start(serves_what_it_is_given);
	int ends[2], i, wrong = 0;
	char in[4];

	connect_pair(ends);
	say_call("sendmsg", pass(neighbour.line, &ends[0], 1, 0));
	close(ends[0]);
	for (i = 0; i < 20; i++) {
		write_all(ends[1], "ping", 4);
		wrong += read_all(ends[1], in, 4) != 4 || memcmp(in, "ping", 4) != 0;
		sleep_us(500);
	}
	say("%d wrong", wrong);
	close(ends[1]);
	neighbour_join(&neighbour);
}

static void the_line_is_full(void)
{
	int ends[2], lines[2], one = 1;
	size_t sent = 0;
	char in[10];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, lines) < 0)
		die("socketpair");
	setsockopt(lines[0], SOL_SOCKET, SO_SNDBUF, &one, sizeof(one));
	pair_open(ends);
	while (send(lines[0], "x", 1, MSG_DONTWAIT) == 1)
		sent++;
	say_call("sendmsg", pass(lines[0], &ends[1], 1, MSG_DONTWAIT));
	say_call("write", write(ends[0], "x", 1));
	say_call("read", read(ends[1], in, 10));
	close(ends[1]);
	say_call("read", read(ends[0], in, 10));
	close(ends[0]);
	pair_close(lines);
	say("%d", sent > 0);
}

static void a_bad_descriptor_is_refused(void)
{
	int ends[2], lines[2], fds[2];
	char in[10];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, lines) < 0)
		die("socketpair");
	pair_open(ends);
	fds[0] = ends[1];
	fds[1] = 9999;
	say_call("sendmsg", pass(lines[0], fds, 2, 0));
	say_call("write", write(ends[0], "x", 1));
	say_call("read", read(ends[1], in, 10));
	close(ends[1]);
	say_call("read", read(ends[0], in, 10));
	close(ends[0]);
	pair_close(lines);
}

const struct behaviour same_pass[] = {
	{"a_passed_connection_goes_on_there", a_passed_connection_goes_on_there},
	{"a_passed_connection_with_unread_data", with_unread_data},
	{"two_megabytes_through_the_new_holder", two_megabytes_through_the_new_holder},
	{"a_passed_connection_that_the_sender_keeps", the_sender_keeps_it_too},
	{"a_passed_connection_comes_back", it_comes_back},
	{"a_connection_passed_to_oneself", to_oneself},
	{"two_connections_and_a_pipe_in_one_message", two_and_a_pipe_in_one_message},
	{"more_connections_than_there_is_room_for", more_than_there_is_room_for},
	{"a_passed_connection_that_nobody_takes", nobody_takes_it},
	{"a_message_with_a_connection_is_peeked_at", the_message_is_peeked_at},
	{"the_new_holder_sleeps_on_it", the_new_holder_sleeps_on_it},
	{"the_new_holder_is_killed", the_new_holder_is_killed},
	{"two_connections_taken_at_once", two_messages_taken_at_once},
	{"a_connection_passed_before_its_first_byte", passed_before_its_first_byte},
	{"a_client_end_passed_before_its_first_byte", the_client_end_passed_before_its_first_byte},
	{"passing_over_a_full_line", the_line_is_full},
	{"passing_a_bad_descriptor_too", a_bad_descriptor_is_refused},
	{NULL, NULL},
};
