/* SPDX-License-Identifier: MIT */
/*
 * A segment, with its bells, that serves one connection after another
 */
#include "remote_both.h"

static uint32_t over(const struct end *end)
{
	return atomic_load(&end->control->over);
}

/* RENDEZVOUS of a connection that a rule declines, up to its end: the segment and the bells stay. */
static void declined(struct end *end, const char *text)
{
	struct clc_message message;

	assert_int_equal(end_write(end, text, strlen(text)), strlen(text));
	eventually(peer_clc(end, &message));
	assert_int_equal(message.type, CLC_DECLINE);
	expect_text(end->peer, text);
	close_once(&end->tcp);
	close_once(&end->stand_in[0]);
	eventually(world.apps.remotes.count == 0);
	close_once(&end->peer);
}

/* The next use of the segment of @end, by a connection of its own, as a shim makes it. */
static void end_again(struct end *end)
{
	struct end next;

	end_make(&next, RENDEZVOUS_CLIENT);
	end->tcp = next.tcp;
	end->peer = next.peer;
	memcpy(end->stand_in, next.stand_in, sizeof(end->stand_in));
	next.message.segment = end->message.segment;
	next.message.use = end->message.use + 1;
	end->message = next.message;
	next.tcp = next.peer = next.stand_in[0] = -1;
	close(next.data[1]);
	close(next.space[1]);
	end_free(&next);
	memset(end->control->direction, 0, sizeof(end->control->direction));
	memset(end->own, 0, sizeof(end->own));
	end->send.own = &end->own[0];
	end->receive.own = &end->own[1];
	for (int d = 0; d < 2; d++)
		atomic_store(&end->control->direction[d].writer.switched, SWITCH_DONE);
	atomic_store(&end->control->direction[0].writer.marks, MARK_ATTACHED);
}

static void end_send_again(struct end *end, int session)
{
	const int fds[2] = {end->tcp, end->stand_in[1]};
	union message message;

	message.rendezvous = end->message;
	send_message(session, &message, fds, 2);
	close(end->stand_in[1]);
	run(2);
}

static void open_numbered(struct end *end, uint32_t number)
{
	world.no_rnic_here = true; /* declines, so that TCP carries the data */
	end_make(end, RENDEZVOUS_CLIENT);
	end->message.segment = number;
	end->message.use = 1;
	end_send(end, world.session);
}

static void first_use(struct end *end, uint32_t number)
{
	open_numbered(end, number);
	declined(end, "first");
}

static void it_serves_again_with_its_bells(void **state)
{
	struct end end;

	(void)state;
	first_use(&end, 7);
	eventually(over(&end) == 1);
	for (uint32_t use = 2; use < 12; use++) {
		end_again(&end);
		end_send_again(&end, world.session);
		declined(&end, "again");
		eventually(over(&end) == use);
		assert_false(is_doomed(world.session));
	}
	end_free(&end);
}

static void without_a_number_it_serves_once(void **state)
{
	struct end end;

	(void)state;
	world.no_rnic_here = true;
	end_open(&end, RENDEZVOUS_CLIENT);
	declined(&end, "once");
	assert_int_equal(over(&end), 0);
	end_again(&end);
	end.message.segment = end.message.use = 1;
	end_send_again(&end, world.session);
	eventually(is_doomed(world.session));
	end_free(&end);
}

static void one_in_use_ends_the_session(void **state)
{
	struct end end, first;

	(void)state;
	open_numbered(&end, 3);
	first = end;
	end_again(&end);
	end_send_again(&end, world.session);
	eventually(is_doomed(world.session));
	close_once(&first.tcp);
	close_once(&first.peer);
	close_once(&first.stand_in[0]);
	end_free(&end);
	eventually(world.apps.remotes.count == 0);
}

static void one_of_another_size_ends_the_session(void **state)
{
	struct end end;

	(void)state;
	first_use(&end, 3);
	eventually(over(&end) == 1);
	end_again(&end);
	end.message.ring_bytes *= 2;
	end_send_again(&end, world.session);
	eventually(is_doomed(world.session));
	end_free(&end);
}

/* As a shim that keeps fewer. */
static void what_the_shim_gives_up_is_given_back(void **state)
{
	struct end end;

	(void)state;
	first_use(&end, 3);
	eventually(over(&end) == 1);
	assert_int_equal(world.apps.sessions->kept_count, 1);
	close_once(&end.data[0]);
	close_once(&end.space[0]);
	eventually(world.apps.sessions->kept_count == 0);
	assert_false(is_doomed(world.session));
	end_free(&end);
}

/* A use of the session that is over is nobody's. */
static void with_the_session_it_is_spent(void **state)
{
	struct end end;

	(void)state;
	open_numbered(&end, 3);
	close(world.session);
	eventually(world.apps.session_count == 0);
	declined(&end, "late");
	eventually(over(&end) == SEGMENT_SPENT);
	end_free(&end);
	world.session = session_open();
}

/* A peer that has not said its last word may still write there. */
static void after_an_abort_it_is_spent(void **state)
{
	struct clc_message message;
	struct both b;

	(void)state;
	end_make(&b.end, RENDEZVOUS_CLIENT);
	b.end.message.segment = 5;
	b.end.message.use = 1;
	end_send(&b.end, world.session);
	eventually(peer_clc(&b.end, &message));
	agree(&b);
	b.remote->map->regions =
		1; /* as the adapter counts; it has not been deregistered at the end */
	run(2);
	forget(world.t);
	atomic_store(&b.end.control->direction[0].writer.produced,
		     UINT64_MAX); /* no honest cursor */
	wake_daemon(&b.end);
	eventually(stream_state(b.end.stand_in[0]) == ECONNRESET);
	complete(world.t, b.link);
	end_close(&b.end);
	proto_timer_expired(&world.rnic.host, &b.connection->limit);
	eventually(world.apps.remotes.count == 0);
	assert_int_equal(over(&b.end), SEGMENT_SPENT);
	end_free(&b.end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)
		TEST(it_serves_again_with_its_bells),
		TEST(without_a_number_it_serves_once),
		TEST(one_in_use_ends_the_session),
		TEST(one_of_another_size_ends_the_session),
		TEST(what_the_shim_gives_up_is_given_back),
		TEST(with_the_session_it_is_spent),
		TEST(after_an_abort_it_is_spent),
	};

	return run_both_ways(tests);
}
