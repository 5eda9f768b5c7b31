/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_SECONDS 5 /* a daemon that takes longer is no daemon */

static int send_message(int fd, const union message *message)
{
	ssize_t sent = send(fd, message, message->header.length, MSG_NOSIGNAL);

	return sent < 0 ? -errno : 0;
}

/* Take the first descriptor out of @header's control data and close any other. */
static unsigned int take_descriptors(struct msghdr *header, int *fd)
{
	unsigned int count = 0;

	*fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		size_t fds;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < fds; i++, count++) {
			int each;

			memcpy(&each, CMSG_DATA(c) + i * sizeof(int), sizeof(each));
			if (count == 0)
				*fd = each;
			else
				close(each);
		}
	}
	return count;
}

/*
 * Receive one message of @type; *@fd is the descriptor it brought, or -1.  -ECONNREFUSED if the
 * daemon hung up, -EACCES if it said farewell.
 */
static int receive_message(int fd, union message *message, unsigned int type, int *brought)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
	struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(control)};
	unsigned int count;
	ssize_t length;
	int error;

	do
		length = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (length == 0)
		return -ECONNREFUSED;
	count = take_descriptors(&header, brought);
	error = message_check(message, (size_t)length, count);
	if (!error && message->header.type == MESSAGE_FAREWELL)
		error = -EACCES;
	if (!error && message->header.type != type)
		error = -EPROTO;
	if (error && *brought >= 0)
		close(*brought);
	return error;
}

static int greet(struct client *client)
{
	union message message;
	int error, brought;

	message_init(&message, MESSAGE_HELLO);
	message.hello.role = ROLE_COMMAND;
	error = send_message(client->fd, &message);
	if (!error)
		error = receive_message(client->fd, &message, MESSAGE_WELCOME, &brought);
	if (!error)
		client->welcome = message.welcome;
	return error;
}

int client_open(struct client *client, const struct endpoint *endpoint)
{
	const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int error = endpoint_trusted(endpoint);

	client->endpoint = *endpoint;
	if (error)
		return error;
	client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return -errno;
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	memcpy(address.sun_path, endpoint->path, sizeof(address.sun_path));
	if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		error = -errno;
	else
		error = greet(client);
	if (error)
		client_close(client);
	return error;
}

int client_open_any(struct client *client, const struct endpoints *endpoints)
{
	const struct endpoint *troubled = NULL;
	int error = -ENOENT, trouble = 0;

	for (unsigned int i = 0; i < endpoints->count; i++) {
		error = client_open(client, &endpoints->list[i]);
		if (!error)
			return 0;
		if (!troubled && error != -ENOENT && error != -ECONNREFUSED) {
			troubled = &endpoints->list[i];
			trouble = error;
		}
	}
	if (!troubled)
		return error;
	client->endpoint = *troubled;
	return trouble;
}

void client_close(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

/* Read all of @bytes from the snapshot's memfd, which is the daemon's and sealed. */
static int read_records(int fd, void *records, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = pread(fd, (char *)records + done, bytes - done, (off_t)done);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPROTO;
		done += (size_t)n;
	}
	return 0;
}

int client_query(struct client *client, enum query_what what, size_t record_size, void **records,
		 size_t *count)
{
	union message message;
	struct stat status;
	int error, fd = -1;

	message_init(&message, MESSAGE_QUERY);
	message.query.what = what;
	error = send_message(client->fd, &message);
	if (!error)
		error = receive_message(client->fd, &message, MESSAGE_SNAPSHOT, &fd);
	if (error)
		return error;
	*records = NULL;
	*count = message.snapshot.count;
	if (message.snapshot.record_size != record_size)
		error = -EPROTONOSUPPORT;
	else if (message.snapshot.what != what || fstat(fd, &status) < 0 ||
		 (uint64_t)status.st_size < (uint64_t)*count * record_size)
		error = -EPROTO;
	if (!error && !(*records = calloc(*count + 1, record_size)))
		error = -ENOMEM;
	if (!error)
		error = read_records(fd, *records, *count * record_size);
	close(fd);
	if (error)
		free(*records);
	return error;
}
