/* SPDX-License-Identifier: MIT */
/*
 * What this host knows of its own networks: interfaces, their addresses and prefixes
 *
 * The answers come from a list that is at most NETWORK_KEEP_MS old, so that a thousand connections a
 * second do not ask the kernel a thousand times.
 */
#ifndef SMCU_DAEMON_NETWORK_H
#define SMCU_DAEMON_NETWORK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/side.h"
#include "wire/clc.h"

#define NETWORK_KEEP_MS 1000
#define NETWORK_KEEP_LACKING_MS 20

struct ifaddrs;

/**
 * struct network - the list
 * @list: NULL before the first question
 * @asked: when, in loop_now() milliseconds
 */
struct network {
	struct ifaddrs *list;
	int64_t asked;
};

/* network_refresh - the list is needed at time @now (milliseconds) */
void network_refresh(struct network *network, int64_t now);

/* network_refresh_for - and is to have this address of ours, which may be new: else it is soon too old */
void network_refresh_for(struct network *network, int64_t now, const uint8_t bytes[16]);

void network_close(struct network *network);

/**
 * network_interface - the interface that has an address
 * @bytes: IPv6, or IPv4-mapped
 * @name: filled
 *
 * Return: false: none has it.
 */
bool network_interface(const struct network *network, const uint8_t bytes[16],
		       char name[IF_NAMESIZE]);

/**
 * network_prefixes - the networks of the interface that has an address, as a Proposal lists them
 * @bytes: as above; only networks of its family are taken, IPv4 ones with 4 bytes, that of the address
 * itself first; link-local IPv6 ones are left out
 *
 * Return: how many of @prefixes are filled.
 */
uint8_t network_prefixes(const struct network *network, const uint8_t bytes[16],
			 struct clc_prefix prefixes[CLC_PREFIXES_MAX]);

/* network_is_direct - is that address in a network of interface @name, so that no gateway is between? */
bool network_is_direct(const struct network *network, const char *name, const uint8_t bytes[16]);

/* network_has_route - does the kernel know a way to that address? */
bool network_has_route(const uint8_t bytes[16]);

/* network_vlan - of the VLAN interface @name; 0 if it is none */
int network_vlan(const char *name);

#endif
