/* SPDX-License-Identifier: MIT */
/*
 * Netlink, as much of it as the lab's tools need: one request, its answers, its verdict
 */
#ifndef INTEROP_NETLINK_H
#define INTEROP_NETLINK_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#define NETLINK_REQUEST_MAX 512

/**
 * struct netlink_request - a message that is being put together
 * @head: its header; nlmsg_len grows with each part
 * @bytes: the whole of it
 */
struct netlink_request {
	union {
		struct nlmsghdr head;
		char bytes[NETLINK_REQUEST_MAX];
	};
};

/* What is done with each answer: @payload is what follows its header, @length bytes. */
typedef void netlink_take(const void *payload, size_t length, void *context);

/* netlink_open - a socket of this protocol; -errno */
int netlink_open(int protocol);

/* netlink_start - a request of @type that begins with @length bytes of @payload */
void netlink_start(struct netlink_request *request, uint16_t type, uint16_t flags,
		   const void *payload, size_t length);

/* netlink_put, netlink_put_text - append an attribute; the text with its final zero */
void netlink_put(struct netlink_request *request, uint16_t type, const void *value, size_t length);
void netlink_put_text(struct netlink_request *request, uint16_t type, const char *text);

/**
 * netlink_talk - send a request and read all that is answered
 * @take: is called for each answer that carries data; may be NULL
 * Returns 0, or the -errno that the kernel gave.
 */
int netlink_talk(int fd, struct netlink_request *request, netlink_take *take, void *context);

/* generic_start - a request of a generic netlink family */
void generic_start(struct netlink_request *request, uint16_t family, uint16_t flags,
		   uint8_t command, uint8_t version);

/* generic_family - the number of the family of this name; -errno, -ENOENT if there is none */
int generic_family(int fd, const char *name);

/**
 * attribute_next - walk through attributes
 * @attributes, @length: where to go on; moved past the one returned
 * Returns NULL at the end, and where the next one would not fit.
 */
const struct nlattr *attribute_next(const void **attributes, size_t *length);

/* attribute_value, attribute_length - what an attribute carries */
const void *attribute_value(const struct nlattr *attribute);
size_t attribute_length(const struct nlattr *attribute);

#endif
