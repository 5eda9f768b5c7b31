/* SPDX-License-Identifier: MIT */
/* several users of one connection: processes, threads, and those that give it up while others wait */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

#define PROCESSES 2
#define THREADS 64
#define RECORDS 20
#define RECORD 64

static int shared_fd;

static void *write_records(void *argument)
{
	char record[RECORD];
	int i;

	memset(record, '0' + (int)(intptr_t)argument, RECORD);
	for (i = 0; i < RECORDS; i++)
		write_all(shared_fd, record, RECORD);
	return NULL;
}

static void *read_records(void *argument)
{
	size_t *total = argument;
	char record[RECORD];
	ssize_t n;

	while ((n = read(shared_fd, record, RECORD)) > 0)
		__atomic_fetch_add(total, (size_t)n, __ATOMIC_RELAXED);
	return NULL;
}

static void run_threads(void *(*what)(void *), size_t *total)
{
	pthread_t threads[THREADS];
	intptr_t i;

	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, what, total ? (void *)total : (void *)i);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void two_processes_with_64_threads_write(void)
{
	int ends[2], i, broken = 0, count[THREADS] = {0}, whole = 0;
	pid_t pids[PROCESSES];
	char in[RECORD];

	pair_open(ends);
	shared_fd = ends[0];
	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		run_threads(write_records, NULL);
		_exit(0);
	}
	for (i = 0; i < PROCESSES * THREADS * RECORDS; i++) {
		if (read_all(ends[1], in, RECORD) != RECORD)
			die("short");
		broken += memcmp(in, in + 1, RECORD - 1) != 0;
		count[(in[0] - '0') & (THREADS - 1)]++;
	}
	for (i = 0; i < PROCESSES; i++)
		waitpid(pids[i], NULL, 0);
	for (i = 0; i < THREADS; i++)
		whole += count[i] == PROCESSES * RECORDS;
	say("whole %d broken %d", whole, broken);
	say_call("nothing more", recv(ends[1], in, 1, MSG_DONTWAIT));
	pair_close(ends);
}

static void two_processes_with_64_threads_read(void)
{
	enum { TOTAL = 400000 };
	static char bytes[TOTAL];
	int ends[2], counts[2], i;
	size_t total = 0, part;
	pid_t pids[PROCESSES];

	pair_open(ends);
	shared_fd = ends[1];
	if (pipe(counts) < 0)
		die("pipe");
	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		close(ends[0]);
		part = 0;
		run_threads(read_records, &part);
		write_all(counts[1], &part, sizeof(part));
		_exit(0);
	}
	for (i = 0; i < TOTAL; i += 400)
		write_all(ends[0], bytes, 400);
	shutdown(ends[0], SHUT_WR);
	for (i = 0; i < PROCESSES; i++) {
		waitpid(pids[i], NULL, 0);
		if (read_all(counts[0], &part, sizeof(part)) != sizeof(part))
			die("pipe");
		total += part;
	}
	say("all together %zu", total);
	pair_close(ends);
}

/* A child with the same end, which does as it is told: a request a byte, an answer a byte. */
static int helper;

static void helper_start(void (*obey)(char request))
{
	int channel[2];
	char request;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, channel) < 0)
		die("socketpair");
	if (fork() == 0) {
		close(channel[0]);
		while (read(channel[1], &request, 1) == 1) {
			obey(request);
			write_all(channel[1], &request, 1);
		}
		_exit(0);
	}
	close(channel[1]);
	helper = channel[0];
}

static void helper_ask(char request)
{
	write_all(helper, &request, 1);
	if (read_all(helper, &request, 1) != 1)
		die("helper");
}

static void helper_end(void)
{
	close(helper);
	wait(NULL);
}

static void set_mode(char request)
{
	int on = request == '1';

	if (request == 'n' || request == 'b')
		set_nonblocking(shared_fd, request == 'n');
	else if (ioctl(shared_fd, FIONBIO, &on) < 0)
		die("FIONBIO");
}

static void another_holder_sets_nonblocking(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	shared_fd = ends[1];
	helper_start(set_mode);
	helper_ask('1');
	say("nonblocking %d", !!(fcntl(ends[1], F_GETFL) & O_NONBLOCK));
	say_call("FIONBIO on", read(ends[1], in, sizeof(in)));
	helper_ask('0');
	send_later(ends[0], "later", 50);
	say_call("FIONBIO off", read(ends[1], in, sizeof(in)));
	send_later_join();
	helper_ask('n');
	say_call("O_NONBLOCK", read(ends[1], in, sizeof(in)));
	fill(ends[1]);
	say_call("full", write(ends[1], "x", 1));
	drain(ends[0]);
	helper_ask('b');
	send_later(ends[0], "later", 50);
	say_call("blocking", read(ends[1], in, sizeof(in)));
	send_later_join();
	helper_end();
	pair_close(ends);
}

static void shut_down(char request)
{
	shutdown(shared_fd, request - '0');
}

static void another_holder_shuts_down(void)
{
	char in[10];
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	shared_fd = ends[0];
	helper_start(shut_down);
	say_call("write", write(ends[0], "last", 4));
	helper_ask('0' + SHUT_WR);
	say_call("write", write(ends[0], "x", 1));
	say_call("peer reads", read(ends[1], in, sizeof(in)));
	say_call("peer reads", read(ends[1], in, sizeof(in)));
	say_call("peer writes", write(ends[1], "abc", 3));
	say_call("read", read(ends[0], in, sizeof(in)));
	helper_end();
	pair_close(ends);
}

static void set_low_water(char request)
{
	int mark = request - '0';

	setsockopt(shared_fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark));
}

static void another_holder_sets_a_low_water_mark(void)
{
	struct pollfd wanted;
	char in[10];
	int ends[2];

	pair_open(ends);
	shared_fd = ends[1];
	helper_start(set_low_water);
	helper_ask('5');
	wanted = (struct pollfd){ends[1], POLLIN, 0};
	say_call("write", write(ends[0], "abc", 3));
	settle();
	say_call("poll", poll(&wanted, 1, 20));
	say_call("write", write(ends[0], "de", 2));
	say_call("poll", poll(&wanted, 1, 1000));
	say_call("read", read(ends[1], in, sizeof(in)));
	helper_end();
	pair_close(ends);
}

/* A thread inside a call on a descriptor that another thread closes. */
enum inside { IN_READ, IN_RECV_ALL, IN_WRITE, IN_POLL, IN_SELECT, IN_EPOLL };

static struct {
	enum inside inside;
	int fd;
	int epoll;
	ssize_t result;
	int error;
	char bytes[10];
} blocked;

static void *be_inside(void *unused)
{
	struct pollfd wanted = {blocked.fd, POLLIN, 0};
	struct timeval time = {3, 0};
	struct epoll_event event;
	fd_set reads;

	switch (blocked.inside) {
	case IN_READ:
		blocked.result = read(blocked.fd, blocked.bytes, 10);
		break;
	case IN_RECV_ALL:
		blocked.result = recv(blocked.fd, blocked.bytes, 6, MSG_WAITALL);
		break;
	case IN_WRITE:
		blocked.result = write(blocked.fd, "x", 1);
		break;
	case IN_POLL:
		blocked.result = poll(&wanted, 1, 3000);
		break;
	case IN_SELECT:
		FD_ZERO(&reads);
		FD_SET(blocked.fd, &reads);
		blocked.result = select(blocked.fd + 1, &reads, NULL, NULL, &time);
		break;
	default:
		blocked.result = epoll_wait(blocked.epoll, &event, 1, 300);
		break;
	}
	blocked.error = errno;
	return unused;
}

static void close_around(enum inside inside)
{
	struct epoll_event event = {EPOLLIN, {0}};
	int ends[2], pipes[2];
	pthread_t thread;
	char in[10];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	blocked.inside = inside;
	blocked.fd = ends[1];
	blocked.epoll = epoll_create1(0);
	epoll_ctl(blocked.epoll, EPOLL_CTL_ADD, ends[1], &event);
	if (inside == IN_WRITE)
		fill(ends[1]);
	pthread_create(&thread, NULL, be_inside, NULL);
	let_block();
	say_call("close", close(ends[1]));
	/* the number is another file's now */
	if (pipe(pipes) < 0)
		die("pipe");
	write_all(pipes[1], "not this", 8);
	settle();
	say("the number is taken: %d", pipes[0] == ends[1] || pipes[1] == ends[1]);
	if (inside == IN_WRITE) {
		drain(ends[0]);
	} else {
		say_call("peer writes", write(ends[0], "abc", 3));
		settle();
		if (inside == IN_RECV_ALL)
			say_call("peer writes", write(ends[0], "def", 3));
	}
	pthread_join(thread, NULL);
	if (inside == IN_WRITE)
		drain(ends[0]); /* what was blocked */
	errno = blocked.error;
	say_call("blocked", blocked.result);
	say("%.6s", blocked.bytes);
	settle();
	say_call("peer reads", recv(ends[0], in, 10, MSG_DONTWAIT));
	close(ends[0]);
	close(pipes[0]);
	close(pipes[1]);
	close(blocked.epoll);
}

static void closed_while_a_thread_reads(void)
{
	close_around(IN_READ);
}

static void closed_while_a_thread_reads_all(void)
{
	close_around(IN_RECV_ALL);
}

static void closed_while_a_thread_writes(void)
{
	close_around(IN_WRITE);
}

static void closed_while_a_thread_polls(void)
{
	close_around(IN_POLL);
}

static void closed_while_a_thread_selects(void)
{
	close_around(IN_SELECT);
}

static void closed_while_a_thread_is_in_epoll_wait(void)
{
	close_around(IN_EPOLL);
}

static void close_range_of_everything(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), ends[2], status;
	char in[10];
	pid_t pid = fork();

	if (pid == 0) {
		ends[0] = connect_local(port, 0);
		pair_warm_one(ends[0], 1);
		_exit(read(ends[0], in, sizeof(in)) == 0 ? 0 : 1);
	}
	ends[1] = accept(listener, NULL, NULL);
	pair_warm_one(ends[1], 0);
	say_call("close_range", close_range(3, ~0U, 0));
	say_call("closed", write(ends[1], "x", 1));
	waitpid(pid, &status, 0);
	say("peer saw the end: %d", status == 0);
	pair_open(ends);
	say("lowest numbers: %d", ends[0] < 6 && ends[1] < 6);
	say_call("write", write(ends[0], "new", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	say_call("mark all", close_range(3, ~0U, 1U << 2));
	say("close-on-exec %d %d", fcntl(ends[0], F_GETFD), fcntl(ends[1], F_GETFD));
	say_call("write", write(ends[0], "new", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	closefrom(3);
	say_call("closed", write(ends[1], "x", 1));
}

/* As servers do at their start, with a connection in hand. */
static void a_daemon_keeps_its_connection(void)
{
	int ends[2], i;
	char in[20];

	pair_open(ends);
	fflush(stdout);
	if (fork() == 0) {
		if (daemon(0, 0) < 0)
			_exit(1);
		close(ends[0]);
		for (i = 3; i < 1000; i++)
			if (i != ends[1])
				close(i);
		if (read_all(ends[1], in, 5) == 5)
			write_all(ends[1], "from a daemon", 13);
		_exit(0);
	}
	wait(NULL);
	close(ends[1]);
	say_call("write", write(ends[0], "hello", 5));
	say_call("read", (ssize_t)read_all(ends[0], in, 13));
	say_call("end", read(ends[0], in, sizeof(in)));
	close(ends[0]);
}

static void another_user_and_another_root(void)
{
	char place[] = "/tmp/same-root-XXXXXX", in[10];
	int ends[2];

	pair_open(ends);
	if (getuid() != 0) {
		say("only root can change either");
		return;
	}
	if (!mkdtemp(place) || chroot(place) < 0 || chdir("/") < 0)
		die("chroot");
	say_call("setgroups", setgroups(0, NULL));
	say_call("setresgid", setresgid(65534, 65534, 65534));
	say_call("setresuid", setresuid(65534, 65534, 65534));
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	send_later(ends[0], "later", 30);
	say_call("read", read(ends[1], in, sizeof(in)));
	send_later_join();
	close(ends[0]);
	say_call("end", read(ends[1], in, sizeof(in)));
	close(ends[1]);
	pair_open(ends);
	say_call("write", write(ends[0], "new", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	pair_close(ends);
}

/* What was counted for the child that there is not does not make the connection a shared one. */
static void a_fork_that_fails(void)
{
	struct rlimit before, none;
	int ends[2];

	connect_pair(ends);
	if (geteuid() == 0 && setuid(65534) < 0)
		die("setuid");
	getrlimit(RLIMIT_NPROC, &before);
	none = before;
	none.rlim_cur = 0;
	if (setrlimit(RLIMIT_NPROC, &none) < 0)
		die("setrlimit");
	say_call("fork", fork());
	say_call("_Fork", _Fork());
	say_call("clone", syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL));
	setrlimit(RLIMIT_NPROC, &before);
	pair_warm(ends);
	close(ends[0]);
	say_call("end", read(ends[1], &(char){0}, 1));
	close(ends[1]);
}

static int slept_on;

static void *sleep_on_it(void *argument)
{
	char byte;

	say_call("read", read(slept_on, &byte, 1));
	return argument;
}

/* The child has no descriptor of it, and what it has else is not to keep the peer waiting. */
static void a_child_of_who_closed_while_a_thread_reads(void)
{
	int ends[2], ready[2];
	pthread_t thread;
	pid_t program, child;
	char byte;

	pair_open(ends);
	if (pipe(ready) < 0)
		die("pipe");
	program = fork();
	if (program == 0) {
		close(ends[1]);
		slept_on = ends[0];
		pthread_create(&thread, NULL, sleep_on_it, NULL);
		settle();
		close(ends[0]);
		child = fork();
		if (child == 0)
			for (;;)
				pause();
		write_all(ready[1], &child, sizeof(child));
		pthread_join(thread, NULL);
		_exit(0);
	}
	close(ends[0]);
	if (read_all(ready[0], &child, sizeof(child)) != sizeof(child))
		die("pipe");
	kill(program, SIGKILL);
	waitpid(program, NULL, 0);
	say_call("end", read(ends[1], &byte, 1));
	kill(child, SIGKILL);
	close(ends[1]);
}

const struct behaviour same_holders[] = {
	{"a_fork_that_fails", a_fork_that_fails},
	{"a_child_of_who_closed_while_a_thread_reads", a_child_of_who_closed_while_a_thread_reads},
	{"two_processes_with_64_threads_write", two_processes_with_64_threads_write},
	{"two_processes_with_64_threads_read", two_processes_with_64_threads_read},
	{"another_holder_sets_nonblocking", another_holder_sets_nonblocking},
	{"another_holder_shuts_down", another_holder_shuts_down},
	{"another_holder_sets_a_low_water_mark", another_holder_sets_a_low_water_mark},
	{"closed_while_a_thread_reads", closed_while_a_thread_reads},
	{"closed_while_a_thread_reads_all", closed_while_a_thread_reads_all},
	{"closed_while_a_thread_writes", closed_while_a_thread_writes},
	{"closed_while_a_thread_polls", closed_while_a_thread_polls},
	{"closed_while_a_thread_selects", closed_while_a_thread_selects},
	{"closed_while_a_thread_is_in_epoll_wait", closed_while_a_thread_is_in_epoll_wait},
	{"close_range_of_everything", close_range_of_everything},
	{"a_daemon_keeps_its_connection", a_daemon_keeps_its_connection},
	{"another_user_and_another_root", another_user_and_another_root},
	{NULL, NULL},
};
