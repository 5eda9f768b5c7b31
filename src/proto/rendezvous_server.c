/* SPDX-License-Identifier: MIT */
/*
 * The server: what becomes of a Proposal, and of the Confirm
 */
#include <string.h>

#include "proto/connection.h"
#include "proto/rendezvous.h"

void server_proposed(struct connection *connection, const struct clc_message *proposal)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	uint32_t diagnosis;

	rendezvous->declining_version = proposal->version > 1 ? 2 : 1;
	rendezvous->proposal = *proposal;
	rendezvous->peer = proposal->proposal.peer;
	rendezvous->started = true;
	diagnosis = negotiation_consider(&connection->host->config, &rendezvous->facts, proposal,
					 &rendezvous->negotiation);
	if (diagnosis) {
		rendezvous_decline(connection, diagnosis);
	} else if (rendezvous->negotiation.v2) {
		rendezvous_wait(connection, RENDEZVOUS_RESOLVE, 0);
		proto_emit(connection->host,
			   &(struct proto_action){.type = PROTO_RESOLVE,
						  .connection = connection,
						  .gid = rendezvous->proposal.proposal.v2.gid});
	} else {
		server_resolved(connection, RENDEZVOUS_UNREACHABLE);
	}
}

void server_resolved(struct connection *connection, enum rendezvous_route route)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	const struct clc_proposal *proposal = &rendezvous->proposal.proposal;
	uint32_t diagnosis =
		negotiation_settle(&connection->host->config, &rendezvous->proposal,
				   route != RENDEZVOUS_UNREACHABLE, &rendezvous->negotiation);

	if (diagnosis) {
		rendezvous_decline(connection, diagnosis);
		return;
	}
	if (rendezvous->negotiation.version > 1)
		memcpy(rendezvous->peer.gid, proposal->v2.gid, sizeof(rendezvous->peer.gid));
	else
		rendezvous->routed = false;
	server_select(connection);
}

static void make_group(struct connection *connection, const struct link_group_key *key)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	const struct negotiation *negotiation = &rendezvous->negotiation;
	struct link_group *group = NULL;

	if (link_group_admit(connection->host, PROTO_SERVER, rendezvous->facts.peer))
		group = link_group_create(connection->host, key);
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
	rendezvous->first_contact = true;
	link_group_join(group, connection);
	rendezvous_wait(connection, RENDEZVOUS_LINK, 0);
	link_open(&group->link);
}

void server_select(struct connection *connection)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	struct link_group_key key = {.role = PROTO_SERVER,
				     .version = rendezvous->negotiation.version,
				     .vlan = rendezvous->facts.vlan};
	struct link_group *group, *pending;

	memcpy(key.source, rendezvous->facts.peer, sizeof(key.source));
	memcpy(key.peer_id, rendezvous->peer.id, sizeof(key.peer_id));
	memcpy(key.gid, rendezvous->peer.gid, sizeof(key.gid));
	memcpy(key.mac, rendezvous->peer.mac, sizeof(key.mac));
	group = link_group_find(connection->host, &key, &pending);
	if (group && link_group_join(group, connection)) {
		rendezvous_want_buffer(connection);
	} else if (pending) {
		rendezvous_wait(connection, RENDEZVOUS_GROUP, PROTO_GROUP_WAIT);
		rendezvous->awaited = pending;
		list_append(&pending->candidates, &connection->waiting);
	} else {
		make_group(connection, &key);
	}
}

void server_waited(struct connection *connection)
{
	link_group_stall(connection->rendezvous->awaited);
}

void server_accept(struct connection *connection)
{
	struct clc_message accept;

	rendezvous_side(connection, &accept, CLC_ACCEPT);
	rendezvous_send(connection, &accept);
	rendezvous_wait(connection, RENDEZVOUS_CONFIRM, PROTO_CLC_WAIT);
}

/* Later contact: does the client mean the link that it was given? */
static bool same_link(const struct link *link, const struct clc_accept_r *r)
{
	return memcmp(link->peer.gid, r->peer.gid, sizeof(r->peer.gid)) == 0 &&
	       link->peer.queue_pair == r->queue_pair;
}

void server_confirmed(struct connection *connection, const struct clc_message *confirm)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	struct link_group *group = connection->group;
	const struct clc_accept_r *r = &confirm->accept.r;
	bool first = rendezvous->first_contact;
	uint32_t diagnosis;

	/* (v1 clients before 2020 say nothing of the first contact in their Confirm) */
	if (first == !(confirm->flags & CLC_FIRST_CONTACT) && confirm->version > 1)
		diagnosis = CLC_INTERNAL;
	else
		diagnosis = negotiation_check_confirm(confirm, &rendezvous->negotiation);
	if (!diagnosis && !negotiation_plausible(r))
		diagnosis = CLC_INTERNAL;
	if (!diagnosis && !first && !same_link(&group->link, r))
		diagnosis = CLC_NO_SERVER_LINK;
	if (!diagnosis)
		diagnosis = rendezvous_take_side(connection, r);
	if (diagnosis) {
		rendezvous_decline(connection, diagnosis);
		return;
	}
	memcpy(group->confirmed_id, r->peer.id, sizeof(group->confirmed_id));
	if (first) {
		group->features = rendezvous->negotiation.features;
		rendezvous_wait(connection, RENDEZVOUS_CONNECT_LINK,
				PROTO_CONFIRM_LINK_SERVER_WAIT);
		link_connect(&group->link, true);
	} else {
		rendezvous_done(connection);
	}
}
