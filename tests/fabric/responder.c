/* SPDX-License-Identifier: MIT */
/*
 * How a soft queue pair takes requests, against packets made by hand: each answer of the standard
 */
#include <string.h>

#include "bench.h"

#define FIRST BENCH_THEIRS

static uint8_t bytes[2 * BENCH_MTU];

static int open_bench(void **state)
{
	*state = bench_open(NULL);
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 5 + 1);
	return 0;
}

static int close_bench(void **state)
{
	bench_close(*state);
	return 0;
}

/* A part of a SEND with @size bytes. */
static struct roce_packet send_part(struct bench *bench, uint8_t opcode, uint32_t sequence,
				    uint32_t size)
{
	struct roce_packet packet = bench_packet(bench, opcode, sequence);

	packet.payload = bytes;
	packet.payload_size = size;
	packet.bth.pad = roce_padding(size);
	return packet;
}

static void receive_part(struct bench *bench, uint8_t opcode, uint32_t sequence, uint32_t size)
{
	struct roce_packet packet = send_part(bench, opcode, sequence, size);

	bench_receive(bench, &packet);
}

static void receive_write(struct bench *bench, uint32_t sequence, uint32_t size)
{
	struct roce_packet packet = bench_write(bench, sequence, bytes, size);

	bench_receive(bench, &packet);
}

/* It is refused, nothing was written, and the answer is still given. */
static void is_refused(struct bench *bench, uint8_t syndrome, enum fabric_status status)
{
	static const uint8_t zeros[BENCH_WINDOW];

	bench_sent_is(bench, syndrome, FIRST, 0);
	bench_fatal(bench, status);
	assert_memory_equal(bench->window, zeros, sizeof(zeros));
}

static void a_write_is_executed_and_acknowledged(void **state)
{
	struct bench *bench = *state;

	receive_write(bench, FIRST, 13);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST, 1);
	assert_memory_equal(bench->window, bytes, 13);
	assert_int_equal(bench->window[13], 0);
	bench_nothing(bench);
}

static void a_write_in_parts_goes_one_behind_the_other(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, BENCH_MTU);

	packet.bth.opcode = ROCE_WRITE_FIRST;
	packet.bth.ack_request = false;
	packet.reth.length = 2 * BENCH_MTU + 3;
	bench_receive(bench, &packet);
	receive_part(bench, ROCE_WRITE_MIDDLE, FIRST + 1, BENCH_MTU);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST + 1, 0);
	receive_part(bench, ROCE_WRITE_LAST, FIRST + 2, 3);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST + 2, 1);
	assert_memory_equal(bench->window, bytes, BENCH_MTU);
	assert_memory_equal(bench->window + BENCH_MTU, bytes, BENCH_MTU);
	assert_memory_equal(bench->window + 2 * BENCH_MTU, bytes, 3);
}

static void a_send_in_parts_fills_one_receive(void **state)
{
	struct bench *bench = *state;
	struct fabric_completion completion;

	bench_post_receive(bench, 7);
	receive_part(bench, ROCE_SEND_FIRST, FIRST, BENCH_MTU);
	receive_part(bench, ROCE_SEND_MIDDLE, FIRST + 1, BENCH_MTU);
	bench_nothing(bench);
	receive_part(bench, ROCE_SEND_LAST, FIRST + 2, 1);
	assert_int_equal(fabric_poll(bench->pair->device, &completion, 1), 1);
	assert_int_equal(completion.id, 7);
	assert_int_equal(completion.status, FABRIC_SUCCESS);
	assert_int_equal(completion.length, 2 * BENCH_MTU + 1);
	assert_memory_equal(bench->slot + BENCH_MTU, bytes, BENCH_MTU);
}

static void immediate_data_consumes_a_receive(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 40);
	struct fabric_completion completion;

	packet.bth.opcode = ROCE_WRITE_ONLY_IMMEDIATE;
	packet.immediate = 0xdeadbeef;
	bench_post_receive(bench, 7);
	bench_receive(bench, &packet);
	assert_int_equal(fabric_poll(bench->pair->device, &completion, 1), 1);
	assert_int_equal(completion.opcode, FABRIC_RECEIVE_WRITE);
	assert_true(completion.with_immediate);
	assert_int_equal(completion.immediate, 0xdeadbeef);
	assert_int_equal(completion.length, 40);
}

static void a_gap_is_answered_once_until_the_peer_has_gone_back(void **state)
{
	struct bench *bench = *state;

	receive_write(bench, FIRST + 1, 4);
	bench_sent_is(bench, ROCE_NAK_SEQUENCE, FIRST, 0);
	receive_write(bench, FIRST + 2, 4);
	assert_int_equal(bench->sent_count, 0);
	receive_write(bench, FIRST + 1, 4); /* again: so the missing one was lost again */
	bench_sent_is(bench, ROCE_NAK_SEQUENCE, FIRST, 0);
	receive_write(bench, FIRST, 4);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST, 1);
	receive_write(bench, FIRST + 2, 4);
	bench_sent_is(bench, ROCE_NAK_SEQUENCE, FIRST + 1, 1);
}

static void a_duplicate_is_acknowledged_and_not_executed(void **state)
{
	struct bench *bench = *state;

	receive_write(bench, FIRST, 4);
	receive_write(bench, FIRST + 1, 4);
	bench_clear(bench);
	memset(bench->window, 0, 4);
	receive_write(bench, FIRST, 4);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST + 1, 2);
	assert_int_equal(bench->window[0], 0);
}

static void what_asks_for_no_answer_gets_none(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 4);

	packet.bth.ack_request = false;
	bench_receive(bench, &packet);
	assert_int_equal(bench->sent_count, 0);
	assert_memory_equal(bench->window, bytes, 4);
}

static void without_a_receive_the_peer_is_told_to_wait(void **state)
{
	struct bench *bench = *state;

	receive_part(bench, ROCE_SEND_ONLY, FIRST, 44);
	bench_sent_is(bench, ROCE_RNR_NAK | 5, FIRST, 0);
	receive_part(bench, ROCE_SEND_ONLY, FIRST + 1, 44);
	assert_int_equal(bench->sent_count, 0); /* it is behind the one that has to wait */
	bench_post_receive(bench, 1);
	receive_part(bench, ROCE_SEND_ONLY, FIRST, 44);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST, 1);
	bench_completion(bench, 1, FABRIC_SUCCESS);
}

static void a_part_out_of_its_order_is_invalid(void **state)
{
	receive_part(*state, ROCE_WRITE_MIDDLE, FIRST, BENCH_MTU);
	is_refused(*state, ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID);
}

static void a_message_inside_a_message_is_invalid(void **state)
{
	struct bench *bench = *state;

	bench_post_receive(bench, 1);
	receive_part(bench, ROCE_SEND_FIRST, FIRST, BENCH_MTU);
	bench_clear(bench);
	receive_write(bench, FIRST + 1, 4);
	bench_sent_is(bench, ROCE_NAK_INVALID_REQUEST, FIRST + 1, 0);
	bench_completion(bench, 1, FABRIC_REMOTE_INVALID); /* its receive was in use */
	bench_fatal(bench, FABRIC_REMOTE_INVALID);
}

static void a_read_is_invalid(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_packet(bench, ROCE_READ_REQUEST, FIRST);

	packet.reth = (struct roce_reth){bench->window_region->address,
					 bench->window_region->remote_key, 16};
	bench_receive(bench, &packet);
	is_refused(bench, ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID);
}

static void an_atomic_is_invalid(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = send_part(bench, ROCE_SEND_ONLY, FIRST, 28);
	uint8_t datagram[64] = {0};
	size_t size = bench_raw(bench, &packet, datagram), covered = size - ROCE_ICRC_SIZE;
	const struct roce_path path = {
		.source = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2},
		.destination = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1},
		.source_port = 0xc123};

	datagram[0] = 0x13; /* CmpSwap, which the decoder does not know */
	roce_icrc_put(roce_icrc_packet(roce_icrc_begin(&path, 0, ROCE_DONT_FRAGMENT, size),
				       datagram, covered),
		      datagram + covered);
	bench_datagram(bench, datagram, size);
	is_refused(bench, ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID);
}

static void a_first_part_that_is_not_full_is_invalid(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, BENCH_MTU - 4);

	packet.bth.opcode = ROCE_WRITE_FIRST;
	packet.reth.length = 2 * BENCH_MTU;
	bench_receive(bench, &packet);
	is_refused(bench, ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID);
}

static void more_than_the_path_mtu_is_invalid(void **state)
{
	receive_write(*state, FIRST, BENCH_MTU + 4);
	is_refused(*state, ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID);
}

static void other_bytes_than_announced_are_invalid(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 12);

	packet.reth.length = 16;
	bench_receive(bench, &packet);
	is_refused(bench, ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID);
}

static void a_write_that_is_not_allowed_is_invalid(void **state)
{
	struct bench *bench = *state;

	((struct base_pair *)bench->pair)->access = 0;
	receive_write(bench, FIRST, 4);
	is_refused(bench, ROCE_NAK_INVALID_REQUEST, FABRIC_REMOTE_INVALID);
}

static void a_write_with_a_wrong_key_has_no_access(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 12);

	packet.reth.key ^= 1;
	bench_receive(bench, &packet);
	is_refused(bench, ROCE_NAK_REMOTE_ACCESS, FABRIC_REMOTE_ACCESS);
}

static void a_write_beyond_the_region_has_no_access(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 12);

	packet.reth.address += BENCH_WINDOW - 11;
	bench_receive(bench, &packet);
	is_refused(bench, ROCE_NAK_REMOTE_ACCESS, FABRIC_REMOTE_ACCESS);
}

static void a_write_before_the_region_has_no_access(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 12);

	packet.reth.address -= 1;
	bench_receive(bench, &packet);
	is_refused(bench, ROCE_NAK_REMOTE_ACCESS, FABRIC_REMOTE_ACCESS);
}

static void a_write_to_a_region_for_receives_has_no_access(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 12);

	packet.reth.address = bench->slot_region->address;
	packet.reth.key = bench->slot_region->local_key;
	bench_receive(bench, &packet);
	is_refused(bench, ROCE_NAK_REMOTE_ACCESS, FABRIC_REMOTE_ACCESS);
}

static void a_write_with_no_bytes_needs_no_key(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 0);

	packet.reth.key = 1;
	packet.reth.address = 1;
	bench_receive(bench, &packet);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST, 1);
}

static void a_region_that_goes_away_inside_a_message_has_no_access(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, BENCH_MTU);

	packet.bth.opcode = ROCE_WRITE_FIRST;
	packet.bth.ack_request = false;
	packet.reth.length = BENCH_MTU + 4;
	bench_receive(bench, &packet);
	fabric_region_deregister(bench->window_region);
	bench->window_region = NULL;
	receive_part(bench, ROCE_WRITE_LAST, FIRST + 1, 4);
	bench_sent_is(bench, ROCE_NAK_REMOTE_ACCESS, FIRST + 1, 0);
	bench_fatal(bench, FABRIC_REMOTE_ACCESS);
	assert_int_equal(bench->window[BENCH_MTU], 0);
}

static void a_send_longer_than_its_receive_fails_both_ends(void **state)
{
	struct bench *bench = *state;
	const struct fabric_piece piece = {bench->slot, 43, bench->slot_region->local_key};

	assert_int_equal(fabric_post_receive(bench->pair, 5, &piece), 0);
	bench_post_receive(bench, 6);
	receive_part(bench, ROCE_SEND_ONLY, FIRST, 44);
	is_refused(bench, ROCE_NAK_INVALID_REQUEST, FABRIC_LOCAL_LENGTH);
	bench_completion(bench, 5, FABRIC_LOCAL_LENGTH);
	bench_completion(bench, 6, FABRIC_FLUSHED);
	bench_nothing(bench);
}

static void a_receive_in_memory_that_is_gone_fails_both_ends(void **state)
{
	struct bench *bench = *state;

	bench_post_receive(bench, 5);
	fabric_region_deregister(bench->slot_region);
	bench->slot_region = NULL;
	receive_part(bench, ROCE_SEND_ONLY, FIRST, 44);
	is_refused(bench, ROCE_NAK_REMOTE_OPERATION, FABRIC_LOCAL_PROTECTION);
	bench_completion(bench, 5, FABRIC_LOCAL_PROTECTION);
}

static void what_is_not_from_the_peer_is_dropped(void **state)
{
	struct bench *bench = *state;
	struct roce_packet packet = bench_write(bench, FIRST, bytes, 4);
	uint8_t datagram[64];
	size_t size;

	packet.bth.destination ^= 1;
	bench_receive(bench, &packet);
	assert_int_equal(bench->soft.counters.unknown, 1);
	packet.bth.destination ^= 1;
	packet.bth.partition = 0x1234;
	bench_receive(bench, &packet);
	assert_int_equal(bench->soft.counters.bad_partition, 1);
	packet.bth.partition = ROCE_PARTITION;
	size = bench_raw(bench, &packet, datagram);
	datagram[30] ^= 4;
	bench_datagram(bench, datagram, size);
	assert_int_equal(bench->soft.counters.bad_icrc, 1);
	memcpy(((struct soft_pair *)bench->pair)->route.destination, bytes, 4);
	bench_receive(bench, &packet);
	assert_int_equal(bench->soft.counters.stranger, 1);
	bench_datagram(bench, datagram, 15);
	assert_int_equal(bench->soft.counters.bad_length, 1);
	assert_int_equal(bench->sent_count, 0);
	assert_int_equal(bench->window[0], 0);
}

static void hold_one(struct bench *bench)
{
	bench->more = true;
	receive_write(bench, FIRST, 13);
	assert_int_equal(bench->sent_count, 0);
	assert_memory_equal(bench->window, bytes, 13);
}

static void the_answer_to_one_message_leaves_with_a_request(void **state)
{
	struct bench *bench = *state;

	hold_one(bench);
	bench_post(bench, FABRIC_WRITE, 1, 100, FABRIC_SIGNALED);
	assert_int_equal(bench->sent_count, 2);
	assert_int_equal(bench->soft.counters.trains, 1);
	assert_int_equal(bench->sent[0].bth.opcode, ROCE_WRITE_ONLY);
	assert_int_equal(bench->sent[1].bth.opcode, ROCE_ACKNOWLEDGE);
	assert_int_equal(bench->sent[1].bth.sequence, FIRST);
	assert_int_equal(fabric_deadline(&bench->soft.base.fabric),
			 ((struct soft_pair *)bench->pair)->requester.timer);
}

/* (no train goes on behind a packet that is shorter than the others) */
static void it_leaves_with_requests_whose_train_is_full_too(void **state)
{
	struct bench *bench = *state;

	hold_one(bench);
	bench_post(bench, FABRIC_WRITE, 1, BENCH_MTU + 50, FABRIC_SIGNALED);
	assert_int_equal(bench->sent_count, 3);
	assert_int_equal(bench->soft.counters.trains, 2);
	assert_int_equal(bench->sent[2].bth.opcode, ROCE_ACKNOWLEDGE);
}

static void the_answer_to_two_messages_is_not_held(void **state)
{
	struct bench *bench = *state;

	hold_one(bench);
	receive_write(bench, FIRST + 1, 5);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST + 1, 2);
}

static void an_answer_is_held_for_a_moment(void **state)
{
	struct bench *bench = *state;
	struct fabric_device *device = &bench->soft.base.fabric;
	const uint64_t until = bench->soft.now + SOFT_HOLD;

	hold_one(bench);
	assert_int_equal(fabric_deadline(device), until);
	fabric_take(device, until - 1);
	fabric_flush(device, until - 1, true);
	assert_int_equal(bench->sent_count, 0);
	fabric_take(device, until);
	fabric_flush(device, until, true);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST, 1);
	assert_int_equal(fabric_deadline(device), FABRIC_NEVER);
}

static void with_the_last_flush_nothing_is_held(void **state)
{
	struct bench *bench = *state;

	hold_one(bench);
	fabric_flush(&bench->soft.base.fabric, bench->soft.now, false);
	bench_sent_is(bench, ROCE_ACK_NO_CREDITS, FIRST, 1);
}

static void a_refusal_is_not_held(void **state)
{
	struct bench *bench = *state;

	hold_one(bench);
	receive_part(bench, ROCE_SEND_MIDDLE, FIRST + 1, BENCH_MTU);
	bench_sent_is(bench, ROCE_NAK_INVALID_REQUEST, FIRST + 1, 1);
	bench_fatal(bench, FABRIC_REMOTE_INVALID);
}

int main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
	const struct CMUnitTest tests[] = {
		BENCH_TEST(a_write_is_executed_and_acknowledged),
		BENCH_TEST(a_write_in_parts_goes_one_behind_the_other),
		BENCH_TEST(a_send_in_parts_fills_one_receive),
		BENCH_TEST(immediate_data_consumes_a_receive),
		BENCH_TEST(a_gap_is_answered_once_until_the_peer_has_gone_back),
		BENCH_TEST(a_duplicate_is_acknowledged_and_not_executed),
		BENCH_TEST(what_asks_for_no_answer_gets_none),
		BENCH_TEST(without_a_receive_the_peer_is_told_to_wait),
		BENCH_TEST(a_part_out_of_its_order_is_invalid),
		BENCH_TEST(a_message_inside_a_message_is_invalid),
		BENCH_TEST(a_read_is_invalid),
		BENCH_TEST(an_atomic_is_invalid),
		BENCH_TEST(a_first_part_that_is_not_full_is_invalid),
		BENCH_TEST(more_than_the_path_mtu_is_invalid),
		BENCH_TEST(other_bytes_than_announced_are_invalid),
		BENCH_TEST(a_write_that_is_not_allowed_is_invalid),
		BENCH_TEST(a_write_with_a_wrong_key_has_no_access),
		BENCH_TEST(a_write_beyond_the_region_has_no_access),
		BENCH_TEST(a_write_before_the_region_has_no_access),
		BENCH_TEST(a_write_to_a_region_for_receives_has_no_access),
		BENCH_TEST(a_write_with_no_bytes_needs_no_key),
		BENCH_TEST(a_region_that_goes_away_inside_a_message_has_no_access),
		BENCH_TEST(a_send_longer_than_its_receive_fails_both_ends),
		BENCH_TEST(a_receive_in_memory_that_is_gone_fails_both_ends),
		BENCH_TEST(what_is_not_from_the_peer_is_dropped),
		BENCH_TEST(the_answer_to_one_message_leaves_with_a_request),
		BENCH_TEST(it_leaves_with_requests_whose_train_is_full_too),
		BENCH_TEST(the_answer_to_two_messages_is_not_held),
		BENCH_TEST(an_answer_is_held_for_a_moment),
		BENCH_TEST(with_the_last_flush_nothing_is_held),
		BENCH_TEST(a_refusal_is_not_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
