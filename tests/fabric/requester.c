/* SPDX-License-Identifier: MIT */
/*
 * How a soft queue pair sends, and what it makes of each answer, against packets made by hand
 */
#include <errno.h>

#include "bench.h"

#include "fabric/soft/sequence.h"

#define FIRST BENCH_OURS
#define MS 1000000ULL

static int open_bench(void **state)
{
	*state = bench_open(NULL);
	return 0;
}

static int close_bench(void **state)
{
	bench_close(*state);
	return 0;
}

static void receive_answer(struct bench *bench, uint8_t syndrome, uint32_t packets_after_first)
{
	struct roce_packet packet =
		bench_answer(bench, syndrome, sequence_add(FIRST, packets_after_first));

	bench_receive(bench, &packet);
}

/* Packets from one on were sent, again or not, @count of them. */
static void sent_from(struct bench *bench, uint32_t packets_after_first, unsigned int count)
{
	assert_int_equal(bench->sent_count, count);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(bench->sent[i].bth.sequence,
				 sequence_add(FIRST, packets_after_first + i));
	assert_true(!count || bench->sent[count - 1].bth.ack_request);
	bench_clear(bench);
}

static void numbers_wrap_at_24_bits(void **state)
{
	(void)state;
	assert_int_equal(sequence_difference(0, 0xffffff), 1);
	assert_int_equal(sequence_difference(0xffffff, 0), -1);
	assert_int_equal(sequence_difference(0x7fffff, 0), 0x7fffff);
	assert_int_equal(sequence_difference(0x800000, 0), -0x800000);
	assert_int_equal(sequence_difference(5, 5), 0);
	assert_int_equal(sequence_add(0xffffff, 2), 1);
}

static void a_send_goes_as_first_middle_and_last(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_SEND, 1, 2 * BENCH_MTU + 5, FABRIC_SIGNALED | FABRIC_SOLICITED);
	assert_int_equal(bench->sent[0].bth.opcode, ROCE_SEND_FIRST);
	assert_int_equal(bench->sent[1].bth.opcode, ROCE_SEND_MIDDLE);
	assert_int_equal(bench->sent[2].bth.opcode, ROCE_SEND_LAST);
	assert_int_equal(bench->sent[2].payload_size, 5);
	assert_int_equal(bench->sent[2].bth.pad, 3);
	assert_false(bench->sent[0].bth.solicited);
	assert_true(bench->sent[2].bth.solicited);
	assert_false(bench->sent[1].bth.ack_request);
	sent_from(bench, 0, 3);
}

static void a_write_goes_in_packets_that_stand_alone(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_WRITE, 1, 2 * BENCH_MTU + 5, 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(bench->sent[i].bth.opcode, ROCE_WRITE_ONLY);
		assert_int_equal(bench->sent[i].reth.address, 0x1000 + i * BENCH_MTU);
		assert_int_equal(bench->sent[i].reth.key, 7);
		assert_int_equal(bench->sent[i].reth.length, i < 2 ? BENCH_MTU : 5);
	}
	sent_from(bench, 0, 3);
}

static void no_bytes_take_one_packet(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_SEND, 1, 0, FABRIC_SIGNALED);
	assert_int_equal(bench->sent[0].bth.opcode, ROCE_SEND_ONLY);
	sent_from(bench, 0, 1);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 0);
	bench_completion(bench, 1, FABRIC_SUCCESS);
}

static void one_ack_completes_all_before_it(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_WRITE, 1, 10, 0);
	bench_post(bench, FABRIC_SEND, 2, 10, FABRIC_SIGNALED);
	bench_post(bench, FABRIC_SEND, 3, 10, FABRIC_SIGNALED);
	bench_post(bench, FABRIC_SEND, 4, 10, FABRIC_SIGNALED);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 2);
	bench_completion(bench, 2, FABRIC_SUCCESS);
	bench_completion(bench, 3, FABRIC_SUCCESS);
	bench_nothing(bench);
}

static void credits_are_not_looked_at(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_SEND, 1, 10, FABRIC_SIGNALED);
	receive_answer(bench, ROCE_ACK | 0, 0);
	bench_completion(bench, 1, FABRIC_SUCCESS);
}

static void answers_to_what_was_not_sent_are_ignored(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_SEND, 1, 10, FABRIC_SIGNALED);
	bench_clear(bench);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 1);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 0x800000);
	receive_answer(bench, ROCE_NAK_REMOTE_ACCESS, 5);
	receive_answer(bench, 0x40, 0); /* reserved kinds */
	receive_answer(bench, 0xe0, 0);
	bench_nothing(bench);
	assert_int_equal(bench->sent_count, 0);
	assert_int_equal(bench->pair->state, FABRIC_RTS);
}

static void a_missing_packet_and_all_behind_it_are_repeated(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_WRITE, 1, 2 * BENCH_MTU, FABRIC_SIGNALED);
	bench_post(bench, FABRIC_SEND, 2, 3 * BENCH_MTU, FABRIC_SIGNALED);
	bench_clear(bench);
	receive_answer(bench, ROCE_NAK_SEQUENCE, 3);
	bench_completion(bench, 1, FABRIC_SUCCESS);
	assert_int_equal(bench->sent[0].bth.opcode, ROCE_SEND_MIDDLE); /* no new First */
	sent_from(bench, 3, 2);
	receive_answer(bench, ROCE_NAK_SEQUENCE, 3); /* for what was on its way before */
	assert_int_equal(bench->sent_count, 0);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 4);
	bench_completion(bench, 2, FABRIC_SUCCESS);
}

static void the_window_starts_at_16_and_doubles(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_WRITE, 1, 200 * BENCH_MTU, FABRIC_SIGNALED);
	sent_from(bench, 0, 16);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 15);
	sent_from(bench, 16, 32);
	receive_answer(bench, ROCE_NAK_SEQUENCE, 47); /* the last one: halved */
	sent_from(bench, 47, 63 / 2);
}

/* With fewer on their way hardly a lost one is followed by one that calls a NAK forth: the timer finds each. */
static void a_window_is_never_halved_below_8(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_WRITE, 1, 200 * BENCH_MTU, FABRIC_SIGNALED);
	bench_clear(bench);
	for (unsigned int lost = 1; lost < 20; lost++) {
		receive_answer(bench, ROCE_NAK_SEQUENCE, lost);
		assert_true(bench->sent_count >= 8);
		sent_from(bench, lost, bench->sent_count);
	}
	receive_answer(bench, ROCE_NAK_SEQUENCE, 20);
	sent_from(bench, 20, 8);
}

/* One that was lost says nothing of how long the path is; on a bad path the waiting would be most of the time. */
static void the_time_to_repeat_doubles_with_every_second_repetition(void **state)
{
	struct bench *bench = *state;
	uint64_t at = 0, waited[6];

	bench_post(bench, FABRIC_SEND, 1, 10, FABRIC_SIGNALED);
	for (unsigned int i = 0; i < 6; i++) {
		waited[i] = fabric_deadline(bench->pair->device) - at;
		at += waited[i];
		bench_run(bench, at);
	}
	assert_int_equal(waited[1], waited[0]);
	assert_int_equal(waited[2], 2 * waited[0]);
	assert_int_equal(waited[3], 2 * waited[0]);
	assert_int_equal(waited[4], 4 * waited[0]);
	assert_int_equal(waited[5], 4 * waited[0]);
}

static void the_window_has_a_limit(void **state)
{
	struct bench *bench = *state;
	uint32_t sent = 0;

	for (unsigned int i = 0; i < 3; i++)
		bench_post(bench, FABRIC_WRITE, i, 255 * BENCH_MTU, 0);
	while (bench->sent_count) {
		assert_true(bench->sent_count <= REQUESTER_WINDOW_MAX);
		sent += bench->sent_count;
		bench_clear(bench);
		receive_answer(bench, ROCE_ACK_NO_CREDITS, sent - 1);
	}
	assert_int_equal(sent, 3 * 255);
}

static void without_an_answer_the_oldest_packet_is_repeated(void **state)
{
	struct bench *bench = *state;
	uint64_t deadline;

	bench_post(bench, FABRIC_SEND, 1, 10, FABRIC_SIGNALED);
	bench_post(bench, FABRIC_SEND, 2, 10, FABRIC_SIGNALED);
	bench_clear(bench);
	deadline = fabric_deadline(bench->pair->device);
	bench_run(bench, deadline - 1);
	assert_int_equal(bench->sent_count, 0);
	bench_run(bench, deadline);
	sent_from(bench, 0, 1);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 1); /* both had arrived */
	bench_completion(bench, 1, FABRIC_SUCCESS);
	bench_completion(bench, 2, FABRIC_SUCCESS);
	assert_true(fabric_deadline(bench->pair->device) == FABRIC_NEVER);
}

static void a_peer_that_never_answers_is_given_up_in_time(void **state)
{
	const struct fabric_retry retry = {.timeout = 14, .retries = 2, .rnr_retries = 7};
	struct bench *bench = bench_open(&retry);
	uint64_t limit = 3 * (4096ULL << 14), now = 0;

	(void)state;
	bench_post(bench, FABRIC_WRITE, 1, 10, 0);
	bench_post(bench, FABRIC_SEND, 2, 10, FABRIC_SIGNALED);
	bench_post_receive(bench, 3);
	while (bench->pair->state == FABRIC_RTS) {
		now = fabric_deadline(bench->pair->device);
		assert_true(now < 2 * limit);
		bench_run(bench, now);
	}
	assert_true(now >= limit);
	bench_completion(bench, 1, FABRIC_RETRIES_EXCEEDED);
	bench_completion(bench, 2, FABRIC_FLUSHED);
	bench_completion(bench, 3, FABRIC_FLUSHED);
	bench_nothing(bench);
	bench_fatal(bench, FABRIC_RETRIES_EXCEEDED);
	bench_close(bench);
}

static void a_peer_that_is_not_ready_is_left_alone_for_a_while(void **state)
{
	struct bench *bench = *state;

	bench_run(bench, MS);
	bench_post(bench, FABRIC_SEND, 1, 10, FABRIC_SIGNALED);
	bench_post(bench, FABRIC_SEND, 2, 10, FABRIC_SIGNALED);
	bench_clear(bench);
	receive_answer(bench, ROCE_RNR_NAK | 14, 0); /* 1.28 ms */
	receive_answer(bench, ROCE_NAK_SEQUENCE, 0); /* Soft-RoCE says so for the second one */
	bench_run(bench, MS + 1279999);
	assert_int_equal(bench->sent_count, 0);
	bench_run(bench, MS + 1280000);
	sent_from(bench, 0, 2);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 1);
	bench_completion(bench, 1, FABRIC_SUCCESS);
	bench_completion(bench, 2, FABRIC_SUCCESS);
}

static void a_peer_that_is_never_ready_is_given_up(void **state)
{
	const struct fabric_retry retry = {.timeout = 18, .retries = 7, .rnr_retries = 2};
	struct bench *bench = bench_open(&retry);

	(void)state;
	bench_post(bench, FABRIC_SEND, 1, 10, 0);
	for (unsigned int i = 0; i < 2; i++) {
		receive_answer(bench, ROCE_RNR_NAK | 1, 0);
		assert_int_equal(bench->pair->state, FABRIC_RTS);
		bench_run(bench, fabric_deadline(bench->pair->device));
	}
	receive_answer(bench, ROCE_RNR_NAK | 1, 0);
	bench_completion(bench, 1, FABRIC_RNR_RETRIES_EXCEEDED);
	bench_fatal(bench, FABRIC_RNR_RETRIES_EXCEEDED);
	bench_close(bench);
}

static void every_refusal_has_its_status(void **state)
{
	static const struct {
		uint8_t syndrome;
		enum fabric_status status;
	} cases[] = {{ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID},
		     {ROCE_NAK_REMOTE_ACCESS, FABRIC_REMOTE_ACCESS},
		     {ROCE_NAK_REMOTE_OPERATION, FABRIC_REMOTE_OPERATION},
		     {0x64, FABRIC_REMOTE_OPERATION},
		     {0x7f, FABRIC_REMOTE_OPERATION}};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench *bench = bench_open(NULL);

		for (uint64_t id = 1; id <= 4; id++)
			bench_post(bench, FABRIC_WRITE, id, 10, id % 2 ? 0 : FABRIC_SIGNALED);
		receive_answer(bench, cases[i].syndrome, 2); /* the third, which is not signalled */
		bench_completion(bench, 2, FABRIC_SUCCESS);
		bench_completion(bench, 3, cases[i].status);
		bench_completion(bench, 4, FABRIC_FLUSHED);
		bench_nothing(bench);
		bench_fatal(bench, cases[i].status);
		bench_close(bench);
	}
}

static void memory_that_is_gone_fails_its_request_after_those_before(void **state)
{
	struct bench *bench = *state;

	bench_post(bench, FABRIC_SEND, 1, 10, 0);
	fabric_region_deregister(bench->buffer_region);
	bench->buffer_region = NULL;
	bench_post(bench, FABRIC_SEND, 2, 10, 0);
	sent_from(bench, 0, 1);
	bench_nothing(bench);
	receive_answer(bench, ROCE_ACK_NO_CREDITS, 0);
	bench_completion(bench, 2, FABRIC_LOCAL_PROTECTION);
	bench_fatal(bench, FABRIC_LOCAL_PROTECTION);
}

static void inline_bytes_are_those_of_the_post(void **state)
{
	struct bench *bench = *state;
	uint8_t bytes[FABRIC_INLINE_MAX + 1] = {1};
	struct fabric_request request = {
		.flags = FABRIC_INLINE, .count = 1, .pieces = {{bytes, sizeof(bytes), 0}}};

	assert_int_equal(fabric_post_send(bench->pair, &request), -EINVAL);
	request.pieces[0].length = FABRIC_INLINE_MAX;
	assert_int_equal(fabric_post_send(bench->pair, &request), 0);
	bytes[0] = 2;
	fabric_flush(bench->pair->device, 0, false);
	assert_int_equal(bench->train.bytes[ROCE_BTH_SIZE], 1);
}

static void codes_have_the_times_of_the_standard(void **state)
{
	(void)state;
	assert_true(fabric_rnr_interval(0) == 655360000);
	assert_true(fabric_rnr_interval(1) == 10000);
	assert_true(fabric_rnr_interval(5) == 60000);
	assert_true(fabric_rnr_interval(31) == 491520000);
	assert_true(fabric_retry_interval(0) == FABRIC_NEVER);
	assert_true(fabric_retry_interval(15) == 134217728);
}

int main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_wrap_at_24_bits),
		BENCH_TEST(a_send_goes_as_first_middle_and_last),
		BENCH_TEST(a_write_goes_in_packets_that_stand_alone),
		BENCH_TEST(no_bytes_take_one_packet),
		BENCH_TEST(one_ack_completes_all_before_it),
		BENCH_TEST(credits_are_not_looked_at),
		BENCH_TEST(answers_to_what_was_not_sent_are_ignored),
		BENCH_TEST(a_missing_packet_and_all_behind_it_are_repeated),
		BENCH_TEST(the_window_starts_at_16_and_doubles),
		BENCH_TEST(a_window_is_never_halved_below_8),
		BENCH_TEST(the_time_to_repeat_doubles_with_every_second_repetition),
		BENCH_TEST(the_window_has_a_limit),
		BENCH_TEST(without_an_answer_the_oldest_packet_is_repeated),
		cmocka_unit_test(a_peer_that_never_answers_is_given_up_in_time),
		BENCH_TEST(a_peer_that_is_not_ready_is_left_alone_for_a_while),
		cmocka_unit_test(a_peer_that_is_never_ready_is_given_up),
		cmocka_unit_test(every_refusal_has_its_status),
		BENCH_TEST(memory_that_is_gone_fails_its_request_after_those_before),
		BENCH_TEST(inline_bytes_are_those_of_the_post),
		cmocka_unit_test(codes_have_the_times_of_the_standard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
