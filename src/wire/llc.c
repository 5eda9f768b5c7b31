/* SPDX-License-Identifier: MIT */
#include "wire/llc.h"

#include "wire/layout.h"

/* The lengths in front of what is repeated, and those of one repetition. */
#define DELETE_RKEY_BASE 8U
#define REQUEST_BASE 28U
#define NEW_RKEY_SIZE 16U

#define V1 (1U << 1)
#define V2 (1U << 2)

static const struct {
	const char *name;
	unsigned int versions;
} types[LLC_TYPE_END] = {
	[LLC_CONFIRM_LINK] = {"CONFIRM LINK", V1 | V2},
	[LLC_ADD_LINK] = {"ADD LINK", V1 | V2},
	[LLC_ADD_LINK_CONTINUATION] = {"ADD LINK CONTINUATION", V1},
	[LLC_DELETE_LINK] = {"DELETE LINK", V1 | V2},
	[LLC_REQUEST_ADD_LINK] = {"REQUEST ADD LINK", V2},
	[LLC_CONFIRM_RKEY] = {"CONFIRM RKEY", V1 | V2},
	[LLC_TEST_LINK] = {"TEST LINK", V1 | V2},
	[LLC_CONFIRM_RKEY_CONTINUATION] = {"CONFIRM RKEY CONTINUATION", V1},
	[LLC_DELETE_RKEY] = {"DELETE RKEY", V1 | V2},
};

const char *llc_type_name(uint8_t type)
{
	return type < LLC_TYPE_END ? types[type].name : NULL;
}

const char *llc_delete_reason_name(uint32_t reason)
{
	switch (reason) {
	case LLC_DELETED_PATH_LOST:
		return "lost path";
	case LLC_DELETED_BY_OPERATOR:
		return "operator";
	case LLC_DELETED_BY_PROGRAM:
		return "program";
	case LLC_DELETED_PROTOCOL_VIOLATION:
		return "protocol violation";
	case LLC_DELETED_ASYMMETRIC:
		return "asymmetric link no longer needed";
	case LLC_DELETE_UNKNOWN_LINK:
		return "unknown link";
	case LLC_DELETE_UNKNOWN_GROUP:
		return "unknown link group";
	default:
		return NULL;
	}
}

uint8_t llc_reject_reason(const struct llc_message *message)
{
	return (message->version == 1 ? message->reason : message->flags) & 0xf;
}

unsigned int llc_continuation_rkeys(const struct llc_add_link_continuation *message)
{
	return message->left < 2 ? message->left : 2;
}

unsigned int llc_confirm_rkeys(const struct llc_confirm_rkey *message)
{
	return message->count < 2 ? message->count : 2;
}

uint16_t llc_length(const struct llc_message *message)
{
	unsigned int length = LLC_LENGTH;

	if (message->version == 1)
		return LLC_LENGTH;
	if (message->type == LLC_ADD_LINK && !(message->flags & LLC_REJECTED))
		length = LLC_ADD_LINK_V2_LENGTH + NEW_RKEY_SIZE * message->add_link.extension.count;
	else if (message->type == LLC_REQUEST_ADD_LINK && message->request_add_link.count)
		length = REQUEST_BASE + LLC_GID_SIZE * message->request_add_link.count;
	else if (message->type == LLC_DELETE_RKEY && !(message->flags & LLC_RESPONSE))
		length = DELETE_RKEY_BASE + 4U * message->delete_rkey.count;
	return (uint16_t)(length < LLC_LENGTH ? LLC_LENGTH : length);
}

static uint16_t swapped(uint16_t number)
{
	return (uint16_t)(number >> 8 | number << 8);
}

/*
 * A number whose order the sender chooses.  Reading, @known is what it has to be; what fits in
 * neither order is left as if it were big endian.
 */
static void either_order(struct layout *layout, uint16_t *number, bool *little, uint16_t known)
{
	uint16_t raw = *little ? swapped(*number) : *number;

	layout_u16(layout, &raw);
	if (layout->writes)
		return;
	*little = raw != known && swapped(raw) == known;
	*number = *little ? known : raw;
}

static void confirm_link_layout(struct layout *layout, struct llc_confirm_link *m)
{
	layout_bytes(layout, m->mac, sizeof(m->mac));
	layout_bytes(layout, m->gid, sizeof(m->gid));
	layout_u24(layout, &m->queue_pair);
	layout_u8(layout, &m->link);
	layout_u32(layout, &m->user_id);
	layout_u8(layout, &m->max_links);
	layout_u8(layout, &m->max_connections);
	layout_bytes(layout, m->reserved, sizeof(m->reserved));
}

static void new_rkey_layout(struct layout *layout, struct llc_new_rkey *rkey)
{
	layout_u32(layout, &rkey->rkey);
	layout_u32(layout, &rkey->new_rkey);
	layout_u64(layout, &rkey->new_address);
}

static void add_link_layout(struct layout *layout, struct llc_add_link *m, uint16_t length)
{
	uint16_t count;

	layout_bytes(layout, m->mac, sizeof(m->mac));
	layout_bytes(layout, m->reserved, sizeof(m->reserved));
	layout_bytes(layout, m->gid, sizeof(m->gid));
	layout_u24(layout, &m->queue_pair);
	layout_u8(layout, &m->link);
	layout_nibbles(layout, &m->mtu_reserved, &m->mtu);
	layout_u24(layout, &m->sequence);
	layout_bytes(layout, m->reserved2, sizeof(m->reserved2));
	if (length == LLC_LENGTH)
		return;
	count = (uint16_t)((length - LLC_ADD_LINK_V2_LENGTH) / NEW_RKEY_SIZE);
	layout_u8(layout, &m->extension.direct);
	layout_u8(layout, &m->extension.reserved);
	layout_bytes(layout, m->extension.target_gid, sizeof(m->extension.target_gid));
	layout_bytes(layout, m->extension.reserved2, sizeof(m->extension.reserved2));
	either_order(layout, &m->extension.count, &m->extension.little_count, count);
	for (unsigned int i = 0; i < count; i++)
		new_rkey_layout(layout, &m->extension.rkeys[i]);
}

static void add_link_continuation_layout(struct layout *layout, struct llc_add_link_continuation *m)
{
	layout_u8(layout, &m->link);
	layout_u8(layout, &m->left);
	layout_bytes(layout, m->reserved, sizeof(m->reserved));
	new_rkey_layout(layout, &m->rkeys[0]);
	new_rkey_layout(layout, &m->rkeys[1]);
	layout_bytes(layout, m->reserved2, sizeof(m->reserved2));
}

static void delete_link_layout(struct layout *layout, struct llc_delete_link *m)
{
	layout_u8(layout, &m->link);
	layout_u32(layout, &m->reason);
	layout_bytes(layout, m->reserved, sizeof(m->reserved));
}

static void request_add_link_layout(struct layout *layout, struct llc_request_add_link *m,
				    uint16_t length)
{
	layout_bytes(layout, m->reserved, sizeof(m->reserved));
	layout_u8(layout, &m->count);
	layout_bytes(layout, m->reserved2, sizeof(m->reserved2));
	layout_bytes(layout, m->gids, length - REQUEST_BASE);
}

static void link_rkey_layout(struct layout *layout, struct llc_link_rkey *rkey)
{
	layout_u8(layout, &rkey->link);
	layout_u32(layout, &rkey->rkey);
	layout_u64(layout, &rkey->address);
}

static void confirm_rkey_layout(struct layout *layout, struct llc_confirm_rkey *m)
{
	layout_u8(layout, &m->count);
	layout_u32(layout, &m->rkey);
	layout_u64(layout, &m->address);
	link_rkey_layout(layout, &m->others[0]);
	link_rkey_layout(layout, &m->others[1]);
	layout_u8(layout, &m->reserved);
}

static void confirm_rkey_continuation_layout(struct layout *layout,
					     struct llc_confirm_rkey_continuation *m)
{
	layout_u8(layout, &m->left);
	for (unsigned int i = 0; i < 3; i++)
		link_rkey_layout(layout, &m->others[i]);
}

static void test_link_layout(struct layout *layout, struct llc_test_link *m)
{
	layout_bytes(layout, m->user_data, sizeof(m->user_data));
	layout_bytes(layout, m->reserved, sizeof(m->reserved));
}

static void delete_rkey_layout(struct layout *layout, struct llc_delete_rkey *m, uint16_t length)
{
	layout_u8(layout, &m->count);
	layout_u8(layout, &m->failed);
	layout_bytes(layout, m->reserved, sizeof(m->reserved));
	for (unsigned int i = 0; i < (length - DELETE_RKEY_BASE) / 4U; i++)
		layout_u32(layout, &m->rkeys[i]);
}

/* What follows the header; the length has been checked. */
static void content_layout(struct layout *layout, struct llc_message *message)
{
	uint16_t length = message->length;

	switch (message->type) {
	case LLC_CONFIRM_LINK:
		confirm_link_layout(layout, &message->confirm_link);
		break;
	case LLC_ADD_LINK:
		add_link_layout(layout, &message->add_link, length);
		break;
	case LLC_ADD_LINK_CONTINUATION:
		add_link_continuation_layout(layout, &message->add_link_continuation);
		break;
	case LLC_DELETE_LINK:
		delete_link_layout(layout, &message->delete_link);
		break;
	case LLC_REQUEST_ADD_LINK:
		request_add_link_layout(layout, &message->request_add_link, length);
		break;
	case LLC_CONFIRM_RKEY:
		confirm_rkey_layout(layout, &message->confirm_rkey);
		break;
	case LLC_CONFIRM_RKEY_CONTINUATION:
		confirm_rkey_continuation_layout(layout, &message->confirm_rkey_continuation);
		break;
	case LLC_TEST_LINK:
		test_link_layout(layout, &message->test_link);
		break;
	default: /* LLC_DELETE_RKEY */
		delete_rkey_layout(layout, &message->delete_rkey, length);
	}
}

static void header_decode(struct layout *layout, struct llc_message *message, uint16_t length)
{
	uint8_t first = bytes_get_u8(&layout->reader), version = first >> 4;

	message->type = first & 0xf;
	message->version = version == 0 ? 1 : version == 2 ? 2 : 0;
	if (message->version == 2) {
		either_order(layout, &message->length, &message->little_length, length);
	} else {
		message->length = bytes_get_u8(&layout->reader);
		message->reason = bytes_get_u8(&layout->reader);
	}
	message->flags = bytes_get_u8(&layout->reader);
}

static void header_encode(struct bytes_writer *writer, const struct llc_message *message)
{
	if (message->version == 1) {
		bytes_put_u8(writer, message->type);
		bytes_put_u8(writer, LLC_LENGTH);
		bytes_put_u8(writer, message->reason);
	} else {
		bytes_put_u8(writer, (uint8_t)(2 << 4 | message->type));
		bytes_put_u16(writer,
			      message->little_length ? swapped(message->length) : message->length);
	}
	bytes_put_u8(writer, message->flags);
}

static int type_check(const struct llc_message *message)
{
	bool known = message->type < LLC_TYPE_END && message->version <= 2 &&
		     types[message->type].versions & 1U << message->version;

	return known ? 0 : -EPROTONOSUPPORT;
}

/* Does a v2 message of @length bytes consist of @base and at most @most times @each? */
static bool consists_of(unsigned int length, unsigned int base, unsigned int each,
			unsigned int most)
{
	return length >= base && (length - base) % each == 0 && (length - base) / each <= most;
}

/* Can a message of this type be as long as that? */
static int length_check(const struct llc_message *message)
{
	unsigned int length = message->length;
	bool right;

	if (message->version == 1)
		right = length == LLC_LENGTH;
	else if (message->type == LLC_ADD_LINK)
		right = consists_of(length, LLC_ADD_LINK_V2_LENGTH, NEW_RKEY_SIZE, LLC_RKEYS_MAX) ||
			(length == LLC_LENGTH && message->flags & LLC_REJECTED);
	else if (message->type == LLC_REQUEST_ADD_LINK)
		right = consists_of(length, REQUEST_BASE, LLC_GID_SIZE, LLC_GIDS_MAX);
	else if (message->type == LLC_DELETE_RKEY)
		right = consists_of(length, DELETE_RKEY_BASE, 4, LLC_RKEYS_MAX);
	else
		right = length == LLC_LENGTH;
	return right && length >= LLC_LENGTH ? 0 : -EMSGSIZE;
}

/* Is there what the message says it brings? */
static int count_check(const struct llc_message *message, const char **field)
{
	unsigned int length = message->length;

	if (message->type == LLC_ADD_LINK && length > LLC_LENGTH &&
	    length != LLC_ADD_LINK_V2_LENGTH + NEW_RKEY_SIZE * message->add_link.extension.count)
		return layout_wrong(field, "number of rkeys", -EPROTO);
	if (message->type == LLC_REQUEST_ADD_LINK && length != llc_length(message))
		return layout_wrong(field, "number of GIDs", -EPROTO);
	if (message->type == LLC_DELETE_RKEY && !(message->flags & LLC_RESPONSE) &&
	    (DELETE_RKEY_BASE + 4U * message->delete_rkey.count > length ||
	     (message->version == 1 && message->delete_rkey.count > LLC_DELETE_RKEYS_V1)))
		return layout_wrong(field, "number of rkeys", -EPROTO);
	return 0;
}

int llc_decode(struct llc_message *message, const void *bytes, size_t length, const char **field)
{
	struct layout layout = layout_reads(bytes, length);

	if (length < LLC_LENGTH || length > LLC_LENGTH_MAX)
		return layout_wrong(field, "length", -EMSGSIZE);
	memset(message, 0, sizeof(*message)); /* what is not in the message, too */
	header_decode(&layout, message, (uint16_t)length);
	if (type_check(message))
		return layout_wrong(field, "type", -EPROTONOSUPPORT);
	if (message->length != length || length_check(message))
		return layout_wrong(field, "length", -EMSGSIZE);
	content_layout(&layout, message);
	return count_check(message, field);
}

int llc_encode(const struct llc_message *message, void *to, size_t room)
{
	struct layout layout = layout_writes(to, room);

	if (type_check(message) || length_check(message) || count_check(message, NULL))
		return -EINVAL;
	header_encode(&layout.writer, message);
	/* (a layout that writes leaves the struct alone) */
	content_layout(&layout, (struct llc_message *)message);
	return layout_result(&layout, room);
}
