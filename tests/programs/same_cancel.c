/* SPDX-License-Identifier: MIT */
/* threads cancelled inside calls, and signal handlers that read, jump away or tell of data */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "same.h"
#include "same_inside.h"

static void *in_sendmsg(void *unused)
{
	struct iovec part = {(char[]){"abc"}, 3};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	return sendmsg(fd_inside, &message, 0) < 0 ? NULL : unused;
}

static void *in_recv_of_all(void *unused)
{
	char in[10];

	return recv(fd_inside, in, sizeof(in), MSG_WAITALL) < 0 ? NULL : unused;
}

static void *in_readv(void *unused)
{
	char in[10];
	struct iovec part = {in, sizeof(in)};

	return readv(fd_inside, &part, 1) < 0 ? NULL : unused;
}

static void *in_sendfile(void *unused)
{
	return sendfile(fd_inside, other_inside, NULL, 100) < 0 ? NULL : unused;
}

/* The thread is cancelled; then the connection works, and closes, as if it had never been. */
static void cancel(void *(*inside)(void *), int full)
{
	pthread_t thread;
	void *result;
	int ends[2];
	char in[10];

	pair_open(ends);
	fd_inside = ends[1];
	if (inside == in_epoll_wait) {
		struct epoll_event event = {EPOLLIN, {0}};

		other_inside = epoll_create1(0);
		epoll_ctl(other_inside, EPOLL_CTL_ADD, ends[1], &event);
	}
	if (full)
		fill(ends[1]);
	pthread_create(&thread, NULL, inside, NULL);
	let_block();
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("cancelled: %d", result == PTHREAD_CANCELED);
	if (full)
		drain(ends[0]);
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	say_call("write", write(ends[1], "abc", 3));
	say_call("read", read(ends[0], in, sizeof(in)));
	close(ends[1]);
	say_call("end", read(ends[0], in, sizeof(in)));
	close(ends[0]);
}

static void a_write_is_cancelled(void)
{
	cancel(in_write, 1);
}

static void a_sendmsg_is_cancelled(void)
{
	cancel(in_sendmsg, 1);
}

/* In this libc it is no cancellation point. */
static void a_sendfile_is_not_cancelled(void)
{
	pthread_t thread;
	void *result;
	int ends[2], mark;

	pair_open(ends);
	fd_inside = ends[1];
	other_inside = temporary_file(1, 1000);
	fill(ends[1]);
	pthread_create(&thread, NULL, in_sendfile, &mark);
	let_block();
	pthread_cancel(thread);
	sleep_us(20000);
	drain(ends[0]);
	pthread_join(thread, &result);
	say("cancelled: %d, sent: %d", result == PTHREAD_CANCELED, result == &mark);
	pair_close(ends);
}

static void a_recv_of_all_is_cancelled(void)
{
	cancel(in_recv_of_all, 0);
}

static void a_readv_is_cancelled(void)
{
	cancel(in_readv, 0);
}

static void a_poll_is_cancelled(void)
{
	cancel(in_poll, 0);
}

static void a_select_is_cancelled(void)
{
	cancel(in_select, 0);
}

static void an_epoll_wait_is_cancelled(void)
{
	cancel(in_epoll_wait, 0);
}

static void a_splice_is_cancelled(void)
{
	int pipes[2];

	if (pipe(pipes) < 0)
		die("pipe");
	other_inside = pipes[1];
	cancel(in_splice, 0);
}

static void *read_at_any_moment(void *unused)
{
	char in[10];

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	return read(fd_inside, in, sizeof(in)) < 0 ? NULL : unused;
}

static void a_read_is_cancelled_asynchronously(void)
{
	cancel(read_at_any_moment, 0);
}

static void *write_at_any_moment(void *unused)
{
	static char block[20000];

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	while (write(fd_inside, block, sizeof(block)) > 0)
		;
	return unused;
}

static void *drain_to_the_end(void *argument)
{
	static char in[65536];
	static char last[4];
	int fd = *(int *)argument;
	ssize_t n;

	while ((n = read(fd, in, sizeof(in))) > 0)
		memcpy(last, in + n - 1, 1);
	return last;
}

/* In the middle of a copy, of a wait, or of neither: no lock stays behind. */
static void writes_are_cancelled_asynchronously(void)
{
	pthread_t writer, reader;
	int ends[2], i, cancelled = 0;
	void *result;

	pair_open(ends);
	fd_inside = ends[0];
	pthread_create(&reader, NULL, drain_to_the_end, &ends[1]);
	for (i = 0; i < 30; i++) {
		pthread_create(&writer, NULL, write_at_any_moment, NULL);
		sleep_us((unsigned int)(2000 + 37 * i));
		pthread_cancel(writer);
		pthread_join(writer, &result);
		cancelled += result == PTHREAD_CANCELED;
	}
	say("cancelled %d", cancelled);
	say_call("write", write(ends[0], "!", 1));
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	pthread_join(reader, &result);
	say("the last byte: %c", *(char *)result);
	pair_close(ends);
}

static volatile sig_atomic_t signals;
static char taken[10];
static ssize_t taken_count;

static void read_in_handler(int signal_number)
{
	(void)signal_number;
	signals++;
	taken_count = recv(fd_inside, taken, sizeof(taken), MSG_DONTWAIT);
}

static pthread_t main_thread;

static void ring_main(void)
{
	pthread_kill(main_thread, SIGUSR1);
}

static void a_handler_that_reads_the_same_socket(void)
{
	struct sigaction action = {.sa_handler = read_in_handler, .sa_flags = SA_RESTART};
	char in[10];
	int ends[2];

	pair_open(ends);
	fd_inside = ends[1];
	main_thread = pthread_self();
	sigaction(SIGUSR1, &action, NULL);
	say_call("write", write(ends[0], "abc", 3));
	raise(SIGUSR1);
	say_call("handler", taken_count);
	run_later(ring_main, 50);
	action.sa_flags = 0;
	sigaction(SIGUSR1, &action, NULL);
	say_call("read", read(ends[1], in, sizeof(in)));
	run_later_join();
	say("signals %d, the handler took %zd", (int)signals, taken_count);
	say_call("write", write(ends[0], "def", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	pair_close(ends);
}

static sigjmp_buf away;

static void jump_away(int signal_number)
{
	siglongjmp(away, signal_number);
}

/* The old way to give up a read. */
static void a_handler_that_jumps_out_of_a_read(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	main_thread = pthread_self();
	signal(SIGUSR1, jump_away);
	run_later(ring_main, 50);
	if (sigsetjmp(away, 1) == 0)
		say_call("read", read(ends[1], in, sizeof(in)));
	else
		say("away");
	run_later_join();
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	close(ends[1]);
	say_call("end", read(ends[0], in, sizeof(in)));
	close(ends[0]);
}

static void *read_to_the_end(void *last)
{
	char in[65536];
	ssize_t n;

	while ((n = read(fd_inside, in, sizeof(in))) > 0)
		*(char *)last = in[n - 1];
	return NULL;
}

static void *write_on(void *unused)
{
	static char out[100000];

	while (write(fd_inside, out, sizeof(out)) > 0)
		;
	return unused;
}

/* Many times, out of calls that move megabytes. */
static void jump_out(ssize_t (*move)(int fd, char *bytes, size_t n), int fd)
{
	const struct itimerval soon = {.it_value.tv_usec = 700}, never = {.it_value.tv_usec = 0};
	static char bytes[4000000];
	static volatile int jumps;

	for (jumps = 0; jumps < 200;) {
		if (sigsetjmp(away, 1)) {
			jumps++;
			continue;
		}
		setitimer(ITIMER_REAL, &soon, NULL);
		while (move(fd, bytes, sizeof(bytes)) > 0)
			;
		setitimer(ITIMER_REAL, &never, NULL);
		say("it failed: %d", errno);
		return;
	}
	say("jumps %d", jumps);
}

static ssize_t move_out(int fd, char *bytes, size_t n)
{
	return write(fd, bytes, n);
}

static ssize_t move_in(int fd, char *bytes, size_t n)
{
	return read(fd, bytes, n);
}

/* @body is to run in a thread that the timer's signal does not reach. */
static pthread_t beside(void *(*body)(void *), void *argument)
{
	pthread_t thread;
	sigset_t alarm;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&thread, NULL, body, argument);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	return thread;
}

/* @jump jumps out of writes while a thread reads; the connection is whole after it. */
static void jump_beside_a_reader(void (*jump)(const int ends[2]))
{
	pthread_t reader;
	char last = 0;
	int ends[2];

	signal(SIGALRM, jump_away);
	pair_open(ends);
	fd_inside = ends[1];
	reader = beside(read_to_the_end, &last);
	jump(ends);
	say_call("write", write(ends[0], "abc", 3));
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	pthread_join(reader, NULL);
	say("the last byte: %c", last);
	pair_close(ends);
}

static void out_of_large_writes(const int ends[2])
{
	jump_out(move_out, ends[0]);
}

static void a_handler_that_jumps_out_of_large_writes(void)
{
	jump_beside_a_reader(out_of_large_writes);
}

/* Is something there for a second that the thread in read() has not taken? */
static bool is_stuck(int fd)
{
	int left = 1;

	for (int i = 0; i < 10000 && left; i++) {
		usleep(100);
		if (ioctl(fd, FIONREAD, &left) < 0)
			die("FIONREAD");
	}
	return left;
}

static void out_of_small_writes(const int ends[2])
{
	const struct itimerval never = {.it_value.tv_usec = 0};
	struct itimerval soon = {.it_value.tv_usec = 0};
	static volatile int attempts, stuck;

	for (attempts = stuck = 0; attempts < 3000 && !stuck; attempts++) {
		soon.it_value.tv_usec = 1 + attempts % 20;
		if (sigsetjmp(away, 1) == 0) {
			setitimer(ITIMER_REAL, &soon, NULL);
			for (int i = 0; i < 40; i++)
				write_all(ends[0], "x", 1);
		}
		setitimer(ITIMER_REAL, &never, NULL);
		stuck = is_stuck(ends[1]);
	}
	say("stuck: %d", stuck);
}

/* With the jump at any moment of a call that wakes a reader: who was to be woken is. */
static void a_handler_that_jumps_out_of_a_small_write(void)
{
	jump_beside_a_reader(out_of_small_writes);
}

static void a_handler_that_jumps_out_of_large_reads(void)
{
	static char in[100000];
	pthread_t writer;
	int ends[2];

	signal(SIGALRM, jump_away);
	pair_open(ends);
	fd_inside = ends[1];
	writer = beside(write_on, NULL);
	jump_out(move_in, ends[0]);
	say("read: %d", read(ends[0], in, sizeof(in)) > 0);
	pthread_cancel(writer);
	while (recv(ends[0], in, sizeof(in), MSG_DONTWAIT) > 0)
		;
	pthread_join(writer, NULL);
	shutdown(ends[1], SHUT_WR);
	while (read(ends[0], in, sizeof(in)) > 0)
		;
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	pair_close(ends);
}

static void ask_and_answer(const int ends[2])
{
	char in[2];

	for (;;)
		for (int end = 0; end < 2; end++)
			if (write(ends[end], "ab", 2) != 2 || read(ends[1 - end], in, 2) <= 0)
				return;
}

static void *ask_elsewhere(void *unused)
{
	char in[2];
	int ends[2];

	connect_pair(ends);
	for (int n = 0; n < 4; n++) {
		(void)!write(ends[0], "ab", 2);
		(void)!read(ends[1], in, sizeof(in));
	}
	pair_close(ends);
	return unused;
}

/* Whatever was under way just then: the connection can end, and others go on. */
static void a_handler_that_jumps_out_at_the_move(void)
{
	char in[100];
	int ends[2];

	signal(SIGALRM, jump_away);
	for (volatile int round = 0; round < 200; round++) {
		const struct itimerval soon = {.it_value.tv_usec = 1 + round * 4};

		connect_pair(ends);
		if (!sigsetjmp(away, 1)) {
			setitimer(ITIMER_REAL, &soon, NULL);
			ask_and_answer(ends);
		}
		for (int end = 0; end < 2; end++) {
			shutdown(ends[end], SHUT_WR);
			while (read(ends[1 - end], in, sizeof(in)) > 0)
				;
		}
		pair_close(ends);
		pthread_join(beside(ask_elsewhere, NULL), NULL);
	}
	say("all have ended");
	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	pair_close(ends);
}

static void count(int signal_number)
{
	(void)signal_number;
	signals++;
}

static void sigurg_tells_of_urgent_data(void)
{
	char in[10];
	int ends[2];

	signal(SIGURG, count);
	pair_open(ends);
	say_call("nobody's", send(ends[0], "!", 1, MSG_OOB));
	settle();
	say("signals %d", (int)signals);
	say_call("owner", fcntl(ends[1], F_SETOWN, getpid()));
	say("it is us: %d", fcntl(ends[1], F_GETOWN) == getpid());
	say_call("urgent", send(ends[0], "!", 1, MSG_OOB));
	settle();
	say("signals %d", (int)signals);
	say_call("the byte", recv(ends[1], in, 1, MSG_OOB));
	say_call("ordinary", send(ends[0], "abc", 3, 0));
	settle();
	say("signals %d", (int)signals);
	say_call("read", recv(ends[1], in, sizeof(in), MSG_DONTWAIT));
	pair_close(ends);
}

static void sigio_tells_of_data(void)
{
	char in[10];
	int ends[2];

	signal(SIGIO, count);
	connect_pair(ends);
	fcntl(ends[1], F_SETOWN, getpid());
	fcntl(ends[1], F_SETFL, O_ASYNC);
	pair_warm(ends);
	settle();
	signals = 0;
	say_call("write", write(ends[0], "abc", 3));
	settle();
	say("told: %d", signals > 0);
	say_call("read", read(ends[1], in, sizeof(in)));
	pair_close(ends);
}

const struct behaviour same_cancel[] = {
	{"a_write_is_cancelled", a_write_is_cancelled},
	{"a_sendmsg_is_cancelled", a_sendmsg_is_cancelled},
	{"a_sendfile_is_not_cancelled", a_sendfile_is_not_cancelled},
	{"a_recv_of_all_is_cancelled", a_recv_of_all_is_cancelled},
	{"a_readv_is_cancelled", a_readv_is_cancelled},
	{"a_poll_is_cancelled", a_poll_is_cancelled},
	{"a_select_is_cancelled", a_select_is_cancelled},
	{"an_epoll_wait_is_cancelled", an_epoll_wait_is_cancelled},
	{"a_splice_is_cancelled", a_splice_is_cancelled},
	{"a_read_is_cancelled_asynchronously", a_read_is_cancelled_asynchronously},
	{"writes_are_cancelled_asynchronously", writes_are_cancelled_asynchronously},
	{"a_handler_that_reads_the_same_socket", a_handler_that_reads_the_same_socket},
	{"a_handler_that_jumps_out_of_a_read", a_handler_that_jumps_out_of_a_read},
	{"a_handler_that_jumps_out_of_large_writes", a_handler_that_jumps_out_of_large_writes},
	{"a_handler_that_jumps_out_of_a_small_write", a_handler_that_jumps_out_of_a_small_write},
	{"a_handler_that_jumps_out_of_large_reads", a_handler_that_jumps_out_of_large_reads},
	{"a_handler_that_jumps_out_at_the_move", a_handler_that_jumps_out_at_the_move},
	{"sigurg_tells_of_urgent_data", sigurg_tells_of_urgent_data},
	{"sigio_tells_of_data", sigio_tells_of_data},
	{NULL, NULL},
};
