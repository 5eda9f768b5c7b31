/* SPDX-License-Identifier: MIT */
/*
 * The receiving half of a soft queue pair: executes requests in their order, and answers
 *
 * Theory of operation
 *
 * One number, @expected, decides: the packet that has it is checked and executed, an older one is a
 * duplicate and acknowledged again, a newer one says that something was lost.  A gap is answered
 * with one NAK; with another one when a packet comes that is no newer than the newest before, since
 * then the peer has gone back, and the missing one was lost once more.
 *
 * At most one answer is due at a time; its sequence number is taken when it is sent: an ACK is for
 * all that was executed until then, a NAK for what is expected then.  What is executed after a NAK
 * was decided makes an ACK of it if the peer asks for one, since then nothing is missing.  The ACK of one message
 * alone may be held for a moment (device.h).
 *
 * A request that cannot be allowed is answered with a fatal NAK and puts the queue pair in ERR; the
 * answer is still sent from there.
 */
#ifndef SMCU_FABRIC_SOFT_RESPONDER_H
#define SMCU_FABRIC_SOFT_RESPONDER_H

#include <stdbool.h>
#include <stdint.h>

struct soft_pair;
struct roce_packet;

enum responder_message { RESPONDER_NONE, RESPONDER_SEND, RESPONDER_WRITE };

/**
 * struct responder - its state
 * @expected: sequence number of the next packet
 * @messages: that were executed to their end, 24 bits (MSN)
 * @message: the one that has begun and not ended
 * @filled: bytes of a SEND that are in the first receive; all bytes of a WRITE
 * @address, @key, @left: of a WRITE: where its next byte goes, how many are to come
 * @quiet: a gap was answered, or the lack of a receive: what follows is dropped
 * @gap: it was a gap; @newest: the newest packet that has come since
 * @due: an answer is to be sent; @held: not at once, but until @held_until, or with other packets
 * @syndrome: which
 */
struct responder {
	uint32_t expected;
	uint32_t messages;
	enum responder_message message;
	uint32_t filled;
	uint64_t address;
	uint32_t key;
	uint32_t left;
	bool quiet;
	bool gap;
	uint32_t newest;
	bool due;
	bool held;
	uint64_t held_until;
	uint8_t syndrome;
};

/* responder_start - in RTR: expect base.path.sequence */
void responder_start(struct soft_pair *pair);

/* responder_request - one of the peer; its opcode may be one that roce_decode() does not know */
void responder_request(struct soft_pair *pair, const struct roce_packet *packet);

/* responder_output - send the answer that is due, or hold it; false: there is no room now */
bool responder_output(struct soft_pair *pair);

/* responder_held - until when an answer is held; FABRIC_NEVER: none is */
uint64_t responder_held(const struct soft_pair *pair);

/* responder_let_go - hold it no longer */
void responder_let_go(struct soft_pair *pair);

/* responder_stop - the queue pair has failed: what is due is still sent, unless it is the @last of it */
void responder_stop(struct soft_pair *pair, bool last);

#endif
