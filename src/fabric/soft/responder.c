/* SPDX-License-Identifier: MIT */
#include "fabric/soft/responder.h"

#include <string.h>

#include "fabric/soft/device.h"
#include "fabric/soft/output.h"
#include "fabric/soft/sequence.h"

#define WRITE_MAX 0x80000000U
#define ANSWER_SIZE (ROCE_BTH_SIZE + ROCE_AETH_SIZE + ROCE_ICRC_SIZE)

/* What each request is a part of; others are not allowed. */
static const struct part {
	enum responder_message message;
	bool first, last, immediate;
} parts[ROCE_OPCODE_END] = {
	[ROCE_SEND_FIRST] = {.message = RESPONDER_SEND, .first = true},
	[ROCE_SEND_MIDDLE] = {.message = RESPONDER_SEND},
	[ROCE_SEND_LAST] = {.message = RESPONDER_SEND, .last = true},
	[ROCE_SEND_LAST_IMMEDIATE] = {.message = RESPONDER_SEND, .last = true, .immediate = true},
	[ROCE_SEND_ONLY] = {.message = RESPONDER_SEND, .first = true, .last = true},
	[ROCE_SEND_ONLY_IMMEDIATE] = {.message = RESPONDER_SEND,
				      .first = true,
				      .last = true,
				      .immediate = true},
	[ROCE_WRITE_FIRST] = {.message = RESPONDER_WRITE, .first = true},
	[ROCE_WRITE_MIDDLE] = {.message = RESPONDER_WRITE},
	[ROCE_WRITE_LAST] = {.message = RESPONDER_WRITE, .last = true},
	[ROCE_WRITE_LAST_IMMEDIATE] = {.message = RESPONDER_WRITE, .last = true, .immediate = true},
	[ROCE_WRITE_ONLY] = {.message = RESPONDER_WRITE, .first = true, .last = true},
	[ROCE_WRITE_ONLY_IMMEDIATE] = {.message = RESPONDER_WRITE,
				       .first = true,
				       .last = true,
				       .immediate = true},
};

/* Why a packet is not executed. */
struct refusal {
	uint8_t syndrome; /* 0: it is */
	enum fabric_status status;
	enum base_fault fault;
};

static const struct refusal invalid = {ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID,
				       BASE_NO_FAULT};
static const struct refusal no_access = {ROCE_NAK_REMOTE_ACCESS, FABRIC_REMOTE_ACCESS,
					 BASE_NO_FAULT};
static const struct refusal too_long = {ROCE_NAK_INVALID_REQUEST, FABRIC_LOCAL_LENGTH,
					BASE_RECEIVE_FAULT};
static const struct refusal no_memory = {ROCE_NAK_REMOTE_OPERATION, FABRIC_LOCAL_PROTECTION,
					 BASE_RECEIVE_FAULT};
static const struct refusal none = {0};

void responder_start(struct soft_pair *pair)
{
	pair->responder = (struct responder){.expected = pair->base.path.sequence};
}

/* What is due already is for more than one message then. */
static void answer(struct soft_pair *pair, uint8_t syndrome)
{
	struct responder *responder = &pair->responder;
	const bool alone = !responder->due && syndrome == ROCE_ACK_NO_CREDITS;

	responder->held_until = alone ? soft_device_of(pair)->now + SOFT_HOLD : 0;
	responder->due = true;
	responder->syndrome = syndrome;
	soft_activate(pair);
}

uint64_t responder_held(const struct soft_pair *pair)
{
	return pair->responder.held ? pair->responder.held_until : FABRIC_NEVER;
}

static void set_held(struct soft_pair *pair, bool held)
{
	pair->responder.held = held;
	soft_timed(pair);
}

void responder_let_go(struct soft_pair *pair)
{
	if (!pair->responder.held)
		return;
	set_held(pair, false);
	pair->responder.held_until = 0;
	soft_activate(pair);
}

void responder_stop(struct soft_pair *pair, bool last)
{
	responder_let_go(pair);
	if (last)
		pair->responder.due = false;
}

/* First and Middle are full; Last is not empty. */
static bool length_is_right(const struct soft_pair *pair, const struct part *part,
			    const struct roce_packet *packet)
{
	if (!part->last)
		return packet->payload_size == pair->mtu && packet->bth.pad == 0;
	return packet->payload_size <= pair->mtu && (part->first || packet->payload_size) &&
	       packet->bth.pad == roce_padding(packet->payload_size);
}

static struct refusal execute_send(struct soft_pair *pair, const struct part *part,
				   const struct roce_packet *packet)
{
	struct responder *responder = &pair->responder;
	struct base_receive *receive = base_receive_first(&pair->base);
	uint32_t size = (uint32_t)packet->payload_size;

	if (part->first)
		responder->filled = 0;
	if (size > receive->piece.length - responder->filled)
		return too_long;
	if (!base_scatter(&pair->base, responder->filled, packet->payload, size))
		return no_memory;
	responder->filled += size;
	return none;
}

static struct refusal execute_write(struct soft_pair *pair, const struct part *part,
				    const struct roce_packet *packet)
{
	struct responder *responder = &pair->responder;
	uint32_t size = (uint32_t)packet->payload_size;
	uint8_t *to;

	if (part->first) {
		if (packet->reth.length > WRITE_MAX)
			return invalid;
		responder->address = packet->reth.address;
		responder->key = packet->reth.key;
		responder->left = packet->reth.length;
		responder->filled = packet->reth.length;
	}
	if (part->last ? size != responder->left : size >= responder->left)
		return invalid;
	if (!responder->left)
		return none;
	to = region_remote(&soft_device_of(pair)->base.regions, &pair->base.domain->fabric,
			   responder->key, responder->address, responder->left);
	if (!to)
		return no_access;
	memcpy(to, packet->payload, size);
	responder->address += size;
	responder->left -= size;
	return none;
}

static void message_end(struct soft_pair *pair, const struct part *part,
			const struct roce_packet *packet)
{
	struct responder *responder = &pair->responder;
	bool send = part->message == RESPONDER_SEND;

	responder->message = RESPONDER_NONE;
	responder->messages = sequence_add(responder->messages, 1);
	if (!send && !part->immediate)
		return;
	base_receive_done(
		&pair->base,
		&(struct fabric_completion){.opcode = send ? FABRIC_RECEIVE : FABRIC_RECEIVE_WRITE,
					    .length = responder->filled,
					    .with_immediate = part->immediate,
					    .immediate = packet->immediate});
}

static struct refusal execute(struct soft_pair *pair, const struct roce_packet *packet)
{
	struct responder *responder = &pair->responder;
	const struct part *part = &parts[packet->bth.opcode];
	bool needs_receive =
		(part->message == RESPONDER_SEND && part->first) || (part->immediate && part->last);
	struct refusal refusal;

	if (responder->message != (part->first ? RESPONDER_NONE : part->message))
		return invalid;
	if (part->message == RESPONDER_WRITE && !(pair->base.access & FABRIC_REMOTE_WRITE))
		return invalid;
	if (needs_receive && !base_receive_first(&pair->base))
		return (struct refusal){.syndrome = ROCE_RNR_NAK | pair->base.path.rnr_timer};
	if (!length_is_right(pair, part, packet))
		return invalid;
	refusal = part->message == RESPONDER_SEND ? execute_send(pair, part, packet)
						  : execute_write(pair, part, packet);
	if (refusal.syndrome)
		return refusal;
	responder->expected = sequence_add(responder->expected, 1);
	responder->message = part->message;
	if (part->last)
		message_end(pair, part, packet);
	return none;
}

static void refuse(struct soft_pair *pair, struct refusal refusal)
{
	struct responder *responder = &pair->responder;
	struct soft_counters *counters = &soft_device_of(pair)->counters;

	answer(pair, refusal.syndrome);
	responder->quiet = true;
	if ((refusal.syndrome & ROCE_SYNDROME_KIND) == ROCE_RNR_NAK) {
		counters->not_ready++;
		return;
	}
	counters->refused++;
	if (responder->message == RESPONDER_SEND) /* it had begun to use a receive */
		refusal.fault = BASE_RECEIVE_FAULT;
	base_fail(&pair->base, refusal.fault, refusal.status);
}

/* Something before @sequence has not come. */
static void missing(struct soft_pair *pair, uint32_t sequence)
{
	struct responder *responder = &pair->responder;
	bool newer = !responder->gap || sequence_difference(sequence, responder->newest) > 0;

	if (!responder->quiet || (responder->gap && !newer))
		answer(pair, ROCE_NAK_SEQUENCE);
	if (!responder->quiet)
		responder->gap = true;
	responder->quiet = true;
	responder->newest = sequence;
}

static bool is_allowed(uint8_t opcode)
{
	return opcode < ROCE_OPCODE_END && parts[opcode].message;
}

void responder_request(struct soft_pair *pair, const struct roce_packet *packet)
{
	struct responder *responder = &pair->responder;
	struct soft_counters *counters = &soft_device_of(pair)->counters;
	int32_t ahead = sequence_difference(packet->bth.sequence, responder->expected);
	struct refusal refusal;

	if (ahead > 0) {
		counters->gaps++;
		missing(pair, packet->bth.sequence);
		return;
	}
	if (ahead < 0) {
		counters->duplicates++;
		if (is_allowed(packet->bth.opcode) && !responder->due)
			answer(pair, ROCE_ACK_NO_CREDITS);
		return;
	}
	responder->quiet = responder->gap = false;
	refusal = is_allowed(packet->bth.opcode) ? execute(pair, packet) : invalid;
	if (refusal.syndrome) {
		refuse(pair, refusal);
		return;
	}
	if (packet->bth.ack_request)
		answer(pair, ROCE_ACK_NO_CREDITS);
	else if ((responder->syndrome & ROCE_SYNDROME_KIND) == ROCE_RNR_NAK)
		responder->due = false; /* it was executed after all */
}

bool responder_output(struct soft_pair *pair)
{
	struct soft_device *device = soft_device_of(pair);
	struct responder *responder = &pair->responder;
	bool ack = responder->syndrome == ROCE_ACK_NO_CREDITS;
	struct roce_packet packet = {
		.bth = {.opcode = ROCE_ACKNOWLEDGE,
			.migrated = true,
			.partition = ROCE_PARTITION,
			.destination = pair->base.path.remote_number,
			.sequence = sequence_add(responder->expected, ack ? SEQUENCE_MASK : 0)},
		.aeth = {.syndrome = responder->syndrome, .messages = responder->messages},
	};
	uint8_t *to;

	if (!responder->due)
		return true;
	if (device->more && device->now < responder->held_until &&
	    !output_has_company(device, pair)) {
		set_held(pair, true);
		return true;
	}
	to = output_begin(device, pair, ANSWER_SIZE);
	if (!to)
		return false;
	roce_encode(&packet, to, ANSWER_SIZE);
	output_end(device, to, ANSWER_SIZE);
	responder->due = false;
	if (responder->held)
		set_held(pair, false);
	return true;
}
