/* SPDX-License-Identifier: MIT */
/*
 * The sockets of the soft adapter
 *
 * Used by udp.c alone, whose theory of operation is in udp.h.
 */
#ifndef SMCU_FABRIC_SOFT_UDP_SOCKET_H
#define SMCU_FABRIC_SOFT_UDP_SOCKET_H

#include "fabric/soft/device.h"

#define UDP_SENDERS 4U
#define UDP_SLOTS 16U
#define UDP_SLOT_SIZE 65536U

/**
 * struct udp_sockets - those of one address
 * @receiver: on ROCE_PORT; -1: there is no such address
 * @senders: @sender_count of them, on @ports; if there are none, the receiver sends
 */
struct udp_sockets {
	struct fabric_gid gid;
	int receiver;
	unsigned int sender_count;
	int senders[UDP_SENDERS];
	uint16_t ports[UDP_SENDERS];
};

/* struct udp_slots - where a batch is received: a received train has up to UDP_SLOT_SIZE bytes */
struct udp_slots {
	uint8_t bytes[UDP_SLOTS][UDP_SLOT_SIZE];
};

/**
 * udp_sockets_open - for an address
 * @seed: for the ports to send from; the same gives the same, if nobody else has taken them
 *
 * Return: 0 or -errno.
 */
int udp_sockets_open(struct udp_sockets *sockets, const struct fabric_gid *gid, uint64_t seed);

void udp_sockets_close(struct udp_sockets *sockets);

/**
 * udp_sockets_receive - one batch
 * @deliver: called for each packet of it, cut apart
 *
 * Return: whether there may be more.
 */
bool udp_sockets_receive(const struct udp_sockets *sockets, struct udp_slots *slots,
			 void (*deliver)(void *context, const struct soft_datagram *datagram),
			 void *context);

/* udp_sockets_sender - the one with this port, or -1 */
int udp_sockets_sender(const struct udp_sockets *sockets, uint16_t port);

/**
 * udp_send - send trains from one socket
 * @trains: @count of them, at most UDP_SENT_MAX
 *
 * Return: how many were sent, at least 1, or -errno about the first one.
 */
int udp_send(int sender, struct soft_train *const *trains, unsigned int count);

#define UDP_SENT_MAX 8U

#endif
