/* SPDX-License-Identifier: MIT */
/*
 * Users: what each one uses of the daemon
 */
#ifndef SMCU_DAEMON_USERS_H
#define SMCU_DAEMON_USERS_H

#include <stdint.h>
#include <sys/types.h>

#include "daemon/hash.h"

/**
 * struct user - one user
 * @uid: who
 * @sessions: open ones; the entry lives while there is one, or a @foreign descriptor, or it is kept
 * @kept: what outlives its session
 * @connections: ends offered or paired, and connections to other hosts
 * @memory: virtual bytes of their segments
 * @questions: snapshots asked for and not answered yet
 * @stuck: calls on sockets of the user that do not return (caller.h)
 * @foreign: descriptors that are no sockets, passed by the user and still being closed
 */
struct user {
	uid_t uid;
	uint64_t sessions;
	uint64_t kept;
	uint64_t connections;
	uint64_t memory;
	uint32_t questions;
	uint32_t stuck;
	_Atomic uint32_t foreign;
	UT_hash_handle hh;
};

/* users_enter - a session of @uid begins; returns its user, or NULL when there is no memory */
struct user *users_enter(struct user **users, uid_t uid);

/* users_leave - a session ends */
void users_leave(struct user **users, struct user *user);

/* users_keep - something of @user may outlive its session; users_let_go() follows */
void users_keep(struct user *user);

void users_let_go(struct user **users, struct user *user);

#endif
