/* SPDX-License-Identifier: MIT */
#include "wire/cdc.h"

#include "wire/layout.h"

/* There is one of these for each write of 64 B, too: a pass whose direction is known is a few loads or stores. */
#define LAYOUT static inline __attribute__((always_inline)) void

LAYOUT cursor_layout(struct layout *layout, struct cdc_cursor *cursor)
{
	layout_u16(layout, &cursor->reserved);
	layout_u16(layout, &cursor->wrap);
	layout_u32(layout, &cursor->offset);
}

LAYOUT message_layout(struct layout *layout, struct cdc_message *message)
{
	layout_u16(layout, &message->sequence);
	layout_u32(layout, &message->token);
	cursor_layout(layout, &message->producer);
	cursor_layout(layout, &message->consumer);
	layout_u8(layout, &message->producer_flags);
	layout_u8(layout, &message->connection_flags);
	layout_bytes(layout, message->reserved, sizeof(message->reserved));
}

int cdc_decode(struct cdc_message *message, const void *bytes, size_t length, const char **field)
{
	struct layout layout = layout_reads(bytes, length);
	uint8_t type = 0, said = 0;

	if (length != CDC_LENGTH)
		return layout_wrong(field, "length", -EMSGSIZE);
	layout_u8(&layout, &type);
	layout_u8(&layout, &said);
	if (type != CDC_TYPE)
		return layout_wrong(field, "type", -EPROTONOSUPPORT);
	if (said != CDC_LENGTH)
		return layout_wrong(field, "length", -EMSGSIZE);
	message_layout(&layout, message);
	return 0;
}

int cdc_encode(const struct cdc_message *message, void *to, size_t room)
{
	struct layout layout = layout_writes(to, room);
	uint8_t type = CDC_TYPE, length = CDC_LENGTH;

	layout_u8(&layout, &type);
	layout_u8(&layout, &length);
	message_layout(&layout, (struct cdc_message *)message);
	return layout_result(&layout, room);
}
