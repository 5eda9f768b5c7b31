/* SPDX-License-Identifier: MIT */
/*
 * What the daemon finds out about this host's networks; loopback is one that every host has
 */
#include <string.h>

#include "daemon/network.h"
#include "unit.h"

static const uint8_t loopback[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
static const uint8_t nobody[16] = {[10] = 0xff, [11] = 0xff, [12] = 203, [14] = 113, [15] = 77};

static struct network network;

static int ask(void **state)
{
	(void)state;
	network_refresh(&network, 0);
	return network.list ? 0 : -1;
}

static int forget(void **state)
{
	(void)state;
	network_close(&network);
	return 0;
}

static void an_address_of_ours_is_on_its_interface(void **state)
{
	char name[IF_NAMESIZE];

	(void)state;
	assert_true(network_interface(&network, loopback, name));
	assert_string_equal(name, "lo");
	assert_false(network_interface(&network, nobody, name));
}

static void the_network_of_an_address_is_named_first(void **state)
{
	struct clc_prefix prefixes[CLC_PREFIXES_MAX];
	static const uint8_t network_of_it[4] = {127, 0, 0, 0};

	(void)state;
	assert_in_range(network_prefixes(&network, loopback, prefixes), 1, CLC_PREFIXES_MAX);
	assert_memory_equal(prefixes[0].address, network_of_it, sizeof(network_of_it));
	assert_int_equal(prefixes[0].length, 8);
	assert_int_equal(network_prefixes(&network, nobody, prefixes), 0);
}

static void what_is_in_a_network_needs_no_gateway(void **state)
{
	static const uint8_t near[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [13] = 9, [15] = 3};

	(void)state;
	assert_true(network_is_direct(&network, "lo", near));
	assert_false(network_is_direct(&network, "lo", nobody));
	assert_false(network_is_direct(&network, "none", near));
	assert_true(network_has_route(near));
}

static void the_list_is_kept_for_a_moment(void **state)
{
	const struct ifaddrs *before = network.list;

	(void)state;
	network_refresh(&network, NETWORK_KEEP_MS - 1);
	assert_ptr_equal(network.list, before);
	network_refresh(&network, NETWORK_KEEP_MS);
	assert_int_equal(network.asked, NETWORK_KEEP_MS);
}

static void a_list_without_an_address_of_ours_is_kept_for_less(void **state)
{
	const int64_t asked = network.asked;

	(void)state;
	network_refresh_for(&network, asked + NETWORK_KEEP_LACKING_MS, loopback);
	network_refresh_for(&network, asked + NETWORK_KEEP_LACKING_MS - 1, nobody);
	assert_int_equal(network.asked, asked);
	network_refresh_for(&network, asked + NETWORK_KEEP_LACKING_MS, nobody);
	assert_int_equal(network.asked, asked + NETWORK_KEEP_LACKING_MS);
}

static void an_interface_without_a_vlan_has_none(void **state)
{
	(void)state;
	assert_int_equal(network_vlan("lo"), 0);
	assert_int_equal(network_vlan("none"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_of_ours_is_on_its_interface),
		cmocka_unit_test(the_network_of_an_address_is_named_first),
		cmocka_unit_test(what_is_in_a_network_needs_no_gateway),
		cmocka_unit_test(the_list_is_kept_for_a_moment),
		cmocka_unit_test(a_list_without_an_address_of_ours_is_kept_for_less),
		cmocka_unit_test(an_interface_without_a_vlan_has_none),
	};

	return cmocka_run_group_tests(tests, ask, forget);
}
