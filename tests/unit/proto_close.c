/* SPDX-License-Identifier: MIT */
/*
 * The close: every arrow of its state machine, what goes out, and what the application learns
 *
 * A case is a row of letters, one for each thing that happens:
 *   D C A  a CDC message of the peer with that flag (flags stay set)
 *   s c x  the application shuts down for writing, closes, aborts
 *   w      it writes more than the window takes     k  the peer reads all that was sent
 *   d      the peer writes, and nobody reads        r  the application reads all
 *   g      the link is lost                         t  the connection's timer expires
 *   R      RST on TCP                               T  TCP times out: the link is tested
 * All our messages are complete after each of them.
 */
#include "proto.h"

#include <errno.h>

#define D CDC_SENDING_DONE
#define C CDC_CLOSED
#define A CDC_ABNORMAL_CLOSE

/**
 * struct play - a case under way
 * @flags: of the peer so far
 * @produced, @consumed: by the peer
 * @gone: PROTO_GONE came
 */
struct play {
	struct tester *t;
	struct connection *connection;
	struct link_group *group;
	uint8_t flags;
	uint64_t produced;
	uint64_t consumed;
	bool gone;
};

static void peer_says(struct play *p, uint8_t flag)
{
	struct cdc_message message;

	p->flags |= flag;
	message = peer_cdc(p->t, p->connection, p->produced, p->consumed);
	message.connection_flags = p->flags;
	give_cdc(&p->group->link, &message);
}

static void play_one(struct play *p, char what)
{
	struct connection *connection = p->connection;

	switch (what) {
	case 'D':
		peer_says(p, D);
		break;
	case 'C':
		peer_says(p, C);
		break;
	case 'A':
		peer_says(p, A);
		break;
	case 's':
		connection_shut_down(connection);
		break;
	case 'c':
		connection_close(connection, CONNECTION_NO_LINGER);
		break;
	case 'l':
		connection_close(connection, 500);
		break;
	case 'x':
		connection_abort(connection);
		break;
	case 'w':
		connection_written(connection, connection->written + ELEMENT + 1, false);
		break;
	case 'k':
		p->consumed = connection->sent;
		peer_says(p, 0);
		break;
	case 'd':
		p->produced += 100;
		peer_says(p, 0);
		break;
	case 'r':
		connection_read(connection, connection->produced);
		break;
	case 'g':
		link_failed(&p->group->link);
		break;
	case 't':
		assert_true(connection->limit.running);
		proto_timer_expired(&p->t->host, &connection->limit);
		break;
	case 'T':
		connection_tcp_timed_out(connection);
		break;
	default:
		connection_tcp_reset(connection);
	}
}

static struct play play(const char *events)
{
	struct play p = {.t = tester_new()};

	p.connection = serve(p.t, 2);
	p.group = p.connection->group;
	complete(p.t, &p.group->link);
	forget(p.t);
	for (; *events; events++) {
		assert_false(p.gone); /* nothing can happen to what is gone */
		play_one(&p, *events);
		if (*events != 'g')
			complete(p.t, &p.group->link);
		p.gone = find(p.t, PROTO_GONE);
	}
	return p;
}

/**
 * struct row - a case and what must come of it
 * @state: afterwards; CONNECTION_CLOSED if it is gone
 * @sent: connection flags of our last CDC message; 0 also if there was none
 */
struct row {
	const char *events;
	enum connection_state state;
	uint8_t sent;
	bool gone;
};

static const struct row rows[] = {
	{"", CONNECTION_ACTIVE, 0, false},
	/* ACTIVE */
	{"c", CONNECTION_PEER_CLOSE_WAIT_1, C, false},
	{"dc", CONNECTION_PEER_CLOSE_WAIT_1, A, false},
	{"drc", CONNECTION_PEER_CLOSE_WAIT_1, C, false},
	{"s", CONNECTION_PEER_CLOSE_WAIT_1, D, false},
	{"D", CONNECTION_APP_CLOSE_WAIT_1, 0, false},
	{"C", CONNECTION_APP_CLOSE_WAIT_1, 0, false},
	{"A", CONNECTION_PROCESS_ABORT, 0, false},
	{"x", CONNECTION_PEER_ABORT_WAIT, A, false},
	{"g", CONNECTION_CLOSED, 0, false},
	{"gc", CONNECTION_CLOSED, 0, true},
	{"R", CONNECTION_PEER_ABORT_WAIT, A, false},
	{"T", CONNECTION_ACTIVE, 0, false},
	/* It flushes before it closes. */
	{"wc", CONNECTION_ACTIVE, 0, false},
	{"wck", CONNECTION_PEER_CLOSE_WAIT_1, C, false},
	{"ws", CONNECTION_ACTIVE, 0, false},
	{"wsk", CONNECTION_PEER_CLOSE_WAIT_1, D, false},
	{"wsck", CONNECTION_PEER_CLOSE_WAIT_1, C, false},
	{"wcC", CONNECTION_CLOSED, C, true},
	{"wcA", CONNECTION_CLOSED, A, true},
	{"wcDk", CONNECTION_PEER_FIN_CLOSE_WAIT, C, false},
	{"wlt", CONNECTION_PEER_CLOSE_WAIT_1, A, false},
	{"wdct", CONNECTION_PEER_CLOSE_WAIT_1, A, false},
	{"wcdt", CONNECTION_PEER_CLOSE_WAIT_1, A, false},
	/* PEER_CLOSE_WAIT_1 */
	{"sc", CONNECTION_PEER_CLOSE_WAIT_1, D | C, false},
	{"sD", CONNECTION_PEER_CLOSE_WAIT_2, D, false},
	{"sC", CONNECTION_APP_FIN_CLOSE_WAIT, D, false},
	{"cC", CONNECTION_CLOSED, C, true},
	{"cA", CONNECTION_CLOSED, C, true},
	{"sA", CONNECTION_CLOSED, D | A, false},
	{"sAc", CONNECTION_CLOSED, D | A, true},
	{"sg", CONNECTION_CLOSED, D, false},
	{"cg", CONNECTION_CLOSED, C, true},
	{"dcA", CONNECTION_CLOSED, A, true},
	{"dcC", CONNECTION_CLOSED, A, true},
	{"dct", CONNECTION_CLOSED, A, true},
	{"sR", CONNECTION_PEER_ABORT_WAIT, D | A, false},
	{"cR", CONNECTION_CLOSED, C, true},
	{"ct", CONNECTION_CLOSED, C, true},
	{"sct", CONNECTION_CLOSED, D | C, true},
	{"wckt", CONNECTION_CLOSED, C, true},
	{"cT", CONNECTION_PEER_CLOSE_WAIT_1, C, false},
	{"cTC", CONNECTION_CLOSED, C, true},
	{"wcR", CONNECTION_PEER_ABORT_WAIT, A, false},
	/* PEER_CLOSE_WAIT_2 */
	{"sDc", CONNECTION_PEER_CLOSE_WAIT_2, D | C, false},
	{"sDC", CONNECTION_APP_FIN_CLOSE_WAIT, D, false},
	{"sDcC", CONNECTION_CLOSED, D | C, true},
	{"sDct", CONNECTION_CLOSED, D | C, true},
	{"sDA", CONNECTION_CLOSED, D | A, false},
	{"sDg", CONNECTION_CLOSED, D, false},
	/* APP_CLOSE_WAIT_1 */
	{"Dc", CONNECTION_PEER_FIN_CLOSE_WAIT, C, false},
	{"Cc", CONNECTION_CLOSED, C, true},
	{"Ds", CONNECTION_APP_CLOSE_WAIT_2, D, false},
	{"Cs", CONNECTION_APP_CLOSE_WAIT_2, D, false},
	{"DC", CONNECTION_APP_CLOSE_WAIT_1, 0, false},
	{"CR", CONNECTION_APP_CLOSE_WAIT_1, 0, false},
	{"DCc", CONNECTION_CLOSED, C, true},
	{"DA", CONNECTION_PROCESS_ABORT, 0, false},
	{"Dg", CONNECTION_CLOSED, 0, false},
	{"Dwc", CONNECTION_APP_CLOSE_WAIT_1, 0, false},
	{"Dwck", CONNECTION_PEER_FIN_CLOSE_WAIT, C, false},
	{"DwcC", CONNECTION_CLOSED, C, true},
	{"Cwc", CONNECTION_CLOSED, C, true},
	/* APP_CLOSE_WAIT_2 */
	{"Dsc", CONNECTION_PEER_FIN_CLOSE_WAIT, D | C, false},
	{"Dsct", CONNECTION_CLOSED, D | C, true},
	{"DsC", CONNECTION_APP_CLOSE_WAIT_2, D, false},
	{"DsCc", CONNECTION_CLOSED, D | C, true},
	{"DsA", CONNECTION_CLOSED, D | A, false},
	{"Dsg", CONNECTION_CLOSED, D, false},
	/* APP_FIN_CLOSE_WAIT */
	{"sCc", CONNECTION_CLOSED, D | C, true},
	{"sCA", CONNECTION_PROCESS_ABORT, D, false},
	{"sCg", CONNECTION_CLOSED, D, false},
	/* PEER_FIN_CLOSE_WAIT */
	{"DcC", CONNECTION_CLOSED, C, true},
	{"DcA", CONNECTION_CLOSED, C, true},
	{"Dcg", CONNECTION_CLOSED, C, true},
	/* PROCESS_ABORT */
	{"Ac", CONNECTION_CLOSED, A, true},
	{"Ag", CONNECTION_CLOSED, 0, false},
	{"As", CONNECTION_PROCESS_ABORT, 0, false},
	/* PEER_ABORT_WAIT */
	{"xA", CONNECTION_CLOSED, A, true},
	{"xC", CONNECTION_CLOSED, A, true},
	{"xt", CONNECTION_CLOSED, A, true},
	{"xg", CONNECTION_CLOSED, A, true},
	{"gx", CONNECTION_CLOSED, 0, true},
	{"Rc", CONNECTION_PEER_ABORT_WAIT, A, false},
	{"RcA", CONNECTION_CLOSED, A, true},
	{"Rtc", CONNECTION_CLOSED, A, true},
	/* (without a link group there is nobody to ask) */
	{"gT", CONNECTION_CLOSED, 0, false},
	{"gTc", CONNECTION_CLOSED, 0, true},
	{"wx", CONNECTION_PEER_ABORT_WAIT, A, false},
	{"Ax", CONNECTION_CLOSED, A, true},
};

static void each_arrow_leads_to_its_state(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct play p = play(row->events);
		enum connection_state now = p.gone ? CONNECTION_CLOSED : p.connection->state;
		uint8_t sent = count_cdc(p.t) ? sent_cdc(p.t).connection_flags : 0;

		if (now != row->state || sent != row->sent || p.gone != row->gone)
			fail_msg("%s: state %d, flags %02x, gone %d", row->events, now, sent,
				 p.gone);
		tester_end(p.t);
	}
}

static void flags_are_repeated(void **state)
{
	struct play p = play("s");

	(void)state;
	peer_says(&p, 0);
	forget(p.t);
	p.produced = ELEMENT;
	peer_says(&p, 0);
	connection_read(p.connection, ELEMENT);
	assert_int_equal(sent_cdc(p.t).connection_flags, D);
	tester_end(p.t);
}

static void data_comes_before_the_end_of_it(void **state)
{
	struct play p = play("");
	struct cdc_message message = peer_cdc(p.t, p.connection, 30, 0);

	(void)state;
	message.connection_flags = D | C; /* the last data, and both flags, in one message */
	give_cdc(&p.group->link, &message);
	assert_int_equal(p.t->actions[0].action.type, PROTO_READABLE);
	assert_int_equal(p.t->actions[0].action.position, 30);
	assert_int_equal(find(p.t, PROTO_ENDED)->action.position, 30);
	assert_int_equal(find(p.t, PROTO_ENDED)->action.number, D | C);
	assert_int_equal(p.connection->state, CONNECTION_APP_CLOSE_WAIT_1);
	tester_end(p.t);
}

static void both_flags_at_once_end_a_half_closed_connection(void **state)
{
	struct play p = play("sc");
	struct cdc_message message = peer_cdc(p.t, p.connection, 0, 0);

	(void)state;
	message.connection_flags = D | C;
	give_cdc(&p.group->link, &message);
	assert_non_null(find(p.t, PROTO_GONE));
	tester_end(p.t);
}

static void a_half_closed_connection_still_receives(void **state)
{
	struct play p = play("sd");

	(void)state;
	assert_int_equal(find(p.t, PROTO_READABLE)->action.position, 100);
	assert_int_equal(connection_read(p.connection, 100), 0);
	tester_end(p.t);
}

static void tcp_ends_as_the_application_ended_it(void **state)
{
	/* What happened, and what TCP sees of it. */
	static const struct {
		const char *events;
		enum proto_action_type tcp;
	} cases[] = {
		{"s", PROTO_TCP_SHUT_DOWN_WRITE}, {"c", PROTO_TCP_SHUT_DOWN},
		{"dc", PROTO_TCP_SHUT_DOWN},	  {"x", PROTO_TCP_RESET},
		{"g", PROTO_TCP_RESET},		  {"Ac", PROTO_TCP_SHUT_DOWN},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct play p = play(cases[i].events);

		assert_int_equal(count_of(p.t, PROTO_TCP_SHUT_DOWN_WRITE) +
					 count_of(p.t, PROTO_TCP_SHUT_DOWN) +
					 count_of(p.t, PROTO_TCP_RESET),
				 1);
		assert_non_null(find(p.t, cases[i].tcp));
		tester_end(p.t);
	}
}

static void no_fin_overtakes_the_last_message(void **state)
{
	struct play p = play("");

	(void)state;
	connection_written(p.connection, 10, false);
	connection_close(p.connection, CONNECTION_NO_LINGER);
	assert_int_equal(sent_cdc(p.t).connection_flags, C);
	assert_null(find(p.t, PROTO_TCP_SHUT_DOWN));
	complete(p.t, &p.group->link);
	assert_non_null(find(p.t, PROTO_TCP_SHUT_DOWN));
	tester_end(p.t);
}

static void a_lost_link_is_no_error_for_what_was_over(void **state)
{
	static const char *const over[] = {"sCg", "DCg", "cg", "Dcg"};
	static const char *const not_over[] = {"g", "sg", "Dg", "wcg", "Cg"};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct play p = play(over[i]);

		/* The peer's C alone is not enough: our own last word is missing. */
		assert_int_equal(find(p.t, PROTO_RESET) != NULL, i == 1);
		tester_end(p.t);
	}
	for (unsigned int i = 0; i < 5; i++) {
		struct play p = play(not_over[i]);

		assert_int_equal(find(p.t, PROTO_RESET)->action.number, ECONNABORTED);
		tester_end(p.t);
	}
}

static void the_link_decides_where_tcp_has_timed_out(void **state)
{
	(void)state;
	for (unsigned int answers = 0; answers < 2; answers++) {
		struct play p = play("T");
		struct link *link = &p.group->link;
		struct llc_message test;

		assert_true(sent_llc(p.t, LLC_TEST_LINK, &test));
		assert_int_equal(find(p.t, PROTO_TIMER_START)->action.timer, &link->test);
		assert_int_equal(find(p.t, PROTO_TIMER_START)->action.number, PROTO_TEST_LINK_WAIT);
		assert_null(find(p.t, PROTO_TCP_RESET));
		if (answers)
			peer_says(&p, 0);
		proto_timer_expired(&p.t->host, &link->test);
		assert_int_equal(find(p.t, PROTO_RESET) != NULL, !answers);
		assert_int_equal(p.connection->state,
				 answers ? CONNECTION_ACTIVE : CONNECTION_CLOSED);
		tester_end(p.t);
	}
}

static void an_abort_of_the_peer_is_told_after_its_data(void **state)
{
	struct play p = play("");
	struct cdc_message message = peer_cdc(p.t, p.connection, 30, 0);

	(void)state;
	message.connection_flags = A;
	give_cdc(&p.group->link, &message);
	assert_int_equal(find(p.t, PROTO_READABLE)->action.position, 30);
	assert_int_equal(find(p.t, PROTO_RESET)->action.number, ECONNRESET);
	assert_int_equal(connection_read(p.connection, 30), 0);
	tester_end(p.t);
}

static void nothing_goes_to_a_peer_that_has_closed(void **state)
{
	struct play p = play("C");

	(void)state;
	forget(p.t);
	connection_written(p.connection, 10, false);
	assert_null(find(p.t, PROTO_WRITE));
	tester_end(p.t);
}

static void a_close_in_the_rendezvous_waits_for_its_end(void **state)
{
	struct tester *t = tester_new();
	struct clc_message accept = peer_side(t, CLC_ACCEPT, 2, true);
	struct llc_message request = peer_confirm_link(2, false);
	struct connection *connection = start(t, PROTO_CLIENT);

	(void)state;
	connection_written(connection, 20, false);
	connection_close(connection, CONNECTION_NO_LINGER);
	give_clc(connection, &accept);
	tester_answer(t);
	give_llc(&connection->group->link, &request);
	tester_answer(t);
	complete(t, &connection->group->link);
	assert_non_null(find(t, PROTO_CONNECTED));
	assert_int_equal(find(t, PROTO_WRITE)->action.length, 20);
	assert_int_equal(sent_cdc(t).connection_flags, C);
	tester_end(t);
}

/* A peer may close late, and must not be able to hold what is over for ever. */
static void only_what_the_application_has_closed_waits_with_a_limit(void **state)
{
	static const char *const unlimited[] = {"s", "sD", "Ds", "D", "wc", "wcD", "ws"};
	struct play p;

	(void)state;
	for (unsigned int i = 0; i < sizeof(unlimited) / sizeof(unlimited[0]); i++) {
		p = play(unlimited[i]);
		assert_false(p.connection->limit.running);
		tester_end(p.t);
	}
	p = play("");
	connection_close(p.connection, CONNECTION_NO_LINGER);
	assert_false(p.connection->limit.running); /* our last word is not out yet */
	complete(p.t, &p.group->link);
	assert_true(p.connection->limit.running);
	assert_int_equal(find(p.t, PROTO_TIMER_START)->action.number, PROTO_LAST_WORD_WAIT);
	forget(p.t);
	proto_timer_expired(&p.t->host, &p.connection->limit);
	assert_non_null(find(p.t, PROTO_GONE));
	assert_null(find(p.t, PROTO_TCP_RESET));
	assert_int_equal(p.group->count, 0);
	tester_end(p.t);
}

static void an_abort_in_the_rendezvous_resets_tcp(void **state)
{
	struct tester *t = tester_new();
	struct connection *connection = start(t, PROTO_CLIENT);

	(void)state;
	connection_abort(connection);
	assert_non_null(find(t, PROTO_TCP_RESET));
	assert_non_null(find(t, PROTO_GONE));
	tester_end(t);
}

static void a_decline_after_the_rendezvous_resets(void **state)
{
	struct play p = play("");
	struct clc_message decline = peer_decline(2, CLC_TIMEOUT_CONFIRM_LINK);
	uint8_t bytes[CLC_LENGTH_MAX];

	(void)state;
	clc_encode(&decline, bytes, sizeof(bytes));
	assert_int_equal(connection_tcp_wanted(p.connection), CLC_HEADER_LENGTH);
	connection_tcp_received(p.connection, bytes, CLC_HEADER_LENGTH);
	assert_int_equal(find(p.t, PROTO_RESET)->action.number, ECONNRESET);
	tester_end(p.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_arrow_leads_to_its_state),
		cmocka_unit_test(flags_are_repeated),
		cmocka_unit_test(data_comes_before_the_end_of_it),
		cmocka_unit_test(both_flags_at_once_end_a_half_closed_connection),
		cmocka_unit_test(a_half_closed_connection_still_receives),
		cmocka_unit_test(tcp_ends_as_the_application_ended_it),
		cmocka_unit_test(no_fin_overtakes_the_last_message),
		cmocka_unit_test(a_lost_link_is_no_error_for_what_was_over),
		cmocka_unit_test(the_link_decides_where_tcp_has_timed_out),
		cmocka_unit_test(an_abort_of_the_peer_is_told_after_its_data),
		cmocka_unit_test(nothing_goes_to_a_peer_that_has_closed),
		cmocka_unit_test(a_close_in_the_rendezvous_waits_for_its_end),
		cmocka_unit_test(only_what_the_application_has_closed_waits_with_a_limit),
		cmocka_unit_test(an_abort_in_the_rendezvous_resets_tcp),
		cmocka_unit_test(a_decline_after_the_rendezvous_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
