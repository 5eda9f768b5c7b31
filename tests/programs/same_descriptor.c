/* SPDX-License-Identifier: MIT */
/* dup, dup2, dup3, fcntl, close_range, descriptor passing, numbers used again */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

static void a_duplicate_is_the_same_socket(void)
{
	int ends[2], twin;
	char in[10];

	pair_open(ends);
	twin = dup(ends[0]);
	say_call("write", write(twin, "abc", 3));
	say_call("write", write(ends[0], "def", 3));
	say_call("read", (ssize_t)read_all(ends[1], in, 6));
	say("%.6s", in);
	say_call("close one", close(ends[0]));
	say_call("peer", recv(ends[1], in, 10, MSG_DONTWAIT));
	say_call("write", write(twin, "ghi", 3));
	say_call("read", read(ends[1], in, 10));
	say_call("close the other", close(twin));
	say_call("read", read(ends[1], in, 10));
	close(ends[1]);
}

static void duplicates_share_nonblocking(void)
{
	int ends[2], twin;
	char in[10];

	pair_open(ends);
	twin = fcntl(ends[1], F_DUPFD_CLOEXEC, 100);
	say("number %s", twin >= 100 ? "high" : "low");
	say("close-on-exec %d", fcntl(twin, F_GETFD));
	set_nonblocking(twin, 1);
	say("nonblocking %d", !!(fcntl(ends[1], F_GETFL) & O_NONBLOCK));
	say_call("read", read(ends[1], in, 10));
	close(twin);
	say_call("read", read(ends[1], in, 10));
	set_nonblocking(ends[1], 0);
	pair_close(ends);
}

static void dup2_over_a_moved_socket_closes_it(void)
{
	int ends[2], other[2];
	char in[10];

	pair_open(ends);
	pair_open(other);
	say("same: %d", dup2(other[0], ends[0]) == ends[0]);
	say_call("peer reads", read(ends[1], in, 10));
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(other[1], in, 10));
	say("dup2 to itself: %d", dup2(ends[0], ends[0]) == ends[0]);
	say_call("dup3 to itself", dup3(ends[0], ends[0], 0));
	say_call("dup2 of a bad one", dup2(999, ends[0]));
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(other[1], in, 10));
	pair_close(ends);
	pair_close(other);
}

static void a_number_used_again_is_another_file(void)
{
	int ends[2], pipes[2], number;
	char in[10];

	pair_open(ends);
	number = ends[0];
	close(ends[0]);
	if (pipe(pipes) < 0)
		die("pipe");
	say("the same number: %d", pipes[0] == number);
	say_call("write", write(pipes[1], "pipe", 4));
	say_call("read", read(pipes[0], in, 10));
	say_call("recv", recv(pipes[0], in, 10, 0));
	say_call("peer reads", read(ends[1], in, 10));
	close(pipes[0]);
	close(pipes[1]);
	close(ends[1]);
	pair_open(ends);
	pair_close(ends);
}

static void a_range_is_closed(void)
{
	int ends[2], high[2];
	char in[10];

	pair_open(ends);
	high[0] = dup2(ends[0], 200);
	high[1] = dup2(ends[1], 201);
	pair_close(ends);
	say_call("write", write(high[0], "abc", 3));
	say_call("close_range", close_range(150, 200, 0));
	say_call("write", write(high[0], "abc", 3));
	say_call("read", read(high[1], in, 10));
	say_call("read", read(high[1], in, 10));
	closefrom(201);
	say_call("read", read(high[1], in, 10));
}

static void after_closing_all_the_rest_still_works(void)
{
	int ends[2], i;
	char in[10];

	pair_open(ends);
	/* what daemons do at start: everything but what they know */
	for (i = 3; i < 1024; i++)
		if (i != ends[0] && i != ends[1])
			close(i);
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "abc", 3));
	say_call("read", read(ends[0], in, 10));
	send_later(ends[0], "later", 30);
	say_call("read", read(ends[1], in, 10));
	send_later_join();
	closefrom(ends[1] > ends[0] ? ends[1] + 1 : ends[0] + 1);
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
	pair_open(ends);
	pair_close(ends);
}

static void only_own_descriptors_are_seen(void)
{
	struct rlimit limit;
	int ends[2], lowest, i, open_ones = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	pair_open(ends);
	lowest = dup(0);
	say("the next number is the lowest: %d", lowest == 5);
	close(lowest);
	for (i = 0; i < 64; i++)
		open_ones += fcntl(i, F_GETFD) >= 0;
	say("open below 64: %d", open_ones);
	getrlimit(RLIMIT_NOFILE, &limit);
	say("limit %llu, table %d", (unsigned long long)limit.rlim_cur, getdtablesize());
	say("sysconf fits: %d", sysconf(_SC_OPEN_MAX) == (long)limit.rlim_cur);
	say_call("getrlimit to nowhere", getrlimit(RLIMIT_NOFILE, no_access()));
	say_call("setrlimit from nowhere", setrlimit(RLIMIT_NOFILE, no_access()));
	say_call("prlimit from nowhere", prlimit(0, RLIMIT_AS, no_access(), NULL));
	say_call("write", write(ends[0], "abc", 3));
	pair_close(ends);
}

/* Any of these ends the process, as in the sandbox of sshd. */
static void enter_sandbox(void)
{
	static const unsigned int deadly[] = {
		SYS_sendto,	 SYS_sendmsg, SYS_recvfrom,   SYS_recvmsg,     SYS_connect,
		SYS_sched_yield, SYS_ppoll,   SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_ctl};
	enum { COUNT = sizeof(deadly) / sizeof(deadly[0]) };
	struct sock_filter filter[2 * COUNT + 2];
	struct sock_fprog program = {.len = 2 * COUNT + 2, .filter = filter};
	unsigned int i;

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (i = 0; i < COUNT; i++) {
		filter[1 + 2 * i] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, deadly[i], 0, 1);
		filter[2 + 2 * i] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	filter[2 * COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		die("seccomp");
}

static void a_sandboxed_program_goes_on(void)
{
	struct pollfd wanted;
	uint16_t port = 0;
	int listener = listen_local(&port), fd, i, status;
	char word[4];
	pid_t pid = fork();

	if (pid == 0) {
		fd = connect_local(port, 0);
		enter_sandbox();
		wanted = (struct pollfd){fd, POLLIN, 0};
		for (i = 0; i < 100; i++) {
			if (write(fd, "word", 4) != 4 || poll(&wanted, 1, 5000) != 1 ||
			    read(fd, word, 4) != 4)
				_exit(1);
		}
		_exit(0);
	}
	fd = accept(listener, NULL, NULL);
	for (i = 0; i < 100 && read_all(fd, word, 4) == 4; i++)
		write_all(fd, word, 4);
	say("exchanges %d", i);
	say_call("end", read(fd, word, 4));
	waitpid(pid, &status, 0);
	say("status %d", status);
	close(fd);
	close(listener);
}

static void descriptors_run_out(void)
{
	struct rlimit before, low;
	int ends[2], extra[64], count = 0;
	char in[10];

	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = 32;
	pair_open(ends);
	say_call("setrlimit", setrlimit(RLIMIT_NOFILE, &low));
	while (count < 64 && (extra[count] = dup(0)) >= 0)
		count++;
	say("%s", strerrorname_np(errno));
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	say_call("dup", dup(ends[0]));
	while (count)
		close(extra[--count]);
	setrlimit(RLIMIT_NOFILE, &before);
	pair_close(ends);
}

/* Who has no number left for it leaves the connection where it is. */
static void an_accept_without_a_number_left(void)
{
	struct rlimit before, low;
	int extra[64], count = 0, listener, clients[2], fd;
	uint16_t port = 0;
	char in[10];

	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = 32;
	listener = listen_local(&port);
	for (int i = 0; i < 2; i++) {
		clients[i] = connect_local(port, 0);
		say_call("write", write(clients[i], "abc", 3));
	}
	say_call("setrlimit", setrlimit(RLIMIT_NOFILE, &low));
	while (count < 64 && (extra[count] = dup(0)) >= 0)
		count++;
	for (int i = 0; i < 3; i++)
		say_call("accept", accept4(listener, NULL, NULL, i ? SOCK_NONBLOCK : 0));
	for (int i = 0; i < 2; i++) {
		close(extra[--count]);
		fd = accept(listener, NULL, NULL);
		say("accept: %s", fd < 0 ? strerrorname_np(errno) : "there");
		say_call("read", read(fd, in, 10));
		say_call("write", write(fd, "def", 3));
		say_call("read", read(clients[i], in, 10));
		say_call("accept", accept(listener, NULL, NULL));
	}
	while (count)
		close(extra[--count]);
	setrlimit(RLIMIT_NOFILE, &before);
	close(listener);
}

static void try_to_map(size_t megabytes)
{
	const size_t length = megabytes << 20;
	void *memory =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	say("%zu MiB: %s", megabytes, memory == MAP_FAILED ? strerrorname_np(errno) : "there");
	if (memory != MAP_FAILED)
		munmap(memory, length);
}

/* The limit is on what the program uses, not a library that it does not know of. */
/* A limit on files' sizes has nothing to do with connections, made before it or after. */
static void say_with_small_files(rlim_t bytes)
{
	const struct rlimit low = {bytes, bytes};
	int ends[2];
	char in[10];

	say_call("setrlimit", setrlimit(RLIMIT_FSIZE, &low));
	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
}

static void files_may_not_be_large(void)
{
	say_with_small_files(20 << 20);
	say_with_small_files(1000);
	say_with_small_files(0);
}

static void files_may_not_be_large_any_more(void)
{
	int ends[2];

	pair_open(ends);
	say_with_small_files(1000);
	pair_warm(ends);
	pair_close(ends);
}

static void the_address_space_is_limited(void)
{
#ifdef __SANITIZE_ADDRESS__
	const struct rlimit low = {RLIM_INFINITY, RLIM_INFINITY}; /* its own shadow would not fit */
#else
	const struct rlimit low = {.rlim_cur = 600U << 20, .rlim_max = 700U << 20};
#endif
	struct rlimit shown;
	char in[10];
	int ends[2], more[2];

	pair_open(ends);
	say_call("setrlimit", setrlimit(RLIMIT_AS, &low));
	getrlimit(RLIMIT_AS, &shown);
	say("limit %llu of %llu", (unsigned long long)shown.rlim_cur,
	    (unsigned long long)shown.rlim_max);
	try_to_map(400);
	try_to_map(8000);
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	pair_open(more);
	pair_close(more);
	try_to_map(400);
	pair_close(ends);
}

/* They are the child's and its program's, and the parent has its own as before. */
static void a_vfork_child_sets_its_limits(void)
{
	struct rlimit files, memory, low, wide = {.rlim_cur = RLIM_INFINITY};
	pid_t pid;
	int ends[2], status;

	pair_open(ends);
	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_AS, &memory);
	low = files;
	low.rlim_cur = 100;
	wide.rlim_max = memory.rlim_max;
#ifndef __SANITIZE_ADDRESS__
	wide.rlim_cur = 1U << 30;
#endif
	fflush(stdout);
	pid = vfork();
	if (pid == 0) {
		if (setrlimit(RLIMIT_NOFILE, &low) < 0 || setrlimit(RLIMIT_AS, &wide) < 0 ||
		    getrlimit(RLIMIT_NOFILE, &low) < 0 || low.rlim_cur != 100)
			_exit(1);
		execlp("sh", "sh", "-c", "ulimit -n; ulimit -v", NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	say("child %d", status);
	getrlimit(RLIMIT_NOFILE, &low);
	getrlimit(RLIMIT_AS, &wide);
	say("files as before %d, memory as before %d", memcmp(&low, &files, sizeof(low)) == 0,
	    memcmp(&wide, &memory, sizeof(wide)) == 0);
	say_call("dup2", dup2(ends[0], 200));
	try_to_map(2000);
	pair_close(ends);
}

/* Only one that is taken locks the program in: what comes later moves. */
static void a_refused_limit_changes_nothing(void)
{
	const struct rlimit refused = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY};
	struct rlimit before, after;
	char in[10];
	int ends[2];

	getrlimit(RLIMIT_NOFILE, &before);
	say_call("setrlimit", setrlimit(RLIMIT_NOFILE, &refused));
	getrlimit(RLIMIT_NOFILE, &after);
	say("as before %d", memcmp(&before, &after, sizeof(before)) == 0);
	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
}

const struct behaviour same_descriptor[] = {
	{"a_vfork_child_sets_its_limits", a_vfork_child_sets_its_limits},
	{"a_refused_limit_changes_nothing", a_refused_limit_changes_nothing},
	{"the_address_space_is_limited", the_address_space_is_limited},
	{"files_may_not_be_large", files_may_not_be_large},
	{"files_may_not_be_large_any_more", files_may_not_be_large_any_more},
	{"a_duplicate_is_the_same_socket", a_duplicate_is_the_same_socket},
	{"duplicates_share_nonblocking", duplicates_share_nonblocking},
	{"dup2_over_a_moved_socket_closes_it", dup2_over_a_moved_socket_closes_it},
	{"a_number_used_again_is_another_file", a_number_used_again_is_another_file},
	{"a_range_is_closed", a_range_is_closed},
	{"after_closing_all_the_rest_still_works", after_closing_all_the_rest_still_works},
	{"only_own_descriptors_are_seen", only_own_descriptors_are_seen},
	{"descriptors_run_out", descriptors_run_out},
	{"an_accept_without_a_number_left", an_accept_without_a_number_left},
	{"a_sandboxed_program_goes_on", a_sandboxed_program_goes_on},
	{NULL, NULL},
};
