/* SPDX-License-Identifier: MIT */
/* EINTR, SA_RESTART, SIGPIPE, handlers that do I/O, cancellation */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

static volatile sig_atomic_t signals;
static int handler_fd = -1;

static void handler(int signal_number)
{
	int error = errno;

	(void)signal_number;
	signals++;
	if (handler_fd >= 0 && write(handler_fd, "h", 1) != 1)
		signals += 1000;
	errno = error;
}

/* SIGUSR1 to the calling thread after a while. */
static pthread_t ringer;
static pthread_t ringer_target;

static void *ring(void *unused)
{
	sleep_us(60000);
	pthread_kill(ringer_target, SIGUSR1);
	return unused;
}

static void ring_me_later(void)
{
	ringer_target = pthread_self();
	pthread_create(&ringer, NULL, ring, NULL);
}

static void signal_me_later(int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigaction(SIGUSR1, &action, NULL);
	ring_me_later();
}

static void signal_join(void)
{
	pthread_join(ringer, NULL);
	say("signals %d", (int)signals);
}

static void a_signal_interrupts_read(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	signal_me_later(0);
	say_call("read", read(ends[1], in, 10));
	signal_join();
	signal_me_later(0);
	say_call("recv all", recv(ends[1], in, 10, MSG_WAITALL));
	signal_join();
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
}

static void a_signal_ends_waitall_with_what_came(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	signal_me_later(0);
	say_call("recv all", recv(ends[1], in, 10, MSG_WAITALL));
	signal_join();
	pair_close(ends);
}

static void a_restarting_signal_does_not_interrupt_read(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	signal_me_later(SA_RESTART);
	send_later(ends[0], "later", 150);
	say_call("read", read(ends[1], in, 10));
	signal_join();
	send_later_join();
	pair_close(ends);
}

int __sigaction(int number, const struct sigaction *action, struct sigaction *old);
__sighandler_t bsd_signal(int number, __sighandler_t handler);
__sighandler_t ssignal(int number, __sighandler_t handler);
__sighandler_t sysv_signal(int number, __sighandler_t handler);

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* sigset() and its kin */

/* What comes later is read by the call that the signal does not interrupt, else by the next. */
static void read_with_a_signal(const char *what, const int ends[2])
{
	char in[10];

	ring_me_later();
	send_later(ends[0], "later", 150);
	say_call(what, read(ends[1], in, sizeof(in)));
	signal_join();
	send_later_join();
	settle();
	say_call("  left", recv(ends[1], in, sizeof(in), MSG_DONTWAIT));
}

static void handlers_by_older_names_are_signal_handlers(void)
{
	const struct sigaction interrupts = {.sa_handler = handler};
	int ends[2];

	pair_open(ends);
	say("first: %d", bsd_signal(SIGUSR1, handler) == SIG_DFL);
	read_with_a_signal("bsd_signal", ends);
	say("it was: %d", sigset(SIGUSR1, handler) == handler);
	read_with_a_signal("sigset", ends);
	say("it was: %d", ssignal(SIGUSR1, handler) == handler);
	read_with_a_signal("ssignal", ends);
	say("it was: %d", sysv_signal(SIGUSR1, handler) == handler);
	read_with_a_signal("sysv_signal", ends);
	say("it was for once: %d", signal(SIGUSR1, handler) == SIG_DFL);
	say_call("__sigaction", __sigaction(SIGUSR1, &interrupts, NULL));
	read_with_a_signal("__sigaction", ends);
	pair_close(ends);
}

static void what_sigset_says(int number)
{
	say("of %s", sigabbrev_np(number));
	say("default: %d", sigset(number, handler) == SIG_DFL);
	say("hold: %d", sigset(number, SIG_HOLD) == handler);
	raise(number);
	say("held, signals %d", (int)signals);
	say("again: %d", sigset(number, handler) == SIG_HOLD);
	say("signals %d", (int)signals);
	raise(number);
	say("signals %d", (int)signals);
	say_call("sigignore", sigignore(number));
	raise(number);
	say("ignored: %d, signals %d", sigset(number, SIG_DFL) == SIG_IGN, (int)signals);
}

static void sigset_holds_a_signal(void)
{
	int ends[2];

	pair_open(ends);
	what_sigset_says(SIGUSR1);
	what_sigset_says(SIGSEGV);
	pair_close(ends);
}

static int splice_from, splice_to;

static void read_pipe(void)
{
	static char in[65536];

	if (read(splice_to, in, sizeof(in)) < 0)
		die("read");
}

static void write_pipe(void)
{
	write_all(splice_from, "abc", 3);
}

/* A splice that waits for its pipe: interrupted, and not. */
static void a_signal_in_splice(void)
{
	static const char page[4096];
	int ends[2], pipes[2];
	char in[10];

	if (pipe(pipes) < 0)
		die("pipe");
	pair_open(ends);
	signal_me_later(0);
	say_call("of nothing", splice(pipes[0], NULL, ends[0], NULL, 10, 0));
	signal_join();
	splice_from = pipes[1];
	signal_me_later(SA_RESTART);
	run_later(write_pipe, 150);
	say_call("of nothing yet", splice(pipes[0], NULL, ends[0], NULL, 10, 0));
	run_later_join();
	signal_join();
	say_call("read", read(ends[1], in, sizeof(in)));
	set_nonblocking(pipes[1], 1);
	while (write(pipes[1], page, sizeof(page)) > 0)
		;
	set_nonblocking(pipes[1], 0);
	say_call("write", write(ends[0], "abc", 3));
	signal_me_later(0);
	say_call("into no room", splice(ends[1], NULL, pipes[1], NULL, 10, 0));
	signal_join();
	splice_to = pipes[0];
	signal_me_later(SA_RESTART);
	run_later(read_pipe, 150);
	say_call("into no room yet", splice(ends[1], NULL, pipes[1], NULL, 10, 0));
	run_later_join();
	signal_join();
	pair_close(ends);
	pair_close(pipes);
}

static void a_restarting_signal_interrupts_a_time_out(void)
{
	struct timeval time = {5, 0};
	char in[10];
	int ends[2];

	pair_open(ends);
	setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	signal_me_later(SA_RESTART);
	say_call("recv", recv(ends[1], in, 10, 0));
	signal_join();
	pair_close(ends);
}

static void a_signal_interrupts_write(void)
{
	int ends[2];

	pair_open(ends);
	fill(ends[0]);
	signal_me_later(0);
	say_call("write", write(ends[0], "x", 1));
	signal_join();
	drain(ends[1]);
	pair_close(ends);
}

static void a_signal_cuts_a_long_write_short(void)
{
	int ends[2];
	ssize_t n;

	pair_open(ends);
	signal_me_later(0);
	n = write(ends[0], same_block, sizeof(same_block));
	say("some went: %s", n > 0 && n < (ssize_t)sizeof(same_block) ? "yes" : "no");
	signal_join();
	say("as many came: %s", drain(ends[1]) == (size_t)n ? "yes" : "no");
	pair_close(ends);
}

static void *signal_at_the_fault(void *context)
{
	const struct late_page *page = context;

	late_page_wait(page);
	pthread_kill(ringer_target, SIGUSR1);
	sleep_us(30000);
	late_page_end(page);
	return NULL;
}

static void a_signal_during_the_copy_cuts_a_write_short(void)
{
	const struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	const size_t bytes = 16 << 20;
	char *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct late_page page = {.at = block + 16384, .bytes = 4096};
	int ends[2];
	ssize_t n;

	pair_open(ends);
	say("late page: %d", late_page_open(&page));
	sigaction(SIGUSR1, &action, NULL);
	ringer_target = pthread_self();
	pthread_create(&ringer, NULL, signal_at_the_fault, &page);
	n = write(ends[0], block, bytes);
	say("some went: %s", n > 0 && n < (ssize_t)bytes ? "yes" : "no");
	signal_join();
	say("as many came: %s", drain(ends[1]) == (size_t)n ? "yes" : "no");
	pair_close(ends);
	close(page.faults);
}

static void a_signal_interrupts_every_wait(void)
{
	struct epoll_event event = {EPOLLIN, {0}};
	struct pollfd wanted;
	fd_set reads;
	int ends[2], epoll = epoll_create1(0);

	pair_open(ends);
	wanted = (struct pollfd){ends[1], POLLIN, 0};
	signal_me_later(SA_RESTART);
	say_call("poll", poll(&wanted, 1, 5000));
	signal_join();
	FD_ZERO(&reads);
	FD_SET(ends[1], &reads);
	signal_me_later(SA_RESTART);
	say_call("select", select(ends[1] + 1, &reads, NULL, NULL, NULL));
	signal_join();
	epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event);
	signal_me_later(SA_RESTART);
	say_call("epoll_wait", epoll_wait(epoll, &event, 1, 5000));
	signal_join();
	close(epoll);
	pair_close(ends);
}

static void a_mask_for_the_wait_only(void)
{
	struct epoll_event event = {EPOLLIN, {0}};
	struct timespec short_time = {0, 50000000}, long_time = {5, 0};
	sigset_t none, usr1;
	struct pollfd wanted;
	fd_set reads;
	int ends[2], epoll = epoll_create1(0);

	pair_open(ends);
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	signal(SIGUSR1, handler);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	raise(SIGUSR1);
	wanted = (struct pollfd){ends[1], POLLIN, 0};
	say_call("ppoll masked", ppoll(&wanted, 1, &short_time, &usr1));
	say("signals %d", (int)signals);
	say_call("ppoll unmasked", ppoll(&wanted, 1, &long_time, &none));
	say("signals %d", (int)signals);
	raise(SIGUSR1);
	FD_ZERO(&reads);
	FD_SET(ends[1], &reads);
	say_call("pselect", pselect(ends[1] + 1, &reads, NULL, NULL, &long_time, &none));
	raise(SIGUSR1);
	epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event);
	say_call("epoll_pwait", epoll_pwait(epoll, &event, 1, 5000, &none));
	say("signals %d", (int)signals);
	close(epoll);
	pair_close(ends);
}

static void a_handler_that_writes_to_the_same_socket(void)
{
	char in[200];
	int ends[2], i;

	pair_open(ends);
	handler_fd = ends[0];
	signal(SIGUSR1, handler);
	for (i = 0; i < 50; i++) {
		say_call("write", write(ends[0], "m", 1));
		raise(SIGUSR1);
	}
	say_call("read", (ssize_t)read_all(ends[1], in, 100));
	for (i = 0; i < 100 && in[i] == (i % 2 ? 'h' : 'm'); i++)
		;
	say("in order: %d", i);
	handler_fd = -1;
	pair_close(ends);
}

static void *read_all_of_it(void *argument)
{
	static char in[65536];
	int fd = *(int *)argument;
	static size_t letters[2];
	ssize_t n, i;

	while ((n = read(fd, in, sizeof(in))) > 0)
		for (i = 0; i < n; i++)
			letters[in[i] == 'h']++;
	return letters;
}

/* A timer whose handler writes, at any moment of the writes it interrupts. */
static void a_handler_that_interrupts_writes(void)
{
	static char block[4096];
	struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	pthread_t thread;
	size_t *letters;
	int ends[2], i;
	sigset_t alarms;
	void *result;

	pair_open(ends);
	memset(block, 'm', sizeof(block));
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGVTALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	pthread_create(&thread, NULL, read_all_of_it, &ends[1]);
	pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
	handler_fd = ends[0];
	sigaction(SIGVTALRM, &action, NULL);
	setitimer(ITIMER_VIRTUAL, &often, NULL);
	for (i = 0; i < 5000; i++)
		write_all(ends[0], block, sizeof(block));
	setitimer(ITIMER_VIRTUAL, &never, NULL);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	handler_fd = -1;
	shutdown(ends[0], SHUT_WR);
	pthread_join(thread, &result);
	letters = result;
	say("main %zu, handler as often as it ran: %s", letters[0],
	    letters[1] == (size_t)signals ? "yes" : "no");
	pair_close(ends);
}

static void sigpipe_kills_by_default(void)
{
	int ends[2], status;
	pid_t pid;

	pair_open(ends);
	pid = fork();
	if (pid == 0) {
		shutdown(ends[0], SHUT_WR);
		if (write(ends[0], "x", 1) < 0)
			_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	say("killed by %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	pair_close(ends);
}

static void *read_and_be_cancelled(void *argument)
{
	char in[10];

	if (read(*(int *)argument, in, sizeof(in)) < 0)
		return NULL;
	return argument;
}

static void a_cancelled_reader_leaves_the_socket_usable(void)
{
	pthread_t thread;
	void *result;
	int ends[2];
	char in[10];

	pair_open(ends);
	pthread_create(&thread, NULL, read_and_be_cancelled, &ends[1]);
	let_block();
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("cancelled: %d", result == PTHREAD_CANCELED);
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
}

static void *cancel_oneself_and_read(void *argument)
{
	char in[10];
	ssize_t n;

	pthread_cancel(pthread_self());
	n = read(*(int *)argument, in, sizeof(in));
	return n < 0 ? NULL : argument;
}

static void a_read_is_a_cancellation_point_with_data_there(void)
{
	pthread_t thread;
	void *result;
	int ends[2];
	char in[10];

	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	settle();
	pthread_create(&thread, NULL, cancel_oneself_and_read, &ends[1]);
	pthread_join(thread, &result);
	say("cancelled: %d", result == PTHREAD_CANCELED);
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
}

const struct behaviour same_signal[] = {
	{"a_signal_interrupts_read", a_signal_interrupts_read},
	{"a_signal_ends_waitall_with_what_came", a_signal_ends_waitall_with_what_came},
	{"a_restarting_signal_does_not_interrupt_read",
	 a_restarting_signal_does_not_interrupt_read},
	{"handlers_by_older_names_are_signal_handlers",
	 handlers_by_older_names_are_signal_handlers},
	{"sigset_holds_a_signal", sigset_holds_a_signal},
	{"a_signal_in_splice", a_signal_in_splice},
	{"a_restarting_signal_interrupts_a_time_out", a_restarting_signal_interrupts_a_time_out},
	{"a_signal_interrupts_write", a_signal_interrupts_write},
	{"a_signal_cuts_a_long_write_short", a_signal_cuts_a_long_write_short},
	{"a_signal_during_the_copy_cuts_a_write_short",
	 a_signal_during_the_copy_cuts_a_write_short},
	{"a_signal_interrupts_every_wait", a_signal_interrupts_every_wait},
	{"a_mask_for_the_wait_only", a_mask_for_the_wait_only},
	{"a_handler_that_writes_to_the_same_socket", a_handler_that_writes_to_the_same_socket},
	{"a_handler_that_interrupts_writes", a_handler_that_interrupts_writes},
	{"sigpipe_kills_by_default", sigpipe_kills_by_default},
	{"a_cancelled_reader_leaves_the_socket_usable",
	 a_cancelled_reader_leaves_the_socket_usable},
	{"a_read_is_a_cancellation_point_with_data_there",
	 a_read_is_a_cancellation_point_with_data_there},
	{NULL, NULL},
};
