/* SPDX-License-Identifier: MIT */
/*
 * CLC messages from a peer that means ill: nothing beyond them is read, and what is accepted is
 * written again as it was
 */
#include "wire/clc.h"

#include <errno.h>

#include "fuzz.h"

static void believe(const struct clc_message *message, const uint8_t *data, size_t size)
{
	uint8_t again[CLC_LENGTH_MAX];
	int length = clc_encode(message, again, sizeof(again));
	size_t known = (size_t)message->length - message->excess;

	require(message->type > 0 && message->type < CLC_TYPE_END);
	require(length > 0 && (size_t)length == known);
	if (message->excess)
		require(memcmp(again + 7, data + 7, known - 4 - 7) == 0);
	else
		require(known == size && memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *field = NULL;
	struct clc_message message;
	int expected = 0, verdict;

	if (size >= CLC_HEADER_LENGTH) {
		uint8_t header[CLC_HEADER_LENGTH];

		memcpy(header, data, sizeof(header));
		expected = clc_header_decode(&message, header, &field);
	}
	verdict = clc_decode(&message, data, size, &field);
	if (verdict == 0) {
		require(expected >= 28);
		believe(&message, data, size);
	} else {
		require(field);
		require(verdict == -EPROTO || verdict == -EPROTONOSUPPORT || verdict == -EMSGSIZE);
	}
	if (expected < 0)
		require(verdict == expected);
	return 0;
}
