/* SPDX-License-Identifier: MIT */
#include "control/rule.h"

#include <string.h>

#define ADDRESS_BITS 128U

bool rule_end_valid(const struct rule_end *rule)
{
	return rule->kind < RULE_PROGRAM && rule->verdict < RULE_VERDICTS &&
	       rule->prefix <= ADDRESS_BITS;
}

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return !rest || ((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0;
}

bool rule_end_matches(const struct rule_end *rule, const struct side_address *end)
{
	if (rule->kind == RULE_PORT)
		return end->port >= rule->ports[0] && end->port <= rule->ports[1];
	return prefix_equal(rule->address, end->bytes, rule->prefix);
}
