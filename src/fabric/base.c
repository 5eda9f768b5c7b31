/* SPDX-License-Identifier: MIT */
#include "fabric/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_RESERVED 0x10U /* the first ones have a meaning of their own, the last one too */

static struct base_device *device_of(struct fabric_queue_pair *queue_pair)
{
	return (struct base_device *)queue_pair->device;
}

static struct base_pair *pair_of(struct fabric_queue_pair *queue_pair)
{
	return (struct base_pair *)queue_pair;
}

void base_device_init(struct base_device *device, const struct fabric_ops *ops,
		      const struct base_backend *backend, uint64_t (*random)(void *context),
		      void *random_context)
{
	device->fabric.ops = ops;
	device->backend = backend;
	device->random = random;
	device->random_context = random_context;
	TAILQ_INIT(&device->failed);
}

int base_device_free(struct base_device *device)
{
	if (device->domains)
		return -EBUSY;
	region_table_free(&device->regions);
	free(device->completions);
	return 0;
}

int base_domain_create(struct fabric_device *device, struct fabric_domain **domain)
{
	struct base_domain *created = calloc(1, sizeof(*created));

	if (!created)
		return -ENOMEM;
	created->fabric.device = device;
	((struct base_device *)device)->domains++;
	*domain = &created->fabric;
	return 0;
}

int base_domain_destroy(struct fabric_domain *domain)
{
	struct base_domain *destroyed = (struct base_domain *)domain;

	if (destroyed->users)
		return -EBUSY;
	((struct base_device *)domain->device)->domains--;
	free(destroyed);
	return 0;
}

int base_region_register(struct fabric_domain *domain, void *at, size_t length, unsigned int access,
			 struct fabric_region **region)
{
	struct base_device *device = (struct base_device *)domain->device;
	const uint64_t random[2] = {device->random(device->random_context),
				    device->random(device->random_context)};
	struct region *added;
	int error = region_add(&device->regions, domain, at, length, access, random, &added);

	if (error)
		return error;
	((struct base_domain *)domain)->users++;
	*region = &added->fabric;
	return 0;
}

void base_region_deregister(struct fabric_region *region)
{
	struct base_device *device = (struct base_device *)region->domain->device;

	((struct base_domain *)region->domain)->users--;
	region_remove(&device->regions, (struct region *)region);
}

/* A number that nobody has: a free slot, and chance. */
static int take_number(struct base_device *device, struct base_pair *pair)
{
	uint32_t random, slot, number;

	if (device->pair_count == BASE_PAIRS_MAX)
		return -ENOMEM;
	random = (uint32_t)device->random(device->random_context) & BASE_24_BITS;
	for (slot = random % BASE_PAIRS_MAX; device->pairs[slot];)
		slot = (slot + 1) % BASE_PAIRS_MAX;
	number = (random & ~(BASE_PAIRS_MAX - 1)) | slot;
	if (number < NUMBERS_RESERVED || number == BASE_24_BITS)
		number ^= 1U << BASE_NUMBER_BITS;
	device->pairs[slot] = pair;
	device->pair_count++;
	pair->fabric.number = number;
	return 0;
}

struct base_pair *base_pair_find(struct base_device *device, uint32_t number)
{
	struct base_pair *pair = device->pairs[number % BASE_PAIRS_MAX];

	return pair && pair->fabric.number == number ? pair : NULL;
}

/* Room for the completions of one queue pair more. */
static int reserve(struct base_device *device, uint32_t more)
{
	uint32_t room = device->reserved + more;
	struct fabric_completion *completions;

	if (room > device->room) {
		completions = calloc(room, sizeof(*completions));
		if (!completions)
			return -ENOMEM;
		for (uint32_t i = 0; i < device->completion_count; i++)
			completions[i] =
				device->completions[(device->completion_first + i) % device->room];
		free(device->completions);
		device->completions = completions;
		device->completion_first = 0;
		device->room = room;
	}
	device->reserved = room;
	return 0;
}

static void pair_free(struct base_pair *pair)
{
	free(pair->requests);
	free(pair->receives);
	free(pair);
}

int base_create(struct fabric_domain *domain, const struct fabric_depths *depths, void *context,
		struct fabric_queue_pair **queue_pair)
{
	struct base_device *device = (struct base_device *)domain->device;
	struct base_pair *pair;

	if (!depths->sends || depths->sends > FABRIC_QUEUE_MAX || !depths->receives ||
	    depths->receives > FABRIC_QUEUE_MAX)
		return -EINVAL;
	pair = calloc(1, device->backend->pair_size);
	if (!pair)
		return -ENOMEM;
	pair->fabric.device = domain->device;
	pair->fabric.context = context;
	pair->domain = (struct base_domain *)domain;
	pair->depths = *depths;
	pair->requests = calloc(depths->sends, sizeof(*pair->requests));
	pair->receives = calloc(depths->receives, sizeof(*pair->receives));
	if (!pair->requests || !pair->receives ||
	    reserve(device, depths->sends + depths->receives)) {
		pair_free(pair);
		return -ENOMEM;
	}
	if (take_number(device, pair)) {
		device->reserved -= depths->sends + depths->receives;
		pair_free(pair);
		return -ENOMEM;
	}
	pair->domain->users++;
	*queue_pair = &pair->fabric;
	return 0;
}

int base_init(struct fabric_queue_pair *queue_pair, unsigned int access)
{
	if (queue_pair->state != FABRIC_RESET || access & ~FABRIC_REMOTE_WRITE)
		return -EINVAL;
	pair_of(queue_pair)->access = access;
	queue_pair->state = FABRIC_INIT;
	return 0;
}

static bool same_family(const struct fabric_gid *a, const struct fabric_gid *b)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(a, mapped, sizeof(mapped)) == !memcmp(b, mapped, sizeof(mapped));
}

int base_ready_to_receive(struct fabric_queue_pair *queue_pair, const struct fabric_path *path)
{
	struct fabric_device *device = queue_pair->device;
	struct base_pair *pair = pair_of(queue_pair);
	struct fabric_port port;
	struct fabric_gid gid;
	int error;

	if (queue_pair->state != FABRIC_INIT || !fabric_mtu_bytes(path->mtu) ||
	    path->sequence > BASE_24_BITS || path->remote_number > BASE_24_BITS ||
	    path->rnr_timer > 31)
		return -EINVAL;
	if (fabric_port_query(device, &port) || path->mtu > port.mtu ||
	    fabric_gid_query(device, path->gid_index, &gid) || !same_family(&gid, &path->remote))
		return -EINVAL;
	pair->path = *path;
	error = device_of(queue_pair)->backend->receive_ready(pair);
	if (!error)
		queue_pair->state = FABRIC_RTR;
	return error;
}

int base_ready_to_send(struct fabric_queue_pair *queue_pair, const struct fabric_retry *retry)
{
	struct base_pair *pair = pair_of(queue_pair);

	if (queue_pair->state != FABRIC_RTR || retry->sequence > BASE_24_BITS ||
	    retry->timeout > 31 || retry->retries > 7 || retry->rnr_retries > 7)
		return -EINVAL;
	pair->retry = *retry;
	queue_pair->state = FABRIC_RTS;
	device_of(queue_pair)->backend->send_ready(pair);
	return 0;
}

/* What was not polled of a queue pair that goes away. */
static void purge(struct base_device *device, struct base_pair *pair)
{
	uint32_t kept = 0, first = device->completion_first;

	for (uint32_t i = 0; i < device->completion_count; i++) {
		struct fabric_completion *one = &device->completions[(first + i) % device->room];

		if (one->queue_pair != &pair->fabric)
			device->completions[(first + kept++) % device->room] = *one;
	}
	device->completion_count = kept;
}

void base_destroy(struct fabric_queue_pair *queue_pair)
{
	struct base_device *device = device_of(queue_pair);
	struct base_pair *pair = pair_of(queue_pair);

	if (queue_pair->state >= FABRIC_RTR)
		device->backend->stop(pair, true);
	purge(device, pair);
	if (pair->fatal_due)
		TAILQ_REMOVE(&device->failed, pair, fatal_link);
	device->pairs[queue_pair->number % BASE_PAIRS_MAX] = NULL;
	device->pair_count--;
	device->reserved -= pair->depths.sends + pair->depths.receives;
	pair->domain->users--;
	pair_free(pair);
}

bool base_event(struct fabric_device *device, struct fabric_event *event)
{
	struct base_device *base = (struct base_device *)device;
	struct base_pair *pair = TAILQ_FIRST(&base->failed);

	*event = (struct fabric_event){.status = FABRIC_SUCCESS};
	if (pair) {
		TAILQ_REMOVE(&base->failed, pair, fatal_link);
		pair->fatal_due = false;
		event->kind = FABRIC_QUEUE_PAIR_FATAL;
		event->queue_pair = &pair->fabric;
		event->status = pair->fatal;
		return true;
	}
	if (!base->changed)
		return false;
	event->kind = (enum fabric_event_kind)__builtin_ctz(base->changed);
	base->changed &= base->changed - 1;
	return true;
}

void base_event_raise(struct base_device *device, enum fabric_event_kind kind)
{
	device->changed |= 1U << kind;
}
