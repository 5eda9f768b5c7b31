// SPDX-License-Identifier: MIT
/*
 * The server of every workload
 *
 * Theory of operation
 *
 * A peer is in one of three states: it has not said its whole hello; it receives (flow.left_in > 0);
 * it answers (flow.left_out > 0).  peer_advance() makes at most one receiving call and, when that
 * completes a message, sends the answer.  A thread a connection calls it on a blocking socket until
 * the peer is gone; the epoll loop calls it once for each event, as event loops commonly do.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow.h"
#include "tools.h"

#define SCRATCH_MAX (1024U * 1024U)
#define THREAD_STACK (256U * 1024U)
#define EVENTS_AT_ONCE 256

/**
 * struct peer - one accepted connection
 * @flow: its data
 * @hello, @hello_got: the hello and how many of its bytes have come
 * @messages: messages received
 * @writing: epoll loop: the answer did not fit, EPOLLOUT is awaited
 */
struct peer {
	struct flow flow;
	struct hello hello;
	size_t hello_got;
	uint64_t messages;
	bool writing;
};

static void peer_report(struct peer *peer)
{
	struct report report = {
		.magic = HELLO_MAGIC,
		.pid = getpid(),
		.token = peer->hello.token,
		.received = peer->flow.position_in,
	};

	if (peer->hello.work == WORK_USAGE)
		report.cpu_us = cpu_us();
	/* 64 bytes towards a client that waits for them: they fit even when non-blocking */
	send_all(peer->flow.fd, &report, sizeof(report));
}

static bool hello_is_valid(const struct hello *hello)
{
	return hello->magic == HELLO_MAGIC && hello->work > 0 && hello->work < WORK_END &&
	       hello->size > 0;
}

/* How much comes next: after the hello (@messages is 0) or a whole message. */
static uint64_t peer_next_length(const struct peer *peer)
{
	switch (peer->hello.work) {
	case WORK_SINK:
		return peer->messages == 0 ? peer->hello.warmup : peer->hello.total;
	default:
		return peer->hello.size;
	}
}

static int64_t peer_receive_hello(struct peer *peer)
{
	ssize_t received = recv(peer->flow.fd, (char *)&peer->hello + peer->hello_got,
				sizeof(peer->hello) - peer->hello_got, 0);

	if (received < 0)
		return errno == EINTR ? 1 : -errno;
	peer->hello_got += (size_t)received;
	if (received == 0 || peer->hello_got < sizeof(peer->hello))
		return received;
	if (!hello_is_valid(&peer->hello))
		return -EPROTO;
	flow_init(&peer->flow, peer->flow.fd, true, peer->hello.token, peer->hello.size);
	peer->flow.left_in = peer_next_length(peer);
	if (peer->hello.work != WORK_SINK)
		socket_no_delay(peer->flow.fd);
	peer_report(peer);
	return received;
}

static int64_t peer_send(struct peer *peer, struct scratch *scratch)
{
	while (peer->flow.left_out > 0) {
		int64_t sent = flow_send(&peer->flow, scratch);

		if (sent < 0)
			return sent;
	}
	peer->flow.left_in = peer_next_length(peer);
	return 1;
}

static void peer_message_done(struct peer *peer)
{
	peer->messages++;
	if (peer->hello.work == WORK_ECHO) {
		peer->flow.left_out = peer->hello.size;
		return;
	}
	peer_report(peer);
	peer->flow.left_in = peer_next_length(peer);
}

/* peer_advance - one step; 0 when the peer is gone, -errno, or more than 0 */
static int64_t peer_advance(struct peer *peer, struct scratch *scratch)
{
	int64_t received;

	if (peer->hello_got < sizeof(peer->hello))
		return peer_receive_hello(peer);
	if (peer->flow.left_out > 0)
		return peer_send(peer, scratch);
	received = flow_receive(&peer->flow, scratch);
	if (received <= 0)
		return received;
	if (peer->flow.left_in == 0)
		peer_message_done(peer);
	return peer->flow.left_out > 0 ? peer_send(peer, scratch) : received;
}

/* A client that went away is no news; wrong data ends the benchmark. */
static void peer_check_error(int64_t error)
{
	if (error == -EBADMSG || error == -EPROTO)
		fail((int)-error, "received");
}

static uint64_t scratch_wanted(const struct hello *hello)
{
	uint64_t wanted = hello->read_size > 0 ? hello->read_size : hello->size;

	return wanted < SCRATCH_MAX ? wanted : SCRATCH_MAX;
}

/* Whether this connection deserves a buffer of its own now (it has a few bytes of stack anyway). */
static bool buffer_wanted(const struct peer *peer)
{
	if (peer->hello_got < sizeof(peer->hello) || peer->hello.work == WORK_USAGE)
		return false;
	return peer->hello.exchanges == 0 || peer->messages < peer->hello.exchanges;
}

static void serve_blocking(int fd)
{
	struct peer peer = {.flow.fd = fd};
	unsigned char few[256];
	struct scratch on_stack = {.bytes = few, .size = sizeof(few)};
	struct scratch buffer = {.bytes = NULL};
	int64_t result;

	do {
		bool wanted = buffer_wanted(&peer);

		if (wanted && buffer.bytes == NULL)
			buffer = scratch_take(scratch_wanted(&peer.hello));
		else if (!wanted && buffer.bytes != NULL)
			scratch_give(&buffer);
		result = peer_advance(&peer, buffer.bytes != NULL ? &buffer : &on_stack);
	} while (result > 0);
	peer_check_error(result);
	if (buffer.bytes != NULL)
		scratch_give(&buffer);
	close(fd);
}

static void *serve_one(void *argument)
{
	serve_blocking((int)(intptr_t)argument);
	return NULL;
}

static void *serve_many(void *argument)
{
	int listener = (int)(intptr_t)argument;

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			serve_blocking(fd);
	}
	return NULL;
}

static void thread_start(void *(*body)(void *), int fd)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	error = pthread_create(&thread, &attributes, body, (void *)(intptr_t)fd);
	if (error != 0)
		fail(error, "no thread");
	pthread_attr_destroy(&attributes);
}

static void serve_threads(int listener, unsigned int workers)
{
	for (unsigned int i = 0; i < workers; i++)
		thread_start(serve_many, listener);
	while (workers > 0)
		pause();
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			thread_start(serve_one, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			fail(errno, "accept");
	}
}

static void epoll_set(int epoll, int operation, int fd, uint32_t events, void *data)
{
	struct epoll_event event = {.events = events, .data.ptr = data};

	if (epoll_ctl(epoll, operation, fd, &event) < 0)
		fail(errno, "epoll_ctl");
}

static void epoll_accept(int epoll, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct peer *peer;

	if (fd < 0)
		return;
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		fail(ENOMEM, "accepting");
	peer->flow.fd = fd;
	epoll_set(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, peer);
}

static void epoll_peer(int epoll, struct peer *peer, const struct scratch *shared)
{
	struct scratch scratch = {.bytes = shared->bytes, .size = scratch_wanted(&peer->hello)};
	int64_t result = peer_advance(peer, &scratch);
	bool writing = peer->flow.left_out > 0;

	if (result <= 0 && result != -EAGAIN) {
		peer_check_error(result);
		close(peer->flow.fd);
		free(peer);
		return;
	}
	if (writing == peer->writing)
		return;
	peer->writing = writing;
	epoll_set(epoll, EPOLL_CTL_MOD, peer->flow.fd, writing ? EPOLLOUT : EPOLLIN, peer);
}

static void serve_epoll(int listener)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	struct scratch scratch = scratch_take(SCRATCH_MAX);
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	socket_non_blocking(listener);
	epoll_set(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
	for (;;) {
		int ready = epoll_wait(epoll, events, EVENTS_AT_ONCE, -1);

		if (ready < 0 && errno != EINTR)
			fail(errno, "epoll_wait");
		for (int i = 0; i < ready; i++) {
			if (events[i].data.ptr == NULL)
				epoll_accept(epoll, listener);
			else
				epoll_peer(epoll, events[i].data.ptr, &scratch);
		}
	}
}

void run_server(const struct options *options)
{
	uint16_t port = options->port;
	int listener = socket_listen(options->address, &port);

	raise_descriptor_limit(0);
	printf("{\"port\": %u, \"pid\": %d}\n", (unsigned int)port, (int)getpid());
	fflush(stdout);
	if (options->wait == WAIT_EPOLL)
		serve_epoll(listener);
	else
		serve_threads(listener, options->workers);
}
