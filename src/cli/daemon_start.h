/* SPDX-License-Identifier: MIT */
/*
 * Reach a daemon, and start one for this user if none answers
 */
#ifndef SMCU_CLI_DAEMON_START_H
#define SMCU_CLI_DAEMON_START_H

#include "cli/client.h"

#define TROUBLE_MAX 200

/**
 * daemon_reach - a session with the first daemon that answers, started if there is none
 * @client: the session
 * @endpoints: where to look; one is started at the last of them
 * @trouble: filled with one line for people on failure
 *
 * Return: 0 or -errno.
 */
int daemon_reach(struct client *client, const struct endpoints *endpoints,
		 char trouble[TROUBLE_MAX]);

/**
 * installed_find - find a part of smcu: beside this program in the build directory, or installed
 * @name: file name
 * @relative: where it is installed, as seen from this program's directory
 * @configured: the directory it was configured to be installed in
 * @mode: access(2) mode that it must pass
 * @path: filled with the absolute path; PATH_MAX bytes
 *
 * Return: 0 or -ENOENT.
 */
int installed_find(const char *name, const char *relative, const char *configured, int mode,
		   char *path);

#endif
