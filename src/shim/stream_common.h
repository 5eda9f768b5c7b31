/* SPDX-License-Identifier: MIT */
/*
 * What stream.c, stream_receive.c and stream_send.c share
 */
#ifndef SMCU_SHIM_STREAM_COMMON_H
#define SMCU_SHIM_STREAM_COMMON_H

#include "shim/stream.h"

/* stream_time_to_look - coarse time has moved since the last look at TCP */
bool stream_time_to_look(struct connection *connection);

#endif
