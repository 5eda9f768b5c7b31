/* SPDX-License-Identifier: MIT */
/*
 * What two hosts agree on: version, EID, release, limits; or why they do not (clc.h)
 *
 * Theory of operation
 *
 * The client offers, for v1 and v2 separately, what it could do on this connection.  The server takes
 * v2 if both are in a group of hosts (EID) and there is a way between the RDMA ports; else v1 if the
 * client is in one of the server's subnets.  If nothing is left, the first reason is the diagnosis.
 * At first contact in v2.1 both settle on the lower limits.
 *
 * A Proposal of this very host has come back to it by a balancer.  It is declined: TCP that ends where it began is
 * moved by other means.
 *
 * All functions here are functions of their arguments.  A diagnosis of 0 means that all is well.
 */
#ifndef SMCU_PROTO_NEGOTIATION_H
#define SMCU_PROTO_NEGOTIATION_H

#include "proto/proto.h"

#define RENDEZVOUS_NO_VLAN (-1) /* it could not be found out */
#define RENDEZVOUS_OWN_IDS_MAX 4U

/**
 * struct rendezvous_facts - what is known of a TCP connection
 * @role: who connected is the client
 * @agreed: the TCP option was in SYN and SYN-ACK
 * @refusal: a diagnosis that is known beforehand (IPsec, no memory, ...), or 0
 * @peer: its address on TCP, in IPv6 form: the one thing of a peer that it cannot invent
 * @ipv4: the connection's addresses are IPv4, or IPv4-mapped
 * @v1, @v2: an RDMA port can serve it in that version
 * @vlan: of its interface; 0: none
 * @prefixes, @prefix_count: networks of the interface: IPv4 (in the first 4 bytes) if @ipv4, else IPv6
 * without link-local ones.  The client's first IPv4 one is that of its address
 * @element: bytes wanted for the RMB element
 * @own_ids, @own_id_count: peer ids of this host, of all its adapters; that of the configuration may be missing
 * @memory: where it is to be, if that is kept for other connections (rkey.h); NULL: it is not
 */
struct rendezvous_facts {
	enum proto_role role;
	bool agreed;
	uint32_t refusal;
	uint8_t peer[16];
	bool ipv4;
	bool v1;
	bool v2;
	int vlan;
	struct clc_prefix prefixes[CLC_PREFIXES_MAX];
	uint8_t prefix_count;
	uint32_t element;
	uint8_t own_ids[RENDEZVOUS_OWN_IDS_MAX][CLC_PEER_ID_SIZE];
	uint8_t own_id_count;
	struct rmb_memory *memory;
};

/**
 * struct negotiation - as far as it has come
 * @v1, @v2: offered, or still possible
 * @reason: first one against something
 * @version, @release: 0 before it is settled
 * @eid: of v2
 * @max_connections, @max_links, @features: of a link group
 */
struct negotiation {
	bool v1;
	bool v2;
	uint32_t reason;
	uint8_t version;
	uint8_t release;
	uint8_t eid[CLC_EID_SIZE];
	uint8_t max_connections;
	uint8_t max_links;
	uint16_t features;
};

/**
 * negotiation_propose - client: what to offer
 * @proposal: to be sent
 *
 * Return: 0, or the diagnosis to decline with instead.
 */
uint32_t negotiation_propose(const struct proto_config *config,
			     const struct rendezvous_facts *facts, struct negotiation *negotiation,
			     struct clc_message *proposal);

/**
 * negotiation_consider - server: what of the Proposal is possible
 *
 * Return: 0 if v1, v2 or both are; else a diagnosis.
 */
uint32_t negotiation_consider(const struct proto_config *config,
			      const struct rendezvous_facts *facts,
			      const struct clc_message *proposal, struct negotiation *negotiation);

/**
 * negotiation_settle - server: take v2 if it is possible, else v1
 * @reachable: there is a way to the client's GID of v2
 */
uint32_t negotiation_settle(const struct proto_config *config, const struct clc_message *proposal,
			    bool reachable, struct negotiation *negotiation);

/* negotiation_check_accept - client: was this offered? its limits count from now on */
uint32_t negotiation_check_accept(const struct proto_config *config,
				  const struct clc_message *accept,
				  struct negotiation *negotiation);

/* negotiation_check_confirm - server: has the client repeated the limits? */
uint32_t negotiation_check_confirm(const struct clc_message *confirm,
				   struct negotiation *negotiation);

/* negotiation_plausible - could the sender of this Accept or Confirm be reached there? */
bool negotiation_plausible(const struct clc_accept_r *r);

/* negotiation_element_code - code of the least element that has @size bytes, 0 to 15 */
uint8_t negotiation_element_code(uint32_t size);

#endif
