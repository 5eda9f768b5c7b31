/* SPDX-License-Identifier: MIT */
/*
 * A whole host, src/proto, whose peer means ill: whatever comes on TCP and on links, memory stays in
 * order, and when the host stops nothing is left
 *
 * The input is a list of steps: a byte says what happens, the next ones with what.  Some steps are
 * right messages, so that others come to a host that is far enough to be harmed.
 */
#include "proto/connection.h"
#include "proto/link_group.h"
#include "proto/rendezvous.h"
#include "wire/bytes.h"

#include "fuzz.h"

#define CONNECTIONS 6U
#define LINKS 400U /* more than an input has steps for */
#define QUESTIONS 64U
#define TIMERS 1200U

/**
 * struct engine - what carries out actions
 * @connections, @links: that there are, NULL between
 * @questions: actions that are to be answered
 * @timers: that run
 * @sends: SENDs without completion, by link
 */
struct engine {
	struct proto_host host;
	struct connection *connections[CONNECTIONS];
	struct link *links[LINKS];
	unsigned int sends[LINKS];
	struct proto_action questions[QUESTIONS];
	unsigned int question_count;
	struct proto_timer *timers[TIMERS];
	unsigned int regions;
	unsigned int keys;
	int memory;
};

static const uint8_t eid[CLC_EID_SIZE] = "GROUP";

static void *allocate(void *context, size_t size)
{
	((struct engine *)context)->memory++;
	return calloc(1, size);
}

static void release(void *context, void *memory)
{
	((struct engine *)context)->memory--;
	free(memory);
}

static uint32_t number(void *context)
{
	(void)context;
	return 7;
}

static unsigned int link_index(const struct engine *engine, const struct link *link)
{
	for (unsigned int i = 0; i < LINKS; i++)
		if (engine->links[i] == link)
			return i;
	abort();
}

static void timer_set(struct engine *engine, struct proto_timer *timer, bool running)
{
	unsigned int free_slot = TIMERS;

	for (unsigned int i = 0; i < TIMERS; i++) {
		if (engine->timers[i] == timer)
			engine->timers[i] = NULL;
		if (!engine->timers[i])
			free_slot = i;
	}
	if (!running)
		return;
	require(free_slot < TIMERS);
	engine->timers[free_slot] = timer;
}

/* Nobody answers for what is gone. */
static void forget(struct engine *engine, const struct proto_action *action)
{
	for (unsigned int i = 0; i < engine->question_count; i++) {
		struct proto_action *question = &engine->questions[i];

		if ((action->connection && question->type == PROTO_RESOLVE &&
		     question->connection == action->connection) ||
		    (action->link && question->link == action->link) ||
		    (action->rmb && question->rmb == action->rmb))
			*question = engine->questions[--engine->question_count], i--;
	}
}

static void link_act(struct engine *engine, const struct proto_action *action)
{
	if (action->type == PROTO_LINK_CREATE) {
		unsigned int slot = link_index(engine, NULL);

		engine->links[slot] = action->link;
		engine->sends[slot] = 0;
	} else if (action->type == PROTO_SEND) {
		require(action->length == PROTO_MESSAGE_LENGTH);
		require(++engine->sends[link_index(engine, action->link)] <= PROTO_SENDS);
	} else if (action->type == PROTO_LINK_DESTROY) {
		forget(engine, action);
		engine->links[link_index(engine, action->link)] = NULL;
	}
}

static void emit(void *context, const struct proto_action *action)
{
	struct engine *engine = context;

	switch (action->type) {
	case PROTO_TIMER_START:
	case PROTO_TIMER_STOP:
		timer_set(engine, action->timer, action->type == PROTO_TIMER_START);
		break;
	case PROTO_LINK_CREATE:
	case PROTO_LINK_DESTROY:
	case PROTO_SEND:
		link_act(engine, action);
		break;
	case PROTO_WRITE: /* never more than the peer's element has */
		require(action->length && action->length <= action->connection->peer_size);
		break;
	case PROTO_REGISTER:
		engine->regions++;
		break;
	case PROTO_DEREGISTER:
		engine->regions--;
		forget(engine, action);
		break;
	case PROTO_READABLE:
		require(action->position - action->connection->consumed <=
			action->connection->size);
		break;
	case PROTO_GONE:
		forget(engine, action);
		for (unsigned int i = 0; i < CONNECTIONS; i++)
			if (engine->connections[i] == action->connection)
				engine->connections[i] = NULL;
		break;
	default:
		break;
	}
	if (action->type == PROTO_LINK_CREATE || action->type == PROTO_LINK_CONNECT ||
	    action->type == PROTO_REGISTER || action->type == PROTO_RESOLVE) {
		require(engine->question_count < QUESTIONS);
		engine->questions[engine->question_count++] = *action;
	}
}

/* Answer all questions; @ok: bits, one for each kind. */
static void answer(struct engine *engine, unsigned int ok)
{
	static const uint8_t mac[CLC_MAC_SIZE];

	while (engine->question_count) {
		struct proto_action question = engine->questions[--engine->question_count];

		if (question.type == PROTO_LINK_CREATE)
			link_created(question.link, ok & 1, 0x200);
		else if (question.type == PROTO_LINK_CONNECT)
			link_connected(question.link, ok & 2);
		else if (question.type == PROTO_REGISTER)
			rmb_registered(question.rmb, ok & 4, ++engine->keys, 0x1000000);
		else
			connection_resolved(question.connection, (enum rendezvous_route)(ok % 3),
					    mac);
	}
}

static struct connection *connection_at(struct engine *engine, unsigned int which)
{
	return engine->connections[which % CONNECTIONS];
}

static void start(struct engine *engine, unsigned int which, uint8_t how)
{
	struct rendezvous_facts facts = {.role = how & 1 ? PROTO_SERVER : PROTO_CLIENT,
					 .agreed = true,
					 .ipv4 = true,
					 .v1 = true,
					 .v2 = true,
					 .prefixes = {{.address = {10}, .length = 8}},
					 .prefix_count = 1,
					 .element = 16384};

	if (connection_at(engine, which))
		return;
	/* (one that falls back at once is not there any more) */
	engine->connections[which % CONNECTIONS] = NULL;
	engine->connections[which % CONNECTIONS] = connection_start(&engine->host, &facts, NULL);
}

static void give_tcp(struct engine *engine, unsigned int which, const uint8_t *bytes, size_t length)
{
	size_t taken = 0;

	while (connection_at(engine, which) && taken < length) {
		size_t wanted = connection_tcp_wanted(connection_at(engine, which));
		size_t n = length - taken < wanted ? length - taken : wanted, step;

		step = n ? connection_tcp_received(connection_at(engine, which), bytes + taken, n)
			 : 0;
		require(step <= n);
		if (!step)
			return;
		taken += step;
		answer(engine, 7);
	}
}

static void peer_fill(struct clc_peer *peer, bool v2)
{
	memset(peer->id, 9, sizeof(peer->id));
	memcpy(peer->gid,
	       v2 ? "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\2"
		  : "\xfe\x80\0\0\0\0\0\0\1\1\1\1\1\1\1\2",
	       sizeof(peer->gid));
}

/* The right message for where the connection is, but for @twist. */
static void give_right(struct engine *engine, unsigned int which, uint8_t twist)
{
	struct connection *connection = connection_at(engine, which);
	struct clc_message message = {.version = 2, .flags = CLC_FIRST_CONTACT};
	struct clc_accept_r *r = &message.accept.r;
	uint8_t bytes[CLC_LENGTH_MAX];
	int length;

	if (!connection || !connection->rendezvous)
		return;
	if (connection->rendezvous->step == RENDEZVOUS_PROPOSAL) {
		message.type = CLC_PROPOSAL;
		message.flags = clc_flags(CLC_PATH_NONE, CLC_PATH_R);
		peer_fill(&message.proposal.peer, true);
		memcpy(message.proposal.v2.gid, message.proposal.peer.gid, CLC_GID_SIZE);
		message.proposal.v2.eid_count = 1;
		memcpy(message.proposal.v2.eids[0], eid, CLC_EID_SIZE);
	} else {
		message.type = connection->rendezvous->step == RENDEZVOUS_ACCEPT ? CLC_ACCEPT
										 : CLC_CONFIRM;
		if (twist & 1)
			message.flags = 0;
		peer_fill(&r->peer, true);
		r->queue_pair = 0x300;
		r->rkey = twist;
		r->element = 1;
		r->token = 5;
		r->size = twist & 3;
		r->mtu = 3;
		memcpy(message.accept.eid, eid, CLC_EID_SIZE);
		message.accept.first_contact.flags = CLC_DIRECT;
	}
	length = clc_encode(&message, bytes, sizeof(bytes));
	require(length > 0);
	give_tcp(engine, which, bytes, (size_t)length);
}

static void give_confirm_link(struct link *link)
{
	struct llc_message message = {.version = 2,
				      .type = LLC_CONFIRM_LINK,
				      .length = LLC_LENGTH,
				      .flags = LLC_NO_EYECATCHER};
	struct clc_peer peer;
	uint8_t bytes[LLC_LENGTH];

	if (link->group->role == PROTO_SERVER)
		message.flags |= LLC_RESPONSE;
	peer_fill(&peer, true);
	memcpy(message.confirm_link.gid, peer.gid, LLC_GID_SIZE);
	message.confirm_link.queue_pair = 0x300;
	message.confirm_link.link = 1;
	require(llc_encode(&message, bytes, sizeof(bytes)) == LLC_LENGTH);
	link_received(link, bytes, sizeof(bytes));
}

/* A CDC message whose token is right; the rest is the input's. */
static void give_cdc(struct engine *engine, struct link *link, unsigned int which,
		     const uint8_t bytes[CDC_LENGTH])
{
	const struct connection *connection = connection_at(engine, which);
	uint8_t message[CDC_LENGTH];
	struct bytes_writer token = bytes_writer(message + 4, 4);

	memcpy(message, bytes, sizeof(message));
	message[0] = CDC_TYPE;
	message[1] = CDC_LENGTH;
	bytes_put_u32(&token, connection ? connection->token : 0);
	link_received(link, message, sizeof(message));
}

static void program(struct engine *engine, unsigned int which, uint8_t how, uint8_t much)
{
	struct connection *connection = connection_at(engine, which);

	if (!connection)
		return;
	switch (how % 8) {
	case 0:
	case 1:
		connection_written(connection, connection->written + much * 97U, how & 8);
		break;
	case 2:
		connection_read(connection, connection->consumed + much * 97U);
		break;
	case 3:
		connection_read(connection, connection->produced);
		break;
	case 4:
		connection_shut_down(connection);
		break;
	case 5:
		connection_close(connection, much & 1 ? 100 : CONNECTION_NO_LINGER);
		break;
	case 6:
		connection_abort(connection);
		break;
	default:
		connection_tcp_reset(connection);
	}
}

static void expire(struct engine *engine, unsigned int which)
{
	for (unsigned int i = 0; i < TIMERS; i++) {
		struct proto_timer *timer = engine->timers[(which + i) % TIMERS];

		if (timer) {
			engine->timers[(which + i) % TIMERS] = NULL;
			proto_timer_expired(&engine->host, timer);
			return;
		}
	}
}

static void link_step(struct engine *engine, struct link *link, uint8_t what, uint8_t which,
		      struct bytes_reader *reader)
{
	unsigned int slot = link_index(engine, link);
	size_t length = what == 4 ? CDC_LENGTH : bytes_get_u8(reader);
	const uint8_t *bytes = what <= 4 ? bytes_take(reader, length) : NULL;

	if (what == 3 && bytes)
		link_received(link, bytes, length);
	else if (what == 4 && bytes)
		give_cdc(engine, link, which, bytes);
	else if (what == 5)
		give_confirm_link(link);
	else if (what == 6)
		link_failed(link);
	else if (what == 7)
		while (engine->links[slot] == link && engine->sends[slot]) {
			engine->sends[slot]--;
			link_sent(link, true);
		}
}

static void step(struct engine *engine, struct bytes_reader *reader)
{
	uint8_t what = bytes_get_u8(reader) % 12, which = bytes_get_u8(reader);
	struct link *link = engine->links[which / 16];
	const uint8_t *bytes;
	size_t length;

	if (what == 0) {
		start(engine, which, bytes_get_u8(reader));
	} else if (what == 1) {
		length = bytes_get_u8(reader);
		bytes = bytes_take(reader, length);
		if (bytes)
			give_tcp(engine, which, bytes, length);
	} else if (what == 2) {
		give_right(engine, which, bytes_get_u8(reader));
	} else if (what <= 7) {
		if (link)
			link_step(engine, link, what, which, reader);
	} else if (what == 8) {
		expire(engine, which);
	} else if (what == 9 && connection_at(engine, which)) {
		connection_tcp_ended(connection_at(engine, which));
	} else if (what > 9) {
		uint8_t how = bytes_get_u8(reader);

		program(engine, which, how, bytes_get_u8(reader));
	}
	answer(engine, what == 9 ? which : 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct engine engine = {0};
	struct bytes_reader reader = bytes_reader(data, size);
	struct proto_config config = {.v1 = true,
				      .v2 = true,
				      .gid_v1 = {0xfe, 0x80, 1},
				      .gid_v2 = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1},
				      .mtu = 3,
				      .eid_count = 1,
				      .max_connections = 255,
				      .max_links = 1};
	struct proto_environment environment = {.context = &engine,
						.emit = emit,
						.allocate = allocate,
						.release = release,
						.random = number};

	memcpy(config.eids[0], eid, sizeof(eid));
	proto_host_init(&engine.host, &config, &environment);
	while (reader.left)
		step(&engine, &reader);
	proto_host_stop(&engine.host);
	require(!engine.memory && !engine.regions);
	for (unsigned int i = 0; i < TIMERS; i++)
		require(!engine.timers[i]);
	for (unsigned int i = 0; i < LINKS; i++)
		require(!engine.links[i]);
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		require(!engine.connections[i]);
	return 0;
}
