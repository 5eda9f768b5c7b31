/* SPDX-License-Identifier: MIT */
/*
 * Packet sequence numbers: 24 bits that wrap
 */
#ifndef SMCU_FABRIC_SOFT_SEQUENCE_H
#define SMCU_FABRIC_SOFT_SEQUENCE_H

#include <stdint.h>

#define SEQUENCE_MASK 0xffffffU

static inline uint32_t sequence_add(uint32_t sequence, uint32_t packets)
{
	return (sequence + packets) & SEQUENCE_MASK;
}

/* sequence_difference - how much newer is @a than @b?  -2^23 to 2^23 - 1 */
static inline int32_t sequence_difference(uint32_t a, uint32_t b)
{
	return (int32_t)((a - b) << 8) >> 8;
}

#endif
