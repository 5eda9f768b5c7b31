/* SPDX-License-Identifier: MIT */
#include "proto/connection.h"

#include <errno.h>

#include "proto/bug.h"
#include "proto/cursor.h"
#include "proto/link_group.h"

void connection_tell(struct connection *connection, enum proto_action_type type, uint64_t position,
		     uint32_t number)
{
	proto_emit(connection->host, &(struct proto_action){.type = type,
							    .connection = connection,
							    .position = position,
							    .number = number});
}

void connection_activate(struct connection *connection)
{
	uint8_t early = connection->received_flags;

	connection->state = CONNECTION_ACTIVE;
	connection_tell(connection, PROTO_CONNECTED, 0, 0);
	if (connection->peer_urgent)
		connection_tell(connection, PROTO_URGENT, connection->peer_urgent, 0);
	if (connection->produced)
		connection_tell(connection, PROTO_READABLE, connection->produced, 0);
	connection->received_flags = 0;
	close_received(connection, early);
	close_resume(connection);
	connection_transmit(connection);
	close_settle(connection);
}

int connection_written(struct connection *connection, uint64_t position, bool urgent)
{
	struct proto_host *host = connection->host;

	if (position < connection->written)
		return -EINVAL;
	if (connection->closing || connection->flags || connection->application_closed)
		return -EPIPE;
	connection->written = position;
	if (urgent) {
		connection->urgent_at = position;
		/* What cannot be sent yet is announced, even through a closed window. */
		connection->owes = true;
	}
	connection_transmit(connection);
	proto_leave(host);
	return 0;
}

/* Does the peer want to know that more has been read? */
static bool update_due(const struct connection *connection)
{
	uint64_t unconfirmed = connection->consumed - connection->confirmed;
	uint64_t free_for_peer = connection->size - (connection->produced - connection->confirmed);
	uint32_t limit = connection->size / 10;

	if (limit < CONNECTION_UPDATE_LEAST)
		limit = CONNECTION_UPDATE_LEAST;
	return unconfirmed > limit &&
	       (free_for_peer <= connection->size / 2 || connection->peer_blocked);
}

int connection_read(struct connection *connection, uint64_t position)
{
	struct proto_host *host = connection->host;
	bool passed_urgent = connection->peer_urgent &&
			     connection->consumed < connection->peer_urgent &&
			     position >= connection->peer_urgent;

	if (position < connection->consumed || position > connection->produced)
		return -EINVAL;
	connection->consumed = position;
	if (!connection->rendezvous && (passed_urgent || update_due(connection)))
		connection->owes = true;
	if (position == connection->produced)
		connection->peer_blocked = false;
	connection_transmit(connection);
	proto_leave(host);
	return 0;
}

/*
 * The peer's cursors.
 *
 * Return: false if no honest peer could have sent them.
 */
static bool cursors_received(struct connection *connection, const struct cdc_message *message)
{
	uint64_t room = connection->confirmed + connection->size - connection->produced;
	uint64_t unread = connection->sent - connection->peer_consumed;
	struct cdc_cursor producer = message->producer;
	int64_t produced, consumed = 0;

	if (PROTO_HAS_BUG(PROTO_BUG_MIXED_WRAP))
		producer.wrap =
			(uint16_t)(connection->produced / connection->size +
				   (producer.offset < connection->produced % connection->size));
	produced = cursor_advance(connection->produced, &producer, connection->size, room);
	if (connection->peer_size)
		consumed = cursor_advance(connection->peer_consumed, &message->consumer,
					  connection->peer_size, unread);
	else if (message->consumer.wrap || message->consumer.offset)
		return false; /* it has read what was never sent */
	if (produced == -EPROTO || consumed == -EPROTO)
		return false;
	if (consumed > 0) {
		connection->peer_consumed += (uint64_t)consumed;
		connection->blocked = false;
	}
	if (produced > 0)
		connection->produced += (uint64_t)produced;
	return true;
}

static void urgent_received(struct connection *connection, uint8_t flags, bool more)
{
	if (flags & CDC_URGENT_PRESENT && more) {
		connection->peer_urgent = connection->produced;
		connection->told_urgent_pending = false;
		if (!connection->rendezvous)
			connection_tell(connection, PROTO_URGENT, connection->produced, 0);
	} else if (flags & CDC_URGENT_PENDING && !connection->told_urgent_pending) {
		connection->told_urgent_pending = true;
		if (!connection->rendezvous)
			connection_tell(connection, PROTO_URGENT_PENDING, 0, 0);
	}
}

/* A message that is newer than the last one. */
static void message_received(struct connection *connection, const struct cdc_message *message)
{
	uint64_t before = connection->produced;

	connection->received_sequence = message->sequence;
	if (!cursors_received(connection, message)) {
		close_by_force(connection, EPROTO);
		return;
	}
	connection->peer_blocked = message->producer_flags & CDC_WRITE_BLOCKED &&
				   connection->consumed != connection->produced;
	if (connection->rendezvous) {
		urgent_received(connection, message->producer_flags, connection->produced > before);
		connection->received_flags |= message->connection_flags;
		return;
	}
	/* First, so that nobody reads past the byte without knowing. */
	urgent_received(connection, message->producer_flags, connection->produced > before);
	if (connection->produced > before)
		connection_tell(connection, PROTO_READABLE, connection->produced, 0);
	if (message->producer_flags & CDC_UPDATE_REQUESTED || update_due(connection))
		connection->owes = true;
	close_received(connection, message->connection_flags);
	connection_transmit(connection);
	close_settle(connection);
}

/* The peer went over to another link: has anything been lost on the way? */
static void failover_received(struct connection *connection, uint16_t sequence)
{
	if ((int16_t)(uint16_t)(connection->received_sequence - sequence) < 0)
		close_by_force(connection, ECONNABORTED);
}

void connection_received(struct link_group *group, const void *bytes, size_t length)
{
	struct cdc_message message;
	struct connection *connection;
	unsigned int slot;

	if (cdc_decode(&message, bytes, length, NULL))
		return;
	slot = message.token & 0xff;
	connection = slot < PROTO_CONNECTIONS_MAX ? group->connections[slot] : NULL;
	if (!connection || connection->token != message.token)
		return; /* as happens after a close */
	if (!connection->rmb || (PROTO_HAS_BUG(PROTO_BUG_LOST_EARLY_CDC) && connection->rendezvous))
		return;
	if (message.producer_flags & CDC_FAILOVER_VALIDATION)
		failover_received(connection, message.sequence);
	else if ((int16_t)(uint16_t)(message.sequence - connection->received_sequence) >= 0)
		message_received(connection, &message);
}

void connection_finish(struct connection *connection)
{
	struct proto_host *host = connection->host;

	proto_timer_stop(host, &connection->step);
	proto_timer_stop(host, &connection->limit);
	list_remove(&connection->waiting);
	link_group_leave(connection);
	connection->state = CONNECTION_CLOSED;
	list_remove(&connection->of_host);
	list_append(&host->dead_connections, &connection->of_host);
}
