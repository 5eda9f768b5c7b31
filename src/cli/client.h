/* SPDX-License-Identifier: MIT */
/*
 * A command's session with the daemon (the protocol: control/message.h)
 */
#ifndef SMCU_CLI_CLIENT_H
#define SMCU_CLI_CLIENT_H

#include <stddef.h>

#include "cli/endpoint.h"
#include "control/message.h"

/**
 * struct client - an open session
 * @fd: its socket, close-on-exec
 * @endpoint: where the daemon answered, or did not
 * @welcome: what it said
 */
struct client {
	int fd;
	struct endpoint endpoint;
	struct message_welcome welcome;
};

/**
 * client_open - begin a session with the daemon at @endpoint
 *
 * Return: 0, or -errno: -ENOENT and -ECONNREFUSED mean that nobody serves that socket,
 * -EPERM that it is not to be trusted, -EPROTONOSUPPORT that the daemon is of another version.
 */
int client_open(struct client *client, const struct endpoint *endpoint);

/**
 * client_open_any - begin a session with the first daemon that answers
 *
 * Return: 0, or the first -errno other than -ENOENT and -ECONNREFUSED, or that of the last endpoint;
 * @client->endpoint is where.
 */
int client_open_any(struct client *client, const struct endpoints *endpoints);

void client_close(struct client *client);

/**
 * client_query - ask for a snapshot
 * @client: the session
 * @what: enum query_what
 * @record_size: bytes of one record, as this program knows it
 * @records: set to an array to be freed, never NULL on success
 * @count: set to the number of records
 *
 * Return: 0 or -errno; -EPROTONOSUPPORT if the daemon's records have another size.
 */
int client_query(struct client *client, enum query_what what, size_t record_size, void **records,
		 size_t *count);

#endif
