/* SPDX-License-Identifier: MIT */
/*
 * Scripts and people read what these functions print
 */
#include "cli/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "unit.h"

static struct side_address address(const char *text, uint16_t port)
{
	struct side_address result = {.port = port};

	assert_int_equal(inet_pton(AF_INET6, text, result.bytes), 1);
	return result;
}

static void expect_address(const char *text, uint16_t port, const char *expected)
{
	struct side_address a = address(text, port);
	char shown[NAME_ADDRESS_MAX];

	name_address(&a, shown);
	assert_string_equal(shown, expected);
}

static void addresses_look_as_ss_shows_them(void **state)
{
	(void)state;
	expect_address("::ffff:192.0.2.1", 80, "192.0.2.1:80");
	expect_address("::ffff:0.0.0.0", 6379, "0.0.0.0:6379");
	expect_address("2001:db8::1", 65535, "[2001:db8::1]:65535");
	expect_address("::", 8080, "[::]:8080");
	expect_address("::", 0, "*:*");
	expect_address("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 65535,
		       "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

/* A program chooses its own name: it must not reach the terminal as an escape sequence. */
static void program_names_are_made_printable(void **state)
{
	char shown[9];

	(void)state;
	name_program("redis", 8, shown);
	assert_string_equal(shown, "redis");
	name_program("\033[2J\n\377", 8, shown);
	assert_string_equal(shown, "?[2J??");
	name_program("endless!endless!", 8, shown); /* no NUL within its size */
	assert_string_equal(shown, "endless!");
}

static void expect_amount(uint64_t bytes, const char *expected)
{
	char shown[NAME_AMOUNT_MAX];

	name_amount(bytes, shown);
	assert_string_equal(shown, expected);
}

static void amounts_have_the_unit_that_fits(void **state)
{
	(void)state;
	expect_amount(0, "0 B");
	expect_amount(999, "999 B");
	expect_amount(1000, "1.0 kB");
	expect_amount(999949, "999.9 kB");
	expect_amount(999950, "1.0 MB");
	expect_amount(UINT64_MAX, "18.4 EB");
}

static void durations_count_days(void **state)
{
	char shown[NAME_DURATION_MAX];

	(void)state;
	name_duration(59999, shown);
	assert_string_equal(shown, "00:00:59");
	name_duration(((2 * 24 + 3) * 3600 + 4 * 60 + 5) * 1000ULL, shown);
	assert_string_equal(shown, "2d 03:04:05");
}

static void expect_parsed(const char *text, int error, uint64_t expected)
{
	uint64_t bytes = 0;

	assert_int_equal(parse_amount(text, &bytes), error);
	if (!error)
		assert_int_equal(bytes, expected);
}

static void amounts_are_parsed_or_refused(void **state)
{
	(void)state;
	expect_parsed("0", 0, 0);
	expect_parsed("16384", 0, 16384);
	expect_parsed("16k", 0, 16384);
	expect_parsed("2M", 0, 2U << 20);
	expect_parsed("1G", 0, 1U << 30);
	expect_parsed("18446744073709551615", 0, UINT64_MAX);
	expect_parsed("18446744073709551616", -ERANGE, 0);
	expect_parsed("18446744073709551615k", -ERANGE, 0);
	expect_parsed("", -EINVAL, 0);
	expect_parsed("-1", -EINVAL, 0);
	expect_parsed(" 1", -EINVAL, 0);
	expect_parsed("1x", -EINVAL, 0);
	expect_parsed("1kk", -EINVAL, 0);
	expect_parsed("k", -EINVAL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_look_as_ss_shows_them),
		cmocka_unit_test(program_names_are_made_printable),
		cmocka_unit_test(amounts_have_the_unit_that_fits),
		cmocka_unit_test(durations_count_days),
		cmocka_unit_test(amounts_are_parsed_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
