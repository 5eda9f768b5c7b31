/* SPDX-License-Identifier: MIT */
/*
 * A rule about the ends of a connection: a port or an address, as daemon and shim see it
 *
 * The daemon has all rules (daemon/rules.h) and the last word.  Shims that offer SMC-R to other hosts are told
 * those of ports and addresses (struct message_rules), so that what is denied is not offered at all.
 */
#ifndef SMCU_CONTROL_RULE_H
#define SMCU_CONTROL_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/side.h"

enum rule_kind { RULE_PORT = 0, RULE_ADDRESS, RULE_PROGRAM, RULE_KINDS };
enum rule_verdict { RULE_ALLOW = 0, RULE_DENY, RULE_VERDICTS };

#define RULE_ENDS_MAX 256U /* of ports and addresses together */

/**
 * struct rule_end - an entry of a list of ports or of addresses
 * @kind, @verdict: of its list: enum rule_kind, enum rule_verdict
 * @prefix: RULE_ADDRESS: leading bits of @address that count, 0 to 128
 * @ports: RULE_PORT: the first and the last one
 * @address: IPv6 form
 */
struct rule_end {
	uint8_t kind;
	uint8_t verdict;
	uint8_t prefix;
	uint8_t reserved;
	uint16_t ports[2];
	uint8_t address[16];
};

/* rule_end_valid - is it one?  Of the rest nothing has to be believed */
bool rule_end_valid(const struct rule_end *rule);

/* rule_end_matches - is this end of a connection meant? */
bool rule_end_matches(const struct rule_end *rule, const struct side_address *end);

#endif
