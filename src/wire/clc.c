/* SPDX-License-Identifier: MIT */
#include "wire/clc.h"

#include "wire/clc_parts.h"

static const char *const names[CLC_TYPE_END] = {
	[CLC_PROPOSAL] = "Proposal",
	[CLC_ACCEPT] = "Accept",
	[CLC_CONFIRM] = "Confirm",
	[CLC_DECLINE] = "Decline",
};

const char *clc_type_name(uint8_t type)
{
	return type < CLC_TYPE_END ? names[type] : NULL;
}

static void decline_layout(struct layout *layout, struct clc_message *message)
{
	struct clc_decline *decline = &message->decline;

	layout_bytes(layout, decline->peer_id, sizeof(decline->peer_id));
	layout_u32(layout, &decline->diagnosis);
	layout_nibbles(layout, &decline->os, &decline->os_reserved);
	layout_bytes(layout, decline->reserved, sizeof(decline->reserved));
	for (unsigned int i = 0; message->version > 1 && i < 4; i++)
		layout_u32(layout, &decline->more[i]);
}

static int content_layout(struct layout *layout, struct clc_message *message, const char **field)
{
	if (message->type == CLC_PROPOSAL)
		return clc_proposal_layout(layout, message, field);
	if (message->type != CLC_DECLINE)
		return clc_accept_layout(layout, message, field);
	decline_layout(layout, message);
	return 0;
}

/**
 * struct bounds - how long a message can be
 * @least, @most: bytes
 */
struct bounds {
	unsigned int least;
	unsigned int most;
};

static struct bounds accept_bounds(const struct clc_message *message)
{
	bool first = message->flags & CLC_FIRST_CONTACT;
	bool smcd = clc_path_v1(message) == CLC_PATH_D;

	if (message->version == 1)
		return smcd ? (struct bounds){48, 48} : (struct bounds){68, 68};
	if (smcd)
		return (struct bounds){first ? 114 : 78, UINT16_MAX};
	if (!first)
		return (struct bounds){108, UINT16_MAX};
	return (struct bounds){message->type == CLC_CONFIRM ? 164 : 160, UINT16_MAX};
}

static struct bounds bounds_of(const struct clc_message *message)
{
	switch (message->type) {
	case CLC_PROPOSAL:
		if (message->version == 1)
			return (struct bounds){52, 52 + CLC_AREA_LENGTH + 17 * CLC_PREFIXES_MAX};
		return (struct bounds){84, message->version == 2 ? CLC_LENGTH_MAX : UINT16_MAX};
	case CLC_DECLINE:
		return message->version == 1 ? (struct bounds){28, 28} : (struct bounds){44, 44};
	default:
		return accept_bounds(message);
	}
}

/* May there be more than is known here? */
static bool may_exceed(const struct clc_message *message)
{
	if (message->type == CLC_PROPOSAL && message->proposal.v2_missing)
		return true;
	return message->version > 2 || (message->version == 2 && (message->type == CLC_ACCEPT ||
								  message->type == CLC_CONFIRM));
}

static bool eyecatcher_layout(struct layout *layout, bool *smcd)
{
	uint32_t number = *smcd ? CLC_EYECATCHER_D : CLC_EYECATCHER_R;

	layout_u32(layout, &number);
	if (!layout->writes)
		*smcd = number == CLC_EYECATCHER_D;
	return number == CLC_EYECATCHER_R || number == CLC_EYECATCHER_D;
}

/* What the header says, but for the length. */
static int header_check(const struct clc_message *message, const char **field)
{
	if (message->type == 0 || message->type >= CLC_TYPE_END)
		return layout_wrong(field, "type", -EPROTONOSUPPORT);
	if (message->version == 0)
		return layout_wrong(field, "version", -EPROTO);
	if ((message->type == CLC_ACCEPT || message->type == CLC_CONFIRM) &&
	    clc_path_v1(message) > CLC_PATH_D)
		return layout_wrong(field, "path", -EPROTO);
	return 0;
}

int clc_header_decode(struct clc_message *message, const uint8_t bytes[CLC_HEADER_LENGTH],
		      const char **field)
{
	struct layout layout = layout_reads(bytes, CLC_HEADER_LENGTH);
	struct bounds bounds;
	int error;

	message->smcd_first = false;
	if (!eyecatcher_layout(&layout, &message->smcd_first))
		return layout_wrong(field, "eyecatcher", -EPROTO);
	layout_u8(&layout, &message->type);
	layout_u16(&layout, &message->length);
	layout_nibbles(&layout, &message->version, &message->flags);
	error = header_check(message, field);
	if (error)
		return error;
	bounds = bounds_of(message);
	if (message->length < bounds.least || message->length > bounds.most)
		return layout_wrong(field, "length", -EMSGSIZE);
	return message->length;
}

int clc_decode(struct clc_message *message, const void *bytes, size_t length, const char **field)
{
	struct layout layout, trailer;
	bool whole;
	int error;

	memset(message, 0, sizeof(*message)); /* what is not in the message, too */
	if (length < CLC_HEADER_LENGTH)
		return layout_wrong(field, "length", -EMSGSIZE);
	error = clc_header_decode(message, bytes, field);
	if (error < 0)
		return error;
	whole = message->length <= CLC_LENGTH_MAX;
	if (length != (whole ? message->length : CLC_LENGTH_MAX))
		return layout_wrong(field, "length", -EMSGSIZE);
	if (whole)
		length -= CLC_TRAILER_LENGTH;
	layout = layout_reads(bytes, length);
	bytes_take(&layout.reader, CLC_HEADER_LENGTH);
	error = content_layout(&layout, message, field);
	if (error && !layout.reader.beyond) /* (what is not there is no wrong offset) */
		return error;
	message->excess =
		(uint16_t)(message->length - CLC_TRAILER_LENGTH - length + layout.reader.left);
	if (layout.reader.beyond || (message->excess && !may_exceed(message)))
		return layout_wrong(field, "length", -EMSGSIZE);
	trailer = layout_reads((const uint8_t *)bytes + length, CLC_TRAILER_LENGTH);
	if (whole && !eyecatcher_layout(&trailer, &message->smcd_last))
		return layout_wrong(field, "trailer", -EPROTO);
	return 0;
}

int clc_encode(const struct clc_message *message, void *to, size_t room)
{
	struct layout layout = layout_writes(to, room);
	/* (a layout that writes leaves the struct alone) */
	struct clc_message *same = (struct clc_message *)message;
	struct bytes_writer at_length;
	uint16_t unknown = 0;
	int length;

	if (header_check(message, NULL))
		return -EINVAL;
	eyecatcher_layout(&layout, &same->smcd_first);
	layout_u8(&layout, &same->type);
	at_length = layout.writer;
	layout_u16(&layout, &unknown);
	layout_nibbles(&layout, &same->version, &same->flags);
	if (content_layout(&layout, same, NULL))
		return -EINVAL;
	eyecatcher_layout(&layout, &same->smcd_last);
	length = layout_result(&layout, room);
	if (length > 0)
		bytes_put_u16(&at_length, (uint16_t)length);
	return length;
}
