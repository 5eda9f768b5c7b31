/* SPDX-License-Identifier: MIT */
/* Children that are made past fork(3), each to serve one connection that its parent accepted */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

enum { CLIENTS = 3, ROUNDS = 100, LENGTH = 1000, STACK = 1024 * 1024 };

/* make_child - a process that calls echo() with @fd */
typedef pid_t make_child(int fd);

/* Send back what comes until the end; the status to end with. */
static int echo(void *fd)
{
	const int connection = *(const int *)fd;
	char bytes[LENGTH];
	ssize_t n;

	while ((n = read(connection, bytes, sizeof(bytes))) > 0)
		write_all(connection, bytes, (size_t)n);
	return n == 0 ? 0 : 1;
}

static pid_t by_system_call(int fd)
{
	pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(echo(&fd));
	return pid;
}

static pid_t by_clone(int fd)
{
	char *stack = malloc(STACK);
	pid_t pid;

	if (!stack)
		die("malloc");
	pid = clone(echo, stack + STACK, SIGCHLD, &fd);
	free(stack); /* the child has its own */
	return pid;
}

static pid_t by_plain_fork(int fd)
{
	pid_t pid = _Fork();

	if (pid == 0)
		_exit(echo(&fd));
	return pid;
}

static void converse(const int clients[CLIENTS])
{
	char out[LENGTH], in[LENGTH];
	int wrong = 0;

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CLIENTS; i++) {
			pattern_fill((uint64_t)i, (uint64_t)round * LENGTH, out, LENGTH);
			write_all(clients[i], out, LENGTH);
			if (read_all(clients[i], in, LENGTH) != LENGTH)
				wrong++;
			else
				wrong += memcmp(in, out, LENGTH) != 0;
		}
		if (round < 20)
			sleep_us(500); /* time to move */
	}
	say("wrong %d", wrong);
}

/* Accepts all, then waits for the children; exits with how many did not end well. */
static void serve(int listener, make_child *make)
{
	int bad = 0, status;

	for (int i = 0; i < CLIENTS; i++) {
		int accepted = accept(listener, NULL, NULL);

		if (accepted < 0 || make(accepted) < 0)
			die("a child for a connection");
		close(accepted);
	}
	for (int i = 0; i < CLIENTS; i++)
		bad += wait(&status) < 0 || status != 0;
	_exit(bad);
}

static void serve_by(make_child *make)
{
	int clients[CLIENTS], status;
	uint16_t port = 0;
	int listener = listen_local(&port);
	pid_t server = fork();
	char byte;

	if (server == 0)
		serve(listener, make);
	close(listener);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = connect_local(port, 0);
	converse(clients);
	for (int i = 0; i < CLIENTS; i++) {
		say_call("shutdown", shutdown(clients[i], SHUT_WR));
		say_call("end", read(clients[i], &byte, 1));
		close(clients[i]);
	}
	waitpid(server, &status, 0);
	say("server %d", status);
}

static void children_of_the_clone_system_call_serve(void)
{
	serve_by(by_system_call);
}

static void children_of_clone_serve(void)
{
	serve_by(by_clone);
}

static void children_of_the_plain_fork_serve(void)
{
	serve_by(by_plain_fork);
}

const struct behaviour same_clone[] = {
	{"children_of_the_clone_system_call_serve", children_of_the_clone_system_call_serve},
	{"children_of_clone_serve", children_of_clone_serve},
	{"children_of_the_plain_fork_serve", children_of_the_plain_fork_serve},
	{NULL, NULL},
};
