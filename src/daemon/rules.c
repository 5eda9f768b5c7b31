/* SPDX-License-Identifier: MIT */
#include "daemon/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_TEXT_MAX 64U

/* A decimal number of at most @most that is all of the text. */
static int parse_number(const char *text, unsigned long most, unsigned int *number)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value > most)
		return -EINVAL;
	*number = (unsigned int)value;
	return 0;
}

static int parse_ports(char *text, struct rule *rule)
{
	char *dash = strchr(text, '-');
	unsigned int first, last;

	if (dash)
		*dash++ = 0;
	if (parse_number(text, UINT16_MAX, &first))
		return -EINVAL;
	last = first;
	if (dash && parse_number(dash, UINT16_MAX, &last))
		return -EINVAL;
	if (!first || last < first)
		return -EINVAL;
	rule->end.ports[0] = (uint16_t)first;
	rule->end.ports[1] = (uint16_t)last;
	return 0;
}

static int parse_address(char *text, struct rule *rule)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char *slash = strchr(text, '/');
	unsigned int bits = 128, before = 0;

	if (slash)
		*slash++ = 0;
	if (inet_pton(AF_INET, text, rule->end.address + 12) == 1) {
		memcpy(rule->end.address, mapped, sizeof(mapped));
		before = 96;
	} else if (inet_pton(AF_INET6, text, rule->end.address) != 1) {
		return -EINVAL;
	}
	bits -= before;
	if (slash && parse_number(slash, bits, &bits))
		return -EINVAL;
	rule->end.prefix = (uint8_t)(before + bits);
	return 0;
}

static int parse_program(const char *text, struct rule *rule)
{
	size_t length = strlen(text);

	if (length >= sizeof(rule->program) || strchr(text, '/'))
		return -EINVAL;
	memcpy(rule->program, text, length + 1);
	return 0;
}

static int parse_entry(enum rule_kind kind, enum rule_verdict verdict, char *text,
		       struct rule *rule)
{
	memset(rule, 0, sizeof(*rule));
	if (kind != RULE_PROGRAM) {
		rule->end.kind = (uint8_t)kind;
		rule->end.verdict = (uint8_t)verdict;
	}
	switch (kind) {
	case RULE_PORT:
		return parse_ports(text, rule);
	case RULE_ADDRESS:
		return parse_address(text, rule);
	default:
		return parse_program(text, rule);
	}
}

static int append(struct rule_list *list, const struct rule *rule)
{
	struct rule *entries = reallocarray(list->entries, list->count + 1, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	entries[list->count++] = *rule;
	list->entries = entries;
	return 0;
}

static unsigned int count_ends(const struct rules *rules)
{
	unsigned int kind, verdict, count = 0;

	for (kind = 0; kind < RULE_PROGRAM; kind++)
		for (verdict = 0; verdict < RULE_VERDICTS; verdict++)
			count += rules->lists[kind][verdict].count;
	return count;
}

int rules_add(struct rules *rules, enum rule_kind kind, enum rule_verdict verdict, const char *text)
{
	static const char separators[] = ", \t";
	struct rule_list *list = &rules->lists[kind][verdict];
	unsigned int before = list->count;
	char entry[ENTRY_TEXT_MAX];
	struct rule rule;
	size_t length;
	int error = 0;

	for (text += strspn(text, separators); *text && !error; text += strspn(text, separators)) {
		length = strcspn(text, separators);
		if (length >= sizeof(entry)) {
			error = -EINVAL;
			break;
		}
		memcpy(entry, text, length);
		entry[length] = 0;
		text += length;
		error = parse_entry(kind, verdict, entry, &rule);
		if (!error && kind != RULE_PROGRAM && count_ends(rules) == RULE_ENDS_MAX)
			error = -E2BIG;
		if (!error)
			error = append(list, &rule);
	}
	if (!error && list->count == before)
		error = -EINVAL;
	if (error)
		list->count = before;
	return error;
}

void rules_clear(struct rules *rules, enum rule_kind kind, enum rule_verdict verdict)
{
	struct rule_list *list = &rules->lists[kind][verdict];

	free(list->entries);
	list->entries = NULL;
	list->count = 0;
}

void rules_free(struct rules *rules)
{
	unsigned int kind, verdict;

	for (kind = 0; kind < RULE_KINDS; kind++)
		for (verdict = 0; verdict < RULE_VERDICTS; verdict++)
			rules_clear(rules, kind, verdict);
}

static bool list_matches(const struct rule_list *list, enum rule_kind kind,
			 const struct side_address *local, const struct side_address *peer,
			 const char *program)
{
	const struct rule *rule;

	for (rule = list->entries; rule < list->entries + list->count; rule++)
		if (kind == RULE_PROGRAM ? strcmp(rule->program, program) == 0
					 : rule_end_matches(&rule->end, local) ||
						   rule_end_matches(&rule->end, peer))
			return true;
	return false;
}

static bool kind_denies(const struct rules *rules, enum rule_kind kind,
			const struct side_address *local, const struct side_address *peer,
			const char *program)
{
	const struct rule_list *lists = rules->lists[kind];

	if (lists[RULE_DENY].count && list_matches(&lists[RULE_DENY], kind, local, peer, program))
		return true;
	return lists[RULE_ALLOW].count &&
	       !list_matches(&lists[RULE_ALLOW], kind, local, peer, program);
}

bool rules_deny(const struct rules *rules, const struct side_address *local,
		const struct side_address *peer, const char *program)
{
	unsigned int kind;

	for (kind = 0; kind < RULE_KINDS; kind++)
		if (kind_denies(rules, kind, local, peer, program))
			return true;
	return false;
}

bool rules_deny_program(const struct rules *rules, const char *program)
{
	return kind_denies(rules, RULE_PROGRAM, NULL, NULL, program);
}

unsigned int rules_ends(const struct rules *rules, struct rule_end ends[RULE_ENDS_MAX])
{
	unsigned int kind, verdict, i, count = 0;

	for (kind = 0; kind < RULE_PROGRAM; kind++)
		for (verdict = 0; verdict < RULE_VERDICTS; verdict++)
			for (i = 0; i < rules->lists[kind][verdict].count; i++)
				ends[count++] = rules->lists[kind][verdict].entries[i].end;
	return count;
}
