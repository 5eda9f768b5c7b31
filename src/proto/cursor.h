/* SPDX-License-Identifier: MIT */
/*
 * Cursors: positions of a stream as CDC messages carry them (RFC 7609, 4; cdc.h)
 *
 * Inside, positions count the bytes of a stream and never wrap.  On the wire a cursor is an offset in
 * an element and a 16-bit count of how often the end was passed.  What comes from a peer is turned
 * back into a position by the distance from the last one known: it lies at most so far ahead as the
 * protocol allows, else the peer is in the wrong; it may lie behind when messages overtake each other.
 */
#ifndef SMCU_PROTO_CURSOR_H
#define SMCU_PROTO_CURSOR_H

#include <errno.h>

#include "wire/cdc.h"

/* cursor_at - @position in an element of @size bytes, a power of two */
static inline struct cdc_cursor cursor_at(uint64_t position, uint32_t size)
{
	return (struct cdc_cursor){
		.wrap = (uint16_t)(position / size),
		.offset = (uint32_t)(position % size),
	};
}

/**
 * cursor_advance - how far a cursor from the peer is ahead of the last one
 * @last: position known so far
 * @cursor: as received
 * @size: of the element, bytes
 * @limit: how far it may be ahead, bytes, at most @size
 *
 * Return: bytes, 0 to @limit; -ESTALE: it is behind @last; -EPROTO: it is no cursor in that element, or
 * too far ahead.
 */
static inline int64_t cursor_advance(uint64_t last, const struct cdc_cursor *cursor, uint32_t size,
				     uint64_t limit)
{
	struct cdc_cursor from = cursor_at(last, size);
	int16_t wraps = (int16_t)(uint16_t)(cursor->wrap - from.wrap);
	int64_t distance;

	if (cursor->offset >= size)
		return -EPROTO;
	distance = (int64_t)wraps * size + cursor->offset - from.offset;
	if (distance < 0)
		return -ESTALE;
	return distance > (int64_t)limit ? -EPROTO : distance;
}

#endif
