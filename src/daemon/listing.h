/* SPDX-License-Identifier: MIT */
/*
 * Listings: what there is of link groups, links and adapters, for `smcu linkgroup`, `link`, `device`
 *
 * They are made at once, between two events of the protocol: there are few of each.
 */
#ifndef SMCU_DAEMON_LISTING_H
#define SMCU_DAEMON_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "control/message.h"
#include "daemon/engine.h"

/**
 * listing_write - write the records of a listing into a file
 * @engine: NULL: there is nothing to list
 * @what: QUERY_LINK_GROUPS, QUERY_LINKS or QUERY_DEVICES
 * @file: a memfd
 * @count: set to the number of records
 *
 * Return: bytes of one record; 0: the file has no room.
 */
size_t listing_write(const struct engine *engine, enum query_what what, int file, uint32_t *count);

/* listing_group_number - by which people know a link group; unique among those of its RNIC */
uint32_t listing_group_number(const struct link_group *group);

#endif
