/* SPDX-License-Identifier: MIT */
/* many threads on a connection, many connections on a thread, and connections of one thread */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

#define THREADS 8
#define RECORDS 1000
#define RECORD 64
#define PAIRS_OF_READERS 40

struct work {
	int fd;
	int number;
	size_t count;
	size_t wrong;
};

static void *write_records(void *argument)
{
	struct work *work = argument;
	char record[RECORD];
	int i;

	memset(record, 'a' + work->number, RECORD);
	for (i = 0; i < RECORDS; i++)
		write_all(work->fd, record, RECORD);
	return NULL;
}

static void many_threads_write_to_one_connection(void)
{
	struct work work[THREADS];
	pthread_t threads[THREADS];
	int ends[2], i, broken = 0, count[THREADS] = {0}, whole = 0;
	char in[RECORD];

	pair_open(ends);
	for (i = 0; i < THREADS; i++) {
		work[i] = (struct work){.fd = ends[0], .number = i};
		pthread_create(&threads[i], NULL, write_records, &work[i]);
	}
	for (i = 0; i < THREADS * RECORDS; i++) {
		if (read_all(ends[1], in, RECORD) != RECORD)
			die("short");
		if (memcmp(in, in + 1, RECORD - 1) != 0)
			broken++;
		count[(in[0] - 'a') & (THREADS - 1)]++;
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		whole += count[i] == RECORDS;
	}
	say("whole %d broken %d", whole, broken);
	pair_close(ends);
}

static void *sum_bytes(void *argument)
{
	struct work *work = argument;
	unsigned char in[1000];
	ssize_t n, i;

	while ((n = read(work->fd, in, sizeof(in))) > 0) {
		work->count += (size_t)n;
		for (i = 0; i < n; i++)
			work->wrong += in[i];
	}
	return NULL;
}

static _Atomic int taken;

static void *read_one_record(void *argument)
{
	struct work *work = argument;
	char record[RECORD];

	work->count = (size_t)read(work->fd, record, sizeof(record));
	taken++;
	return NULL;
}

/* Is a message that is written now read within 2 seconds, which is after @before others? */
static bool is_taken(int fd, int before)
{
	write_all(fd, "sixteen letters", 16);
	for (int ms = 0; ms < 2000 && taken == before; ms++)
		sleep_us(1000);
	return taken > before;
}

/* Whoever takes the first message, the other is woken by the second. */
static void two_readers_take_a_message_each(void)
{
	struct work work[2];
	pthread_t threads[2];
	int ends[2], missed = 0;

	for (int i = 0; i < PAIRS_OF_READERS && !missed; i++) {
		taken = 0;
		connect_pair(ends);
		for (int j = 0; j < 2; j++) {
			work[j] = (struct work){.fd = ends[1]};
			pthread_create(&threads[j], NULL, read_one_record, &work[j]);
			let_block();
		}
		for (int j = 0; j < 2; j++)
			missed += !is_taken(ends[0], j);
		shutdown(ends[0], SHUT_WR);
		for (int j = 0; j < 2; j++) {
			pthread_join(threads[j], NULL);
			missed += work[j].count != 16;
		}
		pair_close(ends);
	}
	say("missed: %d", missed);
}

static void many_threads_read_from_one_connection(void)
{
	static unsigned char bytes[1000000];
	struct work work[THREADS];
	pthread_t threads[THREADS];
	size_t i, sum = 0, count = 0, total = 0;
	int ends[2];

	pair_open(ends);
	pattern_fill(41, 0, bytes, sizeof(bytes));
	for (i = 0; i < sizeof(bytes); i++)
		sum += bytes[i];
	for (i = 0; i < THREADS; i++) {
		work[i] = (struct work){.fd = ends[1]};
		pthread_create(&threads[i], NULL, sum_bytes, &work[i]);
	}
	for (i = 0; i < sizeof(bytes); i += 500)
		write_all(ends[0], bytes + i, 500);
	shutdown(ends[0], SHUT_WR);
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		count += work[i].count;
		total += work[i].wrong;
	}
	say("read %zu, same sum: %s", count, total == sum ? "yes" : "no");
	pair_close(ends);
}

#define CROWD 64
#define ROUNDS 30

static void *echo(void *argument)
{
	struct work *work = argument;
	char in[4096];
	ssize_t n;

	while ((n = read(work->fd, in, sizeof(in))) > 0)
		write_all(work->fd, in, (size_t)n);
	return NULL;
}

/* What the client side of 64 echo connections does, in turn; counts wrong answers. */
static size_t ask_all(int ends[CROWD][2])
{
	char out[300], in[300];
	size_t wrong = 0, length;
	int i, round;

	for (round = 0; round < ROUNDS; round++)
		for (i = 0; i < CROWD; i++) {
			length = 1 + mix((uint64_t)round, (uint64_t)i) % sizeof(out);
			pattern_fill((uint64_t)i, (uint64_t)round * 300, out, length);
			write_all(ends[i][0], out, length);
			if (read_all(ends[i][0], in, length) != length ||
			    memcmp(in, out, length) != 0)
				wrong++;
		}
	return wrong;
}

static void sixty_four_threads(void)
{
	static struct work work[CROWD];
	static pthread_t threads[CROWD];
	int ends[CROWD][2], i;

	for (i = 0; i < CROWD; i++) {
		connect_pair(ends[i]);
		work[i] = (struct work){.fd = ends[i][1]};
		pthread_create(&threads[i], NULL, echo, &work[i]);
	}
	say("wrong %zu", ask_all(ends));
	for (i = 0; i < CROWD; i++) {
		shutdown(ends[i][0], SHUT_WR);
		pthread_join(threads[i], NULL);
		pair_close(ends[i]);
	}
}

static void *echo_by_epoll(void *argument)
{
	struct work *work = argument;
	struct epoll_event events[8];
	int open_ones = CROWD, n, i;
	char in[4096];
	ssize_t got;

	while (open_ones > 0) {
		n = epoll_wait(work->fd, events, 8, -1);
		for (i = 0; i < n; i++) {
			got = read(events[i].data.fd, in, sizeof(in));
			if (got > 0) {
				write_all(events[i].data.fd, in, (size_t)got);
				continue;
			}
			epoll_ctl(work->fd, EPOLL_CTL_DEL, events[i].data.fd, NULL);
			open_ones--;
		}
	}
	return NULL;
}

static void sixty_four_on_one_epoll(void)
{
	struct work work = {.fd = epoll_create1(0)};
	struct epoll_event event = {EPOLLIN, {0}};
	int ends[CROWD][2], i;
	pthread_t thread;

	for (i = 0; i < CROWD; i++) {
		connect_pair(ends[i]);
		event.data.fd = ends[i][1];
		if (epoll_ctl(work.fd, EPOLL_CTL_ADD, ends[i][1], &event) < 0)
			die("epoll_ctl");
	}
	pthread_create(&thread, NULL, echo_by_epoll, &work);
	say("wrong %zu", ask_all(ends));
	for (i = 0; i < CROWD; i++)
		shutdown(ends[i][0], SHUT_WR);
	pthread_join(thread, NULL);
	for (i = 0; i < CROWD; i++)
		pair_close(ends[i]);
	close(work.fd);
}

static void connected_to_itself(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0), i, wrong = 0;
	char in[300], out[300];

	if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		die("bind");
	say_call("connect", connect(fd, (struct sockaddr *)&address, length));
	for (i = 0; i < 200; i++) {
		pattern_fill(7, (uint64_t)i * 300, out, sizeof(out));
		write_all(fd, out, sizeof(out));
		if (read_all(fd, in, sizeof(in)) != sizeof(in) || memcmp(in, out, sizeof(in)) != 0)
			wrong++;
	}
	say("wrong %d", wrong);
	say_call("shutdown", shutdown(fd, SHUT_WR));
	say_call("read", read(fd, in, sizeof(in)));
	close(fd);
}

static void connect_write_then_accept(void)
{
	static char bytes[100000], in[100000];
	uint16_t port = 0;
	int listener = listen_local(&port), client = connect_local(port, 0), server, i;

	pattern_fill(51, 0, bytes, sizeof(bytes));
	for (i = 0; i < 100; i++)
		write_all(client, bytes + i * 1000, 1000);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	say_call("read", (ssize_t)read_all(server, in, sizeof(in)));
	say_pattern("bytes", 51, 0, in, sizeof(in));
	pair_warm((int[2]){client, server});
	write_all(server, bytes, sizeof(bytes));
	shutdown(server, SHUT_WR);
	say_call("read", (ssize_t)read_all(client, in, sizeof(in)));
	say_pattern("bytes", 51, 0, in, sizeof(in));
	say_call("read", read(client, in, 10));
	close(client);
	close(server);
	close(listener);
}

static void connect_without_waiting(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), server, error = -1;
	socklen_t length = sizeof(error);
	struct pollfd wanted = {client, POLLOUT, 0};
	uint16_t port = 0;
	int listener = listen_local(&port);
	char in[10];

	address.sin_port = htons(port);
	say_call("connect", connect(client, (struct sockaddr *)&address, sizeof(address)));
	say_call("poll", poll(&wanted, 1, 1000));
	getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length);
	say("SO_ERROR %d", error);
	server = accept(listener, NULL, NULL);
	set_nonblocking(client, 0);
	pair_warm((int[2]){client, server});
	set_nonblocking(client, 1);
	say_call("read", read(client, in, 10));
	close(client);
	close(server);
	close(listener);
	address.sin_port = htons(1);
	client = socket(AF_INET, SOCK_STREAM, 0);
	say_call("refused", connect(client, (struct sockaddr *)&address, sizeof(address)));
	close(client);
}

static void version_six_and_mapped_addresses(void)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET6, SOCK_STREAM, 0), ends[2];
	char in[10];

	if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 ||
	    listen(listener, 5) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
		say("no IPv6");
		return;
	}
	ends[0] = connect_local(ntohs(address.sin6_port), 0);
	ends[1] = accept(listener, NULL, NULL);
	pair_warm(ends);
	say_call("write", write(ends[0], "mapped", 6));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
	address.sin6_addr = in6addr_loopback;
	ends[0] = socket(AF_INET6, SOCK_STREAM, 0);
	say_call("connect", connect(ends[0], (struct sockaddr *)&address, length));
	ends[1] = accept(listener, NULL, NULL);
	pair_warm(ends);
	say_call("write", write(ends[0], "six", 3));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
	close(listener);
}

static void *pump(void *argument)
{
	struct work *work = argument;
	static _Thread_local char block[16384];
	size_t sent;

	for (sent = 0; sent < work->count; sent += sizeof(block)) {
		pattern_fill((uint64_t)work->number, sent, block, sizeof(block));
		write_all(work->fd, block, sizeof(block));
	}
	return NULL;
}

static void both_directions_at_full_speed(void)
{
	enum { TOTAL = 64 << 20 };
	static char in[2][65536];
	struct work work[2];
	pthread_t threads[2];
	size_t done[2] = {0, 0};
	int ends[2], i, wrong = 0;
	ssize_t n;

	pair_open(ends);
	for (i = 0; i < 2; i++) {
		work[i] = (struct work){.fd = ends[i], .number = i, .count = TOTAL};
		pthread_create(&threads[i], NULL, pump, &work[i]);
	}
	while (done[0] < TOTAL || done[1] < TOTAL)
		for (i = 0; i < 2; i++) {
			if (done[i] >= TOTAL)
				continue;
			n = read(ends[1 - i], in[i], sizeof(in[i]));
			if (n <= 0)
				die("read");
			wrong += pattern_check((uint64_t)i, done[i], in[i], (size_t)n) != (size_t)n;
			done[i] += (size_t)n;
		}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	say("%zu and %zu, wrong %d", done[0], done[1], wrong);
	pair_close(ends);
}

/* Answers every message, and counts those that did not come with one read. */
static void *answer_messages(void *argument)
{
	int fd = *(int *)argument, cut = 0;
	char in[64];
	ssize_t n;

	while (!cut && (n = read(fd, in, sizeof(in))) > 0) {
		cut = n != 8;
		write_all(fd, in, (size_t)n);
	}
	say("cut %d", cut);
	return NULL;
}

static void small_messages_come_whole_all_the_time(void)
{
	pthread_t thread;
	int ends[2], i, cut = 0;
	char in[64];

	connect_pair(ends);
	if (pthread_create(&thread, NULL, answer_messages, &ends[1]) != 0)
		die("pthread_create");
	for (i = 0; i < 50 && !cut; i++) {
		write_all(ends[0], "message.", 8);
		cut = read(ends[0], in, sizeof(in)) != 8;
		sleep_us(300);
	}
	say("%d answers, cut %d", i, cut);
	shutdown(ends[0], SHUT_WR);
	pthread_join(thread, NULL);
	pair_close(ends);
}

const struct behaviour same_threads[] = {
	{"many_threads_write_to_one_connection", many_threads_write_to_one_connection},
	{"two_readers_take_a_message_each", two_readers_take_a_message_each},
	{"many_threads_read_from_one_connection", many_threads_read_from_one_connection},
	{"sixty_four_threads", sixty_four_threads},
	{"sixty_four_on_one_epoll", sixty_four_on_one_epoll},
	{"connected_to_itself", connected_to_itself},
	{"connect_write_then_accept", connect_write_then_accept},
	{"connect_without_waiting", connect_without_waiting},
	{"version_six_and_mapped_addresses", version_six_and_mapped_addresses},
	{"both_directions_at_full_speed", both_directions_at_full_speed},
	{"small_messages_come_whole_all_the_time", small_messages_come_whole_all_the_time},
	{NULL, NULL},
};
