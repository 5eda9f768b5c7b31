/* SPDX-License-Identifier: MIT */
/* threads cancelled while their call holds something: others lose nothing, and wait for nothing */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "same.h"
#include "same_inside.h"

#define END_OF_TURN 255 /* no byte of a turn */
#define TURN_BYTES 251

static char *block;
static size_t block_bytes;

/* A block whose page at @late comes only when its reader or writer has been cancelled. */
static void block_open(struct late_page *page, size_t bytes, size_t late)
{
	block_bytes = bytes;
	block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*page = (struct late_page){.at = block + late, .bytes = 4096};
	say("late page: %d", late_page_open(page));
}

static void block_close(const struct late_page *page)
{
	close(page->faults);
	munmap(block, block_bytes);
}

static void cancel_at_the_fault(pthread_t thread, const struct late_page *page)
{
	void *result;

	late_page_wait(page);
	pthread_cancel(thread);
	sleep_us(20000);
	late_page_end(page);
	pthread_join(thread, &result);
	say("cancelled: %d", result == PTHREAD_CANCELED);
}

static void say_bye(void *unused)
{
	(void)unused;
	say_call("bye", write(fd_inside, "bye", 3));
}

static void *write_block(void *unused)
{
	pthread_cleanup_push(say_bye, NULL);
	if (write(fd_inside, block, block_bytes) < 0)
		die("write");
	pthread_testcancel();
	pthread_cleanup_pop(0);
	return unused;
}

/* What came, and its last six bytes. */
static struct {
	int fd;
	size_t wanted;
	char last[7];
} came;

static void *read_it(void *unused)
{
	char *all = calloc(1, came.wanted);
	size_t n = read_all(came.fd, all, came.wanted);

	if (n >= 6)
		memcpy(came.last, all + n - 6, 6);
	free(all);
	return unused;
}

/* Its reader sleeps meanwhile: it is woken, and so is who comes later. */
static void write_and_be_cancelled(size_t bytes, size_t late)
{
	pthread_t reader, writer;
	struct late_page page;
	int ends[2];
	char in[10];

	pair_open(ends);
	block_open(&page, bytes, late);
	fd_inside = ends[0];
	came.fd = ends[1];
	came.wanted = bytes + 6;
	pthread_create(&reader, NULL, read_it, NULL);
	let_block();
	pthread_create(&writer, NULL, write_block, NULL);
	cancel_at_the_fault(writer, &page);
	say_call("write", write(ends[0], "abc", 3));
	pthread_join(reader, NULL);
	say("all came, and %s", came.last);
	say_call("write", write(ends[1], "abc", 3));
	say_call("read", read(ends[0], in, sizeof(in)));
	block_close(&page);
	pair_close(ends);
}

static void a_small_write_cancelled_in_the_copy(void)
{
	write_and_be_cancelled(4096, 0);
}

static void a_large_write_cancelled_in_the_copy(void)
{
	write_and_be_cancelled(400000, 98304);
}

static void *in_splice_from_a_pipe(void *unused)
{
	return splice(other_inside, NULL, fd_inside, NULL, 10, 0) < 0 ? NULL : unused;
}

static void *in_close(void *unused)
{
	return close(fd_inside) < 0 ? NULL : unused;
}

static void *(*inside)(void *);

static void *cancel_oneself(void *mark)
{
	pthread_cancel(pthread_self());
	return inside(mark);
}

static void cancelled_at_once(const char *what, void *(*call)(void *))
{
	pthread_t thread;
	void *result;

	inside = call;
	pthread_create(&thread, NULL, cancel_oneself, NULL);
	pthread_join(thread, &result);
	say("%s cancelled: %d", what, result == PTHREAD_CANCELED);
}

/* Each is a cancellation point though it need not wait, and has done nothing then. */
static void calls_cancelled_at_once(void)
{
	struct epoll_event event = {EPOLLIN, {0}};
	int ends[2], pipes[2], epoll = epoll_create1(0);
	char in[10];

	if (pipe(pipes) < 0)
		die("pipe");
	pair_open(ends);
	epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event);
	say_call("write", write(ends[0], "abc", 3));
	settle();
	fd_inside = ends[1];
	cancelled_at_once("poll", in_poll);
	cancelled_at_once("select", in_select);
	other_inside = epoll;
	cancelled_at_once("epoll_wait", in_epoll_wait);
	other_inside = pipes[1];
	cancelled_at_once("splice", in_splice);
	cancelled_at_once("write", in_write);
	cancelled_at_once("close", in_close);
	say_call("write", write(pipes[1], "abc", 3));
	other_inside = pipes[0];
	cancelled_at_once("splice", in_splice_from_a_pipe);
	say_call("write", write(ends[1], "abcd", 4));
	say_call("read", read(ends[0], in, sizeof(in)));
	say_call("read", read(ends[1], in, sizeof(in)));
	pair_close(ends);
	close(epoll);
}

static void wait_for_an_event(void *unused)
{
	struct epoll_event event = {0};

	(void)unused;
	say_call("epoll_wait", epoll_wait(other_inside, &event, 1, 2000));
	say_poll("  events", event.events);
}

static void *wait_and_be_cancelled(void *unused)
{
	struct epoll_event event;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
	for (int i = 0; i < 100; i++) /* without a pause before the last */
		epoll_wait(other_inside, &event, 1, 2000);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	pthread_cleanup_push(wait_for_an_event, NULL);
	epoll_wait(other_inside, &event, 1, 2000);
	pthread_cleanup_pop(0);
	return unused;
}

/* What the thread held, its own cleanup handler would not get any more. */
static void a_cleanup_handler_of_a_cancelled_epoll_wait(void)
{
	struct epoll_event event = {EPOLLIN | EPOLLRDHUP, {0}};
	pthread_t thread;
	void *result;
	int ends[2];

	pair_open(ends);
	other_inside = epoll_create1(0);
	epoll_ctl(other_inside, EPOLL_CTL_ADD, ends[1], &event);
	say_call("write", write(ends[0], "abc", 3));
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	settle();
	pthread_create(&thread, NULL, wait_and_be_cancelled, NULL);
	pthread_join(thread, &result);
	say("cancelled: %d", result == PTHREAD_CANCELED);
	pair_close(ends);
	close(other_inside);
}

static int count_descriptors(void)
{
	DIR *all = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(all))
		count++;
	closedir(all);
	return count;
}

static void fill_pipe(int fd)
{
	static const char page[4096];

	set_nonblocking(fd, 1);
	while (write(fd, page, sizeof(page)) > 0)
		;
	set_nonblocking(fd, 0);
}

/* Cancelled while it sleeps: the connection works, and is closed, as if it had never been. */
static void asleep_and_cancelled(const char *what, void *(*call)(void *))
{
	pthread_t thread;
	void *result;
	int ends[2];
	char in[10];

	pair_open(ends);
	fd_inside = ends[1];
	if (call == in_splice)
		say_call("write", write(ends[0], "abc", 3));
	pthread_create(&thread, NULL, call, NULL);
	let_block();
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("%s cancelled: %d", what, result == PTHREAD_CANCELED);
	say_call("write", write(ends[1], "abc", 3));
	say_call("read", read(ends[0], in, sizeof(in)));
	if (call != in_splice)
		say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, sizeof(in)));
	close(ends[1]);
	say_call("end", read(ends[0], in, sizeof(in)));
	close(ends[0]);
}

static void splices_cancelled_for_their_pipe(void)
{
	int empty[2], full[2], before = 0, round;

	if (pipe(empty) < 0 || pipe(full) < 0)
		die("pipe");
	fill_pipe(full[1]);
	for (round = 0; round < 3; round++) {
		other_inside = empty[0];
		asleep_and_cancelled("empty", in_splice_from_a_pipe);
		other_inside = full[1];
		asleep_and_cancelled("full", in_splice);
		if (round == 0) /* from here on, what serves all connections is there */
			before = count_descriptors();
	}
	say("descriptors: %+d", count_descriptors() - before);
}

static sigjmp_buf away;

static void jump_away(int signal_number)
{
	siglongjmp(away, signal_number);
}

static void *jump_and_end(void *unused)
{
	char in[10];

	if (sigsetjmp(away, 1) == 0) {
		say_call("read", read(fd_inside, in, sizeof(in)));
		return unused;
	}
	pthread_cleanup_push(say_bye, NULL);
	pthread_exit(&away);
	pthread_cleanup_pop(0);
	return unused;
}

/* The old way to give up a read, and what the call held is given up as well. */
static void a_thread_that_jumps_out_of_a_read_and_ends(void)
{
	int ends[2], before = 0, round;
	pthread_t thread;
	void *result;
	char in[10];

	signal(SIGUSR1, jump_away);
	for (round = 0; round < 3; round++) {
		pair_open(ends);
		fd_inside = ends[1];
		pthread_create(&thread, NULL, jump_and_end, NULL);
		let_block();
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, &result);
		say("away: %d", result == (void *)&away);
		say_call("read", read(ends[0], in, sizeof(in)));
		say_call("write", write(ends[0], "abc", 3));
		say_call("read", read(ends[1], in, sizeof(in)));
		close(ends[1]);
		say_call("end", read(ends[0], in, sizeof(in)));
		close(ends[0]);
		if (round == 0) /* from here on, what serves all connections is there */
			before = count_descriptors();
	}
	say("descriptors: %+d", count_descriptors() - before);
}

/* A turn: bytes that count up from zero. */
static void turn_fill(unsigned char *to, size_t position, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)((position + i) % TURN_BYTES);
}

static ssize_t write_somehow(struct dice *dice, unsigned char *from, size_t n)
{
	struct iovec parts[2] = {{from, n / 2}, {from + n / 2, n - n / 2}};

	switch (dice_below(dice, 3)) {
	case 0:
		return write(fd_inside, from, n);
	case 1:
		return writev(fd_inside, parts, 2);
	default:
		return send(fd_inside, from, n, MSG_NOSIGNAL);
	}
}

/* Writes small and large, with pauses in which the reader goes to sleep, until it is cancelled. */
static void *write_a_turn(void *argument)
{
	static unsigned char bytes[300000];
	struct dice *dice = argument;
	size_t position = 0;

	for (;;) {
		size_t n = 1 + dice_below(dice, dice_below(dice, 2) ? 300 : sizeof(bytes));
		ssize_t went;

		turn_fill(bytes, position, n);
		went = write_somehow(dice, bytes, n);
		if (went < 0)
			die("write");
		position += (size_t)went;
		for (unsigned int i = 0; i < 20 * dice_below(dice, 3); i++)
			sched_yield();
	}
	return NULL;
}

/* How many turns came, each whole up to where it ends: */
static size_t turns;

static void *read_turns(void *argument)
{
	static unsigned char in[65536];
	size_t position = 0;
	ssize_t n;

	while ((n = read(*(int *)argument, in, sizeof(in))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (in[i] == END_OF_TURN) {
				turns++;
				position = 0;
			} else if (in[i] != position++ % TURN_BYTES) {
				say("wrong at %zu of turn %zu", position - 1, turns);
				return NULL;
			}
		}
	return NULL;
}

static void writers_cancelled_at_any_moment(void)
{
	const unsigned char end = END_OF_TURN;
	struct dice dice = {.state = 1};
	pthread_t reader, writer;
	int ends[2], i, cancelled = 0;
	void *result;

	pair_open(ends);
	fd_inside = ends[0];
	pthread_create(&reader, NULL, read_turns, &ends[1]);
	for (i = 0; i < 300; i++) {
		pthread_create(&writer, NULL, write_a_turn, &dice);
		sleep_us((unsigned int)(100 + 7 * i));
		pthread_cancel(writer);
		pthread_join(writer, &result);
		cancelled += result == PTHREAD_CANCELED;
		write_all(ends[0], &end, 1);
	}
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	pthread_join(reader, NULL);
	say("cancelled %d, turns %zu", cancelled, turns);
	pair_close(ends);
}

static void read_one_more(void *unused)
{
	char byte;

	(void)unused;
	if (read(fd_inside, &byte, 1) != 1)
		die("read");
}

static void *read_on(void *argument)
{
	static char in[100000];
	struct dice *dice = argument;

	pthread_cleanup_push(read_one_more, NULL);
	for (;;)
		if (read(fd_inside, in, 1 + dice_below(dice, sizeof(in))) <= 0)
			die("read");
	pthread_cleanup_pop(0);
	return NULL;
}

/* With pauses in which the readers go to sleep. */
static void *write_on(void *argument)
{
	static char some[5000];

	while (!atomic_load((atomic_int *)argument)) {
		write_all(other_inside, some, sizeof(some));
		sleep_us(20);
	}
	write_all(other_inside, "!", 1);
	return NULL;
}

static void readers_cancelled_at_any_moment(void)
{
	static char in[65536];
	struct dice dice = {.state = 2};
	pthread_t reader, writer;
	int ends[2], i, cancelled = 0;
	atomic_int enough = 0;
	void *result;
	char last = 0;
	ssize_t n;

	pair_open(ends);
	other_inside = ends[0];
	fd_inside = ends[1];
	pthread_create(&writer, NULL, write_on, &enough);
	for (i = 0; i < 300; i++) {
		pthread_create(&reader, NULL, read_on, &dice);
		sleep_us((unsigned int)(100 + 7 * i));
		pthread_cancel(reader);
		pthread_join(reader, &result);
		cancelled += result == PTHREAD_CANCELED;
	}
	enough = 1;
	while (last != '!' && (n = read(ends[1], in, sizeof(in))) > 0)
		last = in[n - 1];
	pthread_join(writer, NULL);
	say("cancelled %d, the last byte: %c", cancelled, last);
	pair_close(ends);
}

const struct behaviour same_cancel_held[] = {
	{"a_small_write_cancelled_in_the_copy", a_small_write_cancelled_in_the_copy},
	{"a_large_write_cancelled_in_the_copy", a_large_write_cancelled_in_the_copy},
	{"calls_cancelled_at_once", calls_cancelled_at_once},
	{"a_cleanup_handler_of_a_cancelled_epoll_wait",
	 a_cleanup_handler_of_a_cancelled_epoll_wait},
	{"splices_cancelled_for_their_pipe", splices_cancelled_for_their_pipe},
	{"a_thread_that_jumps_out_of_a_read_and_ends", a_thread_that_jumps_out_of_a_read_and_ends},
	{"writers_cancelled_at_any_moment", writers_cancelled_at_any_moment},
	{"readers_cancelled_at_any_moment", readers_cancelled_at_any_moment},
	{NULL, NULL},
};
