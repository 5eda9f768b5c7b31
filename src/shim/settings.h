/* SPDX-License-Identifier: MIT */
/*
 * What the environment and the daemon's configuration say to this process
 *
 * Built-in values are replaced by the configuration file's (they come with WELCOME), those by the
 * environment: SMCU_SOCKET, SMCU_MOVE_AFTER, SMCU_WAIT_YIELDS, SMCU_REQUIRE, SMCU_VERBOSE, SMCU_OFF.
 */
#ifndef SMCU_SHIM_SETTINGS_H
#define SMCU_SHIM_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/message.h"

/**
 * struct settings - in force now
 * @move_after: bytes after which a connection is due
 * @wait_yields: yields before a sleep
 * @require: reset a connection that should have moved and has not
 * @verbose: say on standard error what moves and what does not
 * @off: do nothing at all
 * @sandboxed: the program has a filter of system calls: no session any more, what has not moved stays
 * @fixed_move_after, @fixed_wait_yields: the environment has spoken
 */
struct settings {
	uint64_t move_after;
	uint32_t wait_yields;
	bool require;
	bool verbose;
	bool off;
	bool sandboxed;
	bool fixed_move_after;
	bool fixed_wait_yields;
};

extern struct settings settings;

void settings_from_environment(void);
void settings_from_policy(const struct policy *policy);

/* settings_say - one line on standard error under SMCU_VERBOSE */
void settings_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
