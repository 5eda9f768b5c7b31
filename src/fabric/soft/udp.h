/* SPDX-License-Identifier: MIT */
/*
 * The soft adapter on UDP sockets: one device for one network interface
 *
 * Theory of operation
 *
 * RoCEv2 wants to know the IP header that a packet will have, since its ICRC covers it.  A socket
 * that is bound to an address, not connected, and told to probe the path MTU sends "don't fragment"
 * and identification 0, and the n-th datagram of a segmented send (UDP_SEGMENT) has identification
 * n.
 *
 * For each address of the interface there is a socket on port 4791, which receives, and a few that
 * send, so that queue pairs spread over the queues of network cards on their way.  Everything goes
 * *to* port 4791.
 *
 * Trains are kept in a pool and sent together; when a socket has no room, what is left stays in the
 * pool, and the pool being empty stops the device until the socket is writable.  Any other error of
 * a send is the loss of those packets.  A system that refuses segmented sends is asked for none
 * again.
 *
 * What changes of the interface is learnt from netlink: addresses come and go (with their sockets),
 * the port goes up and down, the interface disappears.  An address that is back has its old index.
 *
 * All descriptors are in one epoll set, which is fabric_descriptor().
 */
#ifndef SMCU_FABRIC_SOFT_UDP_H
#define SMCU_FABRIC_SOFT_UDP_H

#include "fabric/fabric.h"
#include "fabric/soft/faults.h"

/**
 * struct soft_config - which interface, and how
 * @interface: its name
 * @address: NULL: all its addresses; or the only one to use, which need not be assigned to it
 * @pnetid: the physical network that it is on, for fabric_port_query(); NULL: not known
 * @single: send every packet by itself
 * @faults: for tests; zero: none
 */
struct soft_config {
	const char *interface;
	const char *address;
	const char *pnetid;
	bool single;
	struct fault_rates faults;
};

/**
 * soft_open - a soft adapter on an interface
 *
 * Return: 0; -ENODEV: no such interface; -EINVAL: @address is none, a name too long; -EADDRINUSE:
 * somebody has UDP port 4791, most likely the kernel's Soft-RoCE in this network namespace;
 * another -errno.
 */
int soft_open(const struct soft_config *config, struct fabric_device **device);

#endif
