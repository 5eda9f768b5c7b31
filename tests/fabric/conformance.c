/* SPDX-License-Identifier: MIT */
/*
 * What every backend must do, asked of each of them: messages in memory, packets in memory, sockets
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

#define SECOND 1000000000ULL

static enum world_kind kind;
static struct world world;
static struct end ends[2];

static void open_with(const struct end_options *options)
{
	if (!world_open(&world, kind, &(struct world_rates){.seed = 1, .delay_most = 1000}))
		skip(); /* UDP port 4791 is taken */
	ends_open(&world, ends, options, 3);
}

static void open_ends(void)
{
	open_with(&(struct end_options){.rnr_timer = 14});
}

static void close_ends(void)
{
	ends_unhurt(ends);
	ends_close(&world, ends);
	world_close(&world);
}

static void run(uint64_t time)
{
	ends_run(&world, ends, time);
}

/* Until both ends have heard all that there is to hear. */
static void settle(void)
{
	for (unsigned int i = 0; i < 30; i++) {
		world_step(&world, SECOND / 100);
		end_poll(&ends[0]);
		end_poll(&ends[1]);
	}
}

static void ports_and_addresses_are_told(void **state)
{
	struct fabric_port port;
	struct fabric_gid gid;

	(void)state;
	open_ends();
	assert_int_equal(fabric_port_query(ends[0].device, &port), 0);
	assert_true(port.active);
	assert_true(port.mtu >= 1 && port.mtu <= 5);
	assert_int_equal(fabric_gid_query(ends[0].device, 0, &gid), 0);
	assert_memory_equal(&gid, &world.gids[0], sizeof(gid));
	assert_int_equal(fabric_gid_query(ends[0].device, 1, &gid), -ENOENT);
	assert_int_equal(fabric_gid_query(ends[0].device, 99, &gid), -ENOENT);
	close_ends();
}

static void messages_and_writes_of_every_length_arrive(void **state)
{
	static const uint32_t lengths[] = {0,	 1,    2,    3,	   4,	 44,   255,   256,  257,
					   1023, 1024, 4095, 4096, 4097, 8192, 12289, 20000};

	(void)state;
	open_ends();
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (unsigned int from = 0; from < 2; from++) {
			while (end_receive(&ends[1 - from]))
				;
			assert_true(end_write(&ends[from], lengths[i], 0));
			assert_true(end_send(&ends[from], lengths[i], FABRIC_SIGNALED));
			run(5 * SECOND);
			assert_true(end_is_done(&ends[from]));
		}
	close_ends();
}

static void a_full_queue_takes_no_more(void **state)
{
	(void)state;
	open_with(&(struct end_options){.depth = 4});
	for (unsigned int i = 0; i < 4; i++) {
		assert_true(end_receive(&ends[1]));
		assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	}
	assert_false(end_receive(&ends[1]));
	assert_false(end_send(&ends[0], 44, FABRIC_SIGNALED));
	for (unsigned int i = 0; i < 30; i++)
		world_step(&world, SECOND / 100);
	assert_false(end_send(&ends[0], 44, FABRIC_SIGNALED)); /* completed, but not polled */
	end_poll(&ends[0]);
	end_poll(&ends[1]);
	assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	close_ends();
}

static void a_message_waits_for_its_receive(void **state)
{
	(void)state;
	open_ends();
	assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	run(SECOND / 50);
	assert_int_equal(ends[0].completed, 0);
	assert_true(end_receive(&ends[1]));
	run(5 * SECOND);
	assert_true(end_is_done(&ends[0]));
	assert_false(ends[0].failed);
	close_ends();
}

static void a_message_that_finds_no_receive_fails_in_the_end(void **state)
{
	(void)state;
	open_with(&(struct end_options){.rnr_timer = 1, .rnr_retries = 2});
	assert_true(end_send(&ends[0], 44, 0));
	assert_true(end_send(&ends[0], 44, 0));
	run(5 * SECOND);
	settle();
	assert_int_equal(ends[0].cause, FABRIC_RNR_RETRIES_EXCEEDED);
	end_is_flushed(&ends[0]);
	close_ends();
}

/* The peer is gone: nothing answers. */
static void a_peer_that_is_silent_is_given_up(void **state)
{
	(void)state;
	open_with(&(struct end_options){.timeout = 12, .retries = 2});
	fabric_fail(ends[1].pair);
	assert_true(end_receive(&ends[0]));
	assert_true(end_write(&ends[0], 10000, 0));
	assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	run(5 * SECOND);
	settle();
	assert_int_equal(ends[0].cause, FABRIC_RETRIES_EXCEEDED);
	end_is_flushed(&ends[0]);
	assert_int_equal(ends[1].fatal_events, 0); /* it did so itself */
	close_ends();
}

static void a_write_beyond_the_window_fails_both_ends(void **state)
{
	struct fabric_request request = {.flags = 0, .count = 1};

	(void)state;
	open_ends();
	assert_true(end_receive(&ends[0]) && end_receive(&ends[1]));
	request.pieces[0] =
		(struct fabric_piece){ends[0].buffer.at, 100, ends[0].buffer.region->local_key};
	assert_int_equal(fabric_post_write(ends[0].pair, &request,
					   ends[1].window.region->address + END_WINDOW_SIZE - 99,
					   ends[1].window.region->remote_key),
			 0);
	ends[0].posted++;
	assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	run(5 * SECOND);
	settle();
	assert_int_equal(ends[0].cause, FABRIC_REMOTE_ACCESS);
	end_is_flushed(&ends[0]);
	assert_int_equal(ends[1].cause, 0); /* no receive was in use */
	assert_int_equal(ends[1].fatal_status, FABRIC_REMOTE_ACCESS);
	end_is_flushed(&ends[1]);
	close_ends();
}

static void a_window_that_is_deregistered_is_closed(void **state)
{
	(void)state;
	open_ends();
	assert_true(end_write(&ends[0], 1000, FABRIC_SIGNALED));
	run(5 * SECOND);
	assert_true(end_write(&ends[0], 1000, FABRIC_SIGNALED)); /* with the key of before */
	fabric_region_deregister(ends[1].window.region);
	ends[1].window.region = NULL;
	run(5 * SECOND);
	settle();
	assert_int_equal(ends[0].cause, FABRIC_REMOTE_ACCESS);
	assert_int_equal(ends[1].window.at[1000], 0);
	close_ends();
}

static void writes_need_permission(void **state)
{
	(void)state;
	open_with(&(struct end_options){.no_remote_write = true});
	assert_true(end_write(&ends[0], 10, FABRIC_SIGNALED));
	run(5 * SECOND);
	settle();
	assert_int_equal(ends[0].cause, FABRIC_REMOTE_INVALID);
	assert_int_equal(ends[1].fatal_status, FABRIC_REMOTE_INVALID);
	assert_int_equal(ends[1].window.at[0], 0);
	close_ends();
}

static void a_message_longer_than_its_receive_fails_both_ends(void **state)
{
	const struct fabric_piece piece = {NULL, 0, 0};

	(void)state;
	open_ends();
	assert_int_equal(fabric_post_receive(ends[1].pair, 0, &piece), 0);
	ends[1].receives_posted++;
	assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	run(5 * SECOND);
	settle();
	assert_int_equal(ends[0].cause, FABRIC_REMOTE_INVALID);
	assert_int_equal(ends[1].cause, FABRIC_LOCAL_LENGTH);
	end_is_flushed(&ends[0]);
	end_is_flushed(&ends[1]);
	close_ends();
}

static void what_is_posted_after_an_error_is_flushed(void **state)
{
	(void)state;
	open_ends();
	fabric_fail(ends[0].pair);
	assert_true(end_send(&ends[0], 44, 0));
	assert_true(end_write(&ends[0], 44, FABRIC_SIGNALED));
	assert_true(end_receive(&ends[0]));
	end_poll(&ends[0]);
	assert_true(ends[0].flushing);
	assert_int_equal(ends[0].completed, 2);
	assert_int_equal(ends[0].receives_completed, 1);
	assert_int_equal(ends[0].fatal_events, 0);
	ends[0].window_sent = 0; /* nothing arrived */
	close_ends();
}

static void destroying_takes_completions_along(void **state)
{
	struct fabric_completion completion;
	struct fabric_event event;

	(void)state;
	open_with(&(struct end_options){.timeout = 8, .no_retries = true});
	fabric_fail(ends[1].pair);
	assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	for (unsigned int i = 0; i < 30 && ends[0].pair->state != FABRIC_ERR; i++)
		world_step(&world, SECOND / 100);
	assert_int_equal(ends[0].pair->state, FABRIC_ERR);
	assert_int_equal(fabric_domain_destroy(ends[0].domain), -EBUSY);
	assert_int_equal(fabric_close(ends[0].device), -EBUSY);
	fabric_destroy(ends[0].pair);
	assert_int_equal(fabric_poll(world.devices[0], &completion, 1), 0);
	assert_false(fabric_event(world.devices[0], &event));
	assert_int_equal(
		fabric_create(ends[0].domain, &(struct fabric_depths){1, 1}, NULL, &ends[0].pair),
		0);
	close_ends();
}

static void states_follow_each_other(void **state)
{
	const struct fabric_request request = {.count = 0};
	const struct fabric_piece piece = {0};
	struct fabric_queue_pair *pair;
	struct fabric_path path = {.remote = {.bytes = {0}}, .mtu = 1};
	const struct fabric_retry retry = {.timeout = 15, .retries = 7};

	(void)state;
	open_ends();
	assert_int_equal(fabric_create(ends[0].domain, &(struct fabric_depths){0, 1}, NULL, &pair),
			 -EINVAL);
	assert_int_equal(fabric_create(ends[0].domain, &(struct fabric_depths){1, 1}, NULL, &pair),
			 0);
	assert_int_equal(fabric_post_receive(pair, 0, &piece), -EINVAL);
	assert_int_equal(fabric_ready_to_receive(pair, &path), -EINVAL);
	assert_int_equal(fabric_init(pair, FABRIC_REMOTE_WRITE), 0);
	assert_int_equal(fabric_init(pair, FABRIC_REMOTE_WRITE), -EINVAL);
	assert_int_equal(fabric_post_receive(pair, 0, &piece), 0);
	assert_int_equal(fabric_post_send(pair, &request), -EINVAL);
	assert_int_equal(fabric_ready_to_send(pair, &retry), -EINVAL);
	assert_int_equal(fabric_ready_to_receive(pair, &path), -EINVAL); /* another family */
	path.remote = world.gids[1];
	path.gid_index = 1;
	assert_int_equal(fabric_ready_to_receive(pair, &path), -EINVAL); /* not our address */
	path.gid_index = 0;
	path.mtu = 6;
	assert_int_equal(fabric_ready_to_receive(pair, &path), -EINVAL);
	path.mtu = 1;
	assert_int_equal(fabric_ready_to_receive(pair, &path), 0);
	assert_int_equal(fabric_post_send(pair, &request), -EINVAL);
	assert_int_equal(fabric_ready_to_send(pair, &retry), 0);
	assert_int_equal(pair->state, FABRIC_RTS);
	fabric_destroy(pair);
	close_ends();
}

static void many_queue_pairs_do_not_disturb_each_other(void **state)
{
	struct fabric_queue_pair *pairs[300];

	(void)state;
	open_ends();
	for (unsigned int i = 0; i < 300; i++)
		assert_int_equal(fabric_create(ends[0].domain, &(struct fabric_depths){1, 1}, NULL,
					       &pairs[i]),
				 0);
	for (unsigned int i = 0; i < 300; i++)
		for (unsigned int k = 0; k < i; k++)
			assert_int_not_equal(pairs[i]->number, pairs[k]->number);
	for (unsigned int i = 0; i < 300; i++)
		fabric_destroy(pairs[i]);
	assert_true(end_receive(&ends[1]));
	assert_true(end_send(&ends[0], 44, FABRIC_SIGNALED));
	run(5 * SECOND);
	assert_true(end_is_done(&ends[0]));
	close_ends();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_and_addresses_are_told),
		cmocka_unit_test(messages_and_writes_of_every_length_arrive),
		cmocka_unit_test(a_full_queue_takes_no_more),
		cmocka_unit_test(a_message_waits_for_its_receive),
		cmocka_unit_test(a_message_that_finds_no_receive_fails_in_the_end),
		cmocka_unit_test(a_peer_that_is_silent_is_given_up),
		cmocka_unit_test(a_write_beyond_the_window_fails_both_ends),
		cmocka_unit_test(a_window_that_is_deregistered_is_closed),
		cmocka_unit_test(writes_need_permission),
		cmocka_unit_test(a_message_longer_than_its_receive_fails_both_ends),
		cmocka_unit_test(what_is_posted_after_an_error_is_flushed),
		cmocka_unit_test(destroying_takes_completions_along),
		cmocka_unit_test(states_follow_each_other),
		cmocka_unit_test(many_queue_pairs_do_not_disturb_each_other),
	};
	static const char *const names[] = {"messages", "packets", "sockets"};
	int failed = 0;

	for (kind = WORLD_SIM; kind <= WORLD_UDP; kind++)
		failed |= cmocka_run_group_tests_name(names[kind], tests, NULL, NULL);
	return failed;
}
