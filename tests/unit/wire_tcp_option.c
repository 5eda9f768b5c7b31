/* SPDX-License-Identifier: MIT */
/*
 * The option among the others of a SYN
 */
#include "wire/tcp_option.h"

#include <errno.h>

#include "wire.h"

static int found(const char *hex, const char **field)
{
	struct wire_bytes options = wire_hex(hex);
	int offset = tcp_option_find(options.bytes, options.size, field);

	wire_free(&options);
	return offset;
}

static void it_is_found_where_the_kernel_puts_it(void **state)
{
	(void)state;
	assert_int_equal(found("020405b40402080a407f1d6400000000010303060101fe06e2d4c3d9", NULL),
			 22);
}

static void it_is_found_anywhere(void **state)
{
	(void)state;
	assert_int_equal(found("fe06e2d4c3d9", NULL), 0);
	assert_int_equal(found("fe06e2d4c3d9 0101 020405b4", NULL), 0);
	assert_int_equal(found("01 fe06e2d4c3d9 00", NULL), 1);
	assert_int_equal(found("fe08e2d4c3d9ffff", NULL), 0); /* bytes behind the identifier */
	assert_int_equal(found("fe04f989 fe06e2d4c3d9", NULL), 4); /* Fast Open has the same kind */
}

static void others_are_not_taken_for_it(void **state)
{
	(void)state;
	assert_int_equal(found("", NULL), -ENOENT);
	assert_int_equal(found("020405b40101080a407f1d6400000000", NULL), -ENOENT);
	assert_int_equal(found("fd06e2d4c3d9", NULL), -ENOENT);
	assert_int_equal(found("fe06e2d4c3c4", NULL), -ENOENT);
	assert_int_equal(found("fe07e2d4c3d900", NULL), -ENOENT); /* odd */
	assert_int_equal(found("fe04e2d4", NULL), -ENOENT);
	assert_int_equal(found("00 fe06e2d4c3d9", NULL), -ENOENT); /* after the end of options */
	assert_int_equal(found("2208e2d4c3d9fe06 0101", NULL), -ENOENT); /* inside another */
}

static void a_broken_list_is_said_to_be(void **state)
{
	const char *field = NULL;

	(void)state;
	assert_int_equal(found("0200", &field), -EPROTO);
	assert_string_equal(field, "option length");
	assert_int_equal(found("0201", NULL), -EPROTO);
	assert_int_equal(found("02", NULL), -EPROTO);
	assert_int_equal(found("fe06e2d4c3", NULL), -EPROTO);
	assert_int_equal(found("0205aa", NULL), -EPROTO);
	assert_int_equal(found("fe06e2d4c3d9 0200", NULL),
			 0); /* what is behind it does not matter */
}

static void what_is_encoded_is_found(void **state)
{
	uint8_t bytes[TCP_OPTION_LENGTH];
	const uint8_t wanted[] = {0xfe, 0x06, 0xe2, 0xd4, 0xc3, 0xd9};

	(void)state;
	assert_int_equal(tcp_option_encode(bytes, sizeof(bytes)), TCP_OPTION_LENGTH);
	assert_memory_equal(bytes, wanted, sizeof(wanted));
	assert_int_equal(tcp_option_find(bytes, sizeof(bytes), NULL), 0);
	for (size_t room = 0; room < TCP_OPTION_LENGTH; room++)
		assert_int_equal(tcp_option_encode(bytes, room), -ENOBUFS);
}

/* Whatever is claimed to be found is there. */
static void random_options_never_mislead(void **state)
{
	static const uint8_t likely[] = {0, 1, 2, 4, 6, 8, 254, 0xe2, 0xd4, 0xc3, 0xd9, 254, 6};
	uint64_t seed = 6;
	unsigned int hits = 0;

	(void)state;
	for (unsigned int round = 0; round < 200000; round++) {
		struct wire_bytes options = wire_blank(wire_random_below(&seed, 41));
		int offset;

		for (size_t i = 0; i < options.size; i++)
			options.bytes[i] = likely[wire_random_below(&seed, sizeof(likely))];
		if (options.size >= 12) { /* else nearly no list would have it */
			options.bytes[0] = 1;
			tcp_option_encode(options.bytes + wire_random_below(&seed, 6), 6);
		}
		offset = tcp_option_find(options.bytes, options.size, NULL);
		if (offset >= 0) {
			const uint8_t *at = options.bytes + offset;

			assert_true((size_t)offset + at[1] <= options.size);
			assert_int_equal(at[0], TCP_OPTION_KIND);
			assert_memory_equal(at + 2, "\xe2\xd4\xc3\xd9", 4);
			hits++;
		}
		wire_free(&options);
	}
	assert_true(hits > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_found_where_the_kernel_puts_it),
		cmocka_unit_test(it_is_found_anywhere),
		cmocka_unit_test(others_are_not_taken_for_it),
		cmocka_unit_test(a_broken_list_is_said_to_be),
		cmocka_unit_test(what_is_encoded_is_found),
		cmocka_unit_test(random_options_never_mislead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
