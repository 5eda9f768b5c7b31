/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the ways out of a rendezvous share
 */
#ifndef SMCU_TESTS_PROTO_FALLBACK_H
#define SMCU_TESTS_PROTO_FALLBACK_H

#include <errno.h>

#include "proto.h"

static inline void expire(struct tester *t, struct proto_timer *timer)
{
	assert_true(timer->running);
	proto_timer_expired(&t->host, timer);
}

/* The connection has gone back to TCP, and a Decline says why. */
static inline void assert_declined(struct tester *t, uint32_t diagnosis, uint8_t version)
{
	const struct kept *kept = find(t, PROTO_FELL_BACK);
	struct clc_message message;

	assert_non_null(kept);
	assert_int_equal(kept->action.number, diagnosis);
	message = sent_clc(t);
	assert_int_equal(message.type, CLC_DECLINE);
	assert_int_equal(message.version, version);
	assert_int_equal(message.decline.diagnosis, diagnosis);
	assert_int_equal(message.flags & CLC_OUT_OF_SYNC,
			 diagnosis == CLC_SYNCHRONISATION ? CLC_OUT_OF_SYNC : 0);
	assert_memory_equal(message.decline.peer_id, t->host.config.peer_id, CLC_PEER_ID_SIZE);
	assert_non_null(find(t, PROTO_GONE));
	assert_true(list_empty(&t->host.connections));
}

/* Back to TCP, and nothing was said since forget(). */
static inline void assert_silent(struct tester *t, uint32_t diagnosis)
{
	const struct kept *kept = find(t, PROTO_FELL_BACK);

	assert_non_null(kept);
	assert_int_equal(kept->action.number, diagnosis);
	assert_null(find(t, PROTO_TCP_SEND));
	assert_non_null(find(t, PROTO_GONE));
}

static inline void assert_failed(struct tester *t, int error)
{
	const struct kept *kept = find(t, PROTO_FAILED);

	assert_non_null(kept);
	assert_int_equal(kept->action.number, error);
	assert_non_null(find(t, PROTO_TCP_RESET));
	assert_null(find(t, PROTO_TCP_SEND));
	assert_null(find(t, PROTO_FELL_BACK));
}

#endif
