/* SPDX-License-Identifier: MIT */
#include "smc_sockets.h"

#include <arpa/inet.h>
#include <linux/smc_diag.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fields.h"
#include "netlink.h"

#define ASKED ((1 << (SMC_DIAG_CONNINFO - 1)) | (1 << (SMC_DIAG_LGRINFO - 1)))

static const char *state_name(unsigned int state)
{
	static const struct {
		unsigned int state;
		const char *name;
	} names[] = {
		{1, "active"},
		{2, "init"},
		{7, "closed"},
		{10, "listen"},
		{20, "peer close wait 1"},
		{21, "peer close wait 2"},
		{22, "application close wait 1"},
		{23, "application close wait 2"},
		{24, "application fin close wait"},
		{25, "peer fin close wait"},
		{26, "peer abort wait"},
		{27, "process abort"},
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].state == state)
			return names[i].name;
	return "unknown";
}

static const char *mode_name(unsigned int mode)
{
	static const char *const names[] = {"smcr", "tcp", "smcd"};

	return mode < sizeof(names) / sizeof(names[0]) ? names[mode] : "unknown";
}

static void address_print(const char *name, const __be32 words[4], __be16 port)
{
	char text[INET6_ADDRSTRLEN];

	/* The message does not say which; an IPv4 address stands in the first word alone. */
	if (words[1] || words[2] || words[3])
		inet_ntop(AF_INET6, words, text, sizeof(text));
	else
		inet_ntop(AF_INET, words, text, sizeof(text));
	printf(", \"%s\": \"%s\", \"%s_port\": %u", name, text, name, ntohs(port));
}

static void cursor_print(const char *name, const struct smc_diag_cursor *cursor)
{
	printf(", \"%s\": [%u, %u]", name, cursor->wrap, cursor->count);
}

static void connection_print(const struct smc_diag_conninfo *info)
{
	printf(", \"token\": %u, \"send_buffer\": %u, \"rmb\": %u, \"peer_rmb\": %u", info->token,
	       info->sndbuf_size, info->rmbe_size, info->peer_rmbe_size);
	cursor_print("received_producer", &info->rx_prod);
	cursor_print("received_consumer", &info->rx_cons);
	cursor_print("sent_producer", &info->tx_prod);
	cursor_print("sent_consumer", &info->tx_cons);
	printf(", \"received_flags\": [%u, %u], \"sent_flags\": [%u, %u]", info->rx_prod_flags,
	       info->rx_conn_state_flags, info->tx_prod_flags, info->tx_conn_state_flags);
}

static void link_print(const struct smc_diag_lgrinfo *info)
{
	const struct smc_diag_linkinfo *link = &info->lnk[0];

	printf(", \"role\": \"%s\", \"link\": %u, \"device\": ", info->role ? "server" : "client",
	       link->link_id);
	text_print((const char *)link->ibname, sizeof(link->ibname));
	printf(", \"gid\": ");
	text_print((const char *)link->gid, sizeof(link->gid));
	printf(", \"peer_gid\": ");
	text_print((const char *)link->peer_gid, sizeof(link->peer_gid));
}

static void attribute_print(const struct nlattr *attribute)
{
	union {
		struct smc_diag_conninfo connection;
		struct smc_diag_lgrinfo group;
		struct smc_diag_fallback fallback;
	} info = {0};
	size_t length = attribute_length(attribute);

	memcpy(&info, attribute_value(attribute), length < sizeof(info) ? length : sizeof(info));
	if (attribute->nla_type == SMC_DIAG_CONNINFO)
		connection_print(&info.connection);
	else if (attribute->nla_type == SMC_DIAG_LGRINFO)
		link_print(&info.group);
	else if (attribute->nla_type == SMC_DIAG_FALLBACK)
		printf(", \"reason\": %u, \"peer_reason\": %u", info.fallback.reason,
		       info.fallback.peer_diagnosis);
}

static void socket_print(const void *payload, size_t length, void *context)
{
	const struct smc_diag_msg *message = payload;
	const void *attributes = message + 1;
	const struct nlattr *attribute;

	(void)context;
	length -= sizeof(*message);
	printf("{\"state\": \"%s\", \"mode\": \"%s\", \"shutdown\": %u",
	       state_name(message->diag_state), mode_name(message->diag_mode),
	       message->diag_shutdown);
	address_print("local", message->id.idiag_src, message->id.idiag_sport);
	address_print("remote", message->id.idiag_dst, message->id.idiag_dport);
	while ((attribute = attribute_next(&attributes, &length)))
		attribute_print(attribute);
	printf("}\n");
}

int smc_sockets_print(void)
{
	struct smc_diag_req asked = {.diag_family = AF_SMC, .diag_ext = ASKED};
	struct netlink_request request;
	int fd = netlink_open(NETLINK_SOCK_DIAG), error;

	if (fd < 0)
		return fd;
	netlink_start(&request, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &asked, sizeof(asked));
	error = netlink_talk(fd, &request, socket_print, NULL);
	close(fd);
	return error;
}
