/* SPDX-License-Identifier: MIT */
/*
 * LLC messages of both versions, against those that two Linux kernels exchanged
 */
#include "wire/llc.h"

#include <errno.h>

#include "wire.h"

#define ROUNDS 20000
#define ZEROS_16 "00000000000000000000000000000000"

static const char confirm_link[] =
	"012c000352540000020000000000000000000000ffff0a090002000011010000010102000000000000000000";
static const char add_link[] =
	"022c0000525400000200000000000000000000000000ffff0a09000200001202031931660000000000000000";
static const char add_link_rejected[] =
	"022c01c0525400000200000000000000000000000000ffff0a09000200001202031931660000000000000000";
static const char add_link_continuation[] =
	"032c000002010000000003be000003b7ffff8880062e00000000000000000000000000000000000000000000";
static const char delete_link[] =
	"042c002001000100000000000000000000000000000000000000000000000000000000000000000000000000";
static const char delete_link_response[] =
	"042c00a001001000000000000000000000000000000000000000000000000000000000000000000000000000";
static const char confirm_rkey[] =
	"062c000000000006e1ffff888005ce0000000000000000000000000000000000000000000000000000000000";
static const char test_link_response[] =
	"072c008000000000000000000000000000000000000000000000000000000000000000000000000000000000";
static const char delete_rkey[] =
	"092c000001000000000006e10000000000000000000000000000000000000000000000000000000000000000";
static const char confirm_link_v2[] =
	"212c008352540000010000000000000000000000ffff0a090001000011010000010102ff0000000000000000";
static const char add_link_v2[] = /* 104 bytes, two keys, both numbers least significant first */
	"22680000525400000200000000000000000000000000ffff0a090002000012030350a4220000000000000000"
	"800000000000000000000000ffff0a0900020000000000000000"
	"0200000004a9000006e5ffff888006790000000003bb0000074dffff888005ff0000";
static const char add_link_v2_rejected[] =
	"222c00c0525400000200000000000000000000000000ffff0a09000200001202031f649c0000000000000000";
static const char delete_rkey_v2_response[] =
	"292c008001000000000000000000000000000000000000000000000000000000000000000000000000000000";

/* Not captured: made after the tables, as another implementation would send them. */
static const char add_link_continuation_two[] = "032c008003020000 00000001000000020000000000000003 "
						"00000004000000050000000000000006 00000000";
static const char confirm_rkey_three_links[] =
	"062c0000 02 00000a01 0000000000001000 02 00000a02 0000000000002000 03 00000a03"
	"0000000000003000 00";
static const char confirm_rkey_continuation[] =
	"082c0080 03 04 00000a04 0000000000004000 05 00000a05 0000000000005000 06 00000a06"
	"0000000000006000";
static const char add_link_v2_big_endian[] =
	"22005800525400000200000000000000000000000000ffff0a090002000012030350a4220000000000000000"
	"800000000000000000000000ffff0a0900020000000000000000"
	"0001000004a9000006e5ffff888006790000";
static const char request_add_link_v2[] =
	"25003c00 0000000000000000000000000000000000000000 02000000"
	"00000000000000000000ffff0a090001"
	"00000000000000000000ffff0a09000b";
static const char request_add_link_v2_response[] =
	"25002c80 0000000000000000000000000000000000000000 00000000" ZEROS_16;
static const char delete_rkey_v2_ten[] = "2900300000" /* (byte 4 is set below) */
					 "000000 00000001 00000002 00000003 00000004 00000005"
					 "00000006 00000007 00000008 00000009 0000000a";
static const char delete_rkey_eight_failed[] =
	"092c00a0 08810000 00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008"
	"00000000";

static const char *const vectors[] = {
	confirm_link,
	add_link,
	add_link_rejected,
	add_link_continuation,
	delete_link,
	delete_link_response,
	confirm_rkey,
	test_link_response,
	delete_rkey,
	confirm_link_v2,
	add_link_v2,
	add_link_v2_rejected,
	delete_rkey_v2_response,
	add_link_continuation_two,
	confirm_rkey_three_links,
	confirm_rkey_continuation,
	add_link_v2_big_endian,
	request_add_link_v2,
	request_add_link_v2_response,
	delete_rkey_eight_failed,
};
#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static struct llc_message decoded(const char *hex)
{
	struct wire_bytes bytes = wire_hex(hex);
	struct llc_message message;

	assert_int_equal(llc_decode(&message, bytes.bytes, bytes.size, NULL), 0);
	assert_int_equal(message.length, bytes.size);
	wire_free(&bytes);
	return message;
}

static void refused(const struct wire_bytes *bytes, int error, const char *name)
{
	struct llc_message message;
	const char *field = NULL;

	assert_int_equal(llc_decode(&message, bytes->bytes, bytes->size, &field), error);
	assert_string_equal(field, name);
	assert_int_equal(llc_decode(&message, bytes->bytes, bytes->size, NULL), error);
}

static void a_link_is_confirmed_with_these_numbers(void **state)
{
	struct llc_message message = decoded(confirm_link);
	const struct llc_confirm_link *m = &message.confirm_link;

	(void)state;
	assert_int_equal(message.version, 1);
	assert_int_equal(message.type, LLC_CONFIRM_LINK);
	assert_int_equal(message.flags, LLC_NO_EYECATCHER);
	assert_memory_equal(m->mac, "\x52\x54\0\0\x02\0", 6);
	assert_memory_equal(m->gid + 10, "\xff\xff\x0a\x09\0\x02", 6);
	assert_int_equal(m->queue_pair, 0x11);
	assert_int_equal(m->link, 1);
	assert_int_equal(m->user_id, 0x101);
	assert_int_equal(m->max_links, 2);
	assert_int_equal(m->max_connections, 0);
	message = decoded(confirm_link_v2);
	assert_int_equal(message.version, 2);
	assert_true(message.little_length);
	assert_int_equal(message.flags, LLC_RESPONSE | LLC_NO_EYECATCHER);
	assert_int_equal(message.confirm_link.max_connections, 255);
}

static void a_link_is_added_with_these_numbers(void **state)
{
	struct llc_message message = decoded(add_link);

	(void)state;
	assert_int_equal(message.flags, 0);
	assert_memory_equal(message.add_link.mac, "\x52\x54\0\0\x02\0", 6);
	assert_memory_equal(message.add_link.gid + 10, "\xff\xff\x0a\x09\0\x02", 6);
	assert_int_equal(message.add_link.queue_pair, 0x12);
	assert_int_equal(message.add_link.link, 2);
	assert_int_equal(message.add_link.mtu, 3);
	assert_int_equal(message.add_link.sequence, 0x193166);
	message = decoded(add_link_rejected);
	assert_int_equal(message.flags, LLC_RESPONSE | LLC_REJECTED);
	assert_int_equal(llc_reject_reason(&message), LLC_REJECT_NO_ALTERNATE);
	message = decoded(add_link_v2_rejected);
	assert_int_equal(message.length, LLC_LENGTH);
	assert_int_equal(llc_reject_reason(&message), 0);
}

static void v2_brings_the_keys_with_the_link_in_either_byte_order(void **state)
{
	struct llc_message message = decoded(add_link_v2);

	(void)state;
	assert_int_equal(message.length, 104);
	assert_true(message.little_length);
	assert_int_equal(message.add_link.extension.direct, LLC_ADD_LINK_DIRECT);
	assert_memory_equal(message.add_link.extension.target_gid + 12, "\x0a\x09\0\x02", 4);
	assert_int_equal(message.add_link.extension.count, 2);
	assert_true(message.add_link.extension.little_count);
	assert_int_equal(message.add_link.extension.rkeys[0].rkey, 0x4a9);
	assert_int_equal(message.add_link.extension.rkeys[1].new_rkey, 0x74d);
	assert_int_equal(message.add_link.extension.rkeys[1].new_address, 0xffff888005ff0000);
	message = decoded(add_link_v2_big_endian);
	assert_false(message.little_length);
	assert_int_equal(message.add_link.extension.count, 1);
	assert_false(message.add_link.extension.little_count);
}

static void v1_brings_the_keys_in_continuations(void **state)
{
	struct llc_message message = decoded(add_link_continuation);
	const struct llc_add_link_continuation *m = &message.add_link_continuation;

	(void)state;
	assert_int_equal(m->link, 2);
	assert_int_equal(m->left, 1);
	assert_int_equal(llc_continuation_rkeys(m), 1);
	assert_int_equal(m->rkeys[0].rkey, 0x3be);
	assert_int_equal(m->rkeys[0].new_rkey, 0x3b7);
	assert_int_equal(m->rkeys[0].new_address, 0xffff8880062e0000);
	message = decoded(add_link_continuation_two);
	assert_int_equal(llc_continuation_rkeys(m), 2);
	assert_int_equal(m->rkeys[1].new_rkey, 5);
	message.add_link_continuation.left = 200;
	assert_int_equal(llc_continuation_rkeys(m), 2);
	message.add_link_continuation.left = 0;
	assert_int_equal(llc_continuation_rkeys(m), 0);
}

static void a_link_is_deleted_for_a_reason(void **state)
{
	struct llc_message message = decoded(delete_link);

	(void)state;
	assert_int_equal(message.flags, LLC_DELETE_ORDERLY);
	assert_int_equal(message.delete_link.link, 1);
	assert_int_equal(message.delete_link.reason, LLC_DELETED_PATH_LOST);
	assert_string_equal(llc_delete_reason_name(message.delete_link.reason), "lost path");
	message = decoded(delete_link_response);
	assert_int_equal(message.flags, LLC_RESPONSE | LLC_DELETE_ORDERLY);
	assert_int_equal(message.delete_link.reason, LLC_DELETE_UNKNOWN_LINK);
	assert_null(llc_delete_reason_name(7));
}

static void keys_are_confirmed_for_every_link(void **state)
{
	struct llc_message message = decoded(confirm_rkey);
	const struct llc_confirm_rkey *m = &message.confirm_rkey;

	(void)state;
	assert_int_equal(m->count, 0);
	assert_int_equal(llc_confirm_rkeys(m), 0);
	assert_int_equal(m->rkey, 0x6e1);
	assert_int_equal(m->address, 0xffff888005ce0000);
	message = decoded(confirm_rkey_three_links);
	assert_int_equal(llc_confirm_rkeys(m), 2);
	assert_int_equal(m->rkey, 0xa01);
	assert_int_equal(m->others[1].link, 3);
	assert_int_equal(m->others[1].rkey, 0xa03);
	assert_int_equal(m->others[1].address, 0x3000);
	message.confirm_rkey.count = 7;
	assert_int_equal(llc_confirm_rkeys(m), 2);
	message = decoded(confirm_rkey_continuation);
	assert_int_equal(message.confirm_rkey_continuation.left, 3);
	assert_int_equal(message.confirm_rkey_continuation.others[2].link, 6);
	assert_int_equal(message.confirm_rkey_continuation.others[2].address, 0x6000);
}

static void keys_are_deleted(void **state)
{
	struct wire_bytes ten = wire_hex(delete_rkey_v2_ten);
	struct llc_message message = decoded(delete_rkey);

	(void)state;
	assert_int_equal(message.delete_rkey.count, 1);
	assert_int_equal(message.delete_rkey.rkeys[0], 0x6e1);
	message = decoded(delete_rkey_eight_failed);
	assert_int_equal(message.delete_rkey.failed, 0x81);
	assert_int_equal(message.delete_rkey.rkeys[7], 8);
	ten.bytes[4] = 10;
	assert_int_equal(llc_decode(&message, ten.bytes, ten.size, NULL), 0);
	assert_int_equal(message.delete_rkey.rkeys[9], 10);
	wire_free(&ten);
}

static void gids_are_offered_for_another_link(void **state)
{
	struct llc_message message = decoded(request_add_link_v2);

	(void)state;
	assert_int_equal(message.request_add_link.count, 2);
	assert_memory_equal(message.request_add_link.gids[1] + 12, "\x0a\x09\0\x0b", 4);
	message = decoded(request_add_link_v2_response);
	assert_int_equal(message.flags, LLC_RESPONSE);
	assert_int_equal(message.request_add_link.count, 0);
}

static void every_vector_encodes_to_the_same_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		struct wire_bytes bytes = wire_hex(vectors[i]), again = wire_blank(bytes.size);
		struct llc_message message = decoded(vectors[i]);

		assert_int_equal(llc_encode(&message, again.bytes, again.size), bytes.size);
		assert_memory_equal(again.bytes, bytes.bytes, bytes.size);
		assert_int_equal(llc_length(&message), bytes.size);
		for (size_t room = 0; room < bytes.size; room++)
			assert_int_equal(llc_encode(&message, again.bytes, room), -ENOBUFS);
		wire_free(&bytes);
		wire_free(&again);
	}
}

static void size_is_refused(const struct wire_bytes *other)
{
	refused(other, -EMSGSIZE, "length");
}

static void every_other_length_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++)
		wire_other_sizes(vectors[i], 40, size_is_refused);
}

/* The length that a message says may be wrong together with the one it has. */
static void a_length_that_no_such_message_has_is_refused(void **state)
{
	static const uint8_t types[] = {0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x29};

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++)
		for (size_t size = LLC_LENGTH; size <= LLC_LENGTH_MAX + 20; size++) {
			struct wire_bytes bytes = wire_blank(size);
			struct llc_message message;
			bool right = size == LLC_LENGTH && types[i] != 0x22;
			int result;

			if (types[i] == 0x22)
				right = size >= 72 && (size - 72) % 16 == 0 &&
					(size - 72) / 16 < 256;
			if (types[i] == 0x25)
				right = size == 44 ||
					(size > 44 && size <= 156 && (size - 28) % 16 == 0);
			if (types[i] == 0x29)
				right = size % 4 == 0 && (size - 8) / 4 < 256;
			bytes.bytes[0] = types[i];
			bytes.bytes[1] = (uint8_t)(size >> 8);
			bytes.bytes[2] = (uint8_t)size;
			result = llc_decode(&message, bytes.bytes, size, NULL);
			if (!right)
				assert_int_equal(result, -EMSGSIZE);
			else if (size == LLC_LENGTH || types[i] == 0x29)
				assert_int_equal(result, 0);
			else /* it brings some and says it brings none */
				assert_int_equal(result, size == 72 ? 0 : -EPROTO);
			wire_free(&bytes);
		}
}

static void keys_that_are_not_there_are_not_believed(void **state)
{
	struct wire_bytes add = wire_hex(add_link_v2), ten = wire_hex(delete_rkey_v2_ten);
	struct wire_bytes v1 = wire_hex(delete_rkey), request = wire_hex(request_add_link_v2);
	struct llc_message message;

	(void)state;
	for (unsigned int count = 0; count < 65536; count += 17) {
		add.bytes[70] = (uint8_t)(count >> 8);
		add.bytes[71] = (uint8_t)count;
		refused(&add, -EPROTO, "number of rkeys");
	}
	for (unsigned int count = 0; count < 256; count++) {
		ten.bytes[4] = (uint8_t)count;
		v1.bytes[4] = (uint8_t)count;
		request.bytes[24] = (uint8_t)count;
		if (count > 10)
			refused(&ten, -EPROTO, "number of rkeys");
		else
			assert_int_equal(llc_decode(&message, ten.bytes, ten.size, NULL), 0);
		if (count > 8)
			refused(&v1, -EPROTO, "number of rkeys");
		else
			assert_int_equal(llc_decode(&message, v1.bytes, v1.size, NULL), 0);
		if (count != 2)
			refused(&request, -EPROTO, "number of GIDs");
	}
	wire_free(&add);
	wire_free(&ten);
	wire_free(&v1);
	wire_free(&request);
}

static void only_known_types_are_accepted(void **state)
{
	static const bool known[256] = {
		[0x01] = true, [0x02] = true, [0x03] = true, [0x04] = true, [0x06] = true,
		[0x07] = true, [0x08] = true, [0x09] = true, [0x21] = true, [0x22] = true,
		[0x24] = true, [0x25] = true, [0x26] = true, [0x27] = true, [0x29] = true,
	};
	struct wire_bytes bytes = wire_blank(LLC_LENGTH);
	struct llc_message message;

	(void)state;
	bytes.bytes[1] = LLC_LENGTH;
	bytes.bytes[3] = LLC_RESPONSE | LLC_REJECTED;
	for (unsigned int type = 0; type < 256; type++) {
		bytes.bytes[0] = (uint8_t)type;
		if (known[type])
			assert_int_equal(llc_decode(&message, bytes.bytes, bytes.size, NULL), 0);
		else
			refused(&bytes, -EPROTONOSUPPORT, "type");
	}
	assert_null(llc_type_name(0));
	assert_null(llc_type_name(LLC_TYPE_END));
	assert_string_equal(llc_type_name(LLC_REQUEST_ADD_LINK), "REQUEST ADD LINK");
	wire_free(&bytes);
}

static void what_a_decoder_would_refuse_is_not_encoded(void **state)
{
	uint8_t to[LLC_LENGTH_MAX];
	struct llc_message message = decoded(add_link_v2);

	(void)state;
	message.add_link.extension.count = 3;
	assert_int_equal(llc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(add_link_v2);
	message.add_link.mtu = 16;
	assert_int_equal(llc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(add_link);
	message.add_link.sequence = 1U << 24;
	assert_int_equal(llc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(add_link);
	message.length = 88;
	assert_int_equal(llc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(add_link);
	message.version = 3;
	assert_int_equal(llc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(request_add_link_v2);
	message.request_add_link.count = LLC_GIDS_MAX + 1;
	message.length = llc_length(&message);
	assert_int_equal(llc_encode(&message, to, sizeof(to)), -EINVAL);
	message = decoded(add_link_continuation);
	message.version = 2; /* which has none */
	assert_int_equal(llc_encode(&message, to, sizeof(to)), -EINVAL);
}

/* Random bytes where the content is; what has limits is brought within them. */
static void random_message(uint64_t *seed, struct llc_message *m)
{
	static const uint8_t v1[] = {1, 2, 3, 4, 6, 7, 8, 9}, v2[] = {1, 2, 4, 5, 6, 7, 9};

	wire_random_fill(seed, m, sizeof(*m));
	m->version = (uint8_t)(1 + wire_random_below(seed, 2));
	m->type = m->version == 1 ? v1[wire_random_below(seed, sizeof(v1))]
				  : v2[wire_random_below(seed, sizeof(v2))];
	m->reason = m->version == 1 ? m->reason : 0;
	m->add_link.queue_pair &= m->type == LLC_ADD_LINK ? 0xffffff : UINT32_MAX;
	m->confirm_link.queue_pair &= m->type == LLC_CONFIRM_LINK ? 0xffffff : UINT32_MAX;
	if (m->type == LLC_ADD_LINK) {
		m->add_link.mtu_reserved &= 0xf;
		m->add_link.mtu &= 0xf;
		m->add_link.sequence &= 0xffffff;
		m->add_link.extension.count = (uint16_t)wire_random_below(seed, 256);
		m->add_link.extension.little_count =
			m->add_link.extension.count && wire_random(seed) & 1;
	}
	if (m->type == LLC_REQUEST_ADD_LINK)
		m->request_add_link.count = (uint8_t)wire_random_below(seed, LLC_GIDS_MAX + 1);
	if (m->type == LLC_DELETE_RKEY && m->version == 1)
		m->delete_rkey.count %= LLC_DELETE_RKEYS_V1 + 1;
	m->length = llc_length(m);
	m->little_length =
		m->version == 2 && (m->length >> 8) != (m->length & 0xff) && wire_random(seed) & 1;
}

/*
 * A random struct has padding, and members that a message of its length does not have.  What comes
 * back has zeros there, and must encode to the same bytes, and come back from them as it is.
 */
static void what_is_encoded_decodes_to_the_same(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		uint8_t to[LLC_LENGTH_MAX], again[LLC_LENGTH_MAX];
		struct llc_message message, back;
		struct wire_bytes bytes;
		int size;

		random_message(&seed, &message);
		size = llc_encode(&message, to, sizeof(to));
		assert_int_equal(size, message.length);
		bytes = wire_copy(to, (size_t)size);
		assert_int_equal(llc_decode(&back, bytes.bytes, bytes.size, NULL), 0);
		assert_int_equal(back.version, message.version);
		assert_int_equal(back.type, message.type);
		assert_int_equal(back.length, message.length);
		assert_int_equal(back.little_length, message.little_length);
		assert_int_equal(back.flags, message.flags);
		assert_int_equal(back.reason, message.reason);
		assert_int_equal(llc_encode(&back, again, sizeof(again)), size);
		assert_memory_equal(again, to, (size_t)size);
		assert_int_equal(llc_decode(&message, again, (size_t)size, NULL), 0);
		assert_memory_equal(&message, &back, sizeof(back));
		wire_free(&bytes);
	}
}

static void what_is_accepted_encodes_to_the_same_bytes(void **state)
{
	uint64_t seed = 8;
	unsigned int accepted = 0;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct wire_bytes bytes = wire_hex(vectors[wire_random_below(&seed, VECTORS)]);
		uint8_t again[LLC_LENGTH_MAX];
		struct llc_message message;

		for (unsigned int n = wire_random_below(&seed, 20); n; n--)
			bytes.bytes[wire_random_below(&seed, (unsigned int)bytes.size)] =
				(uint8_t)wire_random(&seed);
		if (llc_decode(&message, bytes.bytes, bytes.size, NULL) == 0) {
			assert_int_equal(llc_encode(&message, again, sizeof(again)), bytes.size);
			assert_memory_equal(again, bytes.bytes, bytes.size);
			accepted++;
		}
		wire_free(&bytes);
	}
	assert_true(accepted > ROUNDS / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_is_confirmed_with_these_numbers),
		cmocka_unit_test(a_link_is_added_with_these_numbers),
		cmocka_unit_test(v2_brings_the_keys_with_the_link_in_either_byte_order),
		cmocka_unit_test(v1_brings_the_keys_in_continuations),
		cmocka_unit_test(a_link_is_deleted_for_a_reason),
		cmocka_unit_test(keys_are_confirmed_for_every_link),
		cmocka_unit_test(keys_are_deleted),
		cmocka_unit_test(gids_are_offered_for_another_link),
		cmocka_unit_test(every_vector_encodes_to_the_same_bytes),
		cmocka_unit_test(every_other_length_is_refused),
		cmocka_unit_test(a_length_that_no_such_message_has_is_refused),
		cmocka_unit_test(keys_that_are_not_there_are_not_believed),
		cmocka_unit_test(only_known_types_are_accepted),
		cmocka_unit_test(what_a_decoder_would_refuse_is_not_encoded),
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
		cmocka_unit_test(what_is_accepted_encodes_to_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
