/* SPDX-License-Identifier: MIT */
/*
 * CDC messages, against those that two Linux kernels exchanged
 */
#include "wire/cdc.h"

#include <errno.h>

#include "wire.h"

#define ROUNDS 20000

static const char window_filled[] = /* a first full 64 KiB: one wrap, offset 0 */
	"fe2c000100000005000000010000000000000000000000008000000000000000000000000000000000000000";
static const char half_closed[] =
	"fe2c003f000000050000003d0000090000000000000000000080000000000000000000000000000000000000";
static const char closed[] =
	"fe2c003e0000000500000000000000000000003d000009000040000000000000000000000000000000000000";
static const char closed_after_half[] =
	"fe2c0040000000050000003d00000900000000000000000000c0000000000000000000000000000000000000";
static const char aborted[] =
	"fe2c000200000006000000000000006400000000000000000020000000000000000000000000000000000000";
static const char failed_over[] =
	"fe2c000f00000001000000000000000000000000000000000800000000000000000000000000000000000000";
static const char urgent[] =
	"fe2c000200000008000000000000000400000000000000006000000000000000000000000000000000000000";

static const char *const captured[] = {window_filled, half_closed, closed, closed_after_half,
				       aborted,	      failed_over, urgent};

static struct cdc_message decoded(const char *hex)
{
	struct wire_bytes bytes = wire_hex(hex);
	struct cdc_message message;

	assert_int_equal(cdc_decode(&message, bytes.bytes, bytes.size, NULL), 0);
	wire_free(&bytes);
	return message;
}

static void cursors_and_flags_are_where_the_kernel_puts_them(void **state)
{
	struct cdc_message message = decoded(window_filled);

	(void)state;
	assert_int_equal(message.sequence, 1);
	assert_int_equal(message.token, 5);
	assert_int_equal(message.producer.wrap, 1);
	assert_int_equal(message.producer.offset, 0);
	assert_int_equal(message.producer_flags, CDC_WRITE_BLOCKED);
	assert_int_equal(message.connection_flags, 0);
	message = decoded(closed);
	assert_int_equal(message.sequence, 62);
	assert_int_equal(message.producer.offset, 0);
	assert_int_equal(message.consumer.wrap, 61);
	assert_int_equal(message.consumer.offset, 2304);
	assert_int_equal(message.connection_flags, CDC_CLOSED);
}

static void every_kind_of_flag_is_told(void **state)
{
	(void)state;
	assert_int_equal(decoded(half_closed).connection_flags, CDC_SENDING_DONE);
	assert_int_equal(decoded(closed_after_half).connection_flags,
			 CDC_SENDING_DONE | CDC_CLOSED);
	assert_int_equal(decoded(aborted).connection_flags, CDC_ABNORMAL_CLOSE);
	assert_int_equal(decoded(failed_over).producer_flags, CDC_FAILOVER_VALIDATION);
	assert_int_equal(decoded(urgent).producer_flags, CDC_URGENT_PENDING | CDC_URGENT_PRESENT);
}

static void captured_messages_encode_to_the_same_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(captured) / sizeof(captured[0]); i++) {
		struct wire_bytes bytes = wire_hex(captured[i]), again = wire_blank(CDC_LENGTH);
		struct cdc_message message = decoded(captured[i]);

		assert_int_equal(cdc_encode(&message, again.bytes, again.size), CDC_LENGTH);
		assert_memory_equal(again.bytes, bytes.bytes, CDC_LENGTH);
		wire_free(&bytes);
		wire_free(&again);
	}
}

static void every_other_length_is_refused(void **state)
{
	struct cdc_message message;

	(void)state;
	for (size_t size = 0; size < 100; size++) {
		struct wire_bytes bytes = wire_blank(size);
		const char *field = NULL;

		if (size > 1) {
			bytes.bytes[0] = CDC_TYPE;
			bytes.bytes[1] = CDC_LENGTH;
		}
		assert_int_equal(cdc_decode(&message, bytes.bytes, size, &field),
				 size == CDC_LENGTH ? 0 : -EMSGSIZE);
		if (size != CDC_LENGTH)
			assert_string_equal(field, "length");
		wire_free(&bytes);
	}
}

static void what_is_no_cdc_message_is_refused(void **state)
{
	struct wire_bytes bytes = wire_hex(closed);
	struct cdc_message message;
	const char *field = NULL;

	(void)state;
	bytes.bytes[1] = CDC_LENGTH + 1;
	assert_int_equal(cdc_decode(&message, bytes.bytes, bytes.size, &field), -EMSGSIZE);
	assert_string_equal(field, "length");
	bytes.bytes[1] = CDC_LENGTH;
	for (unsigned int type = 0; type < 256; type++) {
		bytes.bytes[0] = (uint8_t)type;
		assert_int_equal(cdc_decode(&message, bytes.bytes, bytes.size, &field),
				 type == CDC_TYPE ? 0 : -EPROTONOSUPPORT);
		if (type != CDC_TYPE)
			assert_string_equal(field, "type");
	}
	wire_free(&bytes);
}

static void too_little_room_is_noticed(void **state)
{
	struct cdc_message message = decoded(closed);

	(void)state;
	for (size_t room = 0; room < CDC_LENGTH; room++) {
		struct wire_bytes to = wire_blank(room);

		assert_int_equal(cdc_encode(&message, to.bytes, room), -ENOBUFS);
		wire_free(&to);
	}
}

static void what_is_encoded_decodes_to_the_same(void **state)
{
	uint64_t seed = 4;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct wire_bytes bytes = wire_blank(CDC_LENGTH);
		struct cdc_message message, back;

		/* Any bytes at all are a valid struct, but for padding. */
		wire_random_fill(&seed, &message, sizeof(message));
		memset(&back, 0, sizeof(back));
		assert_int_equal(cdc_encode(&message, bytes.bytes, bytes.size), CDC_LENGTH);
		assert_int_equal(cdc_decode(&back, bytes.bytes, bytes.size, NULL), 0);
		assert_int_equal(back.sequence, message.sequence);
		assert_int_equal(back.token, message.token);
		assert_memory_equal(&back.producer, &message.producer, sizeof(back.producer));
		assert_memory_equal(&back.consumer, &message.consumer, sizeof(back.consumer));
		assert_int_equal(back.producer_flags, message.producer_flags);
		assert_int_equal(back.connection_flags, message.connection_flags);
		assert_memory_equal(back.reserved, message.reserved, sizeof(back.reserved));
		wire_free(&bytes);
	}
}

static void what_is_accepted_encodes_to_the_same_bytes(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct wire_bytes bytes = wire_blank(CDC_LENGTH);
		uint8_t again[CDC_LENGTH];
		struct cdc_message message;

		wire_random_fill(&seed, bytes.bytes, bytes.size);
		bytes.bytes[0] = CDC_TYPE;
		bytes.bytes[1] = CDC_LENGTH;
		assert_int_equal(cdc_decode(&message, bytes.bytes, bytes.size, NULL), 0);
		assert_int_equal(cdc_encode(&message, again, sizeof(again)), CDC_LENGTH);
		assert_memory_equal(again, bytes.bytes, CDC_LENGTH);
		wire_free(&bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursors_and_flags_are_where_the_kernel_puts_them),
		cmocka_unit_test(every_kind_of_flag_is_told),
		cmocka_unit_test(captured_messages_encode_to_the_same_bytes),
		cmocka_unit_test(every_other_length_is_refused),
		cmocka_unit_test(what_is_no_cdc_message_is_refused),
		cmocka_unit_test(too_little_room_is_noticed),
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
		cmocka_unit_test(what_is_accepted_encodes_to_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
