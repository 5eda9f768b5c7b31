/* SPDX-License-Identifier: MIT */
/*
 * What peers that mean ill, or are slow, can do to the link groups of others
 */
#include "proto.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_goes_by_a_peers_names_from_elsewhere_gets_another_group),
		cmocka_unit_test(a_first_contact_is_waited_for_at_its_own_address_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
