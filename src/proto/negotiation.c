/* SPDX-License-Identifier: MIT */
#include "proto/negotiation.h"

#include <string.h>

#define QUEUE_PAIR_LEAST 2U /* 0 and 1 are the subnet manager's */
#define QUEUE_PAIR_MOST 0xfffffeU /* 0xffffff is multicast */
#define MTU_MOST 5U

static uint8_t lesser(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

uint8_t negotiation_element_code(uint32_t size)
{
	uint8_t code = 0;

	while (code < 15 && PROTO_ELEMENT_LEAST << code < size)
		code++;
	return code;
}

static bool gid_usable(const uint8_t gid[CLC_GID_SIZE])
{
	static const uint8_t none[CLC_GID_SIZE];

	return memcmp(gid, none, sizeof(none)) != 0 && gid[0] != 0xff;
}

bool negotiation_plausible(const struct clc_accept_r *r)
{
	uint64_t end = (uint64_t)(PROTO_ELEMENT_LEAST) << r->size;

	return gid_usable(r->peer.gid) && r->queue_pair >= QUEUE_PAIR_LEAST &&
	       r->queue_pair <= QUEUE_PAIR_MOST && r->element >= 1 && r->token && r->mtu >= 1 &&
	       r->mtu <= MTU_MOST && r->address + end * r->element >= r->address;
}

/* The prefixes of the client's interface, for v1. */
static void put_prefixes(const struct rendezvous_facts *facts, struct clc_proposal *proposal)
{
	if (facts->ipv4) {
		memcpy(proposal->prefix, facts->prefixes[0].address, sizeof(proposal->prefix));
		proposal->prefix_length = facts->prefixes[0].length;
		return;
	}
	proposal->prefix6_count = facts->prefix_count;
	memcpy(proposal->prefixes6, facts->prefixes, sizeof(proposal->prefixes6));
}

static void put_v2(const struct proto_config *config, struct clc_v2_extension *v2)
{
	v2->release = config->release;
	memcpy(v2->gid, config->gid_v2, sizeof(v2->gid));
	if (config->release) {
		v2->max_connections = config->max_connections;
		v2->max_links = config->max_links;
		v2->features = config->features;
	}
	v2->eid_count = config->eid_count;
	memcpy(v2->eids, config->eids, sizeof(v2->eids));
}

uint32_t negotiation_propose(const struct proto_config *config,
			     const struct rendezvous_facts *facts, struct negotiation *negotiation,
			     struct clc_message *proposal)
{
	if (facts->refusal)
		return facts->refusal;
	negotiation->v1 = config->v1 && facts->v1 && facts->vlan != RENDEZVOUS_NO_VLAN;
	negotiation->v2 = config->v2 && facts->v2 && facts->ipv4 && config->eid_count &&
			  facts->vlan != RENDEZVOUS_NO_VLAN;
	if (!negotiation->v1 && !negotiation->v2)
		return CLC_NO_DEVICE;
	if (!facts->prefix_count && !negotiation->v2)
		return CLC_CONFIGURATION;
	negotiation->v1 = negotiation->v1 && facts->prefix_count;
	memset(proposal, 0, sizeof(*proposal));
	proposal->type = CLC_PROPOSAL;
	proposal->version = 2;
	proposal->flags = clc_flags(negotiation->v1 ? CLC_PATH_R : CLC_PATH_NONE,
				    negotiation->v2 ? CLC_PATH_R : CLC_PATH_NONE);
	memcpy(proposal->proposal.peer.id, config->peer_id, sizeof(config->peer_id));
	memcpy(proposal->proposal.peer.gid, negotiation->v1 ? config->gid_v1 : config->gid_v2,
	       CLC_GID_SIZE);
	memcpy(proposal->proposal.peer.mac, config->mac, sizeof(config->mac));
	if (negotiation->v1)
		put_prefixes(facts, &proposal->proposal);
	if (negotiation->v2)
		put_v2(config, &proposal->proposal.v2);
	return 0;
}

static bool is_r(enum clc_path path)
{
	return path == CLC_PATH_R || path == CLC_PATH_BOTH;
}

static bool is_d(enum clc_path path)
{
	return path == CLC_PATH_D || path == CLC_PATH_BOTH;
}

/* Is the client in one of our networks?  (v1) */
static bool prefix_matches(const struct rendezvous_facts *facts,
			   const struct clc_proposal *proposal)
{
	for (unsigned int i = 0; i < facts->prefix_count; i++) {
		const struct clc_prefix *own = &facts->prefixes[i];

		if (facts->ipv4 && !proposal->prefix6_count &&
		    own->length == proposal->prefix_length &&
		    memcmp(own->address, proposal->prefix, sizeof(proposal->prefix)) == 0)
			return true;
		for (unsigned int j = 0; !facts->ipv4 && j < proposal->prefix6_count; j++)
			if (own->length == proposal->prefixes6[j].length &&
			    memcmp(own->address, proposal->prefixes6[j].address,
				   sizeof(own->address)) == 0)
				return true;
	}
	return false;
}

/* The client's favourite among the EIDs that both have. */
static bool eid_matches(const struct proto_config *config, const struct clc_v2_extension *v2,
			uint8_t eid[CLC_EID_SIZE])
{
	for (unsigned int i = 0; i < v2->eid_count; i++) {
		for (unsigned int j = 0; j < config->eid_count; j++) {
			if (memcmp(v2->eids[i], config->eids[j], CLC_EID_SIZE) == 0) {
				memcpy(eid, v2->eids[i], CLC_EID_SIZE);
				return true;
			}
		}
	}
	return false;
}

/* The first reason is the one that is given. */
static void against(struct negotiation *negotiation, uint32_t reason)
{
	if (!negotiation->reason)
		negotiation->reason = reason;
}

/*
 * What the Proposal's paths and its extension leave of v2.
 *
 * Return: 0, or the diagnosis if that was all there was.
 */
static uint32_t consider_offer(const struct clc_message *proposal, struct negotiation *negotiation)
{
	enum clc_path v1 = clc_path_v1(proposal), v2 = clc_path_v2(proposal);
	const struct clc_v2_extension *extension = &proposal->proposal.v2;

	if (v1 == CLC_PATH_NONE && v2 == CLC_PATH_NONE)
		return CLC_PEER_WITHOUT_SMC;
	negotiation->v1 = is_r(v1);
	negotiation->v2 = is_r(v2) && extension->eid_count;
	if (proposal->proposal.v2_missing)
		against(negotiation, CLC_NO_V2_EXTENSION);
	if (is_d(v2))
		against(negotiation, CLC_NO_ISM_V2);
	if (is_r(v2) && !extension->eid_count)
		against(negotiation, CLC_NO_UEID);
	if (v1 == CLC_PATH_NONE && !negotiation->v2)
		return negotiation->reason;
	return 0;
}

static bool is_own(const struct proto_config *config, const struct rendezvous_facts *facts,
		   const uint8_t id[CLC_PEER_ID_SIZE])
{
	bool own = memcmp(id, config->peer_id, CLC_PEER_ID_SIZE) == 0;

	for (unsigned int i = 0; i < facts->own_id_count; i++)
		own |= memcmp(id, facts->own_ids[i], CLC_PEER_ID_SIZE) == 0;
	return own;
}

uint32_t negotiation_consider(const struct proto_config *config,
			      const struct rendezvous_facts *facts,
			      const struct clc_message *proposal, struct negotiation *negotiation)
{
	enum clc_path v1 = clc_path_v1(proposal), v2 = clc_path_v2(proposal);
	bool prefix = v1 == CLC_PATH_NONE || prefix_matches(facts, &proposal->proposal);
	uint32_t reason;

	if (facts->refusal)
		return facts->refusal;
	if (is_own(config, facts, proposal->proposal.peer.id))
		return CLC_NO_DEVICE;
	reason = consider_offer(proposal, negotiation);
	if (reason)
		return reason;
	negotiation->reason = 0; /* (an offer that stands says nothing against itself) */
	if (!prefix)
		against(negotiation, CLC_PREFIX);
	if (facts->vlan == RENDEZVOUS_NO_VLAN)
		return negotiation->reason ? negotiation->reason : CLC_VLAN;
	if (prefix && is_d(v1))
		against(negotiation, CLC_NO_SMCD_DEVICE);
	if (!is_r(v1) && !is_r(v2))
		return negotiation->reason ? negotiation->reason : CLC_NO_SMCD_DEVICE;
	negotiation->v2 =
		negotiation->v2 && eid_matches(config, &proposal->proposal.v2, negotiation->eid);
	if (negotiation->v2 && !(config->v2 && facts->v2 && facts->ipv4)) {
		negotiation->v2 = false;
		against(negotiation, CLC_NO_SMCR_DEVICE);
	}
	negotiation->v1 = negotiation->v1 && prefix;
	if (negotiation->v1 && !(config->v1 && facts->v1)) {
		negotiation->v1 = false;
		against(negotiation, CLC_NO_SMCR_DEVICE);
	}
	if (negotiation->v1 || negotiation->v2)
		return 0;
	return negotiation->reason ? negotiation->reason : CLC_NO_DEVICE;
}

/* Limits of v2.1: the lower ones, if these are not too low. */
static uint32_t settle_limits(const struct proto_config *config, const struct clc_v2_extension *v2,
			      struct negotiation *negotiation)
{
	negotiation->max_connections = lesser(config->max_connections, v2->max_connections);
	negotiation->max_links = lesser(config->max_links, v2->max_links);
	negotiation->features = config->features;
	if (negotiation->max_connections < PROTO_CONNECTIONS_LEAST)
		return CLC_MAX_CONNECTIONS;
	return negotiation->max_links < 1 ? CLC_MAX_LINKS : 0;
}

static void default_limits(struct negotiation *negotiation)
{
	negotiation->max_connections = PROTO_CONNECTIONS_MAX;
	negotiation->max_links = PROTO_LINKS_MAX;
	negotiation->features = 0;
}

uint32_t negotiation_settle(const struct proto_config *config, const struct clc_message *proposal,
			    bool reachable, struct negotiation *negotiation)
{
	default_limits(negotiation);
	if (negotiation->v2 && reachable) {
		negotiation->version = 2;
		negotiation->release = lesser(config->release, proposal->proposal.v2.release);
		return negotiation->release
			       ? settle_limits(config, &proposal->proposal.v2, negotiation)
			       : 0;
	}
	if (negotiation->v2)
		against(negotiation, CLC_NO_SMCR_DEVICE);
	if (!negotiation->v1)
		return negotiation->reason;
	negotiation->version = 1;
	memset(negotiation->eid, 0, sizeof(negotiation->eid));
	return 0;
}

uint32_t negotiation_check_accept(const struct proto_config *config,
				  const struct clc_message *accept, struct negotiation *negotiation)
{
	const struct clc_first_contact *fc = &accept->accept.first_contact;
	bool offered = accept->version > 1 ? negotiation->v2 : negotiation->v1;

	if (clc_path_v1(accept) != CLC_PATH_R || !offered)
		return CLC_MODE;
	default_limits(negotiation);
	negotiation->version = accept->version > 1 ? 2 : 1;
	if (negotiation->version == 1)
		return 0;
	memcpy(negotiation->eid, accept->accept.eid, sizeof(negotiation->eid));
	if (!(accept->flags & CLC_FIRST_CONTACT))
		return 0;
	if (fc->release > config->release)
		return CLC_RELEASE;
	negotiation->release = fc->release;
	if (!fc->release)
		return 0;
	if (fc->max_connections < PROTO_CONNECTIONS_LEAST ||
	    fc->max_connections > config->max_connections)
		return CLC_MAX_CONNECTIONS;
	if (fc->max_links < 1 || fc->max_links > config->max_links)
		return CLC_MAX_LINKS;
	negotiation->max_connections = fc->max_connections;
	negotiation->max_links = fc->max_links;
	negotiation->features = fc->features & config->features;
	return 0;
}

uint32_t negotiation_check_confirm(const struct clc_message *confirm,
				   struct negotiation *negotiation)
{
	const struct clc_first_contact *fc = &confirm->accept.first_contact;

	if (clc_path_v1(confirm) != CLC_PATH_R || confirm->version != negotiation->version)
		return CLC_MODE;
	if (negotiation->version == 1 || !(confirm->flags & CLC_FIRST_CONTACT))
		return 0;
	if (fc->release != negotiation->release)
		return CLC_RELEASE;
	if (!fc->release)
		return 0;
	if (fc->max_connections != negotiation->max_connections)
		return CLC_MAX_CONNECTIONS;
	if (fc->max_links != negotiation->max_links)
		return CLC_MAX_LINKS;
	negotiation->features = fc->features;
	return 0;
}
