/* SPDX-License-Identifier: MIT */
/*
 * Listings: what people are told of link groups, links, adapters and connections is what the protocol
 * and the adapter have
 */
#include "daemon/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/snapshot.h"
#include "daemon/rnic.h"
#include "fabric/soft/device.h"
#include "proto/connection.h"
#include "proto/link_group.h"
#include "proto/rkey.h"
#include "unit.h"

static const uint8_t gid_of_us[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1};
static const uint8_t gid_of_peer[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 2};
static bool port_is_gone;

static int query_port(struct fabric_device *device, struct fabric_port *port)
{
	(void)device;
	if (port_is_gone)
		return -ENODEV;
	*port = (struct fabric_port){
		.active = true, .mtu = 5, .mac = {2, 0, 0, 0, 0, 1}, .pnetid = "NET1"};
	return 0;
}

/* There are two addresses, with a hole between them. */
static int query_gid(struct fabric_device *device, unsigned int index, struct fabric_gid *gid)
{
	(void)device;
	if (index != 0 && index != 3)
		return -ENOENT;
	memcpy(gid->bytes, index ? gid_of_peer : gid_of_us, sizeof(gid->bytes));
	return 0;
}

static const struct fabric_ops soft_ops = {
	.name = "soft", .port_query = query_port, .gid_query = query_gid};
static const struct fabric_ops other_ops = {
	.name = "verbs", .port_query = query_port, .gid_query = query_gid};

static struct soft_device soft;
static struct fabric_device other;
static struct link_group group;
static struct rmb rmb;
static struct rnic rnics[2];
static struct engine engine;

static void init_group(struct proto_host *host)
{
	memset(&group, 0, sizeof(group));
	group.host = host;
	group.role = PROTO_SERVER;
	group.state = LINK_GROUP_ACTIVE;
	group.version = 2;
	group.release = 1;
	group.vlan = 7;
	group.count = 3;
	group.max_connections = 200;
	group.max_links = 2;
	group.direct = true;
	memset(group.peer_id, 0xab, sizeof(group.peer_id));
	memset(group.eid, ' ', sizeof(group.eid));
	memcpy(group.eid, "SMCU", 4);
	group.rkeys[0].used = group.rkeys[254].used = true;
	list_init(&group.rmbs);
	list_append(&group.rmbs, &rmb.of_group);
	group.link.state = LINK_ACTIVE;
	group.link.number = 1;
	group.link.user_id = 0x501;
	group.link.queue_pair = 0x11;
	group.link.peer.queue_pair = 0x22;
	group.link.peer.mtu = 3;
	group.link.post_count = 4;
	group.link.tests = 5;
	memcpy(group.link.peer.gid, gid_of_peer, sizeof(gid_of_peer));
	group.link.peer_mac[5] = 2;
	list_append(&host->groups, &group.of_host);
}

static int setup(void **state)
{
	(void)state;
	port_is_gone = false;
	soft.base.fabric.ops = &soft_ops;
	soft.counters = (struct soft_counters){.sent = 1,
					       .received = 2,
					       .trains = 3,
					       .repeated = 4,
					       .timeouts = 5,
					       .gaps = 6,
					       .duplicates = 7,
					       .not_ready = 8,
					       .refused = 9,
					       .bad_length = 10,
					       .bad_icrc = 11,
					       .bad_partition = 12,
					       .stranger = 13,
					       .unknown = 14};
	other.ops = &other_ops;
	memset(rnics, 0, sizeof(rnics));
	for (int i = 0; i < 2; i++) {
		list_init(&rnics[i].host.groups);
		list_init(&rnics[i].host.connections);
		engine.rnics[i] = &rnics[i];
	}
	strcpy(rnics[0].name, "eth0");
	strcpy(rnics[1].name, "an-interface-15");
	rnics[0].device = &soft.base.fabric;
	rnics[1].device = &other;
	memcpy(rnics[0].host.config.gid_v2, gid_of_us, sizeof(gid_of_us));
	rnics[0].host.config.mac[5] = 1;
	engine.rnic_count = 2;
	init_group(&rnics[0].host);
	return 0;
}

/* The records of a listing, to be freed; how many must be @wanted. */
static void *list(const struct engine *of, enum query_what what, size_t size, uint32_t wanted)
{
	int file = memfd_create("listing", MFD_CLOEXEC);
	uint32_t count = 99;
	void *records = calloc(wanted + 1, size);

	assert_true(file >= 0);
	assert_non_null(records);
	assert_int_equal(listing_write(of, what, file, &count), size);
	assert_int_equal(count, wanted);
	assert_int_equal(pread(file, records, (wanted + 1) * size, 0), wanted * size);
	close(file);
	return records;
}

static void without_adapters_nothing_is_listed(void **state)
{
	(void)state;
	free(list(NULL, QUERY_LINK_GROUPS, sizeof(struct snapshot_link_group), 0));
	free(list(NULL, QUERY_LINKS, sizeof(struct snapshot_link), 0));
	free(list(NULL, QUERY_DEVICES, sizeof(struct snapshot_device), 0));
}

static void a_link_group_is_told_as_it_is(void **state)
{
	struct snapshot_link_group *g =
		list(&engine, QUERY_LINK_GROUPS, sizeof(struct snapshot_link_group), 1);

	(void)state;
	assert_int_equal(g->group, 0x500);
	assert_int_equal(g->role, 1);
	assert_int_equal(g->state, LINK_GROUP_ACTIVE);
	assert_int_equal(g->version, 2);
	assert_int_equal(g->release, 1);
	assert_int_equal(g->vlan, 7);
	assert_int_equal(g->connections, 3);
	assert_int_equal(g->connections_max, 200);
	assert_int_equal(g->links, 1);
	assert_int_equal(g->links_max, 2);
	assert_int_equal(g->rmbs, 1);
	assert_int_equal(g->rkeys, 2);
	assert_int_equal(g->direct, 1);
	assert_int_equal(g->out_of_sync, 0);
	assert_memory_equal(g->peer_id, group.peer_id, sizeof(g->peer_id));
	assert_memory_equal(g->eid, "SMCU                            ", sizeof(g->eid));
	assert_string_equal(g->device, "eth0");
	assert_string_equal(g->pnetid, "NET1");
	free(g);
}

static void a_link_is_told_as_it_is(void **state)
{
	struct snapshot_link *l = list(&engine, QUERY_LINKS, sizeof(struct snapshot_link), 1);

	(void)state;
	assert_int_equal(l->group, 0x500);
	assert_int_equal(l->link, 1);
	assert_int_equal(l->user_id, 0x501);
	assert_int_equal(l->state, LINK_ACTIVE);
	assert_int_equal(l->connections, 3);
	assert_int_equal(l->queue_pair, 0x11);
	assert_int_equal(l->peer_queue_pair, 0x22);
	assert_int_equal(l->mtu, 1024);
	assert_int_equal(l->sends, 4);
	assert_int_equal(l->tests, 5);
	assert_memory_equal(l->gid, gid_of_us, sizeof(l->gid));
	assert_memory_equal(l->peer_gid, gid_of_peer, sizeof(l->peer_gid));
	assert_int_equal(l->mac[5], 1);
	assert_int_equal(l->peer_mac[5], 2);
	assert_string_equal(l->device, "eth0");
	free(l);
}

static void a_link_that_is_not_there_yet_is_not_listed(void **state)
{
	struct snapshot_link_group *g;

	(void)state;
	group.link.state = LINK_UNUSED;
	free(list(&engine, QUERY_LINKS, sizeof(struct snapshot_link), 0));
	g = list(&engine, QUERY_LINK_GROUPS, sizeof(struct snapshot_link_group), 1);
	assert_int_equal(g->links, 0);
	free(g);
}

static void adapters_are_told_with_what_uses_them(void **state)
{
	struct snapshot_device *d = list(&engine, QUERY_DEVICES, sizeof(struct snapshot_device), 2);

	(void)state;
	assert_string_equal(d[0].device, "eth0");
	assert_string_equal(d[0].kind, "soft");
	assert_string_equal(d[0].pnetid, "NET1");
	assert_int_equal(d[0].active, 1);
	assert_int_equal(d[0].mtu, 4096);
	assert_int_equal(d[0].mac[5], 1);
	assert_int_equal(d[0].gid_count, 2);
	assert_memory_equal(d[0].gids[0], gid_of_us, 16);
	assert_memory_equal(d[0].gids[1], gid_of_peer, 16);
	assert_int_equal(d[0].groups, 1);
	assert_int_equal(d[0].links, 1);
	assert_int_equal(d[0].connections, 3);
	assert_int_equal(d[0].packets, 1);
	for (uint64_t i = 0; i < 14; i++)
		assert_int_equal((&d[0].sent)[i], i + 1);
	assert_string_equal(d[1].device, "an-interface-15");
	assert_string_equal(d[1].kind, "verbs");
	assert_int_equal(d[1].groups, 0);
	assert_int_equal(d[1].packets, 0);
	assert_int_equal(d[1].sent, 0);
	free(d);
}

static void an_adapter_that_is_gone_is_listed_as_inactive(void **state)
{
	struct snapshot_device *d;

	(void)state;
	port_is_gone = true;
	d = list(&engine, QUERY_DEVICES, sizeof(struct snapshot_device), 2);
	assert_string_equal(d[0].device, "eth0");
	assert_int_equal(d[0].active, 0);
	assert_string_equal(d[0].pnetid, "");
	free(d);
}

static void a_file_without_room_is_an_error(void **state)
{
	uint32_t count;

	(void)state;
	assert_int_equal(listing_write(&engine, QUERY_DEVICES, -1, &count), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_adapters_nothing_is_listed, setup),
		cmocka_unit_test_setup(a_link_group_is_told_as_it_is, setup),
		cmocka_unit_test_setup(a_link_is_told_as_it_is, setup),
		cmocka_unit_test_setup(a_link_that_is_not_there_yet_is_not_listed, setup),
		cmocka_unit_test_setup(adapters_are_told_with_what_uses_them, setup),
		cmocka_unit_test_setup(an_adapter_that_is_gone_is_listed_as_inactive, setup),
		cmocka_unit_test_setup(a_file_without_room_is_an_error, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
