/* SPDX-License-Identifier: MIT */
#include "fabric/sim/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/sim/message.h"
#include "fabric/sim/random.h"

#define MTU_CODE 5U

struct sim_network *sim_network_create(const struct sim_rates *rates)
{
	struct sim_network *network = calloc(1, sizeof(*network));

	if (network) {
		network->rates = *rates;
		network->random = rates->seed;
	}
	return network;
}

void sim_network_free(struct sim_network *network)
{
	free(network);
}

static void arrived(struct sim_device *device, const struct sim_message *message)
{
	struct sim_pair *pair = (struct sim_pair *)base_pair_find(&device->base, message->to_pair);
	bool answer = message->kind >= SIM_ACK;

	if (!pair || pair->base.fabric.state == FABRIC_ERR ||
	    pair->base.fabric.state < (answer ? FABRIC_RTS : FABRIC_RTR) ||
	    pair->base.path.remote_number != message->from_pair ||
	    memcmp(&pair->base.path.remote, &message->from, sizeof(message->from)))
		return;
	if (answer)
		sim_answer_arrived(pair, message);
	else
		sim_request_arrived(pair, message);
}

static void sim_flush(struct fabric_device *fabric, uint64_t now, bool more)
{
	struct sim_device *device = (struct sim_device *)fabric;
	struct sim_pair *pair, *next;

	(void)more;
	if (device->frozen)
		return;
	device->now = now;
	for (pair = TAILQ_FIRST(&device->sending); pair; pair = next) {
		next = TAILQ_NEXT(pair, link); /* it may fail, and be taken out */
		if (pair->posted)
			sim_send_requests(pair);
	}
}

static void timers(struct sim_device *device)
{
	struct sim_pair *pair, *next;

	for (pair = TAILQ_FIRST(&device->sending); pair; pair = next) {
		next = TAILQ_NEXT(pair, link);
		if (pair->timer <= device->now)
			sim_timeout(pair);
	}
}

static void sim_run(struct fabric_device *fabric, uint64_t now)
{
	struct sim_device *device = (struct sim_device *)fabric;
	struct sim_message *message;

	if (device->frozen)
		return;
	device->now = now;
	while ((message = inbox_take(&device->inbox, now))) {
		if (device->port.active)
			arrived(device, message);
		free(message);
	}
	timers(device);
	sim_flush(fabric, now, false);
}

static uint64_t sim_deadline(struct fabric_device *fabric)
{
	struct sim_device *device = (struct sim_device *)fabric;
	uint64_t deadline = inbox_deadline(&device->inbox);
	struct sim_pair *pair;

	if (device->frozen)
		return FABRIC_NEVER;
	TAILQ_FOREACH(pair, &device->sending, link)
	{
		uint64_t due = pair->posted ? 0 : pair->timer;

		deadline = due < deadline ? due : deadline;
	}
	return deadline;
}

static int sim_descriptor(struct fabric_device *device)
{
	(void)device;
	return -1;
}

static int sim_port_query(struct fabric_device *device, struct fabric_port *port)
{
	*port = ((struct sim_device *)device)->port;
	return 0;
}

static int sim_gid_query(struct fabric_device *device, unsigned int index, struct fabric_gid *gid)
{
	if (index)
		return -ENOENT;
	*gid = ((struct sim_device *)device)->gid;
	return 0;
}

static int sim_close(struct fabric_device *fabric)
{
	struct sim_device *device = (struct sim_device *)fabric;
	int error = base_device_free(&device->base);

	if (error)
		return error;
	for (unsigned int i = 0; i < SIM_DEVICES_MAX; i++)
		if (device->network->devices[i] == device)
			device->network->devices[i] = NULL;
	inbox_free(&device->inbox);
	free(device);
	return 0;
}

static int receive_ready(struct base_pair *base)
{
	((struct sim_pair *)base)->expected = base->path.sequence;
	return 0;
}

static void send_ready(struct base_pair *base)
{
	struct sim_pair *pair = (struct sim_pair *)base;

	pair->oldest = base->retry.sequence;
	pair->rnr_left = base->retry.rnr_retries;
	pair->timer = FABRIC_NEVER;
	pair->listed = true;
	TAILQ_INSERT_TAIL(&sim_device_of(pair)->sending, pair, link);
}

/* With the next run or flush. */
static void posted(struct base_pair *base)
{
	((struct sim_pair *)base)->posted = true;
}

static void stop(struct base_pair *base, bool last)
{
	struct sim_pair *pair = (struct sim_pair *)base;

	(void)last;
	if (pair->listed)
		TAILQ_REMOVE(&sim_device_of(pair)->sending, pair, link);
	pair->listed = false;
}

static const struct fabric_ops sim_ops = {
	.name = "sim",
	.close = sim_close,
	.port_query = sim_port_query,
	.gid_query = sim_gid_query,
	.descriptor = sim_descriptor,
	.deadline = sim_deadline,
	.run = sim_run,
	.take = sim_run,
	.flush = sim_flush,
	BASE_OPS,
};

static const struct base_backend backend = {
	.pair_size = sizeof(struct sim_pair),
	.receive_ready = receive_ready,
	.send_ready = send_ready,
	.posted = posted,
	.stop = stop,
};

static uint64_t random_bits(void *context)
{
	return sim_random(&((struct sim_device *)context)->network->random);
}

int sim_device_open(struct sim_network *network, const struct fabric_gid *gid, const char *pnetid,
		    struct fabric_device **device)
{
	struct sim_device *opened;
	unsigned int place = 0;

	if (pnetid && strlen(pnetid) >= FABRIC_PNETID_SIZE)
		return -EINVAL;
	while (place < SIM_DEVICES_MAX && network->devices[place])
		place++;
	opened = place < SIM_DEVICES_MAX ? calloc(1, sizeof(*opened)) : NULL;
	if (!opened)
		return -ENOMEM;
	opened->network = network;
	opened->gid = *gid;
	opened->port = (struct fabric_port){
		.active = true, .mtu = MTU_CODE, .mac = {2}, .message_max = FABRIC_MESSAGE_MAX};
	memcpy(opened->port.mac + 2, gid->bytes + 12, 4);
	if (pnetid)
		strcpy(opened->port.pnetid, pnetid);
	TAILQ_INIT(&opened->sending);
	base_device_init(&opened->base, &sim_ops, &backend, random_bits, opened);
	network->devices[place] = opened;
	*device = &opened->base.fabric;
	return 0;
}

void sim_port_set(struct fabric_device *device, bool active)
{
	struct sim_device *changed = (struct sim_device *)device;

	if (changed->port.active != active)
		base_event_raise(&changed->base, FABRIC_PORT_CHANGED);
	changed->port.active = active;
}

void sim_freeze_set(struct fabric_device *device, bool frozen)
{
	((struct sim_device *)device)->frozen = frozen;
}
