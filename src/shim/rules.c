/* SPDX-License-Identifier: MIT */
#include "shim/rules.h"

#include <stdatomic.h>
#include <string.h>

/**
 * struct table - one daemon's rules
 */
struct table {
	_Atomic unsigned int count;
	struct rule_end ends[RULE_ENDS_MAX];
};

static struct table tables[2];
static _Atomic unsigned int current; /* the other one is being filled */

void rules_take(const struct message_rules *message)
{
	struct table *table = &tables[!atomic_load(&current)];
	unsigned int count = atomic_load(&table->count), room = RULE_ENDS_MAX - count;
	unsigned int more = message->count < room ? message->count : room;

	memcpy(table->ends + count, message->ends, more * sizeof(*table->ends));
	atomic_store(&table->count, count + more);
}

void rules_settle(void)
{
	const unsigned int old = atomic_load(&current);

	atomic_store(&current, !old);
	atomic_store(&tables[old].count, 0);
}

void rules_drop(void)
{
	atomic_store(&tables[!atomic_load(&current)].count, 0);
}

bool rules_any(void)
{
	return atomic_load(&tables[atomic_load(&current)].count);
}

static bool has_address(const struct side_address *end)
{
	static const uint8_t any[16], mapped_any[16] = {[10] = 0xff, [11] = 0xff};

	return memcmp(end->bytes, any, sizeof(any)) != 0 &&
	       memcmp(end->bytes, mapped_any, sizeof(mapped_any)) != 0;
}

static bool is_known(enum rule_kind kind, const struct side_address *end)
{
	return kind == RULE_PORT ? end->port != 0 : has_address(end);
}

static bool matches(const struct rule_end *rule, const struct side_address *end)
{
	return is_known(rule->kind, end) && rule_end_matches(rule, end);
}

static bool kind_denies(enum rule_kind kind, const struct side_address *local,
			const struct side_address *peer)
{
	const struct table *table = &tables[atomic_load(&current)];
	const unsigned int count = atomic_load(&table->count);
	bool listed = false;
	bool allowed = kind == RULE_ADDRESS && !(has_address(local) && has_address(peer));

	for (unsigned int i = 0; i < count; i++) {
		const struct rule_end *rule = &table->ends[i];
		bool meant = rule->kind == kind && (matches(rule, local) || matches(rule, peer));

		if (meant && rule->verdict == RULE_DENY)
			return true;
		listed |= rule->kind == kind && rule->verdict == RULE_ALLOW;
		allowed |= meant;
	}
	return listed && !allowed;
}

bool rules_deny_offer(const struct side_address *local, const struct side_address *peer)
{
	return kind_denies(RULE_PORT, local, peer) || kind_denies(RULE_ADDRESS, local, peer);
}
