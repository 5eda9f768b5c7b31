/* SPDX-License-Identifier: MIT */
/*
 * What a stranger sends, byte by byte: message_check() must read nothing beyond the packet, and what
 * it lets pass must be what it promises
 *
 * The first byte of the input is the number of descriptors, the rest is the packet.
 */
#include "control/message.h"

#include <errno.h>

#include "control/reason.h"
#include "fuzz.h"

static void believe(const union message *message, size_t length, unsigned int fds)
{
	unsigned int least, most;

	message_fd_range(message->header.type, &least, &most);
	require(message->header.type > 0 && message->header.type < MESSAGE_TYPE_END);
	require(message->header.version == MESSAGE_VERSION);
	require(message->header.length == length);
	require(length == message_size(message->header.type) && length <= sizeof(*message));
	require(fds >= least && fds <= most && fds <= MESSAGE_FDS_MAX);
	if (message->header.type == MESSAGE_FAREWELL)
		require(strlen(message->farewell.text) < sizeof(message->farewell.text));
	if (message->header.type == MESSAGE_WELCOME)
		require(strlen(message->welcome.release) < sizeof(message->welcome.release));
	if (message->header.type == MESSAGE_RULES)
		for (unsigned int i = 0; i < message->rules.count; i++)
			require(i < RULES_EACH && rule_end_valid(&message->rules.ends[i]));
	if (message->header.type == MESSAGE_PAIRED)
		require(message->paired.end < 2);
	if (message->header.type == MESSAGE_REFUSED)
		require(reason_text(message->refused.reason) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union message *message;
	int verdict;

	if (size < 1)
		return 0;
	/* No longer than the packet, so that the sanitizer sees a step beyond it. */
	message = malloc(size > 1 ? size - 1 : 1);
	if (!message)
		return 0;
	memcpy((void *)message, data + 1, size - 1);
	verdict = message_check(message, size - 1, data[0]);
	if (verdict == 0)
		believe(message, size - 1, data[0]);
	else
		require(verdict == -EPROTO || verdict == -EPROTONOSUPPORT || verdict == -EMSGSIZE ||
			verdict == -EBADF);
	require(memcmp((void *)message, data + 1, size - 1) == 0);
	free(message);
	return 0;
}
