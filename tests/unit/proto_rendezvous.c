/* SPDX-License-Identifier: MIT */
/*
 * First and later contacts in both roles, and which link group a connection comes to
 */
#include "proto.h"

/* The peer says that it has our key. */
static void answer_rkey(struct tester *t, struct link_group *group)
{
	struct llc_message message;

	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &message));
	message.flags = LLC_RESPONSE;
	give_llc(&group->link, &message);
}

/* The peer brings the key of @side. */
static void bring_rkey(struct link_group *group, const struct clc_message *side)
{
	struct llc_message message = {.version = group->version, .type = LLC_CONFIRM_RKEY};

	message.confirm_rkey.rkey = side->accept.r.rkey;
	message.confirm_rkey.address = side->accept.r.address;
	give_llc(&group->link, &message);
}

/* A later contact of which the test is the client; NULL if it became a first one. */
static struct connection *serve_later(struct tester *t, struct link_group *group)
{
	struct clc_message proposal = peer_proposal(group->version == 1, group->version > 1);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, group->version, false);
	struct connection *connection;

	forget(t);
	connection = server_with(t, &proposal);
	if (connection->group != group)
		return NULL;
	answer_rkey(t, group);
	complete(t, &group->link);
	bring_rkey(group, &confirm);
	complete(t, &group->link);
	give_clc(connection, &confirm);
	assert_int_equal(connection->state, CONNECTION_ACTIVE);
	return connection;
}

static void a_client_makes_its_first_contact(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = start(t, PROTO_CLIENT);
	struct clc_message proposal = sent_clc(t), confirm;
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, true);
	struct llc_message request = peer_confirm_link(2, false), response;
	struct link *link;

	(void)state;
	assert_int_equal(proposal.type, CLC_PROPOSAL);
	assert_memory_equal(proposal.proposal.peer.id, t->host.config.peer_id, CLC_PEER_ID_SIZE);
	give_clc(connection, &accept);
	tester_answer(t);
	link = &connection->group->link;
	assert_memory_equal(link->peer.gid, peer_gid_v2, CLC_GID_SIZE);
	assert_memory_equal(link->peer.mac, peer_mac, CLC_MAC_SIZE);
	assert_int_equal(link->peer.queue_pair, PEER_QUEUE_PAIR);
	assert_int_equal(link->peer.sequence, 0x777);
	assert_int_equal(link->peer.mtu, 2); /* the less of 2 and 3 */
	/* It can receive, and not send yet, before the Confirm goes out. */
	assert_int_equal(count_of(t, PROTO_LINK_CONNECT), 1);
	assert_int_equal(find(t, PROTO_LINK_CONNECT)->action.number, 0);
	confirm = sent_clc(t);
	assert_int_equal(confirm.type, CLC_CONFIRM);
	assert_true(confirm.flags & CLC_FIRST_CONTACT);
	assert_int_equal(confirm.accept.r.queue_pair, 0x100);
	assert_int_equal(confirm.accept.r.token, connection->token);
	assert_int_equal(confirm.accept.r.mtu, 2);
	assert_int_equal(confirm.accept.gid_count, 1);
	assert_int_equal(confirm.accept.first_contact.max_connections, 255);
	assert_null(find(t, PROTO_SEND));
	give_llc(link, &request);
	tester_answer(t);
	assert_int_equal(find(t, PROTO_LINK_CONNECT)->action.number, 1);
	assert_true(sent_llc(t, LLC_CONFIRM_LINK, &response));
	assert_int_equal(response.flags, LLC_RESPONSE | LLC_NO_EYECATCHER);
	assert_int_equal(response.confirm_link.link, 1);
	assert_int_equal(response.confirm_link.queue_pair, 0x100);
	assert_null(find(t, PROTO_CONNECTED));
	complete(t, link);
	assert_non_null(find(t, PROTO_CONNECTED));
	assert_false(sent_llc(t, LLC_CONFIRM_RKEY, &response)); /* CLC has brought it */
	tester_end(t);
}

static void a_server_makes_a_first_contact(void **state)
{
	(void)state;
	for (uint8_t version = 1; version <= 2; version++) {
		struct tester *t = tester_new();
		struct connection *connection = serve(t, version);
		struct clc_message accept = sent_clc(t);
		struct llc_message request;

		assert_int_equal(accept.type, CLC_ACCEPT);
		assert_int_equal(accept.version, version);
		assert_true(accept.flags & CLC_FIRST_CONTACT);
		assert_int_equal(accept.accept.r.element, 1);
		assert_int_equal(accept.accept.r.sequence, 0x5a5a01);
		if (version > 1)
			assert_memory_equal(accept.accept.eid, eid, CLC_EID_SIZE);
		assert_int_equal(find(t, PROTO_LINK_CONNECT)->action.number, 1);
		assert_true(sent_llc(t, LLC_CONFIRM_LINK, &request));
		assert_int_equal(request.flags, LLC_NO_EYECATCHER);
		assert_int_equal(request.confirm_link.link, 1);
		assert_int_equal(connection->group->state, LINK_GROUP_ACTIVE);
		assert_int_equal(connection->peer_token, PEER_TOKEN);
		tester_end(t);
	}
}

static void an_old_client_does_not_repeat_the_first_contact(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(true, false);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 1, false);
	struct connection *connection = server_with(t, &proposal);

	(void)state;
	give_clc(connection, &confirm);
	tester_answer(t);
	assert_true(rendezvous_at(connection, RENDEZVOUS_CONFIRM_LINK));
	tester_end(t);
}

static void a_message_may_come_byte_by_byte(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(true, true);
	struct connection *connection = start(t, PROTO_SERVER);
	uint8_t bytes[CLC_LENGTH_MAX + 4] = {0};
	size_t length = (size_t)clc_encode(&proposal, bytes, CLC_LENGTH_MAX), taken = 0;

	(void)state;
	for (size_t there = 1; there <= length; there++) {
		size_t n = there - taken;

		assert_true(n <= connection_tcp_wanted(connection));
		taken += connection_tcp_received(connection, bytes + taken, n);
	}
	assert_int_equal(taken, length);
	assert_int_equal(connection_tcp_wanted(connection), 0); /* nothing behind it */
	tester_answer(t);
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	tester_end(t);
}

/* A later version may append as much as it likes: it is taken off the stream, and not kept. */
static void a_longer_message_is_taken_as_a_whole(void **state)
{
	static const size_t lengths[] = {200, CLC_LENGTH_MAX, CLC_LENGTH_MAX + 1, 5000, 65535};

	(void)state;
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct tester *t = tester_new();
		struct clc_message proposal = peer_proposal(false, true);
		struct connection *connection = start(t, PROTO_SERVER);
		uint8_t *bytes = calloc(1, 65536);

		proposal.version = 3;
		clc_encode(&proposal, bytes, CLC_LENGTH_MAX);
		bytes[5] = (uint8_t)(lengths[i] >> 8);
		bytes[6] = (uint8_t)lengths[i];
		memcpy(bytes + lengths[i] - 4, "\xe2\xd4\xc3\xd9", 4);
		assert_int_equal(give_tcp(connection, bytes, lengths[i]), lengths[i]);
		tester_answer(t);
		assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
		assert_int_equal(sent_clc(t).version, 2);
		free(bytes);
		tester_end(t);
	}
}

static void a_later_contact_confirms_its_keys_before_clc(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2), *connection;
	struct clc_message proposal = peer_proposal(false, true), accept;
	struct llc_message request;

	(void)state;
	forget(t);
	connection = server_with(t, &proposal);
	assert_ptr_equal(connection->group, first->group);
	assert_null(find(t, PROTO_TCP_SEND));
	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &request));
	assert_int_equal(request.confirm_rkey.rkey, connection->rmb->rkey);
	assert_int_equal(request.confirm_rkey.count, 0);
	answer_rkey(t, first->group);
	accept = sent_clc(t);
	assert_int_equal(accept.flags & CLC_FIRST_CONTACT, 0);
	assert_int_equal(accept.accept.r.rkey, connection->rmb->rkey);
	assert_int_not_equal(connection->token, first->token);
	assert_null(find(t, PROTO_LINK_CREATE));
	tester_end(t);
}

static void a_client_follows_to_the_same_link(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = connect_first(t, 2), *connection;
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, false);

	(void)state;
	connection = start(t, PROTO_CLIENT);
	bring_rkey(first->group, &accept); /* while the Accept is still awaited */
	forget(t);
	give_clc(connection, &accept);
	tester_answer(t);
	assert_ptr_equal(connection->group, first->group);
	assert_null(find(t, PROTO_TCP_SEND));
	answer_rkey(t, first->group);
	assert_int_equal(sent_clc(t).type, CLC_CONFIRM);
	assert_non_null(find(t, PROTO_CONNECTED));
	tester_end(t);
}

/* As where its adapter was removed, of which nobody is told, and came back. */
static void a_client_follows_to_the_later_link_if_a_number_is_given_again(void **state)
{
	struct tester *t = tester_new();
	struct connection *old = connect_first(t, 2), *first = connect_first(t, 2), *connection;
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, false);

	(void)state;
	assert_ptr_not_equal(first->group, old->group);
	assert_true(old->group->link.testing);
	assert_false(first->group->link.testing);
	connection = start(t, PROTO_CLIENT);
	bring_rkey(first->group, &accept);
	give_clc(connection, &accept);
	tester_answer(t);
	assert_ptr_equal(connection->group, first->group);
	answer_rkey(t, first->group);
	assert_int_equal(sent_clc(t).type, CLC_CONFIRM);
	tester_end(t);
}

static void a_negative_answer_with_retry_is_asked_again(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2);
	struct clc_message proposal = peer_proposal(false, true);
	struct llc_message request;

	(void)state;
	forget(t);
	server_with(t, &proposal);
	for (unsigned int i = 0; i < RKEY_RETRIES; i++) {
		assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &request));
		request.flags = LLC_RESPONSE | LLC_NEGATIVE | LLC_RETRY;
		forget(t);
		give_llc(&first->group->link, &request);
		complete(t, &first->group->link);
		assert_null(find(t, PROTO_FELL_BACK));
	}
	give_llc(&first->group->link, &request);
	assert_int_equal(sent_clc(t).decline.diagnosis, CLC_RMB_NOT_REGISTERED);
	tester_end(t);
}

/* A peer that has lost the link is silent for longer than a request waits, and until then all would be declined. */
static void a_group_whose_peer_does_not_answer_takes_no_more(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = serve(t, 2)->group;
	struct clc_message proposal = peer_proposal(false, true);
	struct llc_message test = {.version = 2, .type = LLC_TEST_LINK};
	struct connection *connection = server_with(t, &proposal);

	(void)state;
	forget(t);
	proto_timer_expired(&t->host, &group->flow_timer);
	tester_answer(t);
	assert_ptr_not_equal(connection->group, group);
	assert_true(sent_clc(t).flags & CLC_FIRST_CONTACT);
	assert_int_equal(group->state, LINK_GROUP_ACTIVE);
	assert_true(rendezvous_at(server_with(t, &proposal), RENDEZVOUS_GROUP));
	give_llc(&group->link, &test); /* it is there after all */
	assert_ptr_equal(server_with(t, &proposal)->group, group);
	tester_end(t);
}

static void proposals_wait_for_a_pending_first_contact(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, true);
	struct llc_message response = peer_confirm_link(2, true);
	struct connection *first = server_with(t, &proposal), *second, *third;

	(void)state;
	forget(t);
	second = server_with(t, &proposal);
	third = server_with(t, &proposal);
	assert_null(find(t, PROTO_LINK_CREATE));
	assert_true(rendezvous_at(second, RENDEZVOUS_GROUP));
	give_clc(first, &confirm);
	tester_answer(t);
	give_llc(&first->group->link, &response);
	tester_answer(t);
	assert_ptr_equal(second->group, first->group);
	assert_ptr_equal(third->group, first->group);
	assert_int_equal(first->group->count, 3);
	tester_end(t);
}

static void who_waited_makes_the_first_contact_when_it_fails(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message decline = peer_decline(2, CLC_NO_MEMORY);
	struct connection *first = server_with(t, &proposal);
	struct connection *second = server_with(t, &proposal);

	(void)state;
	forget(t);
	give_clc(first, &decline);
	tester_answer(t);
	assert_non_null(find(t, PROTO_LINK_CREATE));
	assert_true(rendezvous_at(second, RENDEZVOUS_CONFIRM));
	assert_true(sent_clc(t).flags & CLC_FIRST_CONTACT);
	tester_end(t);
}

/* It has forgotten the group, and its new Proposals look like the old ones, which in v2 name no host. */
static void a_peer_that_was_started_anew_gets_another_group(void **state)
{
	struct tester *t = tester_new();
	struct connection *old = serve(t, 2), *connections[3];
	struct link_group *group = old->group;
	struct clc_message proposal = peer_proposal(false, true);

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		connections[i] = server_with(t, &proposal);
		assert_ptr_equal(connections[i]->group, group);
	}
	assert_true(group->flow_timer.running);
	proto_timer_expired(&t->host, &group->flow_timer); /* nobody answers CONFIRM RKEY */
	/* One of them makes it, and the other waits for that: without two seconds more. */
	assert_true(connections[1]->rendezvous->first_contact);
	assert_ptr_not_equal(connections[1]->group, group);
	assert_true(rendezvous_at(connections[0], RENDEZVOUS_GROUP));
	tester_answer(t);
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	assert_true(sent_clc(t).flags & CLC_FIRST_CONTACT);
	connections[2] = server_with(t, &proposal);
	assert_true(rendezvous_at(connections[2], RENDEZVOUS_GROUP));
	assert_int_equal(old->state, CONNECTION_ACTIVE); /* nothing is known of it yet */
	assert_int_equal(group->count, 1);
	tester_end(t);
}

/* The same, where what was under way to it has run out of retries meanwhile. */
static void who_asked_of_a_link_that_is_lost_gets_another_group(void **state)
{
	struct tester *t = tester_new();
	struct connection *old = serve(t, 2);
	struct clc_message proposal = peer_proposal(false, true);
	struct connection *connection = server_with(t, &proposal);

	(void)state;
	assert_true(rendezvous_at(connection, RENDEZVOUS_KEY));
	forget(t);
	link_failed(&old->group->link);
	assert_null(find(t, PROTO_TCP_SEND)); /* no Decline */
	tester_answer(t);
	assert_true(connection->rendezvous->first_contact);
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	connection_close(old, CONNECTION_NO_LINGER);
	tester_end(t);
}

/* Else programs of idle connections would learn only by the next TEST LINK, up to a minute later. */
static void old_links_to_a_peer_of_another_name_are_tested(void **state)
{
	(void)state;
	for (unsigned int same = 0; same <= 1; same++) {
		struct tester *t = tester_new();
		struct link *server = &serve(t, 2)->group->link, *client;
		struct clc_message proposal = peer_proposal(true, false);
		struct clc_message confirm = peer_side(t, CLC_CONFIRM, 1, true);
		struct llc_message response = peer_confirm_link(1, true);
		struct connection *connection;

		server->peer.queue_pair = PEER_QUEUE_PAIR + 1;
		client = &connect_first(t, 2)->group->link;
		client->peer.queue_pair = PEER_QUEUE_PAIR + 2;
		/* (another version makes another group in any case) */
		memcpy(server->peer.gid, peer_gid_v1, CLC_GID_SIZE);
		memcpy(client->peer.gid, peer_gid_v1, CLC_GID_SIZE);
		if (!same)
			proposal.proposal.peer.id[0] = ++confirm.accept.r.peer.id[0];
		connection = server_with(t, &proposal);
		give_clc(connection, &confirm);
		tester_answer(t);
		assert_false(server->testing || client->testing);
		give_llc(&connection->group->link, &response);
		assert_int_equal(server->testing, !same);
		assert_int_equal(client->testing, !same);
		assert_false(connection->group->link.testing);
		tester_end(t);
	}
}

static void a_link_group_takes_255_connections(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = serve(t, 2)->group;

	(void)state;
	for (unsigned int i = 1; i < 255; i++)
		assert_non_null(serve_later(t, group));
	assert_int_equal(group->count, 255);
	assert_null(serve_later(t, group)); /* one more is a first contact */
	assert_true(sent_clc(t).flags & CLC_FIRST_CONTACT);
	tester_end(t);
}

static void a_negotiated_limit_counts_instead(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group;

	(void)state;
	t->host.config.max_connections = 16;
	{
		struct clc_message proposal = peer_proposal(false, true);
		struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, true);
		struct connection *connection = server_with(t, &proposal);
		struct llc_message response = peer_confirm_link(2, true);

		confirm.accept.first_contact.max_connections = 16;
		give_clc(connection, &confirm);
		tester_answer(t);
		give_llc(&connection->group->link, &response);
		group = connection->group;
	}
	for (unsigned int i = 1; i < 16; i++)
		assert_non_null(serve_later(t, group));
	assert_null(serve_later(t, group));
	tester_end(t);
}

static void a_full_table_of_keys_makes_a_new_group(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = serve(t, 2)->group;

	(void)state;
	while (rkey_has_room(group))
		rkey_add(group, 0x9000 + t->peers++, PEER_ADDRESS);
	assert_null(serve_later(t, group));
	tester_end(t);
}

/* What must be equal for a group to be found again, one thing at a time. */
static void another_peer_gid_vlan_or_version_is_another_group(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		struct tester *t = tester_new();
		struct link_group *group = serve(t, i == 4 ? 1 : 2)->group;
		struct clc_message proposal = peer_proposal(i == 4, i != 4);
		struct rendezvous_facts facts = facts_of(PROTO_SERVER);
		struct connection *connection;

		proposal.proposal.peer.id[0] ^= i == 0;
		proposal.proposal.v2.gid[15] ^= i == 1;
		proposal.proposal.peer.mac[0] ^= i >= 3; /* counts in v1 alone */
		facts.vlan = i == 2;
		connection = connection_start(&t->host, &facts, NULL);
		give_clc(connection, &proposal);
		tester_answer(t);
		assert_int_equal(connection->group == group, i == 3);
		tester_end(t);
	}
}

static void a_client_with_an_unknown_id_is_found_again_by_its_proposals(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, true);
	struct llc_message response = peer_confirm_link(2, true);
	struct connection *connection;
	struct link_group *group;

	(void)state;
	/* Linux says nothing of itself in a Proposal of v2 alone, but does in the Confirm. */
	memset(&proposal.proposal.peer, 0, sizeof(proposal.proposal.peer));
	connection = server_with(t, &proposal);
	give_clc(connection, &confirm);
	tester_answer(t);
	group = connection->group;
	give_llc(&group->link, &response);
	connection = server_with(t, &proposal);
	assert_ptr_equal(connection->group, group);
	tester_end(t);
}

static void out_of_sync_ends_the_group_and_the_next_one_is_new(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2), *connection;
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message decline = peer_decline(2, CLC_SYNCHRONISATION);

	(void)state;
	connection = server_with(t, &proposal);
	answer_rkey(t, first->group);
	forget(t);
	give_clc(connection, &decline);
	assert_non_null(find(t, PROTO_FELL_BACK));
	assert_ptr_equal(find(t, PROTO_RESET)->action.connection, first);
	forget(t);
	server_with(t, &proposal);
	assert_non_null(find(t, PROTO_LINK_CREATE));
	assert_true(sent_clc(t).flags & CLC_FIRST_CONTACT);
	tester_end(t);
}

static void out_of_sync_of_a_stranger_only_falls_back(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2), *connection;
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message decline = peer_decline(2, CLC_SYNCHRONISATION);

	(void)state;
	memset(decline.decline.peer_id, 0, CLC_PEER_ID_SIZE);
	connection = server_with(t, &proposal);
	answer_rkey(t, first->group);
	give_clc(connection, &decline);
	assert_non_null(find(t, PROTO_FELL_BACK));
	assert_int_equal(first->state, CONNECTION_ACTIVE);
	tester_end(t);
}

static void the_roles_have_groups_of_their_own(void **state)
{
	struct tester *t = tester_new();
	struct connection *outgoing = connect_first(t, 2), *incoming;
	struct clc_message proposal = peer_proposal(false, true);

	(void)state;
	incoming = server_with(t, &proposal);
	assert_ptr_not_equal(incoming->group, outgoing->group);
	tester_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_makes_its_first_contact),
		cmocka_unit_test(a_server_makes_a_first_contact),
		cmocka_unit_test(an_old_client_does_not_repeat_the_first_contact),
		cmocka_unit_test(a_message_may_come_byte_by_byte),
		cmocka_unit_test(a_longer_message_is_taken_as_a_whole),
		cmocka_unit_test(a_later_contact_confirms_its_keys_before_clc),
		cmocka_unit_test(a_client_follows_to_the_same_link),
		cmocka_unit_test(a_client_follows_to_the_later_link_if_a_number_is_given_again),
		cmocka_unit_test(a_negative_answer_with_retry_is_asked_again),
		cmocka_unit_test(a_group_whose_peer_does_not_answer_takes_no_more),
		cmocka_unit_test(proposals_wait_for_a_pending_first_contact),
		cmocka_unit_test(who_waited_makes_the_first_contact_when_it_fails),
		cmocka_unit_test(a_peer_that_was_started_anew_gets_another_group),
		cmocka_unit_test(who_asked_of_a_link_that_is_lost_gets_another_group),
		cmocka_unit_test(old_links_to_a_peer_of_another_name_are_tested),
		cmocka_unit_test(a_link_group_takes_255_connections),
		cmocka_unit_test(a_negotiated_limit_counts_instead),
		cmocka_unit_test(a_full_table_of_keys_makes_a_new_group),
		cmocka_unit_test(another_peer_gid_vlan_or_version_is_another_group),
		cmocka_unit_test(a_client_with_an_unknown_id_is_found_again_by_its_proposals),
		cmocka_unit_test(out_of_sync_ends_the_group_and_the_next_one_is_new),
		cmocka_unit_test(out_of_sync_of_a_stranger_only_falls_back),
		cmocka_unit_test(the_roles_have_groups_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
