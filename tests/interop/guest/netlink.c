/* SPDX-License-Identifier: MIT */
#include "netlink.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 32768 /* what the kernel packs into one datagram */
#define ATTRIBUTE_HEADER sizeof(struct nlattr)

int netlink_open(int protocol)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), error;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* Append bytes and their padding; a request that does not fit is a mistake in the tool. */
static void *request_grow(struct netlink_request *request, size_t length)
{
	void *place = request->bytes + request->head.nlmsg_len;
	size_t padded = NLMSG_ALIGN(length);

	if (request->head.nlmsg_len + padded > sizeof(request->bytes))
		abort();
	memset(place, 0, padded);
	request->head.nlmsg_len += (uint32_t)padded;
	return place;
}

void netlink_start(struct netlink_request *request, uint16_t type, uint16_t flags,
		   const void *payload, size_t length)
{
	request->head = (struct nlmsghdr){.nlmsg_len = NLMSG_HDRLEN,
					  .nlmsg_type = type,
					  .nlmsg_flags = NLM_F_REQUEST | flags};
	if (length)
		memcpy(request_grow(request, length), payload, length);
}

void netlink_put(struct netlink_request *request, uint16_t type, const void *value, size_t length)
{
	struct nlattr attribute = {.nla_len = (uint16_t)(ATTRIBUTE_HEADER + length),
				   .nla_type = type};
	char *place = request_grow(request, ATTRIBUTE_HEADER + length);

	memcpy(place, &attribute, sizeof(attribute));
	memcpy(place + ATTRIBUTE_HEADER, value, length);
}

void netlink_put_text(struct netlink_request *request, uint16_t type, const char *text)
{
	netlink_put(request, type, text, strlen(text) + 1);
}

/* 1 if the exchange is over, with its verdict in @error. */
static int answer_take(const struct nlmsghdr *head, netlink_take *take, void *context, int *error)
{
	const struct nlmsgerr *verdict;

	if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR) {
		verdict = NLMSG_DATA(head);
		*error = verdict->error;
		return 1;
	}
	if (take)
		take(NLMSG_DATA(head), head->nlmsg_len - NLMSG_HDRLEN, context);
	return 0;
}

int netlink_talk(int fd, struct netlink_request *request, netlink_take *take, void *context)
{
	static union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} answers;
	const struct nlmsghdr *head;
	ssize_t received;
	unsigned int rest;
	int error;

	if (!(request->head.nlmsg_flags & NLM_F_DUMP))
		request->head.nlmsg_flags |= NLM_F_ACK;
	if (send(fd, request, request->head.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		received = recv(fd, &answers, sizeof(answers), 0);
		if (received < 0)
			return -errno;
		rest = (unsigned int)received;
		for (head = &answers.head; NLMSG_OK(head, rest); head = NLMSG_NEXT(head, rest))
			if (answer_take(head, take, context, &error))
				return error;
	}
}

void generic_start(struct netlink_request *request, uint16_t family, uint16_t flags,
		   uint8_t command, uint8_t version)
{
	struct genlmsghdr generic = {.cmd = command, .version = version};

	netlink_start(request, family, flags, &generic, sizeof(generic));
}

static void family_take(const void *payload, size_t length, void *context)
{
	const void *attributes = (const char *)payload + GENL_HDRLEN;
	const struct nlattr *attribute;

	length -= GENL_HDRLEN;
	while ((attribute = attribute_next(&attributes, &length)))
		if (attribute->nla_type == CTRL_ATTR_FAMILY_ID)
			memcpy(context, attribute_value(attribute), sizeof(uint16_t));
}

int generic_family(int fd, const char *name)
{
	struct netlink_request request;
	uint16_t family = 0;
	int error;

	generic_start(&request, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, 1);
	netlink_put_text(&request, CTRL_ATTR_FAMILY_NAME, name);
	error = netlink_talk(fd, &request, family_take, &family);
	return error ? error : family;
}

const struct nlattr *attribute_next(const void **attributes, size_t *length)
{
	const struct nlattr *attribute = *attributes;
	size_t step;

	if (*length < ATTRIBUTE_HEADER || attribute->nla_len < ATTRIBUTE_HEADER ||
	    attribute->nla_len > *length)
		return NULL;
	step = NLA_ALIGN(attribute->nla_len);
	if (step > *length)
		step = *length;
	*attributes = (const char *)*attributes + step;
	*length -= step;
	return attribute;
}

const void *attribute_value(const struct nlattr *attribute)
{
	return (const char *)attribute + ATTRIBUTE_HEADER;
}

size_t attribute_length(const struct nlattr *attribute)
{
	return attribute->nla_len - ATTRIBUTE_HEADER;
}
