/* SPDX-License-Identifier: MIT */
/*
 * sock_diag: which sockets stand at two mirrored addresses, asked of the kernel
 *
 * Needs no privilege, takes no socket's lock, and is synchronous: the kernel has answered when
 * send(2) returns.
 */
#ifndef SMCU_DAEMON_SOCK_DIAG_H
#define SMCU_DAEMON_SOCK_DIAG_H

#include <stdint.h>

#include "ring/side.h"

/**
 * struct sock_diag - a netlink socket to ask with
 * @fd: the socket
 * @sequence: number of the question asked last
 */
struct sock_diag {
	int fd;
	uint32_t sequence;
};

/**
 * struct sock_diag_found - a socket
 * @cookie: SO_COOKIE, 0 if there is no such socket
 * @state: TCP_ESTABLISHED, ...
 */
struct sock_diag_found {
	uint64_t cookie;
	uint8_t state;
};

/* sock_diag_open - returns 0 or -errno */
int sock_diag_open(struct sock_diag *diag);

void sock_diag_close(struct sock_diag *diag);

/**
 * sock_diag_find_ends - look up the TCP sockets at both ends of a connection
 * @local, @peer: the addresses as the first end sees them
 * @interface: index of the interface that the sockets are bound to, or 0
 * @ends: filled: [0] is the socket at @local, [1] the one at @peer
 *
 * Return: 0 (also when sockets were not found), or -errno if the kernel could not be asked.
 */
int sock_diag_find_ends(struct sock_diag *diag, const struct side_address *local,
			const struct side_address *peer, uint32_t interface,
			struct sock_diag_found ends[2]);

/**
 * sock_diag_check - does the kernel answer truly?
 *
 * Makes a connection over loopback and looks it up.  A kernel without INET_DIAG answers as if there
 * were no such sockets.
 *
 * Return: 0, -ENOENT if it was not found, or the -errno of a call that failed.
 */
int sock_diag_check(struct sock_diag *diag);

#endif
