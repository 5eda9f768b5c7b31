/* SPDX-License-Identifier: MIT */
/*
 * Two ends of one connection find each other, and nothing else is paired
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "control/reason.h"
#include "ring/segment.h"

static struct daemon_under_test daemon_;

static int setup(void **state)
{
	(void)state;
	start_daemon(&daemon_, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop_daemon(&daemon_);
	return 0;
}

/* A byte into one end's bell comes out at the other's; same for the segment. */
static void assert_connected(const struct end *a, const struct end *b)
{
	struct stat first, second;
	char byte = 0;

	assert_int_not_equal(a->end, b->end);
	assert_true(a->end <= 1 && b->end <= 1);
	assert_int_equal(fstat(a->segment, &first), 0);
	assert_int_equal(fstat(b->segment, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_int_equal((uint64_t)first.st_size, segment_size(a->ring_bytes));
	assert_int_equal(fcntl(a->segment, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(write(a->data, "d", 1), 1);
	assert_int_equal(write(a->space, "s", 1), 1);
	assert_int_equal(read(b->data, &byte, 1), 1);
	assert_int_equal(byte, 'd');
	assert_int_equal(read(b->space, &byte, 1), 1);
	assert_int_equal(byte, 's');
}

static void pair_families(int client_family, int server_family)
{
	struct client a, b;
	struct end ends[2];
	uint64_t mail;
	int tcp[2];

	client_open(&a, &daemon_);
	client_open(&b, &daemon_);
	tcp_pair(tcp, client_family, server_family);
	mail = atomic_load(&a.side->inbox);
	offer(&a, 7, tcp[0]);
	expect_nothing(&a);
	offer(&b, 9, tcp[1]);
	expect_paired(&a, 7, &ends[0]);
	expect_paired(&b, 9, &ends[1]);
	assert_connected(&ends[0], &ends[1]);
	assert_true(atomic_load(&a.side->inbox) > mail);
	end_close(&ends[0]);
	end_close(&ends[1]);
	close(tcp[0]);
	close(tcp[1]);
	client_close(&a);
	client_close(&b);
}

static void pairs_ipv4(void **state)
{
	(void)state;
	pair_families(AF_INET, AF_INET);
}

static void pairs_ipv6(void **state)
{
	(void)state;
	pair_families(AF_INET6, AF_INET6);
}

static void pairs_ipv4_client_with_ipv6_server(void **state)
{
	(void)state;
	pair_families(AF_INET, AF_INET6);
}

static void pairs_mapped_client_with_ipv4_server(void **state)
{
	(void)state;
	pair_families(AF_INET6, AF_INET);
}

static void pairs_within_one_session(void **state)
{
	struct client a;
	struct end ends[2];
	int tcp[2];

	(void)state;
	client_open(&a, &daemon_);
	tcp_pair(tcp, AF_INET, AF_INET);
	offer(&a, 1, tcp[0]);
	offer(&a, 2, tcp[1]);
	expect_paired(&a, 1, &ends[0]);
	expect_paired(&a, 2, &ends[1]);
	assert_connected(&ends[0], &ends[1]);
	end_close(&ends[0]);
	end_close(&ends[1]);
	close(tcp[0]);
	close(tcp[1]);
	client_close(&a);
}

/* Sockets bound to an interface (and link-local addresses) are found only if that is asked for. */
static void pairs_sockets_bound_to_an_interface(void **state)
{
	struct client a;
	struct end ends[2];
	int tcp[2], i;

	(void)state;
	client_open(&a, &daemon_);
	tcp_pair(tcp, AF_INET, AF_INET);
	for (i = 0; i < 2; i++)
		if (setsockopt(tcp[i], SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0)
			skip();
	offer(&a, 1, tcp[0]);
	offer(&a, 2, tcp[1]);
	expect_paired(&a, 1, &ends[0]);
	expect_paired(&a, 2, &ends[1]);
	end_close(&ends[0]);
	end_close(&ends[1]);
	close(tcp[0]);
	close(tcp[1]);
	client_close(&a);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_ipv4),
		cmocka_unit_test(pairs_ipv6),
		cmocka_unit_test(pairs_ipv4_client_with_ipv6_server),
		cmocka_unit_test(pairs_mapped_client_with_ipv4_server),
		cmocka_unit_test(pairs_within_one_session),
		cmocka_unit_test(pairs_sockets_bound_to_an_interface),
	};

	if (argc < 2)
		return 2;
	daemon_program = argv[1];
	cmocka_set_test_filter(argc > 2 ? argv[2] : NULL);
	return cmocka_run_group_tests(tests, setup, teardown);
}
