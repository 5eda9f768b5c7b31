/* SPDX-License-Identifier: MIT */
/*
 * The regions of a device whose keys are checked in software
 *
 * Theory of operation
 *
 * A key is the index of a slot (20 bits) and a generation (12 bits, never 0).  The generation
 * starts by chance and goes on by 1 to 16 each time that the slot is used, so a key comes again
 * after 256 times at the earliest; slots are taken in turn, and at most half of them are in use.
 * The address that a peer is told is random, too, and says nothing about where the memory is.
 *
 * Whoever is to touch memory asks for each piece of it just before; so a region that is
 * deregistered is out of reach at once, whatever is on its way.
 */
#ifndef SMCU_FABRIC_REGION_H
#define SMCU_FABRIC_REGION_H

#include "fabric/fabric.h"

#define REGION_SLOT_BITS 20U

/**
 * struct region - one of them
 * @fabric: what its owner sees
 * @at: where it is in this process
 * @access: FABRIC_LOCAL_WRITE, FABRIC_REMOTE_WRITE
 */
struct region {
	struct fabric_region fabric;
	uint8_t *at;
	unsigned int access;
};

/**
 * struct region_table - all of a device
 * @slots: @size of them
 * @used: slots with a region
 * @turn: where a free slot is looked for
 */
struct region_table {
	struct region_slot {
		struct region *region;
		uint16_t generation;
	} * slots;
	uint32_t size;
	uint32_t used;
	uint32_t turn;
};

/**
 * region_add - register
 * @random: for the key and the address
 *
 * Return: 0; -EINVAL: no bytes, NULL, an unknown access; -ENOMEM.
 */
int region_add(struct region_table *table, struct fabric_domain *domain, void *at, size_t length,
	       unsigned int access, const uint64_t random[2], struct region **added);

void region_remove(struct region_table *table, struct region *region);

void region_table_free(struct region_table *table);

/**
 * region_remote - where a peer may write
 * @domain: of the queue pair that it wrote to
 * @address, @length: as it asks; @length is at least 1
 *
 * Return: where, or NULL: no such key in this domain, not all of it inside, not allowed.
 */
uint8_t *region_remote(const struct region_table *table, const struct fabric_domain *domain,
		       uint32_t key, uint64_t address, uint64_t length);

/**
 * region_local - does an own piece of memory lie in the region of its key?
 * @access: what the region must allow, FABRIC_LOCAL_WRITE or 0
 */
bool region_local(const struct region_table *table, const struct fabric_domain *domain,
		  const struct fabric_piece *piece, unsigned int access);

#endif
