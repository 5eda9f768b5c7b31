/* SPDX-License-Identifier: MIT */
/*
 * One queue pair of a soft device on a bench: packets are handed to it, what it sends is collected
 *
 * Its address is 10.0.0.1, that of the peer 10.0.0.2.  The peer's queue pair is BENCH_PEER, its
 * first sequence number BENCH_THEIRS; our first one is BENCH_OURS, next to where numbers wrap.
 */
#ifndef SMCU_TESTS_FABRIC_BENCH_H
#define SMCU_TESTS_FABRIC_BENCH_H

#include "fabric/soft/device.h"

#include "../unit/unit.h"

#define BENCH_PEER 0x123456U
#define BENCH_THEIRS 0x000100U
#define BENCH_OURS 0xfffffeU
#define BENCH_MTU 256U
#define BENCH_WINDOW 4096U
#define BENCH_SLOT 1024U
#define BENCH_SENT_MAX 512U

/**
 * struct bench - the device and what it sent
 * @sent: packets since bench_clear(), taken apart; @sent_count: how many
 * @more: what is flushed is not the last of it, see fabric_flush()
 * @window: may be written by the peer; @buffer: to send from; @slot: for one receive
 */
struct bench {
	struct soft_device soft;
	struct soft_train train;
	bool filled;
	struct roce_packet sent[BENCH_SENT_MAX];
	unsigned int sent_count;
	bool more;
	uint64_t random;
	struct fabric_domain *domain;
	struct fabric_queue_pair *pair;
	uint8_t window[BENCH_WINDOW], buffer[65536], slot[BENCH_SLOT];
	struct fabric_region *window_region, *buffer_region, *slot_region;
};

/* bench_open - up to RTS; @retry: NULL: T = 1.07 s, 7 retries, endless RNR retries */
struct bench *bench_open(const struct fabric_retry *retry);

void bench_close(struct bench *bench);

/* bench_packet - one of the peer, with no payload, that asks for an answer */
struct roce_packet bench_packet(struct bench *bench, uint8_t opcode, uint32_t sequence);

/* bench_write - a WRITE Only of @size bytes, to the start of the window */
struct roce_packet bench_write(struct bench *bench, uint32_t sequence, const void *bytes,
			       uint32_t size);

/* bench_answer - with a syndrome; @sequence as it is on the wire */
struct roce_packet bench_answer(struct bench *bench, uint8_t syndrome, uint32_t sequence);

/* bench_receive - the device receives it; what it answers is sent.  Pad and ICRC are made here. */
void bench_receive(struct bench *bench, const struct roce_packet *packet);

/* bench_raw - the same bytes, with a correct ICRC, as a datagram; returns its size */
size_t bench_raw(struct bench *bench, const struct roce_packet *packet, uint8_t *to);

/* bench_datagram - the device receives these bytes */
void bench_datagram(struct bench *bench, const uint8_t *bytes, size_t size);

/* bench_run - at a time */
void bench_run(struct bench *bench, uint64_t now);

/* bench_clear - forget what was sent */
void bench_clear(struct bench *bench);

/* bench_post - SEND or WRITE @size bytes of the buffer, signalled unless @flags is 0 */
void bench_post(struct bench *bench, enum fabric_opcode opcode, uint64_t id, uint32_t size,
		unsigned int flags);

/* bench_post_receive - the slot */
void bench_post_receive(struct bench *bench, uint64_t id);

/* bench_completion - the next completion is this one */
void bench_completion(struct bench *bench, uint64_t id, enum fabric_status status);

/* bench_nothing - there is no completion */
void bench_nothing(struct bench *bench);

/* bench_fatal - the queue pair has failed, and said so once */
void bench_fatal(struct bench *bench, enum fabric_status status);

/* bench_sent_is - one packet was sent since bench_clear(): this answer */
void bench_sent_is(struct bench *bench, uint8_t syndrome, uint32_t sequence, uint32_t messages);

#endif
