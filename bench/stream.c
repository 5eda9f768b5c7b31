// SPDX-License-Identifier: MIT
/*
 * A stream in one direction: large (or small) writes on one connection
 *
 * The server says when it has received the warm-up and when it has received everything, so the time
 * measured is that of bytes received, not of bytes handed to a buffer.
 */
#include <errno.h>

#include "flow.h"
#include "tools.h"

static void stream_part(struct flow *flow, struct scratch *scratch, uint64_t length, uint64_t token)
{
	struct report report;
	uint64_t before = flow->position_out;
	int error = flow_send_all(flow, scratch, length);

	if (error < 0)
		fail(-error, "sending");
	error = receive_all(flow->fd, &report, sizeof(report));
	if (error < 0)
		fail(-error, "waiting for the server to receive everything");
	if (report.token != token || report.received != before + length)
		fail(EBADMSG, "the report");
}

static void print_result(const struct options *options, const struct meter *meter)
{
	double seconds = (double)meter->elapsed_ns / 1e9;
	double cpu_ns = (double)(meter->client_us + meter->server_us) * 1e3;

	json_begin("stream");
	json_number("size", (double)options->size);
	json_number("connections", 1);
	json_meter(meter, (double)options->total / (double)options->size);
	json_number("bytes", (double)options->total);
	json_number("bytes_per_s", (double)options->total / seconds);
	json_number("cpu_ns_per_byte", cpu_ns / (double)options->total);
	json_end();
}

void run_stream(const struct options *options)
{
	struct hello hello = {
		.magic = HELLO_MAGIC,
		.work = WORK_SINK,
		.token = clock_ns(),
		.size = options->size,
		.read_size = options->read_size,
		.warmup = options->warmup_bytes,
		.total = options->total,
	};
	struct scratch scratch = scratch_take(options->size);
	int fd = socket_connect(options); /* no TCP_NODELAY: whoever streams leaves it alone */
	struct meter meter;
	struct flow flow;

	greet(fd, &hello);
	flow_init(&flow, fd, false, hello.token, hello.size);
	stream_part(&flow, &scratch, hello.warmup, hello.token);
	meter_start(&meter, options);
	stream_part(&flow, &scratch, hello.total, hello.token);
	meter_stop(&meter, options);
	print_result(options, &meter);
	hold(options);
}
