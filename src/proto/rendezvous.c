/* SPDX-License-Identifier: MIT */
/*
 * What both roles share: messages on TCP, waits, and the ways out
 */
#include "proto/rendezvous.h"

#include <errno.h>
#include <string.h>

#include "proto/bug.h"
#include "proto/connection.h"
#include "proto/control.h"

bool rendezvous_at(const struct connection *connection, enum rendezvous_step step)
{
	return connection->rendezvous && connection->rendezvous->step == step;
}

void rendezvous_wait(struct connection *connection, enum rendezvous_step step,
		     uint32_t milliseconds)
{
	connection->rendezvous->step = step;
	if (milliseconds)
		proto_timer_start(connection->host, &connection->step, milliseconds);
	else
		proto_timer_stop(connection->host, &connection->step);
}

struct connection *connection_start(struct proto_host *host, const struct rendezvous_facts *facts,
				    void *engine)
{
	struct connection *connection = proto_allocate(host, sizeof(*connection));
	struct rendezvous *rendezvous = proto_allocate(host, sizeof(*rendezvous));

	if (!connection || !rendezvous) {
		if (connection)
			proto_release(host, connection);
		if (rendezvous)
			proto_release(host, rendezvous);
		return NULL;
	}
	connection->host = host;
	connection->engine = engine;
	connection->state = CONNECTION_INIT;
	connection->rendezvous = rendezvous;
	connection->size = PROTO_ELEMENT_LEAST << negotiation_element_code(facts->element);
	rendezvous->facts = *facts;
	connection->memory = facts->memory;
	rendezvous->declining_version = 1;
	proto_timer_init(&connection->step, PROTO_TIMER_STEP, connection);
	proto_timer_init(&connection->limit, PROTO_TIMER_LIMIT, connection);
	list_init(&connection->waiting);
	list_append(&host->connections, &connection->of_host);
	if (!facts->agreed) {
		rendezvous_fall_back(connection,
				     facts->refusal ? facts->refusal : CLC_PEER_WITHOUT_SMC, false);
	} else {
		proto_timer_start(host, &connection->limit, PROTO_RENDEZVOUS_LIMIT);
		if (facts->role == PROTO_CLIENT)
			client_start(connection);
		else
			rendezvous_wait(connection, RENDEZVOUS_PROPOSAL, PROTO_CLC_WAIT);
	}
	proto_leave(host);
	return connection;
}

void rendezvous_send(struct connection *connection, const struct clc_message *message)
{
	uint8_t bytes[CLC_LENGTH_MAX];
	int length = clc_encode(message, bytes, sizeof(bytes));

	if (length > 0)
		proto_emit(connection->host, &(struct proto_action){.type = PROTO_TCP_SEND,
								    .connection = connection,
								    .bytes = bytes,
								    .length = (uint32_t)length});
}

/*
 * Has it offered SMC, as far as its TCP goes, and knows none?  Who did not let it answer cannot say; and one that
 * we have a link group with does know, and is just slow.
 */
static bool is_mute(const struct connection *connection, bool our_doing)
{
	const struct rendezvous *rendezvous = connection->rendezvous;

	return rendezvous->facts.role == PROTO_CLIENT && rendezvous->started &&
	       !rendezvous->answered && !our_doing &&
	       !link_group_knows(connection->host, rendezvous->facts.peer);
}

/* Everything but the connection itself. */
static void rendezvous_over(struct connection *connection)
{
	proto_timer_stop(connection->host, &connection->step);
	proto_timer_stop(connection->host, &connection->limit);
	proto_release(connection->host, connection->rendezvous);
	connection->rendezvous = NULL;
}

/*
 * Out of the group, which ends with it if this was its first contact.  (At a client others may have
 * joined while the first waits for ADD LINK; that one may fail alone.)
 */
static void group_left(struct connection *connection, bool declined)
{
	struct link_group *group = connection->group;
	bool first = group && group->first == connection &&
		     (declined || group->state == LINK_GROUP_PENDING);

	list_remove(&connection->waiting);
	link_group_leave(connection);
	if (first)
		link_group_end(group, LLC_DELETED_BY_PROGRAM);
}

void rendezvous_fall_back(struct connection *connection, uint32_t diagnosis, bool late)
{
	struct proto_host *host = connection->host;
	const bool mute = is_mute(connection, diagnosis == CLC_NO_DEVICE);

	rendezvous_over(connection);
	proto_emit(host, &(struct proto_action){.type = PROTO_FELL_BACK,
						.connection = connection,
						.number = diagnosis,
						.late = late,
						.mute = mute});
	group_left(connection, true);
	connection_finish(connection);
}

void rendezvous_fail(struct connection *connection, int error)
{
	const bool mute = is_mute(connection, error == ECONNABORTED);

	rendezvous_over(connection);
	connection_tell(connection, PROTO_TCP_RESET, 0, 0);
	proto_emit(connection->host, &(struct proto_action){.type = PROTO_FAILED,
							    .connection = connection,
							    .number = (uint32_t)error,
							    .mute = mute});
	group_left(connection, false);
	connection_finish(connection);
}

void rendezvous_decline(struct connection *connection, uint32_t diagnosis)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	struct clc_message decline = {.type = CLC_DECLINE,
				      .version = rendezvous->declining_version};
	bool late = rendezvous->facts.role == PROTO_SERVER || rendezvous->started;

	if (rendezvous->filled) {
		/* In the middle of a message there is no way back to the application's data. */
		rendezvous_fail(connection, ETIMEDOUT);
		return;
	}
	if (diagnosis == CLC_SYNCHRONISATION)
		decline.flags = CLC_OUT_OF_SYNC;
	memcpy(decline.decline.peer_id, connection->host->config.peer_id, CLC_PEER_ID_SIZE);
	decline.decline.diagnosis = diagnosis;
	if (decline.version > 1)
		decline.decline.os = CLC_OS_LINUX;
	rendezvous_send(connection, &decline);
	rendezvous_fall_back(connection, diagnosis, late);
}

void rendezvous_done(struct connection *connection)
{
	rendezvous_over(connection);
	connection_activate(connection);
}

/* Is @id the peer's?  Of a Linux client Proposal and Confirm may say different things. */
static bool peer_has_id(const struct link_group *group, const uint8_t id[CLC_PEER_ID_SIZE])
{
	static const uint8_t unknown[CLC_PEER_ID_SIZE];

	return memcmp(id, unknown, CLC_PEER_ID_SIZE) != 0 &&
	       (memcmp(id, group->peer_id, CLC_PEER_ID_SIZE) == 0 ||
		memcmp(id, group->confirmed_id, CLC_PEER_ID_SIZE) == 0);
}

static void declined(struct connection *connection, const struct clc_message *decline)
{
	struct link_group *group = connection->group;
	bool lost = group && group->role == PROTO_SERVER && decline->flags & CLC_OUT_OF_SYNC &&
		    peer_has_id(group, decline->decline.peer_id);

	if (PROTO_HAS_BUG(PROTO_BUG_ANSWER_DECLINE)) {
		rendezvous_decline(connection, CLC_PEER_DECLINED);
		return;
	}
	rendezvous_fall_back(connection, CLC_PEER_DECLINED, false);
	if (lost) {
		group->out_of_sync = true;
		link_group_end(group, LLC_DELETED_PROTOCOL_VIOLATION);
	}
}

static bool reads(const struct connection *connection)
{
	if (connection->rendezvous->tcp_ended)
		return false;
	switch (connection->rendezvous->step) {
	case RENDEZVOUS_PROPOSAL:
	case RENDEZVOUS_ACCEPT:
	case RENDEZVOUS_CONFIRM:
	case RENDEZVOUS_CONNECT_LINK:
	case RENDEZVOUS_CONFIRM_LINK:
	case RENDEZVOUS_SENT_CONFIRM:
	case RENDEZVOUS_ADD_LINK:
	case RENDEZVOUS_GRACE:
		return true;
	default:
		return false;
	}
}

/* Which message would be right now, besides a Decline? */
static uint8_t expected(const struct connection *connection)
{
	switch (connection->rendezvous->step) {
	case RENDEZVOUS_PROPOSAL:
		return CLC_PROPOSAL;
	case RENDEZVOUS_ACCEPT:
		return CLC_ACCEPT;
	case RENDEZVOUS_CONFIRM:
		return CLC_CONFIRM;
	default:
		return CLC_DECLINE;
	}
}

size_t connection_tcp_wanted(const struct connection *connection)
{
	const struct rendezvous *rendezvous = connection->rendezvous;

	if (!rendezvous) /* a Decline of a peer that gave up last of all */
		return connection->state == CONNECTION_ACTIVE ? CLC_HEADER_LENGTH : 0;
	if (!reads(connection))
		return 0;
	return rendezvous->filled ? rendezvous->length - rendezvous->filled : CLC_HEADER_LENGTH;
}

static void message_complete(struct connection *connection)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	unsigned int length =
		rendezvous->length < CLC_LENGTH_MAX ? rendezvous->length : CLC_LENGTH_MAX;
	struct clc_message message;

	rendezvous->filled = 0;
	if (clc_decode(&message, rendezvous->message, length, NULL)) {
		rendezvous_fail(connection, EPROTO);
		return;
	}
	switch (message.type) {
	case CLC_PROPOSAL:
		server_proposed(connection, &message);
		break;
	case CLC_ACCEPT:
		client_accepted(connection, &message);
		break;
	case CLC_CONFIRM:
		server_confirmed(connection, &message);
		break;
	default:
		declined(connection, &message);
	}
}

/* The first bytes are there: is this a message that may come now? */
static size_t header_received(struct connection *connection, const uint8_t *bytes, size_t length)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	static const uint8_t eyecatcher[] = {0xe2, 0xd4, 0xc3};
	size_t known = length < sizeof(eyecatcher) ? length : sizeof(eyecatcher);
	struct clc_message message;
	int whole;

	if (rendezvous->step == RENDEZVOUS_PROPOSAL && memcmp(bytes, eyecatcher, known) != 0) {
		/* No SMC client: somebody has taken the option out of the SYN-ACK. */
		rendezvous_fall_back(connection, CLC_PEER_WITHOUT_SMC, false);
		return 0;
	}
	if (length < CLC_HEADER_LENGTH)
		return 0;
	whole = clc_header_decode(&message, bytes, NULL);
	if (whole < 0 || (message.type != expected(connection) && message.type != CLC_DECLINE)) {
		rendezvous_fail(connection, EPROTO);
		return 0;
	}
	memcpy(rendezvous->message, bytes, CLC_HEADER_LENGTH);
	rendezvous->filled = CLC_HEADER_LENGTH;
	rendezvous->length = (unsigned int)whole;
	rendezvous->answered = true;
	return CLC_HEADER_LENGTH;
}

static size_t body_received(struct connection *connection, const uint8_t *bytes, size_t length)
{
	struct rendezvous *rendezvous = connection->rendezvous;
	size_t left = rendezvous->length - rendezvous->filled, kept;

	if (length > left)
		length = left;
	/* Of what later versions append no more is kept than fits. */
	kept = rendezvous->filled < CLC_LENGTH_MAX ? CLC_LENGTH_MAX - rendezvous->filled : 0;
	if (kept > length)
		kept = length;
	if (kept)
		memcpy(rendezvous->message + rendezvous->filled, bytes, kept);
	rendezvous->filled += (unsigned int)length;
	if (length == left)
		message_complete(connection);
	return length + PROTO_HAS_BUG(PROTO_BUG_READ_BEYOND_CLC);
}

/* Bytes on TCP although this is SMC: a Decline means that the peer has fallen back. */
static void active_received(struct connection *connection, const uint8_t *bytes, size_t length)
{
	struct clc_message message;

	if (length >= CLC_HEADER_LENGTH && clc_header_decode(&message, bytes, NULL) > 0 &&
	    message.type == CLC_DECLINE)
		close_by_force(connection, ECONNRESET);
}

size_t connection_tcp_received(struct connection *connection, const void *bytes, size_t length)
{
	struct proto_host *host = connection->host;
	size_t taken = 0;

	if (!connection->rendezvous)
		active_received(connection, bytes, length);
	else if (length && reads(connection))
		taken = connection->rendezvous->filled ? body_received(connection, bytes, length)
						       : header_received(connection, bytes, length);
	proto_leave(host);
	return taken;
}

void connection_tcp_ended(struct connection *connection)
{
	struct proto_host *host = connection->host;

	struct rendezvous *rendezvous = connection->rendezvous;

	if (!rendezvous)
		return;
	if (rendezvous->step == RENDEZVOUS_PROPOSAL && !rendezvous->filled)
		rendezvous_fall_back(connection, CLC_PEER_WITHOUT_SMC, false);
	else if (expected(connection) != CLC_DECLINE || rendezvous->filled)
		rendezvous_fail(connection, ECONNRESET);
	else
		rendezvous->tcp_ended = true; /* it may have closed already, and said so by CDC */
	proto_leave(host);
}

int rendezvous_late(enum proto_role role, const void *bytes, size_t length)
{
	static const uint8_t eyecatcher[] = {0xe2, 0xd4, 0xc3};
	size_t known = length < sizeof(eyecatcher) ? length : sizeof(eyecatcher);
	struct clc_message message;
	int whole;

	if (memcmp(bytes, eyecatcher, known) != 0)
		return 0;
	if (length < CLC_HEADER_LENGTH)
		return -EAGAIN;
	whole = clc_header_decode(&message, bytes, NULL);
	if (whole < 0 || whole > (int)CLC_LENGTH_MAX ||
	    (message.type != CLC_DECLINE && (message.type == CLC_ACCEPT) != (role == PROTO_CLIENT)))
		return 0;
	if (length < (size_t)whole)
		return -EAGAIN;
	return clc_decode(&message, bytes, (size_t)whole, NULL) ? 0 : whole;
}
