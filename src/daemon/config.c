/* SPDX-License-Identifier: MIT */
#include "daemon/config.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_names.h"
#include "proto/proto.h"
#include "ring/segment.h"

enum key_type {
	KEY_NUMBER,
	KEY_SIZE,
	KEY_POWER, /* a size that is a power of two */
	KEY_CGROUP,
	KEY_LIST,
	KEY_RNICS,
	KEY_FAULTS,
	KEY_EIDS
};

/**
 * struct key - one key
 * @width: bytes of the member at @offset
 * @list: KEY_LIST: kind and verdict, in the struct rules at @offset
 * @variable: environment variable, or NULL
 */
struct key {
	const char *section;
	const char *name;
	enum key_type type;
	size_t offset;
	size_t width;
	uint64_t least;
	uint64_t most;
	struct {
		enum rule_kind kind;
		enum rule_verdict verdict;
	} list;
	const char *variable;
};

#define MEMBER(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)
#define LIST(rules, kind, verdict) KEY_LIST, MEMBER(rules), 0, 0, {kind, verdict}, NULL
#define NO_LIST                                                                                    \
	{                                                                                          \
		RULE_PORT, RULE_ALLOW                                                              \
	}
#define TERABYTES(n) ((uint64_t)(n) << 40)

static const struct key keys[] = {
	{"move", "after", KEY_SIZE, MEMBER(policy.move_after), 0, TERABYTES(1), NO_LIST,
	 "SMCU_MOVE_AFTER"},
	{"ring", "bytes", KEY_POWER, MEMBER(policy.ring_bytes), RING_BYTES_MIN, RING_BYTES_MAX,
	 NO_LIST, "SMCU_RING_BYTES"},
	{"wait", "yields", KEY_NUMBER, MEMBER(policy.wait_yields), 0, 100000, NO_LIST,
	 "SMCU_WAIT_YIELDS"},
	{"limits", "connections_per_user", KEY_NUMBER, MEMBER(connections_per_user), 0, 1U << 30,
	 NO_LIST, NULL},
	{"limits", "memory_per_user", KEY_SIZE, MEMBER(memory_per_user), 0, TERABYTES(1024),
	 NO_LIST, NULL},
	{"limits", "sessions_per_user", KEY_NUMBER, MEMBER(sessions_per_user), 1, 1U << 20, NO_LIST,
	 NULL},
	{"rules", "allow_port", LIST(rules, RULE_PORT, RULE_ALLOW)},
	{"rules", "deny_port", LIST(rules, RULE_PORT, RULE_DENY)},
	{"rules", "allow_address", LIST(rules, RULE_ADDRESS, RULE_ALLOW)},
	{"rules", "deny_address", LIST(rules, RULE_ADDRESS, RULE_DENY)},
	{"rules", "allow_program", LIST(rules, RULE_PROGRAM, RULE_ALLOW)},
	{"rules", "deny_program", LIST(rules, RULE_PROGRAM, RULE_DENY)},
	{"rnic", "interface", KEY_RNICS, 0, 0, 0, 0, NO_LIST, NULL},
	{"rnic", "faults", KEY_FAULTS, 0, 0, 0, 0, NO_LIST, NULL},
	{"smcr", "eid", KEY_EIDS, 0, 0, 0, 0, NO_LIST, NULL},
	{"smcr", "element_bytes", KEY_POWER, MEMBER(policy.element_bytes), ELEMENT_BYTES_MIN,
	 RING_BYTES_MAX, NO_LIST, NULL},
	{"smcr", "max_connections", KEY_NUMBER, MEMBER(max_connections), PROTO_CONNECTIONS_LEAST,
	 PROTO_CONNECTIONS_MAX, NO_LIST, NULL},
	{"smcr", "linger", KEY_NUMBER, MEMBER(linger), 1, 86400, NO_LIST, NULL},
	{"smcr", "deny_program", LIST(smcr_rules, RULE_PROGRAM, RULE_DENY)},
	{"tcp_option", "attach", KEY_CGROUP, MEMBER(tcp_option), 0, 0, NO_LIST, NULL},
	{"daemon", "idle_exit", KEY_NUMBER, MEMBER(idle_exit), 0, 31536000, NO_LIST, NULL},
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))
_Static_assert(KEY_COUNT <= CONFIG_KEYS_MAX, "struct config has a source for every key");

static const char *const source_names[] = {"built-in", "file", "environment", "command line"};

/* They forbid themselves the calls that a connection through shared memory takes. */
#define SANDBOXED "sshd, vsftpd"

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	config->policy.move_after = 16384;
	config->policy.ring_bytes = RING_BYTES_DEFAULT;
	config->policy.wait_yields = 100;
	config->policy.element_bytes = ELEMENT_BYTES_DEFAULT;
	config->max_connections = PROTO_CONNECTIONS_MAX;
	config->linger = PROTO_LINGER / 1000;
	memset(config->eids[0], ' ', sizeof(config->eids[0]));
	memcpy(config->eids[0], "SMCU", 4);
	config->eid_count = 1;
	config->connections_per_user = 65536;
	config->memory_per_user = 512ULL << 30;
	config->sessions_per_user = 4096;
	config->idle_exit = 10;
	strcpy(config->tcp_option, "auto");
	(void)rules_add(&config->smcr_rules, RULE_PROGRAM, RULE_DENY, SANDBOXED);
}

void config_free(struct config *config)
{
	rules_free(&config->rules);
	rules_free(&config->smcr_rules);
}

__attribute__((format(printf, 2, 3))) static int complain(char error[CONFIG_ERROR_MAX],
							  const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* Digits, then K, M or G if @suffix. */
static int parse_size(const char *text, int suffix, uint64_t *value)
{
	unsigned long long number;
	unsigned int shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (suffix && *end) {
		const char *place = strchr("KkMmGg", *end);

		if (!place)
			return -EINVAL;
		shift = 10 * (unsigned int)((place - "KkMmGg") / 2 + 1);
		end++;
	}
	if (*end || number > UINT64_MAX >> shift)
		return -EINVAL;
	*value = (uint64_t)number << shift;
	return 0;
}

static void store(struct config *config, const struct key *key, uint64_t value)
{
	void *member = (char *)config + key->offset;

	if (key->width == sizeof(uint8_t))
		*(uint8_t *)member = (uint8_t)value;
	else if (key->width == sizeof(uint32_t))
		*(uint32_t *)member = (uint32_t)value;
	else
		*(uint64_t *)member = value;
}

static uint64_t load(const struct config *config, const struct key *key)
{
	const void *member = (const char *)config + key->offset;

	if (key->width == sizeof(uint8_t))
		return *(const uint8_t *)member;
	return key->width == sizeof(uint32_t) ? *(const uint32_t *)member
					      : *(const uint64_t *)member;
}

static int set_number(struct config *config, const struct key *key, const char *text,
		      char error[CONFIG_ERROR_MAX])
{
	uint64_t value;

	if (parse_size(text, key->type != KEY_NUMBER, &value))
		return complain(error, "%s.%s: '%.60s' is not a %s", key->section, key->name, text,
				key->type == KEY_NUMBER ? "number" : "size (such as 16384 or 4M)");
	if (value < key->least || value > key->most)
		return complain(error, "%s.%s: %.60s is not between %llu and %llu", key->section,
				key->name, text, (unsigned long long)key->least,
				(unsigned long long)key->most);
	if (key->type == KEY_POWER && (value & (value - 1)) != 0)
		return complain(error, "%s.%s: %.60s is not a power of two", key->section,
				key->name, text);
	store(config, key, value);
	return 0;
}

static int set_cgroup(struct config *config, const struct key *key, const char *text,
		      char error[CONFIG_ERROR_MAX])
{
	if ((text[0] != '/' && strcmp(text, "auto") != 0 && strcmp(text, "no") != 0) ||
	    strlen(text) >= key->width)
		return complain(error,
				"%s.%s: '%.60s' is neither auto, no, nor the directory of a cgroup",
				key->section, key->name, text);
	strcpy((char *)config + key->offset, text);
	return 0;
}

static int set_list(struct config *config, const struct key *key, const char *text, int anew,
		    char error[CONFIG_ERROR_MAX])
{
	static const char *const wanted[RULE_KINDS] = {
		"ports (such as 80, 8000-8100)",
		"addresses (such as 127.0.0.1, 10.0.0.0/8, ::1)",
		"names of programs (without directory)",
	};
	struct rules *rules = (struct rules *)((char *)config + key->offset);
	int result;

	if (anew)
		rules_clear(rules, key->list.kind, key->list.verdict);
	result = rules_add(rules, key->list.kind, key->list.verdict, text);
	if (result == -E2BIG)
		return complain(error, "%s.%s: more than %u ports and addresses in all lists",
				key->section, key->name, RULE_ENDS_MAX);
	if (result)
		return complain(error, "%s.%s: '%.60s' is not a list of %s", key->section,
				key->name, text, wanted[key->list.kind]);
	return 0;
}

static int set_names(struct config *config, const struct key *key, const char *text, int anew,
		     char error[CONFIG_ERROR_MAX])
{
	char complaint[CONFIG_COMPLAINT_MAX];

	if (key->type == KEY_RNICS    ? config_names_rnics(config, text, anew, complaint)
	    : key->type == KEY_FAULTS ? config_names_faults(config, text, complaint)
				      : config_names_eids(config, text, anew, complaint))
		return complain(error, "%s.%s: %s", key->section, key->name, complaint);
	return 0;
}

static int set_key(struct config *config, size_t index, const char *text, enum config_source source,
		   char error[CONFIG_ERROR_MAX])
{
	const struct key *key = &keys[index];
	int result, anew = config->sources[index] != source;

	if (key->type == KEY_LIST)
		result = set_list(config, key, text, anew, error);
	else if (key->type == KEY_RNICS || key->type == KEY_FAULTS || key->type == KEY_EIDS)
		result = set_names(config, key, text, anew, error);
	else if (key->type == KEY_CGROUP)
		result = set_cgroup(config, key, text, error);
	else
		result = set_number(config, key, text, error);
	if (!result)
		config->sources[index] = (uint8_t)source;
	return result;
}

static int set_named(struct config *config, const char *section, const char *name, const char *text,
		     enum config_source source, char error[CONFIG_ERROR_MAX])
{
	int section_known = 0;
	size_t i;

	for (i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].section, section) != 0)
			continue;
		section_known = 1;
		if (strcmp(keys[i].name, name) == 0)
			return set_key(config, i, text, source, error);
	}
	if (!*section)
		return complain(error, "'%.60s' stands before any [section]", name);
	if (!section_known)
		return complain(error, "unknown section [%.60s]", section);
	return complain(error, "unknown key '%.60s' in [%.60s]", name, section);
}

/**
 * struct reading - a file while it is read
 * @line: number of the line handed to the parser last
 * @truncated: that line was too long
 * @complaint: what was wrong first, "" for nothing yet; @bad_line: where
 */
struct reading {
	struct config *config;
	FILE *file;
	int line;
	int truncated;
	char complaint[CONFIG_ERROR_MAX];
	int bad_line;
};

/* fgets for the parser that counts lines */
static char *read_line(char *buffer, int size, void *context)
{
	struct reading *reading = context;
	size_t length;

	if (reading->truncated || !fgets(buffer, size, reading->file))
		return NULL;
	reading->line++;
	length = strlen(buffer);
	reading->truncated = (int)length == size - 1 && buffer[length - 1] != '\n';
	return reading->truncated ? NULL : buffer;
}

static int take_key(void *context, const char *section, const char *name, const char *value)
{
	struct reading *reading = context;

	if (reading->complaint[0])
		return 0;
	if (!set_named(reading->config, section, name, value, CONFIG_FROM_FILE, reading->complaint))
		return 1;
	reading->bad_line = reading->line;
	return 0;
}

/* What the parser and the handler found wrong, as "FILE:LINE: ..." */
static int judge(const struct reading *reading, const char *path, int parsed,
		 char error[CONFIG_ERROR_MAX])
{
	if (reading->complaint[0] && (parsed <= 0 || reading->bad_line <= parsed))
		return complain(error, "%.100s:%d: %.140s", path, reading->bad_line,
				reading->complaint);
	if (parsed > 0)
		return complain(error, "%.100s:%d: neither 'key = value' nor a [section]", path,
				parsed);
	if (reading->truncated)
		return complain(error, "%.100s:%d: the line is too long", path, reading->line);
	if (parsed < 0)
		return complain(error, "%.100s: cannot be parsed", path);
	return 0;
}

int config_read_file(struct config *config, const char *path, char error[CONFIG_ERROR_MAX])
{
	struct reading reading = {.config = config};
	int parsed, failure;

	reading.file = fopen(path, "re");
	if (!reading.file) {
		failure = errno;
		complain(error, "%.100s: %s", path, strerror(failure));
		return -failure;
	}
	ini_allow_multiline = false; /* an indented line is a line */
	parsed = ini_parse_stream(read_line, &reading, take_key, &reading);
	failure = ferror(reading.file);
	fclose(reading.file);
	if (failure) {
		complain(error, "%.100s: cannot be read", path);
		return -EIO;
	}
	return judge(&reading, path, parsed, error);
}

int config_read_environment(struct config *config, char error[CONFIG_ERROR_MAX])
{
	char why[CONFIG_ERROR_MAX];
	const char *text;
	size_t i;

	for (i = 0; i < KEY_COUNT; i++) {
		text = keys[i].variable ? getenv(keys[i].variable) : NULL;
		if (!text || !*text)
			continue;
		if (set_key(config, i, text, CONFIG_FROM_ENVIRONMENT, why))
			return complain(error, "%s: %.200s", keys[i].variable, why);
	}
	return 0;
}

int config_assign(struct config *config, const char *assignment, char error[CONFIG_ERROR_MAX])
{
	const char *dot = strchr(assignment, '.');
	const char *equals = strchr(assignment, '=');
	char section[64], name[64], why[CONFIG_ERROR_MAX];

	if (!dot || !equals || dot > equals || dot - assignment >= (long)sizeof(section) ||
	    equals - dot > (long)sizeof(name))
		return complain(error, "'%.80s' is not section.key=value", assignment);
	snprintf(section, sizeof(section), "%.*s", (int)(dot - assignment), assignment);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - dot - 1), dot + 1);
	if (set_named(config, section, name, equals + 1, CONFIG_FROM_COMMAND_LINE, why))
		return complain(error, "%.200s", why);
	return 0;
}

int config_complete(struct config *config, char error[CONFIG_ERROR_MAX])
{
	struct policy *policy = &config->policy;
	size_t i;

	if (policy->element_bytes <= policy->ring_bytes)
		return 0;
	for (i = 0; keys[i].offset != offsetof(struct config, policy.element_bytes); i++)
		;
	if (config->sources[i] != CONFIG_BUILT_IN)
		return complain(error, "smcr.element_bytes: %u is more than ring.bytes, %u",
				policy->element_bytes, policy->ring_bytes);
	policy->element_bytes = policy->ring_bytes;
	return 0;
}

bool config_drop_file_rnics(struct config *config)
{
	const bool were = config->rnic_count > 0;
	size_t i;

	for (i = 0; keys[i].type != KEY_RNICS; i++)
		;
	if (config->sources[i] != CONFIG_FROM_FILE)
		return false;
	config->sources[i] = CONFIG_BUILT_IN;
	config->rnic_count = 0;
	return were;
}

/* What is set, as it would be written; of rules, how many */
static void describe_value(const struct config *config, const struct key *key, char *text,
			   size_t size)
{
	const struct rules *rules = (const struct rules *)((const char *)config + key->offset);

	switch (key->type) {
	case KEY_LIST:
		snprintf(text, size, "%u entries",
			 rules->lists[key->list.kind][key->list.verdict].count);
		return;
	case KEY_CGROUP:
		snprintf(text, size, "%s", (const char *)config + key->offset);
		return;
	case KEY_RNICS:
		config_names_describe_rnics(config, text, size);
		return;
	case KEY_FAULTS:
		config_names_describe_faults(config, text, size);
		return;
	case KEY_EIDS:
		config_names_describe_eids(config, text, size);
		return;
	default:
		snprintf(text, size, "%llu", (unsigned long long)load(config, key));
	}
}

void config_describe(const struct config *config, char *text, size_t size)
{
	const struct key *key;
	size_t used = 0, i;
	char value[CONFIG_PATH_MAX + 64];
	int written;

	text[0] = 0;
	for (i = 0; i < KEY_COUNT && used < size; i++) {
		key = &keys[i];
		if (config->sources[i] == CONFIG_BUILT_IN)
			continue;
		describe_value(config, key, value, sizeof(value));
		written =
			snprintf(text + used, size - used, "%s%s.%s=%s (%s)", used ? " " : "",
				 key->section, key->name, value, source_names[config->sources[i]]);
		used += written > 0 ? (size_t)written : 0;
	}
}
