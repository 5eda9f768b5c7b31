/* SPDX-License-Identifier: MIT */
/*
 * Data: what is written where, what CDC messages say, and what they do
 */
#include "proto.h"

#include <errno.h>

/**
 * struct pair - a connection of which the test is the peer
 * @base: its first CDC message on the link; complete() has been called since
 */
struct pair {
	struct tester *t;
	struct connection *connection;
	struct link *link;
};

static struct pair established(void)
{
	struct tester *t = tester_new();
	struct connection *connection = serve(t, 2);
	struct pair p = {t, connection, &connection->group->link};

	complete(t, p.link);
	forget(t);
	return p;
}

static void pair_end(struct pair *p)
{
	tester_end(p->t);
}

/* The peer has written up to @produced and read up to @consumed. */
static void peer_says(struct pair *p, uint64_t produced, uint64_t consumed, uint8_t flags)
{
	struct cdc_message message = peer_cdc(p->t, p->connection, produced, consumed);

	message.producer_flags = flags;
	give_cdc(p->link, &message);
}

static void assert_cursor(struct cdc_cursor cursor, unsigned int wrap, unsigned int offset)
{
	assert_int_equal(cursor.wrap, wrap);
	assert_int_equal(cursor.offset, offset);
}

static void data_is_written_before_the_message_that_says_so(void **state)
{
	struct pair p = established();
	const struct kept *write;
	struct cdc_message message;

	(void)state;
	assert_int_equal(connection_written(p.connection, 1000, false), 0);
	assert_int_equal(p.t->count, 2);
	write = &p.t->actions[0];
	assert_int_equal(write->action.type, PROTO_WRITE);
	assert_int_equal(write->action.position, 0);
	assert_int_equal(write->action.length, 1000);
	assert_int_equal(write->action.rkey, PEER_RKEY);
	assert_int_equal(write->action.address, PEER_ADDRESS);
	assert_int_equal(p.t->actions[1].action.type, PROTO_SEND);
	message = sent_cdc(p.t);
	assert_int_equal(message.sequence, 1);
	assert_int_equal(message.token, PEER_TOKEN);
	assert_cursor(message.producer, 0, 1000);
	assert_int_equal(message.producer_flags, 0);
	forget(p.t);
	complete(p.t, p.link);
	assert_int_equal(find(p.t, PROTO_RELEASED)->action.position, 1000);
	pair_end(&p);
}

static void a_later_element_is_written_behind_the_others(void **state)
{
	struct tester *t = tester_new();
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, true);
	struct llc_message response = peer_confirm_link(2, true);
	struct connection *connection = server_with(t, &proposal);

	(void)state;
	confirm.accept.r.element = 3;
	give_clc(connection, &confirm);
	tester_answer(t);
	give_llc(&connection->group->link, &response);
	connection_written(connection, 10, false);
	assert_int_equal(find(t, PROTO_WRITE)->action.address, PEER_ADDRESS + 2 * ELEMENT);
	tester_end(t);
}

static void what_fills_the_window_says_that_more_may_come(void **state)
{
	struct pair p = established();
	struct cdc_message message;

	(void)state;
	connection_written(p.connection, ELEMENT, false); /* exactly */
	message = sent_cdc(p.t);
	assert_cursor(message.producer, 1, 0);
	assert_int_equal(message.producer_flags, CDC_WRITE_BLOCKED);
	complete(p.t, p.link);
	forget(p.t);
	connection_written(p.connection, 2 * ELEMENT, false);
	assert_int_equal(p.t->count, 0); /* closed: not even a message */
	peer_says(&p, 0, 4096, 0);
	assert_int_equal(find(p.t, PROTO_WRITE)->action.length, 4096);
	assert_int_equal(find(p.t, PROTO_WRITE)->action.address, PEER_ADDRESS);
	message = sent_cdc(p.t);
	assert_cursor(message.producer, 1, 4096);
	assert_int_equal(message.producer_flags, CDC_WRITE_BLOCKED);
	pair_end(&p);
}

static void a_write_is_split_at_the_end_of_the_element(void **state)
{
	struct pair p = established();

	(void)state;
	connection_written(p.connection, 10000, false);
	complete(p.t, p.link);
	peer_says(&p, 0, 10000, 0);
	forget(p.t);
	connection_written(p.connection, 20000, false);
	assert_int_equal(count_of(p.t, PROTO_WRITE), 2);
	assert_int_equal(p.t->actions[0].action.length, ELEMENT - 10000);
	assert_int_equal(p.t->actions[0].action.address, PEER_ADDRESS + 10000);
	assert_int_equal(p.t->actions[1].action.position, ELEMENT);
	assert_int_equal(p.t->actions[1].action.length, 20000 - ELEMENT);
	assert_int_equal(p.t->actions[1].action.address, PEER_ADDRESS);
	assert_int_equal(count_cdc(p.t), 1); /* one message for both */
	pair_end(&p);
}

static void a_write_that_ends_at_the_end_is_one(void **state)
{
	struct pair p = established();

	(void)state;
	connection_written(p.connection, 10000, false);
	complete(p.t, p.link);
	peer_says(&p, 0, 10000, 0);
	forget(p.t);
	connection_written(p.connection, ELEMENT, false);
	assert_int_equal(count_of(p.t, PROTO_WRITE), 1);
	assert_cursor(sent_cdc(p.t).producer, 1, 0);
	complete(p.t, p.link);
	forget(p.t);
	connection_written(p.connection, ELEMENT + 1, false);
	assert_int_equal(find(p.t, PROTO_WRITE)->action.address, PEER_ADDRESS);
	pair_end(&p);
}

static void small_writes_wait_for_the_message_under_way(void **state)
{
	struct pair p = established();

	(void)state;
	connection_written(p.connection, 10, false); /* the first never waits */
	for (uint64_t i = 11; i < 100; i++)
		connection_written(p.connection, i, false);
	assert_int_equal(count_cdc(p.t), 1);
	forget(p.t);
	complete(p.t, p.link);
	assert_int_equal(find(p.t, PROTO_WRITE)->action.length, 89);
	/* Half a window is worth a message of its own. */
	connection_written(p.connection, 200, false);
	forget(p.t);
	connection_written(p.connection, 300 + ELEMENT / 2, false);
	assert_int_equal(count_cdc(p.t), 1);
	pair_end(&p);
}

static void a_message_without_room_is_sent_when_there_is(void **state)
{
	struct pair p = established();
	struct llc_message test = {.version = 2, .type = LLC_TEST_LINK};

	(void)state;
	for (unsigned int i = 0; i < PROTO_SENDS; i++)
		give_llc(p.link, &test);
	forget(p.t);
	connection_written(p.connection, 10, false);
	assert_null(find(p.t, PROTO_WRITE));
	complete(p.t, p.link);
	assert_int_equal(find(p.t, PROTO_WRITE)->action.length, 10);
	pair_end(&p);
}

static void some_room_is_kept_for_llc(void **state)
{
	struct pair p = established();

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		peer_says(&p, 0, 0, CDC_UPDATE_REQUESTED);
	assert_int_equal(count_cdc(p.t), PROTO_SENDS - PROTO_SENDS_RESERVED);
	pair_end(&p);
}

static void what_the_peer_wrote_is_readable(void **state)
{
	struct pair p = established();

	(void)state;
	peer_says(&p, ELEMENT, 0, 0);
	assert_int_equal(find(p.t, PROTO_READABLE)->action.position, ELEMENT);
	assert_int_equal(connection_read(p.connection, ELEMENT + 1), -EINVAL);
	assert_int_equal(connection_read(p.connection, 100), 0);
	assert_int_equal(connection_read(p.connection, 99), -EINVAL);
	pair_end(&p);
}

/* The limit of an element of 16384 bytes is CONNECTION_UPDATE_LEAST. */
static void the_peer_learns_what_was_read_when_it_is_worth_it(void **state)
{
	struct pair p = established();

	(void)state;
	peer_says(&p, 8000, 0, 0); /* more than half is free: no message, however much is read */
	connection_read(p.connection, 8000);
	assert_int_equal(count_cdc(p.t), 0);
	peer_says(&p, 8000 + 8192, 0, 0);
	assert_int_equal(count_cdc(p.t), 1); /* now it is worth it: 8000 unconfirmed */
	assert_cursor(sent_cdc(p.t).consumer, 0, 8000);
	complete(p.t, p.link);
	forget(p.t);
	connection_read(p.connection, 8000 + CONNECTION_UPDATE_LEAST);
	assert_int_equal(count_cdc(p.t), 0); /* not more than the limit */
	connection_read(p.connection, 8001 + CONNECTION_UPDATE_LEAST);
	assert_int_equal(count_cdc(p.t), 1);
	pair_end(&p);
}

static void a_blocked_peer_learns_it_although_half_is_free(void **state)
{
	struct pair p = established();

	(void)state;
	peer_says(&p, 5000, 0, CDC_WRITE_BLOCKED);
	connection_read(p.connection, 2304);
	assert_int_equal(count_cdc(p.t), 0);
	connection_read(p.connection, 2305);
	assert_int_equal(count_cdc(p.t), 1);
	complete(p.t, p.link);
	connection_read(p.connection, 5000); /* all: the peer is not blocked any more */
	assert_false(p.connection->peer_blocked);
	pair_end(&p);
}

static void a_full_window_that_is_read_is_always_told(void **state)
{
	struct pair p = established();

	(void)state;
	peer_says(&p, ELEMENT, 0, CDC_WRITE_BLOCKED);
	connection_read(p.connection, ELEMENT);
	assert_cursor(sent_cdc(p.t).consumer, 1, 0);
	pair_end(&p);
}

static void an_asked_for_cursor_is_told_at_once(void **state)
{
	struct pair p = established();

	(void)state;
	peer_says(&p, 10, 0, 0);
	connection_read(p.connection, 5);
	assert_int_equal(count_cdc(p.t), 0);
	peer_says(&p, 10, 0, CDC_UPDATE_REQUESTED);
	assert_cursor(sent_cdc(p.t).consumer, 0, 5);
	pair_end(&p);
}

static void data_brings_the_cursor_along(void **state)
{
	struct pair p = established();

	(void)state;
	peer_says(&p, 10, 0, 0);
	connection_read(p.connection, 7);
	connection_written(p.connection, 1, false);
	assert_cursor(sent_cdc(p.t).consumer, 0, 7);
	assert_int_equal(count_cdc(p.t), 1);
	pair_end(&p);
}

static void an_urgent_byte_is_the_last_of_its_message(void **state)
{
	struct pair p = established();

	(void)state;
	connection_written(p.connection, 4, true);
	assert_int_equal(sent_cdc(p.t).producer_flags, CDC_URGENT_PENDING | CDC_URGENT_PRESENT);
	complete(p.t, p.link);
	forget(p.t);
	connection_written(p.connection, 8, false);
	assert_int_equal(sent_cdc(p.t).producer_flags, 0); /* only once */
	pair_end(&p);
}

static void data_behind_an_urgent_byte_is_another_message(void **state)
{
	struct pair p = established();
	struct llc_message test = {.version = 2, .type = LLC_TEST_LINK};

	(void)state;
	for (unsigned int i = 0; i < PROTO_SENDS; i++)
		give_llc(p.link, &test);
	connection_written(p.connection, 4, true);
	connection_written(p.connection, 9, false);
	forget(p.t);
	complete(p.t, p.link);
	assert_int_equal(count_of(p.t, PROTO_WRITE), 2);
	assert_int_equal(p.t->actions[0].action.length, 4);
	assert_int_equal(find(p.t, PROTO_WRITE)->action.length, 5);
	pair_end(&p);
}

static void an_urgent_byte_is_announced_through_a_closed_window(void **state)
{
	struct pair p = established();

	(void)state;
	connection_written(p.connection, ELEMENT, false);
	complete(p.t, p.link);
	forget(p.t);
	connection_written(p.connection, ELEMENT + 4, true);
	assert_null(find(p.t, PROTO_WRITE));
	assert_int_equal(sent_cdc(p.t).producer_flags, CDC_WRITE_BLOCKED | CDC_URGENT_PENDING);
	complete(p.t, p.link);
	peer_says(&p, 0, ELEMENT, 0);
	assert_int_equal(sent_cdc(p.t).producer_flags, CDC_URGENT_PENDING | CDC_URGENT_PRESENT);
	pair_end(&p);
}

static void an_urgent_byte_of_the_peer_is_told(void **state)
{
	struct pair p = established();

	(void)state;
	peer_says(&p, 0, 0, CDC_URGENT_PENDING);
	peer_says(&p, 0, 0, CDC_URGENT_PENDING);
	assert_int_equal(count_of(p.t, PROTO_URGENT_PENDING), 1);
	peer_says(&p, 5, 0, CDC_URGENT_PENDING | CDC_URGENT_PRESENT);
	assert_int_equal(find(p.t, PROTO_URGENT)->action.position, 5);
	/* Nobody is to read past it unawares. */
	assert_true(find(p.t, PROTO_URGENT) < find(p.t, PROTO_READABLE));
	forget(p.t);
	connection_read(p.connection, 4);
	assert_int_equal(count_cdc(p.t), 0);
	connection_read(p.connection, 5); /* passing it is told, and counts it as read */
	assert_cursor(sent_cdc(p.t).consumer, 0, 5);
	pair_end(&p);
}

static void messages_that_come_before_the_confirm_count(void **state)
{
	struct tester *t = tester_new();
	struct connection *first = serve(t, 2), *connection;
	struct link *link = &first->group->link;
	struct clc_message proposal = peer_proposal(false, true);
	struct clc_message confirm = peer_side(t, CLC_CONFIRM, 2, false);
	struct llc_message answer;
	struct cdc_message message;

	(void)state;
	connection = server_with(t, &proposal);
	assert_true(sent_llc(t, LLC_CONFIRM_RKEY, &answer));
	answer.flags = LLC_RESPONSE;
	give_llc(link, &answer);
	complete(t, link);
	rkey_add(first->group, confirm.accept.r.rkey, confirm.accept.r.address);
	message = peer_cdc(t, connection, 50, 0);
	message.producer_flags = CDC_URGENT_PRESENT;
	give_cdc(link, &message);
	message = peer_cdc(t, connection, 70, 0);
	message.connection_flags = CDC_SENDING_DONE;
	forget(t);
	give_cdc(link, &message);
	assert_int_equal(t->count, 0);
	give_clc(connection, &confirm);
	assert_int_equal(t->actions[0].action.type, PROTO_TIMER_STOP);
	assert_int_equal(find(t, PROTO_READABLE)->action.position, 70);
	assert_int_equal(find(t, PROTO_URGENT)->action.position, 50);
	assert_int_equal(find(t, PROTO_ENDED)->action.position, 70);
	assert_int_equal(connection->state, CONNECTION_APP_CLOSE_WAIT_1);
	tester_end(t);
}

static void what_was_written_before_the_end_of_the_rendezvous_is_sent(void **state)
{
	struct tester *t = tester_new();
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, true);
	struct llc_message request = peer_confirm_link(2, false);
	struct connection *connection = start(t, PROTO_CLIENT);

	(void)state;
	assert_int_equal(connection_written(connection, 300, false), 0);
	give_clc(connection, &accept);
	tester_answer(t);
	give_llc(&connection->group->link, &request);
	tester_answer(t);
	assert_null(find(t, PROTO_WRITE));
	complete(t, &connection->group->link);
	assert_int_equal(find(t, PROTO_WRITE)->action.length, 300);
	tester_end(t);
}

/* What no honest peer sends ends the connection, and nothing else. */
static void impossible_cursors_abort(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct pair p = established();
		struct cdc_message message;

		connection_written(p.connection, 100, false);
		complete(p.t, p.link);
		message = peer_cdc(p.t, p.connection, 10, 10);
		if (i == 0)
			message.producer.offset = ELEMENT;
		else if (i == 1)
			message.producer.wrap = 1; /* more than the window */
		else if (i == 2)
			message.consumer.offset = 101; /* more than was sent */
		else
			message.consumer.offset = UINT32_MAX;
		forget(p.t);
		give_cdc(p.link, &message);
		assert_int_equal(find(p.t, PROTO_RESET)->action.number, EPROTO);
		assert_non_null(find(p.t, PROTO_TCP_RESET));
		assert_int_equal(sent_cdc(p.t).connection_flags, CDC_ABNORMAL_CLOSE);
		assert_null(find(p.t, PROTO_LINK_DESTROY));
		pair_end(&p);
	}
}

static void old_messages_and_old_cursors_change_nothing(void **state)
{
	struct pair p = established();
	struct cdc_message message;

	(void)state;
	peer_says(&p, 500, 0, 0);
	peer_says(&p, 600, 0, 0);
	forget(p.t);
	message = peer_cdc(p.t, p.connection, 700, 0);
	message.sequence = 1; /* overtaken */
	give_cdc(p.link, &message);
	assert_int_equal(p.t->count, 0);
	p.t->sequence = 2;
	peer_says(&p, 400, 0, 0); /* new, with an old cursor */
	assert_int_equal(p.connection->produced, 600);
	peer_says(&p, 650, 0, 0);
	assert_int_equal(p.connection->produced, 650);
	pair_end(&p);
}

static void the_sequence_wraps(void **state)
{
	struct pair p = established();

	(void)state;
	p.connection->received_sequence = 0xfffe;
	p.t->sequence = 0xfffe;
	peer_says(&p, 1, 0, 0);
	peer_says(&p, 2, 0, 0); /* 0 */
	peer_says(&p, 3, 0, 0);
	assert_int_equal(p.connection->produced, 3);
	assert_int_equal(p.connection->received_sequence, 1);
	pair_end(&p);
}

static void a_failover_that_lost_messages_aborts(void **state)
{
	struct pair p = established();
	struct cdc_message message;

	(void)state;
	peer_says(&p, 5, 0, 0);
	message = (struct cdc_message){.sequence = 1,
				       .token = p.connection->token,
				       .producer_flags = CDC_FAILOVER_VALIDATION};
	give_cdc(p.link, &message); /* cursors of 0 do not count */
	assert_int_equal(p.connection->state, CONNECTION_ACTIVE);
	message.sequence = 2;
	give_cdc(p.link, &message);
	assert_int_equal(find(p.t, PROTO_RESET)->action.number, ECONNABORTED);
	pair_end(&p);
}

static void an_unknown_token_is_dropped(void **state)
{
	struct pair p = established();
	struct cdc_message message = peer_cdc(p.t, p.connection, 5, 0);

	(void)state;
	message.token += 0x100; /* the same slot */
	give_cdc(p.link, &message);
	message.token = 0xffffffff;
	give_cdc(p.link, &message);
	link_received(p.link, "\xfe\x2c", 2);
	assert_int_equal(p.t->count, 0);
	pair_end(&p);
}

static void a_connection_writes_nothing_more_once_it_is_shut(void **state)
{
	struct pair p = established();

	(void)state;
	assert_int_equal(connection_written(p.connection, 10, false), 0);
	assert_int_equal(connection_written(p.connection, 9, false), -EINVAL);
	connection_shut_down(p.connection);
	assert_int_equal(connection_written(p.connection, 11, false), -EPIPE);
	pair_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_is_written_before_the_message_that_says_so),
		cmocka_unit_test(a_later_element_is_written_behind_the_others),
		cmocka_unit_test(what_fills_the_window_says_that_more_may_come),
		cmocka_unit_test(a_write_is_split_at_the_end_of_the_element),
		cmocka_unit_test(a_write_that_ends_at_the_end_is_one),
		cmocka_unit_test(small_writes_wait_for_the_message_under_way),
		cmocka_unit_test(a_message_without_room_is_sent_when_there_is),
		cmocka_unit_test(some_room_is_kept_for_llc),
		cmocka_unit_test(what_the_peer_wrote_is_readable),
		cmocka_unit_test(the_peer_learns_what_was_read_when_it_is_worth_it),
		cmocka_unit_test(a_blocked_peer_learns_it_although_half_is_free),
		cmocka_unit_test(a_full_window_that_is_read_is_always_told),
		cmocka_unit_test(an_asked_for_cursor_is_told_at_once),
		cmocka_unit_test(data_brings_the_cursor_along),
		cmocka_unit_test(an_urgent_byte_is_the_last_of_its_message),
		cmocka_unit_test(data_behind_an_urgent_byte_is_another_message),
		cmocka_unit_test(an_urgent_byte_is_announced_through_a_closed_window),
		cmocka_unit_test(an_urgent_byte_of_the_peer_is_told),
		cmocka_unit_test(messages_that_come_before_the_confirm_count),
		cmocka_unit_test(what_was_written_before_the_end_of_the_rendezvous_is_sent),
		cmocka_unit_test(impossible_cursors_abort),
		cmocka_unit_test(old_messages_and_old_cursors_change_nothing),
		cmocka_unit_test(the_sequence_wraps),
		cmocka_unit_test(a_failover_that_lost_messages_aborts),
		cmocka_unit_test(an_unknown_token_is_dropped),
		cmocka_unit_test(a_connection_writes_nothing_more_once_it_is_shut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
