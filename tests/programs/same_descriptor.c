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
	say_call("write", write(ends[0], "abc", 3));
	pair_close(ends);
}

static int pass_descriptor(int channel, int fd)
{
	char byte = 'p', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	return (int)sendmsg(channel, &message, 0);
}

static int take_descriptor(int channel)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg(channel, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static void a_moved_socket_passed_to_oneself(void)
{
	int ends[2], channel[2], twin;
	char in[10];

	pair_open(ends);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, channel) < 0)
		die("socketpair");
	say_call("pass", pass_descriptor(channel[0], ends[0]));
	twin = take_descriptor(channel[1]);
	close(ends[0]);
	say_call("write", write(twin, "abc", 3));
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "def", 3));
	say_call("read", read(twin, in, 10));
	close(twin);
	say_call("read", read(ends[1], in, 10));
	close(ends[1]);
	close(channel[0]);
	close(channel[1]);
}

static void a_moved_socket_passed_to_another_process(void)
{
	int ends[2], channel[2], status;
	char in[10];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, channel) < 0)
		die("socketpair");
	pid = fork(); /* before there is a connection: the child cannot have inherited it */
	if (pid == 0) {
		int fd = take_descriptor(channel[1]);

		if (fd < 0 || read_all(fd, in, 3) != 3 || memcmp(in, "abc", 3) != 0)
			_exit(1);
		write_all(fd, "answer", 6);
		_exit(0);
	}
	pair_open(ends);
	say_call("pass", pass_descriptor(channel[0], ends[0]));
	close(ends[0]);
	say_call("write", write(ends[1], "abc", 3));
	say_call("read", (ssize_t)read_all(ends[1], in, 6));
	say("%.6s", in);
	waitpid(pid, &status, 0);
	say("child %d", WEXITSTATUS(status));
	say_call("read", read(ends[1], in, 10));
	close(ends[1]);
}

/* Any of these ends the process, as in the sandbox of sshd. */
static void enter_sandbox(void)
{
	static const unsigned int deadly[] = {SYS_sendto, SYS_sendmsg, SYS_recvfrom, SYS_recvmsg,
					      SYS_connect, SYS_sched_yield, SYS_ppoll,
					      SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_ctl};
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

const struct behaviour same_descriptor[] = {
	{"a_duplicate_is_the_same_socket", a_duplicate_is_the_same_socket},
	{"duplicates_share_nonblocking", duplicates_share_nonblocking},
	{"dup2_over_a_moved_socket_closes_it", dup2_over_a_moved_socket_closes_it},
	{"a_number_used_again_is_another_file", a_number_used_again_is_another_file},
	{"a_range_is_closed", a_range_is_closed},
	{"after_closing_all_the_rest_still_works", after_closing_all_the_rest_still_works},
	{"only_own_descriptors_are_seen", only_own_descriptors_are_seen},
	{"a_moved_socket_passed_to_oneself", a_moved_socket_passed_to_oneself},
	{"a_moved_socket_passed_to_another_process", a_moved_socket_passed_to_another_process},
	{"descriptors_run_out", descriptors_run_out},
	{"a_sandboxed_program_goes_on", a_sandboxed_program_goes_on},
	{NULL, NULL},
};
