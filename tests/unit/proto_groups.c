/* SPDX-License-Identifier: MIT */
/*
 * What peers that mean ill, or are slow, can do to the link groups of others
 */
#include "proto_fallback.h"

/* Names and GIDs are no secrets: who knows them must not come near the connections of their owner. */
static void who_goes_by_a_peers_names_from_elsewhere_gets_another_group(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2), *stranger;
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message decline = peer_decline(2, CLC_SYNCHRONISATION);

	(void)state;
	forget(t);
	stranger = server_at(t, &proposal, 9);
	assert_ptr_not_equal(stranger->group, first->group);
	assert_true(sent_clc(t).flags & CLC_FIRST_CONTACT);
	give_clc(stranger, &decline);
	assert_non_null(find(t, PROTO_FELL_BACK));
	assert_null(find(t, PROTO_RESET));
	assert_int_equal(first->state, CONNECTION_ACTIVE);
	assert_int_equal(first->group->state, LINK_GROUP_ACTIVE);
	assert_ptr_equal(server_with(t, &proposal)->group, first->group);
	tester_end(t);
}

/* Nor need they wait for the first contact that he begins, and never ends. */
static void a_first_contact_is_waited_for_at_its_own_address_only(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct connection *stranger = server_at(t, &proposal, 9);

	(void)state;
	forget(t);
	assert_true(rendezvous_at(server_at(t, &proposal, 9), RENDEZVOUS_GROUP));
	assert_null(find(t, PROTO_LINK_CREATE));
	assert_ptr_not_equal(server_with(t, &proposal)->group, stranger->group);
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	assert_true(sent_clc(t).flags & CLC_FIRST_CONTACT);
	tester_end(t);
}

/* The first contact's client may be dead, or 6 seconds from giving up. */
static void a_first_contact_that_stalls_is_not_waited_for_any_longer(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct connection *first = server_with(t, &proposal), *waiting[3];
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, true);
	struct llc_message response = peer_confirm_link(2, true);

	(void)state;
	forget(t);
	for (unsigned int i = 0; i < 3; i++)
		waiting[i] = server_with(t, &proposal);
	assert_null(find(t, PROTO_LINK_CREATE));
	assert_int_equal(find(t, PROTO_TIMER_START)->action.number, PROTO_GROUP_WAIT);
	expire(t, &waiting[1]->step);
	tester_answer(t);
	/* One makes a group, and the others wait for that: not a group for each. */
	assert_int_equal(count_of(t, PROTO_LINK_CREATE), 1);
	assert_int_equal(sent_clc(t).type, CLC_ACCEPT);
	assert_true(sent_clc(t).flags & CLC_FIRST_CONTACT);
	assert_true(waiting[0]->rendezvous->first_contact);
	assert_ptr_not_equal(waiting[0]->group, first->group);
	assert_ptr_equal(waiting[1]->rendezvous->awaited, waiting[0]->group);
	assert_ptr_equal(waiting[2]->rendezvous->awaited, waiting[0]->group);
	/* The slow one may come to an end all the same, and is as good as any from then on. */
	give_clc(first, &confirm);
	tester_answer(t);
	give_llc(&first->group->link, &response);
	assert_int_equal(first->state, CONNECTION_ACTIVE);
	assert_ptr_equal(server_with(t, &proposal)->group, first->group);
	tester_end(t);
}

/* A server may call each contact a first one; a VIP may stand for many. */
static void a_client_keeps_no_more_than_so_many_idle_groups(void **state)
{
	struct tester *t = tester_new();
	struct connection *busy = connect_first(t, 2);
	struct link_group *group = busy->group;
	unsigned int active = 0;

	(void)state;
	for (unsigned int i = 0; i < PROTO_IDLE_MAX + 3; i++) {
		struct connection *connection = connect_first(t, 2);
		struct link *link = &connection->group->link;

		connection_abort(connection);
		complete(t, link);
		if (connection->limit.running)
			expire(t, &connection->limit);
		forget(t);
	}
	list_each(node, after, &t->host.groups) active +=
		list_owner(node, struct link_group, of_host)->state == LINK_GROUP_ACTIVE;
	assert_int_equal(active, 1 + PROTO_IDLE_MAX);
	assert_int_equal(busy->state, CONNECTION_ACTIVE);
	assert_int_equal(group->state, LINK_GROUP_ACTIVE);
	tester_end(t);
}

/* A later contact that gets an Accept, declines, and does not let go of the key. */
static void keep_a_key(struct tester *t, struct link_group *group, bool answer)
{
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message decline = peer_decline(2, CLC_NO_MEMORY);
	struct llc_message message = {.version = 2, .type = LLC_TEST_LINK};
	struct connection *connection;

	give_llc(&group->link, &message); /* it is there */
	forget(t);
	connection = server_with(t, &proposal);
	assert_ptr_equal(connection->group, group);
	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &message));
	message.flags = LLC_RESPONSE;
	give_llc(&group->link, &message);
	give_clc(connection, &decline);
	complete(t, &group->link);
	assert_true(sent_llc(t, LLC_DELETE_RKEY, &message));
	message.flags = LLC_RESPONSE;
	if (answer)
		give_llc(&group->link, &message);
	else
		expire(t, &group->flow_timer);
}

/* Each would stay registered until the group ends, and that need not happen. */
static void a_peer_that_lets_go_of_no_key_loses_the_group(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2);
	struct link_group *group = first->group;

	(void)state;
	for (unsigned int i = 0; i < RKEY_UNDELETED_MOST - 1; i++)
		keep_a_key(t, group, false);
	keep_a_key(t, group, true); /* in a row, that is */
	for (unsigned int i = 0; i < RKEY_UNDELETED_MOST - 1; i++)
		keep_a_key(t, group, false);
	assert_int_equal(group->state, LINK_GROUP_ACTIVE);
	keep_a_key(t, group, false);
	assert_int_equal(group->state, LINK_GROUP_ENDING);
	assert_ptr_equal(find(t, PROTO_RESET)->action.connection, first);
	tester_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_goes_by_a_peers_names_from_elsewhere_gets_another_group),
		cmocka_unit_test(a_first_contact_is_waited_for_at_its_own_address_only),
		cmocka_unit_test(a_first_contact_that_stalls_is_not_waited_for_any_longer),
		cmocka_unit_test(a_client_keeps_no_more_than_so_many_idle_groups),
		cmocka_unit_test(a_peer_that_lets_go_of_no_key_loses_the_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
