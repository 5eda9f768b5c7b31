/* SPDX-License-Identifier: MIT */
/*
 * Addresses in IPv6 form
 */
#ifndef SMCU_DAEMON_ADDRESS_H
#define SMCU_DAEMON_ADDRESS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "ring/side.h"

static const uint8_t address_mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* address_is_mapped - is it an IPv4 address? */
static inline bool address_is_mapped(const struct side_address *address)
{
	return memcmp(address->bytes, address_mapped_prefix, sizeof(address_mapped_prefix)) == 0;
}

static inline bool address_equal(const struct side_address *a, const struct side_address *b)
{
	return a->port == b->port && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/**
 * union address_any - what the kernel fills in
 */
union address_any {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* address_from - convert; false if it is neither IPv4 nor IPv6 */
static inline bool address_from(const union address_any *from, struct side_address *to)
{
	memset(to, 0, sizeof(*to));
	if (from->any.sa_family == AF_INET) {
		memcpy(to->bytes, address_mapped_prefix, sizeof(address_mapped_prefix));
		memcpy(to->bytes + 12, &from->v4.sin_addr, 4);
		to->port = ntohs(from->v4.sin_port);
	} else if (from->any.sa_family == AF_INET6) {
		memcpy(to->bytes, &from->v6.sin6_addr, 16);
		to->port = ntohs(from->v6.sin6_port);
	} else {
		return false;
	}
	return true;
}

#endif
