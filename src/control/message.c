/* SPDX-License-Identifier: MIT */
#include "control/message.h"

#include <errno.h>
#include <string.h>

#include "control/reason.h"
#include "ring/segment.h"

/* What is fixed about each type: its size, and how many descriptors it brings. */
static const struct message_kind {
	uint16_t size;
	uint8_t fds_least;
	uint8_t fds_most;
} kinds[MESSAGE_TYPE_END] = {
	[MESSAGE_HELLO] = {sizeof(struct message_hello), 0, 1},
	[MESSAGE_WELCOME] = {sizeof(struct message_welcome), 0, 0},
	[MESSAGE_OFFER] = {sizeof(struct message_offer), 1, 1},
	[MESSAGE_PAIRED] = {sizeof(struct message_paired), 3, 3},
	[MESSAGE_REFUSED] = {sizeof(struct message_refused), 0, 0},
	[MESSAGE_WITHDRAW] = {sizeof(struct message_withdraw), 0, 0},
	[MESSAGE_QUERY] = {sizeof(struct message_query), 0, 0},
	[MESSAGE_SNAPSHOT] = {sizeof(struct message_snapshot), 1, 1},
	[MESSAGE_FAREWELL] = {sizeof(struct message_farewell), 0, 0},
	[MESSAGE_RULES] = {sizeof(struct message_rules), 0, 0},
	[MESSAGE_RENDEZVOUS] = {sizeof(struct message_rendezvous), RENDEZVOUS_FDS_AGAIN,
				RENDEZVOUS_FDS},
};

_Static_assert(sizeof(union message) <= MESSAGE_SIZE_MAX, "every message fits a packet");

size_t message_size(unsigned int type)
{
	return type < MESSAGE_TYPE_END ? kinds[type].size : 0;
}

void message_fd_range(unsigned int type, unsigned int *least, unsigned int *most)
{
	*least = type < MESSAGE_TYPE_END ? kinds[type].fds_least : 0;
	*most = type < MESSAGE_TYPE_END ? kinds[type].fds_most : 0;
}

void message_init(union message *message, enum message_type type)
{
	memset(message, 0, sizeof(*message));
	message->header.type = (uint16_t)type;
	message->header.version = MESSAGE_VERSION;
	message->header.length = (uint32_t)message_size(type);
}

static int check_rendezvous(const struct message_rendezvous *message)
{
	const uint32_t element = message->element_bytes;

	if ((message->segment == 0) != (message->use == 0) || message->use == SEGMENT_SPENT)
		return 0;
	return (message->role == RENDEZVOUS_CLIENT || message->role == RENDEZVOUS_SERVER) &&
	       (message->wish == RENDEZVOUS_TRY || message->wish == RENDEZVOUS_DECLINE) &&
	       segment_bytes_valid(message->ring_bytes) && element >= ELEMENT_BYTES_MIN &&
	       element <= message->ring_bytes && (element & (element - 1)) == 0;
}

static int check_rules(const struct message_rules *message)
{
	if (!message->count || message->count > RULES_EACH)
		return 0;
	for (unsigned int i = 0; i < message->count; i++)
		if (!rule_end_valid(&message->ends[i]))
			return 0;
	return 1;
}

/* The enumerations inside, and strings that must end. */
static int check_content(const union message *message)
{
	switch (message->header.type) {
	case MESSAGE_HELLO:
		return message->hello.role == ROLE_SHIM || message->hello.role == ROLE_COMMAND;
	case MESSAGE_WELCOME:
		return memchr(message->welcome.release, 0, sizeof(message->welcome.release)) !=
		       NULL;
	case MESSAGE_PAIRED:
		return message->paired.end <= 1;
	case MESSAGE_REFUSED:
		return message->refused.reason < REASON_COUNT;
	case MESSAGE_QUERY:
		return message->query.what >= QUERY_CONNECTIONS && message->query.what < QUERY_END;
	case MESSAGE_RULES:
		return check_rules(&message->rules);
	case MESSAGE_RENDEZVOUS:
		return check_rendezvous(&message->rendezvous);
	case MESSAGE_FAREWELL:
		return memchr(message->farewell.text, 0, sizeof(message->farewell.text)) != NULL;
	default:
		return 1;
	}
}

int message_check(const union message *message, size_t length, unsigned int fd_count)
{
	const struct message_kind *kind;

	if (length < sizeof(message->header) || message->header.length != length)
		return -EMSGSIZE;
	if (message->header.type >= MESSAGE_TYPE_END || !kinds[message->header.type].size)
		return -EPROTO;
	if (message->header.version != MESSAGE_VERSION)
		return -EPROTONOSUPPORT;
	kind = &kinds[message->header.type];
	if (length != kind->size)
		return -EMSGSIZE;
	if (fd_count < kind->fds_least || fd_count > kind->fds_most)
		return -EBADF;
	return check_content(message) ? 0 : -EPROTO;
}
