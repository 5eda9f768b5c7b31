/* SPDX-License-Identifier: MIT */
/*
 * A flow: one end of a connection whose bytes can be checked cheaply
 *
 * Theory of operation
 *
 * Each direction is a stream of which every 8-byte word at a multiple of @interval (see
 * flow_interval()) is a function of its position, the direction and the connection's token; the
 * bytes between them are not looked at.  A byte that is lost, repeated, reordered or delivered to
 * the wrong connection shifts or replaces a stamp and is seen within one interval, while stamping
 * and checking cost a few nanoseconds for 4 KiB.  A stamp may be split over calls anywhere.
 */
#ifndef SMCU_BENCH_FLOW_H
#define SMCU_BENCH_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_INTERVAL_MAX 4096U

/**
 * struct flow - one end of a connection
 * @fd: its socket
 * @interval: distance of stamps
 * @salt_in, @salt_out: seeds of the two directions' stamps
 * @position_in, @position_out: bytes received and sent so far
 * @left_in, @left_out: bytes still to be received and sent of the current message
 */
struct flow {
	int fd;
	size_t interval;
	uint64_t salt_in;
	uint64_t salt_out;
	uint64_t position_in;
	uint64_t position_out;
	uint64_t left_in;
	uint64_t left_out;
};

/**
 * struct scratch - the buffer through which a flow's bytes pass; flows may share one
 * @bytes: page-aligned memory
 * @size: its length
 */
struct scratch {
	unsigned char *bytes;
	size_t size;
};

/* flow_init - @server says which side we are; @token and @size as in the hello */
void flow_init(struct flow *flow, int fd, bool server, uint64_t token, uint64_t size);

/*
 * flow_send, flow_receive - one call on the socket for what is left of the current message
 *
 * Return the bytes moved (flow_receive: 0 at end of file) or -errno: -EAGAIN, when the socket is
 * non-blocking, and -EBADMSG, when a stamp is wrong, among them.
 */
int64_t flow_send(struct flow *flow, struct scratch *scratch);
int64_t flow_receive(struct flow *flow, struct scratch *scratch);

/* flow_send_all, flow_receive_all - on a blocking socket, the whole message; 0 or -errno */
int flow_send_all(struct flow *flow, struct scratch *scratch, uint64_t length);
int flow_receive_all(struct flow *flow, struct scratch *scratch, uint64_t length);

/* scratch_take - memory from the kernel, touched; scratch_give - and back to it */
struct scratch scratch_take(uint64_t size);
void scratch_give(struct scratch *scratch);

#endif
