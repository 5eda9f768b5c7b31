/* SPDX-License-Identifier: MIT */
#include "fabric/soft/requester.h"

#include "fabric/soft/device.h"
#include "fabric/soft/output.h"
#include "fabric/soft/sequence.h"

#define TURN_PACKETS 16U /* before another queue pair has its turn */
#define ASK_EVERY 16U
#define WINDOW_MIN 8U
#define TRIES 2U /* before the timer takes twice as long */
#define BACKOFF_MOST (10U * TRIES)

/* Nanoseconds. */
#define ROUND_TRIP_UNKNOWN 4000000U
#define REPEAT_LEAST 1000000U
#define REPEAT_MOST 134000000U

static bool is_outstanding(const struct requester *requester)
{
	return requester->oldest != requester->high;
}

void requester_start(struct soft_pair *pair)
{
	uint32_t first = pair->base.retry.sequence, most = REQUESTER_WINDOW_BYTES / pair->mtu;

	most = most < REQUESTER_WINDOW_MAX ? most : REQUESTER_WINDOW_MAX;
	pair->requester = (struct requester){
		.oldest = first,
		.next = first,
		.high = first,
		.halved = first,
		.window = REQUESTER_WINDOW_FIRST,
		.window_max = most,
		.threshold = most,
		.rnr_left = pair->base.retry.rnr_retries,
		.timer = FABRIC_NEVER,
	};
}

void requester_stop(struct soft_pair *pair)
{
	pair->requester.timer = FABRIC_NEVER;
	soft_timed(pair);
}

static void set_timer(struct soft_pair *pair, uint64_t timer)
{
	pair->requester.timer = timer;
	soft_timed(pair);
}

static bool has_packet(const struct soft_pair *pair)
{
	const struct requester *requester = &pair->requester;

	return requester->sending < pair->base.request_count && !requester->stuck &&
	       (uint32_t)sequence_difference(requester->next, requester->oldest) <
		       requester->window;
}

bool requester_wants(struct soft_pair *pair)
{
	return pair->base.fabric.state == FABRIC_RTS && !pair->requester.waiting &&
	       has_packet(pair);
}

static void start_request(struct soft_pair *pair, struct base_request *request)
{
	uint32_t packets = (request->length + pair->mtu - 1) / pair->mtu;

	request->first = pair->requester.next;
	request->packets = packets ? packets : 1;
	pair->requester.started++;
}

static uint8_t opcode_of(const struct base_request *request, uint32_t index)
{
	bool first = index == 0, last = index == request->packets - 1;

	if (request->opcode == FABRIC_WRITE)
		return ROCE_WRITE_ONLY;
	if (first)
		return last ? ROCE_SEND_ONLY : ROCE_SEND_FIRST;
	return last ? ROCE_SEND_LAST : ROCE_SEND_MIDDLE;
}

/* All that is before the payload, for the packet with the number @next. */
static void describe(const struct soft_pair *pair, const struct base_request *request,
		     struct roce_packet *packet)
{
	uint32_t sequence = pair->requester.next;
	uint32_t index = (sequence - request->first) & SEQUENCE_MASK, offset = index * pair->mtu;
	uint32_t left = request->length - offset;

	packet->payload_size = left < pair->mtu ? left : pair->mtu;
	packet->bth = (struct roce_bth){
		.opcode = opcode_of(request, index),
		.migrated = true,
		.solicited = request->request.flags & FABRIC_SOLICITED &&
			     index == request->packets - 1 && request->opcode == FABRIC_SEND,
		.pad = roce_padding(packet->payload_size),
		.partition = ROCE_PARTITION,
		.destination = pair->base.path.remote_number,
		.sequence = sequence,
	};
	packet->reth = (struct roce_reth){.address = request->remote_address + offset,
					  .key = request->remote_key,
					  .length = (uint32_t)packet->payload_size};
}

/* To the packet after @next. */
static void step(struct soft_pair *pair, const struct base_request *request)
{
	struct requester *requester = &pair->requester;
	struct soft_device *device = soft_device_of(pair);

	if (requester->next != requester->high) {
		device->counters.repeated++;
	} else {
		if (!requester->timing) {
			requester->timing = true;
			requester->timed = requester->next;
			requester->timed_at = device->now;
		}
		if (!is_outstanding(requester))
			requester->progress = device->now;
		requester->high = sequence_add(requester->high, 1);
	}
	requester->next = sequence_add(requester->next, 1);
	if (requester->next == sequence_add(request->first, request->packets))
		requester->sending++;
}

static void ask(struct soft_pair *pair, struct roce_packet *packet)
{
	struct requester *requester = &pair->requester;

	requester->unasked++;
	if (has_packet(pair) && requester->unasked < ASK_EVERY)
		return;
	packet->bth.ack_request = true;
	requester->unasked = 0;
}

enum sent { SENT, NO_ROOM, NO_MEMORY };

static enum sent send_packet(struct soft_pair *pair)
{
	struct requester *requester = &pair->requester;
	struct soft_device *device = soft_device_of(pair);
	struct base_request *request = base_request_at(&pair->base, requester->sending);
	struct roce_packet packet = {0};
	uint32_t size, headers, payload, offset;
	uint8_t *to;

	if (requester->sending == requester->started)
		start_request(pair, request);
	describe(pair, request, &packet);
	payload = (uint32_t)packet.payload_size;
	headers = ROCE_BTH_SIZE + (packet.bth.opcode == ROCE_WRITE_ONLY ? ROCE_RETH_SIZE : 0);
	size = headers + payload + packet.bth.pad + ROCE_ICRC_SIZE;
	to = output_begin(device, pair, size);
	if (!to)
		return NO_ROOM;
	offset = ((requester->next - request->first) & SEQUENCE_MASK) * pair->mtu;
	if (!base_gather(&pair->base, request, offset, to + headers, payload))
		return NO_MEMORY;
	for (unsigned int i = 0; i < packet.bth.pad; i++)
		to[headers + payload + i] = 0;
	step(pair, request);
	ask(pair, &packet);
	roce_encode(&packet, to, headers);
	output_end(device, to, size);
	return SENT;
}

static uint64_t estimated_round_trip(const struct requester *requester)
{
	return requester->round_trip ? requester->round_trip : ROUND_TRIP_UNKNOWN;
}

static uint64_t repeat_after(const struct soft_pair *pair)
{
	const struct requester *requester = &pair->requester;
	uint64_t interval = fabric_retry_interval(pair->base.retry.timeout);
	uint64_t after = estimated_round_trip(requester) + 4 * requester->variation;

	interval = interval < REPEAT_MOST ? interval : REPEAT_MOST;
	after = after > REPEAT_LEAST ? after : REPEAT_LEAST;
	after <<= requester->backoff / TRIES;
	return after < interval ? after : interval;
}

bool requester_output(struct soft_pair *pair)
{
	struct requester *requester = &pair->requester;
	enum sent sent = SENT;

	for (unsigned int i = 0; i < TURN_PACKETS && sent == SENT && requester_wants(pair); i++)
		sent = send_packet(pair);
	if (sent == NO_MEMORY) {
		requester->stuck = true;
		if (requester->sending == 0) {
			base_fail(&pair->base, BASE_REQUEST_FAULT, FABRIC_LOCAL_PROTECTION);
			return true;
		}
	}
	if (pair->base.fabric.state == FABRIC_RTS && is_outstanding(requester) &&
	    requester->timer == FABRIC_NEVER)
		set_timer(pair, soft_device_of(pair)->now + repeat_after(pair));
	return sent != NO_ROOM;
}

/* @next has changed: which request does it belong to? */
static void locate(struct soft_pair *pair)
{
	struct requester *requester = &pair->requester;

	requester->stuck = false;
	for (requester->sending = 0; requester->sending < requester->started;
	     requester->sending++) {
		const struct base_request *request =
			base_request_at(&pair->base, requester->sending);

		if (sequence_difference(requester->next, request->first) <
		    (int32_t)request->packets)
			break;
	}
}

static void go_back(struct soft_pair *pair)
{
	struct requester *requester = &pair->requester;

	requester->next = requester->oldest;
	requester->timing = false; /* whose answer it would be is not known */
	requester->unasked = 0;
	locate(pair);
	soft_activate(pair);
}

static void measure(struct soft_pair *pair, uint32_t acknowledged)
{
	struct requester *requester = &pair->requester;
	uint64_t now = soft_device_of(pair)->now, took, error;

	if (!requester->timing || sequence_difference(acknowledged, requester->timed) <= 0)
		return;
	requester->timing = false;
	requester->backoff = 0;
	took = now - requester->timed_at;
	if (!requester->round_trip) {
		requester->round_trip = took;
		requester->variation = took / 2;
		return;
	}
	error = took > requester->round_trip ? took - requester->round_trip
					     : requester->round_trip - took;
	requester->variation = (3 * requester->variation + error) / 4;
	requester->round_trip = (7 * requester->round_trip + took) / 8;
}

/* Only a window that is in use says something about the path. */
static void grow(struct requester *requester, uint32_t acknowledged)
{
	uint32_t in_use = (uint32_t)sequence_difference(requester->high, requester->oldest);

	if (in_use < requester->window / 2)
		return;
	requester->grown += acknowledged;
	if (requester->window < requester->threshold) {
		requester->window += requester->grown;
		requester->grown = 0;
	} else if (requester->grown >= requester->window) {
		requester->grown -= requester->window;
		requester->window++;
	}
	if (requester->window > requester->window_max)
		requester->window = requester->window_max;
}

static void lost(struct requester *requester)
{
	if (sequence_difference(requester->oldest, requester->halved) < 0)
		return;
	requester->threshold = requester->window / 2;
	if (requester->threshold < WINDOW_MIN)
		requester->threshold = WINDOW_MIN;
	requester->window = requester->threshold;
	requester->grown = 0;
	requester->halved = requester->high;
}

static void complete_requests(struct soft_pair *pair)
{
	struct requester *requester = &pair->requester;

	while (requester->started) {
		const struct base_request *request = base_request_at(&pair->base, 0);
		uint32_t end = sequence_add(request->first, request->packets);

		if (sequence_difference(requester->oldest, end) < 0)
			return;
		base_request_done(&pair->base);
		requester->started--;
		if (requester->sending)
			requester->sending--;
	}
}

/* All before @sequence was executed by the peer. */
static void advance(struct soft_pair *pair, uint32_t sequence)
{
	struct requester *requester = &pair->requester;
	int32_t count = sequence_difference(sequence, requester->oldest);

	if (count <= 0)
		return;
	measure(pair, sequence);
	grow(requester, (uint32_t)count);
	requester->oldest = sequence;
	requester->progress = soft_device_of(pair)->now;
	requester->rnr_left = pair->base.retry.rnr_retries;
	requester->nak_heard = false;
	requester->waiting = false;
	if (!requester->timed_out)
		requester->backoff /= 2;
	requester->timed_out = false;
	complete_requests(pair);
	if (sequence_difference(requester->next, sequence) < 0) {
		requester->next = sequence;
		locate(pair);
	}
	set_timer(pair, is_outstanding(requester) ? requester->progress + repeat_after(pair)
						  : FABRIC_NEVER);
	if (requester->stuck && requester->sending == 0)
		base_fail(&pair->base, BASE_REQUEST_FAULT, FABRIC_LOCAL_PROTECTION);
	else if (requester_wants(pair))
		soft_activate(pair);
}

static void missing(struct soft_pair *pair)
{
	struct requester *requester = &pair->requester;
	uint64_t now = soft_device_of(pair)->now;

	if (requester->waiting || !is_outstanding(requester) ||
	    (requester->nak_heard && requester->nak == requester->oldest &&
	     now - requester->nak_at < estimated_round_trip(requester)))
		return; /* it is for what was sent before going back */
	requester->nak_heard = true;
	requester->nak = requester->oldest;
	requester->nak_at = now;
	lost(requester);
	set_timer(pair, FABRIC_NEVER); /* anew, from what is sent now */
	go_back(pair);
}

static void not_ready(struct soft_pair *pair, uint8_t code)
{
	struct requester *requester = &pair->requester;

	if (requester->waiting || !is_outstanding(requester))
		return;
	if (requester->rnr_left == 0) {
		base_fail(&pair->base, BASE_REQUEST_FAULT, FABRIC_RNR_RETRIES_EXCEEDED);
		return;
	}
	if (requester->rnr_left != 7)
		requester->rnr_left--;
	requester->waiting = true;
	requester->progress = soft_device_of(pair)->now; /* the peer is there */
	set_timer(pair, requester->progress + fabric_rnr_interval(code));
}

static void refused(struct soft_pair *pair, uint8_t syndrome)
{
	static const enum fabric_status statuses[] = {FABRIC_REMOTE_INVALID, FABRIC_REMOTE_ACCESS};
	unsigned int code = syndrome - ROCE_NAK_INVALID_REQUEST;

	if (is_outstanding(&pair->requester))
		base_fail(&pair->base, BASE_REQUEST_FAULT,
			  code < 2 ? statuses[code] : FABRIC_REMOTE_OPERATION);
}

void requester_answer(struct soft_pair *pair, const struct roce_packet *packet)
{
	struct requester *requester = &pair->requester;
	uint8_t syndrome = packet->aeth.syndrome;
	bool ack = (syndrome & ROCE_SYNDROME_KIND) == ROCE_ACK;
	uint32_t executed = sequence_add(packet->bth.sequence, ack ? 1 : 0);

	if (sequence_difference(executed, requester->oldest) < 0 ||
	    sequence_difference(executed, requester->high) > 0)
		return; /* old, or not of this peer */
	switch (syndrome & ROCE_SYNDROME_KIND) {
	case ROCE_ACK:
		advance(pair, executed);
		break;
	case ROCE_RNR_NAK:
		advance(pair, executed);
		if (pair->base.fabric.state == FABRIC_RTS)
			not_ready(pair, syndrome & ROCE_SYNDROME_VALUE);
		break;
	case ROCE_NAK:
		advance(pair, executed);
		if (pair->base.fabric.state != FABRIC_RTS)
			break;
		if (syndrome == ROCE_NAK_SEQUENCE)
			missing(pair);
		else
			refused(pair, syndrome);
		break;
	}
}

void requester_timeout(struct soft_pair *pair)
{
	struct requester *requester = &pair->requester;
	uint64_t interval = fabric_retry_interval(pair->base.retry.timeout);
	uint64_t patience = (pair->base.retry.retries + 1U) * interval;

	set_timer(pair, FABRIC_NEVER);
	if (requester->waiting) {
		requester->waiting = false;
		go_back(pair);
		return;
	}
	if (interval != FABRIC_NEVER &&
	    soft_device_of(pair)->now - requester->progress >= patience) {
		base_fail(&pair->base, BASE_REQUEST_FAULT, FABRIC_RETRIES_EXCEEDED);
		return;
	}
	soft_device_of(pair)->counters.timeouts++;
	requester->timed_out = true;
	lost(requester);
	requester->window = 1;
	requester->halved = requester->high;
	requester->nak_heard = false;
	if (requester->backoff < BACKOFF_MOST)
		requester->backoff++;
	go_back(pair);
}
