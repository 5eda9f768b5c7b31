/* SPDX-License-Identifier: MIT */
#include "proto/close.h"

#include <errno.h>

#include "proto/bug.h"
#include "proto/connection.h"
#include "proto/link_group.h"
#include "proto/rendezvous.h"

#define FINAL (CDC_CLOSED | CDC_ABNORMAL_CLOSE)

static void flag_send(struct connection *connection, uint8_t flag)
{
	connection->flags |= flag;
	connection->owes = true;
}

static void abnormal(struct connection *connection)
{
	connection->discards = true;
	flag_send(connection, CDC_ABNORMAL_CLOSE);
	proto_timer_start(connection->host, &connection->limit, PROTO_ABORT_WAIT);
}

/* Our last flag: C, or A if data goes lost. */
static void final(struct connection *connection)
{
	bool unread = connection->produced != connection->consumed;

	if (connection->flags & FINAL)
		return;
	connection->fin_owed = PROTO_TCP_SHUT_DOWN;
	if (PROTO_HAS_BUG(PROTO_BUG_UNREAD_CLOSE_IS_CLEAN))
		unread = false;
	if (unread)
		abnormal(connection);
	else
		flag_send(connection, CDC_CLOSED);
}

static void half_close(struct connection *connection)
{
	connection->fin_owed = PROTO_TCP_SHUT_DOWN_WRITE;
	flag_send(connection, CDC_SENDING_DONE);
}

/* Closing, now that there is nothing to flush. */
static void close_now(struct connection *connection)
{
	bool peer_final = connection->received_flags & FINAL;

	switch (connection->state) {
	case CONNECTION_ACTIVE:
		final(connection);
		connection->state = CONNECTION_PEER_CLOSE_WAIT_1;
		break;
	case CONNECTION_PEER_CLOSE_WAIT_1:
	case CONNECTION_PEER_CLOSE_WAIT_2:
		final(connection);
		break;
	case CONNECTION_APP_CLOSE_WAIT_1:
	case CONNECTION_APP_CLOSE_WAIT_2:
		final(connection);
		connection->state = peer_final ? CONNECTION_CLOSED : CONNECTION_PEER_FIN_CLOSE_WAIT;
		break;
	case CONNECTION_APP_FIN_CLOSE_WAIT:
		final(connection);
		connection->state = CONNECTION_CLOSED;
		break;
	case CONNECTION_PROCESS_ABORT:
		if (!(connection->flags & FINAL))
			flag_send(connection, CDC_ABNORMAL_CLOSE);
		connection->fin_owed = PROTO_TCP_SHUT_DOWN;
		connection->state = CONNECTION_CLOSED;
		break;
	case CONNECTION_PEER_ABORT_WAIT:
		break; /* it goes on until the peer answers */
	default:
		break;
	}
}

static void shut_down_now(struct connection *connection)
{
	if (connection->state == CONNECTION_ACTIVE) {
		half_close(connection);
		connection->state = CONNECTION_PEER_CLOSE_WAIT_1;
	} else if (connection->state == CONNECTION_APP_CLOSE_WAIT_1) {
		half_close(connection);
		connection->state = CONNECTION_APP_CLOSE_WAIT_2;
	}
}

static bool may_flush(const struct connection *connection)
{
	return connection->state == CONNECTION_ACTIVE ||
	       connection->state == CONNECTION_APP_CLOSE_WAIT_1;
}

/* Two ends that are closed and leave data unread would wait for each other's windows for ever. */
static void flush_limit(struct connection *connection)
{
	bool unread = connection->produced != connection->consumed;
	uint32_t time = connection->linger;

	if (connection->closing != CLOSING_ALL || connection->limit.running)
		return;
	if (unread && time > PROTO_UNREAD_FLUSH)
		time = PROTO_UNREAD_FLUSH;
	if (time != CONNECTION_NO_LINGER)
		proto_timer_start(connection->host, &connection->limit, time);
}

void close_flushed(struct connection *connection)
{
	enum connection_closing closing = connection->closing;

	connection->closing = CLOSING_NOTHING;
	if (closing == CLOSING_NOTHING)
		return;
	if (connection->limit.running && !(connection->flags & CDC_ABNORMAL_CLOSE))
		proto_timer_stop(connection->host, &connection->limit);
	if (closing == CLOSING_WRITE)
		shut_down_now(connection);
	else
		close_now(connection);
}

/* Go on with what the application wants, or wait until all is sent. */
static void closing_go_on(struct connection *connection)
{
	if (!may_flush(connection) || !connection_unsent(connection) ||
	    PROTO_HAS_BUG(PROTO_BUG_CLOSE_OVERTAKES))
		close_flushed(connection);
	else
		flush_limit(connection);
}

void close_resume(struct connection *connection)
{
	if (connection->closing != CLOSING_NOTHING)
		closing_go_on(connection);
}

void connection_shut_down(struct connection *connection)
{
	struct proto_host *host = connection->host;

	if (connection->closing || connection->flags || connection->application_closed)
		return;
	if (!connection->rendezvous && !may_flush(connection))
		return;
	connection->closing = CLOSING_WRITE;
	if (!connection->rendezvous) {
		closing_go_on(connection);
		connection_transmit(connection);
		close_settle(connection);
	}
	proto_leave(host);
}

void connection_close(struct connection *connection, uint32_t linger)
{
	struct proto_host *host = connection->host;

	if (connection->application_closed)
		return;
	connection->application_closed = true;
	connection->linger = linger;
	connection->closing = CLOSING_ALL;
	if (!connection->rendezvous) {
		closing_go_on(connection);
		connection_transmit(connection);
		close_settle(connection);
	}
	proto_leave(host);
}

void close_by_force(struct connection *connection, int error)
{
	if (connection->rendezvous) {
		rendezvous_fail(connection, error);
		return;
	}
	if (connection->state == CONNECTION_CLOSED ||
	    connection->state == CONNECTION_PEER_ABORT_WAIT) {
		close_settle(connection);
		return;
	}
	connection_tell(connection, PROTO_TCP_RESET, 0, 0);
	if (error)
		connection_tell(connection, PROTO_RESET, 0, (uint32_t)error);
	connection->closing = CLOSING_NOTHING;
	connection->fin_owed = PROTO_TCP_SEND;
	abnormal(connection);
	connection->state =
		connection->received_flags & FINAL ? CONNECTION_CLOSED : CONNECTION_PEER_ABORT_WAIT;
	connection_transmit(connection);
	close_settle(connection);
}

void connection_abort(struct connection *connection)
{
	struct proto_host *host = connection->host;

	connection->application_closed = true;
	close_by_force(connection, connection->rendezvous ? ECONNABORTED : 0);
	proto_leave(host);
}

void connection_tcp_reset(struct connection *connection)
{
	struct proto_host *host = connection->host;
	bool said_all = connection->application_closed && connection->flags & FINAL;

	/* After the peer's last word what becomes of TCP says nothing. */
	if (connection->rendezvous || !(said_all || connection->received_flags & FINAL)) {
		close_by_force(connection, ECONNRESET);
	} else if (said_all) {
		connection->state = CONNECTION_CLOSED;
		close_settle(connection);
	}
	proto_leave(host);
}

void connection_tcp_timed_out(struct connection *connection)
{
	struct proto_host *host = connection->host;

	if (connection->rendezvous || !connection->group)
		connection_tcp_reset(connection);
	else if (connection->group->link.state == LINK_ACTIVE)
		link_test(&connection->group->link);
	proto_leave(host);
}

/* The peer's A: nothing more comes, and nothing that we send is read. */
static void abort_received(struct connection *connection)
{
	switch (connection->state) {
	case CONNECTION_ACTIVE:
	case CONNECTION_APP_CLOSE_WAIT_1:
	case CONNECTION_APP_FIN_CLOSE_WAIT:
		connection->state = CONNECTION_PROCESS_ABORT;
		break;
	case CONNECTION_PEER_CLOSE_WAIT_1:
	case CONNECTION_PEER_CLOSE_WAIT_2:
	case CONNECTION_APP_CLOSE_WAIT_2:
	case CONNECTION_PEER_FIN_CLOSE_WAIT:
	case CONNECTION_PEER_ABORT_WAIT:
		/* The peer waits for a last word. */
		if (!(connection->flags & FINAL))
			flag_send(connection, CDC_ABNORMAL_CLOSE);
		connection->state = CONNECTION_CLOSED;
		break;
	default:
		break;
	}
}

static void closed_received(struct connection *connection)
{
	switch (connection->state) {
	case CONNECTION_ACTIVE:
		connection->state = CONNECTION_APP_CLOSE_WAIT_1;
		break;
	case CONNECTION_PEER_CLOSE_WAIT_1:
	case CONNECTION_PEER_CLOSE_WAIT_2:
		connection->state = connection->application_closed && connection->flags & FINAL
					    ? CONNECTION_CLOSED
					    : CONNECTION_APP_FIN_CLOSE_WAIT;
		break;
	case CONNECTION_PEER_FIN_CLOSE_WAIT:
		if (PROTO_HAS_BUG(PROTO_BUG_FINAL_IGNORED))
			break;
		connection->state = CONNECTION_CLOSED;
		break;
	case CONNECTION_PEER_ABORT_WAIT:
		connection->state = CONNECTION_CLOSED;
		break;
	default:
		break;
	}
}

static void done_received(struct connection *connection)
{
	if (connection->state == CONNECTION_ACTIVE)
		connection->state = CONNECTION_APP_CLOSE_WAIT_1;
	else if (connection->state == CONNECTION_PEER_CLOSE_WAIT_1)
		connection->state = CONNECTION_PEER_CLOSE_WAIT_2;
}

void close_received(struct connection *connection, uint8_t flags)
{
	uint8_t fresh = flags & (FINAL | CDC_SENDING_DONE) & ~connection->received_flags;

	flush_limit(connection);
	if (!fresh || connection->state == CONNECTION_CLOSED)
		return;
	connection->received_flags |= fresh;
	if (fresh & CDC_SENDING_DONE && !(fresh & FINAL))
		done_received(connection);
	if (fresh & FINAL)
		connection->discards = true; /* nobody would read it */
	if (fresh & CDC_ABNORMAL_CLOSE)
		abort_received(connection);
	else if (fresh & CDC_CLOSED)
		closed_received(connection);
	connection_tell(connection, PROTO_ENDED, connection->produced, connection->received_flags);
	if (fresh & CDC_ABNORMAL_CLOSE)
		connection_tell(connection, PROTO_RESET, connection->produced, ECONNRESET);
	if (connection->closing && !connection_unsent(connection))
		close_flushed(connection);
}

/* Has everything been said and heard, so that a lost link makes no difference? */
static bool is_over(const struct connection *connection)
{
	bool all_sent = connection->flags && !connection->pending && !connection->owes;

	return connection->state == CONNECTION_CLOSED ||
	       (all_sent && connection->received_flags & FINAL) ||
	       (all_sent && connection->flags & FINAL && connection->application_closed);
}

void close_group_lost(struct connection *connection)
{
	bool over = is_over(connection);

	connection->state = CONNECTION_CLOSED;
	connection->closing = CLOSING_NOTHING;
	connection->discards = true;
	connection->owes = false;
	connection->pending = 0;
	proto_timer_stop(connection->host, &connection->limit);
	link_group_leave(connection);
	if (!over) {
		connection->fin_owed = PROTO_TCP_SEND;
		connection_tell(connection, PROTO_TCP_RESET, 0, 0);
		connection_tell(connection, PROTO_RESET, connection->produced, ECONNABORTED);
	}
	close_settle(connection);
}

void close_expired(struct connection *connection)
{
	if (connection->closing) {
		/* SO_LINGER's time is over: what is unsent goes lost, and the peer learns that. */
		connection->discards = true;
		abnormal(connection);
		close_flushed(connection);
		connection_transmit(connection);
	} else if (connection->flags & FINAL) {
		connection->state = CONNECTION_CLOSED;
	}
	close_settle(connection);
}

/* Nobody is here any more, and all is said: a peer that never closes must not hold on to it for ever. */
static void await_last_word(struct connection *connection)
{
	if (connection->application_closed && connection->flags & FINAL && !connection->owes &&
	    !connection->pending && connection->state != CONNECTION_CLOSED &&
	    !connection->limit.running)
		proto_timer_start(connection->host, &connection->limit, PROTO_LAST_WORD_WAIT);
}

void close_settle(struct connection *connection)
{
	await_last_word(connection);
	if (connection->fin_owed && !connection->owes && !connection->pending) {
		connection_tell(connection, connection->fin_owed, 0, 0);
		connection->fin_owed = PROTO_TCP_SEND;
	}
	/* (without a link group nothing can be owed) */
	if (connection->state == CONNECTION_CLOSED && connection->application_closed &&
	    !connection->closing &&
	    (!connection->group || (!connection->owes && !connection->pending)))
		connection_finish(connection);
}
