/* SPDX-License-Identifier: MIT */
/*
 * What is remembered of a heading is what it would be made anew, whatever else was asked for meanwhile
 */
#include "fabric/soft/heading.h"

#include <stdlib.h>

#include "unit.h"

static void what_is_remembered_is_right(void **state)
{
	struct heading headings[HEADINGS] = {0};
	struct roce_path paths[4] = {0};
	unsigned int seed = 1;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		paths[i].source[10] = paths[i].source[11] = i < 2 ? 0xff : 0;
		paths[i].destination[10] = paths[i].destination[11] = i < 2 ? 0xff : 0;
		paths[i].source[15] = (uint8_t)(i + 1);
		paths[i].source_port = (uint16_t)(0xc000 + i);
	}
	for (unsigned int i = 0; i < 100000; i++) {
		const struct roce_path *path = &paths[rand_r(&seed) % 4];
		const uint16_t identification = (uint16_t)(rand_r(&seed) % 8);
		const uint16_t fragment = rand_r(&seed) % 2 ? ROCE_DONT_FRAGMENT : 0;
		const size_t length =
			20 + 4 * ((size_t)rand_r(&seed) % 2 * HEADINGS + (size_t)rand_r(&seed) % 8);

		assert_int_equal(heading_icrc(headings, path, identification, fragment, length),
				 roce_icrc_begin(path, identification, fragment, length));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_remembered_is_right)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
