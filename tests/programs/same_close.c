/* SPDX-License-Identifier: MIT */
/* half close, close, reset, and what the other end sees of them */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

static void say_ready(const char *what, int fd)
{
	struct pollfd wanted = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
	struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, {0}};
	int epoll = epoll_create1(0), n;

	n = poll(&wanted, 1, 0);
	say_poll(what, n > 0 ? (unsigned int)wanted.revents : 0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	n = epoll_wait(epoll, &event, 1, 0);
	say_poll("  epoll", n > 0 ? event.events : 0);
	close(epoll);
}

static void say_so_error(int fd)
{
	int value = -1;
	socklen_t size = sizeof(value);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size);
	say("SO_ERROR %s", value ? strerrorname_np(value) : "0");
}

static void half_close_ends_one_direction(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "last", 4));
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	say_call("read", read(ends[1], in, 10));
	say_call("read", read(ends[1], in, 10));
	say_call("read", read(ends[1], in, 10));
	say_ready("reader", ends[1]);
	say_ready("writer", ends[0]);
	say_call("write back", write(ends[1], "still", 5));
	say_call("read", read(ends[0], in, 10));
	say_call("shutdown back", shutdown(ends[1], SHUT_WR));
	say_call("read", read(ends[0], in, 10));
	settle();
	say_ready("both shut", ends[0]);
	say_ready("both shut", ends[1]);
	pair_close(ends);
}

static void write_after_shutdown_is_epipe(void)
{
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	say_call("write", write(ends[0], "x", 1));
	say_call("send", send(ends[0], "x", 1, MSG_NOSIGNAL));
	say_call("write 0", write(ends[0], "x", 0));
	say_call("shutdown again", shutdown(ends[0], SHUT_WR));
	say_call("unknown how", shutdown(ends[0], 7));
	pair_close(ends);
}

static void shutdown_of_reading(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[1], "before", 6));
	settle();
	say_call("shutdown", shutdown(ends[0], SHUT_RD));
	say_call("read", read(ends[0], in, 10));
	say_call("read", read(ends[0], in, 10));
	say_ready("shut", ends[0]);
	say_call("write", write(ends[0], "still", 5));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
}

static void shutdown_of_both(void)
{
	char in[10];
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	say_call("write", write(ends[0], "last", 4));
	say_call("shutdown", shutdown(ends[0], SHUT_RDWR));
	say_call("read", read(ends[0], in, 10));
	say_call("write", write(ends[0], "x", 1));
	say_call("peer reads", read(ends[1], in, 10));
	say_call("peer reads", read(ends[1], in, 10));
	say_ready("shut", ends[0]);
	say_call("peer shuts", shutdown(ends[1], SHUT_RDWR));
	settle();
	say_ready("both shut", ends[0]);
	say_ready("both shut", ends[1]);
	say_call("shutdown once more", shutdown(ends[0], SHUT_RDWR));
	pair_close(ends);
}

static void close_lets_the_last_bytes_through(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "last", 4));
	say_call("close", close(ends[0]));
	settle();
	say_ready("peer", ends[1]);
	say_call("read", read(ends[1], in, 10));
	say("%.4s", in);
	say_call("read", read(ends[1], in, 10));
	say_call("read", read(ends[1], in, 10));
	say_ready("peer", ends[1]);
	say_so_error(ends[1]);
	close(ends[1]);
}

static volatile sig_atomic_t pipes_broken;

static void count_broken_pipe(int signal_number)
{
	(void)signal_number;
	pipes_broken++;
}

static void write_to_a_closed_peer(void)
{
	char in[10];
	int ends[2];

	signal(SIGPIPE, count_broken_pipe);
	pair_open(ends);
	say_call("close", close(ends[0]));
	settle();
	say_call("first write", write(ends[1], "x", 1));
	settle();
	say_call("second write", write(ends[1], "x", 1));
	say("SIGPIPE %d", (int)pipes_broken);
	say_call("with MSG_NOSIGNAL", send(ends[1], "x", 1, MSG_NOSIGNAL));
	say("SIGPIPE %d", (int)pipes_broken);
	say_call("read", read(ends[1], in, 10));
	say_ready("writer", ends[1]);
	say_so_error(ends[1]);
	close(ends[1]);
}

static void close_with_unread_bytes_resets(void)
{
	char in[10];
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	say_call("write", write(ends[1], "never read", 10));
	settle();
	say_call("close", close(ends[0]));
	settle();
	say_ready("peer", ends[1]);
	say_call("read", read(ends[1], in, 10));
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "x", 1));
	say_so_error(ends[1]);
	close(ends[1]);
}

static void close_with_unread_bytes_after_writing(void)
{
	char in[10];
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	say_call("write", write(ends[1], "never read", 10));
	say_call("write", write(ends[0], "sent before", 11));
	settle();
	say_call("close", close(ends[0]));
	settle();
	say_call("write", write(ends[1], "x", 1));
	say_call("read", read(ends[1], in, 10));
	close(ends[1]);
}

static void linger_zero_resets(void)
{
	struct linger linger = {1, 0};
	char in[10];
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	say_call("linger", setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	say_call("close", close(ends[0]));
	settle();
	say_ready("peer", ends[1]);
	say_so_error(ends[1]);
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "x", 1));
	close(ends[1]);
}

static void linger_zero_read_first(void)
{
	struct linger linger = {1, 0};
	char in[10];
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	say_call("linger", setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	say_call("close", close(ends[0]));
	settle();
	say_call("read", read(ends[1], in, 10));
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "x", 1));
	say_so_error(ends[1]);
	close(ends[1]);
}

static void linger_waits_for_the_peer_or_not(void)
{
	struct linger linger = {1, 5};
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("linger", setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	say_call("write", write(ends[0], "last", 4));
	say_call("close", close(ends[0]));
	say_call("read", read(ends[1], in, 10));
	say_call("read", read(ends[1], in, 10));
	close(ends[1]);
}

struct sleeper {
	int fd;
	int writes;
	ssize_t result;
	int error;
};

static void *sleep_in_a_call(void *argument)
{
	struct sleeper *sleeper = argument;
	char in[10];

	sleeper->result = sleeper->writes ? write(sleeper->fd, "x", 1) : read(sleeper->fd, in, 10);
	sleeper->error = errno;
	return NULL;
}

static void say_sleeper(const char *what, const struct sleeper *sleeper)
{
	errno = sleeper->error;
	say_call(what, sleeper->result);
}

static void peer_closes_while_a_reader_sleeps(void)
{
	struct sleeper sleeper = {0};
	pthread_t thread;
	int ends[2];

	pair_open(ends);
	sleeper.fd = ends[1];
	pthread_create(&thread, NULL, sleep_in_a_call, &sleeper);
	let_block();
	say_call("close", close(ends[0]));
	pthread_join(thread, NULL);
	say_sleeper("reader", &sleeper);
	close(ends[1]);
}

static void peer_resets_while_a_reader_sleeps(void)
{
	struct linger linger = {1, 0};
	struct sleeper sleeper = {0};
	pthread_t thread;
	int ends[2];

	pair_open(ends);
	sleeper.fd = ends[1];
	setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	pthread_create(&thread, NULL, sleep_in_a_call, &sleeper);
	let_block();
	say_call("close", close(ends[0]));
	pthread_join(thread, NULL);
	say_sleeper("reader", &sleeper);
	close(ends[1]);
}

static void peer_closes_while_a_writer_sleeps(void)
{
	struct sleeper sleeper = {.writes = 1};
	pthread_t thread;
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	sleeper.fd = ends[1];
	fill(ends[1]);
	pthread_create(&thread, NULL, sleep_in_a_call, &sleeper);
	let_block();
	say_call("close", close(ends[0]));
	pthread_join(thread, NULL);
	say_sleeper("writer", &sleeper);
	close(ends[1]);
}

static void own_shutdown_wakes_a_reader(void)
{
	struct sleeper sleeper = {0};
	pthread_t thread;
	int ends[2];

	pair_open(ends);
	sleeper.fd = ends[1];
	pthread_create(&thread, NULL, sleep_in_a_call, &sleeper);
	let_block();
	say_call("shutdown", shutdown(ends[1], SHUT_RDWR));
	pthread_join(thread, NULL);
	say_sleeper("reader", &sleeper);
	pair_close(ends);
}

static void own_shutdown_wakes_a_writer(void)
{
	struct sleeper sleeper = {.writes = 1};
	pthread_t thread;
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	sleeper.fd = ends[1];
	fill(ends[1]);
	pthread_create(&thread, NULL, sleep_in_a_call, &sleeper);
	let_block();
	say_call("shutdown", shutdown(ends[1], SHUT_WR));
	pthread_join(thread, NULL);
	say_sleeper("writer", &sleeper);
	pair_close(ends);
}

static void a_megabyte_before_the_end(void)
{
	static char bytes[1 << 20];
	char *in = malloc(sizeof(bytes));
	int ends[2];

	pair_open(ends);
	pattern_fill(21, 0, bytes, sizeof(bytes));
	write_all(ends[0], bytes, sizeof(bytes));
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	say_call("read", (ssize_t)read_all(ends[1], in, sizeof(bytes)));
	say_pattern("bytes", 21, 0, in, sizeof(bytes));
	say_call("read", read(ends[1], in, 10));
	write_all(ends[1], bytes, sizeof(bytes));
	say_call("close", close(ends[1]));
	say_call("read", (ssize_t)read_all(ends[0], in, sizeof(bytes)));
	say_pattern("bytes", 21, 0, in, sizeof(bytes));
	say_call("read", read(ends[0], in, 10));
	close(ends[0]);
	free(in);
}

static void a_closed_descriptor_is_ebadf(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("close", close(ends[0]));
	say_call("close again", close(ends[0]));
	say_call("read", read(ends[0], in, 10));
	say_call("write", write(ends[0], "x", 1));
	say_call("recv", recv(ends[0], in, 10, 0));
	say_call("send", send(ends[0], "x", 1, 0));
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	close(ends[1]);
}

static void connect_again_is_eisconn(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct sockaddr nothing = {.sa_family = AF_UNSPEC};
	char in[10];
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	say_call("connect", connect(ends[0], (struct sockaddr *)&address, sizeof(address)));
	say_call("accept", accept(ends[0], NULL, NULL));
	say_call("listen", listen(ends[0], 1));
	/* this resets the connection */
	say_call("disconnect", connect(ends[0], &nothing, sizeof(nothing)));
	settle();
	say_call("read", read(ends[0], in, 10));
	say_call("peer reads", read(ends[1], in, 10));
	pair_close(ends);
}

const struct behaviour same_close[] = {
	{"half_close_ends_one_direction", half_close_ends_one_direction},
	{"write_after_shutdown_is_epipe", write_after_shutdown_is_epipe},
	{"shutdown_of_reading", shutdown_of_reading},
	{"shutdown_of_both", shutdown_of_both},
	{"close_lets_the_last_bytes_through", close_lets_the_last_bytes_through},
	{"write_to_a_closed_peer", write_to_a_closed_peer},
	{"close_with_unread_bytes_resets", close_with_unread_bytes_resets},
	{"close_with_unread_bytes_after_writing", close_with_unread_bytes_after_writing},
	{"linger_zero_resets", linger_zero_resets},
	{"linger_zero_read_first", linger_zero_read_first},
	{"linger_waits_for_the_peer_or_not", linger_waits_for_the_peer_or_not},
	{"peer_closes_while_a_reader_sleeps", peer_closes_while_a_reader_sleeps},
	{"peer_resets_while_a_reader_sleeps", peer_resets_while_a_reader_sleeps},
	{"peer_closes_while_a_writer_sleeps", peer_closes_while_a_writer_sleeps},
	{"own_shutdown_wakes_a_reader", own_shutdown_wakes_a_reader},
	{"own_shutdown_wakes_a_writer", own_shutdown_wakes_a_writer},
	{"a_megabyte_before_the_end", a_megabyte_before_the_end},
	{"a_closed_descriptor_is_ebadf", a_closed_descriptor_is_ebadf},
	{"connect_again_is_eisconn", connect_again_is_eisconn},
	{NULL, NULL},
};
