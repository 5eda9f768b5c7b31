/* SPDX-License-Identifier: MIT */
/*
 * A connection that is SMC-R, and the messages of its peer, on top of remote.h
 */
#ifndef SMCU_TESTS_REMOTE_BOTH_H
#define SMCU_TESTS_REMOTE_BOTH_H

#include "remote.h"

/**
 * struct both - an application's end and the peer's adapter
 */
struct both {
	struct end end;
	struct remote *remote;
	struct connection *connection;
	struct link *link;
};

/* A first contact, of which the test is the server: up to our Proposal. */
static inline void propose(struct both *b)
{
	struct clc_message message;

	end_open(&b->end, RENDEZVOUS_CLIENT);
	eventually(peer_clc(&b->end, &message));
}

/* The rest of it. */
static inline void agree(struct both *b)
{
	struct clc_message accept = peer_side(world.t, CLC_ACCEPT, 2, true);
	struct llc_message request = peer_confirm_link(2, false);
	struct clc_message message;

	peer_says(&b->end, &accept, "");
	eventually(peer_clc(&b->end, &message));
	assert_int_equal(message.type, CLC_CONFIRM);
	b->remote = the_remote();
	b->connection = b->remote->connection;
	b->link = &b->connection->group->link;
	assert_int_equal(marks(&b->end), 0);
	give_llc(b->link, &request);
	tester_answer(world.t);
	complete(world.t, b->link);
	assert_int_equal(marks(&b->end), MARK_ATTACHED);
}

static inline void establish(struct both *b)
{
	propose(b);
	agree(b);
	run(2);
	forget(world.t);
}

/* The peer's adapter has written up to @produced, and its program read up to @consumed. */
static inline void peer_message(struct both *b, uint64_t produced, uint64_t consumed, uint8_t flags)
{
	struct cdc_message message = peer_cdc(world.t, b->connection, produced, consumed);

	message.connection_flags = flags;
	give_cdc(b->link, &message);
}

static inline void peer_writes(struct both *b, uint64_t from, const char *text)
{
	for (size_t i = 0; text[i]; i++)
		b->remote->map->receive[(from + i) % ELEMENT] = (uint8_t)text[i];
	peer_message(b, from + strlen(text), b->connection->sent, 0);
}

/* The last CDC flags that were sent. */
static inline bool has_said(uint8_t flag)
{
	for (unsigned int i = world.t->count; i > 0; i--)
		if (world.t->actions[i - 1].action.type == PROTO_SEND)
			return sent_cdc(world.t).connection_flags & flag;
	return false;
}

static inline void finish(struct both *b)
{
	say(&b->end, MARK_SHUT | MARK_CLOSED);
	end_close(&b->end);
	if (world.apps.remotes.count) {
		run(3);
		if (b->remote->connection) {
			peer_message(b, b->connection->produced, b->connection->sent,
				     CDC_SENDING_DONE | CDC_CLOSED);
			complete(world.t, b->link);
		}
	}
	eventually(world.apps.remotes.count == 0);
	end_free(&b->end);
}

#endif
