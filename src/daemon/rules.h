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

#include "ring/side.h"

enum rule_kind { RULE_PORT = 0, RULE_ADDRESS, RULE_PROGRAM, RULE_KINDS };
enum rule_verdict { RULE_ALLOW = 0, RULE_DENY, RULE_VERDICTS };

#define RULE_PROGRAM_MAX 32U /* as in struct snapshot_connection */

/**
 * struct rule - one entry; its list says which member counts
 * @ports: first and last port
 * @address: IPv6 form; @prefix: leading bits that count
 * @program: name of an executable, without its directory
 */
struct rule {
	union {
		uint16_t ports[2];
		struct {
			uint8_t address[16];
			unsigned int prefix;
		};
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
 * Return: 0, -EINVAL with nothing added, or -ENOMEM.
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

/* rules_deny_program - may no connection of @program move? */
bool rules_deny_program(const struct rules *rules, const char *program);

#endif
