/* SPDX-License-Identifier: MIT */
/* what only the kernel's TCP can serve, asked of a connection that has moved: programs without the library */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

#define LARGE 300000

/* The environment of a program that is started without anything of ours. */
static char *bare[] = {(char *)(uintptr_t) "PATH=/usr/bin:/bin", NULL};

enum how { BY_FORK, BY_VFORK, BY_SPAWN, BY_SPAWN_ALONE, WAYS };

static const char *const how_names[] = {"fork", "vfork", "spawn", "spawn alone"};

static pid_t spawn_on(int fd, char *const arguments[], int alone)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	if (!alone) {
		posix_spawn_file_actions_adddup2(&actions, fd, 0);
		posix_spawn_file_actions_adddup2(&actions, fd, 1);
	}
	if (posix_spawn(&pid, "/bin/sh", alone ? NULL : &actions, NULL, arguments, bare) != 0)
		die("posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* @script on @fd as its standard input and output, which close-on-exec does not save otherwise. */
static pid_t start_on(enum how how, int fd, const char *script)
{
	char number[100];
	char *const arguments[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", number,
				   NULL};
	pid_t pid;

	if (how == BY_SPAWN_ALONE) {
		snprintf(number, sizeof(number), "exec <&%d >&%d; %s", fd, fd, script);
		fcntl(fd, F_SETFD, 0);
		return spawn_on(fd, arguments, 1);
	}
	snprintf(number, sizeof(number), "%s", script);
	if (how == BY_SPAWN)
		return spawn_on(fd, arguments, 0);
	pid = how == BY_VFORK ? vfork() : fork();
	if (pid == 0) {
		dup2(fd, 0);
		dup2(fd, 1);
		execve("/bin/sh", arguments, bare);
		_exit(127);
	}
	return pid;
}

static int join(pid_t pid)
{
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void open_closed_on_exec(int ends[2])
{
	pair_open(ends);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
}

static void *send_much(void *argument)
{
	static char bytes[LARGE];
	int fd = *(int *)argument;

	pattern_fill(1, 0, bytes, sizeof(bytes));
	write_all(fd, bytes, sizeof(bytes));
	shutdown(fd, SHUT_WR);
	return NULL;
}

/* It has begun: what is written from now on is the program's to read. */
static void await(int fd)
{
	char in[6];

	say_call("ready", (ssize_t)read_all(fd, in, 6));
}

static void echo_all(int fd)
{
	static char in[LARGE];
	pthread_t thread;
	char word[6];

	await(fd);
	for (int i = 0; i < 3; i++) {
		say_call("write", write(fd, "hello", 5));
		say_call("read", (ssize_t)read_all(fd, word, 5));
	}
	pthread_create(&thread, NULL, send_much, &fd);
	say_call("much", (ssize_t)read_all(fd, in, sizeof(in)));
	say_pattern("much", 1, 0, in, sizeof(in));
	pthread_join(thread, NULL);
	say_call("end", read(fd, in, 1));
}

static void a_bare_program_has_the_connection(void)
{
	int ends[2];
	pid_t pid;

	for (enum how how = 0; how < WAYS; how++) {
		open_closed_on_exec(ends);
		say("%s", how_names[how]);
		pid = start_on(how, ends[1], "echo ready; exec cat");
		close(ends[1]);
		echo_all(ends[0]);
		say("cat %d", join(pid));
		close(ends[0]);
	}
}

static void after_a_bare_program_its_parent_goes_on(void)
{
	char in[20] = "";
	int ends[2];
	pid_t pid;

	for (enum how how = 0; how < WAYS; how++) {
		open_closed_on_exec(ends);
		say("%s", how_names[how]);
		pid = start_on(how, ends[1], "echo ready; head -c 5");
		await(ends[0]);
		say_call("write", write(ends[0], "for it", 5));
		say_call("read", (ssize_t)read_all(ends[0], in, 5));
		say("head %d", join(pid));
		say_call("write", write(ends[0], "for us", 6));
		say_call("read", read(ends[1], in, 20));
		say_call("write", write(ends[1], "from us", 7));
		say_call("read", read(ends[0], in, 20));
		say_call("nothing", recv(ends[1], in, 1, MSG_DONTWAIT));
		pair_close(ends);
	}
}

static int reader_fd;

static void *read_on(void *argument)
{
	char in[20];
	ssize_t *n = argument;

	*n = (ssize_t)read_all(reader_fd, in, 10);
	if (*n == 10)
		*n += (ssize_t)read_all(reader_fd, in, 5);
	return NULL;
}

static void a_bare_program_while_the_peer_sleeps(void)
{
	pthread_t thread;
	int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 3};
	ssize_t n;
	pid_t pid;

	open_closed_on_exec(ends);
	say_call("written before", write(ends[1], "old ", 4));
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event) < 0)
		die("epoll_ctl");
	reader_fd = ends[0];
	pthread_create(&thread, NULL, read_on, &n);
	let_block();
	pid = start_on(BY_FORK, ends[1], "echo ready; read line; echo $line");
	settle();
	say_call("write", write(ends[0], "line\n", 5));
	pthread_join(thread, NULL);
	say_call("read", n);
	say("sh %d", join(pid));
	say_call("write", write(ends[0], "again", 5));
	say_call("epoll", epoll_wait(epoll, &event, 1, 2000));
	say_poll("  events", event.events);
	close(epoll);
	pair_close(ends);
}

static void a_bare_program_follows_what_was_written(void)
{
	static char in[LARGE];
	static char out[LARGE];
	int ends[2];
	pid_t pid;

	open_closed_on_exec(ends);
	pattern_fill(2, 0, out, sizeof(out));
	say_call("write", write(ends[1], out, 100000));
	pid = start_on(BY_FORK, ends[1], "echo end");
	say("sh %d", join(pid));
	close(ends[1]);
	say_call("read", (ssize_t)read_all(ends[0], in, sizeof(in)));
	say_pattern("read", 2, 0, in, 100000);
	say("%.3s", in + 100000);
	close(ends[0]);
}

const struct behaviour same_back[] = {
	{"a_bare_program_has_the_connection", a_bare_program_has_the_connection},
	{"after_a_bare_program_its_parent_goes_on", after_a_bare_program_its_parent_goes_on},
	{"a_bare_program_while_the_peer_sleeps", a_bare_program_while_the_peer_sleeps},
	{"a_bare_program_follows_what_was_written", a_bare_program_follows_what_was_written},
	{NULL, NULL}};
