/* SPDX-License-Identifier: MIT */
/*
 * LLC and CDC messages as records
 */
#include "cli/decode.h"

static void add_confirm_link(struct record *record, const struct llc_message *message)
{
	const struct llc_confirm_link *m = &message->confirm_link;

	record_number(record, "link", m->link);
	record_hex(record, "user_id", m->user_id, 8);
	record_mac(record, "mac", m->mac);
	record_gid(record, "gid", m->gid);
	record_hex(record, "qp", m->queue_pair, 6);
	record_number(record, "max_links", m->max_links);
	record_number(record, "max_connections", m->max_connections);
	record_flag(record, "no_eyecatcher", message->flags & LLC_NO_EYECATCHER);
}

static json_t *value_new_rkey(const struct llc_new_rkey *rkey)
{
	return json_pack("{s:o, s:o, s:o}", "rkey", value_hex(rkey->rkey, 8), "new_rkey",
			 value_hex(rkey->new_rkey, 8), "new_address",
			 value_hex(rkey->new_address, 16));
}

static void add_new_rkeys(struct record *record, const struct llc_new_rkey *rkeys,
			  unsigned int count)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(array, value_new_rkey(&rkeys[i]));
	record_add(record, "rkeys", array);
}

static void add_add_link(struct record *record, const struct llc_message *message)
{
	const struct llc_add_link *m = &message->add_link;

	record_flag(record, "rejected", message->flags & LLC_REJECTED);
	if (message->flags & LLC_REJECTED)
		record_number(record, "reason", llc_reject_reason(message));
	record_number(record, "link", m->link);
	record_mac(record, "mac", m->mac);
	record_gid(record, "gid", m->gid);
	record_hex(record, "qp", m->queue_pair, 6);
	record_mtu(record, m->mtu);
	record_number(record, "psn", m->sequence);
	if (message->length == LLC_LENGTH)
		return;
	record_flag(record, "direct", m->extension.direct & LLC_ADD_LINK_DIRECT);
	record_gid(record, "target_gid", m->extension.target_gid);
	add_new_rkeys(record, m->extension.rkeys, m->extension.count);
}

static void add_continuation(struct record *record, const struct llc_add_link_continuation *m)
{
	record_number(record, "link", m->link);
	record_number(record, "left", m->left);
	add_new_rkeys(record, m->rkeys, llc_continuation_rkeys(m));
}

static void add_delete_link(struct record *record, const struct llc_message *message)
{
	const struct llc_delete_link *m = &message->delete_link;
	const char *meaning = llc_delete_reason_name(m->reason);

	record_flag(record, "all", message->flags & LLC_DELETE_ALL);
	record_flag(record, "orderly", message->flags & LLC_DELETE_ORDERLY);
	record_number(record, "link", m->link);
	record_hex(record, "reason", m->reason, 8);
	if (meaning)
		record_text(record, "meaning", meaning);
}

static void add_request(struct record *record, const struct llc_message *message)
{
	const struct llc_request_add_link *m = &message->request_add_link;
	json_t *gids = json_array();

	record_flag(record, "rejected", message->flags & LLC_REJECTED);
	for (unsigned int i = 0; i < m->count; i++)
		json_array_append_new(gids, value_gid(m->gids[i]));
	record_add(record, "gids", gids);
}

static void add_others(struct record *record, const struct llc_link_rkey *others,
		       unsigned int count)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(array,
				      json_pack("{s:i, s:o, s:o}", "link", (int)others[i].link,
						"rkey", value_hex(others[i].rkey, 8), "address",
						value_hex(others[i].address, 16)));
	record_add(record, "others", array);
}

static void add_confirm_rkey(struct record *record, const struct llc_message *message)
{
	const struct llc_confirm_rkey *m = &message->confirm_rkey;

	record_flag(record, "negative", message->flags & LLC_NEGATIVE);
	record_flag(record, "retry", message->flags & LLC_RETRY);
	record_hex(record, "rkey", m->rkey, 8);
	record_hex(record, "address", m->address, 16);
	record_number(record, "count", m->count);
	add_others(record, m->others, llc_confirm_rkeys(m));
}

static void add_rkey_continuation(struct record *record, const struct llc_message *message)
{
	const struct llc_confirm_rkey_continuation *m = &message->confirm_rkey_continuation;

	record_flag(record, "negative", message->flags & LLC_NEGATIVE);
	record_number(record, "left", m->left);
	add_others(record, m->others, m->left < 3 ? m->left : 3);
}

static void add_delete_rkey(struct record *record, const struct llc_message *message)
{
	const struct llc_delete_rkey *m = &message->delete_rkey;
	unsigned int words = (message->length - 8U) / 4U;
	json_t *rkeys = json_array();

	record_flag(record, "negative", message->flags & LLC_NEGATIVE);
	record_number(record, "count", m->count);
	record_hex(record, "failed", m->failed, 2);
	for (unsigned int i = 0; i < m->count && i < words; i++)
		json_array_append_new(rkeys, value_hex(m->rkeys[i], 8));
	record_add(record, "rkeys", rkeys);
}

static void add_llc(struct record *record, const struct llc_message *message)
{
	switch (message->type) {
	case LLC_CONFIRM_LINK:
		add_confirm_link(record, message);
		break;
	case LLC_ADD_LINK:
		add_add_link(record, message);
		break;
	case LLC_ADD_LINK_CONTINUATION:
		add_continuation(record, &message->add_link_continuation);
		break;
	case LLC_DELETE_LINK:
		add_delete_link(record, message);
		break;
	case LLC_REQUEST_ADD_LINK:
		add_request(record, message);
		break;
	case LLC_CONFIRM_RKEY:
		add_confirm_rkey(record, message);
		break;
	case LLC_CONFIRM_RKEY_CONTINUATION:
		add_rkey_continuation(record, message);
		break;
	case LLC_DELETE_RKEY:
		add_delete_rkey(record, message);
		break;
	default: /* LLC_TEST_LINK */
		record_bytes(record, "user_data", message->test_link.user_data,
			     sizeof(message->test_link.user_data));
	}
}

static json_t *value_cursor(const struct cdc_cursor *cursor)
{
	return json_sprintf("%u:%u", cursor->wrap, cursor->offset);
}

static void decode_cdc(struct decoder *decoder, const struct packet *packet, const uint8_t *bytes,
		       size_t size)
{
	uint8_t again[CDC_LENGTH];
	struct cdc_message message;
	const char *field = NULL;
	struct record record;
	bool failover;

	if (cdc_decode(&message, bytes, size, &field)) {
		decode_malformed(decoder, packet, "CDC", field, bytes, size);
		return;
	}
	failover = message.producer_flags & CDC_FAILOVER_VALIDATION;
	record = record_begin(packet, "CDC", failover ? "failover validation" : "update");
	record_number(&record, "sequence", message.sequence);
	record_hex(&record, "token", message.token, 8);
	record_add(&record, "producer", value_cursor(&message.producer));
	record_add(&record, "consumer", value_cursor(&message.consumer));
	record_flag(&record, "write_blocked", message.producer_flags & CDC_WRITE_BLOCKED);
	record_flag(&record, "urgent_pending", message.producer_flags & CDC_URGENT_PENDING);
	record_flag(&record, "urgent_present", message.producer_flags & CDC_URGENT_PRESENT);
	record_flag(&record, "update_requested", message.producer_flags & CDC_UPDATE_REQUESTED);
	record_flag(&record, "sending_done", message.connection_flags & CDC_SENDING_DONE);
	record_flag(&record, "closed", message.connection_flags & CDC_CLOSED);
	record_flag(&record, "abnormal_close", message.connection_flags & CDC_ABNORMAL_CLOSE);
	decode_compare(decoder, &record, bytes, size, again,
		       cdc_encode(&message, again, sizeof(again)));
	record_end(&record, decoder->json);
}

void decode_llc(struct decoder *decoder, const struct packet *packet, const uint8_t *bytes,
		size_t size)
{
	uint8_t again[LLC_LENGTH_MAX];
	struct llc_message message;
	const char *field = NULL;
	struct record record;

	if (size && bytes[0] == CDC_TYPE) {
		decode_cdc(decoder, packet, bytes, size);
		return;
	}
	if (llc_decode(&message, bytes, size, &field)) {
		decode_malformed(decoder, packet, "LLC", field, bytes, size);
		return;
	}
	record = record_begin(packet, "LLC", llc_type_name(message.type));
	record_flag(&record, "response", message.flags & LLC_RESPONSE);
	record_number(&record, "version", message.version);
	record_number(&record, "length", message.length);
	record_flag(&record, "little_endian", message.little_length);
	add_llc(&record, &message);
	decode_compare(decoder, &record, bytes, size, again,
		       llc_encode(&message, again, sizeof(again)));
	record_end(&record, decoder->json);
}
