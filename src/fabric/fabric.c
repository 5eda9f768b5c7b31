/* SPDX-License-Identifier: MIT */
#include "fabric/fabric.h"

#define TEN_MICROSECONDS 10000U

/* In units of 10 microseconds. */
static const uint32_t rnr_units[32] = {
	65536, 1,    2,	   3,	 4,    6,     8,     12,    16,	   24,	  32,
	48,    64,   96,   128,	 192,  256,   384,   512,   768,   1024,  1536,
	2048,  3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152,
};

uint64_t fabric_rnr_interval(uint8_t code)
{
	return (uint64_t)rnr_units[code % 32] * TEN_MICROSECONDS;
}

uint64_t fabric_retry_interval(uint8_t code)
{
	return code % 32 ? 4096ULL << code % 32 : FABRIC_NEVER;
}

const char *fabric_status_name(enum fabric_status status)
{
	switch (status) {
	case FABRIC_SUCCESS:
		return "success";
	case FABRIC_LOCAL_LENGTH:
		return "a message too long";
	case FABRIC_LOCAL_OPERATION:
		return "an operation failed here";
	case FABRIC_LOCAL_PROTECTION:
		return "memory not registered";
	case FABRIC_FLUSHED:
		return "flushed";
	case FABRIC_REMOTE_INVALID:
		return "an invalid request";
	case FABRIC_REMOTE_ACCESS:
		return "access denied by the peer";
	case FABRIC_REMOTE_OPERATION:
		return "an operation failed at the peer";
	case FABRIC_RETRIES_EXCEEDED:
		return "no answer";
	case FABRIC_RNR_RETRIES_EXCEEDED:
		return "the peer is not ready";
	}
	return "unknown";
}
