/* SPDX-License-Identifier: MIT */
/*
 * network - sets up the guest's network, as far as the lab needs it
 *
 *   network up INTERFACE
 *   network down INTERFACE
 *   network address INTERFACE ADDRESS/LENGTH     IPv4 or IPv6; also sets it up
 *   network rxe add DEVICE INTERFACE             a Soft-RoCE device on an interface
 *   network rxe remove DEVICE
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"

#define DEVICE_COMMAND(command) ((uint16_t)RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, (command)))

/**
 * struct device_search - for the index of the RDMA device of a name
 * @name: the name
 * @index: is set when it is found
 * @found: is it?
 */
struct device_search {
	const char *name;
	uint32_t index;
	int found;
};

static int interface_ask(unsigned long question, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	error = ioctl(fd, question, request) < 0 ? -errno : 0;
	close(fd);
	return error;
}

static struct ifreq interface_request(const char *name)
{
	struct ifreq request = {.ifr_flags = 0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return request;
}

static int interface_flags(const char *name, short set, short clear)
{
	struct ifreq request = interface_request(name);
	int error = interface_ask(SIOCGIFFLAGS, &request);

	if (error)
		return error;
	request.ifr_flags = (short)((request.ifr_flags | set) & ~clear);
	return interface_ask(SIOCSIFFLAGS, &request);
}

static int interface_address4(const char *name, const struct in_addr *address, int length)
{
	struct sockaddr_in socket_address = {.sin_family = AF_INET, .sin_addr = *address};
	struct ifreq request = interface_request(name);
	int error;

	memcpy(&request.ifr_addr, &socket_address, sizeof(socket_address));
	error = interface_ask(SIOCSIFADDR, &request);
	if (error)
		return error;
	socket_address.sin_addr.s_addr = htonl(~0U << (32 - length));
	memcpy(&request.ifr_netmask, &socket_address, sizeof(socket_address));
	return interface_ask(SIOCSIFNETMASK, &request);
}

static int interface_address6(const char *name, const struct in6_addr *address, int length)
{
	/* As struct in6_ifreq of <linux/ipv6.h>, which does not go together with <netinet/in.h>. */
	struct {
		struct in6_addr address;
		uint32_t length;
		int index;
	} request = {*address, (uint32_t)length, (int)if_nametoindex(name)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	error = ioctl(fd, SIOCSIFADDR, &request) < 0 ? -errno : 0;
	close(fd);
	return error;
}

static int interface_address(const char *name, char *text)
{
	char *slash = strchr(text, '/');
	struct in6_addr six;
	struct in_addr four;
	int length, error = -EINVAL;

	if (!slash)
		return error;
	*slash = 0;
	length = atoi(slash + 1);
	if (length >= 1 && length <= 32 && inet_pton(AF_INET, text, &four) == 1)
		error = interface_address4(name, &four, length);
	else if (length >= 1 && length <= 128 && inet_pton(AF_INET6, text, &six) == 1)
		error = interface_address6(name, &six, length);
	return error ? error : interface_flags(name, IFF_UP, 0);
}

static int device_talk(struct netlink_request *request, netlink_take *take, void *context)
{
	int fd = netlink_open(NETLINK_RDMA), error;

	if (fd < 0)
		return fd;
	error = netlink_talk(fd, request, take, context);
	close(fd);
	return error;
}

static int rxe_add(const char *device, const char *interface)
{
	struct netlink_request request;

	netlink_start(&request, DEVICE_COMMAND(RDMA_NLDEV_CMD_NEWLINK), 0, NULL, 0);
	netlink_put_text(&request, RDMA_NLDEV_ATTR_DEV_NAME, device);
	netlink_put_text(&request, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
	netlink_put_text(&request, RDMA_NLDEV_ATTR_NDEV_NAME, interface);
	return device_talk(&request, NULL, NULL);
}

static void device_compare(const void *payload, size_t length, void *context)
{
	struct device_search *search = context;
	const struct nlattr *attribute;
	uint32_t index = 0;
	int same = 0;

	while ((attribute = attribute_next(&payload, &length))) {
		if (attribute->nla_type == RDMA_NLDEV_ATTR_DEV_INDEX)
			memcpy(&index, attribute_value(attribute), sizeof(index));
		if (attribute->nla_type == RDMA_NLDEV_ATTR_DEV_NAME)
			same = strcmp(attribute_value(attribute), search->name) == 0;
	}
	if (same) {
		search->index = index;
		search->found = 1;
	}
}

static int rxe_remove(const char *device)
{
	struct device_search search = {.name = device};
	struct netlink_request request;
	int error;

	netlink_start(&request, DEVICE_COMMAND(RDMA_NLDEV_CMD_GET), NLM_F_DUMP, NULL, 0);
	error = device_talk(&request, device_compare, &search);
	if (error)
		return error;
	if (!search.found)
		return -ENODEV;
	netlink_start(&request, DEVICE_COMMAND(RDMA_NLDEV_CMD_DELLINK), 0, NULL, 0);
	netlink_put(&request, RDMA_NLDEV_ATTR_DEV_INDEX, &search.index, sizeof(search.index));
	return device_talk(&request, NULL, NULL);
}

static int carry_out(int count, char **words)
{
	if (count == 2 && strcmp(words[0], "up") == 0)
		return interface_flags(words[1], IFF_UP, 0);
	if (count == 2 && strcmp(words[0], "down") == 0)
		return interface_flags(words[1], 0, IFF_UP);
	if (count == 3 && strcmp(words[0], "address") == 0)
		return interface_address(words[1], words[2]);
	if (count == 4 && strcmp(words[0], "rxe") == 0 && strcmp(words[1], "add") == 0)
		return rxe_add(words[2], words[3]);
	if (count == 3 && strcmp(words[0], "rxe") == 0 && strcmp(words[1], "remove") == 0)
		return rxe_remove(words[2]);
	fprintf(stderr, "network: unknown command; they are at the top of its source\n");
	return -EINVAL;
}

int main(int argc, char **argv)
{
	int error = carry_out(argc - 1, argv + 1);

	if (error)
		fprintf(stderr, "network: %s\n", strerror(-error));
	return error != 0;
}
