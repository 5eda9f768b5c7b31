/* SPDX-License-Identifier: MIT */
#include "fabric/soft/device.h"

#include <errno.h>
#include <string.h>

#include "fabric/soft/check.h"

#define PARTITION_MASK 0x7fffU

static struct soft_device *soft_of(struct fabric_device *device)
{
	return (struct soft_device *)device;
}

void soft_activate(struct soft_pair *pair)
{
	if (!pair->active)
		TAILQ_INSERT_TAIL(&soft_device_of(pair)->active, pair, active_link);
	pair->active = true;
}

static void deactivate(struct soft_pair *pair)
{
	if (pair->active)
		TAILQ_REMOVE(&soft_device_of(pair)->active, pair, active_link);
	pair->active = false;
}

static uint64_t pair_deadline(const struct soft_pair *pair)
{
	const uint64_t held = responder_held(pair);

	return held < pair->requester.timer ? held : pair->requester.timer;
}

void soft_timed(struct soft_pair *pair)
{
	struct soft_timed *timed = &soft_device_of(pair)->timed;
	const bool waits = pair_deadline(pair) != FABRIC_NEVER;

	if (waits == pair->timed)
		return;
	if (waits)
		TAILQ_INSERT_TAIL(timed, pair, timed_link);
	else
		TAILQ_REMOVE(timed, pair, timed_link);
	pair->timed = waits;
}

/* Everything that is due, in turns. */
static void soft_output(struct soft_device *device)
{
	struct soft_pair *pair;

	while ((pair = TAILQ_FIRST(&device->active))) {
		if (!requester_output(pair) || !responder_output(pair))
			break;
		deactivate(pair);
		if (requester_wants(pair))
			soft_activate(pair);
	}
	device->train = NULL;
	device->transport->send(device->context, device->now);
}

/* Is it for one of our queue pairs, from its peer? */
static struct soft_pair *find_pair(struct soft_device *device, const struct soft_datagram *datagram,
				   const struct roce_bth *bth)
{
	struct soft_pair *pair =
		(struct soft_pair *)base_pair_find(&device->base, bth->destination);
	enum fabric_state needed = bth->opcode == ROCE_ACKNOWLEDGE ? FABRIC_RTS : FABRIC_RTR;

	if (!pair || pair->base.fabric.state < needed || pair->base.fabric.state == FABRIC_ERR) {
		device->counters.unknown++;
		return NULL;
	}
	if (memcmp(datagram->path.source, pair->route.destination, ROCE_GID_SIZE) ||
	    memcmp(datagram->path.destination, pair->route.source, ROCE_GID_SIZE)) {
		device->counters.stranger++;
		return NULL;
	}
	if ((bth->partition & PARTITION_MASK) != (ROCE_PARTITION & PARTITION_MASK)) {
		device->counters.bad_partition++;
		return NULL;
	}
	return pair;
}

static uint32_t icrc_carried(const struct soft_datagram *datagram)
{
	const uint8_t *icrc = datagram->bytes + datagram->size - ROCE_ICRC_SIZE;

	return icrc[0] | (uint32_t)icrc[1] << 8 | (uint32_t)icrc[2] << 16 | (uint32_t)icrc[3] << 24;
}

/* READs and atomics are some, though they are refused.  Others are responses. */
static bool is_request(uint8_t opcode)
{
	const uint8_t read_responses = 0x0d, atomic_response = 0x12, connected_end = 0x20;

	return opcode < read_responses || (opcode > atomic_response && opcode < connected_end);
}

void soft_receive(struct soft_device *device, const struct soft_datagram *datagram)
{
	struct roce_packet packet;
	struct soft_pair *pair;
	int error = roce_decode(&packet, datagram->bytes, datagram->size, NULL);

	device->counters.received++;
	if ((error && error != -EPROTONOSUPPORT) ||
	    datagram->size < ROCE_BTH_SIZE + ROCE_ICRC_SIZE) {
		device->counters.bad_length++;
		return;
	}
	pair = find_pair(device, datagram, &packet.bth);
	if (!pair)
		return;
	if (!check_icrc(pair, datagram, icrc_carried(datagram)))
		device->counters.bad_icrc++;
	else if (packet.bth.opcode == ROCE_ACKNOWLEDGE)
		requester_answer(pair, &packet);
	else if (is_request(packet.bth.opcode))
		responder_request(pair, &packet);
}

static int receive_ready(struct base_pair *base)
{
	struct soft_pair *pair = (struct soft_pair *)base;
	struct soft_device *device = soft_device_of(pair);
	const struct fabric_gid *own = &device->gids[base->path.gid_index];
	/* Both ends come to the same number, so what passes both ways can be seen as one flow. */
	uint64_t flow = (uint64_t)base->fabric.number * base->path.remote_number;

	flow ^= flow >> 20;
	flow ^= flow >> 40;
	pair->mtu = fabric_mtu_bytes(base->path.mtu);
	memcpy(pair->route.source, own->bytes, ROCE_GID_SIZE);
	memcpy(pair->route.destination, base->path.remote.bytes, ROCE_GID_SIZE);
	pair->route.source_port = device->transport->source_port(
		device->context, base->path.gid_index, (uint32_t)flow & 0xfffffU);
	responder_start(pair);
	return 0;
}

static void send_ready(struct base_pair *base)
{
	requester_start((struct soft_pair *)base);
}

static void posted(struct base_pair *base)
{
	struct soft_pair *pair = (struct soft_pair *)base;

	if (requester_wants(pair))
		soft_activate(pair);
}

static void stop(struct base_pair *base, bool last)
{
	struct soft_pair *pair = (struct soft_pair *)base;

	requester_stop(pair);
	responder_stop(pair, last);
	if (last || !pair->responder.due)
		deactivate(pair);
}

static void timers(struct soft_device *device)
{
	struct soft_pair *pair, *next;

	for (pair = TAILQ_FIRST(&device->timed); pair; pair = next) {
		next = TAILQ_NEXT(pair, timed_link);
		if (responder_held(pair) <= device->now)
			responder_let_go(pair);
		if (pair->requester.timer <= device->now)
			requester_timeout(pair);
	}
}

static void let_go_all(struct soft_device *device)
{
	struct soft_pair *pair, *next;

	for (pair = TAILQ_FIRST(&device->timed); pair; pair = next) {
		next = TAILQ_NEXT(pair, timed_link);
		responder_let_go(pair);
	}
}

static void soft_take(struct fabric_device *fabric, uint64_t now)
{
	struct soft_device *device = soft_of(fabric);

	device->now = now;
	device->transport->receive(device->context, now);
	timers(device);
}

static void soft_run(struct fabric_device *fabric, uint64_t now)
{
	soft_take(fabric, now);
	soft_output(soft_of(fabric));
}

static void soft_flush(struct fabric_device *fabric, uint64_t now, bool more)
{
	struct soft_device *device = soft_of(fabric);

	device->now = now;
	device->more = more;
	if (!more)
		let_go_all(device);
	soft_output(device);
	device->more = false;
}

static uint64_t soft_deadline(struct fabric_device *fabric)
{
	struct soft_device *device = soft_of(fabric);
	uint64_t deadline = device->transport->deadline(device->context);
	struct soft_pair *pair;

	if (!TAILQ_EMPTY(&device->active) && !device->transport->blocked(device->context))
		return 0;
	TAILQ_FOREACH(pair, &device->timed, timed_link)
	if (pair_deadline(pair) < deadline)
		deadline = pair_deadline(pair);
	return deadline;
}

static int soft_descriptor(struct fabric_device *device)
{
	return soft_of(device)->transport->descriptor(soft_of(device)->context);
}

static int soft_port_query(struct fabric_device *device, struct fabric_port *port)
{
	*port = soft_of(device)->port;
	return port->mtu ? 0 : -ENODEV;
}

static int soft_gid_query(struct fabric_device *device, unsigned int index, struct fabric_gid *gid)
{
	if (index >= FABRIC_GIDS_MAX || !(soft_of(device)->gid_set & 1U << index))
		return -ENOENT;
	*gid = soft_of(device)->gids[index];
	return 0;
}

static int soft_close(struct fabric_device *fabric)
{
	struct soft_device *device = soft_of(fabric);
	int error = base_device_free(&device->base);

	if (!error)
		device->transport->close(device->context);
	return error;
}

static const struct fabric_ops soft_ops = {
	.name = "soft",
	.close = soft_close,
	.port_query = soft_port_query,
	.gid_query = soft_gid_query,
	.descriptor = soft_descriptor,
	.deadline = soft_deadline,
	.run = soft_run,
	.take = soft_take,
	.flush = soft_flush,
	BASE_OPS,
};

static const struct base_backend backend = {
	.pair_size = sizeof(struct soft_pair),
	.receive_ready = receive_ready,
	.send_ready = send_ready,
	.posted = posted,
	.stop = stop,
};

void soft_device_init(struct soft_device *device, const struct soft_transport *transport,
		      void *context, unsigned int train_max, uint64_t (*random)(void *context))
{
	base_device_init(&device->base, &soft_ops, &backend, random, context);
	device->transport = transport;
	device->context = context;
	device->train_max = train_max;
	TAILQ_INIT(&device->active);
	TAILQ_INIT(&device->timed);
}

const struct soft_counters *soft_counters(const struct fabric_device *device)
{
	return &((const struct soft_device *)device)->counters;
}
