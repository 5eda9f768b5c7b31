/* SPDX-License-Identifier: MIT */
/*
 * The options of a SYN from anywhere: nothing beyond them is read, and what is found is there
 */
#include "wire/tcp_option.h"

#include <errno.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[TCP_OPTION_LENGTH];
	const char *field = NULL;
	int offset = tcp_option_find(data, size, &field);

	if (offset < 0) {
		require(offset == -ENOENT || (offset == -EPROTO && field));
		return 0;
	}
	require((size_t)offset + data[offset + 1] <= size);
	require(tcp_option_encode(again, sizeof(again)) == (int)TCP_OPTION_LENGTH);
	require(data[offset] == again[0] && data[offset + 1] >= again[1]);
	require(memcmp(data + offset + 2, again + 2, TCP_OPTION_LENGTH - 2) == 0);
	return 0;
}
