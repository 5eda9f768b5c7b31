/* SPDX-License-Identifier: MIT */
/*
 * The sending half of a soft queue pair: requests into packets, again if need be, until they are
 * answered
 *
 * Theory of operation
 *
 * Sequence numbers, each at or behind the one before it:
 *
 *   oldest    not yet acknowledged
 *   next      to be sent now; goes back to @oldest to repeat (go-back-N)
 *   high      never sent yet
 *
 * A request gets its numbers when its first packet is sent.  A SEND goes as First, Middle, Last or
 * as Only; a WRITE as one Only for each packet, which a receiver may treat as messages of their
 * own: so all packets are equally long and make one train, and each can be repeated by itself.
 *
 * An acknowledgement counts if its number lies between @oldest - 1 and @high - 1, also beyond
 * @next. The peer answers what asks for it (AckReq): the last packet before sending stops, and one
 * in 16.
 *
 * The window.  At most @window packets are unacknowledged.  A receiver drops all that follows a
 * lost packet, so a repetition costs a window; with a fixed window W and loss p a part of p*W of
 * the packets is wasted, and a path that loses because it is full gets fuller.  So the window is
 * TCP's: it starts at 16, grows by the packets that were acknowledged until the first loss, then by
 * one a round, and is halved (once a round) for a NAK.  It then stays near sqrt(1.5/p), and what is
 * sent twice near sqrt(1.5p) of all.  It is never halved below 8: where much is lost a smaller one has
 * seldom a packet behind the lost one that would call a NAK forth, and the timer finds each loss.  Its
 * limit is 128 packets of 4096 bytes, or as many bytes in 512 smaller ones: about what a socket can
 * hold.
 *
 * The timer.  Without an answer for a time estimated from round trips (at least 1 ms, at most 134 ms
 * and T; twice as long every second time, since one more loss does not say that the path is longer;
 * 4 ms before there is an estimate) only the oldest packet is repeated, window 1, and the answer says
 * how far the peer has come.  Progress without it takes a step of that back: where much is lost hardly a
 * round trip can be measured, and each loss would cost the longest time.  The queue pair fails after
 * (retries + 1) * T without progress, T by struct fabric_retry, however often was repeated meanwhile.
 *
 * A peer without a receive (RNR NAK) is left alone for the time that it named; that is no loss.
 *
 * A request whose own memory is not registered any more is failed when all before it have
 * succeeded.
 */
#ifndef SMCU_FABRIC_SOFT_REQUESTER_H
#define SMCU_FABRIC_SOFT_REQUESTER_H

#include <stdbool.h>
#include <stdint.h>

struct soft_pair;
struct roce_packet;

#define REQUESTER_WINDOW_FIRST 16U
#define REQUESTER_WINDOW_MAX 512U
#define REQUESTER_WINDOW_BYTES (128U * 4096U)

/**
 * struct requester - its state
 * @oldest, @next, @high: see above
 * @started: requests that have sequence numbers
 * @sending: the one that @next belongs to, an index as for base_request_at()
 * @stuck: its memory is not registered
 * @window, @threshold: packets; below @threshold the window doubles in a round; @window_max: its
 * limit
 * @grown: acknowledged since the window last grew by one
 * @halved: sequence number up to which a loss is the one for which the window was halved
 * @unasked: packets sent since one asked for an answer
 * @nak, @nak_heard: what was repeated last because of a NAK, and has not succeeded since; @nak_at:
 * when
 * @waiting: the peer had no receive
 * @rnr_left: how often it still may have none
 * @timer: when to repeat, or when the wait is over; FABRIC_NEVER
 * @progress: when something last succeeded, or was first sent
 * @backoff: half of this, so often the timer's time is doubled; @timed_out: it has come since the last progress
 * @round_trip, @variation: estimated, ns; 0: not known yet
 * @timing: @timed is on its way, since @timed_at
 */
struct requester {
	uint32_t oldest;
	uint32_t next;
	uint32_t high;
	uint32_t started;
	uint32_t sending;
	bool stuck;
	uint32_t window;
	uint32_t window_max;
	uint32_t threshold;
	uint32_t grown;
	uint32_t halved;
	uint32_t unasked;
	uint32_t nak;
	bool nak_heard;
	uint64_t nak_at;
	bool waiting;
	uint8_t rnr_left;
	uint64_t timer;
	uint64_t progress;
	unsigned int backoff;
	bool timed_out;
	uint64_t round_trip;
	uint64_t variation;
	bool timing;
	uint32_t timed;
	uint64_t timed_at;
};

/* requester_start - in RTS: begin with base.retry.sequence */
void requester_start(struct soft_pair *pair);

/* requester_stop - nothing is sent, repeated or waited for any more */
void requester_stop(struct soft_pair *pair);

/* requester_wants - is there a packet that may be sent now? */
bool requester_wants(struct soft_pair *pair);

/* requester_output - send a few packets; false: there is no room now */
bool requester_output(struct soft_pair *pair);

/* requester_answer - an ACK or NAK of the peer */
void requester_answer(struct soft_pair *pair, const struct roce_packet *packet);

/* requester_timeout - requester.timer has come */
void requester_timeout(struct soft_pair *pair);

#endif
