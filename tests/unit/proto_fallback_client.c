/* SPDX-License-Identifier: MIT */
/*
 * Every way of a client back to TCP, or to an error, with what is said on the wire
 */
#include "proto_fallback.h"

static void without_the_option_nothing_is_said(void **state)
{
	struct tester *t = tester_new();
	struct rendezvous_facts facts = facts_of(PROTO_CLIENT);

	(void)state;
	facts.agreed = false;
	connection_start(&t->host, &facts, NULL);
	assert_silent(t, CLC_PEER_WITHOUT_SMC);
	forget(t);
	facts.role = PROTO_SERVER;
	facts.refusal = CLC_OPTION;
	connection_start(&t->host, &facts, NULL);
	assert_silent(t, CLC_OPTION);
	tester_end(t);
}

static void a_client_that_cannot_declines_instead_of_proposing(void **state)
{
	static const uint32_t refusals[] = {CLC_IPSEC, CLC_NO_MEMORY, CLC_CONFIGURATION};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct tester *t = tester_new();
		struct rendezvous_facts facts = facts_of(PROTO_CLIENT);

		facts.refusal = i < 3 ? refusals[i] : 0;
		facts.v1 = facts.v2 = i < 3;
		connection_start(&t->host, &facts, NULL);
		assert_declined(t, i < 3 ? refusals[i] : (uint32_t)CLC_NO_DEVICE, 1);
		assert_false(find(t, PROTO_FELL_BACK)->action.late);
		tester_end(t);
	}
}

static void a_declined_client_says_nothing(void **state)
{
	(void)state;
	for (uint8_t version = 1; version <= 2; version++) {
		struct tester *t = tester_new();
		struct connection *connection = start(t, PROTO_CLIENT);
		struct clc_message decline = peer_decline(version, 0x07000000);

		forget(t);
		give_clc(connection, &decline);
		assert_silent(t, CLC_PEER_DECLINED);
		assert_false(find(t, PROTO_FELL_BACK)->action.mute);
		tester_end(t);
	}
}

static void a_client_without_an_accept_goes_on_with_tcp(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = start(t, PROTO_CLIENT);

	(void)state;
	assert_int_equal(find(t, PROTO_TIMER_START)->action.number, PROTO_CLC_WAIT);
	expire(t, &connection->step);
	assert_declined(t, CLC_TIMEOUT_CONFIRM_LINK, 1);
	assert_true(find(t, PROTO_FELL_BACK)->action.late);
	assert_true(find(t, PROTO_FELL_BACK)->action.mute);
	tester_end(t);
}

/* As a health checker does, which connects and resets: the peer had no time to show what it is. */
static void a_client_that_gives_up_itself_says_nothing_of_its_peer(void **state)
{
	struct tester *t = tester_new();

	(void)state;
	connection_abort(start(t, PROTO_CLIENT));
	assert_int_equal(find(t, PROTO_FAILED)->action.number, ECONNABORTED);
	assert_false(find(t, PROTO_FAILED)->action.mute);
	start(t, PROTO_CLIENT);
	proto_host_end(&t->host);
	assert_int_equal(find(t, PROTO_FELL_BACK)->action.number, CLC_NO_DEVICE);
	assert_false(find(t, PROTO_FELL_BACK)->action.mute);
	tester_end(t);
}

/* It has spoken SMC on another connection, and is busy: no reason to ask it no more. */
static void a_peer_with_a_link_group_is_slow_and_not_mute(void **state)
{
	struct tester *t = tester_new();
	struct connection *later;

	(void)state;
	connect_first(t, 2);
	forget(t);
	later = start(t, PROTO_CLIENT);
	expire(t, &later->step);
	assert_int_equal(find(t, PROTO_FELL_BACK)->action.number, CLC_TIMEOUT_CONFIRM_LINK);
	assert_false(find(t, PROTO_FELL_BACK)->action.mute);
	tester_end(t);
}

/* A peer of old that echoes what it does not know sends back the Proposal, too. */
static void a_client_whose_proposal_comes_back_finds_its_peer_mute(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = start(t, PROTO_CLIENT);
	const struct kept *sent = find(t, PROTO_TCP_SEND);

	(void)state;
	assert_non_null(sent);
	connection_tcp_received(connection, sent->bytes, CLC_HEADER_LENGTH);
	assert_non_null(find(t, PROTO_FAILED));
	assert_true(find(t, PROTO_FAILED)->action.mute);
	tester_end(t);
}

static void a_client_fails_at_what_is_no_accept(void **state)
{
	struct tester *t;
	struct clc_message confirm;

	(void)state;
	t = tester_new();
	give_tcp(start(t, PROTO_CLIENT), (const uint8_t *)"HTTP/1.1", 8);
	forget(t);
	give_tcp(start(t, PROTO_CLIENT), (const uint8_t *)"HTTP/1.1", 8);
	assert_int_equal(find(t, PROTO_FAILED)->action.number, EPROTO);
	assert_true(find(t, PROTO_FAILED)->action.mute);
	forget(t);
	confirm = peer_side(t, CLC_CONFIRM, 2, true);
	{
		struct connection *connection = start(t, PROTO_CLIENT);
		uint8_t bytes[CLC_LENGTH_MAX];

		forget(t);
		clc_encode(&confirm, bytes, sizeof(bytes));
		give_tcp(connection, bytes, 8);
		assert_failed(t, EPROTO);
	}
	tester_end(t);
}

static void a_client_fails_when_tcp_ends(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = start(t, PROTO_CLIENT);

	(void)state;
	forget(t);
	connection_tcp_ended(connection);
	assert_failed(t, ECONNRESET);
	tester_end(t);
}

static void a_damaged_message_fails(void **state)
{
	struct tester *t = tester_new();
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, true);
	struct connection *connection = start(t, PROTO_CLIENT);
	uint8_t bytes[CLC_LENGTH_MAX];
	int length = clc_encode(&accept, bytes, sizeof(bytes));

	(void)state;
	forget(t);
	bytes[length - 1] ^= 1; /* the trailer */
	give_tcp(connection, bytes, (size_t)length);
	assert_failed(t, EPROTO);
	assert_false(find(t, PROTO_FAILED)->action.mute);
	tester_end(t);
}

/* What is wrong with an Accept, and what it is declined with. */
static void spoil_mode(struct tester *t, struct clc_message *accept)
{
	(void)t;
	memset(&accept->accept, 0, sizeof(accept->accept));
	accept->flags |= CLC_PATH_D;
	accept->smcd_first = accept->smcd_last = true;
}

static void spoil_version(struct tester *t, struct clc_message *accept)
{
	*accept = peer_side(t, CLC_ACCEPT, 1, true);
}

static void spoil_connections(struct tester *t, struct clc_message *accept)
{
	(void)t;
	accept->accept.first_contact.max_connections = 15;
}

static void spoil_links(struct tester *t, struct clc_message *accept)
{
	(void)t;
	accept->accept.first_contact.max_links = 3;
}

static void spoil_release(struct tester *t, struct clc_message *accept)
{
	(void)t;
	accept->accept.first_contact.release = 2;
}

static void spoil_side(struct tester *t, struct clc_message *accept)
{
	(void)t;
	accept->accept.r.element = 0;
}

static void spoil_route(struct tester *t, struct clc_message *accept)
{
	accept->accept.first_contact.flags = 0;
	t->route = RENDEZVOUS_UNREACHABLE;
}

static void spoil_gateway(struct tester *t, struct clc_message *accept)
{
	accept->accept.first_contact.flags = 0;
	t->route = RENDEZVOUS_DIRECT;
}

static void spoil_group(struct tester *t, struct clc_message *accept)
{
	(void)t;
	accept->flags = 0;
}

static void spoil_memory(struct tester *t, struct clc_message *accept)
{
	(void)accept;
	t->memory_ok = false;
}

static void spoil_link(struct tester *t, struct clc_message *accept)
{
	(void)accept;
	t->link_ok = false;
}

static void spoil_connect(struct tester *t, struct clc_message *accept)
{
	(void)accept;
	t->connect_ok = false;
}

static void spoil_region(struct tester *t, struct clc_message *accept)
{
	(void)accept;
	t->region_ok = false;
}

static const struct {
	void (*spoil)(struct tester *t, struct clc_message *accept);
	uint32_t diagnosis;
	uint8_t version;
} accepts[] = {
	{spoil_mode, CLC_MODE, 2},
	{spoil_version, CLC_MODE, 1},
	{spoil_connections, CLC_MAX_CONNECTIONS, 2},
	{spoil_links, CLC_MAX_LINKS, 2},
	{spoil_release, CLC_RELEASE, 2},
	{spoil_side, CLC_INTERNAL, 2},
	{spoil_route, CLC_NO_ROUTE, 2},
	{spoil_gateway, CLC_NOT_INDIRECT, 2},
	{spoil_group, CLC_SYNCHRONISATION, 2},
	{spoil_memory, CLC_NO_MEMORY, 2},
	{spoil_link, CLC_NO_MEMORY, 2},
	{spoil_connect, CLC_LINK_NOT_READY, 2},
	{spoil_region, CLC_RMB_NOT_REGISTERED, 2},
};

static void each_bad_accept_is_declined_with_its_code(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++) {
		struct tester *t = tester_new();
		struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, true);
		struct connection *connection;

		t->host.config.v1 = false;
		connection = start(t, PROTO_CLIENT);
		accepts[i].spoil(t, &accept);
		give_clc(connection, &accept);
		tester_answer(t);
		assert_declined(t, accepts[i].diagnosis, accepts[i].version);
		assert_true(find(t, PROTO_FELL_BACK)->action.late);
		t->memory_ok = true;
		/* Nothing is left of the new link group. */
		assert_true(list_empty(&t->host.groups));
		tester_end(t);
	}
}

/* A client that has sent its Confirm of a first contact. */
static struct connection *confirming(struct tester *t, uint8_t version)
{
	struct clc_message accept = peer_side(t, CLC_ACCEPT, version, true);
	struct connection *connection = start(t, PROTO_CLIENT);

	give_clc(connection, &accept);
	tester_answer(t);
	assert_int_equal(sent_clc(t).type, CLC_CONFIRM);
	forget(t);
	return connection;
}

static void a_client_waits_a_second_more_for_a_decline(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = confirming(t, 2);
	struct clc_message decline = peer_decline(2, CLC_TIMEOUT_CONFIRM_LINK);

	(void)state;
	expire(t, &connection->step);
	assert_null(find(t, PROTO_FELL_BACK));
	assert_int_equal(find(t, PROTO_TIMER_START)->action.number, PROTO_DECLINE_GRACE);
	give_clc(connection, &decline);
	assert_silent(t, CLC_PEER_DECLINED);
	assert_true(list_empty(&t->host.groups));
	forget(t);
	connection = confirming(t, 2);
	expire(t, &connection->step);
	expire(t, &connection->step);
	assert_declined(t, CLC_TIMEOUT_CONFIRM_LINK, 2);
	assert_true(list_empty(&t->host.groups));
	tester_end(t);
}

static void a_bad_confirm_link_is_declined(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct tester *t = tester_new();
		struct connection *connection = confirming(t, 2);
		struct llc_message request = peer_confirm_link(2, false);

		if (i == 0)
			request.flags &= (uint8_t)~LLC_NO_EYECATCHER;
		else
			request.confirm_link.queue_pair++;
		give_llc(&connection->group->link, &request);
		assert_declined(t, i == 0 ? CLC_EYECATCHER_IN_RMB : CLC_TIMEOUT_CONFIRM_LINK, 2);
		tester_end(t);
	}
}

static void a_lost_link_in_the_rendezvous_is_declined(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = confirming(t, 2);

	(void)state;
	link_failed(&connection->group->link);
	assert_declined(t, CLC_TIMEOUT_CONFIRM_LINK, 2);
	assert_non_null(find(t, PROTO_LINK_DESTROY));
	tester_end(t);
}

static void no_add_link_is_no_failure(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = connect_first(t, 1);

	(void)state;
	assert_null(find(t, PROTO_CONNECTED));
	assert_int_equal(find(t, PROTO_TIMER_START)->action.number, PROTO_ADD_LINK_WAIT);
	expire(t, &connection->step);
	assert_null(find(t, PROTO_CONNECTED));
	expire(t, &connection->step);
	assert_non_null(find(t, PROTO_CONNECTED));
	assert_null(find(t, PROTO_FELL_BACK));
	tester_end(t);
}

static void a_decline_instead_of_add_link_ends_the_group(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = connect_first(t, 1);
	struct clc_message decline = peer_decline(1, CLC_TIMEOUT_CONFIRM_LINK);

	(void)state;
	forget(t);
	give_clc(connection, &decline);
	assert_silent(t, CLC_PEER_DECLINED);
	proto_host_stop(&t->host);
	assert_non_null(find(t, PROTO_LINK_DESTROY));
	tester_end(t);
}

/* Later contact: the peer refuses our key, or does not answer, or offers one that it never confirmed. */
static void a_key_that_is_not_confirmed_is_declined(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct tester *t = tester_new();
		struct connection *first = connect_first(t, 2), *connection;
		struct link_group *group = first->group;
		struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, false);
		struct llc_message answer;

		if (i != 2)
			rkey_add(group, accept.accept.r.rkey, accept.accept.r.address);
		connection = start(t, PROTO_CLIENT);
		forget(t);
		give_clc(connection, &accept);
		tester_answer(t);
		if (i == 0)
			expire(t, &group->flow_timer);
		if (i == 1) {
			assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &answer));
			answer.flags = LLC_RESPONSE | LLC_NEGATIVE;
			give_llc(&group->link, &answer);
		}
		assert_non_null(find(t, PROTO_FELL_BACK));
		assert_int_equal(sent_clc(t).decline.diagnosis,
				 i == 2 ? CLC_NO_RKEY_SLOT : CLC_RMB_NOT_REGISTERED);
		/* The others in the group do not notice. */
		assert_int_equal(first->state, CONNECTION_ACTIVE);
		tester_end(t);
	}
}

/* A client of a later contact that registers its RMB, or has its key confirmed. */
static struct connection *joining(struct tester *t, struct link_group *group, bool registered)
{
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, false);
	struct connection *connection = start(t, PROTO_CLIENT);

	rkey_add(group, accept.accept.r.rkey, accept.accept.r.address);
	forget(t);
	give_clc(connection, &accept);
	if (registered)
		tester_answer(t);
	return connection;
}

static void a_link_that_is_lost_in_a_later_contact_is_declined(void **state)
{
	(void)state;
	for (unsigned int registered = 0; registered < 2; registered++) {
		struct tester *t = tester_new();
		struct connection *first = connect_first(t, 2);
		struct link *link = &first->group->link;

		joining(t, first->group, registered);
		link_failed(link);
		assert_int_equal(sent_clc(t).type, CLC_DECLINE);
		assert_int_equal(sent_clc(t).decline.diagnosis, CLC_NO_ACTIVE_LINK);
		assert_int_equal(find(t, PROTO_FELL_BACK)->action.number, CLC_NO_ACTIVE_LINK);
		assert_int_equal(first->state, CONNECTION_CLOSED);
		tester_end(t);
	}
}

/* The server counts its connections; a client that is told of one too many has no place for it. */
static void a_link_group_that_is_full_is_declined(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = connect_first(t, 2);
	struct link_group *group = first->group;

	(void)state;
	for (unsigned int slot = 1; slot < PROTO_CONNECTIONS_MAX; slot++)
		group->connections[slot] = first;
	joining(t, group, true);
	assert_int_equal(sent_clc(t).type, CLC_DECLINE);
	assert_int_equal(sent_clc(t).decline.diagnosis, CLC_NO_SERVER_LINK);
	assert_int_equal(find(t, PROTO_FELL_BACK)->action.number, CLC_NO_SERVER_LINK);
	for (unsigned int slot = 1; slot < PROTO_CONNECTIONS_MAX; slot++)
		group->connections[slot] = NULL;
	assert_int_equal(first->state, CONNECTION_ACTIVE);
	tester_end(t);
}

static void the_whole_rendezvous_has_a_limit(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = confirming(t, 2);

	(void)state;
	expire(t, &connection->limit);
	assert_declined(t, CLC_TIMEOUT_CONFIRM_LINK, 2);
	tester_end(t);
}

static void a_late_message_is_found_before_the_data(void **state)
{
	struct tester *t = tester_new();
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, true);
	struct clc_message decline = peer_decline(2, CLC_NO_DEVICE);
	uint8_t bytes[2 * CLC_LENGTH_MAX];
	int length = clc_encode(&accept, bytes, sizeof(bytes));
	int more = clc_encode(&decline, bytes + length, CLC_LENGTH_MAX);

	(void)state;
	for (int n = 0; n < length; n++)
		assert_int_equal(rendezvous_late(PROTO_CLIENT, bytes, (size_t)n), -EAGAIN);
	assert_int_equal(rendezvous_late(PROTO_CLIENT, bytes, (size_t)(length + more)), length);
	assert_int_equal(rendezvous_late(PROTO_CLIENT, bytes + length, (size_t)more), more);
	assert_int_equal(rendezvous_late(PROTO_SERVER, bytes, (size_t)length), 0);
	assert_int_equal(rendezvous_late(PROTO_CLIENT, "SSH-2.0", 7), 0);
	bytes[length - 1] ^= 1;
	assert_int_equal(rendezvous_late(PROTO_CLIENT, bytes, (size_t)length), 0);
	tester_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_option_nothing_is_said),
		cmocka_unit_test(a_client_that_cannot_declines_instead_of_proposing),
		cmocka_unit_test(a_declined_client_says_nothing),
		cmocka_unit_test(a_client_without_an_accept_goes_on_with_tcp),
		cmocka_unit_test(a_client_that_gives_up_itself_says_nothing_of_its_peer),
		cmocka_unit_test(a_peer_with_a_link_group_is_slow_and_not_mute),
		cmocka_unit_test(a_client_whose_proposal_comes_back_finds_its_peer_mute),
		cmocka_unit_test(a_client_fails_at_what_is_no_accept),
		cmocka_unit_test(a_client_fails_when_tcp_ends),
		cmocka_unit_test(a_damaged_message_fails),
		cmocka_unit_test(each_bad_accept_is_declined_with_its_code),
		cmocka_unit_test(a_client_waits_a_second_more_for_a_decline),
		cmocka_unit_test(a_bad_confirm_link_is_declined),
		cmocka_unit_test(a_lost_link_in_the_rendezvous_is_declined),
		cmocka_unit_test(no_add_link_is_no_failure),
		cmocka_unit_test(a_decline_instead_of_add_link_ends_the_group),
		cmocka_unit_test(a_key_that_is_not_confirmed_is_declined),
		cmocka_unit_test(a_link_that_is_lost_in_a_later_contact_is_declined),
		cmocka_unit_test(a_link_group_that_is_full_is_declined),
		cmocka_unit_test(the_whole_rendezvous_has_a_limit),
		cmocka_unit_test(a_late_message_is_found_before_the_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
