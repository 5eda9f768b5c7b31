/* SPDX-License-Identifier: MIT */
/*
 * What a struct soft_transport needs that is driven by hand: it takes everything, and never wakes
 */
#ifndef SMCU_TESTS_FABRIC_NO_TRANSPORT_H
#define SMCU_TESTS_FABRIC_NO_TRANSPORT_H

#include "fabric/soft/device.h"

static inline bool never_blocked(void *context)
{
	(void)context;
	return false;
}

static inline uint64_t no_deadline(void *context)
{
	(void)context;
	return FABRIC_NEVER;
}

static inline int no_descriptor(void *context)
{
	(void)context;
	return -1;
}

#endif
