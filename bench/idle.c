// SPDX-License-Identifier: MIT
/*
 * Many connections that have worked and now idle: what they cost
 *
 * Theory of operation
 *
 * Memory is read before the first connection.  Then every connection does its exchanges, one
 * connection after the other, or each in a thread of its own (made before that first reading); in
 * rounds, so that what is to happen to a connection that lives has happened before the last.
 * All of them go idle in the kernel wait that was asked for: poll, epoll, or a blocking recv in
 * each thread.  Processor time over the idle interval, memory at its end, and at last the latency
 * of the first connection, active among the others, are the result.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow.h"
#include "memory.h"
#include "tools.h"

#define THREAD_STACK (256U * 1024U)
#define ROUNDS 4U
#define STACK_TOUCHED 8192U /* what a thread uses anyway: not to be taken for the connection's */

/**
 * struct crowd - all the connections
 * @options: the command line
 * @flows: one a connection
 * @polled: with poll: what to wait for
 * @epoll: with epoll: the same
 * @start, @done: with threads: barriers before and after each round
 */
struct crowd {
	const struct options *options;
	struct flow *flows;
	struct pollfd *polled;
	int epoll;
	pthread_barrier_t start;
	pthread_barrier_t done;
};

/**
 * struct member - what one thread is told
 * @crowd: the connections
 * @index: which of them is its own
 */
struct member {
	struct crowd *crowd;
	unsigned int index;
};

static void exchange(struct flow *flow, struct scratch *scratch, uint64_t size)
{
	int error = flow_send_all(flow, scratch, size);

	if (error == 0)
		error = flow_receive_all(flow, scratch, size);
	if (error < 0)
		fail(-error, "an exchange");
}

static void flow_open(struct crowd *crowd, unsigned int index)
{
	const struct options *options = crowd->options;
	struct hello hello = {
		.magic = HELLO_MAGIC,
		.work = WORK_ECHO,
		.token = index + 1,
		.size = options->size,
		.exchanges = options->exchanges,
	};
	struct flow *flow = &crowd->flows[index];

	flow_init(flow, connect_with(options, &hello), false, hello.token, hello.size);
	if (crowd->polled != NULL)
		crowd->polled[index] = (struct pollfd){.fd = flow->fd, .events = POLLIN};
	if (crowd->epoll >= 0) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = flow};

		if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, flow->fd, &event) < 0)
			fail(errno, "epoll_ctl");
	}
}

static void flow_work(struct crowd *crowd, unsigned int index, unsigned int round)
{
	const unsigned int all = crowd->options->exchanges;
	struct scratch scratch = scratch_take(crowd->options->size);

	if (round == 0)
		flow_open(crowd, index);
	for (unsigned int i = all * round / ROUNDS; i < all * (round + 1) / ROUNDS; i++)
		exchange(&crowd->flows[index], &scratch, crowd->options->size);
	scratch_give(&scratch);
}

static void touch_stack(void)
{
	volatile char touched[STACK_TOUCHED];

	for (size_t i = 0; i < sizeof(touched); i += 1024)
		touched[i] = 0;
}

static void *member_thread(void *argument)
{
	struct member member = *(struct member *)argument;
	char byte;

	free(argument);
	touch_stack();
	for (unsigned int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&member.crowd->start);
		flow_work(member.crowd, member.index, round);
		pthread_barrier_wait(&member.crowd->done);
	}
	recv(member.crowd->flows[member.index].fd, &byte, 1, 0);
	return NULL;
}

static void crowd_start_threads(struct crowd *crowd)
{
	unsigned int count = crowd->options->connections;
	pthread_attr_t attributes;

	pthread_barrier_init(&crowd->start, NULL, count + 1);
	pthread_barrier_init(&crowd->done, NULL, count + 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	for (unsigned int i = 0; i < count; i++) {
		struct member *member = malloc(sizeof(*member));
		pthread_t thread;
		int error;

		if (member == NULL)
			fail(ENOMEM, "threads");
		*member = (struct member){.crowd = crowd, .index = i};
		error = pthread_create(&thread, &attributes, member_thread, member);
		if (error != 0)
			fail(error, "no thread");
	}
	pthread_attr_destroy(&attributes);
	sleep_seconds(0.2); /* until they have reached the barrier, their stacks touched */
}

static void crowd_prepare(struct crowd *crowd)
{
	unsigned int count = crowd->options->connections;

	raise_descriptor_limit(count + 16);
	crowd->flows = calloc(count, sizeof(*crowd->flows));
	if (crowd->flows == NULL)
		fail(ENOMEM, "connections");
	memset(crowd->flows, 1, count * sizeof(*crowd->flows)); /* touched before memory is read */
	crowd->epoll = -1;
	if (crowd->options->wait == WAIT_EPOLL)
		crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (crowd->options->wait == WAIT_THREADS)
		crowd_start_threads(crowd);
	if (crowd->options->wait != WAIT_POLL)
		return;
	crowd->polled = calloc(count, sizeof(*crowd->polled));
	if (crowd->polled == NULL)
		fail(ENOMEM, "connections");
	memset(crowd->polled, 1, count * sizeof(*crowd->polled));
}

static void crowd_work(struct crowd *crowd)
{
	const bool threads = crowd->options->wait == WAIT_THREADS;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		if (threads) {
			pthread_barrier_wait(&crowd->start);
			pthread_barrier_wait(&crowd->done);
		}
		for (unsigned int i = 0; !threads && i < crowd->options->connections; i++)
			flow_work(crowd, i, round);
		sleep_seconds(0.3); /* lets others who work for these connections finish */
	}
}

/* Wait at most @seconds (below 0: for ever) for any connection; true if one has something. */
static bool crowd_wait(struct crowd *crowd, double seconds)
{
	int timeout = seconds < 0 ? -1 : (int)(seconds * 1000);
	struct epoll_event event;

	switch (crowd->options->wait) {
	case WAIT_EPOLL:
		return epoll_wait(crowd->epoll, &event, 1, timeout) > 0;
	case WAIT_POLL:
		return poll(crowd->polled, crowd->options->connections, timeout) > 0;
	default:
		sleep_seconds(seconds);
		return false;
	}
}

static void crowd_idle(struct crowd *crowd, struct meter *meter)
{
	meter_start(meter, crowd->options);
	if (crowd_wait(crowd, crowd->options->idle))
		fail(0, "an idle connection has something to say");
	meter_stop(meter, crowd->options);
}

/* The first connection works again; each answer is waited for together with all the others. */
static void crowd_active(struct crowd *crowd, struct histogram *latencies)
{
	const struct options *options = crowd->options;
	struct scratch scratch = scratch_take(options->size);
	uint64_t started = clock_ns();
	uint64_t until = started + (uint64_t)(options->seconds * 1e9);

	while (started < until) {
		struct flow *flow = &crowd->flows[0];
		int error = flow_send_all(flow, &scratch, options->size);
		uint64_t now;

		if (error == 0 && !crowd_wait(crowd, -1))
			fail(0, "waiting for the active connection");
		if (error == 0)
			error = flow_receive_all(flow, &scratch, options->size);
		if (error < 0)
			fail(-error, "the active connection");
		now = clock_ns();
		histogram_add(latencies, now - started);
		started = now;
	}
	scratch_give(&scratch);
}

static void print_idle(const struct options *options, const struct meter *meter)
{
	static const char *const modes[] = {"threads", "epoll", "poll"};
	double seconds = (double)meter->elapsed_ns / 1e9;

	json_begin("idle");
	json_text("mode", modes[options->wait]);
	json_number("size", (double)options->size);
	json_number("connections", options->connections);
	json_number("idle_s", seconds);
	json_number("server_pid", meter->server_pid);
	json_number("idle_cpu_client_percent", (double)meter->client_us / seconds / 1e4);
	json_number("idle_cpu_server_percent", (double)meter->server_us / seconds / 1e4);
}

void run_idle(const struct options *options)
{
	static struct histogram latencies;
	static struct crowd crowd; /* threads may still look at it when we end */
	struct memory before, after;
	struct meter meter;

	crowd.options = options;
	meter_start(&meter, options); /* for the server's pid */
	crowd_prepare(&crowd);
	memory_read(getpid(), meter.server_pid); /* once for what the reading itself allocates */
	before = memory_read(getpid(), meter.server_pid);
	crowd_work(&crowd);
	crowd_idle(&crowd, &meter);
	after = memory_read(getpid(), meter.server_pid);
	if (options->wait != WAIT_THREADS && options->seconds > 0)
		crowd_active(&crowd, &latencies);
	print_idle(options, &meter);
	memory_print(&before, &after, options->connections);
	json_latency(&latencies);
	json_end();
	hold(options);
}
