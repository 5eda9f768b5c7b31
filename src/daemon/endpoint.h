/* SPDX-License-Identifier: MIT */
/*
 * The endpoint: the path where the daemon is found, and that only one daemon is there
 *
 * Theory of operation
 *
 * PATH is a listening SOCK_SEQPACKET socket.  PATH.lock is held with flock(2) for as long as the
 * daemon lives, and has its pid in it.  Who holds the lock may replace a socket that is still lying
 * there.  Both files go when the daemon ends; since the lock file may have been unlinked between
 * opening and locking it, it is looked up again after locking.
 *
 * The lock is given back explicitly: a thread stuck in close() may keep the open file alive after
 * the process has ended.
 */
#ifndef SMCU_DAEMON_ENDPOINT_H
#define SMCU_DAEMON_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

#define ENDPOINT_ERROR_MAX 256U
#define ENDPOINT_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/**
 * struct endpoint - an open endpoint
 * @listening: the listening socket, not blocking
 * @lock: PATH.lock, locked
 */
struct endpoint {
	char path[ENDPOINT_PATH_MAX];
	char lock_path[ENDPOINT_PATH_MAX + 8];
	int listening;
	int lock;
};

/**
 * endpoint_default_path - where the daemon is when nobody says otherwise
 * @per_user: root, too, wants a daemon of its own
 * @path: filled
 *
 * Return: 0 or -ENAMETOOLONG.
 */
int endpoint_default_path(bool per_user, char path[ENDPOINT_PATH_MAX]);

/**
 * endpoint_open - lock, bind, listen
 * @path: where; its directory is made if it is missing
 * @shared: everybody may connect; else only our own user
 * @own_directory: insist on the directory being ours and, unless @shared, closed to others
 * @error: on failure, what is wrong, for people
 *
 * Return: 0, -EBUSY if another daemon is there, or another -errno.
 */
int endpoint_open(struct endpoint *endpoint, const char *path, bool shared, bool own_directory,
		  char error[ENDPOINT_ERROR_MAX]);

/* endpoint_sign - write our pid into the lock file (after daemonising) */
void endpoint_sign(const struct endpoint *endpoint);

/* endpoint_close - remove both files and let go of the lock */
void endpoint_close(struct endpoint *endpoint);

#endif
