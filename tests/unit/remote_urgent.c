/* SPDX-License-Identifier: MIT */
/*
 * Urgent bytes between an application and another host
 */
#include "remote_both.h"

static void peer_writes_urgent(struct both *b, uint64_t from, const char *text)
{
	struct cdc_message message;

	for (size_t i = 0; text[i]; i++)
		b->remote->map->receive[(from + i) % ELEMENT] = (uint8_t)text[i];
	message = peer_cdc(world.t, b->connection, from + strlen(text), b->connection->sent);
	message.producer_flags = CDC_URGENT_PENDING | CDC_URGENT_PRESENT;
	give_cdc(b->link, &message);
}

/* As a shim: the last byte is urgent. */
static void end_write_urgent(struct end *end, const char *text)
{
	const size_t length = strlen(text);
	uint8_t *span;

	assert_true(ring_reserve(&end->send, &span) >= (ssize_t)length);
	memcpy(span, text, length);
	atomic_store(&end->control->direction[0].writer.urgent, end->own[0].position + length);
	ring_publish(&end->send, length);
	wake_daemon(end);
}

static void an_urgent_byte_is_the_last_of_its_message_and_what_follows_is_another(void **state)
{
	struct both b;

	(void)state;
	establish(&b);
	end_write_urgent(&b.end, "abc!");
	assert_int_equal(end_write(&b.end, "de", 2), 2);
	eventually(b.connection->sent == 4);
	assert_int_equal(sent_cdc(world.t).producer_flags, CDC_URGENT_PENDING | CDC_URGENT_PRESENT);
	complete(world.t, b.link);
	assert_int_equal(b.connection->sent, 6);
	assert_int_equal(sent_cdc(world.t).producer_flags, 0);
	finish(&b);
}

static void an_urgent_byte_written_early_is_urgent_once_it_is_smc(void **state)
{
	struct both b;

	(void)state;
	propose(&b);
	end_write_urgent(&b.end, "early!");
	run(2);
	agree(&b);
	assert_int_equal(sent_cdc(world.t).producer_flags, CDC_URGENT_PENDING | CDC_URGENT_PRESENT);
	finish(&b);
}

static bool stand_in_tells_of_urgent(const struct end *end)
{
	struct pollfd look = {.fd = end->stand_in[0], .events = POLLPRI};

	return poll(&look, 1, 0) == 1 && look.revents & POLLPRI;
}

static void an_urgent_byte_of_the_peers_is_told_with_its_place(void **state)
{
	const struct segment_direction *direction;
	char got[8];
	struct both b;

	(void)state;
	establish(&b);
	direction = &b.end.control->direction[1];
	peer_writes(&b, 0, "ab");
	assert_int_equal(atomic_load(&direction->writer.urgent), 0);
	assert_false(stand_in_tells_of_urgent(&b.end));
	peer_writes_urgent(&b, 2, "c!");
	assert_int_equal(atomic_load(&direction->writer.urgent), 4);
	assert_true(stand_in_tells_of_urgent(&b.end));
	assert_int_equal(end_read(&b.end, got, sizeof(got)), 4);
	assert_memory_equal(got, "abc!", 4);
	finish(&b);
}

/* As in a kernel that does not wait for its peer's answer before its next byte (docs/interop.md). */
static void passing_an_urgent_byte_is_told_at_once(void **state)
{
	char got[8];
	struct both b;

	(void)state;
	establish(&b);
	peer_writes_urgent(&b, 0, "!");
	/* So that it sleeps. */
	eventually(atomic_load(&b.end.control->direction[1].writer.wants_space));
	forget(world.t);
	assert_int_equal(end_read(&b.end, got, 1), 1);
	assert_int_equal(atomic_exchange(&b.end.control->direction[1].writer.wants_space, 0), 1);
	send(b.end.space[0], "", 1, 0);
	eventually(count_cdc(world.t) == 1);
	assert_int_equal(sent_cdc(world.t).consumer.offset, 1);
	finish(&b);
}

static void assert_hole(const struct end *end, uint64_t from, uint64_t to)
{
	const struct segment_urgent *urgent = &end->control->direction[1].urgent;

	assert_int_equal(atomic_load(&urgent->hole_from), from);
	assert_int_equal(atomic_load(&urgent->hole_to), to);
}

static void an_urgent_byte_in_front_of_the_reader_gives_way_to_a_newer_one(void **state)
{
	char got[8];
	struct both b;

	(void)state;
	establish(&b);
	peer_writes_urgent(&b, 0, "ab!");
	peer_writes_urgent(&b, 3, "!"); /* the reader stands before "ab": the older one is data */
	assert_hole(&b.end, 0, 0);
	assert_int_equal(end_read(&b.end, got, 3), 3);
	peer_writes_urgent(&b, 4, "!");
	assert_hole(&b.end, 3, 4);
	peer_writes_urgent(&b, 5, "!");
	assert_hole(&b.end, 3, 5);
	peer_writes_urgent(&b, 6, "cd!"); /* 6 is data's, but 5 was urgent */
	assert_hole(&b.end, 3, 6);
	peer_writes_urgent(&b, 9, "!"); /* it stands before "cd" */
	assert_hole(&b.end, 3, 6);
	finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)
		TEST(an_urgent_byte_is_the_last_of_its_message_and_what_follows_is_another),
		TEST(an_urgent_byte_written_early_is_urgent_once_it_is_smc),
		TEST(an_urgent_byte_of_the_peers_is_told_with_its_place),
		TEST(passing_an_urgent_byte_is_told_at_once),
		TEST(an_urgent_byte_in_front_of_the_reader_gives_way_to_a_newer_one),
	};

	return run_both_ways(tests);
}
