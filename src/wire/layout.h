/* SPDX-License-Identifier: MIT */
/*
 * A message's layout, written down once for both directions
 *
 * Theory of operation
 *
 * The layout of a message is a function that names its fields in order.  Given a layout that reads,
 * each line of it fills a member of a struct from the bytes; given one that writes, it puts the
 * member into the bytes and leaves the struct alone.  So what was decoded encodes to the same bytes,
 * and no field can be in one direction and not in the other.  Reserved fields are members like all
 * others: received ones are kept, not looked at; senders leave them zero.
 *
 * What decoders and encoders of this directory return
 *
 *   -EMSGSIZE         the length is not one that such a message can have
 *   -EPROTO           a field has a value that it cannot have
 *   -EPROTONOSUPPORT  a type that is not known
 *   -ENOBUFS          the message does not fit the room for it
 *   -EINVAL           the struct cannot be encoded: a number too big for its field, or what a decoder
 *                     would refuse
 *
 * and decoders name the field in words, for people.
 */
#ifndef SMCU_WIRE_LAYOUT_H
#define SMCU_WIRE_LAYOUT_H

#include <errno.h>

#include "wire/bytes.h"

/**
 * struct layout - one pass over a message
 * @reader: the bytes, if it reads
 * @writer: the room, if it writes
 * @writes: which of them
 * @misfit: a number to be written was too big for its field
 */
struct layout {
	struct bytes_reader reader;
	struct bytes_writer writer;
	bool writes;
	bool misfit;
};

static inline struct layout layout_reads(const void *bytes, size_t length)
{
	return (struct layout){.reader = bytes_reader(bytes, length)};
}

static inline struct layout layout_writes(void *to, size_t room)
{
	return (struct layout){.writer = bytes_writer(to, room), .writes = true};
}

/* layout_result - of a pass that wrote into @room bytes: how many, or why not */
static inline int layout_result(const struct layout *layout, size_t room)
{
	if (layout->misfit)
		return -EINVAL;
	return layout->writer.beyond ? -ENOBUFS : (int)(room - layout->writer.left);
}

/* layout_wrong - name the field that is wrong, and return @error */
static inline int layout_wrong(const char **field, const char *name, int error)
{
	if (field)
		*field = name;
	return error;
}

static inline void layout_bytes(struct layout *layout, void *bytes, size_t size)
{
	if (layout->writes)
		bytes_put(&layout->writer, bytes, size);
	else
		bytes_get(&layout->reader, bytes, size);
}

static inline void layout_u8(struct layout *layout, uint8_t *number)
{
	if (layout->writes)
		bytes_put_u8(&layout->writer, *number);
	else
		*number = bytes_get_u8(&layout->reader);
}

static inline void layout_u16(struct layout *layout, uint16_t *number)
{
	if (layout->writes)
		bytes_put_u16(&layout->writer, *number);
	else
		*number = bytes_get_u16(&layout->reader);
}

static inline void layout_u24(struct layout *layout, uint32_t *number)
{
	layout->misfit |= layout->writes && *number > 0xffffff;
	if (layout->writes)
		bytes_put_u24(&layout->writer, *number);
	else
		*number = bytes_get_u24(&layout->reader);
}

static inline void layout_u32(struct layout *layout, uint32_t *number)
{
	if (layout->writes)
		bytes_put_u32(&layout->writer, *number);
	else
		*number = bytes_get_u32(&layout->reader);
}

static inline void layout_u64(struct layout *layout, uint64_t *number)
{
	if (layout->writes)
		bytes_put_u64(&layout->writer, *number);
	else
		*number = bytes_get_u64(&layout->reader);
}

/* layout_nibbles - a byte of two numbers, the first in its high half */
static inline void layout_nibbles(struct layout *layout, uint8_t *high, uint8_t *low)
{
	layout->misfit |= layout->writes && (*high > 0xf || *low > 0xf);
	if (layout->writes) {
		bytes_put_u8(&layout->writer, (uint8_t)(*high << 4 | (*low & 0xf)));
	} else {
		uint8_t both = bytes_get_u8(&layout->reader);

		*high = both >> 4;
		*low = both & 0xf;
	}
}

#endif
