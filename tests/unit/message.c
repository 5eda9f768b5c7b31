/* SPDX-License-Identifier: MIT */
/*
 * What a stranger may send on the daemon's socket, and what is believed of it
 */
#include "control/message.h"

#include <errno.h>
#include <string.h>

#include "control/reason.h"
#include "ring/segment.h"
#include "unit.h"

/* A well-formed message of @type, content included, and the fewest descriptors it brings. */
static unsigned int make(union message *message, unsigned int type)
{
	unsigned int least, most;

	message_init(message, (enum message_type)type);
	if (type == MESSAGE_HELLO)
		message->hello.role = ROLE_COMMAND;
	if (type == MESSAGE_QUERY)
		message->query.what = QUERY_TOTALS;
	if (type == MESSAGE_RULES)
		message->rules.count = 1;
	if (type == MESSAGE_RENDEZVOUS) {
		message->rendezvous.role = RENDEZVOUS_SERVER;
		message->rendezvous.ring_bytes = RING_BYTES_DEFAULT;
		message->rendezvous.element_bytes = ELEMENT_BYTES_DEFAULT;
	}
	message_fd_range(type, &least, &most);
	return least;
}

static void every_type_passes_as_it_is_made(void **state)
{
	union message message;

	(void)state;
	for (unsigned int type = MESSAGE_HELLO; type < MESSAGE_TYPE_END; type++) {
		unsigned int fds = make(&message, type);

		assert_true(message_size(type) >= sizeof(struct message_header));
		assert_int_equal(message_check(&message, message_size(type), fds), 0);
	}
}

static void a_wrong_length_is_refused(void **state)
{
	union message message;

	(void)state;
	for (unsigned int type = MESSAGE_HELLO; type < MESSAGE_TYPE_END; type++) {
		unsigned int fds = make(&message, type);
		size_t size = message_size(type);

		for (size_t length = 0; length < sizeof(message); length++) {
			if (length == size)
				continue;
			assert_int_equal(message_check(&message, length, fds), -EMSGSIZE);
			message.header.length = (uint32_t)length;
			assert_int_equal(message_check(&message, length, fds), -EMSGSIZE);
			message.header.length = (uint32_t)size;
		}
	}
}

static void unknown_types_and_versions_are_refused(void **state)
{
	union message message;
	size_t size = message_size(MESSAGE_HELLO);

	(void)state;
	make(&message, MESSAGE_HELLO);
	message.header.type = 0;
	assert_int_equal(message_check(&message, size, 0), -EPROTO);
	message.header.type = MESSAGE_TYPE_END;
	assert_int_equal(message_check(&message, size, 0), -EPROTO);
	message.header.type = UINT16_MAX;
	assert_int_equal(message_check(&message, size, 0), -EPROTO);
	make(&message, MESSAGE_HELLO);
	message.header.version = MESSAGE_VERSION + 1;
	assert_int_equal(message_check(&message, size, 0), -EPROTONOSUPPORT);
	assert_int_equal(message_size(0), 0);
	assert_int_equal(message_size(MESSAGE_TYPE_END), 0);
}

static void a_wrong_number_of_descriptors_is_refused(void **state)
{
	union message message;

	(void)state;
	for (unsigned int type = MESSAGE_HELLO; type < MESSAGE_TYPE_END; type++) {
		unsigned int least, most;

		make(&message, type);
		message_fd_range(type, &least, &most);
		assert_true(least <= most && most <= MESSAGE_FDS_MAX);
		for (unsigned int fds = 0; fds <= MESSAGE_FDS_MAX + 1; fds++)
			assert_int_equal(message_check(&message, message_size(type), fds),
					 fds >= least && fds <= most ? 0 : -EBADF);
	}
}

static void content_out_of_range_is_refused(void **state)
{
	union message message;

	(void)state;
	make(&message, MESSAGE_HELLO);
	message.hello.role = 3;
	assert_int_equal(message_check(&message, message_size(MESSAGE_HELLO), 0), -EPROTO);
	make(&message, MESSAGE_PAIRED);
	message.paired.end = 2;
	assert_int_equal(message_check(&message, message_size(MESSAGE_PAIRED), 3), -EPROTO);
	make(&message, MESSAGE_REFUSED);
	message.refused.reason = REASON_COUNT;
	assert_int_equal(message_check(&message, message_size(MESSAGE_REFUSED), 0), -EPROTO);
	make(&message, MESSAGE_QUERY);
	message.query.what = 0;
	assert_int_equal(message_check(&message, message_size(MESSAGE_QUERY), 0), -EPROTO);
	message.query.what = QUERY_END;
	assert_int_equal(message_check(&message, message_size(MESSAGE_QUERY), 0), -EPROTO);
	for (unsigned int what = QUERY_CONNECTIONS; what < QUERY_END; what++) {
		message.query.what = what;
		assert_int_equal(message_check(&message, message_size(MESSAGE_QUERY), 0), 0);
	}
	make(&message, MESSAGE_RENDEZVOUS);
	message.rendezvous.role = RENDEZVOUS_SERVER + 1;
	assert_int_equal(message_check(&message, message_size(MESSAGE_RENDEZVOUS), 5), -EPROTO);
	make(&message, MESSAGE_RENDEZVOUS);
	message.rendezvous.ring_bytes += 1;
	assert_int_equal(message_check(&message, message_size(MESSAGE_RENDEZVOUS), 5), -EPROTO);
	make(&message, MESSAGE_RENDEZVOUS);
	message.rendezvous.element_bytes += 1;
	assert_int_equal(message_check(&message, message_size(MESSAGE_RENDEZVOUS), 5), -EPROTO);
	make(&message, MESSAGE_RULES);
	message.rules.count = 0;
	assert_int_equal(message_check(&message, message_size(MESSAGE_RULES), 0), -EPROTO);
	message.rules.count = RULES_EACH + 1;
	assert_int_equal(message_check(&message, message_size(MESSAGE_RULES), 0), -EPROTO);
	message.rules.count = RULES_EACH;
	message.rules.ends[RULES_EACH - 1] = (struct rule_end){.kind = RULE_ADDRESS, .prefix = 129};
	assert_int_equal(message_check(&message, message_size(MESSAGE_RULES), 0), -EPROTO);
	message.rules.ends[RULES_EACH - 1] = (struct rule_end){.kind = RULE_PROGRAM};
	assert_int_equal(message_check(&message, message_size(MESSAGE_RULES), 0), -EPROTO);
	make(&message, MESSAGE_FAREWELL);
	memset(message.farewell.text, 'x', sizeof(message.farewell.text));
	assert_int_equal(message_check(&message, message_size(MESSAGE_FAREWELL), 0), -EPROTO);
	make(&message, MESSAGE_WELCOME);
	memset(message.welcome.release, 'x', sizeof(message.welcome.release));
	assert_int_equal(message_check(&message, message_size(MESSAGE_WELCOME), 0), -EPROTO);
}

static void a_rendezvous_of_odd_sizes_is_refused(void **state)
{
	static const uint32_t elements[] = {0, ELEMENT_BYTES_MIN / 2, ELEMENT_BYTES_MIN + 4096,
					    2 * RING_BYTES_DEFAULT};
	const size_t size = message_size(MESSAGE_RENDEZVOUS);
	union message message;

	(void)state;
	for (size_t i = 0; i < sizeof(elements) / sizeof(*elements); i++) {
		make(&message, MESSAGE_RENDEZVOUS);
		message.rendezvous.element_bytes = elements[i];
		assert_int_equal(message_check(&message, size, 5), -EPROTO);
	}
	make(&message, MESSAGE_RENDEZVOUS);
	message.rendezvous.ring_bytes = RING_BYTES_DEFAULT + 4096;
	assert_int_equal(message_check(&message, size, 5), -EPROTO);
	make(&message, MESSAGE_RENDEZVOUS);
	message.rendezvous.role = 0;
	assert_int_equal(message_check(&message, size, 5), -EPROTO);
}

static void every_reason_has_a_name_and_a_text(void **state)
{
	(void)state;
	for (unsigned int reason = 0; reason < REASON_COUNT; reason++) {
		assert_non_null(reason_name(reason));
		assert_non_null(reason_text(reason));
		for (unsigned int other = 0; other < reason; other++)
			assert_string_not_equal(reason_name(reason), reason_name(other));
	}
	assert_string_equal(reason_text(REASON_COUNT), "unknown reason");
	assert_string_equal(reason_name(UINT32_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_passes_as_it_is_made),
		cmocka_unit_test(a_wrong_length_is_refused),
		cmocka_unit_test(unknown_types_and_versions_are_refused),
		cmocka_unit_test(a_wrong_number_of_descriptors_is_refused),
		cmocka_unit_test(content_out_of_range_is_refused),
		cmocka_unit_test(a_rendezvous_of_odd_sizes_is_refused),
		cmocka_unit_test(every_reason_has_a_name_and_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
