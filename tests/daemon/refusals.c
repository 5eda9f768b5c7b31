/* SPDX-License-Identifier: MIT */
/*
 * What is not the socket of a connection on this host stays TCP, and the client is told why
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "control/reason.h"
#include "daemon/address.h"

static struct daemon_under_test daemon_;
static struct client client_;

static int setup(void **state)
{
	static const char *const options[] = {"--set", "rules.deny_port=7777", NULL};

	(void)state;
	start_daemon(&daemon_, options);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop_daemon(&daemon_);
	return 0;
}

static int open_client(void **state)
{
	(void)state;
	client_open(&client_, &daemon_);
	return 0;
}

static int close_client(void **state)
{
	(void)state;
	client_close(&client_);
	return 0;
}

static void refuses(int fd, enum reason reason)
{
	static uint64_t id;

	offer(&client_, ++id, fd);
	expect_refused(&client_, id, reason);
	close(fd);
}

/* Offer @fd under the addresses of @named. */
static void offer_as(uint64_t id, int fd, int named)
{
	union address_any local, peer;
	socklen_t local_size = sizeof(local), peer_size = sizeof(peer);
	union message message;

	getsockname(named, &local.any, &local_size);
	getpeername(named, &peer.any, &peer_size);
	message_init(&message, MESSAGE_OFFER);
	message.offer.id = id;
	address_from(&local, &message.offer.local);
	address_from(&peer, &message.offer.peer);
	client_send(&client_, &message, &fd, 1);
}

static void what_is_no_tcp_socket(void **state)
{
	int ends[2];

	(void)state;
	refuses(socket(AF_INET, SOCK_DGRAM, 0), REASON_NOT_TCP);
	refuses(socket(AF_INET6, SOCK_DGRAM, 0), REASON_NOT_TCP);
	refuses(socket(AF_UNIX, SOCK_STREAM, 0), REASON_NOT_TCP);
	refuses(socket(AF_INET, SOCK_STREAM, 0), REASON_NOT_TCP);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	refuses(ends[0], REASON_NOT_TCP);
	close(ends[1]);
	must_serve(&daemon_);
}

static void a_listening_socket(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(listen(fd, 1), 0);
	refuses(fd, REASON_NOT_TCP);
}

static int connected_to(int protocol, int *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, protocol), fd;

	if (listener < 0)
		return -1;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&address, &size);
	fd = socket(AF_INET, SOCK_STREAM, protocol);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
	*server = accept(listener, NULL, NULL);
	close(listener);
	return fd;
}

static void multipath_tcp(void **state)
{
	int server, fd = connected_to(IPPROTO_MPTCP, &server);

	(void)state;
	if (fd < 0)
		skip();
	refuses(fd, REASON_NOT_TCP);
	refuses(server, REASON_NOT_TCP);
}

static void kernel_tls(void **state)
{
	int server, fd = connected_to(0, &server);

	(void)state;
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3) < 0) {
		close(fd);
		close(server);
		skip();
	}
	refuses(fd, REASON_NOT_TCP);
	close(server);
}

static void a_socket_connected_to_itself(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
	refuses(fd, REASON_SELF);
}

/* A connection that a process merely names is not its own. */
static void a_socket_under_the_addresses_of_another(void **state)
{
	int mine[2], others[2];

	(void)state;
	tcp_pair(mine, AF_INET, AF_INET);
	tcp_pair(others, AF_INET, AF_INET);
	offer_as(1001, mine[0], others[0]);
	expect_refused(&client_, 1001, REASON_NOT_TCP);
	offer_as(1002, mine[0], mine[1]);
	expect_refused(&client_, 1002, REASON_NOT_TCP);
	close(mine[0]);
	close(mine[1]);
	close(others[0]);
	close(others[1]);
}

/* The socket keeps its cookie: by cookie alone it would be paired with its former peer. */
static void a_socket_that_was_connected_elsewhere(void **state)
{
	struct sockaddr off = {.sa_family = AF_UNSPEC};
	union address_any address;
	socklen_t size = sizeof(address);
	int first[2], listener, second;

	(void)state;
	tcp_pair(first, AF_INET, AF_INET);
	offer(&client_, 2001, first[1]);
	expect_nothing(&client_);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, &address.any, &size), 0);
	address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(first[0], &off, sizeof(off)), 0);
	assert_int_equal(connect(first[0], &address.any, size), 0);
	second = accept(listener, NULL, NULL);
	offer(&client_, 2002, first[0]);
	expect_nothing(&client_);
	offer(&client_, 2003, second);
	{
		struct end ends[2];

		expect_paired(&client_, 2002, &ends[0]);
		expect_paired(&client_, 2003, &ends[1]);
		end_close(&ends[0]);
		end_close(&ends[1]);
	}
	close(listener);
	close(second);
	close(first[0]);
	close(first[1]);
}

static void a_socket_offered_twice(void **state)
{
	struct client other;
	int tcp[2];

	(void)state;
	client_open(&other, &daemon_);
	tcp_pair(tcp, AF_INET, AF_INET);
	offer(&client_, 3001, tcp[0]);
	expect_nothing(&client_); /* sessions are not served in any order */
	offer(&other, 1, tcp[0]);
	expect_refused(&other, 1, REASON_SHARED);
	withdraw(&client_, 3001);
	withdraw(&client_, 3001); /* unknown by now: ignored */
	offer(&client_, 3002, tcp[1]);
	expect_nothing(&client_);
	offer(&other, 2, tcp[0]);
	{
		struct end ends[2];

		expect_paired(&client_, 3002, &ends[0]);
		expect_paired(&other, 2, &ends[1]);
		end_close(&ends[0]);
		end_close(&ends[1]);
	}
	close(tcp[0]);
	close(tcp[1]);
	client_close(&other);
}

static void a_denied_port(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(7777),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1, fd, server;

	(void)state;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0)
		skip();
	assert_int_equal(listen(listener, 1), 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	server = accept(listener, NULL, NULL);
	refuses(fd, REASON_RULE);
	refuses(server, REASON_RULE);
	close(listener);
}

/* An offer made in another network namespace, whatever its addresses say. */
static void a_socket_of_another_network_namespace(void **state)
{
	int own = open("/proc/self/ns/net", O_RDONLY), tcp[2];

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		skip();
	assert_int_equal(system("ip link set lo up"), 0);
	tcp_pair(tcp, AF_INET, AF_INET);
	assert_int_equal(setns(own, CLONE_NEWNET), 0);
	close(own);
	refuses(tcp[0], REASON_ELSEWHERE);
	refuses(tcp[1], REASON_ELSEWHERE);
}

static void a_half_closed_connection(void **state)
{
	int tcp[2];

	(void)state;
	tcp_pair(tcp, AF_INET, AF_INET);
	shutdown(tcp[0], SHUT_WR);
	usleep(1000);
	refuses(tcp[0], REASON_NOT_TCP);
	close(tcp[1]);
}

int main(int argc, char **argv)
{
#define REFUSAL(name) cmocka_unit_test_setup_teardown(name, open_client, close_client)
	static const struct CMUnitTest tests[] = {
		REFUSAL(what_is_no_tcp_socket),
		REFUSAL(a_listening_socket),
		REFUSAL(multipath_tcp),
		REFUSAL(kernel_tls),
		REFUSAL(a_socket_connected_to_itself),
		REFUSAL(a_socket_under_the_addresses_of_another),
		REFUSAL(a_socket_that_was_connected_elsewhere),
		REFUSAL(a_socket_offered_twice),
		REFUSAL(a_denied_port),
		REFUSAL(a_socket_of_another_network_namespace),
		REFUSAL(a_half_closed_connection),
	};

	if (argc < 2)
		return 2;
	daemon_program = argv[1];
	cmocka_set_test_filter(argc > 2 ? argv[2] : NULL);
	return cmocka_run_group_tests(tests, setup, teardown);
}
