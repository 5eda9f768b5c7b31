// SPDX-License-Identifier: MIT
/*
 * Short connections: connect, one or a few exchanges of 64 B, close; one after the other
 *
 * The first exchange is the hello and its report, which are 64 B each.
 */
#include <errno.h>
#include <unistd.h>

#include "flow.h"
#include "tools.h"

static void connect_once(const struct options *options, struct scratch *scratch, uint64_t token)
{
	struct hello hello = {
		.magic = HELLO_MAGIC,
		.work = WORK_ECHO,
		.token = token,
		.size = HELLO_SIZE,
	};
	int fd = connect_with(options, &hello);
	struct flow flow;

	flow_init(&flow, fd, false, token, hello.size);
	for (unsigned int i = 1; i < options->exchanges; i++) {
		int error = flow_send_all(&flow, scratch, hello.size);

		if (error == 0)
			error = flow_receive_all(&flow, scratch, hello.size);
		if (error < 0)
			fail(-error, "an exchange");
	}
	close(fd);
}

/* Connect for @seconds; returns how many connections were ever made. */
static uint64_t connect_until(const struct options *options, struct scratch *scratch,
			      double seconds, struct histogram *latencies)
{
	static uint64_t token;
	uint64_t started = clock_ns();
	uint64_t until = started + (uint64_t)(seconds * 1e9);

	while (started < until) {
		uint64_t now;

		connect_once(options, scratch, ++token);
		now = clock_ns();
		if (latencies != NULL)
			histogram_add(latencies, now - started);
		started = now;
	}
	return token;
}

void run_connect(const struct options *options)
{
	static struct histogram latencies;
	struct scratch scratch = scratch_take(HELLO_SIZE);
	struct meter meter;
	uint64_t made;

	connect_until(options, &scratch, options->warmup, NULL);
	meter_start(&meter, options);
	made = connect_until(options, &scratch, options->seconds, &latencies);
	meter_stop(&meter, options);
	json_begin("connect");
	json_number("exchanges", options->exchanges);
	json_number("connections_made", (double)made);
	json_meter(&meter, (double)latencies.count);
	json_latency(&latencies);
	json_end();
	hold(options);
}
