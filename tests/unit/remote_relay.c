/* SPDX-License-Identifier: MIT */
/*
 * Falling back: what an application wrote early arrives by TCP, whole and in order, and TCP is its own again
 */
#include "remote.h"

#define STREAM (RING_BYTES + 100000U)

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

/* Read @end's peer up to @length bytes of the pattern, beginning with byte @at; how many came. */
static size_t check_stream(struct end *end, size_t at)
{
	static uint8_t bytes[65536];
	ssize_t n = recv(end->peer, bytes, sizeof(bytes), MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(bytes[i], pattern(at + (size_t)i));
	return n > 0 ? (size_t)n : 0;
}

/* A client whose peer has not answered the Proposal yet. */
static void propose(struct end *end)
{
	struct clc_message message;

	end_open(end, RENDEZVOUS_CLIENT);
	eventually(peer_clc(end, &message));
	assert_int_equal(message.type, CLC_PROPOSAL);
}

static void decline(struct end *end, const char *text)
{
	struct clc_message message = peer_decline(2, CLC_NO_DEVICE);

	peer_says(end, &message, text);
}

/* A server that declines: the Proposal is one that it cannot follow. */
static void refuse(struct end *end)
{
	struct clc_message message = peer_proposal(false, true);

	memset(message.proposal.v2.eids[0], 'x', CLC_EID_SIZE);
	end_open(end, RENDEZVOUS_SERVER);
	peer_says(end, &message, "");
	eventually(peer_clc(end, &message));
	assert_int_equal(message.type, CLC_DECLINE);
}

static void what_was_written_early_arrives_by_tcp_and_the_rest_is_the_applications(void **state)
{
	static uint8_t bytes[STREAM];
	size_t written, arrived = 0;
	struct end end;

	(void)state;
	for (size_t i = 0; i < STREAM; i++)
		bytes[i] = pattern(i);
	propose(&end);
	written = end_write(&end, bytes, STREAM);
	assert_int_equal(written, RING_BYTES); /* it is full */
	run(3);
	assert_int_equal(marks(&end), 0);
	decline(&end, "");
	eventually(marks(&end) & MARK_BACK);
	assert_int_equal(marks(&end), MARK_DECLINED | MARK_BACK);
	eventually((arrived += check_stream(&end, arrived)) == written && ring_is_empty(&end));
	/* Now the application sends by itself. */
	while (written < STREAM) {
		ssize_t n = send(end.tcp, bytes + written, STREAM - written, MSG_DONTWAIT);

		written += n > 0 ? (size_t)n : 0;
		arrived += check_stream(&end, arrived);
	}
	eventually((arrived += check_stream(&end, arrived)) == STREAM);
	eventually(world.apps.remotes.count == 0);
	assert_int_equal(stream_state(end.tcp), 0);
	end_free(&end);
}

static void an_urgent_byte_written_early_is_urgent_by_tcp(void **state)
{
	char got[16] = "", byte = 0;
	struct end end;

	(void)state;
	propose(&end);
	assert_int_equal(end_write(&end, "before!", 7), 7);
	atomic_store(&end.control->direction[0].writer.urgent, 7);
	assert_int_equal(end_write(&end, "behind", 6), 6);
	run(3);
	decline(&end, "");
	eventually(marks(&end) & MARK_BACK && ring_is_empty(&end));
	eventually(recv(end.peer, &byte, 1, MSG_OOB | MSG_DONTWAIT) == 1);
	assert_int_equal(byte, '!');
	assert_int_equal(recv(end.peer, got, sizeof(got), MSG_DONTWAIT), 6);
	assert_memory_equal(got, "before", 6);
	expect_text(end.peer, "behind");
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static void the_answer_to_the_proposal_never_reaches_the_application(void **state)
{
	struct end end;

	(void)state;
	propose(&end);
	decline(&end, "hello");
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "hello");
	eventually(world.apps.remotes.count == 0);
	assert_int_equal(stream_state(end.tcp), 0);
	end_free(&end);
}

static void a_decline_in_pieces_leaves_what_follows_it(void **state)
{
	struct clc_message message = peer_decline(2, CLC_NO_DEVICE);
	uint8_t bytes[CLC_LENGTH_MAX];
	int length = clc_encode(&message, bytes, sizeof(bytes));
	struct end end;

	(void)state;
	propose(&end);
	for (int i = 0; i < length; i++) {
		assert_int_equal(send(end.peer, bytes + i, 1, 0), 1);
		run(2);
	}
	assert_int_equal(send(end.peer, "!", 1, 0), 1);
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "!");
	end_free(&end);
}

static uint64_t length_of(struct clc_message message)
{
	uint8_t bytes[CLC_LENGTH_MAX];

	return (uint64_t)clc_encode(&message, bytes, sizeof(bytes));
}

/* A peer that gave up at the same time has sent its Decline before it knew of ours. */
static void a_late_message_is_dropped_in_front_of_the_applications_data(void **state)
{
	struct clc_message late = peer_decline(2, CLC_TIMEOUT_CONFIRM_LINK);
	struct end end;

	(void)state;
	refuse(&end);
	run(20);
	assert_int_equal(marks(&end), MARK_DECLINED);
	peer_says(&end, &late, "");
	run(20);
	assert_int_equal(marks(&end), MARK_DECLINED);
	peer_says(&end, &late, "data");
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "data");
	/* The kernel has counted these as well: the shim wants to know. */
	assert_int_equal(end.control->negotiated[0], length_of(late));
	assert_int_equal(end.control->negotiated[1],
			 length_of(peer_proposal(false, true)) + 2 * length_of(late));
	end_free(&end);
}

static void a_server_that_speaks_first_is_heard_while_a_late_message_may_come(void **state)
{
	struct end end;

	(void)state;
	refuse(&end);
	assert_int_equal(end_write(&end, "220 ready", 9), 9);
	expect_text(end.peer, "220 ready");
	assert_int_equal(marks(&end), MARK_DECLINED);
	peer_says(&end, NULL, "EHLO");
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "EHLO");
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static void a_peer_that_speaks_no_smc_is_served_by_tcp(void **state)
{
	struct end end;

	(void)state;
	end_open(&end, RENDEZVOUS_SERVER);
	assert_int_equal(end_write(&end, "early", 5), 5);
	peer_says(&end, NULL, "GET / HTTP/1.1");
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "GET / HTTP/1.1");
	expect_text(end.peer, "early");
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static void a_writer_that_was_inside_is_waited_for(void **state)
{
	struct end end;

	(void)state;
	propose(&end);
	atomic_store(&end.control->direction[0].busy.inside, 1);
	decline(&end, "");
	eventually(marks(&end) & MARK_BACK);
	run(100);
	assert_int_equal(world.apps.remotes.count, 1);
	assert_int_equal(end_write(&end, "last words", 10), 10);
	atomic_store(&end.control->direction[0].busy.inside, 0);
	expect_text(end.peer, "last words");
	eventually(world.apps.remotes.count == 0);
	assert_true(ring_is_empty(&end));
	end_free(&end);
}

static void who_waits_for_the_ring_to_become_empty_is_woken(void **state)
{
	struct end end;
	char byte;

	(void)state;
	propose(&end);
	atomic_store(&end.control->direction[0].busy.inside, 1);
	decline(&end, "");
	eventually(marks(&end) & MARK_BACK);
	atomic_store(&end.control->direction[0].writer.wants_space, 1);
	assert_int_equal(end_write(&end, "x", 1), 1);
	expect_text(end.peer, "x");
	eventually(!atomic_load(&end.control->direction[0].writer.wants_space));
	assert_int_equal(recv(end.space[0], &byte, 1, MSG_DONTWAIT), 1);
	atomic_store(&end.control->direction[0].busy.inside, 0);
	end_free(&end);
}

static void who_sleeps_for_data_learns_that_it_is_tcp(void **state)
{
	struct pollfd bell;
	struct end end;

	(void)state;
	propose(&end);
	atomic_store(&end.control->direction[1].armed.wants_data, 1);
	decline(&end, "");
	bell = (struct pollfd){.fd = end.data[0], .events = POLLIN};
	eventually(poll(&bell, 1, 0) == 1 && bell.revents == POLLIN);
	assert_true(marks(&end) & MARK_BACK);
	end_free(&end);
}

static void a_shutdown_meanwhile_follows_the_data(void **state)
{
	struct end end;

	(void)state;
	propose(&end);
	assert_int_equal(end_write(&end, "all", 3), 3);
	say(&end, MARK_SHUT);
	assert_int_equal(shutdown(end.stand_in[0], SHUT_WR), 0);
	run(5);
	decline(&end, "answer");
	expect_text(end.peer, "all");
	eventually(stream_state(end.peer) == EOF);
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "answer"); /* the other way goes on */
	assert_int_equal(stream_state(end.tcp), 0);
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static void a_close_meanwhile_follows_the_data(void **state)
{
	struct end end;

	(void)state;
	propose(&end);
	assert_int_equal(end_write(&end, "all", 3), 3);
	say(&end, MARK_SHUT | MARK_CLOSED);
	end_close(&end);
	run(5);
	decline(&end, "");
	expect_text(end.peer, "all");
	eventually(stream_state(end.peer) == EOF);
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static void what_a_killed_application_wrote_arrives_while_a_late_message_may_come(void **state)
{
	struct end end;

	(void)state;
	refuse(&end);
	assert_int_equal(end_write(&end, "all", 3), 3);
	end_close(&end);
	expect_text(end.peer, "all");
	eventually(stream_state(end.peer) == EOF);
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static void a_close_that_does_not_linger_throws_the_data_away(void **state)
{
	const struct linger now = {.l_onoff = 1};
	struct end end;

	(void)state;
	refuse(&end);
	assert_int_equal(setsockopt(end.tcp, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	say(&end, MARK_SHUT | MARK_CLOSED);
	end_close(&end);
	eventually(stream_state(end.peer) == ECONNRESET);
	end_free(&end);
}

static void a_reset_with_bytes_in_the_ring_is_the_applications(void **state)
{
	static const uint8_t bytes[RING_BYTES];
	const struct linger now = {.l_onoff = 1};
	int small = 4096;
	struct end end;

	(void)state;
	end_make(&end, RENDEZVOUS_CLIENT);
	setsockopt(end.tcp, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(end.peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	end_send(&end, world.session);
	assert_int_equal(end_write(&end, bytes, sizeof(bytes)), sizeof(bytes));
	decline(&end, "");
	eventually(marks(&end) & MARK_BACK);
	run(20);
	assert_false(ring_is_empty(&end));
	assert_int_equal(setsockopt(end.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close_once(&end.peer);
	eventually(stream_state(end.stand_in[0]) == ECONNRESET);
	eventually(world.apps.remotes.count == 0);
	assert_false(ring_is_empty(&end));
	end_free(&end);
}

static void a_reset_with_an_empty_ring_is_left_on_the_socket(void **state)
{
	const struct linger now = {.l_onoff = 1};
	struct end end;

	(void)state;
	refuse(&end);
	assert_int_equal(setsockopt(end.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close_once(&end.peer);
	eventually(marks(&end) & MARK_BACK || stream_state(end.stand_in[0]) == ECONNRESET);
	if (marks(&end) & MARK_BACK)
		assert_int_equal(stream_state(end.tcp), ECONNRESET);
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

static void the_end_of_the_session_changes_nothing(void **state)
{
	struct end end;

	(void)state;
	propose(&end);
	assert_int_equal(end_write(&end, "all", 3), 3);
	close(world.session);
	eventually(world.apps.session_count == 0);
	decline(&end, "hello");
	expect_text(end.peer, "all");
	expect_text(end.tcp, "hello");
	eventually(world.apps.remotes.count == 0);
	world.session = session_open();
	end_free(&end);
}

static void a_bad_cursor_resets_both_ends(void **state)
{
	struct end end;

	(void)state;
	refuse(&end);
	atomic_store(&end.control->direction[0].writer.produced, 1ULL << 40);
	wake_daemon(&end);
	eventually(stream_state(end.stand_in[0]) == ECONNRESET);
	eventually(stream_state(end.peer) == ECONNRESET);
	eventually(world.apps.remotes.count == 0);
	end_free(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)
		TEST(what_was_written_early_arrives_by_tcp_and_the_rest_is_the_applications),
		TEST(an_urgent_byte_written_early_is_urgent_by_tcp),
		TEST(the_answer_to_the_proposal_never_reaches_the_application),
		TEST(a_decline_in_pieces_leaves_what_follows_it),
		TEST(a_late_message_is_dropped_in_front_of_the_applications_data),
		TEST(a_server_that_speaks_first_is_heard_while_a_late_message_may_come),
		TEST(a_peer_that_speaks_no_smc_is_served_by_tcp),
		TEST(a_writer_that_was_inside_is_waited_for),
		TEST(who_waits_for_the_ring_to_become_empty_is_woken),
		TEST(who_sleeps_for_data_learns_that_it_is_tcp),
		TEST(a_shutdown_meanwhile_follows_the_data),
		TEST(a_close_meanwhile_follows_the_data),
		TEST(what_a_killed_application_wrote_arrives_while_a_late_message_may_come),
		TEST(a_close_that_does_not_linger_throws_the_data_away),
		TEST(a_reset_with_bytes_in_the_ring_is_the_applications),
		TEST(a_reset_with_an_empty_ring_is_left_on_the_socket),
		TEST(the_end_of_the_session_changes_nothing),
		TEST(a_bad_cursor_resets_both_ends),
	};

	return run_both_ways(tests);
}
