/* SPDX-License-Identifier: MIT */
/*
 * Sending: what of a connection's data fits, in WRITEs and the message that follows them
 */
#include <errno.h>

#include "proto/bug.h"
#include "proto/connection.h"
#include "proto/cursor.h"
#include "proto/link_group.h"

uint64_t connection_unsent(const struct connection *connection)
{
	return connection->discards ? 0 : connection->written - connection->sent;
}

static uint64_t room(const struct connection *connection)
{
	return connection->peer_size - (connection->sent - connection->peer_consumed);
}

/* Do these bytes wait for the completion of a message before them? */
static bool corked(const struct connection *connection, uint64_t unsent)
{
	uint32_t most = connection->peer_size / 2;

	if (most > CONNECTION_CORK_MOST)
		most = CONNECTION_CORK_MOST;
	return connection->pending && unsent <= most && !connection->owes && !connection->closing &&
	       connection->urgent_at <= connection->sent;
}

/* Bytes that go out with the next message. */
static uint64_t sendable(const struct connection *connection)
{
	uint64_t unsent = connection_unsent(connection), fits = room(connection);
	uint64_t n = unsent < fits ? unsent : fits;

	if (corked(connection, unsent))
		return 0;
	/* An urgent byte is the last one of its message. */
	if (connection->urgent_at > connection->sent &&
	    n > connection->urgent_at - connection->sent)
		n = connection->urgent_at - connection->sent;
	return n;
}

static void write_piece(struct connection *connection, uint64_t position, uint32_t length)
{
	struct link_group *group = connection->group;
	const struct rkey_entry *key = &group->rkeys[connection->peer_rkey];
	uint64_t offset = position % connection->peer_size;

	proto_emit(connection->host,
		   &(struct proto_action){.type = PROTO_WRITE,
					  .connection = connection,
					  .link = &group->link,
					  .position = position,
					  .length = length,
					  .rkey = key->rkey,
					  .address = key->address + connection->peer_element +
						     offset});
}

/* One WRITE, or two if it goes beyond the end of the element. */
static void write_data(struct connection *connection, uint32_t length)
{
	uint32_t to_end =
		connection->peer_size - (uint32_t)(connection->sent % connection->peer_size);
	uint32_t first = length < to_end ? length : to_end;

	if (PROTO_HAS_BUG(PROTO_BUG_NO_SPLIT))
		first = length;
	write_piece(connection, connection->sent, first);
	if (length > first)
		write_piece(connection, connection->sent + first, length - first);
	connection->sent += length;
}

static uint8_t producer_flags(struct connection *connection, uint64_t length)
{
	uint8_t flags = connection->blocked ? CDC_WRITE_BLOCKED : 0;

	if (!connection->urgent_at)
		return flags;
	flags |= CDC_URGENT_PENDING;
	if (length && connection->sent == connection->urgent_at) {
		flags |= CDC_URGENT_PRESENT;
		connection->urgent_at = 0;
	}
	return flags;
}

static void transmit_one(struct connection *connection, uint64_t length)
{
	struct cdc_message message = {.token = connection->peer_token};
	uint8_t bytes[CDC_LENGTH];

	if (length) {
		connection->blocked = connection_unsent(connection) >= room(connection);
		write_data(connection, (uint32_t)length);
	}
	message.sequence = ++connection->sequence;
	message.producer_flags = producer_flags(connection, length);
	message.connection_flags = connection->flags;
	message.producer = cursor_at(connection->sent, connection->peer_size);
	message.consumer = cursor_at(connection->consumed, connection->size);
	connection->confirmed = connection->consumed;
	connection->owes = false;
	connection->pending++;
	cdc_encode(&message, bytes, sizeof(bytes));
	link_post_cdc(&connection->group->link, connection, connection->sent, bytes);
}

static bool key_is_there(const struct connection *connection)
{
	const struct rkey_entry *key = &connection->group->rkeys[connection->peer_rkey];

	return key->used && key->generation == connection->peer_rkey_generation;
}

void connection_transmit(struct connection *connection)
{
	struct link_group *group = connection->group;

	while (group && !connection->rendezvous) {
		uint64_t length = sendable(connection);

		if (!length && !connection->owes)
			break;
		if (!link_has_room(&group->link)) {
			if (PROTO_HAS_BUG(PROTO_BUG_UPDATE_FORGOTTEN))
				connection->owes = false;
			list_remove(&connection->waiting);
			list_append(&group->link.waiting, &connection->waiting);
			break;
		}
		if (length && !key_is_there(connection)) {
			/* The peer has withdrawn its memory: there is nowhere to write. */
			close_by_force(connection, ECONNRESET);
			return;
		}
		transmit_one(connection, length);
		if (!connection_unsent(connection))
			close_flushed(connection);
	}
}

void connection_completed(struct connection *connection, uint64_t position)
{
	connection->pending--;
	if (position > connection->released) {
		connection->released = position;
		connection_tell(connection, PROTO_RELEASED, position, 0);
	}
	connection_transmit(connection);
	close_settle(connection);
}
