/* SPDX-License-Identifier: MIT */
/*
 * What a benchmark client and the benchmark server say to each other
 *
 * Theory of operation
 *
 *   client                              server
 *     struct hello              ->                    which workload this connection is
 *                               <-      struct report
 *     WORK_ECHO, repeated:
 *       @size bytes             ->
 *                               <-      @size bytes
 *     WORK_SINK:
 *       @warmup bytes           ->
 *                               <-      struct report
 *       @total bytes            ->
 *                               <-      struct report
 *     WORK_USAGE: nothing more; the report has the server's processor time
 *
 * The server takes its orders from the hello alone, so one server serves every workload.  Host byte
 * order: both ends run on one host.
 */
#ifndef SMCU_BENCH_PROTOCOL_H
#define SMCU_BENCH_PROTOCOL_H

#include <stdint.h>

#define HELLO_MAGIC 0x68636e65U
#define HELLO_SIZE 64U

enum work { WORK_ECHO = 1, WORK_SINK, WORK_USAGE, WORK_END };

/**
 * struct hello - the first message of every connection
 * @magic: HELLO_MAGIC
 * @work: enum work
 * @token: tells this connection's data from another's, see flow.h
 * @size: bytes of a message (WORK_ECHO) or of a write (WORK_SINK)
 * @read_size: most bytes the server asks for in one read; 0: @size
 * @warmup, @total: bytes of the two parts of a WORK_SINK
 * @exchanges: after so many of them the server's thread gives its buffer back; 0: never
 */
struct hello {
	uint32_t magic;
	uint32_t work;
	uint64_t token;
	uint64_t size;
	uint64_t read_size;
	uint64_t warmup;
	uint64_t total;
	uint64_t exchanges;
	uint64_t reserved;
};
_Static_assert(sizeof(struct hello) == HELLO_SIZE, "a hello is the 64 B request of the figures");

/**
 * struct report - the server's answer
 * @magic: HELLO_MAGIC
 * @pid: the server's process
 * @token: from the hello
 * @received: bytes received after the hello
 * @cpu_us: processor time of the server so far, in microseconds (WORK_USAGE only)
 */
struct report {
	uint32_t magic;
	int32_t pid;
	uint64_t token;
	uint64_t received;
	uint64_t cpu_us;
	uint64_t reserved[4];
};
_Static_assert(sizeof(struct report) == HELLO_SIZE, "a report is the 64 B answer of the figures");

#endif
