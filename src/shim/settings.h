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
 * @rendezvous: the daemon speaks SMC-R: hand over to it what was agreed on
 * @offer: and it is to be offered to other hosts
 * @ring_bytes, @element_bytes: of a connection with another host (struct message_rendezvous)
 * @require: reset a connection that should have moved and has not
 * @verbose: say on standard error what moves and what does not
 * @off: do nothing at all
 * @sandboxed: the program has locked itself in: all is TCP (sandbox.h)
 * @fixed_move_after, @fixed_wait_yields: the environment has spoken
 */
struct settings {
	uint64_t move_after;
	uint32_t wait_yields;
	uint32_t ring_bytes;
	uint32_t element_bytes;
	bool rendezvous;
	bool offer;
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
