/* SPDX-License-Identifier: MIT */
/*
 * What a Proposal leads to, row by row: version, EID, limits, or the diagnosis
 */
#include "proto/negotiation.h"

#include "proto.h"

#define R CLC_PATH_R
#define D CLC_PATH_D
#define NONE CLC_PATH_NONE
#define BOTH CLC_PATH_BOTH

/**
 * struct row - a Proposal, the server that gets it, and what comes out
 * @eids: of the client
 * @outcome: a version, or a diagnosis
 */
struct row {
	enum clc_path v1, v2;
	bool same_prefix, ipv4, server_v1, server_v2, reachable, vlan;
	unsigned int eids;
	bool foreign_eid;
	uint32_t outcome;
};

#define NO_EXTENSION 0xffU /* instead of a number of EIDs */

static const struct row rows[] = {
	/* v1    v2    prefix ipv4  v1     v2     route vlan  eids foreign */
	{R, R, true, true, true, true, true, true, 1, false, 2},
	{R, R, true, true, true, false, true, true, 1, false, 1},
	{R, R, true, true, true, true, false, true, 1, false, 1},
	{R, R, true, true, true, true, true, true, 1, true, 1},
	{R, R, true, true, true, true, true, true, 0, false, 1},
	{R, R, false, true, true, true, true, true, 1, false, 2},
	{R, R, false, true, true, true, true, true, 1, true, CLC_PREFIX},
	{R, R, true, false, true, true, true, true, 1, false, 1},
	{R, NONE, true, true, true, true, true, true, 0, false, 1},
	{R, NONE, false, true, true, true, true, true, 0, false, CLC_PREFIX},
	{R, NONE, true, true, false, true, true, true, 0, false, CLC_NO_SMCR_DEVICE},
	{NONE, R, false, true, true, true, true, true, 1, false, 2},
	{NONE, R, true, true, true, true, true, true, 1, true, CLC_NO_DEVICE},
	{NONE, R, true, true, true, true, true, true, 0, false, CLC_NO_UEID},
	{NONE, R, true, true, true, false, true, true, 1, false, CLC_NO_SMCR_DEVICE},
	{NONE, R, true, true, true, true, false, true, 1, false, CLC_NO_SMCR_DEVICE},
	{NONE, R, true, true, true, true, true, false, 1, false, CLC_VLAN},
	{NONE, NONE, true, true, true, true, true, true, 0, false, CLC_PEER_WITHOUT_SMC},
	{D, NONE, true, true, true, true, true, true, 0, false, CLC_NO_SMCD_DEVICE},
	{NONE, D, true, true, true, true, true, true, 1, false, CLC_NO_ISM_V2},
	{BOTH, NONE, true, true, true, true, true, true, 0, false, 1},
	{BOTH, BOTH, true, true, true, true, true, true, 1, false, 2},
	{NONE, BOTH, true, true, true, true, true, true, 0, false, CLC_NO_ISM_V2},
	{D, R, true, true, true, true, true, true, 1, true, CLC_NO_SMCD_DEVICE},
	{R, R, true, true, true, true, true, true, NO_EXTENSION, false, 1},
	{R, R, false, true, true, true, true, true, NO_EXTENSION, false, CLC_PREFIX},
	{R, BOTH, true, true, true, true, true, true, NO_EXTENSION, false, 1},
	{NONE, R, true, true, true, true, true, true, NO_EXTENSION, false, CLC_NO_V2_EXTENSION},
	{NONE, D, true, true, true, true, true, true, NO_EXTENSION, false, CLC_NO_V2_EXTENSION},
};

static uint32_t outcome_of(const struct row *row, struct tester *t)
{
	struct clc_message proposal = peer_proposal(true, true);
	struct rendezvous_facts facts = facts_of(PROTO_SERVER);
	struct negotiation negotiation = {0};
	uint32_t diagnosis;

	proposal.flags = clc_flags(row->v1, row->v2);
	proposal.proposal.prefix[0] = row->same_prefix ? 10 : 11;
	if (row->eids == NO_EXTENSION) {
		proposal.proposal.v2_missing = true;
		memset(&proposal.proposal.v2, 0, sizeof(proposal.proposal.v2));
	} else {
		proposal.proposal.v2.eid_count = (uint8_t)row->eids;
	}
	if (row->foreign_eid)
		proposal.proposal.v2.eids[0][0] = 'X';
	facts.ipv4 = row->ipv4;
	if (!row->ipv4) {
		proposal.proposal.prefix6_count = 1;
		proposal.proposal.prefixes6[0] = facts.prefixes[0];
	}
	facts.v1 = row->server_v1;
	facts.v2 = row->server_v2;
	facts.vlan = row->vlan ? 0 : RENDEZVOUS_NO_VLAN;
	diagnosis = negotiation_consider(&t->host.config, &facts, &proposal, &negotiation);
	if (!diagnosis)
		diagnosis = negotiation_settle(&t->host.config, &proposal, row->reachable,
					       &negotiation);
	return diagnosis ? diagnosis : negotiation.version;
}

static void each_proposal_leads_to_its_version_or_diagnosis(void **state)
{
	struct tester *t = tester_new();

	(void)state;
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (outcome_of(&rows[i], t) != rows[i].outcome)
			fail_msg("row %u: %x instead of %x", i, outcome_of(&rows[i], t),
				 rows[i].outcome);
	tester_end(t);
}

static void the_clients_favourite_eid_is_taken(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct rendezvous_facts facts = facts_of(PROTO_SERVER);
	struct negotiation negotiation = {0};

	(void)state;
	t->host.config.eid_count = 3;
	memset(t->host.config.eids[1], 'B', CLC_EID_SIZE);
	memset(t->host.config.eids[2], 'C', CLC_EID_SIZE);
	proposal.proposal.v2.eid_count = 3;
	memset(proposal.proposal.v2.eids[0], 'X', CLC_EID_SIZE);
	memset(proposal.proposal.v2.eids[1], 'C', CLC_EID_SIZE);
	memset(proposal.proposal.v2.eids[2], 'B', CLC_EID_SIZE);
	assert_int_equal(negotiation_consider(&t->host.config, &facts, &proposal, &negotiation), 0);
	assert_memory_equal(negotiation.eid, t->host.config.eids[2], CLC_EID_SIZE);
	tester_end(t);
}

/* Of client and server: release, connections, links; what comes out. */
static const struct {
	uint8_t client[3], server[3], agreed[3];
	uint32_t diagnosis;
} limits[] = {
	{{1, 255, 2}, {1, 255, 2}, {1, 255, 2}, 0},
	{{1, 100, 2}, {1, 255, 1}, {1, 100, 1}, 0},
	{{1, 16, 1}, {1, 255, 2}, {1, 16, 1}, 0},
	{{0, 0, 0}, {1, 100, 1}, {0, 255, 2}, 0},
	{{1, 100, 1}, {0, 255, 2}, {0, 255, 2}, 0},
	{{9, 255, 2}, {1, 255, 2}, {1, 255, 2}, 0},
	{{1, 15, 2}, {1, 255, 2}, {1, 15, 2}, CLC_MAX_CONNECTIONS},
	{{1, 255, 0}, {1, 255, 2}, {1, 255, 0}, CLC_MAX_LINKS},
};

static void the_lower_limits_count(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct tester *t = tester_new();
		struct clc_message proposal = peer_proposal(false, true);
		struct rendezvous_facts facts = facts_of(PROTO_SERVER);
		struct negotiation n = {0};

		proposal.proposal.v2.release = limits[i].client[0];
		proposal.proposal.v2.max_connections = limits[i].client[1];
		proposal.proposal.v2.max_links = limits[i].client[2];
		t->host.config.release = limits[i].server[0];
		t->host.config.max_connections = limits[i].server[1];
		t->host.config.max_links = limits[i].server[2];
		negotiation_consider(&t->host.config, &facts, &proposal, &n);
		assert_int_equal(negotiation_settle(&t->host.config, &proposal, true, &n),
				 limits[i].diagnosis);
		assert_int_equal(n.release, limits[i].agreed[0]);
		assert_int_equal(n.max_connections, limits[i].agreed[1]);
		assert_int_equal(n.max_links, limits[i].agreed[2]);
		tester_end(t);
	}
}

/* A client's circumstances, what it proposes, or why it does not. */
static const struct {
	bool v1, v2, ipv4;
	uint8_t eids, prefixes;
	int vlan;
	enum clc_path offered_v1, offered_v2;
	uint32_t diagnosis;
} offers[] = {
	{true, true, true, 1, 1, 0, R, R, 0},
	{true, true, true, 0, 1, 0, R, NONE, 0},
	{true, true, false, 1, 1, 0, R, NONE, 0},
	{true, false, true, 1, 1, 0, R, NONE, 0},
	{false, true, true, 1, 1, 0, NONE, R, 0},
	{true, true, true, 1, 0, 0, NONE, R, 0},
	{true, false, true, 1, 0, 0, NONE, NONE, CLC_CONFIGURATION},
	{false, true, false, 1, 1, 0, NONE, NONE, CLC_NO_DEVICE},
	{false, false, true, 1, 1, 0, NONE, NONE, CLC_NO_DEVICE},
	{true, true, true, 1, 1, RENDEZVOUS_NO_VLAN, NONE, NONE, CLC_NO_DEVICE},
};

static void a_client_offers_what_it_can_do(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		struct tester *t = tester_new();
		struct rendezvous_facts facts = facts_of(PROTO_CLIENT);
		struct negotiation n = {0};
		struct clc_message proposal;
		uint8_t bytes[CLC_LENGTH_MAX];

		facts.v1 = offers[i].v1;
		facts.v2 = offers[i].v2;
		facts.ipv4 = offers[i].ipv4;
		facts.vlan = offers[i].vlan;
		facts.prefix_count = offers[i].prefixes;
		t->host.config.eid_count = offers[i].eids;
		assert_int_equal(negotiation_propose(&t->host.config, &facts, &n, &proposal),
				 offers[i].diagnosis);
		if (!offers[i].diagnosis) {
			assert_int_equal(clc_path_v1(&proposal), offers[i].offered_v1);
			assert_int_equal(clc_path_v2(&proposal), offers[i].offered_v2);
			assert_true(clc_encode(&proposal, bytes, sizeof(bytes)) > 0);
		}
		tester_end(t);
	}
}

static void an_element_size_is_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(negotiation_element_code(0), 0);
	assert_int_equal(negotiation_element_code(16384), 0);
	assert_int_equal(negotiation_element_code(16385), 1);
	assert_int_equal(negotiation_element_code(65536), 2);
	assert_int_equal(negotiation_element_code(512U << 20), 15);
	assert_int_equal(negotiation_element_code(UINT32_MAX), 15);
}

static void what_cannot_be_a_side_is_implausible(void **state)
{
	struct tester *t = tester_new();
	struct clc_accept_r right = peer_side(t, CLC_ACCEPT, 2, true).accept.r, wrong;

	(void)state;
	assert_true(negotiation_plausible(&right));
	wrong = right;
	wrong.queue_pair = 1;
	assert_false(negotiation_plausible(&wrong));
	wrong.queue_pair = 0xffffff;
	assert_false(negotiation_plausible(&wrong));
	wrong = right;
	wrong.element = 0;
	assert_false(negotiation_plausible(&wrong));
	wrong = right;
	wrong.token = 0;
	assert_false(negotiation_plausible(&wrong));
	wrong = right;
	wrong.mtu = 6;
	assert_false(negotiation_plausible(&wrong));
	wrong.mtu = 0;
	assert_false(negotiation_plausible(&wrong));
	wrong = right;
	wrong.address = UINT64_MAX - 100;
	assert_false(negotiation_plausible(&wrong));
	wrong = right;
	memset(wrong.peer.gid, 0, CLC_GID_SIZE);
	assert_false(negotiation_plausible(&wrong));
	wrong.peer.gid[0] = 0xff;
	assert_false(negotiation_plausible(&wrong));
	tester_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_proposal_leads_to_its_version_or_diagnosis),
		cmocka_unit_test(the_clients_favourite_eid_is_taken),
		cmocka_unit_test(the_lower_limits_count),
		cmocka_unit_test(a_client_offers_what_it_can_do),
		cmocka_unit_test(an_element_size_is_rounded_up),
		cmocka_unit_test(what_cannot_be_a_side_is_implausible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
