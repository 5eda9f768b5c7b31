/* SPDX-License-Identifier: MIT */
#include "fabric/soft/interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADERS 80U

uint8_t interface_mtu_code(uint32_t mtu)
{
	uint8_t code = 5;

	while (code && fabric_mtu_bytes(code) + HEADERS > mtu)
		code--;
	return code;
}

static struct fabric_gid gid_of_ipv4(const struct in_addr *address)
{
	struct fabric_gid gid = {.bytes = {[10] = 0xff, [11] = 0xff}};

	memcpy(gid.bytes + 12, address, sizeof(*address));
	return gid;
}

static void add_address(struct interface_state *state, const struct sockaddr *address)
{
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;

	if (state->count == FABRIC_GIDS_MAX)
		return;
	if (address->sa_family == AF_INET)
		state->gids[state->count++] = gid_of_ipv4(&ipv4->sin_addr);
	else if (address->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr))
		memcpy(state->gids[state->count++].bytes, &ipv6->sin6_addr, FABRIC_GID_SIZE);
}

static int read_addresses(const char *name, struct interface_state *state)
{
	struct ifaddrs *addresses;

	if (getifaddrs(&addresses))
		return -errno;
	for (struct ifaddrs *one = addresses; one; one = one->ifa_next)
		if (one->ifa_addr && strcmp(one->ifa_name, name) == 0)
			add_address(state, one->ifa_addr);
	freeifaddrs(addresses);
	return 0;
}

static int read_one_address(const char *text, struct interface_state *state)
{
	struct in_addr ipv4;

	state->count = 1;
	if (inet_pton(AF_INET, text, &ipv4) == 1)
		state->gids[0] = gid_of_ipv4(&ipv4);
	else if (inet_pton(AF_INET6, text, state->gids[0].bytes) != 1)
		return -EINVAL;
	return 0;
}

static int read_link(int socket, const char *name, struct interface_state *state)
{
	struct ifreq request = {0};

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(socket, SIOCGIFFLAGS, &request))
		return -errno;
	state->index = (int)if_nametoindex(name);
	state->running = (request.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
	if (ioctl(socket, SIOCGIFMTU, &request))
		return -errno;
	state->mtu = (uint32_t)request.ifr_mtu;
	if (ioctl(socket, SIOCGIFHWADDR, &request))
		return -errno;
	memcpy(state->mac, request.ifr_hwaddr.sa_data, FABRIC_MAC_SIZE);
	return 0;
}

int interface_read(const char *name, const char *address, struct interface_state *state)
{
	int socket_fd, error;

	memset(state, 0, sizeof(*state));
	if (strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0)
		return -errno;
	error = read_link(socket_fd, name, state);
	close(socket_fd);
	if (error)
		return error;
	return address ? read_one_address(address, state) : read_addresses(name, state);
}

int interface_watch_open(void)
{
	struct sockaddr_nl address = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int error;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* Is one of these messages about the interface? */
static bool concerns(const struct nlmsghdr *message, size_t size, int index)
{
	for (; NLMSG_OK(message, size); message = NLMSG_NEXT(message, size)) {
		const struct ifinfomsg *link = NLMSG_DATA(message);
		const struct ifaddrmsg *address = NLMSG_DATA(message);

		switch (message->nlmsg_type) {
		case RTM_NEWLINK:
		case RTM_DELLINK:
			if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(*link)) &&
			    link->ifi_index == index)
				return true;
			break;
		case RTM_NEWADDR:
		case RTM_DELADDR:
			if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(*address)) &&
			    (int)address->ifa_index == index)
				return true;
			break;
		}
	}
	return false;
}

bool interface_watch_changed(int watch, int index)
{
	char bytes[16384] __attribute__((aligned(8)));
	bool changed = false;
	ssize_t size;

	while ((size = recv(watch, bytes, sizeof(bytes), 0)) >= 0 || errno == ENOBUFS)
		if (size < 0 || /* some were lost: who knows */
		    concerns((const struct nlmsghdr *)bytes, (size_t)size, index))
			changed = true;
	return changed;
}
