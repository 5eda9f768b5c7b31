/* SPDX-License-Identifier: MIT */
/*
 * CLC messages as they should be: what they say, and that they are written as they were read
 */
#include "wire/clc.h"

#include <errno.h>

#include "wire_clc.h"

#define ROUNDS 20000

static void the_header_says_how_long_a_message_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct wire_bytes bytes = wire_hex(vectors[i]);
		struct wire_bytes first = wire_copy(bytes.bytes, CLC_HEADER_LENGTH);
		struct clc_message message;

		assert_int_equal(clc_header_decode(&message, first.bytes, NULL), bytes.size);
		assert_int_equal(message.type, bytes.bytes[4]);
		assert_non_null(clc_type_name(message.type));
		wire_free(&first);
		wire_free(&bytes);
	}
}

static void a_v1_proposal_offers_a_device_and_a_prefix(void **state)
{
	struct clc_message message = decoded(v1_proposal);
	const struct clc_proposal *p = &message.proposal;

	(void)state;
	assert_int_equal(message.type, CLC_PROPOSAL);
	assert_int_equal(message.version, 1);
	assert_int_equal(clc_path_v1(&message), CLC_PATH_R);
	assert_int_equal(clc_path_v2(&message), CLC_PATH_NONE);
	assert_memory_equal(p->peer.id, "\x12\x34\x02\0\0\0\x0a\x01", 8);
	assert_memory_equal(p->peer.gid, "\xfe\x80\0\0\0\0\0\0\0\0\0\xff\xfe\0\x0a\x01", 16);
	assert_memory_equal(p->peer.mac, "\x02\0\0\0\x0a\x01", 6);
	assert_int_equal(p->ip_area_offset, 0);
	assert_memory_equal(p->prefix, "\x0a\x01\0\0", 4);
	assert_int_equal(p->prefix_length, 16);
	assert_int_equal(p->prefix6_count, 0);
	message = decoded(v1_proposal_eight_prefixes);
	assert_int_equal(message.length, 188);
	assert_int_equal(p->prefix6_count, 8);
	assert_memory_equal(p->prefixes6[7].address, "\x20\x01\x0d\xb8\0\x07\0", 7);
	assert_int_equal(p->prefixes6[7].length, 64);
}

static void the_area_for_later_use_is_passed_over_in_v1(void **state)
{
	struct clc_message message = decoded(v1_proposal_smcd_too);
	const struct clc_proposal *p = &message.proposal;

	(void)state;
	assert_int_equal(clc_path_v1(&message), CLC_PATH_BOTH);
	assert_int_equal(p->ip_area_offset, CLC_AREA_LENGTH);
	assert_int_equal(p->ism.gid, 0x0102030405060708);
	assert_int_equal(p->ism.chid, 1);
	assert_int_equal(p->prefix6_count, 2);
	assert_int_equal(p->prefixes6[1].length, 48);
}

static void a_v2_proposal_offers_eids(void **state)
{
	struct clc_message message = decoded(v2_proposal_v1_too);
	const struct clc_v2_extension *v2 = &message.proposal.v2;

	(void)state;
	assert_int_equal(message.version, 2);
	assert_int_equal(clc_path_v1(&message), CLC_PATH_R);
	assert_int_equal(clc_path_v2(&message), CLC_PATH_R);
	assert_int_equal(message.proposal.v2_offset, 36);
	assert_int_equal(message.proposal.prefix_length, 16);
	assert_int_equal(v2->eid_count, 1);
	assert_int_equal(v2->ism_count, 0);
	assert_int_equal(v2->release, 1);
	assert_int_equal(v2->flags, 0);
	assert_memory_equal(v2->gid + 10, "\xff\xff\x0a\x01\0\x01", 6);
	assert_int_equal(v2->max_connections, 255);
	assert_int_equal(v2->max_links, 2);
	assert_int_equal(v2->features, 1);
	assert_memory_equal(v2->eids[0], "SMCTEST-EID-01                  ", CLC_EID_SIZE);
}

/* Linux names neither itself nor its device there if it offers v2 alone. */
static void a_proposal_of_v2_alone_has_no_prefixes(void **state)
{
	struct clc_message message = decoded(kernel_v2_proposal);

	(void)state;
	assert_int_equal(clc_path_v1(&message), CLC_PATH_NONE);
	assert_int_equal(clc_path_v2(&message), CLC_PATH_R);
	assert_int_equal(message.proposal.ip_area_offset, 0);
	assert_int_equal(message.proposal.v2_offset, 28);
	assert_int_equal(message.proposal.prefix6_count, 0);
	assert_memory_equal(message.proposal.peer.id, "\0\0\0\0\0\0\0\0", 8);
	assert_memory_equal(message.proposal.v2.eids[0], "SMCPROBE.EID.0001       ", 24);
	message = decoded(kernel_proposal_v1_usable); /* the other way round */
	assert_int_equal(message.version, 2);
	assert_int_equal(clc_path_v1(&message), CLC_PATH_R);
	assert_int_equal(clc_path_v2(&message), CLC_PATH_NONE);
	assert_int_equal(message.proposal.ip_area_offset, CLC_AREA_LENGTH);
	assert_memory_equal(message.proposal.prefix, "\x0a\x09\0\0", 4);
	assert_int_equal(message.proposal.prefix_length, 24);
}

static void smcd_parts_of_a_proposal_are_read(void **state)
{
	struct clc_message message = decoded(smcd_v2_proposal);
	const struct clc_v2_extension *v2 = &message.proposal.v2;

	(void)state;
	assert_int_equal(clc_path_v2(&message), CLC_PATH_D);
	assert_int_equal(message.proposal.prefix6_count, 1);
	assert_int_equal(v2->flags, CLC_HAS_SEID);
	assert_int_equal(v2->smcd_offset, 64);
	assert_memory_equal(v2->seid, "SYSTEM-EID ", 11);
	assert_int_equal(v2->ism_count, 2);
	assert_int_equal(v2->isms[1].gid, 0x2122232425262728);
	assert_int_equal(v2->isms[1].chid, 0xff01);
}

static void accept_and_confirm_name_link_and_buffer(void **state)
{
	struct clc_message message = decoded(v1_accept);
	const struct clc_accept_r *r = &message.accept.r;

	(void)state;
	assert_int_equal(message.type, CLC_ACCEPT);
	assert_true(message.flags & CLC_FIRST_CONTACT);
	assert_int_equal(clc_path_v1(&message), CLC_PATH_R);
	assert_memory_equal(r->peer.mac, "\x02\0\0\0\x0a\x02", 6);
	assert_int_equal(r->queue_pair, 0x123);
	assert_int_equal(r->rkey, 0xabcd);
	assert_int_equal(r->element, 1);
	assert_int_equal(r->token, 7);
	assert_int_equal(r->size, 2);
	assert_int_equal(r->mtu, 3);
	assert_int_equal(r->address, 0x7f0000200000);
	assert_int_equal(r->sequence, 0x5a5a01);
	message = decoded(v1_confirm);
	assert_int_equal(message.type, CLC_CONFIRM);
	assert_false(message.flags & CLC_FIRST_CONTACT);
	assert_int_equal(r->token, 9);
	assert_int_equal(r->sequence, 0x0badc0);
}

static void first_contact_in_v2_says_more(void **state)
{
	struct clc_message message = decoded(v2_accept);
	const struct clc_first_contact *fc = &message.accept.first_contact;

	(void)state;
	assert_memory_equal(message.accept.eid, "SMCTEST-EID-01                  ", CLC_EID_SIZE);
	assert_int_equal(fc->flags, CLC_DIRECT);
	assert_int_equal(fc->os, CLC_OS_LINUX);
	assert_int_equal(fc->release, 1);
	assert_memory_equal(fc->host, "srv                             ", CLC_HOST_SIZE);
	assert_int_equal(fc->max_connections, 255);
	assert_int_equal(fc->max_links, 2);
	assert_int_equal(fc->features, 1);
	assert_int_equal(message.excess, 0);
	message = decoded(kernel_v2_accept);
	assert_false(message.flags & CLC_FIRST_CONTACT);
	assert_int_equal(message.accept.r.rkey, 0x62e);
}

static void a_confirm_lists_the_clients_gids(void **state)
{
	struct clc_message message = decoded(v2_confirm);

	(void)state;
	assert_int_equal(message.accept.gid_count, 1);
	assert_memory_equal(message.accept.gids[0] + 12, "\x0a\x01\0\x01", 4);
	message = decoded(kernel_v2_confirm_two_gids);
	assert_int_equal(message.accept.gid_count, 2);
	assert_memory_equal(message.accept.gids[1] + 12, "\x0a\x09\0\x0b", 4);
}

static void smcd_accepts_are_read(void **state)
{
	struct clc_message message = decoded(smcd_v1_accept);
	const struct clc_accept_d *d = &message.accept.d;

	(void)state;
	assert_true(message.smcd_first);
	assert_true(message.smcd_last);
	assert_int_equal(clc_path_v1(&message), CLC_PATH_D);
	assert_int_equal(d->gid, 0x0102030405060708);
	assert_int_equal(d->token, 0x1112131415161718);
	assert_int_equal(d->size, 2);
	assert_int_equal(d->link_id, 0xaabbccdd);
	message = decoded(smcd_v2_confirm);
	assert_int_equal(d->chid, 0xffff);
	assert_int_equal(d->extended_gid, 0x2122232425262728);
	message = decoded(smcd_v2_accept_release_0);
	assert_memory_equal(message.accept.first_contact.host, "srv ", 4);
	message = decoded(smcd_v2_accept_release_1);
	assert_int_equal(message.accept.first_contact.features, 1);
}

static void a_decline_says_why(void **state)
{
	struct clc_message message = decoded(v1_decline);

	(void)state;
	assert_int_equal(message.type, CLC_DECLINE);
	assert_int_equal(message.decline.diagnosis, CLC_NO_DEVICE);
	assert_string_equal(clc_diagnosis_text(CLC_NO_DEVICE), "no SMC device");
	assert_false(message.flags & CLC_OUT_OF_SYNC);
	message = decoded(v1_decline_out_of_sync);
	assert_true(message.flags & CLC_OUT_OF_SYNC);
	assert_int_equal(message.decline.diagnosis, CLC_SYNCHRONISATION);
	message = decoded(v2_decline);
	assert_int_equal(message.decline.diagnosis, CLC_NO_UEID);
	assert_int_equal(message.decline.os, CLC_OS_LINUX);
	assert_memory_equal(message.decline.peer_id, "\x56\x78\x02\0\0\0\x0a\x02", 8);
	assert_null(clc_diagnosis_text(0x12345678));
}

static void every_vector_encodes_to_the_same_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct wire_bytes bytes = wire_hex(vectors[i]), again = wire_blank(bytes.size);
		struct clc_message message = decoded(vectors[i]);
		size_t size = bytes.size - message.excess;

		assert_int_equal(clc_encode(&message, again.bytes, again.size), size);
		if (message.excess) { /* all but that, and a length that fits */
			assert_memory_equal(again.bytes + 7, bytes.bytes + 7, size - 4 - 7);
			assert_int_equal(again.bytes[6], size);
		} else {
			assert_memory_equal(again.bytes, bytes.bytes, size);
		}
		for (size_t room = 0; room < size; room++)
			assert_int_equal(clc_encode(&message, again.bytes, room), -ENOBUFS);
		wire_free(&bytes);
		wire_free(&again);
	}
}

/* A sender leaves the offsets alone, and the length. */
static void encoding_fills_in_offsets_and_length(void **state)
{
	struct clc_message message = {.type = CLC_PROPOSAL, .version = 2}, back;
	uint8_t bytes[CLC_LENGTH_MAX];

	(void)state;
	message.flags = clc_flags(CLC_PATH_BOTH, CLC_PATH_BOTH);
	message.proposal.prefix6_count = 8;
	message.proposal.v2.eid_count = 8;
	message.proposal.v2.ism_count = 8;
	assert_int_equal(clc_encode(&message, bytes, sizeof(bytes)), CLC_LENGTH_MAX);
	assert_int_equal(clc_decode(&back, bytes, CLC_LENGTH_MAX, NULL), 0);
	assert_int_equal(back.proposal.ip_area_offset, 40);
	assert_int_equal(back.proposal.v2_offset, 28 + 8 + 17 * 8);
	assert_int_equal(back.proposal.v2.smcd_offset, 32 + 32 * 8);
}

/* Random bytes where the content is; what has limits is brought within them. */
static void random_proposal(uint64_t *seed, struct clc_message *m)
{
	struct clc_proposal *p = &m->proposal;
	bool area_fixed = m->version > 1 && clc_path_v1(m) != CLC_PATH_NONE;
	enum clc_path v2 = clc_path_v2(m);

	p->ip_area_offset = (uint16_t)(area_fixed ? 40 : wire_random_below(seed, 41));
	p->prefix6_count = (uint8_t)wire_random_below(seed, CLC_PREFIXES_MAX + 1);
	p->v2.eid_count = (uint8_t)wire_random_below(seed, CLC_EIDS_MAX + 1);
	p->v2.ism_count = (uint8_t)wire_random_below(seed, CLC_ISM_MAX + 1);
	p->v2.release &= 0xf;
	p->v2.flags &= 0xf;
	p->v2_missing = wire_random(seed) & 1;
	if (v2 == CLC_PATH_D || v2 == CLC_PATH_BOTH)
		p->v2.smcd_offset = (uint16_t)(32 + 32 * p->v2.eid_count);
	if (v2 != CLC_PATH_NONE)
		p->v2_offset = (uint16_t)(clc_path_v1(m) == CLC_PATH_NONE
						  ? 28
						  : 28 + 8 + 17 * p->prefix6_count);
}

static void random_message(uint64_t *seed, struct clc_message *m)
{
	wire_random_fill(seed, m, sizeof(*m));
	m->type = (uint8_t)(1 + wire_random_below(seed, 4));
	m->version = (uint8_t)(1 + wire_random_below(seed, 3));
	m->flags &= 0xf;
	m->smcd_first = wire_random(seed) & 1;
	m->smcd_last = wire_random(seed) & 1;
	m->excess = 0;
	if (m->type == CLC_PROPOSAL) {
		if (m->version == 1 && clc_path_v1(m) == CLC_PATH_NONE)
			m->flags ^= 1;
		random_proposal(seed, m);
	} else if (m->type == CLC_DECLINE) {
		m->decline.os &= 0xf;
		m->decline.os_reserved &= 0xf;
	} else {
		m->flags &= 0xd;
		if (clc_path_v1(m) == CLC_PATH_D) {
			m->accept.d.size &= 0xf;
			m->accept.d.size_reserved &= 0xf;
		} else {
			m->accept.r.queue_pair &= 0xffffff;
			m->accept.r.sequence &= 0xffffff;
			m->accept.r.size &= 0xf;
			m->accept.r.mtu &= 0xf;
		}
		m->accept.first_contact.os &= 0xf;
		m->accept.first_contact.release &= 0xf;
		m->accept.gid_count = (uint8_t)wire_random_below(seed, CLC_GIDS_MAX + 1);
	}
}

/*
 * A random struct has padding, and members that a message of its kind does not have.  What comes back
 * has zeros there, and must encode to the same bytes, and come back from them as it is.
 */
static void what_is_encoded_decodes_to_the_same(void **state)
{
	uint64_t seed = 9;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		uint8_t to[CLC_LENGTH_MAX], again[CLC_LENGTH_MAX];
		struct clc_message message, back;
		struct wire_bytes bytes;
		int size;

		random_message(&seed, &message);
		size = clc_encode(&message, to, sizeof(to));
		assert_true(size > 0);
		bytes = wire_copy(to, (size_t)size);
		assert_int_equal(clc_decode(&back, bytes.bytes, bytes.size, NULL), 0);
		assert_int_equal(back.type, message.type);
		assert_int_equal(back.version, message.version);
		assert_int_equal(back.flags, message.flags);
		assert_int_equal(back.length, size);
		assert_int_equal(back.excess, 0);
		assert_int_equal(back.smcd_first, message.smcd_first);
		assert_int_equal(back.smcd_last, message.smcd_last);
		assert_int_equal(clc_encode(&back, again, sizeof(again)), size);
		assert_memory_equal(again, to, (size_t)size);
		assert_int_equal(clc_decode(&message, again, (size_t)size, NULL), 0);
		assert_memory_equal(&message, &back, sizeof(back));
		wire_free(&bytes);
	}
}

static void what_is_accepted_encodes_to_the_same_bytes(void **state)
{
	uint64_t seed = 10;
	unsigned int accepted = 0;

	(void)state;
	for (unsigned int round = 0; round < 2 * ROUNDS; round++) {
		struct wire_bytes bytes = wire_hex(vectors[wire_random_below(&seed, VECTORS)]);
		uint8_t again[CLC_LENGTH_MAX];
		struct clc_message message;

		for (unsigned int n = wire_random_below(&seed, 10); n; n--)
			bytes.bytes[wire_random_below(&seed, (unsigned int)bytes.size)] =
				(uint8_t)wire_random(&seed);
		if (clc_decode(&message, bytes.bytes, bytes.size, NULL) == 0 && !message.excess) {
			assert_int_equal(clc_encode(&message, again, sizeof(again)), bytes.size);
			assert_memory_equal(again, bytes.bytes, bytes.size);
			accepted++;
		}
		wire_free(&bytes);
	}
	assert_true(accepted > ROUNDS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_says_how_long_a_message_is),
		cmocka_unit_test(a_v1_proposal_offers_a_device_and_a_prefix),
		cmocka_unit_test(the_area_for_later_use_is_passed_over_in_v1),
		cmocka_unit_test(a_v2_proposal_offers_eids),
		cmocka_unit_test(a_proposal_of_v2_alone_has_no_prefixes),
		cmocka_unit_test(smcd_parts_of_a_proposal_are_read),
		cmocka_unit_test(accept_and_confirm_name_link_and_buffer),
		cmocka_unit_test(first_contact_in_v2_says_more),
		cmocka_unit_test(a_confirm_lists_the_clients_gids),
		cmocka_unit_test(smcd_accepts_are_read),
		cmocka_unit_test(a_decline_says_why),
		cmocka_unit_test(every_vector_encodes_to_the_same_bytes),
		cmocka_unit_test(encoding_fills_in_offsets_and_length),
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
		cmocka_unit_test(what_is_accepted_encodes_to_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
