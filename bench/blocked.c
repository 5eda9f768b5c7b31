// SPDX-License-Identifier: MIT
/*
 * What a connection costs where its program waits: in a blocking call, in epoll, for a stopped peer
 *
 * Each *subject* is a process with one connection to a *peer*, another process.  They exchange
 * messages, so that the connection moves if it can; then the peer sleeps, or is stopped, and the
 * subject waits.  Its processor time over a while is the result.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools.h"

#define EXCHANGES 50U
#define SETTLE_SECONDS 0.3

enum waits { WAITS_IN_READ, WAITS_IN_EPOLL, WAITS_TO_WRITE };

/**
 * struct subject - a process that waits
 * @name: of its result
 * @waits: in what
 * @stopped: its peer is stopped
 * @pid, @peer: the two processes
 * @go: a byte here lets it begin to wait; one in @ready said that it is ready to
 */
struct subject {
	const char *name;
	enum waits waits;
	bool stopped;
	pid_t pid;
	pid_t peer;
	int go[2];
	int ready[2];
	uint64_t cpu_ns;
};

static struct subject subjects[] = {
	{.name = "blocked_read_percent", .waits = WAITS_IN_READ},
	{.name = "idle_epoll_percent", .waits = WAITS_IN_EPOLL},
	{.name = "stopped_peer_read_percent", .waits = WAITS_IN_READ, .stopped = true},
	{.name = "stopped_peer_write_percent", .waits = WAITS_TO_WRITE, .stopped = true},
};
#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

static void exchange(int fd, bool first)
{
	char message[HELLO_SIZE] = {0};

	for (unsigned int i = 0; i < EXCHANGES; i++) {
		if ((first && send_all(fd, message, sizeof(message)) < 0) ||
		    receive_all(fd, message, sizeof(message)) < 0 ||
		    (!first && send_all(fd, message, sizeof(message)) < 0))
			fail(0, "an exchange");
		sleep_seconds(0.0005);
	}
}

static pid_t fork_child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		fail(errno, "fork");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void be_peer(const struct options *options)
{
	int fd = socket_connect(options);

	exchange(fd, true);
	for (;;)
		pause();
}

static void wait_for_ever(int fd, enum waits waits)
{
	static char block[65536];
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (waits == WAITS_IN_EPOLL && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail(errno, "epoll_ctl");
	if (waits == WAITS_IN_READ)
		(void)!recv(fd, block, sizeof(block), 0);
	else if (waits == WAITS_IN_EPOLL)
		(void)epoll_wait(epoll, &event, 1, -1);
	else
		while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
			;
	fail(0, "the wait has ended");
}

static void be_subject(const struct subject *subject, int listener)
{
	int fd = accept(listener, NULL, NULL);
	char byte = 0;

	if (fd < 0)
		fail(errno, "accept");
	exchange(fd, false);
	if (write(subject->ready[1], &byte, 1) != 1 || read(subject->go[0], &byte, 1) != 1)
		fail(errno, "a pipe");
	wait_for_ever(fd, subject->waits);
}

static void subject_start(struct subject *subject)
{
	struct options options = {.address = "127.0.0.1"};
	int listener = socket_listen(options.address, &options.port);
	char byte = 0;

	if (pipe(subject->go) < 0 || pipe(subject->ready) < 0)
		fail(errno, "pipe");
	subject->pid = fork_child();
	if (subject->pid == 0)
		be_subject(subject, listener);
	subject->peer = fork_child();
	if (subject->peer == 0)
		be_peer(&options);
	close(listener);
	if (read(subject->ready[0], &byte, 1) != 1)
		fail(errno, "a pipe");
	if (subject->stopped)
		kill(subject->peer, SIGSTOP);
	if (write(subject->go[1], &byte, 1) != 1)
		fail(errno, "a pipe");
}

static uint64_t cpu_ns_of(const struct subject *subject)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(subject->pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		fail(errno, "%s: the process has ended", subject->name);
	return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

void run_blocked(const struct options *options)
{
	uint64_t start;

	for (unsigned int i = 0; i < SUBJECTS; i++)
		subject_start(&subjects[i]);
	sleep_seconds(SETTLE_SECONDS);
	start = clock_ns();
	for (unsigned int i = 0; i < SUBJECTS; i++)
		subjects[i].cpu_ns = cpu_ns_of(&subjects[i]);
	sleep_seconds(options->idle);
	json_begin("blocked");
	for (unsigned int i = 0; i < SUBJECTS; i++)
		json_number(subjects[i].name,
			    100.0 * (double)(cpu_ns_of(&subjects[i]) - subjects[i].cpu_ns) /
				    (double)(clock_ns() - start));
	json_end();
	hold(options);
	for (unsigned int i = 0; i < SUBJECTS; i++) {
		kill(subjects[i].pid, SIGKILL);
		kill(subjects[i].peer, SIGKILL);
		waitpid(subjects[i].pid, NULL, 0);
		waitpid(subjects[i].peer, NULL, 0);
	}
}
