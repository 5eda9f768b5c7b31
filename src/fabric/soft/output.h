/* SPDX-License-Identifier: MIT */
/*
 * Packets into trains
 *
 * A packet goes behind the one before it if both have the same way to go and it is as long (a
 * shorter one is the last of its train).  The ICRC covers the IPv4 identification, which is the
 * packet's place in its train: so it is made here, when that is known.
 */
#ifndef SMCU_FABRIC_SOFT_OUTPUT_H
#define SMCU_FABRIC_SOFT_OUTPUT_H

#include "fabric/soft/device.h"

/**
 * output_begin - room for a packet of @pair
 * @size: bytes, from the BTH to the ICRC
 *
 * Return: where it is to be written, or NULL: not now.  Nothing is sent without output_end().
 */
uint8_t *output_begin(struct soft_device *device, const struct soft_pair *pair, uint32_t size);

/* output_has_company - would a packet of @pair leave with others that go the same way, in their train or behind it? */
bool output_has_company(const struct soft_device *device, const struct soft_pair *pair);

/* output_end - all but the ICRC was written at what output_begin() gave */
void output_end(struct soft_device *device, uint8_t *packet, uint32_t size);

#endif
