// SPDX-License-Identifier: MIT
/*
 * Request and response, and ping-pong, which is the same on one connection
 *
 * Theory of operation
 *
 * Every connection sends a message and waits for an answer as long, over and over.  With threads,
 * each connection has one, on a blocking socket; with epoll, one thread drives all of them on
 * non-blocking sockets.  Exchanges are timed from PHASE_MEASURE to PHASE_STOP; what comes before
 * warms up (and lets connections move).  Connections stay open until the result is out.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "flow.h"
#include "tools.h"

enum phase { PHASE_WARMUP, PHASE_MEASURE, PHASE_STOP };

static _Atomic int phase;

/**
 * struct client - one connection
 * @flow: its data
 * @options: the command line
 * @started_ns: when the exchange under way began
 * @latencies: of its exchanges (with epoll: of all connections')
 * @thread: with threads: its own
 * @writing: with epoll: the request did not fit, EPOLLOUT is awaited
 */
struct client {
	struct flow flow;
	const struct options *options;
	uint64_t started_ns;
	struct histogram *latencies;
	pthread_t thread;
	bool writing;
};

static struct histogram *histogram_new(void)
{
	struct histogram *histogram = calloc(1, sizeof(*histogram));

	if (histogram == NULL)
		fail(ENOMEM, "a histogram");
	return histogram;
}

static void client_open(struct client *client, uint64_t token)
{
	struct hello hello = {
		.magic = HELLO_MAGIC,
		.work = WORK_ECHO,
		.token = token,
		.size = client->options->size,
	};

	flow_init(&client->flow, connect_with(client->options, &hello), false, token, hello.size);
}

/* Called when an exchange is complete, with the time the next one begins at. */
static void client_count(struct client *client, uint64_t now, int current)
{
	if (current == PHASE_MEASURE)
		histogram_add(client->latencies, now - client->started_ns);
	client->started_ns = now;
}

static void *client_thread(void *argument)
{
	struct client *client = argument;
	struct scratch scratch = scratch_take(client->options->size);
	int current;

	client->started_ns = clock_ns();
	while ((current = atomic_load_explicit(&phase, memory_order_relaxed)) != PHASE_STOP) {
		int error = flow_send_all(&client->flow, &scratch, client->options->size);

		if (error == 0)
			error = flow_receive_all(&client->flow, &scratch, client->options->size);
		if (error < 0)
			fail(-error, "an exchange");
		client_count(client, clock_ns(), current);
	}
	scratch_give(&scratch);
	return NULL;
}

static void client_watch(int epoll, int operation, struct client *client)
{
	struct epoll_event event = {
		.events = client->writing ? EPOLLOUT : EPOLLIN,
		.data.ptr = client,
	};

	if (epoll_ctl(epoll, operation, client->flow.fd, &event) < 0)
		fail(errno, "epoll_ctl");
}

static void client_request(struct client *client, int epoll, struct scratch *scratch)
{
	bool writing;

	while (client->flow.left_out > 0) {
		int64_t sent = flow_send(&client->flow, scratch);

		if (sent == -EAGAIN)
			break;
		if (sent < 0)
			fail((int)-sent, "sending a request");
	}
	writing = client->flow.left_out > 0;
	if (writing != client->writing) {
		client->writing = writing;
		client_watch(epoll, EPOLL_CTL_MOD, client);
	}
	if (!writing)
		client->flow.left_in = client->options->size;
}

static void client_answer(struct client *client, int epoll, struct scratch *scratch, int current)
{
	int64_t received = flow_receive(&client->flow, scratch);

	if (received == -EAGAIN)
		return;
	if (received <= 0)
		fail(received == 0 ? ECONNRESET : (int)-received, "receiving an answer");
	if (client->flow.left_in > 0)
		return;
	client_count(client, clock_ns(), current);
	client->flow.left_out = client->options->size;
	client_request(client, epoll, scratch);
}

static void *epoll_thread(void *argument)
{
	struct client *clients = argument;
	const struct options *options = clients->options;
	struct scratch scratch = scratch_take(options->size);
	struct epoll_event events[64];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int current;

	for (unsigned int i = 0; i < options->connections; i++) {
		socket_non_blocking(clients[i].flow.fd);
		client_watch(epoll, EPOLL_CTL_ADD, &clients[i]);
		clients[i].started_ns = clock_ns();
		clients[i].flow.left_out = options->size;
		client_request(&clients[i], epoll, &scratch);
	}
	while ((current = atomic_load_explicit(&phase, memory_order_relaxed)) != PHASE_STOP) {
		int ready = epoll_wait(epoll, events, 64, 1000);

		if (ready < 0 && errno != EINTR)
			fail(errno, "epoll_wait");
		for (int i = 0; i < ready; i++) {
			struct client *client = events[i].data.ptr;

			if (client->writing)
				client_request(client, epoll, &scratch);
			else
				client_answer(client, epoll, &scratch, current);
		}
	}
	scratch_give(&scratch);
	return NULL;
}

static struct client *clients_open(const struct options *options)
{
	struct client *clients = calloc(options->connections, sizeof(*clients));
	bool one_thread = options->wait == WAIT_EPOLL;

	if (clients == NULL)
		fail(ENOMEM, "connections");
	for (unsigned int i = 0; i < options->connections; i++) {
		clients[i].options = options;
		clients[i].latencies = one_thread && i > 0 ? clients[0].latencies : histogram_new();
		client_open(&clients[i], i + 1);
	}
	return clients;
}

static void clients_close(struct client *clients, unsigned int histograms, unsigned int count)
{
	for (unsigned int i = 0; i < histograms; i++)
		free(clients[i].latencies);
	for (unsigned int i = 0; i < count; i++)
		close(clients[i].flow.fd);
	free(clients);
}

static void print_result(const struct options *options, const char *name, const struct meter *meter,
			 const struct histogram *latencies)
{
	json_begin(name);
	json_text("mode", options->wait == WAIT_EPOLL ? "epoll" : "threads");
	json_number("size", (double)options->size);
	json_number("connections", options->connections);
	json_meter(meter, (double)latencies->count);
	json_latency(latencies);
	json_end();
}

void run_rr(const struct options *options, const char *name)
{
	unsigned int threads = options->wait == WAIT_EPOLL ? 1 : options->connections;
	struct client *clients;
	struct meter meter;

	raise_descriptor_limit(options->connections + 16);
	clients = clients_open(options);
	for (unsigned int i = 0; i < threads; i++) {
		int error = pthread_create(
			&clients[i].thread, NULL,
			options->wait == WAIT_EPOLL ? epoll_thread : client_thread, &clients[i]);
		if (error != 0)
			fail(error, "no thread");
	}
	sleep_seconds(options->warmup);
	meter_start(&meter, options);
	atomic_store(&phase, PHASE_MEASURE);
	sleep_seconds(options->seconds);
	atomic_store(&phase, PHASE_STOP);
	meter_stop(&meter, options);
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(clients[i].thread, NULL);
	for (unsigned int i = 1; i < threads; i++)
		histogram_merge(clients[0].latencies, clients[i].latencies);
	print_result(options, name, &meter, clients[0].latencies);
	hold(options);
	clients_close(clients, threads, options->connections);
}
