/* SPDX-License-Identifier: MIT */
/*
 * The configuration
 *
 * Theory of operation
 *
 * Built-in values, then the file, then the environment (SMCU_MOVE_AFTER, SMCU_RING_BYTES,
 * SMCU_WAIT_YIELDS), then --set section.key=value of the command line: what comes later wins.
 * Lines of one source that name the same list add to it; the first line of a later source replaces
 * what the sources before said.
 *
 * One table in config.c has every key with its type and limits; nothing else knows a key's name.
 */
#ifndef SMCU_DAEMON_CONFIG_H
#define SMCU_DAEMON_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "control/message.h"
#include "daemon/rules.h"

#define CONFIG_FILE "/etc/smcu/smcu.conf"
#define CONFIG_KEYS_MAX 32U
#define CONFIG_ERROR_MAX 256U

enum config_source {
	CONFIG_BUILT_IN = 0,
	CONFIG_FROM_FILE,
	CONFIG_FROM_ENVIRONMENT,
	CONFIG_FROM_COMMAND_LINE
};

/**
 * struct config - all settings
 * @policy: what WELCOME tells shims ([move], [ring], [wait])
 * @connections_per_user: ends offered or paired of one user's sessions
 * @memory_per_user: virtual bytes of the segments of one user's connections
 * @sessions_per_user: sessions
 * @idle_exit: seconds after the last session that a --per-user daemon stays
 * @rules: [rules]
 * @sources: where each key of the table in config.c came from, enum config_source
 */
struct config {
	struct policy policy;
	uint64_t connections_per_user;
	uint64_t memory_per_user;
	uint64_t sessions_per_user;
	uint64_t idle_exit;
	struct rules rules;
	uint8_t sources[CONFIG_KEYS_MAX];
};

/* config_init - the built-in values */
void config_init(struct config *config);

void config_free(struct config *config);

/**
 * config_read_file - read a file over what @config has
 * @error: on failure, "FILE:LINE: what is wrong"
 *
 * Return: 0, -EINVAL, or the -errno of opening or reading.
 */
int config_read_file(struct config *config, const char *path, char error[CONFIG_ERROR_MAX]);

/* config_read_environment - the SMCU_* variables; returns 0 or -EINVAL with @error */
int config_read_environment(struct config *config, char error[CONFIG_ERROR_MAX]);

/* config_assign - one "section.key=value"; returns 0 or -EINVAL with @error */
int config_assign(struct config *config, const char *assignment, char error[CONFIG_ERROR_MAX]);

/**
 * config_describe - everything that is not built in, on one line
 * @text: filled with "move.after=0 (environment) ...", or "" when all is built in; cut to @size
 */
void config_describe(const struct config *config, char *text, size_t size);

#endif
