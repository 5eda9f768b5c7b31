/* SPDX-License-Identifier: MIT */
#include "fabric/soft/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "fabric/soft/interface.h"
#include "fabric/soft/udp_socket.h"

#define TRAINS UDP_SENT_MAX
#define BATCHES 8 /* received before what they are answered with is sent */
#define READY_MAX 16

/* What a descriptor in the epoll set is: the receiver of the address with this index, or one of: */
#define IS_WATCH FABRIC_GIDS_MAX
#define IS_SENDER (FABRIC_GIDS_MAX + 1U)

/**
 * struct udp - a soft device on sockets
 * @soft: the device; first, so that it is the same address
 * @interface, @address: as configured; @index: of the interface
 * @watch: netlink
 * @sockets: an entry for each address there ever was, as many as soft.gids
 * @trains: a ring: @train_count filled ones from @train_first on, in order
 * @port_seed: an address that comes back has the ports that its queue pairs send from
 * @waits_for: the socket that has no room, or -1
 * @gone: the interface is
 */
struct udp {
	struct soft_device soft;
	char *interface;
	char *address;
	int index;
	int epoll;
	int watch;
	struct udp_sockets sockets[FABRIC_GIDS_MAX];
	struct soft_train trains[TRAINS];
	unsigned int train_first;
	unsigned int train_count;
	uint64_t port_seed;
	int waits_for;
	bool gone;
	bool faulty;
	struct faults faults;
	struct udp_slots slots;
};

static uint64_t random_bits(void *context)
{
	uint64_t bits;

	(void)context;
	if (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
		abort(); /* keys that can be guessed are worse than none */
	return bits;
}

static void watch_for(struct udp *udp, int operation, int fd, uint32_t events, uint32_t what)
{
	struct epoll_event event = {.events = events, .data.u32 = what};

	epoll_ctl(udp->epoll, operation, fd, &event);
}

static struct soft_train *train_at(struct udp *udp, unsigned int index)
{
	return &udp->trains[(udp->train_first + index) % TRAINS];
}

static int sender_of(struct udp *udp, const struct soft_train *train)
{
	return udp_sockets_sender(&udp->sockets[train->gid_index], train->path.source_port);
}

static uint32_t what_is(const struct udp *udp, int fd)
{
	for (uint32_t i = 0; i < FABRIC_GIDS_MAX; i++)
		if (udp->soft.gid_set & 1U << i && udp->sockets[i].receiver == fd)
			return i;
	return IS_SENDER;
}

/* The trains at the start of the ring that leave by the same socket. */
static int send_some(struct udp *udp, int sender)
{
	struct soft_train *trains[TRAINS];
	unsigned int count = 0;

	do
		trains[count] = train_at(udp, count);
	while (++count < udp->train_count && train_at(udp, count)->count &&
	       sender_of(udp, train_at(udp, count)) == sender);
	return udp_send(sender, trains, count);
}

static void send_failed(struct udp *udp, int error)
{
	bool segmented = udp->trains[udp->train_first].count > 1;

	if (segmented && (error == -EINVAL || error == -EIO || error == -EMSGSIZE))
		udp->soft.train_max = 1;
}

/* @sender: which has no room, or -1 */
static void wait_for(struct udp *udp, int sender)
{
	if (udp->waits_for == sender)
		return;
	if (udp->waits_for >= 0)
		watch_for(udp, EPOLL_CTL_MOD, udp->waits_for, EPOLLIN,
			  what_is(udp, udp->waits_for));
	if (sender >= 0)
		watch_for(udp, EPOLL_CTL_MOD, sender, EPOLLIN | EPOLLOUT, what_is(udp, sender));
	udp->waits_for = sender;
}

static void udp_send_all(void *context, uint64_t now)
{
	struct udp *udp = context;

	(void)now;
	while (udp->train_count) {
		int sender = sender_of(udp, train_at(udp, 0));
		bool empty = !train_at(udp, 0)->count;
		int sent = sender < 0 || empty ? -ENODEV : send_some(udp, sender);

		if (sent == -EAGAIN) {
			wait_for(udp, sender);
			return;
		}
		if (sent < 0) {
			send_failed(udp, sent);
			sent = 1; /* lost */
		}
		udp->train_first = (udp->train_first + (unsigned int)sent) % TRAINS;
		udp->train_count -= (unsigned int)sent;
	}
	wait_for(udp, -1);
}

static struct soft_train *udp_train(void *context)
{
	struct udp *udp = context;

	if (udp->train_count == TRAINS)
		udp_send_all(udp, 0);
	return udp->train_count < TRAINS ? train_at(udp, udp->train_count++) : NULL;
}

static bool udp_blocked(void *context)
{
	return ((struct udp *)context)->waits_for >= 0;
}

static void deliver(void *context, const struct soft_datagram *datagram)
{
	struct udp *udp = context;

	if (udp->faulty)
		faults_receive(&udp->faults, &udp->soft, datagram, udp->soft.now);
	else
		soft_receive(&udp->soft, datagram);
}

static void sockets_remove(struct udp *udp, unsigned int index)
{
	udp->soft.gid_set &= ~(1U << index);
	if (udp->waits_for >= 0)
		udp->waits_for = -1;
	udp_sockets_close(&udp->sockets[index]);
}

/* Where an address was before, or where none is. */
static unsigned int place_for(const struct udp *udp, const struct fabric_gid *gid)
{
	unsigned int unused = FABRIC_GIDS_MAX;

	for (unsigned int i = 0; i < FABRIC_GIDS_MAX; i++) {
		if (!memcmp(&udp->soft.gids[i], gid, sizeof(*gid)))
			return i;
		if (!(udp->soft.gid_set & 1U << i) && unused == FABRIC_GIDS_MAX)
			unused = i;
	}
	return unused;
}

static int sockets_add(struct udp *udp, const struct fabric_gid *gid)
{
	unsigned int index = place_for(udp, gid);
	struct udp_sockets *sockets = &udp->sockets[index];
	int error;

	if (index == FABRIC_GIDS_MAX || udp->soft.gid_set & 1U << index)
		return 0;
	error = udp_sockets_open(sockets, gid, udp->port_seed + index);
	if (error == -EADDRNOTAVAIL)
		return 0; /* not yet: another event says when */
	if (error)
		return error;
	watch_for(udp, EPOLL_CTL_ADD, sockets->receiver, EPOLLIN, index);
	for (unsigned int i = 0; i < sockets->sender_count; i++)
		watch_for(udp, EPOLL_CTL_ADD, sockets->senders[i], EPOLLIN, IS_SENDER);
	udp->soft.gids[index] = *gid;
	udp->soft.gid_set |= 1U << index;
	return 0;
}

static bool has_gid(const struct interface_state *state, const struct fabric_gid *gid)
{
	for (unsigned int i = 0; i < state->count; i++)
		if (!memcmp(&state->gids[i], gid, sizeof(*gid)))
			return true;
	return false;
}

/* Return: the first error, when all was tried. */
static int follow_addresses(struct udp *udp, const struct interface_state *state)
{
	unsigned int before = udp->soft.gid_set;
	int first_error = 0;

	for (unsigned int i = 0; i < FABRIC_GIDS_MAX; i++)
		if (udp->soft.gid_set & 1U << i && !has_gid(state, &udp->soft.gids[i]))
			sockets_remove(udp, i);
	for (unsigned int i = 0; i < state->count; i++) {
		int error = sockets_add(udp, &state->gids[i]);

		first_error = first_error ? first_error : error;
	}
	if (udp->soft.gid_set != before)
		base_event_raise(&udp->soft.base, FABRIC_GIDS_CHANGED);
	return first_error;
}

static int follow_interface(struct udp *udp)
{
	struct fabric_port *port = &udp->soft.port, before = *port;
	struct interface_state state;
	int error = interface_read(udp->interface, udp->address, &state), follow_error;

	if (error == -ENODEV) {
		state = (struct interface_state){0};
		udp->gone = true;
		base_event_raise(&udp->soft.base, FABRIC_DEVICE_GONE);
	} else if (error) {
		return error;
	}
	udp->index = state.index;
	port->active = state.running;
	port->mtu = interface_mtu_code(state.mtu);
	memcpy(port->mac, state.mac, sizeof(port->mac));
	if (port->active != before.active || port->mtu != before.mtu ||
	    memcmp(port->mac, before.mac, sizeof(port->mac)))
		base_event_raise(&udp->soft.base, FABRIC_PORT_CHANGED);
	follow_error = follow_addresses(udp, &state);
	return error ? error : follow_error;
}

static void receive_from(struct udp *udp, unsigned int index)
{
	for (int batch = 0; batch < BATCHES && udp->soft.gid_set & 1U << index; batch++)
		if (!udp_sockets_receive(&udp->sockets[index], &udp->slots, deliver, udp))
			break;
}

static void udp_receive(void *context, uint64_t now)
{
	struct udp *udp = context;
	struct epoll_event ready[READY_MAX];
	int count = epoll_wait(udp->epoll, ready, READY_MAX, 0);

	for (int i = 0; i < count; i++) {
		if (ready[i].data.u32 < FABRIC_GIDS_MAX)
			receive_from(udp, ready[i].data.u32);
		else if (ready[i].data.u32 == IS_WATCH &&
			 interface_watch_changed(udp->watch, udp->index) && !udp->gone)
			follow_interface(udp);
	}
	if (udp->faulty)
		faults_release(&udp->faults, &udp->soft, now);
}

static uint64_t udp_deadline(void *context)
{
	struct udp *udp = context;

	return udp->faulty ? faults_deadline(&udp->faults) : FABRIC_NEVER;
}

static int udp_descriptor(void *context)
{
	return ((struct udp *)context)->epoll;
}

static uint16_t udp_source_port(void *context, unsigned int gid_index, uint32_t flow)
{
	struct udp_sockets *sockets = &((struct udp *)context)->sockets[gid_index];

	return sockets->ports[sockets->sender_count ? flow % sockets->sender_count : 0];
}

static void udp_close(void *context)
{
	struct udp *udp = context;

	for (unsigned int i = 0; i < FABRIC_GIDS_MAX; i++)
		if (udp->soft.gid_set & 1U << i)
			udp_sockets_close(&udp->sockets[i]);
	faults_free(&udp->faults);
	if (udp->watch >= 0)
		close(udp->watch);
	if (udp->epoll >= 0)
		close(udp->epoll);
	free(udp->interface);
	free(udp->address);
	free(udp);
}

static const struct soft_transport transport = {
	.receive = udp_receive,
	.train = udp_train,
	.send = udp_send_all,
	.blocked = udp_blocked,
	.deadline = udp_deadline,
	.descriptor = udp_descriptor,
	.source_port = udp_source_port,
	.close = udp_close,
};

static int udp_start(struct udp *udp, const struct soft_config *config)
{
	udp->interface = strdup(config->interface);
	udp->address = config->address ? strdup(config->address) : NULL;
	if (!udp->interface || (config->address && !udp->address))
		return -ENOMEM;
	udp->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (udp->epoll < 0)
		return -errno;
	udp->watch = interface_watch_open();
	if (udp->watch < 0)
		return udp->watch;
	watch_for(udp, EPOLL_CTL_ADD, udp->watch, EPOLLIN, IS_WATCH);
	return follow_interface(udp);
}

int soft_open(const struct soft_config *config, struct fabric_device **device)
{
	struct udp *udp;
	int error;

	if (config->pnetid && strlen(config->pnetid) >= FABRIC_PNETID_SIZE)
		return -EINVAL;
	udp = calloc(1, sizeof(*udp));
	if (!udp)
		return -ENOMEM;
	udp->epoll = udp->watch = udp->waits_for = -1;
	udp->soft.port.message_max = FABRIC_MESSAGE_MAX;
	if (config->pnetid)
		strcpy(udp->soft.port.pnetid, config->pnetid);
	soft_device_init(&udp->soft, &transport, udp, config->single ? 1 : SOFT_TRAIN_COUNT,
			 random_bits);
	udp->port_seed = random_bits(NULL);
	faults_init(&udp->faults, &config->faults);
	udp->faulty = config->faults.loss || config->faults.duplicates || config->faults.reordered;
	error = udp_start(udp, config);
	if (error) {
		udp_close(udp);
		return error;
	}
	udp->soft.base.changed = 0; /* what there is to begin with is no change */
	*device = &udp->soft.base.fabric;
	return 0;
}
