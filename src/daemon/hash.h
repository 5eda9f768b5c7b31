/* SPDX-License-Identifier: MIT */
/*
 * uthash with a function that clients cannot foresee
 *
 * Keys are 4 or 8 bytes, and some are chosen by clients: with a known function they could choose
 * such as fall into one bucket.  This one is drawn at random from a universal family.
 */
#ifndef SMCU_DAEMON_HASH_H
#define SMCU_DAEMON_HASH_H

#include <stdint.h>
#include <string.h>

/* hash_secret - [0] is added, [1] (odd) multiplies; hash_open() draws them */
extern uint64_t hash_secret[2];

void hash_open(void);

static inline unsigned int hash_key(const void *key, size_t length)
{
	unsigned __int128 product;
	uint64_t word = 0;

	memcpy(&word, key, length < sizeof(word) ? length : sizeof(word));
	product = (unsigned __int128)(word ^ hash_secret[0]) * hash_secret[1];
	return (unsigned int)((uint64_t)(product >> 64) ^ (uint64_t)product >> 32);
}

#define HASH_FUNCTION(key, length, value) ((value) = hash_key(key, length))
#define HASH_NONFATAL_OOM 0
#pragma GCC diagnostic push
#include <uthash.h>
#pragma GCC diagnostic pop

#endif
