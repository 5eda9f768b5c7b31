/* SPDX-License-Identifier: MIT */
/* sendfile and splice: between files, pipes and sockets */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

#define FILE_LENGTH 3000000U

static void sendfile_moves_the_file_position(void)
{
	int file = temporary_file(3, 1000), ends[2];
	char in[1000];
	off_t at = 100;

	pair_open(ends);
	say_call("sendfile 400", sendfile(ends[0], file, NULL, 400));
	say("position %lld", (long long)lseek(file, 0, SEEK_CUR));
	say_call("read", (ssize_t)read_all(ends[1], in, 400));
	say_pattern("bytes", 3, 0, in, 400);
	say_call("sendfile from 100", sendfile(ends[0], file, &at, 50));
	say("offset %lld position %lld", (long long)at, (long long)lseek(file, 0, SEEK_CUR));
	say_call("read", (ssize_t)read_all(ends[1], in, 50));
	say_pattern("bytes", 3, 100, in, 50);
	say_call("sendfile beyond the end", sendfile(ends[0], file, NULL, 5000));
	say_call("sendfile at the end", sendfile(ends[0], file, NULL, 5000));
	say_call("read", (ssize_t)read_all(ends[1], in, 600));
	say_pattern("bytes", 3, 400, in, 600);
	say_call("write", write(ends[0], "after", 5));
	say_call("read", read(ends[1], in, 10));
	close(file);
	pair_close(ends);
}

struct reader {
	int fd;
	uint64_t seed;
	size_t total;
	size_t wrong;
};

static void *read_to_the_end(void *argument)
{
	struct reader *reader = argument;
	static char in[65536];
	ssize_t n;

	while ((n = read(reader->fd, in, sizeof(in))) > 0) {
		if (pattern_check(reader->seed, reader->total, in, (size_t)n) != (size_t)n)
			reader->wrong++;
		reader->total += (size_t)n;
	}
	return NULL;
}

static void sendfile_of_megabytes(void)
{
	int file = temporary_file(4, FILE_LENGTH), ends[2];
	struct reader reader = {.seed = 4};
	pthread_t thread;
	off_t at = 0;
	ssize_t n;

	pair_open(ends);
	reader.fd = ends[1];
	pthread_create(&thread, NULL, read_to_the_end, &reader);
	while (at < (off_t)FILE_LENGTH) {
		n = sendfile64(ends[0], file, &at, FILE_LENGTH);
		if (n <= 0)
			break;
	}
	say("sent %lld", (long long)at);
	shutdown(ends[0], SHUT_WR);
	pthread_join(thread, NULL);
	say("read %zu, wrong %zu", reader.total, reader.wrong);
	close(file);
	pair_close(ends);
}

static void sendfile_nonblocking_stops_when_full(void)
{
	int file = temporary_file(4, FILE_LENGTH), ends[2], rounds = 0;
	struct reader reader = {.seed = 4};
	pthread_t thread;
	off_t at = 0;
	ssize_t n;

	pair_open(ends);
	set_nonblocking(ends[0], 1);
	fill(ends[0]);
	say_call("sendfile when full", sendfile(ends[0], file, NULL, 1000));
	say("position %lld", (long long)lseek(file, 0, SEEK_CUR));
	drain(ends[1]);
	reader.fd = ends[1];
	pthread_create(&thread, NULL, read_to_the_end, &reader);
	while (at < (off_t)FILE_LENGTH && rounds++ < 100000) {
		n = sendfile(ends[0], file, &at, FILE_LENGTH - (size_t)at);
		if (n < 0 && errno == EAGAIN)
			sleep_us(500);
		else if (n <= 0)
			break;
	}
	say("sent %lld", (long long)at);
	shutdown(ends[0], SHUT_WR);
	pthread_join(thread, NULL);
	say("read %zu, wrong %zu", reader.total, reader.wrong);
	close(file);
	pair_close(ends);
}

static void sendfile_errors(void)
{
	int file = temporary_file(4, 100), ends[2], pipes[2];
	off_t negative = -1;

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	say_call("from a socket", sendfile(ends[1], ends[0], NULL, 10));
	say_call("from a bad descriptor", sendfile(ends[0], -1, NULL, 10));
	say_call("from a negative offset", sendfile(ends[0], file, &negative, 10));
	say_call("from a pipe", sendfile(ends[0], pipes[1], NULL, 10));
	say_call("of nothing", sendfile(ends[0], file, NULL, 0));
	shutdown(ends[0], SHUT_WR);
	signal(SIGPIPE, SIG_IGN);
	say_call("after shutdown", sendfile(ends[0], file, NULL, 10));
	close(pipes[0]);
	close(pipes[1]);
	close(file);
	pair_close(ends);
}

static void splice_from_pipe_to_socket(void)
{
	int pipes[2], ends[2];
	char in[100];

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	say_call("write to pipe", write(pipes[1], "through the pipe", 16));
	say_call("splice", splice(pipes[0], NULL, ends[0], NULL, 100, 0));
	say_call("read", read(ends[1], in, sizeof(in)));
	say("%.16s", in);
	say_call("splice nonblocking",
		 splice(pipes[0], NULL, ends[0], NULL, 100, SPLICE_F_NONBLOCK));
	close(pipes[1]);
	say_call("splice at the end", splice(pipes[0], NULL, ends[0], NULL, 100, 0));
	close(pipes[0]);
	pair_close(ends);
}

static void splice_from_socket_to_pipe(void)
{
	int pipes[2], ends[2];
	char in[100];

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	say_call("write", write(ends[0], "through the pipe", 16));
	settle();
	say_call("splice 7", splice(ends[1], NULL, pipes[1], NULL, 7, 0));
	say_call("splice rest", splice(ends[1], NULL, pipes[1], NULL, 100, SPLICE_F_MOVE));
	say_call("read pipe", read(pipes[0], in, sizeof(in)));
	say("%.16s", in);
	set_nonblocking(ends[1], 1);
	say_call("splice nonblocking",
		 splice(ends[1], NULL, pipes[1], NULL, 100, SPLICE_F_NONBLOCK));
	set_nonblocking(ends[1], 0);
	shutdown(ends[0], SHUT_WR);
	settle();
	say_call("splice at the end", splice(ends[1], NULL, pipes[1], NULL, 100, 0));
	close(pipes[0]);
	close(pipes[1]);
	pair_close(ends);
}

static void splice_waits_for_data(void)
{
	int pipes[2], ends[2];
	char in[100];

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	send_later(ends[0], "later", 50);
	say_call("splice", splice(ends[1], NULL, pipes[1], NULL, 100, 0));
	say_call("read pipe", read(pipes[0], in, sizeof(in)));
	send_later_join();
	close(pipes[0]);
	close(pipes[1]);
	pair_close(ends);
}

struct relay {
	int from, to;
};

/* What a proxy does: socket to pipe to socket. */
static void *relay_by_splice(void *argument)
{
	struct relay *relay = argument;
	ssize_t in, out;
	int pipes[2];

	if (pipe(pipes) < 0)
		die("pipe");
	while ((in = splice(relay->from, NULL, pipes[1], NULL, 65536, SPLICE_F_MOVE)) > 0)
		while (in > 0) {
			out = splice(pipes[0], NULL, relay->to, NULL, (size_t)in, SPLICE_F_MOVE);
			if (out <= 0)
				die("splice to the socket");
			in -= out;
		}
	shutdown(relay->to, SHUT_WR);
	close(pipes[0]);
	close(pipes[1]);
	return NULL;
}

static void a_proxy_that_splices(void)
{
	static char bytes[FILE_LENGTH];
	struct reader reader = {.seed = 11};
	pthread_t threads[2];
	struct relay relay;
	int front[2], back[2];

	pair_open(front);
	pair_open(back);
	pattern_fill(11, 0, bytes, sizeof(bytes));
	relay = (struct relay){front[1], back[0]};
	reader.fd = back[1];
	pthread_create(&threads[0], NULL, relay_by_splice, &relay);
	pthread_create(&threads[1], NULL, read_to_the_end, &reader);
	write_all(front[0], bytes, sizeof(bytes));
	shutdown(front[0], SHUT_WR);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	say("read %zu, wrong %zu", reader.total, reader.wrong);
	pair_close(front);
	pair_close(back);
}

/* Readers of one pipe: what poll(2) saw for one, another may have taken when it reads. */
struct pipe_reader {
	int from, to;
	size_t total;
};

static void *splice_to_the_end(void *argument)
{
	struct pipe_reader *reader = argument;
	ssize_t n;

	while ((n = splice(reader->from, NULL, reader->to, NULL, 100, 0)) > 0)
		reader->total += (size_t)n;
	return NULL;
}

static void *take_to_the_end(void *argument)
{
	struct pipe_reader *reader = argument;
	char in[100];
	ssize_t n;

	while ((n = read(reader->from, in, sizeof(in))) > 0)
		reader->total += (size_t)n;
	return NULL;
}

static void a_send_beside_a_splice_that_waits(void)
{
	enum { ROUNDS = 20000 };
	struct pipe_reader splicer, taker;
	size_t sent = 0, got = 0;
	pthread_t threads[2];
	int pipes[2], ends[2];

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	splicer = (struct pipe_reader){.from = pipes[0], .to = ends[0]};
	taker = (struct pipe_reader){.from = pipes[0]};
	pthread_create(&threads[0], NULL, splice_to_the_end, &splicer);
	pthread_create(&threads[1], NULL, take_to_the_end, &taker);
	for (int i = 0; i < ROUNDS; i++) {
		char in[100];
		ssize_t n;

		write_all(pipes[1], "p", 1);
		sent += send(ends[0], "s", 1, MSG_DONTWAIT) == 1;
		while ((n = recv(ends[1], in, sizeof(in), MSG_DONTWAIT)) > 0)
			got += (size_t)n;
	}
	close(pipes[1]);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	got += drain(ends[1]);
	say("sent %zu, all through the pipe %d", sent, splicer.total + taker.total == ROUNDS);
	say("all came %d", got == sent + splicer.total);
	close(pipes[0]);
	pair_close(ends);
}

const struct behaviour same_file[] = {
	{"sendfile_moves_the_file_position", sendfile_moves_the_file_position},
	{"sendfile_of_megabytes", sendfile_of_megabytes},
	{"sendfile_nonblocking_stops_when_full", sendfile_nonblocking_stops_when_full},
	{"sendfile_errors", sendfile_errors},
	{"splice_from_pipe_to_socket", splice_from_pipe_to_socket},
	{"splice_from_socket_to_pipe", splice_from_socket_to_pipe},
	{"splice_waits_for_data", splice_waits_for_data},
	{"a_proxy_that_splices", a_proxy_that_splices},
	{"a_send_beside_a_splice_that_waits", a_send_beside_a_splice_that_waits},
	{NULL, NULL},
};
