/* SPDX-License-Identifier: MIT */
/*
 * Every way of a server back to TCP, or to an error, with what is said on the wire
 */
#include "proto_fallback.h"

static void a_server_that_hears_nothing_leaves_the_stream_alone(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = start(t, PROTO_SERVER);

	(void)state;
	assert_int_equal(connection_tcp_wanted(connection), CLC_HEADER_LENGTH);
	expire(t, &connection->step);
	assert_silent(t, CLC_PEER_WITHOUT_SMC);
	assert_true(find(t, PROTO_FELL_BACK)->action.late);
	forget(t);
	connection_tcp_ended(start(t, PROTO_SERVER));
	assert_silent(t, CLC_PEER_WITHOUT_SMC);
	forget(t);
	/* A client of plain TCP: not a byte is taken. */
	assert_int_equal(give_tcp(start(t, PROTO_SERVER), (const uint8_t *)"GET / HT", 8), 0);
	assert_silent(t, CLC_PEER_WITHOUT_SMC);
	tester_end(t);
}

static void a_server_fails_in_the_middle_of_a_proposal(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(true, true);
	struct connection *connection;
	uint8_t bytes[CLC_LENGTH_MAX];

	(void)state;
	clc_encode(&proposal, bytes, sizeof(bytes));
	connection = start(t, PROTO_SERVER);
	give_tcp(connection, bytes, 50);
	expire(t, &connection->step);
	assert_failed(t, ETIMEDOUT);
	forget(t);
	connection = start(t, PROTO_SERVER);
	give_tcp(connection, bytes, 50);
	connection_tcp_ended(connection);
	assert_failed(t, ECONNRESET);
	forget(t);
	bytes[4] = CLC_ACCEPT;
	give_tcp(start(t, PROTO_SERVER), bytes, 8);
	assert_failed(t, EPROTO);
	tester_end(t);
}

/* It went out, and a balancer sent it back: by this adapter, or by another one. */
static void a_proposal_of_this_host_is_declined(void **state)
{
	const uint8_t other[CLC_PEER_ID_SIZE] = {0x12, 0x34, 2, 0, 0, 0, 0, 9};
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(true, true);
	struct rendezvous_facts facts = facts_of(PROTO_SERVER);

	(void)state;
	memcpy(proposal.proposal.peer.id, t->host.config.peer_id, CLC_PEER_ID_SIZE);
	give_clc(connection_start(&t->host, &facts, NULL), &proposal);
	assert_declined(t, CLC_NO_DEVICE, 2);
	forget(t);
	memcpy(proposal.proposal.peer.id, other, CLC_PEER_ID_SIZE);
	memcpy(facts.own_ids[0], other, CLC_PEER_ID_SIZE);
	facts.own_id_count = 1;
	give_clc(connection_start(&t->host, &facts, NULL), &proposal);
	assert_declined(t, CLC_NO_DEVICE, 2);
	forget(t);
	facts.own_id_count = 0; /* it is a stranger's then */
	give_clc(connection_start(&t->host, &facts, NULL), &proposal);
	assert_null(find(t, PROTO_FELL_BACK));
	tester_end(t);
}

static void a_decline_is_heard_wherever_a_message_is_awaited(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message decline = peer_decline(1, CLC_NO_DEVICE);
	struct connection *connection = start(t, PROTO_SERVER);

	(void)state;
	give_clc(connection, &decline); /* as the first message */
	assert_silent(t, CLC_PEER_DECLINED);
	connection = server_with(t, &proposal);
	forget(t);
	give_clc(connection, &decline); /* instead of the Confirm */
	assert_silent(t, CLC_PEER_DECLINED);
	assert_true(list_empty(&t->host.groups));
	tester_end(t);
}

static void a_server_without_a_confirm_fails(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct connection *connection = server_with(t, &proposal);

	(void)state;
	forget(t);
	expire(t, &connection->step);
	assert_failed(t, ETIMEDOUT);
	connection = server_with(t, &proposal);
	forget(t);
	connection_tcp_ended(connection);
	assert_failed(t, ECONNRESET);
	tester_end(t);
}

/* A Proposal of a peer that calls itself by another name each time, from one address. */
static struct connection *another(struct tester *t, uint8_t name, uint8_t address)
{
	struct clc_message proposal = peer_proposal(false, true);
	struct rendezvous_facts facts = facts_of(PROTO_SERVER);
	struct connection *connection;

	facts.peer[15] = address;
	proposal.proposal.peer.id[0] = name;
	connection = connection_start(&t->host, &facts, NULL);
	forget(t);
	give_clc(connection, &proposal);
	tester_answer(t);
	return connection;
}

static void a_peer_that_only_proposes_gets_no_more_than_so_many_groups(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = another(t, 1, 1);

	(void)state;
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	for (unsigned int i = 1; i < PROTO_PENDING_MAX; i++) {
		another(t, (uint8_t)(i + 1), 1);
		assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	}
	another(t, 100, 1);
	assert_non_null(find(t, PROTO_FELL_BACK));
	assert_int_equal(sent_clc(t).type, CLC_DECLINE);
	assert_int_equal(sent_clc(t).decline.diagnosis, CLC_NO_MEMORY);
	another(t, 100, 2); /* others are not held up by it */
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	expire(t, &first->step);
	another(t, 101, 1); /* nor it for ever */
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	tester_end(t);
}

static unsigned int active_groups(const struct tester *t)
{
	unsigned int count = 0;

	list_each(node, after, &t->host.groups) count +=
		list_owner(node, struct link_group, of_host)->state == LINK_GROUP_ACTIVE;
	return count;
}

/* One that confirms, goes, and comes again as another. */
static void a_peer_of_many_names_keeps_no_more_than_so_many_idle_groups(void **state)
{
	struct tester *t = tester_new();

	(void)state;
	for (unsigned int i = 0; i < PROTO_IDLE_MAX + 3; i++) {
		struct connection *connection = another(t, (uint8_t)(i + 1), 1);
		struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, true);
		struct llc_message response = peer_confirm_link(2, true);
		struct link *link = &connection->group->link;

		give_clc(connection, &confirm);
		tester_answer(t);
		complete(t, link);
		give_llc(link, &response);
		assert_non_null(find(t, PROTO_CONNECTED));
		connection_abort(connection);
		complete(t, link);
		if (!find(t, PROTO_GONE))
			expire(t, &connection->limit);
	}
	assert_true(active_groups(t) <= PROTO_IDLE_MAX + 1);
	assert_true(active_groups(t) >= PROTO_IDLE_MAX);
	tester_end(t);
}

static void a_server_declines_in_the_form_of_the_proposal(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct rendezvous_facts facts = facts_of(PROTO_SERVER);

	(void)state;
	facts.refusal = CLC_IPSEC;
	give_clc(connection_start(&t->host, &facts, NULL), &proposal);
	assert_declined(t, CLC_IPSEC, 2);
	proposal = peer_proposal(true, false);
	proposal.version = 1;
	proposal.flags = CLC_PATH_R;
	give_clc(connection_start(&t->host, &facts, NULL), &proposal);
	assert_declined(t, CLC_IPSEC, 1);
	tester_end(t);
}

static void each_local_failure_of_a_server_is_declined(void **state)
{
	static const uint32_t diagnoses[] = {CLC_NO_MEMORY, CLC_NO_MEMORY, CLC_RMB_NOT_REGISTERED,
					     CLC_NO_SMCR_DEVICE};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct tester *t = tester_new();
		struct clc_message proposal = peer_proposal(false, true);
		struct connection *connection = start(t, PROTO_SERVER);

		t->memory_ok = i != 0;
		t->link_ok = i != 1;
		t->region_ok = i != 2;
		t->route = i == 3 ? RENDEZVOUS_UNREACHABLE : RENDEZVOUS_DIRECT;
		give_clc(connection, &proposal);
		tester_answer(t);
		assert_declined(t, diagnoses[i], 2);
		assert_true(list_empty(&t->host.groups));
		tester_end(t);
	}
}

static void each_bad_confirm_is_declined_with_its_code(void **state)
{
	static const uint32_t diagnoses[] = {CLC_RELEASE,  CLC_MAX_CONNECTIONS, CLC_MAX_LINKS,
					     CLC_INTERNAL, CLC_INTERNAL,	CLC_LINK_NOT_READY,
					     CLC_MODE};

	(void)state;
	for (unsigned int i = 0; i < 7; i++) {
		struct tester *t = tester_new();
		struct clc_message proposal = peer_proposal(false, true);
		struct connection *connection = server_with(t, &proposal);
		struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, i != 4);

		if (i == 0)
			confirm.accept.first_contact.release = 0;
		if (i == 1)
			confirm.accept.first_contact.max_connections = 254;
		if (i == 2)
			confirm.accept.first_contact.max_links = 2;
		if (i == 3)
			confirm.accept.r.token = 0;
		t->connect_ok = i != 5;
		if (i == 6)
			confirm = peer_side(t, CLC_CONFIRM, 1, true);
		give_clc(connection, &confirm);
		tester_answer(t);
		assert_declined(t, diagnoses[i], 2);
		assert_true(list_empty(&t->host.groups));
		tester_end(t);
	}
}

/* A later contact that waits for its Confirm. */
static struct connection *accepting(struct tester *t, const struct link_group *group)
{
	struct clc_message proposal = peer_proposal(false, true);
	struct connection *connection = server_with(t, &proposal);
	struct llc_message answer;

	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &answer));
	answer.flags = LLC_RESPONSE;
	give_llc((struct link *)&group->link, &answer);
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	forget(t);
	return connection;
}

static void a_confirm_of_another_link_is_declined(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2), *connection = accepting(t, first->group);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, false);

	(void)state;
	rkey_add(first->group, confirm.accept.r.rkey, confirm.accept.r.address);
	confirm.accept.r.queue_pair++;
	give_clc(connection, &confirm);
	assert_int_equal(sent_clc(t).type, CLC_DECLINE);
	assert_int_equal(sent_clc(t).decline.diagnosis, CLC_NO_SERVER_LINK);
	assert_int_equal(find(t, PROTO_FELL_BACK)->action.number, CLC_NO_SERVER_LINK);
	assert_int_equal(first->state, CONNECTION_ACTIVE);
	tester_end(t);
}

static void a_link_that_is_lost_before_a_later_confirm_is_declined(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2);
	struct link *link = &first->group->link;

	(void)state;
	accepting(t, first->group);
	link_failed(link);
	assert_int_equal(sent_clc(t).type, CLC_DECLINE);
	assert_int_equal(sent_clc(t).decline.diagnosis, CLC_NO_ACTIVE_LINK);
	assert_int_equal(find(t, PROTO_FELL_BACK)->action.number, CLC_NO_ACTIVE_LINK);
	tester_end(t);
}

/* What a Proposal says of v1 stands, whatever became of what it says of v2. */
static void a_missing_extension_is_declined_where_there_is_no_v1(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(true, true);

	(void)state;
	proposal.proposal.v2_missing = true;
	server_with(t, &proposal);
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	assert_int_equal(sent_clc(t).version, 1);
	forget(t);
	proposal = peer_proposal(false, true);
	proposal.proposal.v2_missing = true;
	give_clc(start(t, PROTO_SERVER), &proposal);
	assert_int_equal(sent_clc(t).type, CLC_DECLINE);
	assert_int_equal(sent_clc(t).version, 2);
	assert_int_equal(sent_clc(t).decline.diagnosis, CLC_NO_V2_EXTENSION);
	assert_int_equal(find(t, PROTO_FELL_BACK)->action.number, CLC_NO_V2_EXTENSION);
	tester_end(t);
}

static void a_server_without_a_response_waits_and_declines(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, true);
	struct connection *connection = server_with(t, &proposal);

	(void)state;
	give_clc(connection, &confirm);
	tester_answer(t);
	assert_int_equal(find(t, PROTO_TIMER_START)->action.number, PROTO_CONFIRM_LINK_SERVER_WAIT);
	expire(t, &connection->step);
	expire(t, &connection->step);
	assert_declined(t, CLC_TIMEOUT_CONFIRM_LINK, 2);
	tester_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_that_hears_nothing_leaves_the_stream_alone),
		cmocka_unit_test(a_server_fails_in_the_middle_of_a_proposal),
		cmocka_unit_test(a_proposal_of_this_host_is_declined),
		cmocka_unit_test(a_decline_is_heard_wherever_a_message_is_awaited),
		cmocka_unit_test(a_server_without_a_confirm_fails),
		cmocka_unit_test(a_peer_that_only_proposes_gets_no_more_than_so_many_groups),
		cmocka_unit_test(a_peer_of_many_names_keeps_no_more_than_so_many_idle_groups),
		cmocka_unit_test(a_server_declines_in_the_form_of_the_proposal),
		cmocka_unit_test(each_local_failure_of_a_server_is_declined),
		cmocka_unit_test(each_bad_confirm_is_declined_with_its_code),
		cmocka_unit_test(a_confirm_of_another_link_is_declined),
		cmocka_unit_test(a_link_that_is_lost_before_a_later_confirm_is_declined),
		cmocka_unit_test(a_missing_extension_is_declined_where_there_is_no_v1),
		cmocka_unit_test(a_server_without_a_response_waits_and_declines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
