/* SPDX-License-Identifier: MIT */
/*
 * What a RENDEZVOUS must be, and what becomes of a connection that may not be SMC-R
 */
#include "remote.h"

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Sends @end with a descriptor replaced; the session must end, and nothing may be left. */
static void expect_doom(struct end *end, unsigned int which, int fd)
{
	int *const places[] = {&end->tcp, &end->segment, &end->data[1], &end->space[1],
			       &end->stand_in[1]};
	int session = session_open();
	int kept = *places[which];

	*places[which] = fd;
	end_send(end, session);
	eventually(is_doomed(session));
	assert_int_equal(world.apps.remotes.count, 0);
	if (which < 2) /* (the others were closed when they were sent) */
		close(fd);
	if (which < 2)
		*places[which] = kept;
	else
		close(kept);
	close(session);
	end_free(end);
}

static void a_segment_without_its_seals_ends_the_session(void **state)
{
	static const int seals[] = {0, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_GROW | F_SEAL_SEAL,
				    F_SEAL_SHRINK | F_SEAL_SEAL};
	struct end end;

	(void)state;
	for (size_t i = 0; i < sizeof(seals) / sizeof(*seals); i++) {
		end_make(&end, RENDEZVOUS_CLIENT);
		expect_doom(&end, 1, sealed("segment", segment_size(RING_BYTES), seals[i]));
	}
}

static void a_segment_of_another_size_ends_the_session(void **state)
{
	static const uint64_t sizes[] = {0, SEGMENT_PAGE + RING_BYTES,
					 SEGMENT_PAGE + 2ULL * RING_BYTES - 1,
					 SEGMENT_PAGE + 4ULL * RING_BYTES};
	struct end end;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		end_make(&end, RENDEZVOUS_CLIENT);
		expect_doom(&end, 1, sealed("segment", sizes[i], ALL_SEALS));
	}
}

static void a_segment_that_cannot_be_written_ends_the_session(void **state)
{
	struct end end;

	(void)state;
	end_make(&end, RENDEZVOUS_CLIENT);
	expect_doom(&end, 1,
		    sealed("segment", segment_size(RING_BYTES), ALL_SEALS | F_SEAL_FUTURE_WRITE));
}

/* Both ends of a connection to a service by its name: smcud's own writes must not come there. */
static void what_leads_to_a_service_is_no_bell_and_no_stand_in(void **state)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(name.sun_family);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct end end;
	ssize_t n;
	char byte;

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&name, size), 0);
	size = sizeof(name);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);
	assert_int_equal(listen(listener, 8), 0);
	for (unsigned int i = 0; i < 6; i++) {
		int connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted, other;

		assert_int_equal(connect(connected, (struct sockaddr *)&name, size), 0);
		accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		other = i & 1 ? connected : accepted;
		end_make(&end, RENDEZVOUS_CLIENT);
		expect_doom(&end, 2 + i / 2, i & 1 ? accepted : connected);
		eventually((n = recv(other, &byte, 1, MSG_DONTWAIT)) >= 0);
		assert_int_equal(n, 0); /* closed, and not a byte was written */
		close(other);
	}
	end_make(&end, RENDEZVOUS_CLIENT);
	expect_doom(&end, 2, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	close(listener);
}

/* A program may be quick, and closed before the daemon looks. */
static void ends_of_pairs_whose_others_are_closed_are_taken(void **state)
{
	struct end end;

	(void)state;
	end_make(&end, RENDEZVOUS_CLIENT);
	close_once(&end.data[0]);
	close_once(&end.space[0]);
	close_once(&end.stand_in[0]);
	end_send(&end, world.session);
	assert_false(is_doomed(world.session));
	end_free(&end);
}

static void descriptors_of_another_kind_end_the_session(void **state)
{
	struct end end;

	(void)state;
	end_make(&end, RENDEZVOUS_CLIENT);
	expect_doom(&end, 0, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	end_make(&end, RENDEZVOUS_CLIENT);
	expect_doom(&end, 0, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	end_make(&end, RENDEZVOUS_CLIENT);
	expect_doom(&end, 1, open("/dev/null", O_RDWR | O_CLOEXEC));
	end_make(&end, RENDEZVOUS_CLIENT);
	expect_doom(&end, 2, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	end_make(&end, RENDEZVOUS_CLIENT);
	expect_doom(&end, 3, open("/dev/null", O_RDWR | O_CLOEXEC));
	end_make(&end, RENDEZVOUS_CLIENT);
	expect_doom(&end, 4, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

/* It is declined as @diagnosis, and goes on by TCP. */
static void expect_decline(struct end *end, uint32_t diagnosis)
{
	struct clc_message message;

	assert_int_equal(end_write(end, "plain", 5), 5);
	eventually(peer_clc(end, &message));
	assert_int_equal(message.type, CLC_DECLINE);
	assert_int_equal(message.decline.diagnosis, diagnosis);
	expect_text(end->peer, "plain");
	eventually(marks(end) & MARK_BACK);
	eventually(world.apps.remotes.count == 0);
	end_free(end);
}

static void a_limit_declines(void **state)
{
	struct end end;

	(void)state;
	world.config.memory_per_user = segment_size(RING_BYTES) - 1;
	end_open(&end, RENDEZVOUS_CLIENT);
	world.config.memory_per_user = 512ULL << 30;
	expect_decline(&end, CLC_NO_MEMORY);
}

/* So that no user's connections come near the number of areas beyond which the kernel maps nothing more. */
static void what_would_take_too_many_mappings_is_declined(void **state)
{
	const unsigned int most = world.apps.remotes.maps_most;
	struct clc_message message;
	struct end end;

	(void)state;
	assert_true(most > 1000);
	world.apps.remotes.maps_most = 0;
	end_open(&end, RENDEZVOUS_CLIENT);
	world.apps.remotes.maps_most = most;
	expect_decline(&end, CLC_NO_MEMORY);
	eventually(world.apps.remotes.maps == 0);
	end_open(&end, RENDEZVOUS_CLIENT);
	assert_int_equal(world.apps.remotes.maps, 1);
	eventually(peer_clc(&end, &message));
	assert_int_equal(message.type, CLC_PROPOSAL);
	end_free(&end);
}

static void beyond_twice_the_limit_is_a_reset(void **state)
{
	struct end ends[4], end;

	(void)state;
	world.config.connections_per_user = 2;
	for (int i = 0; i < 4; i++)
		end_open(&ends[i], RENDEZVOUS_SERVER);
	assert_int_equal(world.apps.remotes.count, 4);
	end_open(&end, RENDEZVOUS_SERVER);
	assert_int_equal(world.apps.remotes.count, 4);
	world.config.connections_per_user = 65536;
	eventually(stream_state(end.stand_in[0]) == ECONNRESET);
	assert_int_equal(stream_state(end.peer), ECONNRESET);
	end_free(&end);
	for (int i = 0; i < 4; i++) {
		peer_says(&ends[i], NULL, "plain");
		end_free(&ends[i]);
	}
}

static void a_rule_declines(void **state)
{
	char port[16];
	struct end end;

	(void)state;
	end_make(&end, RENDEZVOUS_CLIENT);
	snprintf(port, sizeof(port), "%u", end.message.peer.port);
	assert_int_equal(rules_add(&world.config.rules, RULE_PORT, RULE_DENY, port), 0);
	end_send(&end, world.session);
	rules_clear(&world.config.rules, RULE_PORT, RULE_DENY);
	expect_decline(&end, CLC_CONFIGURATION);
}

static void a_connection_that_passes_no_adapter_is_declined(void **state)
{
	struct end end;

	(void)state;
	world.no_rnic_here = true;
	end_open(&end, RENDEZVOUS_CLIENT);
	expect_decline(&end, CLC_NO_DEVICE);
}

static void addresses_that_are_not_the_sockets_decline(void **state)
{
	struct end end;

	(void)state;
	end_make(&end, RENDEZVOUS_CLIENT);
	end.message.local.port ^= 1;
	end_send(&end, world.session);
	expect_decline(&end, CLC_NO_DEVICE);
}

static void without_any_adapter_both_ends_are_reset(void **state)
{
	struct end end;

	(void)state;
	world.engine.rnic_count = 0;
	end_open(&end, RENDEZVOUS_SERVER);
	eventually(stream_state(end.stand_in[0]) == ECONNRESET);
	assert_int_equal(stream_state(end.peer), ECONNRESET);
	assert_int_equal(world.apps.remotes.count, 0);
	end_free(&end);
}

static void the_end_of_the_engine_is_a_reset_or_tcp(void **state)
{
	struct clc_message message;
	struct end end;

	(void)state;
	end_open(&end, RENDEZVOUS_CLIENT);
	eventually(peer_clc(&end, &message));
	proto_host_stop(&world.rnic.host);
	peer_says(&end, NULL, "plain");
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "plain");
	end_free(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)
		TEST(a_segment_without_its_seals_ends_the_session),
		TEST(a_segment_of_another_size_ends_the_session),
		TEST(a_segment_that_cannot_be_written_ends_the_session),
		TEST(what_leads_to_a_service_is_no_bell_and_no_stand_in),
		TEST(ends_of_pairs_whose_others_are_closed_are_taken),
		TEST(descriptors_of_another_kind_end_the_session),
		TEST(a_limit_declines),
		TEST(what_would_take_too_many_mappings_is_declined),
		TEST(beyond_twice_the_limit_is_a_reset),
		TEST(a_rule_declines),
		TEST(a_connection_that_passes_no_adapter_is_declined),
		TEST(addresses_that_are_not_the_sockets_decline),
		TEST(without_any_adapter_both_ends_are_reset),
		TEST(the_end_of_the_engine_is_a_reset_or_tcp),
	};

	return run_both_ways(tests);
}
