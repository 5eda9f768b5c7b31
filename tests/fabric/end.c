/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "fabric/sim/random.h"
#include "world.h"

#define GUARD_BYTE 0xa5

static void memory_open(struct end *end, struct end_memory *memory, size_t size,
			unsigned int access)
{
	memory->block = malloc(size + 2 * END_GUARD);
	assert_non_null(memory->block);
	memset(memory->block, GUARD_BYTE, size + 2 * END_GUARD);
	memory->at = memory->block + END_GUARD;
	memory->size = size;
	memset(memory->at, 0, size);
	assert_int_equal(
		fabric_region_register(end->domain, memory->at, size, access, &memory->region), 0);
}

static void memory_close(struct end_memory *memory)
{
	if (memory->region)
		fabric_region_deregister(memory->region);
	free(memory->block);
}

static void memory_unhurt(const struct end_memory *memory)
{
	for (size_t i = 0; i < END_GUARD; i++) {
		assert_int_equal(memory->block[i], GUARD_BYTE);
		assert_int_equal(memory->at[memory->size + i], GUARD_BYTE);
	}
}

/* What byte number @at of the window that @end writes is, and of its n-th message. */
static uint8_t window_byte(const struct end *end, uint32_t at)
{
	return (uint8_t)(1 + (at * 2654435761U + (uint32_t)end->seed) % 255);
}

static uint8_t message_byte(const struct end *end, unsigned int index, uint32_t at)
{
	return (uint8_t)(at * 31 + index * 7 + end->seed);
}

static void end_open(struct world *world, struct end *end, unsigned int index,
		     const struct end_options *options, uint64_t seed)
{
	uint32_t depth = options->depth ? options->depth : END_SLOTS;

	*end = (struct end){.device = world->devices[index], .seed = seed * 2 + index};
	assert_int_equal(fabric_domain_create(end->device, &end->domain), 0);
	memory_open(end, &end->window, END_WINDOW_SIZE, FABRIC_REMOTE_WRITE);
	memory_open(end, &end->buffer, END_WINDOW_SIZE + END_SLOTS * END_SLOT_SIZE, 0);
	memory_open(end, &end->slots, END_SLOTS * END_SLOT_SIZE, FABRIC_LOCAL_WRITE);
	assert_int_equal(
		fabric_create(end->domain, &(struct fabric_depths){depth, depth}, end, &end->pair),
		0);
	assert_int_equal(fabric_init(end->pair, options->no_remote_write ? 0 : FABRIC_REMOTE_WRITE),
			 0);
}

void ends_open(struct world *world, struct end ends[2], const struct end_options *options,
	       uint64_t seed)
{
	const uint32_t sequence[2] = {0xfffff0 + (uint32_t)seed % 16, (uint32_t)seed & 0xffffff};

	for (unsigned int i = 0; i < 2; i++)
		end_open(world, &ends[i], i, options, seed);
	for (unsigned int i = 0; i < 2; i++) {
		struct fabric_port port;

		ends[i].peer = &ends[1 - i];
		assert_int_equal(fabric_port_query(ends[i].device, &port), 0);
		const struct fabric_path path = {
			.remote = world->gids[1 - i],
			.remote_number = ends[1 - i].pair->number,
			.sequence = sequence[1 - i],
			.mtu = options->mtu ? options->mtu : port.mtu,
			.rnr_timer = options->rnr_timer ? options->rnr_timer : 5,
			.hop_limit = 64};
		const struct fabric_retry retry = {
			.sequence = sequence[i],
			.timeout = options->timeout ? options->timeout : 15,
			.retries = options->no_retries ? 0
				   : options->retries  ? options->retries
						       : 7,
			.rnr_retries = options->rnr_retries ? options->rnr_retries : 7};

		assert_int_equal(fabric_ready_to_receive(ends[i].pair, &path), 0);
		assert_int_equal(fabric_ready_to_send(ends[i].pair, &retry), 0);
	}
}

void ends_close(struct world *world, struct end ends[2])
{
	(void)world;
	for (unsigned int i = 0; i < 2; i++) {
		fabric_destroy(ends[i].pair);
		memory_close(&ends[i].window);
		memory_close(&ends[i].buffer);
		memory_close(&ends[i].slots);
		assert_int_equal(fabric_domain_destroy(ends[i].domain), 0);
	}
}

bool end_receive(struct end *end)
{
	unsigned int slot = end->receives_posted % END_SLOTS;
	const struct fabric_piece piece = {end->slots.at + slot * END_SLOT_SIZE, END_SLOT_SIZE,
					   end->slots.region ? end->slots.region->local_key : 0};

	if (end->receives_posted - end->receives_completed == END_SLOTS ||
	    fabric_post_receive(end->pair, end->receives_posted, &piece))
		return false;
	end->receives_posted++;
	return true;
}

/* In two pieces, to see that both are found. */
static struct fabric_request request_of(struct end *end, uint8_t *at, uint32_t length,
					unsigned int flags)
{
	uint32_t key = end->buffer.region ? end->buffer.region->local_key : 0;
	uint32_t half = length / 3;

	return (struct fabric_request){
		.id = end->posted,
		.flags = flags,
		.count = length > 2 ? 2 : 1,
		.pieces = {{at, length > 2 ? half : length, key}, {at + half, length - half, key}}};
}

static void note(struct end *end, uint32_t length, unsigned int flags, bool send)
{
	assert_true(end->posted < END_REQUESTS_MAX);
	end->requests[end->posted++] = (struct end_request){.signaled = flags & FABRIC_SIGNALED,
							    .send = send,
							    .length = length,
							    .window_end = end->window_sent};
}

bool end_send(struct end *end, uint32_t length, unsigned int flags)
{
	uint8_t *at = end->buffer.at + END_WINDOW_SIZE + end->posted % END_SLOTS * END_SLOT_SIZE;
	struct fabric_request request;

	if (end->posted - end->completed >= END_SLOTS) /* the bytes may still be needed */
		return false;
	for (uint32_t i = 0; i < length; i++)
		at[i] = message_byte(end, end->posted, i);
	request = request_of(end, at, length, flags);
	if (fabric_post_send(end->pair, &request))
		return false;
	note(end, length, flags, true);
	return true;
}

bool end_write(struct end *end, uint32_t length, unsigned int flags)
{
	uint8_t *at = end->buffer.at + end->window_sent;
	const struct fabric_region *window = end->peer->window.region;
	struct fabric_request request = request_of(end, at, length, flags);

	if (end->posted - end->completed >= END_SLOTS ||
	    length > END_WINDOW_SIZE - end->window_sent)
		return false;
	for (uint32_t i = 0; i < length; i++)
		at[i] = window_byte(end, end->window_sent + i);
	if (fabric_post_write(end->pair, &request,
			      (window ? window->address : 0) + end->window_sent,
			      window ? window->remote_key : 0))
		return false;
	end->window_sent += length;
	note(end, length, flags, false);
	return true;
}

/* The first error has a cause, unless the peer's request was at fault; all others are flushed. */
static void error_heard(struct end *end, enum fabric_status status)
{
	assert_int_equal(end->pair->state, FABRIC_ERR);
	if (status != FABRIC_FLUSHED) {
		assert_false(end->failed);
		end->cause = status;
	}
	end->failed = true;
}

static void request_heard(struct end *end, const struct fabric_completion *completion)
{
	bool flushing = end->flushing;

	if (completion->status != FABRIC_SUCCESS) {
		error_heard(end, completion->status);
		end->flushing = true;
	} else {
		assert_false(end->failed);
	}
	while (end->completed < completion->id && !end->requests[end->completed].signaled &&
	       !flushing)
		end->completed++;
	assert_int_equal(completion->id, end->completed);
	assert_true(end->completed < end->posted);
	if (completion->status == FABRIC_SUCCESS) {
		assert_true(end->requests[end->completed].signaled);
		assert_int_equal(completion->opcode,
				 end->requests[end->completed].send ? FABRIC_SEND : FABRIC_WRITE);
	}
	end->completed++;
}

static void message_heard(struct end *end, const struct fabric_completion *completion)
{
	const struct end *peer = end->peer;
	const uint8_t *at = end->slots.at + completion->id % END_SLOTS * END_SLOT_SIZE;
	const struct end_request *sent;

	while (!peer->requests[end->received].send)
		end->received++;
	assert_true(end->received < peer->posted);
	sent = &peer->requests[end->received];
	assert_int_equal(completion->opcode, FABRIC_RECEIVE);
	assert_int_equal(completion->length, sent->length);
	for (uint32_t i = 0; i < sent->length; i++)
		assert_int_equal(at[i], message_byte(peer, end->received, i));
	for (uint32_t i = 0; i < sent->window_end; i++)
		if (end->window.at[i] != window_byte(peer, i))
			assert_int_equal(end->window.at[i], window_byte(peer, i));
	end->received++;
}

static void receive_heard(struct end *end, const struct fabric_completion *completion)
{
	assert_int_equal(completion->id, end->receives_completed);
	assert_true(end->receives_completed < end->receives_posted);
	end->receives_completed++;
	if (completion->status != FABRIC_SUCCESS) {
		error_heard(end, completion->status);
		return;
	}
	assert_false(end->failed);
	message_heard(end, completion);
}

void end_poll(struct end *end)
{
	struct fabric_completion completions[5];
	struct fabric_event event;
	unsigned int count;

	while ((count = fabric_poll(end->device, completions, 5)))
		for (unsigned int i = 0; i < count; i++) {
			struct end *of = completions[i].queue_pair->context;

			if (completions[i].opcode == FABRIC_RECEIVE)
				receive_heard(of, &completions[i]);
			else
				request_heard(of, &completions[i]);
		}
	while (fabric_event(end->device, &event)) {
		struct end *of = event.queue_pair ? event.queue_pair->context : NULL;

		if (event.kind != FABRIC_QUEUE_PAIR_FATAL)
			continue;
		assert_true(++of->fatal_events == 1);
		of->fatal_status = event.status;
		if (of->cause)
			assert_int_equal(of->cause, event.status);
	}
}

bool end_is_done(const struct end *end)
{
	unsigned int signaled = end->posted, sends = 0;

	while (signaled > 0 && !end->requests[signaled - 1].signaled)
		signaled--;
	for (unsigned int i = end->peer->received; i < end->posted; i++)
		sends += end->requests[i].send;
	return end->completed >= signaled && !sends;
}

void ends_run(struct world *world, struct end ends[2], uint64_t time)
{
	uint64_t until = world->now + time;

	while (world->now < until) {
		world_step(world, until - world->now);
		end_poll(&ends[0]);
		end_poll(&ends[1]);
		if ((end_is_done(&ends[0]) && end_is_done(&ends[1])) || ends[0].failed ||
		    ends[1].failed)
			return;
	}
}

void end_is_flushed(const struct end *end)
{
	assert_int_equal(end->pair->state, FABRIC_ERR);
	for (unsigned int i = end->completed; i < end->posted; i++)
		assert_false(end->flushing || end->requests[i].signaled); /* it has succeeded */
	assert_int_equal(end->receives_completed, end->receives_posted);
	assert_int_equal(end->fatal_events, 1);
}

void ends_unhurt(const struct end ends[2])
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct end *end = &ends[i];

		memory_unhurt(&end->window);
		memory_unhurt(&end->buffer);
		memory_unhurt(&end->slots);
		for (uint32_t at = end->peer->window_sent; at < END_WINDOW_SIZE; at++)
			if (end->window.at[at])
				assert_int_equal(end->window.at[at], 0);
	}
}
