/* SPDX-License-Identifier: MIT */
/*
 * A connection that is SMC-R: data both ways, and how each end learns what the other does
 */
#include "remote_both.h"

static void what_is_written_is_sent_from_the_ring(void **state)
{
	struct remote_piece pieces[REMOTE_PIECES_MAX];
	const struct kept *write;
	struct both b;

	(void)state;
	establish(&b);
	assert_int_equal(end_write(&b.end, "hello", 5), 5);
	eventually((write = find(world.t, PROTO_WRITE)));
	assert_int_equal(write->action.position, 0);
	assert_int_equal(write->action.length, 5);
	assert_int_equal(remote_find(b.remote, 0, 5, pieces), 1);
	assert_memory_equal(pieces[0].at, "hello", 5);
	assert_int_equal(pieces[0].length, 5);
	/* Kept until the message that covers it is complete. */
	assert_false(ring_is_empty(&b.end));
	complete(world.t, b.link);
	assert_true(ring_is_empty(&b.end));
	assert_int_equal(remote_find(b.remote, 0, 5, pieces), 0);
	finish(&b);
}

static void what_was_written_early_is_sent_once_it_is_smc(void **state)
{
	struct both b;

	(void)state;
	propose(&b);
	assert_int_equal(end_write(&b.end, "early", 5), 5);
	run(2);
	agree(&b);
	assert_int_equal(find(world.t, PROTO_WRITE)->action.length, 5);
	assert_int_equal(stream_state(b.end.peer), 0); /* and nothing of it by TCP */
	finish(&b);
}

/* Past the near part, and over the end of the ring: neighbours in one piece, a new lap in two. */
static void every_byte_is_found_wherever_the_ring_goes(void **state)
{
	static uint8_t bytes[3 * RING_BYTES];
	struct remote_piece pieces[REMOTE_PIECES_MAX];
	uint64_t written = 0, read = 0, checked = 0;
	struct both b;

	(void)state;
	establish(&b);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 13 + i / 509);
	while (read < sizeof(bytes)) {
		written += end_write(&b.end, bytes + written, sizeof(bytes) - written);
		run(1);
		while (checked < b.connection->sent) {
			size_t length = (size_t)(b.connection->sent - checked);
			unsigned int count = remote_find(b.remote, checked, length, pieces);

			assert_in_range(count, 1, REMOTE_PIECES_MAX);
			for (unsigned int i = 0; i < count; i++) {
				assert_memory_equal(pieces[i].at, bytes + checked,
						    pieces[i].length);
				checked += pieces[i].length;
			}
		}
		assert_int_equal(checked, b.connection->sent);
		read = checked;
		complete(world.t, b.link);
		peer_message(&b, 0, read, 0);
		forget(world.t);
	}
	finish(&b);
}

static void what_the_peer_writes_is_read(void **state)
{
	char got[16] = "";
	struct both b;

	(void)state;
	establish(&b);
	atomic_store(&b.end.control->direction[1].armed.wants_data, 1);
	peer_writes(&b, 0, "hello");
	assert_int_equal(recv(b.end.data[0], got, 1, MSG_DONTWAIT), 1); /* rung */
	assert_int_equal(end_read(&b.end, got, sizeof(got)), 5);
	assert_memory_equal(got, "hello", 5);
	finish(&b);
}

static void a_peer_that_fills_the_element_is_told_when_there_is_room(void **state)
{
	static char text[ELEMENT + 1], got[ELEMENT];
	struct both b;

	(void)state;
	establish(&b);
	for (unsigned int lap = 0; lap < 5; lap++) {
		memset(text, 'a' + (int)lap, ELEMENT);
		peer_writes(&b, (uint64_t)lap * ELEMENT, text);
		run(5); /* so that it sleeps */
		forget(world.t);
		assert_int_equal(end_read(&b.end, got, ELEMENT), ELEMENT);
		assert_memory_equal(got, text, ELEMENT);
		eventually(count_cdc(world.t) == 1);
		assert_int_equal(sent_cdc(world.t).consumer.wrap, lap + 1);
		complete(world.t, b.link);
	}
	finish(&b);
}

static void a_writer_is_woken_when_a_third_is_free(void **state)
{
	static const uint8_t bytes[RING_BYTES];
	uint64_t done = 0;
	struct both b;
	char byte;

	(void)state;
	establish(&b);
	assert_int_equal(end_write(&b.end, bytes, sizeof(bytes)), sizeof(bytes));
	atomic_store(&b.end.control->direction[0].writer.wants_space, 1);
	while (ring_room(&b.end.send) < RING_BYTES / 3) {
		assert_int_equal(recv(b.end.space[0], &byte, 1, MSG_DONTWAIT), -1);
		run(1);
		complete(world.t, b.link);
		done = b.connection->sent;
		peer_message(&b, 0, done, 0);
		forget(world.t);
	}
	assert_int_equal(recv(b.end.space[0], &byte, 1, MSG_DONTWAIT), 1);
	world.t->posted = 0;
	end_close(&b.end);
	end_free(&b.end);
}

static void the_end_of_the_peers_stream_is_the_end_of_the_stand_ins(void **state)
{
	char got[8];
	struct both b;

	(void)state;
	establish(&b);
	peer_writes(&b, 0, "bye");
	peer_message(&b, 3, 0, CDC_SENDING_DONE);
	assert_int_equal(marks(&b.end), MARK_ATTACHED | MARK_SHUT);
	assert_int_equal(stream_state(b.end.stand_in[0]), EOF);
	assert_int_equal(end_read(&b.end, got, sizeof(got)), 3);
	/* The other way goes on, also when both were shut down: only a close is a close. */
	assert_int_equal(end_write(&b.end, "more", 4), 4);
	eventually(find(world.t, PROTO_WRITE));
	complete(world.t, b.link);
	say(&b.end, MARK_SHUT);
	assert_int_equal(shutdown(b.end.stand_in[0], SHUT_WR), 0);
	eventually(has_said(CDC_SENDING_DONE));
	run(5);
	assert_false(has_said(CDC_CLOSED));
	assert_false(b.connection->application_closed);
	say(&b.end, MARK_CLOSED);
	end_close(&b.end);
	eventually(has_said(CDC_CLOSED));
	finish(&b);
}

static void who_sends_to_a_peer_that_has_closed_is_reset(void **state)
{
	struct both b;

	(void)state;
	establish(&b);
	peer_message(&b, 0, 0, CDC_SENDING_DONE | CDC_CLOSED);
	assert_int_equal(marks(&b.end), MARK_ATTACHED | MARK_SHUT | MARK_CLOSED);
	run(5);
	assert_int_equal(stream_state(b.end.stand_in[0]), EOF);
	assert_int_equal(send(b.end.stand_in[0], "?", 1, MSG_NOSIGNAL), 1);
	eventually(stream_state(b.end.stand_in[0]) == ECONNRESET);
	finish(&b);
}

static void an_abort_of_the_peers_is_a_reset_behind_the_data(void **state)
{
	char got[8];
	struct both b;

	(void)state;
	establish(&b);
	peer_writes(&b, 0, "bye");
	peer_message(&b, 3, 0, CDC_ABNORMAL_CLOSE);
	eventually(stream_state(b.end.stand_in[0]) == ECONNRESET);
	assert_int_equal(marks(&b.end), MARK_ATTACHED);
	assert_int_equal(end_read(&b.end, got, sizeof(got)), 3);
	complete(world.t, b.link);
	eventually(world.apps.remotes.count == 0); /* the application need not do anything */
	finish(&b);
}

static void a_close_follows_what_was_written_and_ends_it(void **state)
{
	struct both b;

	(void)state;
	establish(&b);
	assert_int_equal(end_write(&b.end, "all", 3), 3);
	say(&b.end, MARK_SHUT | MARK_CLOSED);
	end_close(&b.end);
	eventually(has_said(CDC_CLOSED));
	assert_int_equal(find(world.t, PROTO_WRITE)->action.length, 3);
	complete(world.t, b.link);
	peer_message(&b, 0, 3, CDC_SENDING_DONE | CDC_CLOSED);
	eventually(world.apps.remotes.count == 0);
	eventually(stream_state(b.end.peer) == EOF);
	end_free(&b.end);
}

/* It says itself that it is gone: of our own user's neither TCP nor the stand-in has to be watched. */
static void a_short_connection_ends_unwatched(void **state)
{
	struct both b;

	(void)state;
	establish(&b);
	assert_int_equal(end_write(&b.end, "all", 3), 3);
	say(&b.end, MARK_SHUT | MARK_CLOSED | MARK_GONE);
	eventually(has_said(CDC_CLOSED));
	assert_int_equal(find(world.t, PROTO_WRITE)->action.length, 3);
	/* (with another user's each look would cost a thread's turn) */
	assert_int_equal(b.remote->watched, b.remote->user->uid != world.apps.caller.trusted);
	complete(world.t, b.link);
	peer_message(&b, 0, 3, CDC_SENDING_DONE | CDC_CLOSED);
	eventually(world.apps.remotes.count == 0);
	end_free(&b.end);
}

/* Descriptors are closed by a task that has had its turn by then, and the loop may sleep for long. */
static void what_could_wait_is_followed_by_another_turn(void **state)
{
	struct both b;

	(void)state;
	establish(&b);
	world.loop.again = false;
	remotes_finish(&world.apps);
	assert_false(world.loop.again);
	remote_finish_later(b.remote);
	remotes_finish(&world.apps);
	assert_true(world.loop.again);
	finish(&b);
}

static void a_killed_application_has_closed(void **state)
{
	struct both b;

	(void)state;
	establish(&b);
	assert_int_equal(end_write(&b.end, "all", 3), 3);
	end_close(&b.end); /* without a mark */
	eventually(has_said(CDC_CLOSED));
	assert_int_equal(find(world.t, PROTO_WRITE)->action.length, 3);
	finish(&b);
}

static void a_close_with_data_unread_is_abnormal(void **state)
{
	char got[2];
	struct both b;

	(void)state;
	establish(&b);
	peer_writes(&b, 0, "unread");
	assert_int_equal(end_read(&b.end, got, 2), 2);
	say(&b.end, MARK_SHUT | MARK_CLOSED);
	end_close(&b.end);
	eventually(has_said(CDC_ABNORMAL_CLOSE));
	finish(&b);
}

static void a_close_with_all_read_just_before_is_none(void **state)
{
	char got[8];
	struct both b;

	(void)state;
	establish(&b);
	peer_writes(&b, 0, "read");
	run(5);
	assert_int_equal(end_read(&b.end, got, sizeof(got)), 4);
	say(&b.end, MARK_SHUT | MARK_CLOSED);
	end_close(&b.end);
	eventually(has_said(CDC_CLOSED));
	assert_false(has_said(CDC_ABNORMAL_CLOSE));
	finish(&b);
}

static void a_close_that_does_not_linger_aborts(void **state)
{
	const struct linger now = {.l_onoff = 1};
	struct both b;

	(void)state;
	establish(&b);
	assert_int_equal(setsockopt(b.end.tcp, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	say(&b.end, MARK_SHUT | MARK_CLOSED);
	end_close(&b.end);
	eventually(has_said(CDC_ABNORMAL_CLOSE));
	eventually(stream_state(b.end.peer) == ECONNRESET);
	finish(&b);
}

static void a_time_to_linger_limits_no_sending(void **state)
{
	const struct linger some = {.l_onoff = 1, .l_linger = 7};
	static const uint8_t bytes[3 * ELEMENT];
	const struct kept *timer;
	struct both b;

	(void)state;
	establish(&b);
	assert_int_equal(setsockopt(b.end.tcp, SOL_SOCKET, SO_LINGER, &some, sizeof(some)), 0);
	assert_int_equal(end_write(&b.end, bytes, sizeof(bytes)), sizeof(bytes));
	run(2);
	forget(world.t);
	say(&b.end, MARK_SHUT | MARK_CLOSED);
	end_close(&b.end);
	run(20);
	timer = find(world.t, PROTO_TIMER_START);
	assert_true(!timer || timer->action.number != 7000);
	end_free(&b.end);
}

static void a_reset_of_tcp_is_one_for_the_application(void **state)
{
	const struct linger now = {.l_onoff = 1};
	struct both b;

	(void)state;
	establish(&b);
	assert_int_equal(setsockopt(b.end.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close_once(&b.end.peer);
	eventually(stream_state(b.end.stand_in[0]) == ECONNRESET);
	finish(&b);
}

static void a_reset_of_tcp_before_it_is_smc_is_one_for_the_application(void **state)
{
	const struct linger now = {.l_onoff = 1};
	struct clc_message message;
	struct end end;

	(void)state;
	end_open(&end, RENDEZVOUS_CLIENT);
	eventually(peer_clc(&end, &message));
	assert_int_equal(setsockopt(end.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close_once(&end.peer);
	eventually(stream_state(end.stand_in[0]) == ECONNRESET);
	assert_int_equal(marks(&end), 0);
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static int kept_alive(const struct end *end)
{
	int on = -1;
	socklen_t size = sizeof(on);

	assert_int_equal(getsockopt(end->tcp, SOL_SOCKET, SO_KEEPALIVE, &on, &size), 0);
	return on;
}

static uint32_t noted(const struct end *end)
{
	return atomic_load(&end->control->direction[0].writer.keep_alive);
}

static void tcp_is_kept_alive_and_what_it_was_is_noted(void **state)
{
	const int on = 1;

	(void)state;
	for (int before = 0; before < 2; before++) {
		struct both b;

		propose(&b);
		if (before)
			assert_int_equal(
				setsockopt(b.end.tcp, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)),
				0);
		run(10);
		assert_int_equal(kept_alive(&b.end), before); /* it may become TCP */
		agree(&b);
		eventually(kept_alive(&b.end));
		eventually(noted(&b.end) == (before ? KEEP_ALIVE_ON : KEEP_ALIVE_OFF));
		finish(&b);
	}
}

static void what_the_application_has_noted_stays(void **state)
{
	struct both b;

	(void)state;
	propose(&b);
	atomic_store(&b.end.control->direction[0].writer.keep_alive, KEEP_ALIVE_ON);
	agree(&b);
	eventually(kept_alive(&b.end));
	assert_int_equal(noted(&b.end), KEEP_ALIVE_ON);
	finish(&b);
}

static void rubbish_instead_of_an_answer_resets_both_ends(void **state)
{
	struct clc_message message;
	struct end end;

	(void)state;
	end_open(&end, RENDEZVOUS_CLIENT);
	eventually(peer_clc(&end, &message));
	peer_says(&end, NULL, "HTTP/1.1 400 Bad Request");
	eventually(stream_state(end.stand_in[0]) == ECONNRESET);
	eventually(stream_state(end.peer) == ECONNRESET);
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static void spoil_and_expect_a_reset(void (*spoil)(struct segment_control *control))
{
	struct both b;

	establish(&b);
	peer_writes(&b, 0, "data");
	spoil(b.end.control);
	wake_daemon(&b.end);
	if (atomic_exchange(&b.end.control->direction[1].writer.wants_space, 0))
		send(b.end.space[0], "", 1, 0);
	eventually(stream_state(b.end.stand_in[0]) == ECONNRESET);
	eventually(has_said(CDC_ABNORMAL_CLOSE));
	finish(&b);
}

static void produced_far_ahead(struct segment_control *control)
{
	atomic_store(&control->direction[0].writer.produced, RING_BYTES + 1ULL);
}

static void lap_behind(struct segment_control *control)
{
	atomic_store(&control->direction[0].writer.lap, 5);
	atomic_store(&control->direction[0].writer.produced, 10);
	atomic_store(&control->direction[0].reader.consumed,
		     1ULL << 60); /* (ours: not looked at) */
}

static void consumed_ahead(struct segment_control *control)
{
	atomic_store(&control->direction[1].reader.consumed, 5);
}

static void a_wrong_cursor_is_a_reset(void **state)
{
	(void)state;
	spoil_and_expect_a_reset(produced_far_ahead);
	spoil_and_expect_a_reset(consumed_ahead);
}

/* Laps are another's word too: wrong ones lead to other bytes of the same ring, or to a reset. */
static void a_wrong_lap_leads_nowhere_else(void **state)
{
	struct remote_piece pieces[REMOTE_PIECES_MAX];
	struct both b;
	unsigned int count;

	(void)state;
	establish(&b);
	lap_behind(b.end.control);
	wake_daemon(&b.end);
	run(5);
	count = remote_find(b.remote, 0, 10, pieces);
	for (unsigned int i = 0; i < count; i++)
		assert_in_range(pieces[i].at + pieces[i].length - b.remote->map->send, 1,
				RING_BYTES);
	end_close(&b.end);
	end_free(&b.end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)
		TEST(what_is_written_is_sent_from_the_ring),
		TEST(what_was_written_early_is_sent_once_it_is_smc),
		TEST(every_byte_is_found_wherever_the_ring_goes),
		TEST(what_the_peer_writes_is_read),
		TEST(a_peer_that_fills_the_element_is_told_when_there_is_room),
		TEST(a_writer_is_woken_when_a_third_is_free),
		TEST(the_end_of_the_peers_stream_is_the_end_of_the_stand_ins),
		TEST(who_sends_to_a_peer_that_has_closed_is_reset),
		TEST(an_abort_of_the_peers_is_a_reset_behind_the_data),
		TEST(a_close_follows_what_was_written_and_ends_it),
		TEST(a_short_connection_ends_unwatched),
		TEST(what_could_wait_is_followed_by_another_turn),
		TEST(a_killed_application_has_closed),
		TEST(a_close_with_data_unread_is_abnormal),
		TEST(a_close_with_all_read_just_before_is_none),
		TEST(a_close_that_does_not_linger_aborts),
		TEST(a_time_to_linger_limits_no_sending),
		TEST(a_reset_of_tcp_is_one_for_the_application),
		TEST(a_reset_of_tcp_before_it_is_smc_is_one_for_the_application),
		TEST(tcp_is_kept_alive_and_what_it_was_is_noted),
		TEST(what_the_application_has_noted_stays),
		TEST(rubbish_instead_of_an_answer_resets_both_ends),
		TEST(a_wrong_cursor_is_a_reset),
		TEST(a_wrong_lap_leads_nowhere_else),
	};

	return run_both_ways(tests);
}
