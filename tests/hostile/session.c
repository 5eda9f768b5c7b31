/* SPDX-License-Identifier: MIT */
/*
 * Clients that send rubbish, too much or nothing, or die: each is dropped, and nobody else notices
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../daemon/client.h"
#include "control/reason.h"
#include "control/snapshot.h"
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

static void packets_of_every_length(void **state)
{
	static char rubbish[2000];
	struct client client;
	size_t i, length;

	(void)state;
	for (i = 0; i < sizeof(rubbish); i++)
		rubbish[i] = (char)(i * 7919 >> 3);
	for (length = 0; length < 300; length++) {
		client_connect(&client, &daemon_);
		send_packet(client.socket, rubbish, length, NULL, 0);
		expect_dropped(&client, PATIENCE_MS);
		client_close(&client);
	}
	client_connect(&client, &daemon_);
	send_packet(client.socket, rubbish, sizeof(rubbish), NULL, 0);
	expect_dropped(&client, PATIENCE_MS);
	client_close(&client);
	must_serve_at_once(&daemon_);
}

/* Well-formed headers, each type, in the wrong place or with a wrong body. */
static void messages_out_of_place(void **state)
{
	union message message;
	struct client client;
	unsigned int type, after_hello;

	(void)state;
	for (type = 0; type < MESSAGE_TYPE_END + 3; type++) {
		for (after_hello = 0; after_hello < 2; after_hello++) {
			if (after_hello && (type == MESSAGE_WITHDRAW || type == MESSAGE_QUERY))
				continue;
			if (after_hello)
				client_open(&client, &daemon_);
			else
				client_connect(&client, &daemon_);
			message_init(&message, (enum message_type)type);
			if (type == MESSAGE_QUERY)
				message.query.what = QUERY_TOTALS;
			send_packet(client.socket, &message,
				    message.header.length ? message.header.length : 8, NULL, 0);
			expect_dropped(&client, PATIENCE_MS);
			client_close(&client);
		}
	}
	must_serve_at_once(&daemon_);
}

static void every_bit_of_hello_flipped(void **state)
{
	union message message;
	struct client client;
	size_t bit;

	(void)state;
	for (bit = 0; bit < 8 * sizeof(struct message_hello); bit++) {
		client_connect(&client, &daemon_);
		message_init(&message, MESSAGE_HELLO);
		message.hello.role = ROLE_COMMAND;
		((char *)&message)[bit / 8] ^= (char)(1 << bit % 8);
		send_packet(client.socket, &message, sizeof(message.hello), NULL, 0);
		client_close(&client);
	}
	must_serve_at_once(&daemon_);
}

/* All that the kernel lets one message carry, with each type and without a valid message. */
static void too_many_descriptors(void **state)
{
	unsigned int before = daemon_descriptors(&daemon_);
	union message message;
	struct client client;
	int fds[253], i, type;

	(void)state;
	for (i = 0; i < 253; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (type = 0; type < MESSAGE_TYPE_END; type++) {
		client_connect(&client, &daemon_);
		message_init(&message, (enum message_type)type);
		assert_int_equal(
			send_packet(client.socket, &message, sizeof(message.offer), fds, 253), 0);
		expect_dropped(&client, PATIENCE_MS);
		client_close(&client);
	}
	for (i = 2; i < 253; i += 50) {
		client_open(&client, &daemon_);
		message_init(&message, MESSAGE_OFFER);
		send_packet(client.socket, &message, sizeof(message.offer), fds, (unsigned int)i);
		expect_dropped(&client, PATIENCE_MS);
		client_close(&client);
	}
	client_connect(&client, &daemon_);
	send_packet(client.socket, NULL, 0, fds, 253);
	expect_dropped(&client, PATIENCE_MS);
	client_close(&client);
	for (i = 0; i < 253; i++)
		close(fds[i]);
	must_serve_at_once(&daemon_);
	must_let_go(&daemon_, before);
}

static void try_side(int fd)
{
	union message message;
	struct client client;

	client_connect(&client, &daemon_);
	message_init(&message, MESSAGE_HELLO);
	message.hello.role = ROLE_SHIM;
	client_send(&client, &message, &fd, 1);
	expect_dropped(&client, PATIENCE_MS);
	client_close(&client);
	close(fd);
}

static int memory_file(unsigned int flags, off_t size, int seals, int with_header)
{
	struct side_header header = {.magic = SIDE_MAGIC,
				     .record_size = sizeof(struct side_record)};
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0)
		return -1;
	assert_int_equal(ftruncate(fd, size), 0);
	if (with_header && pwrite(fd, &header, sizeof(header), 0) < 0)
		assert_true(flags); /* hugetlbfs cannot be written to */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void side_segments_that_are_none(void **state)
{
	static const int good = F_SEAL_SHRINK | F_SEAL_GROW;
	const off_t size = (off_t)SIDE_BYTES;
	char path[64];
	int fd, only;

	(void)state;
	try_side(memory_file(0, size, F_SEAL_GROW, 1));
	try_side(memory_file(0, size, F_SEAL_SHRINK, 1));
	try_side(memory_file(0, size - 1, good, 1));
	try_side(memory_file(0, 4096, good, 1));
	try_side(memory_file(0, 0, good, 0));
	try_side(memory_file(0, size, good, 0));
	try_side(memory_file(0, size, good | F_SEAL_WRITE, 1));
	try_side(memory_file(0, size, good | F_SEAL_FUTURE_WRITE, 1));
	fd = memory_file(MFD_HUGETLB, 32 << 20, good, 1);
	if (fd >= 0)
		try_side(fd);
	try_side(open("/dev/null", O_RDWR));
	try_side(open("/etc/passwd", O_RDONLY));
	fd = memory_file(0, size, good, 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	only = open(path, O_RDONLY);
	close(fd);
	try_side(only);
	must_serve_at_once(&daemon_);
}

static void a_silent_client(void **state)
{
	struct client silent[50];
	int64_t begin = milliseconds();
	unsigned int i;

	(void)state;
	for (i = 0; i < 50; i++)
		client_connect(&silent[i], &daemon_);
	must_serve_at_once(&daemon_);
	for (i = 0; i < 50; i++)
		expect_dropped(&silent[i], 7000);
	assert_true(milliseconds() - begin > 4000);
	for (i = 0; i < 50; i++)
		client_close(&silent[i]);
	must_serve_at_once(&daemon_);
}

/* Asks and asks for what is answered at once, and never reads: dropped when the queue is full. */
static void a_client_that_never_reads(void **state)
{
	unsigned int before = daemon_descriptors(&daemon_);
	union message message;
	struct client client;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;
	uint64_t id;

	(void)state;
	client_open(&client, &daemon_);
	message_init(&message, MESSAGE_OFFER);
	for (id = 1; id < 100000 && !error; id++) {
		message.offer.id = id;
		error = send_packet(client.socket, &message, sizeof(message.offer), &fd, 1);
		if (id % 1000 == 0)
			must_serve_at_once(&daemon_);
	}
	assert_true(error == -EPIPE || error == -ECONNRESET);
	close(fd);
	client_close(&client);
	must_serve_at_once(&daemon_);
	must_let_go(&daemon_, before);
}

/* The same, where each message brings three descriptors. */
static void an_idle_client_that_is_paired_often(void **state)
{
	enum { COUNT = 1500 };
	unsigned int before = daemon_descriptors(&daemon_);
	struct client idle, busy;
	union message message;
	int tcp[2], fds[3];
	unsigned int i, count, answers = 0;

	(void)state;
	client_open(&idle, &daemon_);
	client_open(&busy, &daemon_);
	for (i = 0; i < COUNT; i++) {
		tcp_pair(tcp, AF_INET, AF_INET);
		offer(&idle, i, tcp[0]);
		offer(&busy, i, tcp[1]);
		expect(&busy, MESSAGE_PAIRED, &message);
		close(tcp[0]);
		close(tcp[1]);
	}
	for (i = 0; i < COUNT; i++) {
		count = 0;
		if (receive(&idle, &message, fds, &count, PATIENCE_MS) == MESSAGE_PAIRED)
			answers++;
		while (count)
			close(fds[--count]);
	}
	assert_int_equal(answers, COUNT);
	client_close(&idle);
	client_close(&busy);
	must_let_go(&daemon_, before);
}

/* Holes are punched into the page that the daemon counts mail in, without end. */
static void a_side_segment_full_of_holes(void **state)
{
	struct client client;
	pid_t child;
	int fd, i;

	(void)state;
	client_open(&client, &daemon_);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			fallocate(client.side_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				  (off_t)SIDE_BYTES);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (i = 0; i < 200; i++) {
		union message message;

		message_init(&message, MESSAGE_OFFER);
		message.offer.id = (uint64_t)i;
		client_send(&client, &message, &fd, 1);
		expect_refused(&client, (uint64_t)i, REASON_NOT_TCP);
	}
	must_serve_at_once(&daemon_);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(fd);
	client_close(&client);
}

/* Numbers of a side segment are whatever the client likes. */
static void a_side_segment_full_of_lies(void **state)
{
	struct client liar, command;
	union message message;
	int fds[3], round;
	unsigned int count;

	(void)state;
	client_open(&liar, &daemon_);
	memset((char *)liar.side, 0xff, SIDE_HEADER_SIZE + 100 * sizeof(struct side_record));
	client_open_command(&command, &daemon_);
	for (round = 0; round < 4; round++) {
		message_init(&message, MESSAGE_QUERY);
		message.query.what = round % 2 ? QUERY_TOTALS : QUERY_CONNECTIONS;
		client_send(&command, &message, NULL, 0);
		must_serve_at_once(&daemon_);
		assert_int_equal(receive(&command, &message, fds, &count, PATIENCE_MS),
				 MESSAGE_SNAPSHOT);
		close(fds[0]);
	}
	client_close(&liar);
	client_close(&command);
	must_serve_at_once(&daemon_);
}

static void an_id_used_twice(void **state)
{
	struct client client;
	int tcp[2];

	(void)state;
	client_open(&client, &daemon_);
	tcp_pair(tcp, AF_INET, AF_INET);
	offer(&client, 1, tcp[0]);
	offer(&client, 1, tcp[1]);
	expect_dropped(&client, PATIENCE_MS);
	client_close(&client);
	close(tcp[0]);
	close(tcp[1]);
	must_serve_at_once(&daemon_);
}

/* What a process does that is to be killed at a random moment: everything. */
static void live_and_be_killed(void)
{
	struct client client;
	union message message;
	int tcp[2];
	uint64_t id = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		client_open(&client, &daemon_);
		for (int i = 0; i < 3; i++) {
			tcp_pair(tcp, AF_INET, AF_INET);
			offer(&client, ++id, tcp[0]);
			offer(&client, ++id, tcp[1]);
			expect(&client, MESSAGE_PAIRED, &message);
			message_init(&message, MESSAGE_QUERY);
			message.query.what = QUERY_TOTALS;
			client_send(&client, &message, NULL, 0);
			withdraw(&client, id);
			close(tcp[0]);
			close(tcp[1]);
			expect(&client, MESSAGE_PAIRED, &message);
			expect(&client, MESSAGE_SNAPSHOT, &message);
		}
		client_close(&client);
	}
}

static void clients_killed_at_any_moment(void **state)
{
	unsigned int before = daemon_descriptors(&daemon_);
	pid_t child;
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		child = fork();
		if (!child)
			live_and_be_killed();
		usleep((useconds_t)(random() % 5000));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	must_serve_at_once(&daemon_);
	must_let_go(&daemon_, before);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_every_length),
		cmocka_unit_test(messages_out_of_place),
		cmocka_unit_test(every_bit_of_hello_flipped),
		cmocka_unit_test(too_many_descriptors),
		cmocka_unit_test(side_segments_that_are_none),
		cmocka_unit_test(a_silent_client),
		cmocka_unit_test(a_client_that_never_reads),
		cmocka_unit_test(an_idle_client_that_is_paired_often),
		cmocka_unit_test(a_side_segment_full_of_holes),
		cmocka_unit_test(a_side_segment_full_of_lies),
		cmocka_unit_test(an_id_used_twice),
		cmocka_unit_test(clients_killed_at_any_moment),
	};

	if (argc < 2)
		return 2;
	daemon_program = argv[1];
	cmocka_set_test_filter(argc > 2 ? argv[2] : NULL);
	return cmocka_run_group_tests(tests, setup, teardown);
}
