/* SPDX-License-Identifier: MIT */
/*
 * Names of what there is between hosts, as smc-tools' smcr and smcss give them
 */
#ifndef SMCU_CLI_SMCR_NAMES_H
#define SMCU_CLI_SMCR_NAMES_H

#include <stdint.h>

/* Each gives "?" for a number that it does not know. */

/* smcr_connection_state - of an enum connection_state: "ACTIVE", "PEERCLW1" ... */
const char *smcr_connection_state(uint32_t state);

/* smcr_group_state - of an enum link_group_state: "PENDING", "ACTIVE" ... */
const char *smcr_group_state(uint32_t state);

/* smcr_link_state - of an enum link_state: "LINK_ACTIVE" ... */
const char *smcr_link_state(uint32_t state);

/* smcr_role - "CLNT" or "SERV" */
const char *smcr_role(uint32_t server);

/* smcr_group_type - by how many links there are: "NONE" or "SINGLE" */
const char *smcr_group_type(uint32_t links);

/**
 * smcr_cursor - a position as CDC messages have it: "WRAP:OFFSET", hexadecimal
 * @size: of the element, bytes; 0: not known
 */
#define SMCR_CURSOR_MAX 16
void smcr_cursor(uint64_t position, uint32_t size, char text[SMCR_CURSOR_MAX]);

#endif
