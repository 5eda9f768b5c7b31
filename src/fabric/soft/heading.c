/* SPDX-License-Identifier: MIT */
#include "fabric/soft/heading.h"

#include <string.h>

uint32_t heading_icrc(struct heading headings[], const struct roce_path *path,
		      uint16_t identification, uint16_t fragment, size_t length)
{
	struct heading *heading = &headings[(length / 4 + identification) % HEADINGS];

	if (heading->length == length && heading->identification == identification &&
	    heading->fragment == fragment && !memcmp(&heading->path, path, sizeof(*path)))
		return heading->icrc;
	*heading = (struct heading){
		.path = *path,
		.identification = identification,
		.fragment = fragment,
		.length = length,
		.icrc = roce_icrc_begin(path, identification, fragment, length),
	};
	return heading->icrc;
}
