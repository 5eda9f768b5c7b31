/* SPDX-License-Identifier: MIT */
#include "cli/smcr_names.h"

#include <stddef.h>
#include <stdio.h>

#include "proto/close.h"
#include "proto/link.h"
#include "proto/link_group.h"

static const char *const connection_states[] = {
	[CONNECTION_ACTIVE] = "ACTIVE",
	[CONNECTION_INIT] = "INIT",
	[CONNECTION_CLOSED] = "CLOSED",
	[CONNECTION_PEER_CLOSE_WAIT_1] = "PEERCLW1",
	[CONNECTION_PEER_CLOSE_WAIT_2] = "PEERCLW2",
	[CONNECTION_APP_CLOSE_WAIT_1] = "APPLCLW1",
	[CONNECTION_APP_CLOSE_WAIT_2] = "APPLCLW2",
	[CONNECTION_APP_FIN_CLOSE_WAIT] = "APPLFINCLW",
	[CONNECTION_PEER_FIN_CLOSE_WAIT] = "PEERFINCLW",
	[CONNECTION_PEER_ABORT_WAIT] = "PEERABORTW",
	[CONNECTION_PROCESS_ABORT] = "PROCESSABORT",
};

static const char *const group_states[] = {
	[LINK_GROUP_PENDING] = "PENDING",
	[LINK_GROUP_ACTIVE] = "ACTIVE",
	[LINK_GROUP_ENDING] = "ENDING",
	[LINK_GROUP_DEAD] = "DEAD",
};

static const char *const link_states[] = {
	[LINK_UNUSED] = "LINK_UNUSED",
	[LINK_INACTIVE] = "LINK_INACTIVE",
	[LINK_ACTIVATING] = "LINK_ACTIVATING",
	[LINK_ACTIVE] = "LINK_ACTIVE",
};

static const char *name(const char *const *names, size_t count, uint32_t number)
{
	return number < count && names[number] ? names[number] : "?";
}

#define COUNT(names) (sizeof(names) / sizeof((names)[0]))

const char *smcr_connection_state(uint32_t state)
{
	return name(connection_states, COUNT(connection_states), state);
}

const char *smcr_group_state(uint32_t state)
{
	return name(group_states, COUNT(group_states), state);
}

const char *smcr_link_state(uint32_t state)
{
	return name(link_states, COUNT(link_states), state);
}

const char *smcr_role(uint32_t server)
{
	return server ? "SERV" : "CLNT";
}

const char *smcr_group_type(uint32_t links)
{
	return links ? "SINGLE" : "NONE";
}

void smcr_cursor(uint64_t position, uint32_t size, char text[SMCR_CURSOR_MAX])
{
	snprintf(text, SMCR_CURSOR_MAX, "%04x:%08x",
		 (unsigned int)(size ? position / size : 0) & 0xffff,
		 (unsigned int)(size ? position % size : position));
}
