/* SPDX-License-Identifier: MIT */
#include "fabric/sim/packets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/sim/inbox.h"
#include "fabric/sim/random.h"
#include "fabric/soft/device.h"

#define DEVICES_MAX 8U
#define LATE_NS 2000000U /* what reordered packets take more, at the most */
#define BLOCKED_NS 300000U
#define SOURCE_PORT 0xc000U

/**
 * struct packet_network - see packets.h
 * @random: state of all chance
 */
struct packet_network {
	struct packet_rates rates;
	uint64_t random;
	struct packet_device *devices[DEVICES_MAX];
};

/**
 * struct packet_device - a soft device in it
 * @soft: first, so that it is the same address
 * @train: the only one; @filled: it is to be sent
 * @blocked_until: when there is room for a train again
 * @latest: when the packet arrives that was last sent and not reordered
 */
struct packet_device {
	struct soft_device soft;
	struct packet_network *network;
	struct inbox inbox;
	struct soft_train train;
	bool filled;
	uint64_t blocked_until;
	uint64_t latest;
};

/* struct packet - on its way */
struct packet {
	struct roce_path path;
	size_t size;
	uint8_t bytes[];
};

struct packet_network *packet_network_create(const struct packet_rates *rates)
{
	struct packet_network *network = calloc(1, sizeof(*network));

	if (network) {
		network->rates = *rates;
		network->random = rates->seed;
	}
	return network;
}

void packet_network_free(struct packet_network *network)
{
	free(network);
}

static struct packet_device *device_with(struct packet_network *network, const uint8_t *gid)
{
	for (unsigned int i = 0; i < DEVICES_MAX; i++)
		if (network->devices[i] &&
		    !memcmp(network->devices[i]->soft.gids[0].bytes, gid, FABRIC_GID_SIZE))
			return network->devices[i];
	return NULL;
}

static void put(struct packet_device *from, struct packet_device *to, const uint8_t *bytes,
		size_t size)
{
	struct packet_network *network = from->network;
	const struct packet_rates *rates = &network->rates;
	struct packet *packet = malloc(sizeof(*packet) + size);
	uint64_t at = from->soft.now +
		      sim_random_between(&network->random, rates->delay_least, rates->delay_most);

	if (!packet)
		return;
	packet->path = from->train.path;
	packet->size = size;
	memcpy(packet->bytes, bytes, size);
	if (sim_happens(&network->random, rates->damaged))
		packet->bytes[sim_random(&network->random) % size] ^=
			(uint8_t)(1U << sim_random(&network->random) % 8);
	if (sim_happens(&network->random, rates->reordered))
		at += sim_random(&network->random) % LATE_NS;
	else
		at = from->latest = at > from->latest ? at : from->latest;
	inbox_put(&to->inbox, at, packet);
}

static void send_packet(struct packet_device *from, struct packet_device *to, const uint8_t *bytes,
			size_t size)
{
	struct packet_network *network = from->network;

	if (sim_happens(&network->random, network->rates.loss))
		return;
	if (sim_happens(&network->random, network->rates.duplicates))
		put(from, to, bytes, size);
	put(from, to, bytes, size);
}

static void packet_send(void *context, uint64_t now)
{
	struct packet_device *device = context;
	struct soft_train *train = &device->train;
	struct packet_device *to;

	(void)now;
	if (!device->filled)
		return;
	device->filled = false;
	to = device_with(device->network, train->path.destination);
	if (!to || !device->soft.port.active)
		return;
	for (uint32_t at = 0; at < train->size; at += train->segment) {
		uint32_t left = train->size - at;

		send_packet(device, to, train->bytes + at,
			    left < train->segment ? left : train->segment);
	}
}

static struct soft_train *packet_train(void *context)
{
	struct packet_device *device = context;
	struct packet_network *network = device->network;

	packet_send(device, 0);
	if (device->blocked_until > device->soft.now)
		return NULL;
	if (sim_happens(&network->random, network->rates.blocked)) {
		device->blocked_until =
			device->soft.now + 1 + sim_random(&network->random) % BLOCKED_NS;
		return NULL;
	}
	device->filled = true;
	device->train.size = 0;
	return &device->train;
}

static bool packet_blocked(void *context)
{
	struct packet_device *device = context;

	return device->blocked_until > device->soft.now;
}

static void packet_receive(void *context, uint64_t now)
{
	struct packet_device *device = context;
	struct packet *packet;

	while ((packet = inbox_take(&device->inbox, now))) {
		struct soft_datagram datagram = {packet->path, packet->bytes, packet->size};

		if (device->soft.port.active)
			soft_receive(&device->soft, &datagram);
		free(packet);
	}
}

static uint64_t packet_deadline(void *context)
{
	struct packet_device *device = context;
	uint64_t deadline = inbox_deadline(&device->inbox);

	return packet_blocked(device) && device->blocked_until < deadline ? device->blocked_until
									  : deadline;
}

static int packet_descriptor(void *context)
{
	(void)context;
	return -1;
}

static uint16_t packet_source_port(void *context, unsigned int gid_index, uint32_t flow)
{
	(void)context;
	(void)gid_index;
	return (uint16_t)(SOURCE_PORT + flow % 4);
}

static void packet_close(void *context)
{
	struct packet_device *device = context;

	for (unsigned int i = 0; i < DEVICES_MAX; i++)
		if (device->network->devices[i] == device)
			device->network->devices[i] = NULL;
	inbox_free(&device->inbox);
	free(device);
}

static uint64_t packet_random(void *context)
{
	return sim_random(&((struct packet_device *)context)->network->random);
}

static const struct soft_transport transport = {
	.receive = packet_receive,
	.train = packet_train,
	.send = packet_send,
	.blocked = packet_blocked,
	.deadline = packet_deadline,
	.descriptor = packet_descriptor,
	.source_port = packet_source_port,
	.close = packet_close,
};

int packet_device_open(struct packet_network *network, const struct fabric_gid *gid, uint8_t mtu,
		       struct fabric_device **device)
{
	struct packet_device *opened;
	unsigned int place = 0;

	while (place < DEVICES_MAX && network->devices[place])
		place++;
	opened = place < DEVICES_MAX ? calloc(1, sizeof(*opened)) : NULL;
	if (!opened)
		return -ENOMEM;
	opened->network = network;
	opened->soft.port =
		(struct fabric_port){.active = true, .mtu = mtu, .message_max = FABRIC_MESSAGE_MAX};
	opened->soft.gids[0] = *gid;
	opened->soft.gid_set = 1;
	soft_device_init(&opened->soft, &transport, opened, network->rates.train_max,
			 packet_random);
	network->devices[place] = opened;
	*device = &opened->soft.base.fabric;
	return 0;
}

void packet_port_set(struct fabric_device *device, bool active)
{
	struct packet_device *changed = (struct packet_device *)device;

	if (changed->soft.port.active != active)
		base_event_raise(&changed->soft.base, FABRIC_PORT_CHANGED);
	changed->soft.port.active = active;
}
