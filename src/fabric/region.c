/* SPDX-License-Identifier: MIT */
#include "fabric/region.h"

#include <errno.h>
#include <stdlib.h>

#define GENERATION_BITS (32U - REGION_SLOT_BITS)
#define GENERATIONS (1U << GENERATION_BITS)
#define STEPS 16U
#define SLOTS_FIRST 64U
#define SLOTS_MAX (1U << REGION_SLOT_BITS)
#define PAGE 4096ULL

static int make_room(struct region_table *table, uint64_t random)
{
	uint32_t size = table->size ? table->size * 2 : SLOTS_FIRST;
	struct region_slot *slots;

	if (table->used < table->size / 2)
		return 0;
	if (size > SLOTS_MAX)
		return -ENOMEM;
	slots = realloc(table->slots, size * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = table->size; i < size; i++)
		slots[i] = (struct region_slot){.generation = (uint16_t)(random >> i % 48)};
	table->slots = slots;
	table->size = size;
	return 0;
}

/* A little further, so that none comes again soon; not 0. */
static uint16_t next_generation(uint16_t before, uint64_t random)
{
	uint32_t step = 1 + (uint32_t)(random % STEPS);

	return (uint16_t)(1 + (before + step - 1) % (GENERATIONS - 1));
}

int region_add(struct region_table *table, struct fabric_domain *domain, void *at, size_t length,
	       unsigned int access, const uint64_t random[2], struct region **added)
{
	struct region_slot *slot;
	struct region *region;
	uint32_t key;

	if (!at || !length || length > SIZE_MAX / 4 ||
	    access & ~(FABRIC_LOCAL_WRITE | FABRIC_REMOTE_WRITE))
		return -EINVAL;
	if (make_room(table, random[0]) || !(region = calloc(1, sizeof(*region))))
		return -ENOMEM;
	do
		table->turn = (table->turn + 1) % table->size;
	while (table->slots[table->turn].region);
	slot = &table->slots[table->turn];
	slot->generation = next_generation(slot->generation, random[0]);
	key = table->turn << GENERATION_BITS | slot->generation;
	*region = (struct region){
		.fabric = {.domain = domain,
			   .address = random[1] / 4 & ~(PAGE - 1), /* the end does not wrap */
			   .length = length,
			   .local_key = key,
			   .remote_key = access & FABRIC_REMOTE_WRITE ? key : 0},
		.at = at,
		.access = access,
	};
	slot->region = region;
	table->used++;
	*added = region;
	return 0;
}

void region_remove(struct region_table *table, struct region *region)
{
	table->slots[region->fabric.local_key >> GENERATION_BITS].region = NULL;
	table->used--;
	free(region);
}

void region_table_free(struct region_table *table)
{
	free(table->slots);
	*table = (struct region_table){0};
}

static struct region *find(const struct region_table *table, const struct fabric_domain *domain,
			   uint32_t key, unsigned int access)
{
	uint32_t slot = key >> GENERATION_BITS;
	struct region *region = slot < table->size ? table->slots[slot].region : NULL;

	if (!region || region->fabric.local_key != key || region->fabric.domain != domain ||
	    (region->access & access) != access)
		return NULL;
	return region;
}

uint8_t *region_remote(const struct region_table *table, const struct fabric_domain *domain,
		       uint32_t key, uint64_t address, uint64_t length)
{
	struct region *region = find(table, domain, key, FABRIC_REMOTE_WRITE);
	uint64_t offset;

	if (!region || address < region->fabric.address)
		return NULL;
	offset = address - region->fabric.address;
	if (offset > region->fabric.length || length > region->fabric.length - offset)
		return NULL;
	return region->at + offset;
}

bool region_local(const struct region_table *table, const struct fabric_domain *domain,
		  const struct fabric_piece *piece, unsigned int access)
{
	struct region *region = find(table, domain, piece->key, access);
	uintptr_t at = (uintptr_t)piece->at, start;

	if (!region)
		return false;
	start = (uintptr_t)region->at;
	return at >= start && at - start <= region->fabric.length &&
	       piece->length <= region->fabric.length - (at - start);
}
