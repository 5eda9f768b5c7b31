/* SPDX-License-Identifier: MIT */
/*
 * What smcu ss says of a connection that is SMC-R
 */
#ifndef SMCU_CLI_SS_REMOTE_H
#define SMCU_CLI_SS_REMOTE_H

#include <jansson.h>

#include "control/snapshot.h"

/* ss_remote_print - a line below that of the connection */
void ss_remote_print(const struct snapshot_remote *remote);

json_t *ss_remote_json(const struct snapshot_remote *remote);

#endif
