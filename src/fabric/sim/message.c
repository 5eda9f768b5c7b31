/* SPDX-License-Identifier: MIT */
#include "fabric/sim/message.h"

#include <stdlib.h>
#include <string.h>

#include "fabric/sim/random.h"
#include "fabric/soft/sequence.h"

#define WINDOW 64U
#define REPEAT_NS 4000000U
#define LATE_NS 2000000U

struct sim_message *sim_message_create(struct sim_pair *pair, enum sim_kind kind, uint32_t sequence,
				       uint32_t length)
{
	struct sim_message *message = calloc(1, sizeof(*message) + length);

	if (!message)
		return NULL;
	message->kind = kind;
	message->from = sim_device_of(pair)->gid;
	message->from_pair = pair->base.fabric.number;
	message->to_pair = pair->base.path.remote_number;
	message->sequence = sequence;
	message->length = length;
	return message;
}

static void put(struct sim_pair *pair, struct sim_device *to, struct sim_message *message)
{
	struct sim_device *device = sim_device_of(pair);
	struct sim_network *network = device->network;
	uint64_t at = device->now + sim_random_between(&network->random, network->rates.delay_least,
						       network->rates.delay_most);

	if (sim_happens(&network->random, network->rates.reordered))
		at += sim_random(&network->random) % LATE_NS;
	else
		at = pair->latest = at > pair->latest ? at : pair->latest;
	inbox_put(&to->inbox, at, message);
}

static struct sim_device *device_with(struct sim_network *network, const struct fabric_gid *gid)
{
	for (unsigned int i = 0; i < SIM_DEVICES_MAX; i++)
		if (network->devices[i] && !memcmp(&network->devices[i]->gid, gid, sizeof(*gid)))
			return network->devices[i];
	return NULL;
}

void sim_message_send(struct sim_pair *pair, struct sim_message *message)
{
	struct sim_device *device = sim_device_of(pair);
	struct sim_network *network = device->network;
	struct sim_device *to = device_with(network, &pair->base.path.remote);
	struct sim_message *twin;
	size_t size;

	if (!message)
		return;
	size = sizeof(*message) + message->length;
	if (!to || !device->port.active || sim_happens(&network->random, network->rates.loss)) {
		free(message);
		return;
	}
	if (sim_happens(&network->random, network->rates.duplicates)) {
		twin = malloc(size);
		if (twin)
			put(pair, to, memcpy(twin, message, size));
	}
	put(pair, to, message);
}

static void answer(struct sim_pair *pair, enum sim_kind kind, enum fabric_status status)
{
	struct sim_message *message = sim_message_create(pair, kind, pair->expected, 0);

	if (message) {
		message->status = status;
		message->rnr_timer = pair->base.path.rnr_timer;
	}
	sim_message_send(pair, message);
}

static void refuse(struct sim_pair *pair, enum fabric_status theirs, enum base_fault fault,
		   enum fabric_status ours)
{
	answer(pair, SIM_REFUSED, theirs);
	base_fail(&pair->base, fault, ours);
}

static bool execute_send(struct sim_pair *pair, const struct sim_message *message)
{
	struct base_receive *receive = base_receive_first(&pair->base);

	if (!receive) {
		pair->quiet = true;
		answer(pair, SIM_NOT_READY, FABRIC_SUCCESS);
	} else if (message->length > receive->piece.length) {
		refuse(pair, FABRIC_REMOTE_INVALID, BASE_RECEIVE_FAULT, FABRIC_LOCAL_LENGTH);
	} else if (!base_scatter(&pair->base, 0, message->bytes, message->length)) {
		refuse(pair, FABRIC_REMOTE_OPERATION, BASE_RECEIVE_FAULT, FABRIC_LOCAL_PROTECTION);
	} else {
		base_receive_done(&pair->base,
				  &(struct fabric_completion){.opcode = FABRIC_RECEIVE,
							      .length = message->length});
		return true;
	}
	return false;
}

static bool execute_write(struct sim_pair *pair, const struct sim_message *message)
{
	uint8_t *to;

	if (!(pair->base.access & FABRIC_REMOTE_WRITE)) {
		refuse(pair, FABRIC_REMOTE_INVALID, BASE_NO_FAULT, FABRIC_REMOTE_INVALID);
		return false;
	}
	if (!message->length)
		return true;
	to = region_remote(&sim_device_of(pair)->base.regions, &pair->base.domain->fabric,
			   message->key, message->address, message->length);
	if (!to) {
		refuse(pair, FABRIC_REMOTE_ACCESS, BASE_NO_FAULT, FABRIC_REMOTE_ACCESS);
		return false;
	}
	memcpy(to, message->bytes, message->length);
	return true;
}

/* Bytes that are visible before their WRITE is complete; what is wrong with them is said there. */
static void execute_part(struct sim_pair *pair, const struct sim_message *message)
{
	uint8_t *to = region_remote(&sim_device_of(pair)->base.regions, &pair->base.domain->fabric,
				    message->key, message->address, message->length);

	if (to && pair->base.access & FABRIC_REMOTE_WRITE)
		memcpy(to, message->bytes, message->length);
}

void sim_request_arrived(struct sim_pair *pair, const struct sim_message *message)
{
	int32_t ahead = sequence_difference(message->sequence, pair->expected);

	if (message->kind == SIM_WRITE_PART) {
		if (ahead == 0)
			execute_part(pair, message);
		return;
	}
	if (ahead > 0) {
		if (!pair->quiet)
			answer(pair, SIM_MISSING, FABRIC_SUCCESS);
		pair->quiet = true;
		return;
	}
	if (ahead == 0) {
		pair->quiet = false;
		if (message->kind == SIM_SEND ? !execute_send(pair, message)
					      : !execute_write(pair, message))
			return;
		pair->expected = sequence_add(pair->expected, 1);
	}
	answer(pair, SIM_ACK, FABRIC_SUCCESS);
}

static uint64_t interval_of(const struct sim_pair *pair)
{
	return fabric_retry_interval(pair->base.retry.timeout);
}

/* A piece of a WRITE that is seen before the whole: any bytes of it. */
static void send_part(struct sim_pair *pair, const struct sim_message *whole)
{
	struct sim_network *network = sim_device_of(pair)->network;
	uint32_t offset = (uint32_t)(sim_random(&network->random) % whole->length);
	uint32_t length = 1 + (uint32_t)(sim_random(&network->random) % (whole->length - offset));
	struct sim_message *part =
		sim_message_create(pair, SIM_WRITE_PART, whole->sequence, length);

	if (!part)
		return;
	part->address = whole->address + offset;
	part->key = whole->key;
	memcpy(part->bytes, whole->bytes + offset, length);
	sim_message_send(pair, part);
}

/* Return: false: its memory is not registered. */
static bool send_request(struct sim_pair *pair)
{
	struct sim_network *network = sim_device_of(pair)->network;
	struct base_request *request = base_request_at(&pair->base, pair->sent);
	struct sim_message *message =
		sim_message_create(pair, request->opcode == FABRIC_SEND ? SIM_SEND : SIM_WRITE,
				   sequence_add(pair->oldest, pair->sent), request->length);

	if (message && !base_gather(&pair->base, request, 0, message->bytes, request->length)) {
		free(message);
		return false;
	}
	if (message) {
		message->address = request->remote_address;
		message->key = request->remote_key;
	}
	if (message && message->kind == SIM_WRITE && message->length &&
	    sim_happens(&network->random, network->rates.partial))
		send_part(pair, message);
	sim_message_send(pair, message);
	return true;
}

void sim_send_requests(struct sim_pair *pair)
{
	uint64_t now = sim_device_of(pair)->now, after = interval_of(pair);

	pair->posted = false;
	if (pair->base.fabric.state != FABRIC_RTS || pair->waiting)
		return;
	while (pair->sent < pair->base.request_count && pair->sent < WINDOW) {
		if (!send_request(pair)) {
			if (pair->sent == 0) {
				base_fail(&pair->base, BASE_REQUEST_FAULT, FABRIC_LOCAL_PROTECTION);
				return;
			}
			break; /* it fails when those before have succeeded */
		}
		if (pair->sent++ == 0 && pair->timer == FABRIC_NEVER)
			pair->progress = now;
	}
	after = after < REPEAT_NS ? after : REPEAT_NS;
	if (pair->sent && pair->timer == FABRIC_NEVER)
		pair->timer = now + after;
}

static void advance(struct sim_pair *pair, uint32_t executed)
{
	int32_t count = sequence_difference(executed, pair->oldest);

	if (count <= 0)
		return;
	for (; pair->oldest != executed; pair->oldest = sequence_add(pair->oldest, 1)) {
		base_request_done(&pair->base);
		pair->sent = pair->sent ? pair->sent - 1 : 0;
	}
	pair->progress = sim_device_of(pair)->now;
	pair->timer = FABRIC_NEVER;
	pair->waiting = false;
	pair->rnr_left = pair->base.retry.rnr_retries;
	sim_send_requests(pair);
}

static void not_ready(struct sim_pair *pair, uint8_t rnr_timer)
{
	if (pair->waiting || !pair->base.request_count)
		return;
	if (pair->rnr_left == 0) {
		base_fail(&pair->base, BASE_REQUEST_FAULT, FABRIC_RNR_RETRIES_EXCEEDED);
		return;
	}
	if (pair->rnr_left != 7)
		pair->rnr_left--;
	pair->waiting = true;
	pair->progress = sim_device_of(pair)->now;
	pair->timer = pair->progress + fabric_rnr_interval(rnr_timer);
}

void sim_answer_arrived(struct sim_pair *pair, const struct sim_message *message)
{
	int32_t count = sequence_difference(message->sequence, pair->oldest);

	if (count < 0 || (uint32_t)count > pair->base.request_count)
		return;
	advance(pair, message->sequence);
	if (pair->base.fabric.state != FABRIC_RTS)
		return;
	switch (message->kind) {
	case SIM_MISSING:
		if (pair->waiting || !pair->sent)
			return;
		pair->sent = 0;
		sim_send_requests(pair);
		break;
	case SIM_NOT_READY:
		not_ready(pair, message->rnr_timer);
		break;
	case SIM_REFUSED:
		if (pair->base.request_count)
			base_fail(&pair->base, BASE_REQUEST_FAULT, message->status);
		break;
	default:
		break;
	}
}

void sim_timeout(struct sim_pair *pair)
{
	uint64_t interval = interval_of(pair), now = sim_device_of(pair)->now;

	pair->timer = FABRIC_NEVER;
	if (!pair->waiting && interval != FABRIC_NEVER &&
	    now - pair->progress >= (pair->base.retry.retries + 1U) * interval) {
		base_fail(&pair->base, BASE_REQUEST_FAULT, FABRIC_RETRIES_EXCEEDED);
		return;
	}
	pair->sent = 0;
	if (!pair->waiting) /* it is no progress that it is sent again */
		pair->timer = now + (interval < REPEAT_NS ? interval : REPEAT_NS);
	pair->waiting = false;
	sim_send_requests(pair);
}
