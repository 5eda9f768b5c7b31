/* SPDX-License-Identifier: MIT */
#include "daemon/engine.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/address.h"
#include "daemon/apps.h"
#include "daemon/config.h"
#include "daemon/log.h"
#include "daemon/remote.h"
#include "daemon/rnic.h"

#define RELEASE 1U /* of SMC version 2 */
#define LINKS 1U /* of a link group */

static bool has_link_groups(const struct engine *engine)
{
	for (unsigned int i = 0; i < engine->rnic_count; i++)
		if (!list_empty(&engine->rnics[i]->host.groups))
			return true;
	return false;
}

static int work(void *context)
{
	struct engine *engine = context;
	int sleep = LOOP_FOREVER;
	bool busy = false;

	for (unsigned int i = 0; i < engine->rnic_count; i++)
		busy |= rnic_work(engine->rnics[i]);
	if (engine->ending && !has_link_groups(engine))
		loop_stop(engine->loop);
	if (remotes_rest(engine->apps, busy))
		return 0;
	for (unsigned int i = 0; i < engine->rnic_count; i++) {
		int next = rnic_rest(engine->rnics[i]);

		if (sleep < 0 || (next >= 0 && next < sleep))
			sleep = next;
	}
	return sleep;
}

static void name_host(uint8_t name[CLC_HOST_SIZE])
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	for (unsigned int i = 0; i < CLC_HOST_SIZE; i++)
		name[i] = i < strlen(host) ? (uint8_t)host[i] : ' ';
}

static void describe(const struct config *config, struct proto_config *proto)
{
	memset(proto, 0, sizeof(*proto));
	proto->release = RELEASE;
	proto->max_links = LINKS;
	proto->max_connections = (uint8_t)config->max_connections;
	proto->linger = config->linger * 1000;
	proto->eid_count = config->eid_count;
	memcpy(proto->eids, config->eids, sizeof(proto->eids));
	name_host(proto->name);
}

static int open_one(struct engine *engine, const struct config *config, unsigned int index)
{
	struct rnic_options options = {.interface = config->rnics[index].name,
				       .pnetid = config->rnics[index].pnetid,
				       .faults = {.seed = index + 1,
						  .loss = config->faults.loss,
						  .duplicates = config->faults.duplicate,
						  .reordered = config->faults.reorder}};
	struct rnic *rnic;
	int error;

	describe(config, &options.proto);
	rnic = rnic_open(engine, &options, &error);
	if (!rnic) {
		log_say(LOG_ERR, "RNIC %s: %s", options.interface,
			error == -EADDRINUSE ? "UDP port 4791 is in use (Soft-RoCE of the kernel?)"
					     : strerror(-error));
		return error;
	}
	engine->rnics[engine->rnic_count++] = rnic;
	log_say(LOG_INFO, "RNIC %s: soft%s%s", options.interface,
		options.pnetid[0] ? ", PNETID " : "", options.pnetid);
	return 0;
}

int engine_open(struct engine *engine, struct apps *apps, const struct config *config)
{
	memset(engine, 0, sizeof(*engine));
	engine->loop = apps->loop;
	engine->apps = apps;
	if (getrandom(engine->instance, sizeof(engine->instance), 0) < 0)
		return -errno;
	for (unsigned int i = 0; i < config->rnic_count; i++) {
		int error = open_one(engine, config, i);

		if (error) {
			engine_close(engine);
			return error;
		}
	}
	if (engine->rnic_count)
		loop_task_add(engine->loop, work, engine);
	return 0;
}

bool engine_end(struct engine *engine)
{
	engine->ending = true;
	for (unsigned int i = 0; i < engine->rnic_count; i++)
		proto_host_end(&engine->rnics[i]->host);
	return has_link_groups(engine);
}

void engine_close(struct engine *engine)
{
	while (engine->rnic_count)
		rnic_close(engine->rnics[--engine->rnic_count]);
	network_close(&engine->network);
}

struct rnic *engine_choose(struct engine *engine, const struct side_address *local)
{
	char name[IF_NAMESIZE];

	if (!engine->rnic_count || engine->ending)
		return NULL;
	network_refresh_for(&engine->network, engine->loop->now, local->bytes);
	if (network_interface(&engine->network, local->bytes, name))
		for (unsigned int i = 0; i < engine->rnic_count; i++)
			if (strcmp(engine->rnics[i]->name, name) == 0)
				return engine->rnics[i];
	return engine->rnics[0];
}

_Static_assert(RENDEZVOUS_OWN_IDS_MAX == ENGINE_RNICS_MAX, "each adapter has one");

void engine_facts(struct rnic *rnic, enum proto_role role, const struct side_address *local,
		  const struct side_address *peer, uint32_t element, struct rendezvous_facts *facts)
{
	struct network *network = &rnic->engine->network;

	memset(facts, 0, sizeof(*facts));
	network_refresh_for(network, rnic->engine->loop->now, local->bytes);
	facts->role = role;
	facts->agreed = true;
	memcpy(facts->peer, peer->bytes, sizeof(facts->peer));
	facts->ipv4 = address_is_mapped(local) && address_is_mapped(peer);
	facts->v1 = facts->v2 = true;
	facts->vlan = rnic->vlan;
	facts->prefix_count = network_prefixes(network, local->bytes, facts->prefixes);
	facts->element = element;
	for (unsigned int i = 0; i < rnic->engine->rnic_count; i++)
		memcpy(facts->own_ids[facts->own_id_count++],
		       rnic->engine->rnics[i]->host.config.peer_id, CLC_PEER_ID_SIZE);
}
