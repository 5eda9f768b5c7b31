// SPDX-License-Identifier: MIT
/*
 * What calls on descriptors cost that are none of smcu's business: a pipe, an eventfd
 *
 * The process has a TCP connection too, to itself, which moves if it can: a program that uses no
 * socket at all would be too easy.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools.h"

#define BATCH 1000U
#define EXCHANGES 50U

/* A connection of this process to itself, that has lived. */
static void connection_make(void)
{
	struct options options = {.address = "127.0.0.1"};
	int listener = socket_listen(options.address, &options.port);
	int ends[2] = {socket_connect(&options), accept(listener, NULL, NULL)};
	char message[HELLO_SIZE] = {0};

	if (ends[1] < 0)
		fail(errno, "accept");
	for (unsigned int i = 0; i < 2 * EXCHANGES; i++) {
		if (send_all(ends[i & 1], message, sizeof(message)) < 0 ||
		    receive_all(ends[~i & 1], message, sizeof(message)) < 0)
			fail(0, "an exchange with oneself");
		sleep_seconds(0.0005);
	}
	close(listener);
}

static void read_and_write(const int pipe[2], struct histogram *reads, struct histogram *writes)
{
	uint64_t start = clock_ns(), middle;
	char byte = 0;

	for (unsigned int i = 0; i < BATCH; i++)
		if (write(pipe[1], &byte, 1) != 1)
			fail(errno, "write to a pipe");
	middle = clock_ns();
	for (unsigned int i = 0; i < BATCH; i++)
		if (read(pipe[0], &byte, 1) != 1)
			fail(errno, "read from a pipe");
	histogram_add(writes, (middle - start) * 1000 / BATCH);
	histogram_add(reads, (clock_ns() - middle) * 1000 / BATCH);
}

static void poll_it(int fd, struct histogram *polls)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	uint64_t start = clock_ns();

	for (unsigned int i = 0; i < BATCH; i++)
		if (poll(&ready, 1, 0) != 1)
			fail(errno, "poll of an eventfd");
	histogram_add(polls, (clock_ns() - start) * 1000 / BATCH);
}

/* The median of batches: in picoseconds there, in nanoseconds here. */
static double median_ns(const struct histogram *histogram)
{
	return (double)histogram_quantile(histogram, 0.5) / 1e3;
}

void run_calls(const struct options *options)
{
	static struct histogram reads, writes, polls;
	uint64_t until;
	int ends[2], event = eventfd(1, EFD_CLOEXEC);

	if (event < 0 || pipe(ends) < 0)
		fail(errno, "descriptors");
	connection_make();
	until = clock_ns() + (uint64_t)(options->seconds * 1e9);
	while (clock_ns() < until) {
		read_and_write(ends, &reads, &writes);
		poll_it(event, &polls);
	}
	json_begin("calls");
	json_number("read_ns", median_ns(&reads));
	json_number("write_ns", median_ns(&writes));
	json_number("poll_ns", median_ns(&polls));
	json_end();
	hold(options);
}
