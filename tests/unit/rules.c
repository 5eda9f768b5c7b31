/* SPDX-License-Identifier: MIT */
/*
 * Rules: deny lists, allow lists, and both ends of a connection
 */
#include "daemon/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

static struct rules rules;

static int clear(void **state)
{
	(void)state;
	rules_free(&rules);
	return 0;
}

static struct side_address address(const char *text, uint16_t port)
{
	struct side_address result = {.bytes = {[10] = 0xff, [11] = 0xff}, .port = port};

	if (inet_pton(AF_INET, text, result.bytes + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, result.bytes), 1);
	return result;
}

static bool denied(const char *local, uint16_t local_port, const char *peer, uint16_t peer_port,
		   const char *program)
{
	struct side_address a = address(local, local_port), b = address(peer, peer_port);

	return rules_deny(&rules, &a, &b, program);
}

static void no_rules_allow_everything(void **state)
{
	(void)state;
	assert_false(denied("127.0.0.1", 1, "127.0.0.1", 2, "x"));
}

static void a_denied_port_counts_at_either_end(void **state)
{
	(void)state;
	assert_int_equal(rules_add(&rules, RULE_PORT, RULE_DENY, "22,100-200"), 0);
	assert_true(denied("127.0.0.1", 22, "127.0.0.1", 4000, "x"));
	assert_true(denied("127.0.0.1", 4000, "127.0.0.1", 22, "x"));
	assert_true(denied("127.0.0.1", 100, "127.0.0.1", 4000, "x"));
	assert_true(denied("127.0.0.1", 200, "127.0.0.1", 4000, "x"));
	assert_false(denied("127.0.0.1", 99, "127.0.0.1", 201, "x"));
}

static void an_allow_list_denies_the_rest(void **state)
{
	(void)state;
	assert_int_equal(rules_add(&rules, RULE_PORT, RULE_ALLOW, "80"), 0);
	assert_false(denied("127.0.0.1", 80, "127.0.0.1", 4000, "x"));
	assert_false(denied("127.0.0.1", 4000, "127.0.0.1", 80, "x"));
	assert_true(denied("127.0.0.1", 4000, "127.0.0.1", 81, "x"));
}

static void deny_wins_over_allow(void **state)
{
	(void)state;
	assert_int_equal(rules_add(&rules, RULE_PORT, RULE_ALLOW, "80-90"), 0);
	assert_int_equal(rules_add(&rules, RULE_PORT, RULE_DENY, "85"), 0);
	assert_false(denied("127.0.0.1", 80, "127.0.0.1", 4000, "x"));
	assert_true(denied("127.0.0.1", 85, "127.0.0.1", 4000, "x"));
}

static void prefixes_end_within_a_byte(void **state)
{
	(void)state;
	assert_int_equal(rules_add(&rules, RULE_ADDRESS, RULE_DENY, "10.0.0.0/9 fd00::/7"), 0);
	assert_true(denied("10.127.255.255", 1, "1.2.3.4", 2, "x"));
	assert_false(denied("10.128.0.0", 1, "1.2.3.4", 2, "x"));
	assert_true(denied("1.2.3.4", 1, "10.0.0.1", 2, "x"));
	assert_true(denied("fc00::1", 1, "1.2.3.4", 2, "x"));
	assert_false(denied("fe00::1", 1, "1.2.3.4", 2, "x"));
}

static void zero_bits_match_a_family(void **state)
{
	(void)state;
	assert_int_equal(rules_add(&rules, RULE_ADDRESS, RULE_DENY, "0.0.0.0/0"), 0);
	assert_true(denied("9.9.9.9", 1, "1.2.3.4", 2, "x"));
	assert_false(denied("::1", 1, "::1", 2, "x"));
	assert_int_equal(rules_add(&rules, RULE_ADDRESS, RULE_DENY, "::/0"), 0);
	assert_true(denied("::1", 1, "::1", 2, "x"));
}

static void a_mapped_address_is_the_ipv4_one(void **state)
{
	(void)state;
	assert_int_equal(rules_add(&rules, RULE_ADDRESS, RULE_ALLOW, "127.0.0.1"), 0);
	assert_false(denied("::ffff:127.0.0.1", 1, "9.9.9.9", 2, "x"));
	assert_true(denied("127.0.0.2", 1, "9.9.9.9", 2, "x"));
}

static void programs_are_compared_whole(void **state)
{
	(void)state;
	assert_int_equal(rules_add(&rules, RULE_PROGRAM, RULE_DENY, "sshd nginx"), 0);
	assert_true(denied("127.0.0.1", 1, "127.0.0.1", 2, "sshd"));
	assert_true(denied("127.0.0.1", 1, "127.0.0.1", 2, "nginx"));
	assert_false(denied("127.0.0.1", 1, "127.0.0.1", 2, "sshd-session"));
	assert_false(denied("127.0.0.1", 1, "127.0.0.1", 2, ""));
}

static void a_bad_list_adds_nothing(void **state)
{
	(void)state;
	assert_int_not_equal(rules_add(&rules, RULE_PORT, RULE_DENY, "1, 2, x"), 0);
	assert_int_equal(rules.lists[RULE_PORT][RULE_DENY].count, 0);
	assert_int_not_equal(rules_add(&rules, RULE_PORT, RULE_DENY, ""), 0);
	assert_int_not_equal(rules_add(&rules, RULE_PORT, RULE_DENY, "1-2-3"), 0);
	assert_int_not_equal(rules_add(&rules, RULE_ADDRESS, RULE_DENY, "1.2.3.4/"), 0);
	assert_int_not_equal(rules_add(&rules, RULE_ADDRESS, RULE_DENY, "1.2.3.4/+1"), 0);
	assert_false(denied("127.0.0.1", 1, "127.0.0.1", 2, "x"));
}

static void ports_and_addresses_are_told_to_shims_and_not_more_than_fit(void **state)
{
	const struct side_address high = {.bytes = {[10] = 0xff, [11] = 0xff, 10, 1, 2, 3},
					  .port = 99};
	struct rule_end ends[RULE_ENDS_MAX];
	char port[8];

	(void)state;
	assert_int_equal(rules_add(&rules, RULE_PROGRAM, RULE_DENY, "sshd"), 0);
	assert_int_equal(rules_ends(&rules, ends), 0);
	assert_int_equal(rules_add(&rules, RULE_ADDRESS, RULE_ALLOW, "10.1.0.0/16"), 0);
	assert_int_equal(rules_add(&rules, RULE_PORT, RULE_DENY, "90-99"), 0);
	assert_int_equal(rules_ends(&rules, ends), 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(rule_end_valid(&ends[i]));
		assert_true(rule_end_matches(&ends[i], &high));
		assert_int_equal(ends[i].verdict,
				 ends[i].kind == RULE_PORT ? RULE_DENY : RULE_ALLOW);
	}
	for (unsigned int i = 2; i < RULE_ENDS_MAX; i++) {
		snprintf(port, sizeof(port), "%u", i);
		assert_int_equal(rules_add(&rules, RULE_PORT, RULE_ALLOW, port), 0);
	}
	assert_int_equal(rules_ends(&rules, ends), RULE_ENDS_MAX);
	assert_int_equal(rules_add(&rules, RULE_PORT, RULE_DENY, "7"), -E2BIG);
	assert_int_equal(rules_add(&rules, RULE_ADDRESS, RULE_DENY, "::1"), -E2BIG);
	assert_int_equal(rules_add(&rules, RULE_PROGRAM, RULE_DENY, "vsftpd"), 0);
}

int main(void)
{
#define RULE_TEST(name) cmocka_unit_test_teardown(name, clear)
	static const struct CMUnitTest tests[] = {
		RULE_TEST(no_rules_allow_everything),
		RULE_TEST(a_denied_port_counts_at_either_end),
		RULE_TEST(an_allow_list_denies_the_rest),
		RULE_TEST(deny_wins_over_allow),
		RULE_TEST(prefixes_end_within_a_byte),
		RULE_TEST(zero_bits_match_a_family),
		RULE_TEST(a_mapped_address_is_the_ipv4_one),
		RULE_TEST(programs_are_compared_whole),
		RULE_TEST(a_bad_list_adds_nothing),
		RULE_TEST(ports_and_addresses_are_told_to_shims_and_not_more_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
