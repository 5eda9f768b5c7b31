/* SPDX-License-Identifier: MIT */
/*
 * One host of src/proto, and a test that is its engine, its peer and its programs
 *
 * Actions are kept in order.  proto_answer() does what an engine does at once: queue pairs, regions,
 * routes.  The test sees what was sent, and says what the peer sends.
 */
#ifndef SMCU_TESTS_PROTO_H
#define SMCU_TESTS_PROTO_H

#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "proto/connection.h"
#include "proto/control.h"
#include "proto/link_group.h"
#include "proto/rendezvous.h"

#define ACTIONS_MAX 8192U
#define ELEMENT 16384U
#define PEER_TOKEN 0x700U
#define PEER_RKEY 0x5500U
#define PEER_ADDRESS 0x70000000U
#define PEER_QUEUE_PAIR 0x123U

/**
 * struct kept - an action, and the bytes that it had
 */
struct kept {
	struct proto_action action;
	uint8_t bytes[CLC_LENGTH_MAX];
};

/**
 * struct tester - a host under test
 * @actions, @count: since the last forget()
 * @answered: of these
 * @route, @link_ok, @connect_ok, @region_ok, @memory_ok: how the engine answers
 * @posted: SENDs without completion
 * @memory: pieces that the host has
 */
struct tester {
	struct proto_host host;
	struct kept *actions;
	unsigned int count;
	unsigned int answered;
	enum rendezvous_route route;
	bool link_ok;
	bool connect_ok;
	bool region_ok;
	bool memory_ok;
	unsigned int posted;
	unsigned int regions;
	int memory;
	uint16_t sequence;
	unsigned int peers;
};

static const uint8_t peer_id[CLC_PEER_ID_SIZE] = {0xab, 0xcd, 2, 0, 0, 0, 0, 2};
static const uint8_t peer_gid_v1[CLC_GID_SIZE] = {0xfe, 0x80, [15] = 2};
static const uint8_t peer_gid_v2[CLC_GID_SIZE] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2};
static const uint8_t peer_mac[CLC_MAC_SIZE] = {2, 0, 0, 0, 0, 2};
static const char eid[] = "GROUP-A                         ";

static void tester_emit(void *context, const struct proto_action *action)
{
	struct tester *t = context;
	struct kept *kept = &t->actions[t->count++];

	assert_true(t->count < ACTIONS_MAX);
	kept->action = *action;
	if (action->bytes)
		memcpy(kept->bytes, action->bytes, action->length);
	if (action->type == PROTO_SEND)
		t->posted++;
}

static void *tester_allocate(void *context, size_t size)
{
	struct tester *t = context;

	if (!t->memory_ok)
		return NULL;
	t->memory++;
	return calloc(1, size);
}

static void tester_release(void *context, void *memory)
{
	struct tester *t = context;

	t->memory--;
	free(memory);
}

static uint32_t tester_random(void *context)
{
	(void)context;
	return 0x5a5a01;
}

/* tester_new - a host that speaks v1 and v2.1 */
static inline struct tester *tester_new(void)
{
	struct tester *t = calloc(1, sizeof(*t));
	struct proto_config config = {.peer_id = {0x12, 0x34, 2, 0, 0, 0, 0, 1},
				      .v1 = true,
				      .v2 = true,
				      .gid_v1 = {0xfe, 0x80, [15] = 1},
				      .gid_v2 = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1},
				      .mac = {2, 0, 0, 0, 0, 1},
				      .mtu = 3,
				      .eid_count = 1,
				      .release = 1,
				      .max_connections = 255,
				      .max_links = 1,
				      .features = 1};
	struct proto_environment environment = {.context = t,
						.emit = tester_emit,
						.allocate = tester_allocate,
						.release = tester_release,
						.random = tester_random};

	assert_non_null(t);
	memcpy(config.eids[0], eid, CLC_EID_SIZE);
	memset(config.name, ' ', sizeof(config.name));
	t->actions = calloc(ACTIONS_MAX, sizeof(*t->actions));
	assert_non_null(t->actions);
	t->route = RENDEZVOUS_DIRECT;
	t->link_ok = t->connect_ok = t->region_ok = t->memory_ok = true;
	proto_host_init(&t->host, &config, &environment);
	return t;
}

/* tester_end - stop the host: nothing may be left */
static inline void tester_end(struct tester *t)
{
	proto_host_stop(&t->host);
	assert_int_equal(t->memory, 0);
	free(t->actions);
	free(t);
}

static inline void forget(struct tester *t)
{
	t->count = t->answered = 0;
}

/* tester_answer - what the engine answers, until there is nothing to answer */
static inline void tester_answer(struct tester *t)
{
	for (; t->answered < t->count; t->answered++) {
		struct proto_action action = t->actions[t->answered].action;

		if (action.type == PROTO_LINK_CREATE)
			link_created(action.link, t->link_ok, 0x100);
		else if (action.type == PROTO_LINK_CONNECT)
			link_connected(action.link, t->connect_ok);
		else if (action.type == PROTO_REGISTER)
			rmb_registered(action.rmb, t->region_ok, 0x1000 + t->regions,
				       0x10000000U + 0x100000U * t->regions),
				t->regions++;
		else if (action.type == PROTO_RESOLVE)
			connection_resolved(action.connection, t->route, peer_mac);
	}
}

/* find - the last action of that type since forget(); NULL if there is none */
static inline const struct kept *find(const struct tester *t, enum proto_action_type type)
{
	for (unsigned int i = t->count; i > 0; i--)
		if (t->actions[i - 1].action.type == type)
			return &t->actions[i - 1];
	return NULL;
}

static inline unsigned int count_of(const struct tester *t, enum proto_action_type type)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < t->count; i++)
		count += t->actions[i].action.type == type;
	return count;
}

/* sent_clc - the last message on TCP */
static inline struct clc_message sent_clc(const struct tester *t)
{
	const struct kept *kept = find(t, PROTO_TCP_SEND);
	struct clc_message message;

	assert_non_null(kept);
	assert_int_equal(clc_decode(&message, kept->bytes, kept->action.length, NULL), 0);
	return message;
}

/* sent_llc - the last LLC message of a type */
static inline bool sent_llc(const struct tester *t, enum llc_type type, struct llc_message *message)
{
	for (unsigned int i = t->count; i > 0; i--) {
		const struct kept *kept = &t->actions[i - 1];

		if (kept->action.type == PROTO_SEND &&
		    llc_decode(message, kept->bytes, kept->action.length, NULL) == 0 &&
		    message->type == type)
			return true;
	}
	return false;
}

/* sent_cdc - the last CDC message */
static inline struct cdc_message sent_cdc(const struct tester *t)
{
	struct cdc_message message;

	for (unsigned int i = t->count; i > 0; i--) {
		const struct kept *kept = &t->actions[i - 1];

		if (kept->action.type == PROTO_SEND &&
		    cdc_decode(&message, kept->bytes, kept->action.length, NULL) == 0)
			return message;
	}
	fail_msg("no CDC message was sent");
	return message;
}

static inline unsigned int count_cdc(const struct tester *t)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < t->count; i++)
		count += t->actions[i].action.type == PROTO_SEND &&
			 t->actions[i].bytes[0] == CDC_TYPE;
	return count;
}

/* complete - all SENDs are complete */
static inline void complete(struct tester *t, struct link *link)
{
	while (t->posted) {
		t->posted--;
		link_sent(link, true);
	}
}

static inline struct rendezvous_facts facts_of(enum proto_role role)
{
	return (struct rendezvous_facts){.role = role,
					 .agreed = true,
					 .ipv4 = true,
					 .v1 = true,
					 .v2 = true,
					 .prefixes = {{.address = {10}, .length = 8}},
					 .prefix_count = 1,
					 .element = ELEMENT};
}

/* give_tcp - the peer's bytes on TCP; how many were taken */
static inline size_t give_tcp(struct connection *connection, const uint8_t *bytes, size_t length)
{
	size_t taken = 0;

	while (taken < length) {
		size_t wanted = connection_tcp_wanted(connection);
		size_t n = length - taken < wanted ? length - taken : wanted;
		bool last = taken + n == length; /* (then the connection may be gone) */
		size_t step = n ? connection_tcp_received(connection, bytes + taken, n) : 0;

		taken += step;
		if (!step || last)
			break;
	}
	return taken;
}

static inline void give_clc(struct connection *connection, const struct clc_message *message)
{
	uint8_t bytes[CLC_LENGTH_MAX];
	int length = clc_encode(message, bytes, sizeof(bytes));

	assert_true(length > 0);
	assert_int_equal(give_tcp(connection, bytes, (size_t)length), length);
}

static inline void give_llc(struct link *link, struct llc_message *message)
{
	uint8_t bytes[LLC_LENGTH_MAX];
	int length;

	message->length = llc_length(message);
	length = llc_encode(message, bytes, sizeof(bytes));
	assert_true(length > 0);
	link_received(link, bytes, (size_t)length);
}

/* peer_proposal - of v2 with v1, or of one of them */
static inline struct clc_message peer_proposal(bool v1, bool v2)
{
	struct clc_message message = {.type = CLC_PROPOSAL,
				      .version = 2,
				      .flags = clc_flags(v1 ? CLC_PATH_R : CLC_PATH_NONE,
							 v2 ? CLC_PATH_R : CLC_PATH_NONE)};
	struct clc_proposal *p = &message.proposal;

	memcpy(p->peer.id, peer_id, sizeof(peer_id));
	memcpy(p->peer.gid, v1 ? peer_gid_v1 : peer_gid_v2, CLC_GID_SIZE);
	memcpy(p->peer.mac, peer_mac, sizeof(peer_mac));
	p->prefix[0] = 10;
	p->prefix_length = 8;
	p->v2.eid_count = 1;
	p->v2.release = 1;
	p->v2.max_connections = 255;
	p->v2.max_links = 2;
	p->v2.features = 3;
	memcpy(p->v2.gid, peer_gid_v2, CLC_GID_SIZE);
	memcpy(p->v2.eids[0], eid, CLC_EID_SIZE);
	return message;
}

/* peer_side - an Accept or Confirm of the peer; each one has another token and key */
static inline struct clc_message peer_side(struct tester *t, uint8_t type, uint8_t version,
					   bool first)
{
	struct clc_message message = {
		.type = type, .version = version, .flags = first ? CLC_FIRST_CONTACT : 0};
	struct clc_accept *a = &message.accept;

	memcpy(a->r.peer.id, peer_id, sizeof(peer_id));
	memcpy(a->r.peer.gid, version > 1 ? peer_gid_v2 : peer_gid_v1, CLC_GID_SIZE);
	memcpy(a->r.peer.mac, peer_mac, sizeof(peer_mac));
	a->r.queue_pair = PEER_QUEUE_PAIR;
	a->r.rkey = PEER_RKEY + t->peers;
	a->r.element = 1;
	a->r.token = PEER_TOKEN + t->peers;
	a->r.mtu = 2;
	a->r.address = PEER_ADDRESS;
	a->r.sequence = 0x777;
	memcpy(a->eid, eid, CLC_EID_SIZE);
	a->first_contact = (struct clc_first_contact){.flags = CLC_DIRECT,
						      .os = CLC_OS_LINUX,
						      .release = 1,
						      .max_connections = 255,
						      .max_links = 1,
						      .features = 1};
	a->gid_count = 1;
	memcpy(a->gids[0], peer_gid_v2, CLC_GID_SIZE);
	t->peers++;
	return message;
}

static inline struct clc_message peer_decline(uint8_t version, uint32_t diagnosis)
{
	struct clc_message message = {.type = CLC_DECLINE, .version = version};

	if (diagnosis == CLC_SYNCHRONISATION)
		message.flags = CLC_OUT_OF_SYNC;
	memcpy(message.decline.peer_id, peer_id, sizeof(peer_id));
	message.decline.diagnosis = diagnosis;
	return message;
}

/* peer_confirm_link - request or response, as the peer's role demands */
static inline struct llc_message peer_confirm_link(uint8_t version, bool response)
{
	struct llc_message message = {.version = version, .type = LLC_CONFIRM_LINK};

	message.flags = LLC_NO_EYECATCHER | (response ? LLC_RESPONSE : 0);
	memcpy(message.confirm_link.gid, version > 1 ? peer_gid_v2 : peer_gid_v1, LLC_GID_SIZE);
	message.confirm_link.queue_pair = PEER_QUEUE_PAIR;
	message.confirm_link.link = 1;
	message.confirm_link.max_links = 1;
	return message;
}

/* start - a connection, with its first actions answered */
static inline struct connection *start(struct tester *t, enum proto_role role)
{
	struct rendezvous_facts facts = facts_of(role);
	struct connection *connection = connection_start(&t->host, &facts, NULL);

	assert_non_null(connection);
	tester_answer(t);
	return connection;
}

/* server_at - a server's connection that has received @proposal from 10.0.0.@address (0: nowhere) */
static inline struct connection *server_at(struct tester *t, const struct clc_message *proposal,
					   uint8_t address)
{
	struct rendezvous_facts facts = facts_of(PROTO_SERVER);
	struct connection *connection;

	facts.peer[15] = address;
	connection = connection_start(&t->host, &facts, NULL);
	assert_non_null(connection);
	give_clc(connection, proposal);
	tester_answer(t);
	return connection;
}

/* server_with - the same, for tests in which addresses do not matter */
static inline struct connection *server_with(struct tester *t, const struct clc_message *proposal)
{
	return server_at(t, proposal, 0);
}

/* serve - a first contact of which the test is the client, up to its end */
static inline struct connection *serve(struct tester *t, uint8_t version)
{
	struct clc_message proposal = peer_proposal(version == 1, version > 1);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, version, true);
	struct connection *connection = server_with(t, &proposal);
	struct llc_message response = peer_confirm_link(version, true);

	give_clc(connection, &confirm);
	tester_answer(t);
	complete(t, &connection->group->link);
	give_llc(&connection->group->link, &response);
	assert_non_null(find(t, PROTO_CONNECTED));
	return connection;
}

/* connect_first - a first contact of which the test is the server */
static inline struct connection *connect_first(struct tester *t, uint8_t version)
{
	struct clc_message accept = peer_side(t, CLC_ACCEPT, version, true);
	struct llc_message request = peer_confirm_link(version, false);
	struct connection *connection = start(t, PROTO_CLIENT);

	give_clc(connection, &accept);
	tester_answer(t);
	give_llc(&connection->group->link, &request);
	tester_answer(t);
	complete(t, &connection->group->link);
	return connection;
}

/* peer_cdc - what the peer would say next */
static inline struct cdc_message peer_cdc(struct tester *t, const struct connection *connection,
					  uint64_t produced, uint64_t consumed)
{
	return (struct cdc_message){
		.sequence = ++t->sequence,
		.token = connection->token,
		.producer = {.wrap = (uint16_t)(produced / ELEMENT),
			     .offset = (uint32_t)(produced % ELEMENT)},
		.consumer = {.wrap = (uint16_t)(consumed / ELEMENT),
			     .offset = (uint32_t)(consumed % ELEMENT)},
	};
}

static inline void give_cdc(struct link *link, const struct cdc_message *message)
{
	uint8_t bytes[CDC_LENGTH];

	cdc_encode(message, bytes, sizeof(bytes));
	link_received(link, bytes, sizeof(bytes));
}

#endif
