/* SPDX-License-Identifier: MIT */
/*
 * Where daemons are to be found
 */
#ifndef SMCU_CLI_ENDPOINT_H
#define SMCU_CLI_ENDPOINT_H

#include <stddef.h>
#include <sys/un.h>

#define ENDPOINT_SYSTEM "/run/smcu/smcud.sock"
#define ENDPOINT_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/**
 * struct endpoint - one socket that a daemon may serve
 * @path: NUL-terminated
 * @directory: its directory, if that must belong to this user alone; empty if that need not be
 */
struct endpoint {
	char path[ENDPOINT_MAX];
	char directory[ENDPOINT_MAX];
};

/**
 * struct endpoints - the search order
 * @list: in this order
 * @count: how many; 1 if the user named it (--socket or $SMCU_SOCKET)
 *
 * The last one is where a daemon for this user is started.
 */
struct endpoints {
	struct endpoint list[2];
	unsigned int count;
};

/**
 * endpoints_find - the search order for this process
 * @endpoints: filled
 * @chosen: path from the command line, or NULL; made absolute
 *
 * Return: 0, or -ENAMETOOLONG for a path longer than a socket's may be.
 */
int endpoints_find(struct endpoints *endpoints, const char *chosen);

/**
 * endpoint_trusted - may a daemon be believed that answers at @endpoint?
 *
 * A per-user socket lies in a directory that belongs to this user and that nobody else may enter.
 *
 * Return: 0, -ENOENT if there is no such directory, -EPERM if it is someone else's or open to
 * others, or another -errno.
 */
int endpoint_trusted(const struct endpoint *endpoint);

/* endpoint_prepare - make the per-user directory if it is missing; returns as endpoint_trusted() */
int endpoint_prepare(const struct endpoint *endpoint);

#endif
