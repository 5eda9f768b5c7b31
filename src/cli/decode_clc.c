/* SPDX-License-Identifier: MIT */
/*
 * CLC messages as records
 */
#include "cli/decode.h"

static const char *path_name(enum clc_path path)
{
	static const char *const names[] = {"R", "D", "none", "both"};

	return names[path];
}

static const char *os_name(uint8_t os)
{
	switch (os) {
	case CLC_OS_ZOS:
		return "z/OS";
	case CLC_OS_LINUX:
		return "Linux";
	case CLC_OS_AIX:
		return "AIX";
	default:
		return "unknown";
	}
}

static void add_peer(struct record *record, const struct clc_peer *peer)
{
	record_bytes(record, "peer_id", peer->id, sizeof(peer->id));
	record_gid(record, "gid", peer->gid);
	record_mac(record, "mac", peer->mac);
}

static json_t *value_prefix(const uint8_t address[16], unsigned int length)
{
	json_t *gid = value_gid(address);
	json_t *prefix = json_sprintf("%s/%u", json_string_value(gid), length);

	json_decref(gid);
	return prefix;
}

static void add_prefixes(struct record *record, const struct clc_proposal *proposal)
{
	const uint8_t *prefix = proposal->prefix;
	json_t *prefixes = json_array();

	if (proposal->prefix_length)
		json_array_append_new(prefixes,
				      json_sprintf("%u.%u.%u.%u/%u", prefix[0], prefix[1],
						   prefix[2], prefix[3], proposal->prefix_length));
	for (unsigned int i = 0; i < proposal->prefix6_count; i++)
		json_array_append_new(prefixes, value_prefix(proposal->prefixes6[i].address,
							     proposal->prefixes6[i].length));
	record_add(record, "prefixes", prefixes);
}

static json_t *value_ism(const struct clc_ism *ism)
{
	return json_pack("{s:o, s:o}", "gid", value_hex(ism->gid, 16), "chid",
			 value_hex(ism->chid, 4));
}

static bool offers_d(enum clc_path path)
{
	return path == CLC_PATH_D || path == CLC_PATH_BOTH;
}

static void add_v2(struct record *record, const struct clc_v2_extension *v2, enum clc_path path)
{
	json_t *eids = json_array(), *isms = json_array();

	record_number(record, "release", v2->release);
	record_gid(record, "v2_gid", v2->gid);
	record_number(record, "max_connections", v2->max_connections);
	record_number(record, "max_links", v2->max_links);
	record_hex(record, "features", v2->features, 4);
	for (unsigned int i = 0; i < v2->eid_count; i++)
		json_array_append_new(eids, value_padded(v2->eids[i], sizeof(v2->eids[i])));
	record_add(record, "eids", eids);
	for (unsigned int i = 0; offers_d(path) && i < v2->ism_count; i++)
		json_array_append_new(isms, value_ism(&v2->isms[i]));
	if (offers_d(path) && v2->flags & CLC_HAS_SEID)
		record_add(record, "seid", value_padded(v2->seid, sizeof(v2->seid)));
	if (offers_d(path))
		record_add(record, "isms", isms);
	else
		json_decref(isms);
}

static void add_proposal(struct record *record, const struct clc_message *message)
{
	const struct clc_proposal *proposal = &message->proposal;

	record_text(record, "path_v1", path_name(clc_path_v1(message)));
	record_text(record, "path_v2", path_name(clc_path_v2(message)));
	add_peer(record, &proposal->peer);
	if (offers_d(clc_path_v1(message)))
		record_add(record, "ism", value_ism(&proposal->ism));
	if (clc_path_v1(message) != CLC_PATH_NONE)
		add_prefixes(record, proposal);
	if (proposal->v2_missing)
		record_text(record, "v2", "no extension");
	else if (clc_path_v2(message) != CLC_PATH_NONE)
		add_v2(record, &proposal->v2, clc_path_v2(message));
}

static void add_accept_r(struct record *record, const struct clc_accept_r *r)
{
	add_peer(record, &r->peer);
	record_hex(record, "qp", r->queue_pair, 6);
	record_hex(record, "rkey", r->rkey, 8);
	record_number(record, "element", r->element);
	record_hex(record, "token", r->token, 8);
	record_number(record, "size", UINT64_C(16384) << r->size);
	record_mtu(record, r->mtu);
	record_hex(record, "address", r->address, 16);
	record_number(record, "psn", r->sequence);
}

static void add_accept_d(struct record *record, const struct clc_message *message)
{
	const struct clc_accept_d *d = &message->accept.d;

	record_hex(record, "gid", d->gid, 16);
	record_hex(record, "token", d->token, 16);
	record_number(record, "element", d->element);
	record_number(record, "size", UINT64_C(16384) << d->size);
	record_hex(record, "link_id", d->link_id, 8);
	if (message->version == 1)
		return;
	record_hex(record, "chid", d->chid, 4);
	record_hex(record, "extended_gid", d->extended_gid, 16);
}

static void add_first_contact(struct record *record, const struct clc_message *message)
{
	const struct clc_accept *accept = &message->accept;
	const struct clc_first_contact *fc = &accept->first_contact;
	json_t *gids = json_array();

	record_flag(record, "direct", fc->flags & CLC_DIRECT);
	record_text(record, "os", os_name(fc->os));
	record_number(record, "release", fc->release);
	record_add(record, "host", value_padded(fc->host, sizeof(fc->host)));
	record_number(record, "max_connections", fc->max_connections);
	record_number(record, "max_links", fc->max_links);
	record_hex(record, "features", fc->features, 4);
	for (unsigned int i = 0; i < accept->gid_count; i++)
		json_array_append_new(gids, value_gid(accept->gids[i]));
	if (message->type == CLC_CONFIRM)
		record_add(record, "gids", gids);
	else
		json_decref(gids);
}

static void add_accept(struct record *record, const struct clc_message *message)
{
	record_text(record, "path", path_name(clc_path_v1(message)));
	record_flag(record, "first_contact", message->flags & CLC_FIRST_CONTACT);
	if (clc_path_v1(message) == CLC_PATH_D)
		add_accept_d(record, message);
	else
		add_accept_r(record, &message->accept.r);
	if (message->version == 1)
		return;
	record_add(record, "eid", value_padded(message->accept.eid, sizeof(message->accept.eid)));
	if (message->flags & CLC_FIRST_CONTACT)
		add_first_contact(record, message);
}

static void add_decline(struct record *record, const struct clc_message *message)
{
	const struct clc_decline *decline = &message->decline;
	const char *meaning = clc_diagnosis_text(decline->diagnosis);

	record_flag(record, "out_of_sync", message->flags & CLC_OUT_OF_SYNC);
	record_bytes(record, "peer_id", decline->peer_id, sizeof(decline->peer_id));
	record_hex(record, "diagnosis", decline->diagnosis, 8);
	record_text(record, "meaning", meaning ? meaning : "unknown");
	if (message->version > 1)
		record_text(record, "os", os_name(decline->os));
}

void decode_clc(struct decoder *decoder, const struct packet *packet, const uint8_t *bytes,
		size_t size)
{
	uint8_t again[CLC_LENGTH_MAX];
	struct clc_message message;
	const char *field = NULL;
	struct record record;

	if (clc_decode(&message, bytes, size, &field)) {
		decode_malformed(decoder, packet, "CLC", field, bytes, size);
		return;
	}
	record = record_begin(packet, "CLC", clc_type_name(message.type));
	record_number(&record, "version", message.version);
	record_number(&record, "length", message.length);
	if (message.excess)
		record_number(&record, "not_known", message.excess);
	if (message.type == CLC_PROPOSAL)
		add_proposal(&record, &message);
	else if (message.type == CLC_DECLINE)
		add_decline(&record, &message);
	else
		add_accept(&record, &message);
	decode_compare(decoder, &record, bytes, size, again,
		       clc_encode(&message, again, sizeof(again)));
	record_end(&record, decoder->json);
}
