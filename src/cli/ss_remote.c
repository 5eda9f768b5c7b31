/* SPDX-License-Identifier: MIT */
#include "cli/ss_remote.h"

#include <stdio.h>

#include "cli/names.h"
#include "cli/report.h"
#include "cli/smcr_names.h"
#include "wire/cdc.h"

static const struct {
	uint32_t flag;
	const char *name;
} flags[] = {
	{CDC_SENDING_DONE, "done"},
	{CDC_CLOSED, "closed"},
	{CDC_ABNORMAL_CLOSE, "aborted"},
};

#define FLAGS (sizeof(flags) / sizeof(flags[0]))

static void print_flags(const char *whose, uint32_t set)
{
	for (size_t i = 0; i < FLAGS; i++)
		if (set & flags[i].flag)
			printf("  %s%s", whose, flags[i].name);
}

void ss_remote_print(const struct snapshot_remote *r)
{
	char gid[NAME_ADDRESS_MAX], produced[SMCR_CURSOR_MAX], consumed[SMCR_CURSOR_MAX];

	name_gid(r->peer_gid, gid);
	printf("    %s  role %s  lg-id %08x  link %u  net-dev %.*s  peer-gid %s  token %08x  "
	       "peer-token %08x\n",
	       smcr_connection_state(r->state), smcr_role(r->role), r->group, r->link,
	       (int)sizeof(r->device), r->device, gid, r->token, r->peer_token);
	smcr_cursor(r->produced, r->size, produced);
	smcr_cursor(r->consumed, r->size, consumed);
	printf("    rmbe %u  rxprod %s  rxcons %s", r->size, produced, consumed);
	smcr_cursor(r->sent, r->peer_size, produced);
	smcr_cursor(r->peer_consumed, r->peer_size, consumed);
	printf("  peer-rmbe %u  txprod %s  txcons %s  unsent %llu", r->peer_size, produced,
	       consumed, (unsigned long long)(r->written - r->sent));
	print_flags("", r->flags);
	print_flags("peer-", r->peer_flags);
	putchar('\n');
}

static json_t *json_cursor(uint64_t position, uint32_t size)
{
	char text[SMCR_CURSOR_MAX];

	smcr_cursor(position, size, text);
	return json_string(text);
}

static json_t *json_flags(uint32_t set)
{
	json_t *array = json_array();

	for (size_t i = 0; i < FLAGS; i++)
		if (set & flags[i].flag)
			json_array_append_new(array, json_string(flags[i].name));
	return array;
}

static json_t *json_sending(const struct snapshot_remote *r)
{
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "element", json_count(r->peer_size),
		"written", json_count(r->written), "sent", json_count(r->sent), "released",
		json_count(r->released), "consumed", json_count(r->peer_consumed), "producer",
		json_cursor(r->sent, r->peer_size), "consumer",
		json_cursor(r->peer_consumed, r->peer_size), "flags", json_flags(r->flags));
}

static json_t *json_receiving(const struct snapshot_remote *r)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "element", json_count(r->size),
			 "produced", json_count(r->produced), "consumed", json_count(r->consumed),
			 "confirmed", json_count(r->confirmed), "producer",
			 json_cursor(r->produced, r->size), "consumer",
			 json_cursor(r->consumed, r->size), "flags", json_flags(r->peer_flags));
}

json_t *ss_remote_json(const struct snapshot_remote *r)
{
	return json_pack("{s:s, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "state",
			 smcr_connection_state(r->state), "role", smcr_role(r->role), "group",
			 json_hex(r->group, 8), "link", (int)r->link, "device",
			 json_text(r->device, sizeof(r->device)), "peer_gid", json_gid(r->peer_gid),
			 "token", json_hex(r->token, 8), "peer_token", json_hex(r->peer_token, 8),
			 "sending", json_sending(r), "receiving", json_receiving(r));
}
