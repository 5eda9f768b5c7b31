/* SPDX-License-Identifier: MIT */
#include "fabric/soft/udp_socket.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE (8 << 20)
#define PORTS_FIRST 0xc000U
#define PORTS 0x4000U
#define BIND_TRIES 64U

#ifndef UDP_NO_CHECK6_RX
#define UDP_NO_CHECK6_RX 102
#endif

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

static socklen_t address_set(union address *address, const uint8_t gid[ROCE_GID_SIZE],
			     uint16_t port)
{
	memset(address, 0, sizeof(*address));
	if (roce_gid_is_ipv4(gid)) {
		address->ipv4.sin_family = AF_INET;
		address->ipv4.sin_port = htons(port);
		memcpy(&address->ipv4.sin_addr, gid + 12, 4);
		return sizeof(address->ipv4);
	}
	address->ipv6.sin6_family = AF_INET6;
	address->ipv6.sin6_port = htons(port);
	memcpy(&address->ipv6.sin6_addr, gid, ROCE_GID_SIZE);
	return sizeof(address->ipv6);
}

static void address_get(const union address *address, uint8_t gid[ROCE_GID_SIZE], uint16_t *port)
{
	memset(gid, 0, ROCE_GID_SIZE);
	if (address->any.sa_family == AF_INET) {
		gid[10] = gid[11] = 0xff;
		memcpy(gid + 12, &address->ipv4.sin_addr, 4);
		*port = ntohs(address->ipv4.sin_port);
	} else {
		memcpy(gid, &address->ipv6.sin6_addr, ROCE_GID_SIZE);
		*port = ntohs(address->ipv6.sin6_port);
	}
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

/* As large as allowed: there is nothing that slows a sender down before packets are lost. */
static void set_buffers(int fd)
{
	if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_SIZE))
		set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_SIZE);
	if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_SIZE))
		set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_SIZE);
}

static int socket_open(const struct fabric_gid *gid)
{
	bool ipv4 = roce_gid_is_ipv4(gid->bytes);
	int fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	set_buffers(fd);
	if (ipv4) {
		error = set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	} else {
		error = set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		set(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1); /* adapters send no checksum */
	}
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

static int bind_to(int fd, const struct fabric_gid *gid, uint16_t port)
{
	union address address;
	socklen_t size = address_set(&address, gid->bytes, port);

	return bind(fd, &address.any, size) ? -errno : 0;
}

/* Nobody has a reason to send there. */
static int refuse_all(int fd)
{
	struct sock_filter drop = {.code = BPF_RET | BPF_K, .k = 0};
	struct sock_fprog filter = {.len = 1, .filter = &drop};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ? -errno : 0;
}

static void sender_open(struct udp_sockets *sockets, uint64_t seed)
{
	int fd = socket_open(&sockets->gid);

	if (fd >= 0 && refuse_all(fd)) {
		close(fd);
		return;
	}
	for (unsigned int try = 0; fd >= 0 && try < BIND_TRIES; try++, seed++) {
		uint16_t port = (uint16_t)(PORTS_FIRST + seed % PORTS);

		if (bind_to(fd, &sockets->gid, port))
			continue;
		sockets->senders[sockets->sender_count] = fd;
		sockets->ports[sockets->sender_count++] = port;
		return;
	}
	if (fd >= 0)
		close(fd);
}

int udp_sockets_open(struct udp_sockets *sockets, const struct fabric_gid *gid, uint64_t seed)
{
	int fd = socket_open(gid), error;

	*sockets = (struct udp_sockets){.gid = *gid, .receiver = -1};
	if (fd < 0)
		return fd;
	error = bind_to(fd, gid, ROCE_PORT);
	if (error) {
		close(fd);
		return error;
	}
	set(fd, IPPROTO_UDP, UDP_GRO, 1); /* an older kernel hands in packet by packet */
	sockets->receiver = fd;
	for (unsigned int i = 0; i < UDP_SENDERS; i++)
		sender_open(sockets, seed >> 14 * i);
	if (!sockets->sender_count)
		sockets->ports[0] = ROCE_PORT;
	return 0;
}

void udp_sockets_close(struct udp_sockets *sockets)
{
	for (unsigned int i = 0; i < sockets->sender_count; i++)
		close(sockets->senders[i]);
	close(sockets->receiver);
	sockets->sender_count = 0;
	sockets->receiver = -1;
}

int udp_sockets_sender(const struct udp_sockets *sockets, uint16_t port)
{
	for (unsigned int i = 0; i < sockets->sender_count; i++)
		if (sockets->ports[i] == port)
			return sockets->senders[i];
	return port == ROCE_PORT ? sockets->receiver : -1;
}

/* How long each packet of what was received is. */
static size_t segment_of(struct msghdr *header, size_t size)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control;
	     control = CMSG_NXTHDR(header, control)) {
		int segment;

		if (control->cmsg_level != IPPROTO_UDP || control->cmsg_type != UDP_GRO)
			continue;
		memcpy(&segment, CMSG_DATA(control), sizeof(segment));
		return segment > 0 ? (size_t)segment : size;
	}
	return size;
}

bool udp_sockets_receive(const struct udp_sockets *sockets, struct udp_slots *slots,
			 void (*deliver)(void *context, const struct soft_datagram *datagram),
			 void *context)
{
	struct mmsghdr messages[UDP_SLOTS] = {0};
	struct iovec vectors[UDP_SLOTS];
	union address addresses[UDP_SLOTS];
	char controls[UDP_SLOTS][CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	int count;

	for (unsigned int i = 0; i < UDP_SLOTS; i++) {
		vectors[i] = (struct iovec){slots->bytes[i], UDP_SLOT_SIZE};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &addresses[i],
						      .msg_namelen = sizeof(addresses[i]),
						      .msg_iov = &vectors[i],
						      .msg_iovlen = 1,
						      .msg_control = controls[i],
						      .msg_controllen = sizeof(controls[i])};
	}
	count = recvmmsg(sockets->receiver, messages, UDP_SLOTS, 0, NULL);
	for (int i = 0; i < count; i++) {
		size_t left = messages[i].msg_len, size = segment_of(&messages[i].msg_hdr, left);
		struct soft_datagram datagram = {.bytes = slots->bytes[i]};

		address_get(&addresses[i], datagram.path.source, &datagram.path.source_port);
		memcpy(datagram.path.destination, sockets->gid.bytes, ROCE_GID_SIZE);
		for (; left; left -= datagram.size, datagram.bytes += datagram.size) {
			datagram.size = size < left ? size : left;
			deliver(context, &datagram);
		}
	}
	return count == UDP_SLOTS;
}

int udp_send(int sender, struct soft_train *const *trains, unsigned int count)
{
	struct mmsghdr messages[UDP_SENT_MAX] = {0};
	struct iovec vectors[UDP_SENT_MAX];
	union address addresses[UDP_SENT_MAX];
	char controls[UDP_SENT_MAX][CMSG_SPACE(sizeof(uint16_t))] __attribute__((aligned(8)));
	int sent;

	for (unsigned int i = 0; i < count; i++) {
		struct msghdr *header = &messages[i].msg_hdr;
		uint16_t segment = (uint16_t)trains[i]->segment;
		struct cmsghdr *control;

		vectors[i] = (struct iovec){trains[i]->bytes, trains[i]->size};
		header->msg_name = &addresses[i];
		header->msg_namelen =
			address_set(&addresses[i], trains[i]->path.destination, ROCE_PORT);
		header->msg_iov = &vectors[i];
		header->msg_iovlen = 1;
		if (trains[i]->count < 2)
			continue;
		header->msg_control = controls[i];
		header->msg_controllen = sizeof(controls[i]);
		control = CMSG_FIRSTHDR(header);
		control->cmsg_level = IPPROTO_UDP;
		control->cmsg_type = UDP_SEGMENT;
		control->cmsg_len = CMSG_LEN(sizeof(segment));
		memcpy(CMSG_DATA(control), &segment, sizeof(segment));
	}
	sent = sendmmsg(sender, messages, count, 0);
	return sent < 0 ? -errno : sent;
}
