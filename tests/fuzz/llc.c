/* SPDX-License-Identifier: MIT */
/*
 * LLC messages from a peer that means ill: nothing beyond them is read, and what is accepted is
 * written again as it was
 */
#include "wire/llc.h"

#include <errno.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[LLC_LENGTH_MAX];
	static struct llc_message message;
	const char *field = NULL;
	int verdict = llc_decode(&message, data, size, &field);

	if (verdict) {
		require(field);
		require(verdict == -EPROTO || verdict == -EPROTONOSUPPORT || verdict == -EMSGSIZE);
		return 0;
	}
	require(message.length == size && size >= LLC_LENGTH);
	require(llc_type_name(message.type));
	require(llc_length(&message) <= size || message.flags & LLC_RESPONSE);
	require(llc_encode(&message, again, sizeof(again)) == (int)size);
	require(memcmp(again, data, size) == 0);
	return 0;
}
