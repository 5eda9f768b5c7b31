/* SPDX-License-Identifier: MIT */
/*
 * What smcu ss is told of SMC-R connections: each is found by its cookie, among its user's own
 */
#include "daemon/listing_remote.h"

#include <stdio.h>
#include <string.h>

#include "daemon/remote.h"
#include "daemon/rnic.h"
#include "proto/connection.h"
#include "proto/link_group.h"
#include "unit.h"

#define USER 1000
#define CONNECTIONS 4

/* Here a remote is what it says of itself. */
struct remote {
	struct remote_facts facts;
};

static struct remote remotes[CONNECTIONS];
static struct connection connections[CONNECTIONS];
static struct link_group group;
static struct rnic rnics[2];
static struct engine engine;

void remote_describe(const struct remote *remote, struct remote_facts *facts)
{
	*facts = remote->facts;
}

static int setup(void **state)
{
	(void)state;
	memset(&group, 0, sizeof(group));
	group.role = PROTO_SERVER;
	group.link.number = 1;
	group.link.user_id = 0x701;
	group.link.peer.gid[15] = 9;
	engine.rnic_count = 2;
	for (unsigned int i = 0; i < 2; i++) {
		engine.rnics[i] = &rnics[i];
		list_init(&rnics[i].host.connections);
		snprintf(rnics[i].name, sizeof(rnics[i].name), "eth%u", i);
	}
	memset(connections, 0, sizeof(connections));
	for (unsigned int i = 0; i < CONNECTIONS; i++) {
		remotes[i].facts = (struct remote_facts){
			.uid = USER, .cookie = 100 - i, .connection = &connections[i], .smc = true};
		connections[i].engine = &remotes[i];
		connections[i].group = &group;
		connections[i].state = CONNECTION_ACTIVE;
		connections[i].token = i + 1;
		connections[i].written = 70 + i;
		list_append(&rnics[i % 2].host.connections, &connections[i].of_host);
	}
	return 0;
}

static void each_connection_is_found_by_its_cookie(void **state)
{
	struct snapshot_connection records[CONNECTIONS + 1] = {0};

	(void)state;
	for (unsigned int i = 0; i <= CONNECTIONS; i++) {
		records[i].state = SIDE_SMCR;
		records[i].cookie = 100 - i;
	}
	listing_remotes(&engine, records, CONNECTIONS + 1, USER);
	for (unsigned int i = 0; i < CONNECTIONS; i++) {
		assert_int_equal(records[i].remote.state, CONNECTION_ACTIVE);
		assert_int_equal(records[i].remote.token, i + 1);
		assert_int_equal(records[i].remote.written, 70 + i);
		assert_string_equal(records[i].remote.device, i % 2 ? "eth1" : "eth0");
		assert_int_equal(records[i].remote.role, 1);
		assert_int_equal(records[i].remote.group, 0x700);
		assert_int_equal(records[i].remote.link, 1);
		assert_int_equal(records[i].remote.peer_gid[15], 9);
	}
	assert_int_equal(records[CONNECTIONS].remote.state, 0); /* nobody has that one */
}

static void a_connection_of_tcp_has_nothing(void **state)
{
	struct snapshot_connection record = {.state = SIDE_TCP, .cookie = 100};

	(void)state;
	listing_remotes(&engine, &record, 1, USER);
	assert_int_equal(record.remote.state, 0);
	record.state = SIDE_SMCR;
	remotes[0].facts.smc = false;
	listing_remotes(&engine, &record, 1, USER);
	assert_int_equal(record.remote.state, 0);
	listing_remotes(NULL, &record, 1, USER);
	assert_int_equal(record.remote.state, 0);
}

/* A program writes cookies of its choice into its records. */
static void another_users_connection_is_not_shown(void **state)
{
	struct snapshot_connection record = {.state = SIDE_SMCR, .cookie = 100};

	(void)state;
	listing_remotes(&engine, &record, 1, USER + 1);
	assert_int_equal(record.remote.state, 0);
	listing_remotes(&engine, &record, 1, USER);
	assert_int_equal(record.remote.state, CONNECTION_ACTIVE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_connection_is_found_by_its_cookie, setup),
		cmocka_unit_test_setup(a_connection_of_tcp_has_nothing, setup),
		cmocka_unit_test_setup(another_users_connection_is_not_shown, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
