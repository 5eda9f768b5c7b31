/* SPDX-License-Identifier: MIT */
/*
 * The client: Proposal, and Confirm after the server's Accept
 */
#include <string.h>

#include "proto/connection.h"
#include "proto/rendezvous.h"

void client_start(struct connection *connection)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	struct clc_message proposal;
	uint32_t diagnosis = negotiation_propose(&connection->host->config, &rendezvous->facts,
						 &rendezvous->negotiation, &proposal);

	if (diagnosis) {
		rendezvous_decline(connection, diagnosis);
		return;
	}
	rendezvous->started = true;
	rendezvous_send(connection, &proposal);
	rendezvous_wait(connection, RENDEZVOUS_ACCEPT, PROTO_CLC_WAIT);
}

static struct link_group_key key_of(const struct connection *connection)
{
	const struct rendezvous *rendezvous = connection->rendezvous;
	struct link_group_key key = {.role = PROTO_CLIENT,
				     .version = rendezvous->negotiation.version,
				     .queue_pair = rendezvous->accept.accept.r.queue_pair,
				     .vlan = rendezvous->facts.vlan};

	memcpy(key.source, rendezvous->facts.peer, sizeof(key.source));
	memcpy(key.peer_id, rendezvous->peer.id, sizeof(key.peer_id));
	memcpy(key.gid, rendezvous->peer.gid, sizeof(key.gid));
	memcpy(key.mac, rendezvous->peer.mac, sizeof(key.mac));
	return key;
}

/* A new link group, as the server has it. */
static void make_group(struct connection *connection)
{
	const struct rendezvous *rendezvous = connection->rendezvous;
	const struct negotiation *negotiation = &rendezvous->negotiation;
	struct link_group_key key = key_of(connection);
	struct link_group *group;
	uint32_t diagnosis;

	(void)link_group_admit(connection->host, PROTO_CLIENT, key.source);
	group = link_group_create(connection->host, &key);
	if (!group) {
		rendezvous_decline(connection, CLC_NO_MEMORY);
		return;
	}
	memcpy(group->eid, negotiation->eid, sizeof(group->eid));
	group->release = negotiation->release;
	group->max_connections = negotiation->max_connections;
	group->max_links = negotiation->max_links;
	group->features = negotiation->features;
	group->direct = !rendezvous->routed;
	group->first = connection;
	link_group_join(group, connection);
	diagnosis = rendezvous_take_side(connection, &rendezvous->accept.accept.r);
	if (diagnosis) {
		rendezvous_decline(connection, diagnosis);
		return;
	}
	rendezvous_wait(connection, RENDEZVOUS_LINK, 0);
	link_open(&group->link);
}

/* The link group that the server means: it may be that we have lost it. */
static void find_group(struct connection *connection)
{
	struct link_group_key key = key_of(connection);
	struct link_group *group = link_group_find_link(connection->host, &key);
	uint32_t diagnosis;

	if (!group) {
		rendezvous_decline(connection, CLC_SYNCHRONISATION);
		return;
	}
	if (!link_group_join(group, connection)) {
		rendezvous_decline(connection, CLC_NO_SERVER_LINK);
		return;
	}
	diagnosis = rendezvous_take_side(connection, &connection->rendezvous->accept.accept.r);
	if (diagnosis) {
		rendezvous_decline(connection, diagnosis);
		return;
	}
	rendezvous_want_buffer(connection);
}

void client_accepted(struct connection *connection, const struct clc_message *accept)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	const struct clc_first_contact *fc = &accept->accept.first_contact;
	uint32_t diagnosis;

	rendezvous->declining_version = accept->version > 1 ? 2 : 1;
	rendezvous->accept = *accept;
	diagnosis = negotiation_check_accept(&connection->host->config, accept,
					     &rendezvous->negotiation);
	if (!diagnosis && !negotiation_plausible(&accept->accept.r))
		diagnosis = CLC_INTERNAL;
	if (diagnosis) {
		rendezvous_decline(connection, diagnosis);
		return;
	}
	rendezvous->peer = accept->accept.r.peer;
	rendezvous->first_contact = accept->flags & CLC_FIRST_CONTACT;
	if (!rendezvous->first_contact) {
		find_group(connection);
	} else if (accept->version > 1 && !(fc->flags & CLC_DIRECT)) {
		rendezvous_wait(connection, RENDEZVOUS_RESOLVE, 0);
		proto_emit(connection->host, &(struct proto_action){.type = PROTO_RESOLVE,
								    .connection = connection,
								    .gid = rendezvous->peer.gid});
	} else {
		make_group(connection);
	}
}

void client_resolved(struct connection *connection, enum rendezvous_route route)
{
	if (route == RENDEZVOUS_UNREACHABLE)
		rendezvous_decline(connection, CLC_NO_ROUTE);
	else if (route == RENDEZVOUS_DIRECT)
		rendezvous_decline(connection, CLC_NOT_INDIRECT);
	else
		make_group(connection);
}

void client_confirm(struct connection *connection)
{
	struct clc_message confirm;

	rendezvous_side(connection, &confirm, CLC_CONFIRM);
	rendezvous_send(connection, &confirm);
	if (connection->rendezvous->first_contact)
		rendezvous_wait(connection, RENDEZVOUS_CONFIRM_LINK,
				PROTO_CONFIRM_LINK_CLIENT_WAIT);
	else
		rendezvous_done(connection);
}
