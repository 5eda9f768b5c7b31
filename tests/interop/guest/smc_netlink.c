/* SPDX-License-Identifier: MIT */
/*
 * smc_netlink - sets and tells what the kernel's SMC knows; one JSON object a line
 *
 *   smc_netlink eid add EID | remove EID | flush | list
 *   smc_netlink pnetid add PNETID INTERFACE       a network interface, or
 *   smc_netlink pnetid add PNETID DEVICE PORT     a port of an RDMA device
 *   smc_netlink pnetid remove PNETID | flush | list
 *   smc_netlink system | groups | links | devices | statistics | fallbacks | sockets
 *
 * "links" tells each link group and then its links; "fallbacks" counts reasons why connections
 * became TCP.  The status is 1, with the kernel's errno in words, where the kernel refuses.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/smc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fields.h"
#include "netlink.h"
#include "smc_sockets.h"

static const struct field system_fields[] = {
	{SMC_NLA_SYS_VER, FIELD_NUMBER, "version", NULL},
	{SMC_NLA_SYS_REL, FIELD_NUMBER, "release", NULL},
	{SMC_NLA_SYS_LOCAL_HOST, FIELD_TEXT, "host", NULL},
	{SMC_NLA_SYS_SEID, FIELD_TEXT, "seid", NULL},
	{SMC_NLA_SYS_IS_SMCR_V2, FIELD_NUMBER, "smcr_v2", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field group_v2_fields[] = {
	{SMC_NLA_LGR_V2_REL, FIELD_NUMBER, "release", NULL},
	{SMC_NLA_LGR_V2_OS, FIELD_NUMBER, "peer_os", NULL},
	{SMC_NLA_LGR_V2_NEG_EID, FIELD_TEXT, "eid", NULL},
	{SMC_NLA_LGR_V2_PEER_HOST, FIELD_TEXT, "peer_host", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field group_fields[] = {
	{SMC_NLA_LGR_R_ID, FIELD_NUMBER, "id", NULL},
	{SMC_NLA_LGR_R_ROLE, FIELD_NUMBER, "role", NULL},
	{SMC_NLA_LGR_R_TYPE, FIELD_NUMBER, "type", NULL},
	{SMC_NLA_LGR_R_PNETID, FIELD_TEXT, "pnetid", NULL},
	{SMC_NLA_LGR_R_VLAN_ID, FIELD_NUMBER, "vlan", NULL},
	{SMC_NLA_LGR_R_CONNS_NUM, FIELD_NUMBER, "connections", NULL},
	{SMC_NLA_LGR_R_BUF_TYPE, FIELD_NUMBER, "buffer_type", NULL},
	{SMC_NLA_LGR_R_V2_COMMON, FIELD_NEST, "v2", group_v2_fields},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field link_fields[] = {
	{SMC_NLA_LINK_ID, FIELD_NUMBER, "id", NULL},
	{SMC_NLA_LINK_IB_DEV, FIELD_TEXT, "device", NULL},
	{SMC_NLA_LINK_IB_PORT, FIELD_NUMBER, "port", NULL},
	{SMC_NLA_LINK_GID, FIELD_TEXT, "gid", NULL},
	{SMC_NLA_LINK_PEER_GID, FIELD_TEXT, "peer_gid", NULL},
	{SMC_NLA_LINK_CONN_CNT, FIELD_NUMBER, "connections", NULL},
	{SMC_NLA_LINK_NET_DEV, FIELD_NUMBER, "interface", NULL},
	{SMC_NLA_LINK_STATE, FIELD_NUMBER, "state", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field port_fields[] = {
	{SMC_NLA_DEV_PORT_PNET_USR, FIELD_NUMBER, "pnetid_by_user", NULL},
	{SMC_NLA_DEV_PORT_PNETID, FIELD_TEXT, "pnetid", NULL},
	{SMC_NLA_DEV_PORT_NETDEV, FIELD_NUMBER, "interface", NULL},
	{SMC_NLA_DEV_PORT_STATE, FIELD_NUMBER, "state", NULL},
	{SMC_NLA_DEV_PORT_VALID, FIELD_NUMBER, "valid", NULL},
	{SMC_NLA_DEV_PORT_LNK_CNT, FIELD_NUMBER, "links", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field device_fields[] = {
	{SMC_NLA_DEV_USE_CNT, FIELD_NUMBER, "groups", NULL},
	{SMC_NLA_DEV_IS_CRIT, FIELD_NUMBER, "critical", NULL},
	{SMC_NLA_DEV_IB_NAME, FIELD_TEXT, "name", NULL},
	{SMC_NLA_DEV_PORT, FIELD_NEST, "port", port_fields},
	{SMC_NLA_DEV_PORT2, FIELD_NEST, "port2", port_fields},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field buffer_fields[] = {
	{SMC_NLA_STATS_RMB_SIZE_SM_PEER_CNT, FIELD_NUMBER, "peer_too_small", NULL},
	{SMC_NLA_STATS_RMB_SIZE_SM_CNT, FIELD_NUMBER, "too_small", NULL},
	{SMC_NLA_STATS_RMB_FULL_PEER_CNT, FIELD_NUMBER, "peer_full", NULL},
	{SMC_NLA_STATS_RMB_FULL_CNT, FIELD_NUMBER, "full", NULL},
	{SMC_NLA_STATS_RMB_REUSE_CNT, FIELD_NUMBER, "reused", NULL},
	{SMC_NLA_STATS_RMB_ALLOC_CNT, FIELD_NUMBER, "allocated", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field technology_fields[] = {
	{SMC_NLA_STATS_T_TX_RMB_STATS, FIELD_NEST, "send_buffers", buffer_fields},
	{SMC_NLA_STATS_T_RX_RMB_STATS, FIELD_NEST, "receive_buffers", buffer_fields},
	{SMC_NLA_STATS_T_CLNT_V1_SUCC, FIELD_NUMBER, "client_v1", NULL},
	{SMC_NLA_STATS_T_CLNT_V2_SUCC, FIELD_NUMBER, "client_v2", NULL},
	{SMC_NLA_STATS_T_SRV_V1_SUCC, FIELD_NUMBER, "server_v1", NULL},
	{SMC_NLA_STATS_T_SRV_V2_SUCC, FIELD_NUMBER, "server_v2", NULL},
	{SMC_NLA_STATS_T_URG_DATA_CNT, FIELD_NUMBER, "urgent", NULL},
	{SMC_NLA_STATS_T_RX_BYTES, FIELD_NUMBER, "received_bytes", NULL},
	{SMC_NLA_STATS_T_TX_BYTES, FIELD_NUMBER, "sent_bytes", NULL},
	{SMC_NLA_STATS_T_RX_CNT, FIELD_NUMBER, "receives", NULL},
	{SMC_NLA_STATS_T_TX_CNT, FIELD_NUMBER, "sends", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field statistics_fields[] = {
	{SMC_NLA_STATS_SMCR_TECH, FIELD_NEST, "smcr", technology_fields},
	{SMC_NLA_STATS_CLNT_HS_ERR_CNT, FIELD_NUMBER, "client_handshake_errors", NULL},
	{SMC_NLA_STATS_SRV_HS_ERR_CNT, FIELD_NUMBER, "server_handshake_errors", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field fallback_fields[] = {
	{SMC_NLA_FBACK_STATS_TYPE, FIELD_NUMBER, "type", NULL},
	{SMC_NLA_FBACK_STATS_SRV_CNT, FIELD_NUMBER, "server_total", NULL},
	{SMC_NLA_FBACK_STATS_CLNT_CNT, FIELD_NUMBER, "client_total", NULL},
	{SMC_NLA_FBACK_STATS_RSN_CODE, FIELD_NUMBER, "reason", NULL},
	{SMC_NLA_FBACK_STATS_RSN_CNT, FIELD_NUMBER, "count", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field top_fields[] = {
	{SMC_GEN_SYS_INFO, FIELD_NEST, "system", system_fields},
	{SMC_GEN_LGR_SMCR, FIELD_NEST, "group", group_fields},
	{SMC_GEN_LINK_SMCR, FIELD_NEST, "link", link_fields},
	{SMC_GEN_DEV_SMCR, FIELD_NEST, "device", device_fields},
	{SMC_GEN_STATS, FIELD_NEST, "statistics", statistics_fields},
	{SMC_GEN_FBACK_STATS, FIELD_NEST, "fallback", fallback_fields},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field eid_fields[] = {
	{SMC_NLA_EID_TABLE_ENTRY, FIELD_TEXT, "eid", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

static const struct field pnetid_fields[] = {
	{SMC_PNETID_NAME, FIELD_TEXT, "pnetid", NULL},
	{SMC_PNETID_ETHNAME, FIELD_TEXT, "interface", NULL},
	{SMC_PNETID_IBNAME, FIELD_TEXT, "device", NULL},
	{SMC_PNETID_IBPORT, FIELD_NUMBER, "port", NULL},
	{0, FIELD_NUMBER, NULL, NULL},
};

/**
 * struct command - what the command line may say
 * @words: the subcommand
 * @family: whom it goes to
 * @number: which command that is there
 * @flags: NLM_F_DUMP if it lists
 * @table: how to print what comes
 */
static const struct command {
	const char *words[2];
	const char *family;
	uint8_t number;
	uint16_t flags;
	const struct field *table;
} commands[] = {
	{{"eid", "add"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_ADD_UEID, 0, NULL},
	{{"eid", "remove"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_REMOVE_UEID, 0, NULL},
	{{"eid", "flush"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_FLUSH_UEID, 0, NULL},
	{{"eid", "list"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_DUMP_UEID, NLM_F_DUMP, eid_fields},
	{{"pnetid", "add"}, SMCR_GENL_FAMILY_NAME, SMC_PNETID_ADD, 0, NULL},
	{{"pnetid", "remove"}, SMCR_GENL_FAMILY_NAME, SMC_PNETID_DEL, 0, NULL},
	{{"pnetid", "flush"}, SMCR_GENL_FAMILY_NAME, SMC_PNETID_FLUSH, 0, NULL},
	{{"pnetid", "list"}, SMCR_GENL_FAMILY_NAME, SMC_PNETID_GET, NLM_F_DUMP, pnetid_fields},
	{{"system"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_GET_SYS_INFO, NLM_F_DUMP, top_fields},
	{{"groups"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_GET_LGR_SMCR, NLM_F_DUMP, top_fields},
	{{"links"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_GET_LINK_SMCR, NLM_F_DUMP, top_fields},
	{{"devices"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_GET_DEV_SMCR, NLM_F_DUMP, top_fields},
	{{"statistics"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_GET_STATS, NLM_F_DUMP, top_fields},
	{{"fallbacks"}, SMC_GENL_FAMILY_NAME, SMC_NETLINK_GET_FBACK_STATS, NLM_F_DUMP, top_fields},
};

static void message_print(const void *payload, size_t length, void *context)
{
	const struct command *command = context;

	fields_print(command->table, (const char *)payload + GENL_HDRLEN, length - GENL_HDRLEN);
	putchar('\n');
}

/* What the command line adds to a command, as attributes. */
static void arguments_put(struct netlink_request *request, const struct command *command,
			  char **arguments, int count)
{
	char eid[SMC_MAX_EID_LEN + 1];
	uint8_t port;

	if (strcmp(command->words[0], "eid") == 0) {
		/* The kernel wants the blanks that an EID has on the wire. */
		snprintf(eid, sizeof(eid), "%-*s", SMC_MAX_EID_LEN, count > 0 ? arguments[0] : "");
		if (count > 0)
			netlink_put_text(request, SMC_NLA_EID_TABLE_ENTRY, eid);
		return;
	}
	if (count > 0)
		netlink_put_text(request, SMC_PNETID_NAME, arguments[0]);
	if (count == 2)
		netlink_put_text(request, SMC_PNETID_ETHNAME, arguments[1]);
	if (count == 3) {
		port = (uint8_t)atoi(arguments[2]);
		netlink_put_text(request, SMC_PNETID_IBNAME, arguments[1]);
		netlink_put(request, SMC_PNETID_IBPORT, &port, sizeof(port));
	}
}

static int command_carry_out(const struct command *command, char **arguments, int count)
{
	struct netlink_request request;
	int fd = netlink_open(NETLINK_GENERIC), family, error;

	if (fd < 0)
		return fd;
	family = generic_family(fd, command->family);
	if (family < 0) {
		error = family;
	} else {
		generic_start(&request, (uint16_t)family, command->flags, command->number, 1);
		arguments_put(&request, command, arguments, count);
		error = netlink_talk(fd, &request, message_print, (void *)command);
	}
	close(fd);
	return error;
}

/* How many words of the command line name this command; 0 if another one is meant. */
static int command_matches(const struct command *command, char **words, int count)
{
	if (count < 1 || strcmp(words[0], command->words[0]) != 0)
		return 0;
	if (!command->words[1])
		return count == 1;
	return count >= 2 && strcmp(words[1], command->words[1]) == 0 ? 2 : 0;
}

static int finish(int error)
{
	if (error)
		fprintf(stderr, "smc_netlink: %s\n", strerror(-error));
	return error != 0;
}

int main(int argc, char **argv)
{
	size_t i;
	int used;

	if (argc == 2 && strcmp(argv[1], "sockets") == 0)
		return finish(smc_sockets_print());
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		used = command_matches(&commands[i], argv + 1, argc - 1);
		if (used)
			return finish(
				command_carry_out(&commands[i], argv + 1 + used, argc - 1 - used));
	}
	fprintf(stderr, "smc_netlink: unknown command; they are at the top of its source\n");
	return 2;
}
