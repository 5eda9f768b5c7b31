/* SPDX-License-Identifier: MIT */
/*
 * What the shim makes of the daemon's rules, while one end of a connection is not known yet
 */
#include "shim/rules.h"

#include <string.h>

#include "unit.h"

#define IPV4(a, b, c, d)                                                                           \
	{                                                                                          \
		[10] = 0xff, [11] = 0xff, [12] = a, [13] = b, [14] = c, [15] = d                   \
	}

static const struct side_address unknown, mapped_any = {.bytes = IPV4(0, 0, 0, 0), .port = 7000};
static const struct side_address here = {.bytes = IPV4(10, 0, 0, 1), .port = 7000};
static const struct side_address there = {.bytes = IPV4(10, 0, 0, 2), .port = 80};

static void tell(const struct rule_end *end)
{
	union message message;

	message_init(&message, MESSAGE_RULES);
	message.rules.count = 1;
	message.rules.ends[0] = *end;
	rules_take(&message.rules);
}

static void tell_port(enum rule_verdict verdict, uint16_t port)
{
	tell(&(struct rule_end){
		.kind = RULE_PORT, .verdict = (uint8_t)verdict, .ports = {port, port}});
}

static void tell_address(enum rule_verdict verdict, const struct side_address *of)
{
	struct rule_end end = {.kind = RULE_ADDRESS, .verdict = (uint8_t)verdict, .prefix = 128};

	memcpy(end.address, of->bytes, sizeof(end.address));
	tell(&end);
}

static int none(void **state)
{
	(void)state;
	rules_settle();
	rules_settle();
	return rules_any();
}

static void rules_are_in_force_when_all_are_there(void **state)
{
	(void)state;
	tell_port(RULE_DENY, 80);
	assert_false(rules_any());
	assert_false(rules_deny_offer(&unknown, &there));
	rules_settle();
	assert_true(rules_any());
	assert_true(rules_deny_offer(&unknown, &there));
	tell_port(RULE_DENY, 7000);
	rules_drop(); /* the daemon went before its WELCOME */
	assert_true(rules_deny_offer(&unknown, &there));
	rules_settle();
	assert_false(rules_any());
}

static void what_is_not_known_is_not_denied(void **state)
{
	(void)state;
	tell_address(RULE_DENY, &unknown); /* ::, which is nobody's */
	tell_address(RULE_DENY, &there);
	rules_settle();
	assert_false(rules_deny_offer(&here, &unknown));
	assert_false(rules_deny_offer(&mapped_any, &unknown));
	assert_true(rules_deny_offer(&unknown, &there));
	assert_true(rules_deny_offer(&there, &unknown)); /* a listener there */
}

static void an_unknown_port_is_not_allowed(void **state)
{
	(void)state;
	tell_port(RULE_ALLOW, 80);
	rules_settle();
	assert_false(rules_deny_offer(&unknown, &there));
	assert_true(rules_deny_offer(&here, &unknown)); /* its peers' ports are of no service */
}

static void an_unknown_address_may_be_allowed(void **state)
{
	(void)state;
	tell_address(RULE_ALLOW, &here);
	rules_settle();
	assert_false(rules_deny_offer(&unknown, &there));
	assert_false(rules_deny_offer(&mapped_any, &unknown));
	assert_false(rules_deny_offer(&here, &there));
	assert_true(rules_deny_offer(&there, &there));
}

static void no_more_are_taken_than_there_is_room_for(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < RULE_ENDS_MAX; i++)
		tell_port(RULE_DENY, 1);
	tell_port(RULE_DENY, 80);
	rules_settle();
	assert_false(rules_deny_offer(&unknown, &there));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(rules_are_in_force_when_all_are_there, none),
		cmocka_unit_test_teardown(what_is_not_known_is_not_denied, none),
		cmocka_unit_test_teardown(an_unknown_port_is_not_allowed, none),
		cmocka_unit_test_teardown(an_unknown_address_may_be_allowed, none),
		cmocka_unit_test_teardown(no_more_are_taken_than_there_is_room_for, none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
