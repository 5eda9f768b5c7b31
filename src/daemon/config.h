/* SPDX-License-Identifier: MIT */
/*
 * The configuration
 *
 * Theory of operation
 *
 * Built-in values, then the file, then the environment (SMCU_MOVE_AFTER, SMCU_RING_BYTES,
 * SMCU_WAIT_YIELDS), then --set section.key=value of the command line: what comes later wins.
 * Lines of one source that name the same list add to it; the first line of a later source replaces
 * what the sources before said.  config_complete() comes last.
 *
 * One table in config.c has every key with its type and limits; nothing else knows a key's name.
 */
#ifndef SMCU_DAEMON_CONFIG_H
#define SMCU_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/message.h"
#include "daemon/rules.h"

#define CONFIG_FILE "/etc/smcu/smcu.conf"
#define CONFIG_KEYS_MAX 32U
#define CONFIG_PATH_MAX 256U
#define CONFIG_ERROR_MAX 256U
#define CONFIG_RNICS_MAX 4U
#define CONFIG_INTERFACE_SIZE 16U
#define CONFIG_PNETID_SIZE 17U
#define CONFIG_EIDS_MAX 8U
#define CONFIG_EID_SIZE 32U

enum config_source {
	CONFIG_BUILT_IN = 0,
	CONFIG_FROM_FILE,
	CONFIG_FROM_ENVIRONMENT,
	CONFIG_FROM_COMMAND_LINE
};

/**
 * struct config_rnic - an adapter for connections to other hosts
 * @name: of the interface
 * @pnetid: the physical network that it is on, "" if nobody said
 */
struct config_rnic {
	char name[CONFIG_INTERFACE_SIZE];
	char pnetid[CONFIG_PNETID_SIZE];
};

/**
 * struct config_faults - what the adapters do to packets that arrive, for tests: how many of a million
 * @loss: are lost; @duplicate: come twice; @reorder: are overtaken
 */
struct config_faults {
	uint32_t loss;
	uint32_t duplicate;
	uint32_t reorder;
};

/**
 * struct config - all settings
 * @policy: what WELCOME tells shims ([move], [ring], [wait], element_bytes of [smcr]); its flags are
 *	not from here
 * @connections_per_user: ends offered or paired of one user's sessions
 * @memory_per_user: virtual bytes of the segments of one user's connections
 * @sessions_per_user: sessions
 * @idle_exit: seconds after the last session that a --per-user daemon stays
 * @tcp_option: "no", the directory of the cgroup to attach the TCP option to, or "auto": the root of
 *	cgroups, by a daemon that serves the whole host
 * @rnics, @rnic_count: [rnic], in the order given; in force from the start of the daemon on
 * @faults: of the adapters; likewise
 * @eids, @eid_count: groups of hosts that this one is in, blank padded; likewise
 * @max_connections: in a link group: 16 to 255; likewise
 * @linger: seconds that a link group stays without connections: 1 to 86400; likewise
 * @rules: [rules]
 * @smcr_rules: deny_program of [smcr]: who does not offer SMC-R to other hosts
 * @sources: where each key of the table in config.c came from, enum config_source
 */
struct config {
	struct policy policy;
	uint64_t connections_per_user;
	uint64_t memory_per_user;
	uint64_t sessions_per_user;
	uint64_t idle_exit;
	char tcp_option[CONFIG_PATH_MAX];
	struct config_rnic rnics[CONFIG_RNICS_MAX];
	unsigned int rnic_count;
	struct config_faults faults;
	uint8_t eids[CONFIG_EIDS_MAX][CONFIG_EID_SIZE];
	uint8_t eid_count;
	uint8_t max_connections;
	uint32_t linger;
	struct rules rules;
	struct rules smcr_rules;
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
 * config_complete - after the last source: see that the settings go together
 *
 * Where element_bytes of [smcr] was not set, it follows a smaller ring.
 *
 * Return: 0 or -EINVAL with @error.
 */
int config_complete(struct config *config, char error[CONFIG_ERROR_MAX]);

/* config_drop_file_rnics - no adapters, unless they are named elsewhere than in the file; were there any? */
bool config_drop_file_rnics(struct config *config);

/**
 * config_describe - everything that is not built in, on one line
 * @text: filled with "move.after=0 (environment) ...", or "" when all is built in; cut to @size
 */
void config_describe(const struct config *config, char *text, size_t size);

#endif
