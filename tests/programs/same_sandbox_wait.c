/* SPDX-License-Identifier: MIT */
/*
 * Programs that sandbox themselves and then wait with poll, select or epoll; and what is no sandbox
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"
#include "sandbox.h"

static const unsigned int few[] = {
	SYS_read, SYS_write, SYS_close, SYS_exit, SYS_rt_sigreturn,
#ifdef SYS_poll
	SYS_poll,
#else
	SYS_ppoll,
#endif
};

static void lock_in_with_poll(void)
{
	allow_only(few, sizeof(few) / sizeof(few[0]));
}

/* --- a filter that knows poll --- */

static int poll_and_answer(int fd)
{
	struct pollfd wanted = {fd, POLLIN, 0};
	char word[4];
	int i;

	for (i = 0; i < 50; i++)
		if (poll(&wanted, 1, 5000) != 1 || read(fd, word, 4) != 4 ||
		    (read(fd, word, 4) >= 0 || errno != EAGAIN) || write(fd, "word", 4) != 4)
			return 1;
	close(fd);
	return 0;
}

static void ask(void)
{
	char word[4];
	int i;

	for (i = 0; i < 50; i++) {
		write_all(box_ends[1], "word", 4);
		if (read_all(box_ends[1], word, 4) != 4)
			break;
	}
	say("asked %d", i);
	say_call("end", read(box_ends[1], word, 4));
}

static void a_filter_with_poll_goes_on(void)
{
	pair_open(box_ends);
	set_nonblocking(box_ends[0], 1);
	box_start(lock_in_with_poll, poll_and_answer, 0);
	ask();
	box_finish();
}

static int look_first(int fd)
{
	struct pollfd wanted = {fd, POLLIN | POLLOUT, 0};
	char in[10];

	say_call("poll", poll(&wanted, 1, 5000));
	say_poll("poll", (unsigned int)wanted.revents);
	say_call("read", read(fd, in, 2));
	wanted.events = POLLIN;
	say_call("poll", poll(&wanted, 1, -1));
	say_call("read", read(fd, in, 10));
	say_call("poll", poll(&wanted, 1, 0));
	say_call("write", write(fd, "go on", 5));
	say_call("poll", poll(&wanted, 1, 5000));
	say_call("read", read(fd, in, 10));
	return 0;
}

static void poll_sees_what_came_before_the_filter(void)
{
	char in[10];
	size_t n;

	pair_open(box_ends);
	write_all(box_ends[1], "abcdef", 6);
	settle();
	box_start(lock_in_with_poll, look_first, 0);
	n = read_all(box_ends[1], in, 5);
	write_all(box_ends[1], "ghi", 3);
	box_finish();
	say("read %zu", n);
}

static int select_first(int fd)
{
	struct timeval limit = {5, 0};
	fd_set in, out;
	char bytes[10];

	FD_ZERO(&in);
	FD_SET(fd, &in);
	out = in;
	say_call("select", select(fd + 1, &in, &out, NULL, &limit));
	say_call("read", read(fd, bytes, 10));
	FD_SET(fd, &in);
	limit.tv_sec = 0;
	say_call("select", select(fd + 1, &in, NULL, NULL, &limit));
	say("%d", FD_ISSET(fd, &in) != 0);
	return 0;
}

static void select_sees_what_came_before_the_filter(void)
{
	pair_open(box_ends);
	write_all(box_ends[1], "abcdef", 6);
	settle();
	box_start(lock_in_by_number, select_first, 0);
	box_finish();
}

static void queued_bytes_count_those_before_the_filter(void)
{
	char in[10];
	int queued = -1;

	pair_open(box_ends);
	write_all(box_ends[1], "abcdef", 6);
	settle();
	lock_in_by_number();
	write_all(box_ends[1], "ghi", 3);
	settle();
	say_call("ioctl", ioctl(box_ends[0], FIONREAD, &queued));
	say("queued %d", queued);
	say_call("read", recv(box_ends[0], in, 9, MSG_WAITALL));
	say_call("ioctl", ioctl(box_ends[0], FIONREAD, &queued));
	say("queued %d", queued);
	pair_close(box_ends);
}

static int close_unread(int fd)
{
	return close(fd);
}

static void a_close_with_bytes_unread_in_a_sandbox_resets(void)
{
	char in[10];

	pair_open(box_ends);
	write_all(box_ends[1], "abcdef", 6);
	settle();
	box_start(lock_in_with_poll, close_unread, 0);
	say_call("read", read(box_ends[1], in, 10));
	box_finish();
}

static int shut_and_leave(int fd)
{
	char in[10];

	if (shutdown(fd, SHUT_WR) < 0)
		return 1;
	return read_all(fd, in, 9) == 9 && memcmp(in, "abcdefghi", 9) == 0 ? 0 : 2;
}

static void a_half_close_in_a_sandbox(void)
{
	char in[10];

	pair_open(box_ends);
	write_all(box_ends[1], "abcdef", 6);
	settle();
	box_start(lock_in_by_number, shut_and_leave, 0);
	say_call("read", read(box_ends[1], in, 10));
	say_call("write", write(box_ends[1], "ghi", 3));
	box_finish();
}

/* --- epoll --- */

static const unsigned int with_epoll[] = {
	SYS_read,	SYS_write, SYS_close, SYS_exit, SYS_epoll_pwait, SYS_epoll_ctl,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
};

static void lock_in_with_epoll(void)
{
	allow_only(with_epoll, sizeof(with_epoll) / sizeof(with_epoll[0]));
}

static int epoll;

static void say_wait(int timeout)
{
	struct epoll_event got[4];
	int n = epoll_wait(epoll, got, 4, timeout);

	say_call("wait", n);
	if (n == 1) {
		say("data %d", (int)got[0].data.u64);
		say_poll("events", got[0].events);
	}
}

static int wait_first(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 8};
	char in[10];

	say_wait(5000);
	say_call("read", read(fd, in, 2));
	event.data.u64 = 9;
	say_call("modify", epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
	say_wait(5000);
	say_call("read", read(fd, in, 10));
	say_wait(0);
	say_call("write", write(fd, "go on", 5));
	say_wait(5000);
	say_call("read", read(fd, in, 10));
	say_call("delete", epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
	say_call("delete", epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
	return 0;
}

/* The epoll is the program's own: it was made, and the connection has moved, where it locks itself in. */
static void epoll_before_a_filter(uint32_t events)
{
	uint16_t port = 0;
	int listener = listen_local(&port), i;
	struct epoll_event event = {.events = events, .data.u64 = 7};
	char in[10];
	size_t n;

	say("start");
	box_program = fork();
	if (box_program == 0) {
		box_ends[0] = connect_local(port, 0);
		epoll = epoll_create1(0);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, box_ends[0], &event) < 0)
			die("epoll_ctl");
		for (i = 0; i < 20; i++) {
			write_all(box_ends[0], "w", 1);
			epoll_wait(epoll, &event, 1, 5000);
			if (read(box_ends[0], in, 1) != 1)
				die("warm-up");
			event = (struct epoll_event){.events = events, .data.u64 = 7};
			epoll_ctl(epoll, EPOLL_CTL_MOD, box_ends[0], &event);
			sleep_us(500);
		}
		write_all(box_ends[0], "w", 1);
		sleep_us(100000);
		lock_in_with_epoll();
		syscall(SYS_exit, wait_first(box_ends[0]));
	}
	box_ends[1] = accept(listener, NULL, NULL);
	for (i = 0; i < 20 && read_all(box_ends[1], in, 1) == 1; i++)
		write_all(box_ends[1], in, 1);
	n = read_all(box_ends[1], in, 1);
	write_all(box_ends[1], "abcdef", 6);
	n += read_all(box_ends[1], in, 5);
	write_all(box_ends[1], "ghi", 3);
	box_finish();
	say("read %zu", n);
	close(listener);
}

static void an_epoll_in_a_sandbox(void)
{
	epoll_before_a_filter(EPOLLIN);
}

static void an_edge_in_a_sandbox(void)
{
	epoll_before_a_filter(EPOLLIN | EPOLLET);
}

static void one_shot_in_a_sandbox(void)
{
	epoll_before_a_filter(EPOLLIN | EPOLLONESHOT);
}

/* --- limits, and what is no sandbox --- */

static int poll_at_the_limit(int fd)
{
	struct pollfd two[2] = {{fd, POLLIN, 0}, {fd, POLLIN, 0}};
	char word[4];

	write_all(fd, "word", 4);
	say_call("poll of one", poll(two, 1, 2000));
	say_call("poll of two", poll(two, 2, 2000));
	say_call("read", read(fd, word, 4));
	return ask_and_answer(fd);
}

static void one_descriptor_is_the_limit(void)
{
	pair_open(box_ends);
	box_start(lock_in_with_one_descriptor, poll_at_the_limit, 0);
	box_echo();
	box_finish();
}

static void no_descriptor_is_the_limit(void)
{
	pair_open(box_ends);
	box_start(lock_in_with_none, poll_at_the_limit, 0);
	box_echo();
	box_finish();
}

static void ask_for_no_privileges(void)
{
	say_call("prctl", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	say_call("no filter", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL));
	say_call("no filter", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL));
}

static void no_new_privileges_are_no_sandbox(void)
{
	pair_open(box_ends);
	box_start(ask_for_no_privileges, ask_and_answer, 0);
	box_echo();
	box_finish();
}

static void refuse_a_filter(void)
{
	struct sock_filter wrong = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 1);
	struct sock_fprog filter = {.len = 1, .filter = &wrong};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	say_call("filter", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
}

static int connect_again(int fd)
{
	int others[2], error = ask_and_answer(fd);

	pair_open(others);
	pair_close(others);
	return error;
}

static void a_refused_filter_changes_nothing(void)
{
	pair_open(box_ends);
	box_start(refuse_a_filter, connect_again, 0);
	box_echo();
	box_finish();
}

static int start_others(int fd)
{
	char path[] = "/bin/true", *arguments[] = {path, NULL};
	int status;
	pid_t pid;

	say_call("spawn", posix_spawn(&pid, path, NULL, NULL, arguments, environ));
	waitpid(pid, &status, 0);
	say("status %d", status);
	pid = vfork();
	if (pid == 0) {
		close(fd);
		execv(path, arguments);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	say("status %d", status);
	return ask_and_answer(fd);
}

static void a_program_started_in_a_sandbox(void)
{
	pair_open(box_ends);
	box_start(lock_in_by_number, start_others, 0);
	box_echo();
	box_finish();
}

/* What the child closes is not ours, and what came before is still there. */
static int leave_to_vfork(int fd)
{
	char word[4];
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	say_call("read", read(fd, word, 4));
	return 0;
}

static void a_vfork_child_with_one_descriptor(void)
{
	pair_open(box_ends);
	write_all(box_ends[1], "word", 4);
	box_start(lock_in_with_one_descriptor, leave_to_vfork, 0);
	box_finish();
}

static void both_ends_in_one_sandbox(void)
{
	char in[10];

	pair_open(box_ends);
	write_all(box_ends[0], "before", 6);
	lock_in_by_number();
	write_all(box_ends[0], "after", 5);
	say_call("read", recv(box_ends[1], in, 10, MSG_WAITALL));
	say("%.10s", in);
	say_call("read", read(box_ends[1], in, 10));
	say_call("write", write(box_ends[1], "answer", 6));
	say_call("peek", recv(box_ends[0], in, 10, MSG_PEEK));
	say_call("read", read(box_ends[0], in, 10));
	pair_close(box_ends);
}

static void reset_in_a_sandbox(int sends)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};
	char in[100];

	pair_open(box_ends);
	write_all(box_ends[1], "abcdef", 6);
	settle();
	lock_in_by_number();
	write_all(box_ends[1], "ghi", 3);
	setsockopt(box_ends[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(box_ends[1]);
	say_call("recv", recv(box_ends[0], in, 100, MSG_WAITALL));
	if (sends)
		say_call("send", send(box_ends[0], "j", 1, MSG_NOSIGNAL));
	say_call("read", read(box_ends[0], in, 100));
	say_call("read", read(box_ends[0], in, 100));
	close(box_ends[0]);
}

static void a_reset_in_a_sandbox_follows_what_came_before(void)
{
	reset_in_a_sandbox(0);
}

static void a_send_in_a_sandbox_tells_of_a_reset(void)
{
	reset_in_a_sandbox(1);
}

static void *read_and_say(void *unused)
{
	char in[10];

	say_call("read", read(box_ends[0], in, 10));
	return unused;
}

static void *poll_and_say(void *unused)
{
	struct pollfd two[2] = {{box_ends[0], POLLIN, 0}, {.fd = -1}};
	char in[10];

	say_call("poll", poll(two, 2, -1));
	say_poll("poll", (unsigned int)two[0].revents);
	say_call("read", read(box_ends[0], in, 10));
	return unused;
}

static void *select_and_say(void *unused)
{
	struct timeval limit = {10, 0};
	char in[10];
	fd_set wanted;

	FD_ZERO(&wanted);
	FD_SET(box_ends[0], &wanted);
	say_call("select", select(box_ends[0] + 1, &wanted, NULL, NULL, &limit));
	say_call("read", read(box_ends[0], in, 10));
	return unused;
}

/* The filter is for the thread that sets it; the other sleeps on meanwhile. */
static void another_thread_waits_on(void *(*wait)(void *))
{
	pthread_t thread;

	pair_open(box_ends);
	pthread_create(&thread, NULL, wait, NULL);
	settle();
	lock_in_by_number();
	settle();
	write_all(box_ends[1], "abc", 3);
	pthread_join(thread, NULL);
	pair_close(box_ends);
}

static void another_thread_reads_on(void)
{
	another_thread_waits_on(read_and_say);
}

static void another_thread_polls_on(void)
{
	another_thread_waits_on(poll_and_say);
}

static void another_thread_selects_on(void)
{
	another_thread_waits_on(select_and_say);
}

const struct behaviour same_sandbox_wait[] = {
	{"a_filter_with_poll_goes_on", a_filter_with_poll_goes_on},
	{"poll_sees_what_came_before_the_filter", poll_sees_what_came_before_the_filter},
	{"select_sees_what_came_before_the_filter", select_sees_what_came_before_the_filter},
	{"queued_bytes_count_those_before_the_filter", queued_bytes_count_those_before_the_filter},
	{"a_close_with_bytes_unread_in_a_sandbox_resets",
	 a_close_with_bytes_unread_in_a_sandbox_resets},
	{"a_half_close_in_a_sandbox", a_half_close_in_a_sandbox},
	{"an_epoll_in_a_sandbox", an_epoll_in_a_sandbox},
	{"an_edge_in_a_sandbox", an_edge_in_a_sandbox},
	{"one_shot_in_a_sandbox", one_shot_in_a_sandbox},
	{"one_descriptor_is_the_limit", one_descriptor_is_the_limit},
	{"no_descriptor_is_the_limit", no_descriptor_is_the_limit},
	{"no_new_privileges_are_no_sandbox", no_new_privileges_are_no_sandbox},
	{"a_refused_filter_changes_nothing", a_refused_filter_changes_nothing},
	{"a_program_started_in_a_sandbox", a_program_started_in_a_sandbox},
	{"a_vfork_child_with_one_descriptor", a_vfork_child_with_one_descriptor},
	{"both_ends_in_one_sandbox", both_ends_in_one_sandbox},
	{"a_reset_in_a_sandbox_follows_what_came_before",
	 a_reset_in_a_sandbox_follows_what_came_before},
	{"a_send_in_a_sandbox_tells_of_a_reset", a_send_in_a_sandbox_tells_of_a_reset},
	{"another_thread_reads_on", another_thread_reads_on},
	{"another_thread_polls_on", another_thread_polls_on},
	{"another_thread_selects_on", another_thread_selects_on},
	{NULL, NULL},
};
