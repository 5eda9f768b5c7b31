/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fabric/base.h"

static struct fabric_completion *complete(struct base_pair *pair, uint64_t id,
					  enum fabric_status status)
{
	struct base_device *device = base_device_of(pair);
	uint32_t at = (device->completion_first + device->completion_count++) % device->room;

	device->completions[at] =
		(struct fabric_completion){.queue_pair = &pair->fabric, .id = id, .status = status};
	return &device->completions[at];
}

unsigned int base_poll(struct fabric_device *device, struct fabric_completion *completions,
		       unsigned int max)
{
	struct base_device *base = (struct base_device *)device;
	unsigned int count = 0;

	for (; count < max && base->completion_count; count++) {
		struct fabric_completion *one = &base->completions[base->completion_first];
		struct base_pair *pair = (struct base_pair *)one->queue_pair;

		if (one->opcode == FABRIC_SEND || one->opcode == FABRIC_WRITE)
			pair->sends_unpolled--;
		else
			pair->receives_unpolled--;
		completions[count] = *one;
		base->completion_first = (base->completion_first + 1) % base->room;
		base->completion_count--;
	}
	return count;
}

static void request_end(struct base_pair *pair, enum fabric_status status)
{
	struct base_request *request = base_request_at(pair, 0);

	pair->request_first = (pair->request_first + 1) % pair->depths.sends;
	pair->request_count--;
	if (status == FABRIC_SUCCESS && !(request->request.flags & FABRIC_SIGNALED))
		return;
	complete(pair, request->request.id, status)->opcode = request->opcode;
	pair->sends_unpolled++;
}

void base_request_done(struct base_pair *pair)
{
	request_end(pair, FABRIC_SUCCESS);
}

static void receive_end(struct base_pair *pair, const struct fabric_completion *filled)
{
	struct base_receive *receive = base_receive_first(pair);
	struct fabric_completion *completion = complete(pair, receive->id, filled->status);

	completion->opcode = filled->opcode;
	completion->length = filled->length;
	completion->with_immediate = filled->with_immediate;
	completion->immediate = filled->immediate;
	pair->receive_first = (pair->receive_first + 1) % pair->depths.receives;
	pair->receive_count--;
	pair->receives_unpolled++;
}

void base_receive_done(struct base_pair *pair, const struct fabric_completion *completion)
{
	receive_end(pair, completion);
}

static void receive_fail(struct base_pair *pair, enum fabric_status status)
{
	receive_end(pair, &(struct fabric_completion){.status = status, .opcode = FABRIC_RECEIVE});
}

static void flush(struct base_pair *pair)
{
	while (pair->request_count)
		request_end(pair, FABRIC_FLUSHED);
	while (pair->receive_count)
		receive_fail(pair, FABRIC_FLUSHED);
}

static void enter_error(struct base_pair *pair)
{
	if (pair->fabric.state >= FABRIC_RTR)
		base_device_of(pair)->backend->stop(pair, false);
	pair->fabric.state = FABRIC_ERR;
	flush(pair);
}

void base_fail(struct base_pair *pair, enum base_fault fault, enum fabric_status status)
{
	struct base_device *device = base_device_of(pair);

	if (fault == BASE_REQUEST_FAULT)
		request_end(pair, status);
	else if (fault == BASE_RECEIVE_FAULT)
		receive_fail(pair, status);
	enter_error(pair);
	pair->fatal = status;
	pair->fatal_due = true;
	TAILQ_INSERT_TAIL(&device->failed, pair, fatal_link);
}

void base_stop(struct fabric_queue_pair *queue_pair)
{
	if (queue_pair->state != FABRIC_ERR)
		enter_error((struct base_pair *)queue_pair);
}

int base_post_receive(struct fabric_queue_pair *queue_pair, uint64_t id,
		      const struct fabric_piece *piece)
{
	struct base_pair *pair = (struct base_pair *)queue_pair;
	uint32_t next;

	if (queue_pair->state == FABRIC_RESET)
		return -EINVAL;
	if (pair->receive_count + pair->receives_unpolled >= pair->depths.receives)
		return -ENOMEM;
	next = (pair->receive_first + pair->receive_count++) % pair->depths.receives;
	pair->receives[next] = (struct base_receive){.id = id, .piece = *piece};
	if (queue_pair->state == FABRIC_ERR)
		flush(pair);
	return 0;
}

/* Take the bytes of an inline request out of the caller's memory. */
static void take_inline(struct base_request *taken)
{
	uint32_t length = 0;

	for (unsigned int i = 0; i < taken->request.count; i++) {
		const struct fabric_piece *piece = &taken->request.pieces[i];

		if (piece->length)
			memcpy(taken->inlined + length, piece->at, piece->length);
		length += piece->length;
	}
}

static int post(struct base_pair *pair, const struct fabric_request *request,
		const struct base_request *how)
{
	struct base_request *posted;
	uint64_t length = 0;

	if (pair->fabric.state < FABRIC_RTS || request->count > FABRIC_PIECES_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < request->count; i++)
		length += request->pieces[i].length;
	if (length > (request->flags & FABRIC_INLINE ? FABRIC_INLINE_MAX : FABRIC_MESSAGE_MAX))
		return -EINVAL;
	if (pair->request_count + pair->sends_unpolled >= pair->depths.sends)
		return -ENOMEM;
	posted = base_request_at(pair, pair->request_count++);
	*posted = *how;
	posted->request = *request;
	posted->length = (uint32_t)length;
	if (request->flags & FABRIC_INLINE)
		take_inline(posted);
	if (pair->fabric.state == FABRIC_ERR)
		flush(pair);
	else
		base_device_of(pair)->backend->posted(pair);
	return 0;
}

int base_post_send(struct fabric_queue_pair *queue_pair, const struct fabric_request *request)
{
	const struct base_request send = {.opcode = FABRIC_SEND};

	return post((struct base_pair *)queue_pair, request, &send);
}

int base_post_write(struct fabric_queue_pair *queue_pair, const struct fabric_request *request,
		    uint64_t remote_address, uint32_t remote_key)
{
	const struct base_request write = {
		.opcode = FABRIC_WRITE, .remote_address = remote_address, .remote_key = remote_key};

	return post((struct base_pair *)queue_pair, request, &write);
}

bool base_gather(struct base_pair *pair, const struct base_request *request, uint32_t offset,
		 void *to, uint32_t size)
{
	struct base_device *device = base_device_of(pair);
	uint8_t *at = to;

	if (request->request.flags & FABRIC_INLINE) {
		memcpy(at, request->inlined + offset, size);
		return true;
	}
	for (unsigned int i = 0; i < request->request.count && size; i++) {
		const struct fabric_piece *piece = &request->request.pieces[i];
		uint32_t taken = piece->length > offset ? piece->length - offset : 0;

		taken = taken < size ? taken : size;
		if (taken && !region_local(&device->regions, &pair->domain->fabric, piece, 0))
			return false;
		if (taken)
			memcpy(at, (const uint8_t *)piece->at + offset, taken);
		offset = piece->length > offset ? 0 : offset - piece->length;
		at += taken;
		size -= taken;
	}
	return true;
}

bool base_scatter(struct base_pair *pair, uint32_t offset, const void *from, uint32_t size)
{
	struct fabric_piece *piece = &base_receive_first(pair)->piece;

	if (!size)
		return true;
	if (!region_local(&base_device_of(pair)->regions, &pair->domain->fabric, piece,
			  FABRIC_LOCAL_WRITE))
		return false;
	memcpy((uint8_t *)piece->at + offset, from, size);
	return true;
}
