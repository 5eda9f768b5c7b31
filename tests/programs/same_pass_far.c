/* SPDX-License-Identifier: MIT */
/* connections passed to where their rings cannot go, or not so many of them */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

#define CROWD 60
#define SENDERS 70
#define NOBODY 65534

static ssize_t pass(int line, const int *fds, size_t count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CROWD * sizeof(int))] = {0};
	struct iovec part = {(void *)(uintptr_t) "x", 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
	return sendmsg(line, &message, 0);
}

/* How many came. */
static size_t take(int line, int *fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CROWD * sizeof(int))];
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *rights;
	size_t bytes;

	if (recvmsg(line, &message, 0) != 1 || !(rights = CMSG_FIRSTHDR(&message)))
		return 0;
	bytes = rights->cmsg_len - CMSG_LEN(0);
	memcpy(fds, CMSG_DATA(rights), bytes);
	return bytes / sizeof(int);
}

static void echo(int fd)
{
	char in[4096];
	ssize_t n;

	while ((n = read(fd, in, sizeof(in))) > 0)
		write_all(fd, in, (size_t)n);
}

static void converse(int fd)
{
	static char out[200000], in[200000];

	pattern_fill(5, 0, out, sizeof(out));
	for (size_t at = 0; at < sizeof(out); at += 4000) {
		write_all(fd, out + at, 4000);
		if (read_all(fd, in + at, 4000) != 4000)
			break;
	}
	say_pattern("came back", 5, 0, in, sizeof(in));
}

static int status_of(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return status;
}

/* A line to a child that became another user before it came to it. */
static pid_t another_user(int *line)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(name);
	int house = socket(AF_UNIX, SOCK_STREAM, 0), fd = -1;
	pid_t pid;

	if (bind(house, (struct sockaddr *)&name, sizeof(sa_family_t)) < 0 ||
	    listen(house, 1) < 0 || getsockname(house, (struct sockaddr *)&name, &length) < 0)
		die("house");
	pid = fork();
	if (pid == 0) {
		close(house);
		(void)!setuid(NOBODY); /* without the right to, it is the same user's */
		*line = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(*line, (struct sockaddr *)&name, length) < 0)
			_exit(1);
		if (take(*line, &fd) != 1)
			_exit(2);
		echo(fd);
		_exit(0);
	}
	*line = accept(house, NULL, NULL);
	close(house);
	return pid;
}

static void passed_to_another_user(void)
{
	int ends[2], line;
	pid_t pid = another_user(&line);

	pair_open(ends);
	say_call("pass", pass(line, &ends[1], 1));
	close(ends[1]);
	converse(ends[0]);
	close(ends[0]);
	say("child %d", status_of(pid));
	close(line);
}

static void kept_after_it_was_passed_to_another_user(void)
{
	char in[20];
	int ends[2], line;
	pid_t pid = another_user(&line);

	pair_open(ends);
	say_call("pass", pass(line, &ends[1], 1));
	converse(ends[0]);
	close(line);
	say_call("write", write(ends[1], "from us too", 11));
	say_call("read", read(ends[0], in, sizeof(in)));
	shutdown(ends[0], SHUT_WR);
	say("child %d", status_of(pid));
	say_call("end", read(ends[1], in, sizeof(in)));
	pair_close(ends);
}

static void a_crowd_in_one_message(void)
{
	int ends[CROWD][2], fds[CROWD], came[CROWD], line[2], good = 0;
	char in[12];
	pid_t pid;

	raise_descriptor_limit();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) < 0)
		die("socketpair");
	pid = fork();
	if (pid == 0) {
		close(line[0]);
		if (take(line[1], came) != CROWD)
			_exit(1);
		for (int i = 0; i < CROWD; i++) {
			if (read_all(came[i], in, 4) != 4)
				_exit(2);
			write_all(came[i], in, 4);
		}
		_exit(0);
	}
	close(line[1]);
	for (int i = 0; i < CROWD; i++) {
		pair_open(ends[i]);
		fds[i] = ends[i][1];
	}
	say_call("pass", pass(line[0], fds, CROWD));
	for (int i = 0; i < CROWD; i++) {
		snprintf(in, sizeof(in), "%04d", i);
		write_all(ends[i][0], in, 4);
		good += read_all(ends[i][0], in, 4) == 4 && atoi(in) == i;
	}
	say("good %d, child %d", good, status_of(pid));
	for (int i = 0; i < CROWD; i++)
		pair_close(ends[i]);
	close(line[0]);
}

/* In a namespace where processes have other numbers, if we may make one. */
static void passed_between_pid_namespaces(int into)
{
	int ends[2], line[2], fd = -1;
	char taken;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) < 0)
		die("socketpair");
	pid = fork();
	if (pid == 0) {
		close(line[0]);
		if (unshare(CLONE_NEWPID) < 0)
			_exit(1);
		pid = fork();
		if (pid)
			_exit(WEXITSTATUS(status_of(pid)));
		if (into) {
			if (take(line[1], &fd) != 1)
				_exit(2);
			write_all(line[1], "t", 1);
			echo(fd);
			_exit(0);
		}
		pair_open(ends);
		if (pass(line[1], &ends[1], 1) != 1)
			_exit(3);
		close(ends[1]);
		echo(ends[0]);
		_exit(0);
	}
	close(line[1]);
	if (into) {
		pair_open(ends);
		say_call("pass", pass(line[0], &ends[1], 1));
		close(ends[1]);
		if (read_all(line[0], &taken, 1) != 1) /* before there is something unread */
			die("taken");
		converse(ends[0]);
		close(ends[0]);
	} else {
		if (take(line[0], &fd) != 1)
			die("take");
		converse(fd);
		close(fd);
	}
	say("child %d", WEXITSTATUS(status_of(pid)));
	close(line[0]);
}

static void passed_into_another_pid_namespace(void)
{
	passed_between_pid_namespaces(1);
}

static void passed_out_of_another_pid_namespace(void)
{
	passed_between_pid_namespaces(0);
}

static void connections_of_many_senders(void)
{
	int line[2], ends[2], fds[SENDERS], good = 0, ended = 0;
	char in[12];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) < 0)
		die("socketpair");
	for (int i = 0; i < SENDERS; i++) {
		if (fork())
			continue;
		close(line[0]);
		pair_open(ends);
		if (pass(line[1], &ends[1], 1) != 1)
			_exit(1);
		close(ends[1]);
		echo(ends[0]);
		_exit(0);
	}
	close(line[1]);
	for (int i = 0; i < SENDERS; i++)
		if (take(line[0], &fds[i]) != 1)
			die("take");
	for (int i = 0; i < SENDERS; i++) {
		snprintf(in, sizeof(in), "%04d", i);
		write_all(fds[i], in, 4);
		good += read_all(fds[i], in, 4) == 4 && atoi(in) == i;
	}
	for (int i = 0; i < SENDERS; i++)
		close(fds[i]);
	for (int i = 0; i < SENDERS; i++)
		ended += wait(NULL) > 0;
	say("good %d, ended %d", good, ended);
	close(line[0]);
}

const struct behaviour same_pass_far[] = {
	{"a_connection_passed_to_another_user", passed_to_another_user},
	{"a_connection_kept_after_it_was_passed_to_another_user",
	 kept_after_it_was_passed_to_another_user},
	{"a_crowd_of_connections_in_one_message", a_crowd_in_one_message},
	{"a_connection_passed_into_another_pid_namespace", passed_into_another_pid_namespace},
	{"a_connection_passed_out_of_another_pid_namespace", passed_out_of_another_pid_namespace},
	{"connections_of_many_senders_at_once", connections_of_many_senders},
	{NULL, NULL}};
