/* SPDX-License-Identifier: MIT */
/*
 * What the workloads share: options, sockets, clocks, processor time, histograms and JSON
 */
#ifndef SMCU_BENCH_TOOLS_H
#define SMCU_BENCH_TOOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

/* How a workload's connections are waited for. */
enum wait_mode { WAIT_THREADS, WAIT_EPOLL, WAIT_POLL };

/**
 * struct options - the command line
 * @address, @port: of the server, numeric
 * @wait: how this end waits for its connections
 * @size: bytes of a message or a write
 * @read_size: most bytes a stream's reader asks for at once
 * @connections: how many
 * @exchanges: exchanges of one connection ("connect", "idle")
 * @total, @warmup_bytes: bytes of a stream, and before its measured part
 * @seconds, @warmup: measured time, and time before it
 * @idle: seconds without traffic ("idle")
 * @workers: server threads made at start instead of one for each connection
 * @hold: after the result, keep connections until end of file on standard input
 */
struct options {
	const char *address;
	uint16_t port;
	enum wait_mode wait;
	uint64_t size;
	uint64_t read_size;
	unsigned int connections;
	unsigned int exchanges;
	uint64_t total;
	uint64_t warmup_bytes;
	double seconds;
	double warmup;
	double idle;
	unsigned int workers;
	bool hold;
};

/* fail - print why, with @error's text unless it is 0, and exit with status 1 */
__attribute__((format(printf, 2, 3), noreturn)) void fail(int error, const char *format, ...);

/* clock_ns - monotonic nanoseconds */
uint64_t clock_ns(void);
void sleep_seconds(double seconds);

/* cpu_us - processor time, user and system, that this process used so far, in microseconds */
uint64_t cpu_us(void);

/* raise_descriptor_limit - to the hard limit; fails when that is below @needed */
void raise_descriptor_limit(unsigned int needed);

/* socket_listen - a listening socket; @port (0: any) becomes the one it got */
int socket_listen(const char *address, uint16_t *port);
int socket_connect(const struct options *options);
void socket_no_delay(int fd);
void socket_non_blocking(int fd);

/* send_all, receive_all - on a blocking socket; 0 or -errno (-ECONNRESET at end of file) */
int send_all(int fd, const void *bytes, uint64_t length);
int receive_all(int fd, void *bytes, uint64_t length);

/* greet - send @hello on @fd and check the server's answer, which is returned */
struct report greet(int fd, const struct hello *hello);

/* connect_with - connect and greet with @hello; TCP_NODELAY is set, as interactive programs do */
int connect_with(const struct options *options, const struct hello *hello);

/**
 * struct meter - what both processes spent over a measured interval
 * @elapsed_ns: its length
 * @client_us, @server_us: processor time
 * @server_pid: the server's process
 */
struct meter {
	uint64_t elapsed_ns;
	uint64_t client_us;
	uint64_t server_us;
	int32_t server_pid;
};

/* meter_start, meter_stop - around the interval; each asks the server on a connection of its own */
void meter_start(struct meter *meter, const struct options *options);
void meter_stop(struct meter *meter, const struct options *options);

#define HISTOGRAM_FINE 64U /* buckets for each power of two: resolution 1.6 % */
#define HISTOGRAM_BUCKETS (40U * HISTOGRAM_FINE)

/**
 * struct histogram - latencies in nanoseconds, up to 2^44
 * @count, @sum, @max: of all values
 * @buckets: how many values fell into each
 */
struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

/* One JSON object on one line of standard output. */
void json_begin(const char *workload);
void json_text(const char *name, const char *value);
void json_number(const char *name, double value);
void json_latency(const struct histogram *histogram);
void json_meter(const struct meter *meter, double transactions);
void json_end(void);

/* hold - with --hold, wait for end of file on standard input */
void hold(const struct options *options);

/* The subcommands. */
void run_server(const struct options *options);
void run_rr(const struct options *options, const char *name);
void run_stream(const struct options *options);
void run_connect(const struct options *options);
void run_idle(const struct options *options);
void run_calls(const struct options *options);
void run_start(const struct options *options);
void run_blocked(const struct options *options);

#endif
