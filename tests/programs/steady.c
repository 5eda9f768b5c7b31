/* SPDX-License-Identifier: MIT */
/*
 * steady - connections that go on for a while, each asked and answered without end
 *
 * Every answer is checked, and each connection must get on: one that gives no answer for 10 seconds
 * is a failure.  Each asks at least once, however late it was connected.  Server and client are threads
 * of one process, or of two.
 *
 *   steady [--connections=N] [--seconds=S] [--lifetime=S]   both sides
 *   steady --serve --port=P [--seconds=S]                    the answering side only
 *                                                            with --epoll: one thread, epoll
 *   steady --ask --port=P ...                                the asking side only
 *
 * --lifetime: seconds after which a connection is closed and opened anew
 * --pause: microseconds between questions (200)
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common.h"

#define QUESTION_MAX 20000U

static uint16_t port;
static uint64_t ends_at, lifetime_ms;
static unsigned int pause_between;
static _Atomic uint64_t questions, reconnections, wrong, longest_ms;

/* A wait for a connection or for an answer is over. */
static void waited_since(uint64_t began)
{
	uint64_t waited = now_ms() - began, longest = longest_ms;

	while (waited > longest && !atomic_compare_exchange_weak(&longest_ms, &longest, waited))
		;
}

static void *answer(void *argument)
{
	int fd = (int)(intptr_t)argument;
	static _Thread_local char bytes[QUESTION_MAX];
	ssize_t n, done, m;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		for (done = 0; done < n; done += m) {
			m = send(fd, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
			if (m <= 0)
				goto out;
		}
out:
	close(fd);
	return NULL;
}

static void *answer_all(void *argument)
{
	int listener = (int)(intptr_t)argument, fd;
	pthread_t thread;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (pthread_create(&thread, NULL, answer, (void *)(intptr_t)fd) != 0)
			die("pthread_create");
		pthread_detach(thread);
	}
	return NULL;
}

/* One thread for all connections; who does not take its answer is thrown out. */
static void answer_by_epoll(int listener)
{
	static char bytes[QUESTION_MAX];
	int epoll = epoll_create1(0), n, i, fd;
	struct epoll_event event = {EPOLLIN, {.fd = listener}}, events[64];
	ssize_t got;

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		n = epoll_wait(epoll, events, 64, -1);
		for (i = 0; i < n; i++) {
			fd = events[i].data.fd;
			if (fd == listener) {
				event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
				if (event.data.fd >= 0)
					epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
				continue;
			}
			got = read(fd, bytes, sizeof(bytes));
			if (got < 0 && errno == EAGAIN)
				continue;
			if (got <= 0 || send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got)
				close(fd);
		}
	}
}

static int ask_once(int fd, uint64_t seed, uint64_t number)
{
	static _Thread_local char out[QUESTION_MAX], in[QUESTION_MAX];
	struct dice dice = {mix(seed, number)};
	size_t length = dice_size(&dice, QUESTION_MAX), done = 0;
	ssize_t n;

	pattern_fill(seed, number, out, length);
	write_all(fd, out, length);
	while (done < length) {
		n = read(fd, in + done, length - done);
		if (n <= 0) {
			printf("wrong: connection %llu, question %llu: %zu of %zu bytes came: %s\n",
			       (unsigned long long)seed, (unsigned long long)number, done, length,
			       n ? strerror(errno) : "end of file");
			return -1;
		}
		done += (size_t)n;
	}
	if (memcmp(in, out, length) != 0) {
		printf("wrong: connection %llu, question %llu: another answer\n",
		       (unsigned long long)seed, (unsigned long long)number);
		return -1;
	}
	return 0;
}

static void *ask(void *argument)
{
	uint64_t seed = (uint64_t)(intptr_t)argument, number = 0, until, began;
	struct timeval patience = {10, 0};
	int fd;

	while (now_ms() < ends_at) {
		began = now_ms();
		fd = connect_local(port, 0);
		waited_since(began);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		until = lifetime_ms ? now_ms() + lifetime_ms : ends_at;
		do {
			began = now_ms();
			if (ask_once(fd, seed, number++) < 0) {
				wrong++;
				close(fd);
				return NULL;
			}
			waited_since(began);
			questions++;
			sleep_us(pause_between);
		} while (now_ms() < until && now_ms() < ends_at);
		close(fd);
		reconnections++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t connections = option_number(argc, argv, "connections", 8), i;
	int serve_only = option_given(argc, argv, "serve");
	pthread_t *threads = calloc(connections, sizeof(*threads)), server;
	int listener;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	port = (uint16_t)option_number(argc, argv, "port", 0);
	ends_at = now_ms() + 1000 * option_number(argc, argv, "seconds", 5);
	lifetime_ms = 1000 * option_number(argc, argv, "lifetime", 0);
	pause_between = (unsigned int)option_number(argc, argv, "pause", 200);
	if (!option_given(argc, argv, "ask")) {
		listener = listen_local(&port);
		if (serve_only) {
			printf("port %u\n", port);
			if (option_given(argc, argv, "epoll"))
				answer_by_epoll(listener);
			answer_all((void *)(intptr_t)listener);
		}
		if (pthread_create(&server, NULL, answer_all, (void *)(intptr_t)listener) != 0)
			die("pthread_create");
	}
	for (i = 0; i < connections; i++)
		if (pthread_create(&threads[i], NULL, ask, (void *)(intptr_t)i) != 0)
			die("pthread_create");
	for (i = 0; i < connections; i++)
		pthread_join(threads[i], NULL);
	printf("%llu questions, %llu connections, %llu wrong, %llu ms the longest wait\n",
	       (unsigned long long)questions, (unsigned long long)reconnections,
	       (unsigned long long)wrong, (unsigned long long)longest_ms);
	fflush(NULL);
	_exit(wrong != 0 || questions == 0);
}
