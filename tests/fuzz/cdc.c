/* SPDX-License-Identifier: MIT */
/*
 * CDC messages from a peer that means ill: nothing beyond them is read, and what is accepted is
 * written again as it was
 */
#include "wire/cdc.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[CDC_LENGTH];
	struct cdc_message message;
	const char *field = NULL;

	if (cdc_decode(&message, data, size, &field)) {
		require(field);
		return 0;
	}
	require(size == CDC_LENGTH);
	require(cdc_encode(&message, again, sizeof(again)) == (int)CDC_LENGTH);
	require(memcmp(again, data, size) == 0);
	return 0;
}
