/* SPDX-License-Identifier: MIT */
/*
 * The layouts of the CLC messages between header and trailer, for clc.c
 *
 * Each returns 0, or -EPROTO for a count or an offset that cannot be, with its name in @field; of a
 * pass that writes too.  Whether all of it was there, or found room, the layout knows.
 */
#ifndef SMCU_WIRE_CLC_PARTS_H
#define SMCU_WIRE_CLC_PARTS_H

#include "wire/clc.h"
#include "wire/layout.h"

int clc_proposal_layout(struct layout *layout, struct clc_message *message, const char **field);
int clc_accept_layout(struct layout *layout, struct clc_message *message, const char **field);

void clc_peer_layout(struct layout *layout, struct clc_peer *peer);

#endif
