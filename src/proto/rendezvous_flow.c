/* SPDX-License-Identifier: MIT */
/*
 * From Accept and Confirm to a link: what is made, registered, and confirmed by LLC
 */
#include <errno.h>
#include <string.h>

#include "proto/connection.h"
#include "proto/control.h"
#include "proto/rendezvous.h"

static bool is_client(const struct connection *connection)
{
	return connection->rendezvous->facts.role == PROTO_CLIENT;
}

static void put_first_contact(const struct connection *connection, struct clc_message *message)
{
	const struct proto_config *config = &connection->host->config;
	const struct link_group *group = connection->group;
	struct clc_first_contact *fc = &message->accept.first_contact;

	fc->flags = group->direct ? CLC_DIRECT : 0;
	fc->os = CLC_OS_LINUX;
	fc->release = group->release;
	memcpy(fc->host, config->name, sizeof(fc->host));
	if (group->release) {
		fc->max_connections = group->max_connections;
		fc->max_links = group->max_links;
		fc->features = group->features;
	}
	if (message->type == CLC_CONFIRM) {
		message->accept.gid_count = 1;
		memcpy(message->accept.gids[0], config->gid_v2, CLC_GID_SIZE);
	}
}

void rendezvous_side(struct connection *connection, struct clc_message *message, uint8_t type)
{
	const struct proto_config *config = &connection->host->config;
	const struct link_group *group = connection->group;
	struct clc_accept_r *r = &message->accept.r;

	memset(message, 0, sizeof(*message));
	message->type = type;
	message->version = group->version;
	if (connection->rendezvous->first_contact)
		message->flags = CLC_FIRST_CONTACT;
	memcpy(r->peer.id, config->peer_id, sizeof(r->peer.id));
	memcpy(r->peer.gid, group->version == 1 ? config->gid_v1 : config->gid_v2, CLC_GID_SIZE);
	memcpy(r->peer.mac, config->mac, sizeof(r->peer.mac));
	r->queue_pair = group->link.queue_pair;
	connection->rmb->state = RMB_KNOWN; /* from here on the peer may write there */
	r->rkey = connection->rmb->rkey;
	r->element = 1;
	r->token = connection->token;
	r->size = negotiation_element_code(connection->size);
	r->mtu = type == CLC_CONFIRM ? group->link.peer.mtu : config->mtu;
	r->address = connection->rmb->address;
	r->sequence = group->link.sequence;
	if (group->version == 1)
		return;
	memcpy(message->accept.eid, group->eid, sizeof(group->eid));
	if (connection->rendezvous->first_contact)
		put_first_contact(connection, message);
}

uint32_t rendezvous_take_side(struct connection *connection, const struct clc_accept_r *r)
{
	struct link_group *group = connection->group;
	const struct proto_config *config = &connection->host->config;
	struct link_end *end = &group->link.peer;
	bool first = connection->rendezvous->first_contact;
	/* Later a key that CONFIRM RKEY has not brought, or that is gone again, is of no use. */
	int index = first ? rkey_add(group, r->rkey, r->address)
			  : rkey_find(group, r->rkey, r->address);

	if (index < 0)
		return CLC_NO_RKEY_SLOT;
	connection->peer_rkey = (uint8_t)index;
	connection->peer_rkey_generation = group->rkeys[index].generation;
	connection->peer_token = r->token;
	connection->peer_size = PROTO_ELEMENT_LEAST << r->size;
	connection->peer_element = (uint64_t)connection->peer_size * (r->element - 1U);
	if (!first)
		return 0;
	memcpy(end->gid, r->peer.gid, sizeof(end->gid));
	end->routed = connection->rendezvous->routed;
	/* (A Proposal of v2 alone need not say what the MAC is.) */
	memcpy(end->mac, end->routed ? connection->rendezvous->next_hop : r->peer.mac,
	       sizeof(end->mac));
	memcpy(group->link.peer_mac, r->peer.mac, sizeof(group->link.peer_mac));
	end->queue_pair = r->queue_pair;
	end->sequence = r->sequence;
	end->mtu = r->mtu < config->mtu ? r->mtu : config->mtu;
	return 0;
}

void connection_resolved(struct connection *connection, enum rendezvous_route route,
			 const uint8_t mac[CLC_MAC_SIZE])
{
	struct proto_host *host = connection->host;
	struct rendezvous *rendezvous = connection->rendezvous;

	if (!rendezvous_at(connection, RENDEZVOUS_RESOLVE))
		return;
	rendezvous->routed = route == RENDEZVOUS_ROUTED;
	if (rendezvous->routed)
		memcpy(rendezvous->next_hop, mac, CLC_MAC_SIZE);
	if (is_client(connection))
		client_resolved(connection, route);
	else
		server_resolved(connection, route);
	proto_leave(host);
}

void rendezvous_want_buffer(struct connection *connection)
{
	rendezvous_wait(connection, RENDEZVOUS_BUFFER, 0);
	connection->rmb = rmb_wake(connection);
	if (connection->rmb) {
		rendezvous_rmb_known(connection, true);
		return;
	}
	connection->rmb = rmb_create(connection, connection->size);
	if (!connection->rmb)
		rendezvous_decline(connection, CLC_NO_MEMORY);
}

void rendezvous_link_created(struct connection *connection, bool ok)
{
	if (!rendezvous_at(connection, RENDEZVOUS_LINK))
		return;
	if (!ok) {
		rendezvous_decline(connection, CLC_NO_MEMORY);
	} else if (is_client(connection)) {
		/* The peer is known already: receive before the Confirm calls CONFIRM LINK forth. */
		link_connect(&connection->group->link, false);
	} else {
		rendezvous_want_buffer(connection);
	}
}

void rendezvous_link_connected(struct connection *connection, bool ok)
{
	struct link_group *group = connection->group;

	if (!ok) {
		rendezvous_decline(connection, CLC_LINK_NOT_READY);
	} else if (rendezvous_at(connection, RENDEZVOUS_LINK)) {
		rendezvous_want_buffer(connection);
	} else if (rendezvous_at(connection, RENDEZVOUS_CONNECT_LINK) && is_client(connection)) {
		rendezvous_wait(connection, RENDEZVOUS_SENT_CONFIRM,
				PROTO_CONFIRM_LINK_CLIENT_WAIT);
		control_answer_confirm_link(group);
		/* The server may put others there from now on. */
		link_group_activate(group);
	} else if (rendezvous_at(connection, RENDEZVOUS_CONNECT_LINK)) {
		rendezvous_wait(connection, RENDEZVOUS_CONFIRM_LINK,
				PROTO_CONFIRM_LINK_SERVER_WAIT);
		control_confirm_link(group);
	}
}

void rendezvous_rmb_registered(struct connection *connection, bool ok)
{
	if (!rendezvous_at(connection, RENDEZVOUS_BUFFER))
		return;
	if (!ok)
		rendezvous_decline(connection, CLC_RMB_NOT_REGISTERED);
	else if (connection->rendezvous->first_contact)
		rendezvous_rmb_known(connection, true);
	else if (connection->group->state != LINK_GROUP_ACTIVE)
		rendezvous_decline(connection, CLC_NO_ACTIVE_LINK);
	else {
		rendezvous_wait(connection, RENDEZVOUS_KEY, 0);
		rmb_confirm(connection->rmb);
	}
}

/* The server, which has not sent its Accept, and can do without this group. */
static void select_again(struct connection *connection)
{
	link_group_leave(connection);
	server_select(connection);
}

void rendezvous_rmb_known(struct connection *connection, bool ok)
{
	if (!ok && connection->group->silent && !is_client(connection)) {
		select_again(connection);
	} else if (!ok) {
		rendezvous_decline(connection, CLC_RMB_NOT_REGISTERED);
	} else if (is_client(connection)) {
		client_confirm(connection);
	} else {
		server_accept(connection);
	}
}

/* First contact is done, on both sides. */
static void contact_made(struct connection *connection)
{
	struct link_group *group = connection->group;

	group->first = NULL;
	rendezvous_done(connection);
	if (group->state == LINK_GROUP_PENDING)
		link_group_activate(group);
}

void rendezvous_link_confirmed(struct connection *connection, uint32_t diagnosis)
{
	if (diagnosis) {
		rendezvous_decline(connection, diagnosis);
	} else if (is_client(connection)) {
		rendezvous_wait(connection, RENDEZVOUS_CONNECT_LINK,
				PROTO_CONFIRM_LINK_CLIENT_WAIT);
		link_connect(&connection->group->link, true);
	} else {
		contact_made(connection);
	}
}

void rendezvous_confirm_sent(struct connection *connection)
{
	if (!rendezvous_at(connection, RENDEZVOUS_SENT_CONFIRM))
		return;
	if (connection->group->max_links > 1 && !connection->rendezvous->add_link_seen) {
		connection->rendezvous->grace_diagnosis = 0;
		rendezvous_wait(connection, RENDEZVOUS_ADD_LINK, PROTO_ADD_LINK_WAIT);
	} else {
		contact_made(connection);
	}
}

void rendezvous_add_link(struct connection *connection)
{
	connection->rendezvous->add_link_seen = true;
	/* The server goes on only when it has our response: no need for its completion. */
	if (rendezvous_at(connection, RENDEZVOUS_ADD_LINK) ||
	    rendezvous_at(connection, RENDEZVOUS_SENT_CONFIRM) ||
	    (rendezvous_at(connection, RENDEZVOUS_GRACE) &&
	     !connection->rendezvous->grace_diagnosis))
		contact_made(connection);
}

void rendezvous_group_lost(struct connection *connection)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	bool sure = rendezvous->step == RENDEZVOUS_ADD_LINK || connection->received_sequence;
	bool later = !is_client(connection) && !rendezvous->first_contact;

	if (later &&
	    (rendezvous->step == RENDEZVOUS_BUFFER || rendezvous->step == RENDEZVOUS_KEY)) {
		select_again(connection);
		return;
	}
	/* A peer for whom this is SMC already may have sent data that TCP will never see. */
	if (sure || (rendezvous->step == RENDEZVOUS_GRACE && !rendezvous->grace_diagnosis))
		rendezvous_fail(connection, ECONNABORTED);
	else
		rendezvous_decline(connection, rendezvous->first_contact ? CLC_TIMEOUT_CONFIRM_LINK
									 : CLC_NO_ACTIVE_LINK);
}

/* A wait for LLC is over: the reason may be on its way. */
static void grace(struct connection *connection, uint32_t diagnosis)
{
	connection->rendezvous->grace_diagnosis = diagnosis;
	rendezvous_wait(connection, RENDEZVOUS_GRACE, PROTO_DECLINE_GRACE);
}

static void step_expired(struct connection *connection)
{
	struct rendezvous *rendezvous = connection->rendezvous;

	switch (rendezvous->step) {
	case RENDEZVOUS_PROPOSAL:
		if (rendezvous->filled)
			rendezvous_fail(connection, ETIMEDOUT);
		else
			rendezvous_fall_back(connection, CLC_PEER_WITHOUT_SMC, true);
		break;
	case RENDEZVOUS_ACCEPT:
		rendezvous_decline(connection, CLC_TIMEOUT_CONFIRM_LINK);
		break;
	case RENDEZVOUS_GROUP:
		server_waited(connection);
		break;
	case RENDEZVOUS_CONFIRM:
		rendezvous_fail(connection, ETIMEDOUT);
		break;
	case RENDEZVOUS_ADD_LINK:
		grace(connection, 0);
		break;
	case RENDEZVOUS_GRACE:
		if (rendezvous->grace_diagnosis)
			rendezvous_decline(connection, rendezvous->grace_diagnosis);
		else
			contact_made(connection);
		break;
	default:
		grace(connection, CLC_TIMEOUT_CONFIRM_LINK);
	}
}

void rendezvous_expired(struct connection *connection, bool limit)
{
	if (!limit)
		step_expired(connection);
	else
		rendezvous_decline(connection, CLC_TIMEOUT_CONFIRM_LINK);
}
