/* SPDX-License-Identifier: MIT */
#include "proto/control.h"

#include <string.h>

#include "proto/rendezvous.h"

struct llc_message control_new(const struct link_group *group, enum llc_type type)
{
	return (struct llc_message){
		.version = group->version, .type = (uint8_t)type, .little_length = group->little};
}

static bool same_end(const struct link *link, const struct llc_confirm_link *m)
{
	return memcmp(m->gid, link->peer.gid, sizeof(m->gid)) == 0 &&
	       m->queue_pair == link->peer.queue_pair && m->link != 0;
}

/* Our end, for CONFIRM LINK and its response. */
static struct llc_message confirm_link(const struct link_group *group)
{
	const struct proto_config *config = &group->host->config;
	struct llc_message message = control_new(group, LLC_CONFIRM_LINK);
	struct llc_confirm_link *m = &message.confirm_link;

	message.flags = LLC_NO_EYECATCHER;
	memcpy(m->mac, config->mac, sizeof(m->mac));
	memcpy(m->gid, group->version == 1 ? config->gid_v1 : config->gid_v2, sizeof(m->gid));
	m->queue_pair = group->link.queue_pair;
	m->link = group->link.number;
	m->user_id = group->link.user_id;
	m->max_links = group->max_links;
	m->max_connections = group->release ? group->max_connections : 0;
	return message;
}

void control_confirm_link(struct link_group *group)
{
	struct llc_message message;

	group->host->last_user_id += 1U << 8;
	group->link.number = 1;
	group->link.user_id = group->host->last_user_id | group->link.number;
	message = confirm_link(group);
	link_send_llc(&group->link, &message, false);
}

void control_answer_confirm_link(struct link_group *group)
{
	struct llc_message message = confirm_link(group);

	message.flags |= LLC_RESPONSE;
	link_send_llc(&group->link, &message, false);
}

bool control_delete_all(struct link_group *group, uint32_t reason, bool orderly)
{
	struct llc_message message = control_new(group, LLC_DELETE_LINK);

	message.flags = LLC_DELETE_ALL | (orderly ? LLC_DELETE_ORDERLY : 0);
	message.delete_link.reason = reason;
	return link_send_llc(&group->link, &message, true);
}

void control_test_link(struct link *link)
{
	struct llc_message message = control_new(link->group, LLC_TEST_LINK);

	link->tests++;
	memcpy(message.test_link.user_data, &link->tests, sizeof(link->tests));
	link_send_llc(link, &message, false);
}

static void confirm_link_received(struct link_group *group, const struct llc_message *message)
{
	const struct llc_confirm_link *m = &message->confirm_link;
	bool response = message->flags & LLC_RESPONSE;
	uint32_t diagnosis = 0;

	if (!group->first || response != (group->role == PROTO_SERVER) ||
	    !rendezvous_at(group->first, RENDEZVOUS_CONFIRM_LINK))
		return;
	if (!(message->flags & LLC_NO_EYECATCHER))
		diagnosis = CLC_EYECATCHER_IN_RMB;
	else if (!same_end(&group->link, m) || (response && m->link != group->link.number))
		diagnosis = CLC_TIMEOUT_CONFIRM_LINK;
	group->little = message->little_length;
	if (!response) {
		group->link.number = m->link;
		group->host->last_user_id += 1U << 8;
		group->link.user_id = group->host->last_user_id | m->link;
	}
	rendezvous_link_confirmed(group->first, diagnosis);
}

/* One link is all that a group has; Linux's reject is the request with these bits. */
static void add_link_received(struct link_group *group, struct llc_message *message)
{
	if (group->role == PROTO_SERVER || message->flags & LLC_RESPONSE)
		return;
	message->flags |= LLC_RESPONSE | LLC_REJECTED;
	if (group->version == 1)
		message->reason = LLC_REJECT_NO_ALTERNATE;
	link_send_llc(&group->link, message, false);
	if (group->first)
		rendezvous_add_link(group->first);
}

static void request_add_link_received(struct link_group *group, const struct llc_message *message)
{
	struct llc_message answer = control_new(group, LLC_REQUEST_ADD_LINK);

	if (group->role == PROTO_CLIENT || message->flags & LLC_RESPONSE)
		return;
	answer.flags = LLC_RESPONSE;
	link_send_llc(&group->link, &answer, false);
}

/* What comes while the group ends; see link_group.h. */
static void delete_link_answered(struct link_group *group, uint8_t flags)
{
	if (!group->unanswered && !(flags & LLC_RESPONSE))
		link_group_ended(
			group); /* both end it: what is still to be sent is owed to nobody */
	else if (flags & LLC_RESPONSE || !(flags & LLC_DELETE_ORDERLY))
		link_group_answered(group);
}

static void delete_link_received(struct link_group *group, struct llc_message *message)
{
	bool all = message->flags & LLC_DELETE_ALL;
	bool known = all || message->delete_link.link == group->link.number;
	bool sent;

	if (group->state == LINK_GROUP_ENDING) {
		delete_link_answered(group, message->flags);
		return;
	}
	if (message->flags & LLC_RESPONSE)
		return;
	/* The server owns the exchange: it asks for what its client wishes. */
	if (group->role == PROTO_CLIENT || !known) {
		message->flags |= LLC_RESPONSE;
		message->delete_link.reason = known ? 0 : LLC_DELETE_UNKNOWN_LINK;
	}
	sent = link_send_llc(&group->link, message, known);
	if (known)
		link_group_close(group, sent ? FAREWELL_SAID : FAREWELL_NONE);
}

static void test_link_received(struct link *link, struct llc_message *message)
{
	if (message->flags & LLC_RESPONSE)
		return; /* that something came was noted */
	message->flags |= LLC_RESPONSE;
	link_send_llc(link, message, false);
}

void control_received(struct link *link, const void *bytes, size_t length)
{
	struct link_group *group = link->group;
	struct llc_message message;

	if (llc_decode(&message, bytes, length, NULL) || message.version != group->version)
		return;
	switch (message.type) {
	case LLC_CONFIRM_LINK:
		confirm_link_received(group, &message);
		break;
	case LLC_ADD_LINK:
		add_link_received(group, &message);
		break;
	case LLC_REQUEST_ADD_LINK:
		request_add_link_received(group, &message);
		break;
	case LLC_DELETE_LINK:
		delete_link_received(group, &message);
		break;
	case LLC_CONFIRM_RKEY:
	case LLC_CONFIRM_RKEY_CONTINUATION:
	case LLC_DELETE_RKEY:
		rkey_received(group, &message);
		break;
	case LLC_TEST_LINK:
		test_link_received(link, &message);
		break;
	default:
		break;
	}
}
