/* SPDX-License-Identifier: MIT */
#include "fabric/soft/output.h"

#include <string.h>

static bool goes_same_way(const struct soft_train *train, const struct soft_pair *pair)
{
	return train->gid_index == pair->base.path.gid_index &&
	       !memcmp(&train->path, &pair->route, sizeof(pair->route));
}

static bool fits(const struct soft_device *device, const struct soft_train *train,
		 const struct soft_pair *pair, uint32_t size)
{
	return train->count < device->train_max && size <= train->segment &&
	       train->size == train->count * train->segment && /* none was shorter */
	       train->size + size <= SOFT_TRAIN_SIZE && goes_same_way(train, pair);
}

bool output_has_company(const struct soft_device *device, const struct soft_pair *pair)
{
	return device->train && device->train->count && goes_same_way(device->train, pair);
}

uint8_t *output_begin(struct soft_device *device, const struct soft_pair *pair, uint32_t size)
{
	struct soft_train *train = device->train;

	if (!train || !fits(device, train, pair, size)) {
		if (!train || train->count)
			train = device->transport->train(device->context);
		device->train = train;
		if (!train)
			return NULL;
		train->path = pair->route;
		train->gid_index = pair->base.path.gid_index;
		train->count = 0;
		train->segment = size;
		train->size = 0;
	}
	return train->bytes + train->size;
}

void output_end(struct soft_device *device, uint8_t *packet, uint32_t size)
{
	struct soft_train *train = device->train;
	uint32_t icrc = heading_icrc(device->headings, &train->path, (uint16_t)train->count,
				     ROCE_DONT_FRAGMENT, size);

	icrc = roce_icrc_packet(icrc, packet, size - ROCE_ICRC_SIZE);
	roce_icrc_put(icrc, packet + size - ROCE_ICRC_SIZE);
	if (train->count++ == 0)
		device->counters.trains++;
	train->size += size;
	device->counters.sent++;
}
