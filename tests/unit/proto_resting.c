/* SPDX-License-Identifier: MIT */
/*
 * RMBs that rest between two connections in the same memory
 */
#include "proto.h"

static struct rmb_memory memory;

/* A server's connection in @memory, up to where it has received the Proposal. */
static struct connection *server_in_memory(struct tester *t)
{
	struct rendezvous_facts facts = facts_of(PROTO_SERVER);
	struct clc_message proposal = peer_proposal(false, true);
	struct connection *connection;

	facts.memory = &memory;
	memory.kept = true;
	connection = connection_start(&t->host, &facts, NULL);
	assert_non_null(connection);
	give_clc(connection, &proposal);
	tester_answer(t);
	return connection;
}

/* The peer confirms our key, and its own where it is a new one. */
static void exchange_keys(struct tester *t, struct link_group *group,
			  const struct clc_message *side)
{
	struct llc_message request;

	if (sent_llc(t, LLC_CONFIRM_RKEY, &request)) {
		request.flags = LLC_RESPONSE;
		give_llc(&group->link, &request);
	}
	request = (struct llc_message){.version = 2, .type = LLC_CONFIRM_RKEY};
	request.confirm_rkey.rkey = side->accept.r.rkey;
	request.confirm_rkey.address = side->accept.r.address;
	give_llc(&group->link, &request);
}

/* One that is SMC, on the link group that is there. */
static struct connection *serve_in_memory(struct tester *t)
{
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, false);
	struct connection *connection = server_in_memory(t);

	exchange_keys(t, connection->group, &confirm);
	give_clc(connection, &confirm);
	assert_non_null(find(t, PROTO_CONNECTED));
	complete(t, &connection->group->link);
	return connection;
}

/* Both have said their last word, the peer first; or the peer says nothing. */
static void end(struct tester *t, struct connection *connection, bool peer_too)
{
	struct link *link = &connection->group->link;
	struct cdc_message closed = peer_cdc(t, connection, 0, 0);

	closed.sequence = ++connection->received_sequence;
	closed.connection_flags = CDC_CLOSED;
	if (peer_too)
		give_cdc(link, &closed);
	connection_abort(connection);
	complete(t, link);
	if (!peer_too)
		proto_timer_expired(&t->host, &connection->limit);
	assert_non_null(find(t, PROTO_GONE));
}

static void the_next_connection_needs_no_exchange(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = serve(t, 2)->group;
	struct llc_message message;
	struct clc_message accept;
	struct connection *connection = serve_in_memory(t);
	const uint32_t rkey = connection->rmb->rkey, token = connection->token;

	(void)state;
	forget(t);
	end(t, connection, true);
	assert_false(sent_llc(t, LLC_DELETE_RKEY, &message));
	assert_null(find(t, PROTO_DEREGISTER));
	assert_non_null(memory.resting);
	forget(t);
	connection = server_in_memory(t);
	assert_null(memory.resting);
	assert_null(find(t, PROTO_REGISTER));
	assert_false(sent_llc(t, LLC_CONFIRM_RKEY, &message));
	accept = sent_clc(t);
	assert_int_equal(accept.type, CLC_ACCEPT);
	assert_int_equal(accept.accept.r.rkey, rkey);
	assert_int_not_equal(accept.accept.r.token, token);
	assert_int_equal(group->resting, 0);
	tester_end(t);
}

static void without_the_peers_last_word_it_does_not_rest(void **state)
{
	struct tester *t = tester_new();
	struct llc_message message;

	(void)state;
	(void)serve(t, 2);
	end(t, serve_in_memory(t), false);
	assert_null(memory.resting);
	assert_null(find(t, PROTO_DEREGISTER));
	assert_true(sent_llc(t, LLC_DELETE_RKEY, &message));
	tester_end(t);
}

static void in_memory_that_is_not_kept_it_does_not_rest(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection;
	struct llc_message message;

	(void)state;
	(void)serve(t, 2);
	connection = serve_in_memory(t);
	rmb_memory_end(&memory);
	end(t, connection, true);
	assert_null(memory.resting);
	assert_true(sent_llc(t, LLC_DELETE_RKEY, &message));
	tester_end(t);
}

/* Nobody has a right to write there: it is deregistered before the peer has agreed. */
static void memory_that_is_given_up_is_deregistered_at_once(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = serve(t, 2)->group;
	struct llc_message message;

	(void)state;
	end(t, serve_in_memory(t), true);
	forget(t);
	rmb_memory_end(&memory);
	assert_int_equal(count_of(t, PROTO_DEREGISTER), 1);
	assert_true(sent_llc(t, LLC_DELETE_RKEY, &message));
	message.flags = LLC_RESPONSE;
	give_llc(&group->link, &message);
	assert_int_equal(count_of(t, PROTO_DEREGISTER), 1);
	assert_int_equal(group->resting, 0);
	tester_end(t);
}

static void another_link_group_gets_another_one(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = serve(t, 2)->group;
	struct clc_message proposal = peer_proposal(false, true);
	struct rendezvous_facts facts = facts_of(PROTO_SERVER);
	struct connection *connection;
	struct llc_message message;

	(void)state;
	end(t, serve_in_memory(t), true);
	proposal.proposal.peer.id[7] = 9; /* another host */
	facts.memory = &memory;
	forget(t);
	connection = connection_start(&t->host, &facts, NULL);
	give_clc(connection, &proposal);
	tester_answer(t);
	assert_ptr_not_equal(connection->group, group);
	assert_int_equal(count_of(t, PROTO_DEREGISTER), 1);
	assert_int_equal(count_of(t, PROTO_REGISTER), 1);
	assert_true(sent_llc(t, LLC_DELETE_RKEY, &message));
	assert_null(memory.resting);
	tester_end(t);
}

static void the_end_of_the_group_is_the_end_of_what_rests(void **state)
{
	struct tester *t = tester_new();
	struct link_group *group = serve(t, 2)->group;

	(void)state;
	end(t, serve_in_memory(t), true);
	forget(t);
	link_failed(&group->link);
	assert_null(memory.resting);
	assert_int_equal(count_of(t, PROTO_DEREGISTER), 2);
	tester_end(t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_connection_needs_no_exchange),
		cmocka_unit_test(without_the_peers_last_word_it_does_not_rest),
		cmocka_unit_test(in_memory_that_is_not_kept_it_does_not_rest),
		cmocka_unit_test(memory_that_is_given_up_is_deregistered_at_once),
		cmocka_unit_test(another_link_group_gets_another_one),
		cmocka_unit_test(the_end_of_the_group_is_the_end_of_what_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
