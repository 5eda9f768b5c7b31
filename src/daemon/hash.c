/* SPDX-License-Identifier: MIT */
#include "daemon/hash.h"

#include <sys/random.h>

uint64_t hash_secret[2] = {0x9e3779b97f4a7c15ULL, 0xbf58476d1ce4e5b9ULL};

void hash_open(void)
{
	if (getrandom(hash_secret, sizeof(hash_secret), GRND_NONBLOCK) < 0)
		return; /* very early in boot: as built */
	hash_secret[1] |= 1;
}
