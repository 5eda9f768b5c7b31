/* SPDX-License-Identifier: MIT */
#include "daemon/network.h"

#include <ifaddrs.h>
#include <linux/if_vlan.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/address.h"

#define ANY_PORT 9 /* nothing is sent there */

static void ask_again_after(struct network *network, int64_t now, int64_t keep_ms)
{
	struct ifaddrs *list;

	if (network->list && now - network->asked < keep_ms)
		return;
	if (getifaddrs(&list) < 0)
		return; /* what we knew may still be right */
	if (network->list)
		freeifaddrs(network->list);
	network->list = list;
	network->asked = now;
}

void network_refresh(struct network *network, int64_t now)
{
	ask_again_after(network, now, NETWORK_KEEP_MS);
}

void network_refresh_for(struct network *network, int64_t now, const uint8_t bytes[16])
{
	char name[IF_NAMESIZE];

	network_refresh(network, now);
	if (!network_interface(network, bytes, name))
		ask_again_after(network, now, NETWORK_KEEP_LACKING_MS);
}

void network_close(struct network *network)
{
	if (network->list)
		freeifaddrs(network->list);
	network->list = NULL;
}

/* An address of the list, as 16 bytes; false if it is of another family. */
static bool bytes_of(const struct sockaddr *from, uint8_t bytes[16])
{
	union address_any any;
	struct side_address address;

	if (!from || (from->sa_family != AF_INET && from->sa_family != AF_INET6))
		return false;
	memcpy(&any, from,
	       from->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					  : sizeof(struct sockaddr_in6));
	if (!address_from(&any, &address))
		return false;
	memcpy(bytes, address.bytes, 16);
	return true;
}

static const struct ifaddrs *find(const struct network *network, const uint8_t bytes[16])
{
	uint8_t each[16];

	for (const struct ifaddrs *entry = network->list; entry; entry = entry->ifa_next)
		if (bytes_of(entry->ifa_addr, each) && memcmp(each, bytes, 16) == 0)
			return entry;
	return NULL;
}

bool network_interface(const struct network *network, const uint8_t bytes[16],
		       char name[IF_NAMESIZE])
{
	const struct ifaddrs *entry = find(network, bytes);

	if (!entry)
		return false;
	strncpy(name, entry->ifa_name, IF_NAMESIZE - 1);
	name[IF_NAMESIZE - 1] = 0;
	return true;
}

/* Bits of a mask; IPv4 ones stand in the last 4 bytes. */
static unsigned int mask_bits(const struct ifaddrs *entry, bool ipv4)
{
	uint8_t mask[16];
	unsigned int bits = 0;

	if (!bytes_of(entry->ifa_netmask, mask))
		return 0;
	for (unsigned int i = ipv4 ? 12 : 0; i < 16 && mask[i]; i++)
		bits += (unsigned int)__builtin_popcount(mask[i]);
	return bits;
}

static void keep_bits(uint8_t *bytes, unsigned int size, unsigned int bits)
{
	for (unsigned int i = 0; i < size; i++) {
		unsigned int left = bits > i * 8 ? bits - i * 8 : 0;

		if (left < 8)
			bytes[i] &= (uint8_t)(0xff00U >> left);
	}
}

/* The network of one address of an interface; false if it is not one to name. */
static bool prefix_of(const struct ifaddrs *entry, bool ipv4, struct clc_prefix *prefix)
{
	uint8_t bytes[16];
	bool mapped;

	if (!bytes_of(entry->ifa_addr, bytes))
		return false;
	mapped = memcmp(bytes, address_mapped_prefix, sizeof(address_mapped_prefix)) == 0;
	if (mapped != ipv4 || (!ipv4 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80))
		return false;
	memset(prefix, 0, sizeof(*prefix));
	memcpy(prefix->address, ipv4 ? bytes + 12 : bytes, ipv4 ? 4 : 16);
	prefix->length = (uint8_t)mask_bits(entry, ipv4);
	keep_bits(prefix->address, ipv4 ? 4 : 16, prefix->length);
	return true;
}

uint8_t network_prefixes(const struct network *network, const uint8_t bytes[16],
			 struct clc_prefix prefixes[CLC_PREFIXES_MAX])
{
	const struct ifaddrs *own = find(network, bytes), *entry;
	const bool ipv4 = memcmp(bytes, address_mapped_prefix, sizeof(address_mapped_prefix)) == 0;
	uint8_t count = 0;

	if (!own)
		return 0;
	if (prefix_of(own, ipv4, &prefixes[0]))
		count++;
	for (entry = network->list; entry && count < CLC_PREFIXES_MAX; entry = entry->ifa_next)
		if (entry != own && strcmp(entry->ifa_name, own->ifa_name) == 0 &&
		    prefix_of(entry, ipv4, &prefixes[count]))
			count++;
	return count;
}

bool network_is_direct(const struct network *network, const char *name, const uint8_t bytes[16])
{
	const bool ipv4 = memcmp(bytes, address_mapped_prefix, sizeof(address_mapped_prefix)) == 0;
	struct clc_prefix prefix;
	uint8_t other[16];

	for (const struct ifaddrs *entry = network->list; entry; entry = entry->ifa_next) {
		if (strcmp(entry->ifa_name, name) != 0 || !prefix_of(entry, ipv4, &prefix))
			continue;
		memcpy(other, ipv4 ? bytes + 12 : bytes, ipv4 ? 4 : 16);
		keep_bits(other, ipv4 ? 4 : 16, prefix.length);
		if (memcmp(other, prefix.address, ipv4 ? 4 : 16) == 0)
			return true;
	}
	return false;
}

bool network_has_route(const uint8_t bytes[16])
{
	const bool ipv4 = memcmp(bytes, address_mapped_prefix, sizeof(address_mapped_prefix)) == 0;
	union address_any to = {0};
	int fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = ipv4 ? sizeof(to.v4) : sizeof(to.v6);
	bool found;

	if (fd < 0)
		return false;
	if (ipv4) {
		to.v4.sin_family = AF_INET;
		to.v4.sin_port = htons(ANY_PORT);
		memcpy(&to.v4.sin_addr, bytes + 12, 4);
	} else {
		to.v6.sin6_family = AF_INET6;
		to.v6.sin6_port = htons(ANY_PORT);
		memcpy(&to.v6.sin6_addr, bytes, 16);
	}
	found = connect(fd, &to.any, size) == 0;
	close(fd);
	return found;
}

int network_vlan(const char *name)
{
	struct vlan_ioctl_args args = {.cmd = GET_VLAN_VID_CMD};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int vlan = 0;

	if (fd < 0)
		return 0;
	strncpy(args.device1, name, sizeof(args.device1) - 1);
	if (ioctl(fd, SIOCGIFVLAN, &args) == 0)
		vlan = args.u.VID;
	close(fd);
	return vlan;
}
