/* SPDX-License-Identifier: MIT */
/* Streams of <stdio.h> whose writes fail or are cut short */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

#define LENGTH 65536

static char text[LENGTH];

/* What fwrite(3) says of all of it, and the stream afterwards. */
static void say_fwrite(const char *what, FILE *stream)
{
	size_t n;

	errno = 0;
	n = fwrite(text, 1, sizeof(text), stream);
	say_call(what, n == sizeof(text) ? (ssize_t)n : -1);
	say("%zu, ferror %d", n, !!ferror(stream));
	clearerr(stream);
}

static void a_stream_to_a_closed_peer(void)
{
	FILE *stream;
	int ends[2];

	pair_open(ends);
	signal(SIGPIPE, SIG_IGN);
	stream = fdopen(ends[0], "w");
	close(ends[1]);
	settle();
	say_call("write", write(ends[0], "x", 1));
	settle();
	say_fwrite("fwrite", stream);
	say_call("fputs", fputs("buffered", stream) < 0 ? -1 : 0);
	say_call("fflush", fflush(stream));
	say_call("fflush again", fflush(stream));
	clearerr(stream);
	setvbuf(stream, NULL, _IONBF, 0);
	say_fwrite("fwrite without a buffer", stream);
	fclose(stream);
	signal(SIGPIPE, SIG_DFL);
}

static void a_stream_to_a_program_that_has_ended(void)
{
	struct pollfd look = {.events = 0};
	FILE *stream;
	int ends[2];

	pair_open(ends);
	signal(SIGPIPE, SIG_IGN);
	stream = popen("exit 0", "w");
	look.fd = fileno(stream);
	poll(&look, 1, -1);
	say_poll("pipe", (unsigned int)look.revents);
	say_fwrite("fwrite", stream);
	say_call("fputs", fputs("buffered", stream) < 0 ? -1 : 0);
	say_call("fflush", fflush(stream));
	clearerr(stream);
	say("pclose %d", pclose(stream));
	signal(SIGPIPE, SIG_DFL);
	pair_close(ends);
}

static void say_arrived(int fd)
{
	char in[LENGTH];

	say_call("read", (ssize_t)read_all(fd, in, sizeof(in)));
	say_pattern("bytes", 5, 0, in, sizeof(in));
}

/* Of what a call could write in part only nothing is dropped, and nothing is made up. */
static void a_stream_that_does_not_wait(void)
{
	size_t filled, n;
	FILE *stream;
	int ends[2];

	pair_open(ends);
	pattern_fill(5, 0, text, sizeof(text));
	stream = fdopen(ends[0], "w");
	set_nonblocking(ends[0], 1);
	filled = fill(ends[0]);
	say_fwrite("fwrite", stream);
	say("all came out: %s", drain(ends[1]) == filled ? "yes" : "no");
	say_fwrite("fwrite", stream);
	say_call("fflush", fflush(stream));
	say_arrived(ends[1]);
	errno = 0;
	n = fwrite(same_block, 1, sizeof(same_block), stream);
	say_call("fwrite of more", n == sizeof(same_block) ? 0 : -1);
	say("some: %s, ferror %d", n > 0 && n < sizeof(same_block) ? "yes" : "no",
	    !!ferror(stream));
	say("all came out: %s", drain(ends[1]) == n ? "yes" : "no");
	fclose(stream);
	close(ends[1]);
}

static struct {
	pthread_t writer;
	int fd;
	bool right;
	uint64_t arrived;
} reading;

static void on_signal(int number)
{
	(void)number;
}

static void interrupt_and_read(void)
{
	static char in[LENGTH];
	ssize_t n;

	pthread_kill(reading.writer, SIGUSR1);
	settle();
	reading.right = true;
	for (reading.arrived = 0; (n = read(reading.fd, in, sizeof(in))) > 0;
	     reading.arrived += (uint64_t)n)
		reading.right &= pattern_check(6, reading.arrived, in, (size_t)n) == (size_t)n;
}

static void interrupted_in_fwrite(int flags)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
	FILE *stream;
	int ends[2];

	pair_open(ends);
	sigaction(SIGUSR1, &action, NULL);
	pattern_fill(6, 0, same_block, sizeof(same_block));
	stream = fdopen(ends[0], "w");
	reading.fd = ends[1];
	reading.writer = pthread_self();
	run_later(interrupt_and_read, 200);
	say("fwrite %zu", fwrite(same_block, 1, sizeof(same_block), stream));
	say("ferror %d", !!ferror(stream));
	say("fclose %d", fclose(stream));
	run_later_join();
	say("arrived %ju, right: %s", (uintmax_t)reading.arrived, reading.right ? "yes" : "no");
	close(ends[1]);
}

/* A call that a signal has cut short is not the last: the stream goes on. */
static void a_signal_in_fwrite_loses_nothing(void)
{
	interrupted_in_fwrite(0);
	interrupted_in_fwrite(SA_RESTART);
}

const struct behaviour same_stdio[] = {
	{"a_stream_to_a_closed_peer", a_stream_to_a_closed_peer},
	{"a_stream_to_a_program_that_has_ended", a_stream_to_a_program_that_has_ended},
	{"a_stream_that_does_not_wait", a_stream_that_does_not_wait},
	{"a_signal_in_fwrite_loses_nothing", a_signal_in_fwrite_loses_nothing},
	{NULL, NULL},
};
