/* SPDX-License-Identifier: MIT */
/*
 * Which ports and addresses are not to be offered SMC-R, as the daemon has said
 *
 * The daemon's rules are about both ends of a connection.  Before it is made one end is not known, or not whole:
 * a client's port is the kernel's choice, a listener's peers are anybody.  What is not known matches no deny
 * list.  An unknown port is in no allow list; an unknown address may be in it.  The daemon looks again when
 * both are known.
 *
 * What comes from a daemon is kept apart until its WELCOME: who looks meanwhile finds the old rules or the new.
 */
#ifndef SMCU_SHIM_RULES_H
#define SMCU_SHIM_RULES_H

#include <stdbool.h>

#include "control/message.h"

/* rules_take - some more of them; with the session's lock */
void rules_take(const struct message_rules *message);

/* rules_settle - these were all; with the session's lock */
void rules_settle(void);

/* rules_drop - the session has ended before its WELCOME; with its lock */
void rules_drop(void);

/* rules_any - are there any? */
bool rules_any(void);

/**
 * rules_deny_offer - is a connection with these ends not to be offered?
 * @local, @peer: a port of 0 and an address of zeroes are not known
 */
bool rules_deny_offer(const struct side_address *local, const struct side_address *peer);

#endif
