/* SPDX-License-Identifier: MIT */
/*
 * LLC exchanges: what is answered and how, what is dropped, and how a link group ends
 */
#include "proto.h"

#include <errno.h>

static void expire(struct tester *t, struct proto_timer *timer)
{
	assert_true(timer->running);
	proto_timer_expired(&t->host, timer);
}

static struct llc_message llc(uint8_t version, enum llc_type type, uint8_t flags)
{
	return (struct llc_message){.version = version, .type = (uint8_t)type, .flags = flags};
}

static void add_link_is_rejected_with_a_copy(void **state)
{
	(void)state;
	for (uint8_t version = 1; version <= 2; version++) {
		struct tester *t = tester_new();
		struct connection *connection = connect_first(t, version);
		struct llc_message request = llc(version, LLC_ADD_LINK, 0), answer;

		memcpy(request.add_link.gid, peer_gid_v2, LLC_GID_SIZE);
		request.add_link.queue_pair = 0x999;
		request.add_link.link = 2;
		request.add_link.mtu = 3;
		request.add_link.sequence = 7;
		request.add_link.extension.count = version > 1 ? 1 : 0;
		forget(t);
		give_llc(&connection->group->link, &request);
		assert_true(sent_llc(t, LLC_ADD_LINK, &answer));
		assert_int_equal(answer.length, LLC_LENGTH);
		assert_int_equal(answer.flags & 0xf0, LLC_RESPONSE | LLC_REJECTED);
		assert_int_equal(llc_reject_reason(&answer),
				 version == 1 ? LLC_REJECT_NO_ALTERNATE : 0);
		assert_int_equal(answer.add_link.queue_pair, 0x999);
		assert_int_equal(answer.add_link.link, 2);
		assert_int_equal(answer.add_link.sequence, 7);
		/* In v1, where two links were agreed on, it had been waited for. */
		assert_int_equal(connection->state, CONNECTION_ACTIVE);
		tester_end(t);
	}
}

static void a_clients_wish_for_a_link_is_not_followed(void **state)
{
	struct tester *t = tester_new();
	struct link *link = &serve(t, 2)->group->link;
	struct llc_message request = llc(2, LLC_REQUEST_ADD_LINK, 0), answer;

	(void)state;
	request.request_add_link.count = 2;
	forget(t);
	give_llc(link, &request);
	assert_true(sent_llc(t, LLC_REQUEST_ADD_LINK, &answer));
	assert_int_equal(answer.flags, LLC_RESPONSE);
	assert_int_equal(answer.length, LLC_LENGTH);
	forget(t);
	request = llc(2, LLC_ADD_LINK, LLC_REJECTED);
	give_llc(link, &request); /* what only a server may send */
	assert_int_equal(t->count, 0);
	tester_end(t);
}

static void test_link_is_answered_by_a_copy(void **state)
{
	struct tester *t = tester_new();
	struct link *link = &serve(t, 1)->group->link;
	struct llc_message request = llc(1, LLC_TEST_LINK, 0), answer;

	(void)state;
	memcpy(request.test_link.user_data, "0123456789abcdef", 16);
	forget(t);
	give_llc(link, &request);
	assert_true(sent_llc(t, LLC_TEST_LINK, &answer));
	assert_int_equal(answer.flags, LLC_RESPONSE);
	assert_memory_equal(answer.test_link.user_data, "0123456789abcdef", 16);
	forget(t);
	give_llc(link, &answer); /* a response that nobody waits for */
	assert_int_equal(t->count, 0);
	tester_end(t);
}

static void a_silent_link_is_tested_and_given_up(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = serve(t, 2);
	struct link *link = &connection->group->link;
	struct llc_message test;

	(void)state;
	expire(t, &link->test); /* something came since the link is there */
	if (!link->testing)
		expire(t, &link->test);
	assert_true(sent_llc(t, LLC_TEST_LINK, &test));
	test.flags = LLC_RESPONSE;
	give_llc(link, &test);
	expire(t, &link->test);
	assert_false(link->testing);
	expire(t, &link->test);
	forget(t);
	expire(t, &link->test); /* no answer this time */
	assert_int_equal(find(t, PROTO_RESET)->action.number, ECONNABORTED);
	assert_non_null(find(t, PROTO_TCP_RESET));
	assert_non_null(find(t, PROTO_LINK_DESTROY));
	connection_close(connection, CONNECTION_NO_LINGER);
	tester_end(t);
}

static void a_message_of_the_wrong_version_is_dropped(void **state)
{
	struct tester *t = tester_new();
	struct link *link = &serve(t, 2)->group->link;
	struct llc_message request = llc(1, LLC_TEST_LINK, 0);

	(void)state;
	forget(t);
	give_llc(link, &request);
	link_received(link, "\x0a\x2c", 2);
	link_received(link, NULL, 0);
	assert_int_equal(t->count, 0);
	tester_end(t);
}

static void a_second_confirm_link_is_dropped(void **state)
{
	struct tester *t = tester_new();
	struct link *link = &connect_first(t, 2)->group->link;
	struct llc_message request = peer_confirm_link(2, false);

	(void)state;
	forget(t);
	give_llc(link, &request);
	request = peer_confirm_link(2, true);
	give_llc(link, &request);
	assert_int_equal(t->count, 0);
	tester_end(t);
}

static void the_peers_byte_order_is_answered_in(void **state)
{
	struct tester *t = tester_new();
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, true);
	struct llc_message request = peer_confirm_link(2, false), answer;
	struct connection *connection = start(t, PROTO_CLIENT);

	(void)state;
	give_clc(connection, &accept);
	tester_answer(t);
	request.little_length = true;
	give_llc(&connection->group->link, &request);
	tester_answer(t);
	assert_true(sent_llc(t, LLC_CONFIRM_LINK, &answer));
	assert_true(answer.little_length);
	tester_end(t);
}

static void keys_are_stored_once_and_refused_when_there_are_too_many(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = serve(t, 1)->group;
	struct llc_message request = llc(1, LLC_CONFIRM_RKEY, 0), answer;

	(void)state;
	request.confirm_rkey.address = PEER_ADDRESS;
	for (unsigned int i = 0; i < 2; i++) { /* a duplicate changes nothing */
		request.confirm_rkey.rkey = 0x9000;
		forget(t);
		give_llc(&group->link, &request);
		assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &answer));
		assert_int_equal(answer.flags, LLC_RESPONSE);
		assert_int_equal(answer.confirm_rkey.rkey, 0x9000);
		complete(t, &group->link);
	}
	for (unsigned int i = 0; i < 253; i++)
		rkey_add(group, 0xa000 + i, PEER_ADDRESS);
	assert_false(rkey_has_room(group));
	request.confirm_rkey.rkey = 0x9001;
	forget(t);
	give_llc(&group->link, &request);
	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &answer));
	assert_int_equal(answer.flags, LLC_RESPONSE | LLC_NEGATIVE | LLC_RETRY);
	tester_end(t);
}

static void deleted_keys_are_answered_for_one_by_one(void **state)
{
	(void)state;
	for (uint8_t version = 1; version <= 2; version++) {
		struct tester *t = tester_new();
		struct link_group *group = serve(t, version)->group;
		struct llc_message request = llc(version, LLC_DELETE_RKEY, 0), answer;

		rkey_add(group, 0x9000, PEER_ADDRESS);
		rkey_add(group, 0x9002, PEER_ADDRESS);
		request.delete_rkey.count = 3;
		request.delete_rkey.rkeys[0] = 0x9000;
		request.delete_rkey.rkeys[1] = 0x9001;
		request.delete_rkey.rkeys[2] = 0x9002;
		forget(t);
		give_llc(&group->link, &request);
		assert_true(sent_llc(t, LLC_DELETE_RKEY, &answer));
		assert_int_equal(answer.flags, LLC_RESPONSE | LLC_NEGATIVE);
		assert_int_equal(answer.length, LLC_LENGTH);
		assert_int_equal(answer.delete_rkey.count, 3);
		assert_int_equal(answer.delete_rkey.failed, version == 1 ? 0x40 : 1);
		assert_int_equal(rkey_find(group, 0x9000, PEER_ADDRESS), -ENOENT);
		assert_int_equal(rkey_find(group, 0x9002, PEER_ADDRESS), -ENOENT);
		tester_end(t);
	}
}

static void data_for_memory_that_is_gone_resets(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = serve(t, 2);
	struct llc_message request = llc(2, LLC_DELETE_RKEY, 0);

	(void)state;
	request.delete_rkey.count = 1;
	request.delete_rkey.rkeys[0] = PEER_RKEY;
	give_llc(&connection->group->link, &request);
	/* The same key comes back, for somebody else. */
	rkey_add(connection->group, PEER_RKEY, PEER_ADDRESS);
	forget(t);
	connection_written(connection, 100, false);
	assert_null(find(t, PROTO_WRITE));
	assert_int_equal(find(t, PROTO_RESET)->action.number, ECONNRESET);
	connection_close(connection, CONNECTION_NO_LINGER);
	tester_end(t);
}

/* Two connections of one group end at the same time. */
static void exchanges_of_ours_wait_for_each_other(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2);
	struct link_group *group = first->group;
	struct clc_message proposal = peer_proposal(false, true);
	struct connection *second = server_with(t, &proposal);
	struct connection *third = server_with(t, &proposal);
	struct llc_message request;

	(void)state;
	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &request));
	assert_int_equal(request.confirm_rkey.rkey, second->rmb->rkey);
	request.flags = LLC_RESPONSE;
	forget(t);
	give_llc(&group->link, &request);
	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &request));
	assert_int_equal(request.confirm_rkey.rkey, third->rmb->rkey);
	/* A response of another type does not belong to it. */
	forget(t);
	request = llc(2, LLC_DELETE_RKEY, LLC_RESPONSE);
	give_llc(&group->link, &request);
	assert_true(rendezvous_at(third, RENDEZVOUS_KEY));
	request = llc(2, LLC_CONFIRM_RKEY, LLC_RESPONSE);
	give_llc(&group->link, &request);
	assert_true(rendezvous_at(third, RENDEZVOUS_CONFIRM));
	tester_end(t);
}

static void requests_cross(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2);
	struct clc_message proposal = peer_proposal(false, true);
	struct connection *second = server_with(t, &proposal);
	struct llc_message request = llc(2, LLC_CONFIRM_RKEY, 0), answer;

	(void)state;
	assert_true(rendezvous_at(second, RENDEZVOUS_KEY));
	request.confirm_rkey.rkey = 0x9000;
	request.confirm_rkey.address = PEER_ADDRESS;
	give_llc(&first->group->link, &request); /* the peer's, while ours is out */
	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &answer));
	assert_int_equal(answer.flags, LLC_RESPONSE);
	assert_true(rendezvous_at(second, RENDEZVOUS_KEY));
	tester_end(t);
}

static void memory_stays_until_the_peer_has_let_go(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = serve(t, 2);
	struct link_group *group = connection->group;
	struct cdc_message closed = peer_cdc(t, connection, 0, 0);
	struct llc_message request;

	(void)state;
	closed.connection_flags = CDC_CLOSED;
	forget(t);
	give_cdc(&group->link, &closed);
	connection_close(connection, CONNECTION_NO_LINGER);
	complete(t, &group->link);
	assert_non_null(find(t, PROTO_GONE));
	assert_null(find(t, PROTO_DEREGISTER));
	assert_true(sent_llc(t, LLC_DELETE_RKEY, &request));
	assert_int_equal(request.delete_rkey.count, 1);
	request.flags = LLC_RESPONSE;
	give_llc(&group->link, &request);
	assert_non_null(find(t, PROTO_DEREGISTER));
	tester_end(t);
}

/* How long, as its timer was started; 0: it was not. */
static uint32_t lingers(const struct tester *t, const struct link_group *group)
{
	for (unsigned int i = t->count; i-- > 0;)
		if (t->actions[i].action.type == PROTO_TIMER_START &&
		    t->actions[i].action.timer == &group->linger)
			return t->actions[i].action.number;
	return 0;
}

static void an_idle_group_lingers_and_is_deleted(void **state)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct tester *t = tester_new();
		const enum proto_role role = i % 2 ? PROTO_SERVER : PROTO_CLIENT;
		struct connection *connection;
		struct link_group *group;
		struct llc_message message;

		(void)state;
		t->host.config.linger = i < 2 ? 0 : 5000;
		connection = role == PROTO_SERVER ? serve(t, 2) : connect_first(t, 2);
		group = connection->group;
		connection_abort(connection);
		complete(t, &group->link);
		expire(t, &connection->limit);
		assert_int_equal(lingers(t, group),
				 (i < 2 ? 600000 : 5000) + (role == PROTO_CLIENT ? 10000 : 0));
		assert_true(group->linger.running);
		forget(t);
		expire(t, &group->linger);
		assert_true(sent_llc(t, LLC_DELETE_LINK, &message));
		assert_int_equal(message.flags, LLC_DELETE_ALL | LLC_DELETE_ORDERLY);
		assert_int_equal(message.delete_link.reason, LLC_DELETED_BY_PROGRAM);
		complete(t, &group->link);
		assert_null(
			find(t, PROTO_LINK_DESTROY)); /* the peer's answer is to be acknowledged */
		message.flags |= LLC_RESPONSE;
		give_llc(&group->link, &message);
		assert_non_null(find(t, PROTO_LINK_DESTROY));
		assert_true(list_empty(&t->host.groups));
		tester_end(t);
	}
}

static void a_group_is_deleted_by_the_peer(void **state)
{
	for (unsigned int role = PROTO_CLIENT; role <= PROTO_SERVER; role++) {
		struct tester *t = tester_new();
		struct connection *connection =
			role == PROTO_SERVER ? serve(t, 2) : connect_first(t, 2);
		struct link *link = &connection->group->link;
		struct llc_message request = llc(2, LLC_DELETE_LINK, LLC_DELETE_ALL), answer;

		(void)state;
		forget(t);
		give_llc(link, &request);
		assert_int_equal(find(t, PROTO_RESET)->action.number, ECONNABORTED);
		assert_true(sent_llc(t, LLC_DELETE_LINK, &answer));
		/* The server owns the exchange, so it says the same. */
		assert_int_equal(answer.flags, role == PROTO_SERVER
						       ? LLC_DELETE_ALL
						       : LLC_DELETE_ALL | LLC_RESPONSE);
		assert_null(find(t, PROTO_LINK_DESTROY));
		complete(t, link);
		assert_non_null(find(t, PROTO_LINK_DESTROY));
		connection_close(connection, CONNECTION_NO_LINGER);
		tester_end(t);
	}
}

/* A connection in either role, and its host is ended. */
static struct link_group *ending(struct tester *t, enum proto_role role)
{
	struct connection *connection = role == PROTO_SERVER ? serve(t, 2) : connect_first(t, 2);
	struct link_group *group = connection->group;
	struct llc_message message;

	forget(t);
	proto_host_end(&t->host);
	assert_true(sent_llc(t, LLC_DELETE_LINK, &message));
	assert_int_equal(message.flags, LLC_DELETE_ALL); /* connections are reset: not orderly */
	assert_int_equal(message.delete_link.reason, LLC_DELETED_BY_OPERATOR);
	assert_non_null(find(t, PROTO_RESET));
	assert_non_null(find(t, PROTO_GONE));
	assert_null(find(t, PROTO_LINK_DESTROY));
	assert_null(find(t, PROTO_DEREGISTER));
	return group;
}

/*
 * A kernel whose messages nobody acknowledges waits for ever.  As a client it says the end of its connections,
 * and then DELETE LINK; as a server this, orderly, goes before as well.
 */
static void an_ended_host_hears_its_peers_out(void **state)
{
	static const uint8_t last_words[] = {LLC_DELETE_ALL, LLC_DELETE_ALL | LLC_RESPONSE};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct tester *t = tester_new();
		struct link_group *group = ending(t, i & 1 ? PROTO_SERVER : PROTO_CLIENT);
		struct llc_message orderly =
			llc(2, LLC_DELETE_LINK, LLC_DELETE_ALL | LLC_DELETE_ORDERLY);
		struct llc_message last = llc(2, LLC_DELETE_LINK, last_words[i / 2]);
		struct cdc_message abort = {.token = 0x12345678, .sequence = 7};

		complete(t, &group->link);
		give_llc(&group->link, &orderly);
		abort.connection_flags = CDC_ABNORMAL_CLOSE;
		give_cdc(&group->link, &abort);
		assert_null(find(t, PROTO_LINK_DESTROY));
		give_llc(&group->link, &last);
		assert_non_null(find(t, PROTO_LINK_DESTROY));
		assert_non_null(find(t, PROTO_DEREGISTER));
		assert_true(list_empty(&t->host.groups));
		tester_end(t);
	}
}

static void an_answer_that_overtakes_the_completion_ends_after_it(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = ending(t, PROTO_SERVER);
	struct llc_message last = llc(2, LLC_DELETE_LINK, LLC_DELETE_ALL);

	(void)state;
	give_llc(&group->link, &last);
	assert_null(find(t, PROTO_LINK_DESTROY));
	complete(t, &group->link);
	assert_non_null(find(t, PROTO_LINK_DESTROY));
	tester_end(t);
}

static void an_ended_host_waits_two_seconds_at_most(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = ending(t, PROTO_SERVER);

	(void)state;
	complete(t, &group->link);
	for (unsigned int i = 0; i < t->count; i++)
		if (t->actions[i].action.timer == &group->flow_timer &&
		    t->actions[i].action.type == PROTO_TIMER_START)
			assert_int_equal(t->actions[i].action.number, 2000);
	expire(t, &group->flow_timer);
	assert_non_null(find(t, PROTO_LINK_DESTROY));
	assert_true(list_empty(&t->host.groups));
	tester_end(t);
}

static void the_only_link_is_deleted_by_the_server(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = connect_first(t, 2);
	struct link *link = &connection->group->link;
	struct llc_message request = llc(2, LLC_DELETE_LINK, LLC_DELETE_ORDERLY), answer;

	(void)state;
	request.delete_link.link = 7;
	request.delete_link.reason = LLC_DELETED_PATH_LOST;
	forget(t);
	give_llc(link, &request);
	assert_true(sent_llc(t, LLC_DELETE_LINK, &answer));
	assert_int_equal(answer.flags, LLC_RESPONSE | LLC_DELETE_ORDERLY);
	assert_int_equal(answer.delete_link.link, 7);
	assert_int_equal(answer.delete_link.reason, LLC_DELETE_UNKNOWN_LINK);
	assert_int_equal(connection->state, CONNECTION_ACTIVE);
	request.delete_link.link = 1;
	forget(t);
	give_llc(link, &request);
	assert_true(sent_llc(t, LLC_DELETE_LINK, &answer)); /* before the queue pair goes */
	assert_int_equal(answer.flags, LLC_RESPONSE | LLC_DELETE_ORDERLY);
	assert_int_equal(answer.delete_link.reason, 0);
	assert_null(find(t, PROTO_LINK_DESTROY));
	complete(t, link);
	assert_non_null(find(t, PROTO_LINK_DESTROY));
	connection_close(connection, CONNECTION_NO_LINGER);
	tester_end(t);
}

static void a_deletion_that_cannot_be_sent_ends_anyway(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = serve(t, 2);
	struct link_group *group = connection->group;

	(void)state;
	connection_abort(connection);
	complete(t, &group->link);
	expire(t, &connection->limit);
	expire(t, &group->linger);
	forget(t);
	expire(t, &group->flow_timer);
	assert_non_null(find(t, PROTO_LINK_DESTROY));
	tester_end(t);
}

/* More requests than a link has room for: the first answers go out when there is. */
static void answers_wait_for_room(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = serve(t, 2);
	struct link *link = &connection->group->link;
	struct llc_message request = llc(2, LLC_TEST_LINK, 0);

	(void)state;
	complete(t, link);
	forget(t);
	for (unsigned int i = 0; i < 100; i++)
		give_llc(link, &request);
	assert_int_equal(count_of(t, PROTO_SEND), PROTO_SENDS);
	complete(t, link);
	assert_int_equal(count_of(t, PROTO_SEND), PROTO_SENDS + LINK_QUEUE);
	tester_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_link_is_rejected_with_a_copy),
		cmocka_unit_test(a_clients_wish_for_a_link_is_not_followed),
		cmocka_unit_test(test_link_is_answered_by_a_copy),
		cmocka_unit_test(a_silent_link_is_tested_and_given_up),
		cmocka_unit_test(a_message_of_the_wrong_version_is_dropped),
		cmocka_unit_test(a_second_confirm_link_is_dropped),
		cmocka_unit_test(the_peers_byte_order_is_answered_in),
		cmocka_unit_test(keys_are_stored_once_and_refused_when_there_are_too_many),
		cmocka_unit_test(deleted_keys_are_answered_for_one_by_one),
		cmocka_unit_test(data_for_memory_that_is_gone_resets),
		cmocka_unit_test(exchanges_of_ours_wait_for_each_other),
		cmocka_unit_test(requests_cross),
		cmocka_unit_test(memory_stays_until_the_peer_has_let_go),
		cmocka_unit_test(an_idle_group_lingers_and_is_deleted),
		cmocka_unit_test(a_group_is_deleted_by_the_peer),
		cmocka_unit_test(an_ended_host_hears_its_peers_out),
		cmocka_unit_test(an_answer_that_overtakes_the_completion_ends_after_it),
		cmocka_unit_test(an_ended_host_waits_two_seconds_at_most),
		cmocka_unit_test(the_only_link_is_deleted_by_the_server),
		cmocka_unit_test(a_deletion_that_cannot_be_sent_ends_anyway),
		cmocka_unit_test(answers_wait_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
