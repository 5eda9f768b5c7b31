/* SPDX-License-Identifier: MIT */
/*
 * The cursors that every decoder and encoder trusts to stay inside a buffer
 */
#include "wire/bytes.h"

#include "wire.h"

static void numbers_are_big_endian_and_unaligned(void **state)
{
	struct wire_bytes in = wire_hex("01 0203 040506 0708090a 0b0c0d0e0f101112");
	struct bytes_reader reader = bytes_reader(in.bytes, in.size);

	(void)state;
	assert_int_equal(bytes_get_u8(&reader), 0x01);
	assert_int_equal(bytes_get_u16(&reader), 0x0203);
	assert_int_equal(bytes_get_u24(&reader), 0x040506);
	assert_int_equal(bytes_get_u32(&reader), 0x0708090a);
	assert_int_equal(bytes_get_u64(&reader), 0x0b0c0d0e0f101112);
	assert_int_equal(reader.left, 0);
	assert_false(reader.beyond);
	wire_free(&in);
}

static void what_is_written_can_be_read(void **state)
{
	uint8_t buffer[18], bytes[] = {1, 2, 3}, back[3];
	struct bytes_writer writer = bytes_writer(buffer, sizeof(buffer));
	struct bytes_reader reader = bytes_reader(buffer, sizeof(buffer));

	(void)state;
	bytes_put_u8(&writer, 0xfe);
	bytes_put_u16(&writer, 0xfedc);
	bytes_put_u24(&writer, 0xff123456); /* the low 24 bits go */
	bytes_put_u32(&writer, 0xfedcba98);
	bytes_put(&writer, bytes, sizeof(bytes));
	bytes_put_number(&writer, 0x8040201008, 5);
	assert_int_equal(writer.left, 0);
	assert_false(writer.beyond);
	assert_int_equal(bytes_get_u8(&reader), 0xfe);
	assert_int_equal(bytes_get_u16(&reader), 0xfedc);
	assert_int_equal(bytes_get_u24(&reader), 0x123456);
	assert_int_equal(bytes_get_u32(&reader), 0xfedcba98);
	bytes_get(&reader, back, sizeof(back));
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_int_equal(bytes_get_number(&reader, 5), 0x8040201008);
}

static void a_read_beyond_the_end_yields_zeros_for_good(void **state)
{
	struct wire_bytes in = wire_hex("0102 03");
	struct bytes_reader reader = bytes_reader(in.bytes, in.size);
	uint8_t back[2] = {9, 9}, zeros[2] = {0};

	(void)state;
	assert_int_equal(bytes_get_u16(&reader), 0x0102);
	assert_int_equal(bytes_get_u16(&reader), 0);
	assert_true(reader.beyond);
	assert_int_equal(bytes_get_u8(&reader), 0); /* although a byte would be there */
	bytes_get(&reader, back, sizeof(back));
	assert_memory_equal(back, zeros, sizeof(zeros));
	assert_null(bytes_take(&reader, 0));
	wire_free(&in);
}

static void a_write_beyond_the_end_changes_nothing_for_good(void **state)
{
	uint8_t buffer[4] = {7, 7, 7, 7};
	const uint8_t wanted[4] = {1, 2, 7, 7};
	struct bytes_writer writer = bytes_writer(buffer, 3);

	(void)state;
	bytes_put_u16(&writer, 0x0102);
	bytes_put_u16(&writer, 0x0304);
	assert_true(writer.beyond);
	bytes_put_u8(&writer, 5);
	bytes_put(&writer, "x", 1);
	assert_null(bytes_reserve(&writer, 0));
	assert_memory_equal(buffer, wanted, sizeof(wanted));
}

static void an_empty_buffer_may_be_null(void **state)
{
	struct bytes_reader reader = bytes_reader(NULL, 0);
	struct bytes_writer writer = bytes_writer(NULL, 0);

	(void)state;
	bytes_get(&reader, &reader, 0);
	assert_false(reader.beyond);
	assert_int_equal(bytes_get_u8(&reader), 0);
	assert_true(reader.beyond);
	bytes_put(&writer, NULL, 0);
	assert_false(writer.beyond);
	bytes_put_u8(&writer, 1);
	assert_true(writer.beyond);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_big_endian_and_unaligned),
		cmocka_unit_test(what_is_written_can_be_read),
		cmocka_unit_test(a_read_beyond_the_end_yields_zeros_for_good),
		cmocka_unit_test(a_write_beyond_the_end_changes_nothing_for_good),
		cmocka_unit_test(an_empty_buffer_may_be_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
