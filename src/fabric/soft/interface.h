/* SPDX-License-Identifier: MIT */
/*
 * What the system knows of a network interface, and when that may have changed
 */
#ifndef SMCU_FABRIC_SOFT_INTERFACE_H
#define SMCU_FABRIC_SOFT_INTERFACE_H

#include "fabric/fabric.h"

/**
 * struct interface_state - an interface just now
 * @index: as the system counts them
 * @running: up, with a carrier
 * @mtu: of the link, bytes
 * @count: addresses; link-local ones, and those beyond FABRIC_GIDS_MAX, are left out
 */
struct interface_state {
	int index;
	bool running;
	uint32_t mtu;
	uint8_t mac[FABRIC_MAC_SIZE];
	unsigned int count;
	struct fabric_gid gids[FABRIC_GIDS_MAX];
};

/**
 * interface_read - ask
 * @address: NULL, or the only address that counts, whether or not it is assigned to @name
 *
 * Return: 0; -ENODEV: no such interface; -EINVAL: @address is none; another -errno.
 */
int interface_read(const char *name, const char *address, struct interface_state *state);

/* interface_watch_open - a descriptor that is readable when something has changed, or -errno */
int interface_watch_open(void);

/**
 * interface_watch_changed - has something of this interface changed?
 * @index: of interface_read()
 *
 * The descriptor is not readable any more then, either way.
 */
bool interface_watch_changed(int watch, int index);

/**
 * interface_mtu_code - the largest path MTU that goes through a link, as Soft-RoCE counts: payload
 * and 80 bytes of headers
 *
 * Return: a code, or 0 if there is none.
 */
uint8_t interface_mtu_code(uint32_t mtu);

#endif
