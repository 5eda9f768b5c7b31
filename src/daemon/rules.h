/* SPDX-License-Identifier: MIT */
/*
 * Rules: which connections may move
 *
 * Theory of operation
 *
 * There are three kinds of rule (ports, addresses, programs), and a deny and an allow list of each.
 * A connection is denied if an entry of a deny list matches it, or if a kind has an allow list and
 * no entry of it matches.  A port or an address matches if it is that of either end.  A program
 * rule is asked of each end with its own program, so a program denied never moves a connection,
 * whoever the peer is.
 */
#ifndef SMCU_DAEMON_RULES_H
#define SMCU_DAEMON_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "control/rule.h"
#include "ring/side.h"

#define RULE_PROGRAM_MAX 32U /* as in struct snapshot_connection */

/**
 * struct rule - one entry; its list says which member counts
 * @end: of ports and addresses
 * @program: name of an executable, without its directory
 */
struct rule {
	union {
		struct rule_end end;
		char program[RULE_PROGRAM_MAX];
	};
};

struct rule_list {
	struct rule *entries;
	unsigned int count;
};

/**
 * struct rules - all of them
 */
struct rules {
	struct rule_list lists[RULE_KINDS][RULE_VERDICTS];
};

/**
 * rules_add - add the entries named in @text
 * @text: separated by commas or blanks: "80, 8000-8100", "10.0.0.0/8 ::1", "sshd, nginx"
 *
 * Return: 0, or with nothing added -EINVAL, -E2BIG (more than RULE_ENDS_MAX ports and addresses) or -ENOMEM.
 */
int rules_add(struct rules *rules, enum rule_kind kind, enum rule_verdict verdict,
	      const char *text);

/* rules_clear - empty one list */
void rules_clear(struct rules *rules, enum rule_kind kind, enum rule_verdict verdict);

/* rules_free - empty all lists */
void rules_free(struct rules *rules);

/* rules_deny - may the connection between @local and @peer, driven by @program, not move? */
bool rules_deny(const struct rules *rules, const struct side_address *local,
		const struct side_address *peer, const char *program);

/* rules_ends - copy what there is of ports and addresses; returns how many */
unsigned int rules_ends(const struct rules *rules, struct rule_end ends[RULE_ENDS_MAX]);

/* rules_deny_program - may no connection of @program move? */
bool rules_deny_program(const struct rules *rules, const char *program);

#endif
