/* SPDX-License-Identifier: MIT */
/*
 * The ICRC of what stands before the BTH, remembered
 *
 * Packets of a flow differ little before their BTH: in length, and in the place in their train.  To make
 * those headers and go through them anew for each packet would take a fifteenth of a daemon's time: not for the
 * arithmetic, but since what was just written in small pieces can only be read in large ones when all that
 * was written before it, such as a payload on its way to another processor's memory, has left this one.
 */
#ifndef SMCU_FABRIC_SOFT_HEADING_H
#define SMCU_FABRIC_SOFT_HEADING_H

#include <stddef.h>
#include <stdint.h>

#include "wire/roce.h"

#define HEADINGS 64U

/**
 * struct heading - one that was made
 * @path, @identification, @fragment, @length: of what; a length of 0: of nothing
 * @icrc: as roce_icrc_begin() has it
 */
struct heading {
	struct roce_path path;
	uint16_t identification;
	uint16_t fragment;
	size_t length;
	uint32_t icrc;
};

/* heading_icrc - roce_icrc_begin(), of @headings if it is there: HEADINGS of them, zeroed at first */
uint32_t heading_icrc(struct heading headings[], const struct roce_path *path,
		      uint16_t identification, uint16_t fragment, size_t length);

#endif
