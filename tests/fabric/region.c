/* SPDX-License-Identifier: MIT */
/*
 * Which memory a key opens, and which it does not
 */
#include "fabric/region.h"

#include <errno.h>

#include "../unit/unit.h"
#include "fabric/sim/random.h"

#define SIZE 1000U

static struct region_table table;
static struct fabric_domain domain, other;
static uint8_t memory[SIZE];
static struct region *region;

static struct region *added(struct fabric_domain *in, unsigned int access, uint64_t seed)
{
	const uint64_t random[2] = {sim_random(&seed), sim_random(&seed)};
	struct region *made;

	assert_int_equal(region_add(&table, in, memory, SIZE, access, random, &made), 0);
	return made;
}

static int open_region(void **state)
{
	(void)state;
	region = added(&domain, FABRIC_REMOTE_WRITE | FABRIC_LOCAL_WRITE, 1);
	return 0;
}

static int close_region(void **state)
{
	(void)state;
	region_remove(&table, region);
	region_table_free(&table);
	return 0;
}

static uint8_t *remote(uint64_t offset, uint64_t length)
{
	return region_remote(&table, &domain, region->fabric.remote_key,
			     region->fabric.address + offset, length);
}

static void every_byte_inside_can_be_written(void **state)
{
	(void)state;
	assert_ptr_equal(remote(0, SIZE), memory);
	assert_ptr_equal(remote(SIZE - 1, 1), memory + SIZE - 1);
	assert_ptr_equal(remote(10, 20), memory + 10);
}

static void no_byte_outside_can_be_written(void **state)
{
	(void)state;
	assert_null(remote(0, SIZE + 1));
	assert_null(remote(SIZE, 1));
	assert_null(remote(SIZE + 1, 1));
	assert_null(remote(1, SIZE));
	assert_null(remote((uint64_t)-1, 1));
	assert_null(remote((uint64_t)-1, 2));
	assert_null(remote(1, UINT64_MAX));
	assert_null(remote(0 - region->fabric.address, 1));
}

static void another_key_or_domain_opens_nothing(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 32; bit++)
		assert_null(region_remote(&table, &domain, region->fabric.remote_key ^ 1U << bit,
					  region->fabric.address, 1));
	assert_null(region_remote(&table, &domain, 0, region->fabric.address, 1));
	assert_null(region_remote(&table, &other, region->fabric.remote_key, region->fabric.address,
				  1));
}

static void only_what_was_allowed_can_be_done(void **state)
{
	struct region *quiet = added(&domain, 0, 3);
	const struct fabric_piece piece = {memory, SIZE, quiet->fabric.local_key};

	(void)state;
	assert_int_equal(quiet->fabric.remote_key, 0);
	assert_null(
		region_remote(&table, &domain, quiet->fabric.local_key, quiet->fabric.address, 1));
	assert_true(region_local(&table, &domain, &piece, 0));
	assert_false(region_local(&table, &domain, &piece, FABRIC_LOCAL_WRITE));
	region_remove(&table, quiet);
	assert_false(region_local(&table, &domain, &piece, 0));
}

static void own_pieces_must_lie_inside_too(void **state)
{
	const uint32_t key = region->fabric.local_key;

	(void)state;
	assert_true(region_local(&table, &domain, &(struct fabric_piece){memory, SIZE, key}, 0));
	assert_true(
		region_local(&table, &domain, &(struct fabric_piece){memory + SIZE, 0, key}, 0));
	assert_false(
		region_local(&table, &domain, &(struct fabric_piece){memory, SIZE + 1, key}, 0));
	assert_false(
		region_local(&table, &domain, &(struct fabric_piece){memory + 1, SIZE, key}, 0));
	assert_false(region_local(&table, &domain, &(struct fabric_piece){NULL, 1, key}, 0));
	assert_false(region_local(&table, &domain, &(struct fabric_piece){(void *)-1L, 2, key}, 0));
	assert_false(region_local(&table, &other, &(struct fabric_piece){memory, 1, key}, 0));
}

/* Keys are not given again soon, and never twice at a time. */
static void a_key_of_before_opens_nothing(void **state)
{
	uint32_t before[200];

	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		struct region *made = added(&domain, FABRIC_REMOTE_WRITE, 7 /* the same chance */);
		uint64_t address = made->fabric.address;

		before[i] = made->fabric.remote_key;
		for (unsigned int k = 0; k < i; k++)
			assert_null(region_remote(&table, &domain, before[k], address, 1));
		region_remove(&table, made);
		assert_null(region_remote(&table, &domain, before[i], address, 1));
	}
}

static void many_can_be_registered(void **state)
{
	static struct region *many[3000];

	(void)state;
	for (unsigned int i = 0; i < 3000; i++)
		many[i] = added(&domain, FABRIC_REMOTE_WRITE, i);
	for (unsigned int i = 0; i < 3000; i++)
		assert_ptr_equal(region_remote(&table, &domain, many[i]->fabric.remote_key,
					       many[i]->fabric.address + 1, 1),
				 memory + 1);
	for (unsigned int i = 0; i < 3000; i++)
		region_remove(&table, many[i]);
}

static void what_is_no_region_is_refused(void **state)
{
	const uint64_t random[2] = {1, 2};
	struct region *made;

	(void)state;
	assert_int_equal(region_add(&table, &domain, NULL, 1, 0, random, &made), -EINVAL);
	assert_int_equal(region_add(&table, &domain, memory, 0, 0, random, &made), -EINVAL);
	assert_int_equal(region_add(&table, &domain, memory, SIZE_MAX, 0, random, &made), -EINVAL);
	assert_int_equal(region_add(&table, &domain, memory, 1, 4, random, &made), -EINVAL);
}

int main(void)
{
#define REGION_TEST(name) cmocka_unit_test_setup_teardown(name, open_region, close_region)
	const struct CMUnitTest tests[] = {
		REGION_TEST(every_byte_inside_can_be_written),
		REGION_TEST(no_byte_outside_can_be_written),
		REGION_TEST(another_key_or_domain_opens_nothing),
		REGION_TEST(only_what_was_allowed_can_be_done),
		REGION_TEST(own_pieces_must_lie_inside_too),
		REGION_TEST(a_key_of_before_opens_nothing),
		REGION_TEST(many_can_be_registered),
		REGION_TEST(what_is_no_region_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
