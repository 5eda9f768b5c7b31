/* SPDX-License-Identifier: MIT */
/*
 * CLC messages as nobody should send them: lengths, counts and offsets that do not agree.  Each bound
 * here was missing in some implementation once.
 */
#include <errno.h>

#include "wire_clc.h"

static void refused(const struct wire_bytes *bytes, int error, const char *name)
{
	struct clc_message message;
	const char *field = NULL;

	assert_int_equal(clc_decode(&message, bytes->bytes, bytes->size, &field), error);
	assert_string_equal(field, name);
	assert_int_equal(clc_decode(&message, bytes->bytes, bytes->size, NULL), error);
}

static void put16(struct wire_bytes *bytes, size_t offset, unsigned int number)
{
	bytes->bytes[offset] = (uint8_t)(number >> 8);
	bytes->bytes[offset + 1] = (uint8_t)number;
}

/* The length in the header, checked before the rest is there. */
static int header_length(const char *vector, unsigned int length)
{
	struct wire_bytes bytes = wire_hex(vector);
	struct clc_message message;
	const char *field = NULL;
	int result;

	put16(&bytes, 5, length);
	result = clc_header_decode(&message, bytes.bytes, &field);
	if (result < 0)
		assert_string_equal(field, "length");
	wire_free(&bytes);
	return result;
}

static void a_length_that_cannot_be_is_refused_by_the_header(void **state)
{
	static const unsigned int lengths[] = {0, 7, 8, 11, 12, 27};
	static const char *const exact[] = {v1_accept, v1_confirm, v1_decline, v2_decline,
					    smcd_v1_accept};

	(void)state;
	for (size_t i = 0; i < VECTORS; i++)
		for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++)
			assert_int_equal(header_length(vectors[i], lengths[k]), -EMSGSIZE);
	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
		struct wire_bytes bytes = wire_hex(exact[i]);

		for (unsigned int length = 0; length < 700; length++)
			assert_int_equal(header_length(exact[i], length),
					 length == bytes.size ? (int)length : -EMSGSIZE);
		assert_int_equal(header_length(exact[i], 65535), -EMSGSIZE);
		wire_free(&bytes);
	}
	assert_int_equal(header_length(v1_proposal, 51), -EMSGSIZE);
	assert_int_equal(header_length(v1_proposal, 228), 228);
	assert_int_equal(header_length(v1_proposal, 229), -EMSGSIZE);
	assert_int_equal(header_length(v2_proposal, 83), -EMSGSIZE);
	assert_int_equal(header_length(v2_proposal, 652), 652);
	assert_int_equal(header_length(v2_proposal, 653), -EMSGSIZE);
	assert_int_equal(header_length(v2_proposal, 65535), -EMSGSIZE);
	assert_int_equal(header_length(kernel_v2_accept, 107), -EMSGSIZE);
	assert_int_equal(header_length(v2_accept, 159), -EMSGSIZE);
	assert_int_equal(header_length(v2_confirm, 163), -EMSGSIZE);
	assert_int_equal(header_length(smcd_v2_confirm, 77), -EMSGSIZE);
	assert_int_equal(header_length(smcd_v2_accept_release_0, 113), -EMSGSIZE);
}

/* May the length be larger, with more content to it? */
static bool may_be_longer(const struct wire_bytes *bytes)
{
	unsigned int version = bytes->bytes[7] >> 4, type = bytes->bytes[4];

	return version > 2 || (version == 2 && (type == CLC_ACCEPT || type == CLC_CONFIRM));
}

static void size_is_refused(const struct wire_bytes *other)
{
	refused(other, -EMSGSIZE, "length");
}

static void a_message_of_another_size_than_it_says_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++)
		wire_other_sizes(vectors[i], 5, size_is_refused);
}

/* How much of a Proposal stands before its extension for v2?  0: it has none. */
static size_t before_extension(const struct wire_bytes *bytes, const struct clc_message *message)
{
	if (bytes->bytes[4] != CLC_PROPOSAL || clc_path_v2(message) == CLC_PATH_NONE)
		return 0;
	return 52U + message->proposal.v2_offset + 4;
}

/* Cut or stretched between content and trailer, with a length that agrees. */
static void content_that_does_not_give_the_length_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct wire_bytes whole = wire_hex(vectors[i]);
		struct clc_message message = decoded(vectors[i]);
		size_t needed = whole.size - message.excess;
		size_t without = before_extension(&whole, &message);

		for (size_t size = 12; size < whole.size + 20; size++) {
			struct wire_bytes other = wire_blank(size);
			size_t content = (size < whole.size ? size : whole.size) - 4;
			int result;

			memcpy(other.bytes, whole.bytes, content);
			memcpy(other.bytes + size - 4, whole.bytes + whole.size - 4, 4);
			put16(&other, 5, (unsigned int)size);
			result = clc_decode(&message, other.bytes, other.size, NULL);
			if (without && size >= without && size < needed) {
				assert_int_equal(result, 0);
				assert_true(message.proposal.v2_missing);
				assert_int_equal(message.excess, size - without);
			} else if (size == needed || (size > needed && may_be_longer(&whole))) {
				assert_int_equal(result, 0);
				assert_int_equal(message.excess, size - needed);
			} else {
				assert_int_equal(result, -EMSGSIZE);
			}
			wire_free(&other);
		}
		wire_free(&whole);
	}
}

/* Who has a buffer of the size that is known keeps the start of a longer message. */
static void the_start_of_a_message_of_the_future_is_enough(void **state)
{
	struct wire_bytes small = wire_hex(v2_accept), large = wire_blank(CLC_LENGTH_MAX);
	struct clc_message message;

	(void)state;
	memcpy(large.bytes, small.bytes, small.size - 4);
	put16(&large, 5, 5000);
	assert_int_equal(clc_decode(&message, large.bytes, large.size, NULL), 0);
	assert_int_equal(message.length, 5000);
	assert_int_equal(message.excess, 5000 - 160);
	assert_int_equal(message.accept.first_contact.max_links, 2);
	large.size--;
	refused(&large, -EMSGSIZE, "length");
	wire_free(&small);
	wire_free(&large);
}

static void what_is_no_clc_message_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct wire_bytes bytes = wire_hex(vectors[i]);
		uint8_t type = bytes.bytes[4], version = bytes.bytes[7];

		for (unsigned int bit = 0; bit < 32; bit++) {
			bool known = bit == 24 || bit == 26 || bit == 27 || bit == 28;

			bytes.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (!known)
				refused(&bytes, -EPROTO, "eyecatcher");
			bytes.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			bytes.bytes[bytes.size - 4 + bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (!known)
				refused(&bytes, -EPROTO, "trailer");
			bytes.bytes[bytes.size - 4 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		bytes.bytes[4] = 0;
		refused(&bytes, -EPROTONOSUPPORT, "type");
		bytes.bytes[4] = 5;
		refused(&bytes, -EPROTONOSUPPORT, "type");
		bytes.bytes[4] = type;
		bytes.bytes[7] = version & 0xf;
		refused(&bytes, -EPROTO, "version");
		wire_free(&bytes);
	}
	assert_null(clc_type_name(0));
	assert_null(clc_type_name(5));
}

static void either_eyecatcher_may_stand_at_either_end(void **state)
{
	struct wire_bytes bytes = wire_hex(v1_accept);
	struct clc_message message;

	(void)state;
	bytes.bytes[3] = 0xc4;
	assert_int_equal(clc_decode(&message, bytes.bytes, bytes.size, NULL), 0);
	assert_true(message.smcd_first);
	assert_false(message.smcd_last);
	bytes.bytes[bytes.size - 1] = 0xc4;
	assert_int_equal(clc_decode(&message, bytes.bytes, bytes.size, NULL), 0);
	assert_true(message.smcd_last);
	wire_free(&bytes);
}

static void a_path_that_cannot_be_chosen_is_refused(void **state)
{
	struct wire_bytes accept = wire_hex(v1_accept), proposal = wire_hex(v1_proposal);

	(void)state;
	accept.bytes[7] = 0x1a;
	refused(&accept, -EPROTO, "path");
	accept.bytes[7] = 0x1b;
	refused(&accept, -EPROTO, "path");
	proposal.bytes[7] = 0x12; /* v1, and none of v1 */
	refused(&proposal, -EPROTO, "path");
	wire_free(&accept);
	wire_free(&proposal);
}

static void ip_area_offsets_are_bounded(void **state)
{
	struct wire_bytes v1 = wire_hex(v1_proposal), v2 = wire_hex(v2_proposal_v1_too);
	struct wire_bytes alone = wire_hex(v2_proposal);
	struct clc_message message;

	(void)state;
	for (unsigned int offset = 1; offset < 65536; offset++) {
		put16(&v1, 38, offset);
		put16(&v2, 38, offset);
		put16(&alone, 38, offset);
		assert_int_equal(clc_decode(&message, v1.bytes, v1.size, NULL),
				 offset > 40 ? -EPROTO : -EMSGSIZE);
		assert_int_equal(clc_decode(&message, v2.bytes, v2.size, NULL),
				 offset == 40 ? 0 : -EPROTO);
		assert_int_equal(clc_decode(&message, alone.bytes, alone.size, NULL),
				 offset > 40 ? -EPROTO : 0); /* it points to nothing there */
	}
	refused(&v1, -EPROTO, "IP area offset");
	wire_free(&v1);
	wire_free(&v2);
	wire_free(&alone);
}

/* It is a Proposal of v1, and what is offered of v2 is not there. */
static void has_no_v2(const struct wire_bytes *bytes)
{
	static const struct clc_v2_extension none;
	struct clc_message message;
	uint8_t again[CLC_LENGTH_MAX];
	int length;

	assert_int_equal(clc_decode(&message, bytes->bytes, bytes->size, NULL), 0);
	assert_true(message.proposal.v2_missing);
	assert_memory_equal(&message.proposal.v2, &none, sizeof(none));
	length = clc_encode(&message, again, sizeof(again));
	assert_int_equal(length, bytes->size - message.excess);
	assert_memory_equal(again + 8, bytes->bytes + 8, (size_t)length - 8 - 4);
}

static void offsets_of_extensions_have_one_right_value(void **state)
{
	struct wire_bytes both = wire_hex(v2_proposal_v1_too), alone = wire_hex(v2_proposal);
	struct wire_bytes smcd = wire_hex(smcd_v2_proposal);
	size_t z = 52 + 53 + 6;

	(void)state;
	for (unsigned int offset = 0; offset < 65536; offset++) {
		put16(&both, 50, offset);
		if (offset != 36)
			has_no_v2(&both);
		put16(&alone, 50, offset);
		if (offset != 28)
			has_no_v2(&alone);
		put16(&smcd, z, offset);
		if (offset != 64)
			has_no_v2(&smcd);
	}
	wire_free(&both);
	wire_free(&alone);
	wire_free(&smcd);
}

static void counts_are_bounded(void **state)
{
	struct wire_bytes prefixes = wire_hex(v1_proposal), eids = wire_hex(v2_proposal);
	struct wire_bytes confirm = wire_hex(v2_confirm), isms = wire_hex(smcd_v2_proposal);

	(void)state;
	for (unsigned int count = 0; count < 256; count++) {
		prefixes.bytes[47] = (uint8_t)count;
		eids.bytes[80] = (uint8_t)count;
		isms.bytes[52 + 53 + 1] = (uint8_t)count;
		confirm.bytes[156] = (uint8_t)count;
		if (count > 8) {
			refused(&prefixes, -EPROTO, "number of IPv6 prefixes");
			has_no_v2(&eids);
			has_no_v2(&isms);
			refused(&confirm, -EPROTO, "number of GIDs");
			continue;
		}
		if (count != 0)
			refused(&prefixes, -EMSGSIZE, "length");
		if (count < 1)
			refused(&eids, -EMSGSIZE, "length");
		if (count > 1)
			has_no_v2(&eids);
		if (count < 2)
			refused(&isms, -EMSGSIZE, "length");
		if (count > 2)
			has_no_v2(&isms);
		if (count > 1)
			refused(&confirm, -EMSGSIZE, "length");
	}
	wire_free(&prefixes);
	wire_free(&eids);
	wire_free(&isms);
	wire_free(&confirm);
}

/* Linux once took the trailer of such an Accept for the extension. */
static void a_first_contact_without_its_extension_is_refused(void **state)
{
	struct wire_bytes accept = wire_hex(kernel_v2_accept);

	(void)state;
	accept.bytes[7] |= CLC_FIRST_CONTACT;
	refused(&accept, -EMSGSIZE, "length");
	wire_free(&accept);
}

/* Linux once refused a Decline for them. */
static void reserved_bits_do_not_matter(void **state)
{
	struct wire_bytes decline = wire_hex(v1_decline), accept = wire_hex(v1_accept);
	struct clc_message message;

	(void)state;
	decline.bytes[7] |= 0x07;
	memset(decline.bytes + 20, 0xff, 4);
	assert_int_equal(clc_decode(&message, decline.bytes, decline.size, NULL), 0);
	accept.bytes[7] |= 0x04;
	accept.bytes[51] = 0xff;
	accept.bytes[60] = 0xff;
	assert_int_equal(clc_decode(&message, accept.bytes, accept.size, NULL), 0);
	wire_free(&decline);
	wire_free(&accept);
}

static void what_a_decoder_would_refuse_is_not_encoded(void **state)
{
	uint8_t to[2 * CLC_LENGTH_MAX];
	struct clc_message message = decoded(v2_proposal_v1_too);

	(void)state;
	message.proposal.prefix6_count = 9;
	assert_int_equal(clc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(v2_proposal_v1_too);
	message.proposal.v2.eid_count = 9;
	assert_int_equal(clc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(v2_proposal_v1_too);
	message.proposal.v2.release = 16;
	assert_int_equal(clc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(v1_proposal);
	message.proposal.ip_area_offset = 41;
	assert_int_equal(clc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(v2_confirm);
	message.accept.gid_count = 9;
	assert_int_equal(clc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(v1_accept);
	message.accept.r.queue_pair = 1U << 24;
	assert_int_equal(clc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(v1_accept);
	message.type = CLC_TYPE_END;
	assert_int_equal(clc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(v1_accept);
	message.version = 16;
	assert_int_equal(clc_encode(&message, to, sizeof(to)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_length_that_cannot_be_is_refused_by_the_header),
		cmocka_unit_test(a_message_of_another_size_than_it_says_is_refused),
		cmocka_unit_test(content_that_does_not_give_the_length_is_refused),
		cmocka_unit_test(the_start_of_a_message_of_the_future_is_enough),
		cmocka_unit_test(what_is_no_clc_message_is_refused),
		cmocka_unit_test(either_eyecatcher_may_stand_at_either_end),
		cmocka_unit_test(a_path_that_cannot_be_chosen_is_refused),
		cmocka_unit_test(ip_area_offsets_are_bounded),
		cmocka_unit_test(offsets_of_extensions_have_one_right_value),
		cmocka_unit_test(counts_are_bounded),
		cmocka_unit_test(a_first_contact_without_its_extension_is_refused),
		cmocka_unit_test(reserved_bits_do_not_matter),
		cmocka_unit_test(what_a_decoder_would_refuse_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
