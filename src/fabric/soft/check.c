/* SPDX-License-Identifier: MIT */
#include "fabric/soft/check.h"

static const struct roce_ids *ids_for(struct soft_device *device, size_t size)
{
	size_t place = size / 4 % SOFT_IDS_CACHED;

	if (device->id_lengths[place] != size) {
		roce_ids_init(&device->ids[place], size);
		device->id_lengths[place] = size;
	}
	return &device->ids[place];
}

static uint32_t icrc_of(struct soft_device *device, const struct soft_datagram *datagram,
			uint16_t fragment)
{
	uint32_t icrc = heading_icrc(device->headings, &datagram->path, 0, fragment,
				     datagram->size);

	return roce_icrc_packet(icrc, datagram->bytes, datagram->size - ROCE_ICRC_SIZE);
}

/* Which identification explains the difference, and is it one that our own kind sends? */
static bool explain(struct soft_device *device, const struct soft_datagram *datagram, uint32_t icrc,
		    bool *own_kind)
{
	uint32_t difference = icrc ^ icrc_of(device, datagram, ROCE_DONT_FRAGMENT);
	const struct roce_ids *ids;
	uint16_t id;

	*own_kind = !difference;
	if (!difference)
		return true;
	ids = ids_for(device, datagram->size);
	if (roce_ids_solve(ids, difference, &id)) {
		*own_kind = id < SOFT_TRAIN_COUNT;
		return true;
	}
	return roce_ids_solve(ids, icrc ^ icrc_of(device, datagram, 0), &id);
}

bool check_icrc(struct soft_pair *pair, const struct soft_datagram *datagram, uint32_t icrc)
{
	struct soft_device *device = soft_device_of(pair);
	bool own_kind = true, trusted;

	if (!roce_gid_is_ipv4(datagram->path.source))
		/* What is not known of IPv6 is not covered. */
		return icrc == icrc_of(device, datagram, 0);
	if (!explain(device, datagram, icrc, &own_kind))
		return false;
	trusted = pair->own_kind == CHECK_TRUST;
	if (!own_kind)
		pair->own_kind = 0;
	else if (!trusted)
		pair->own_kind++;
	return own_kind || !trusted;
}
