/* SPDX-License-Identifier: MIT */
/*
 * Snapshots and limits: what the daemon tells of its clients, and how much each user may have
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "control/reason.h"
#include "control/snapshot.h"
#include "ring/segment.h"

static struct daemon_under_test daemon_;

static int teardown(void **state)
{
	(void)state;
	stop_daemon(&daemon_);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	start_daemon(&daemon_, NULL);
	return 0;
}

static const size_t record_sizes[QUERY_END] = {
	[QUERY_CONNECTIONS] = sizeof(struct snapshot_connection),
	[QUERY_TOTALS] = sizeof(struct snapshot_totals),
	[QUERY_LINK_GROUPS] = sizeof(struct snapshot_link_group),
	[QUERY_LINKS] = sizeof(struct snapshot_link),
	[QUERY_DEVICES] = sizeof(struct snapshot_device),
};

/* Ask; the answer mapped, to be unmapped by nobody. */
static const void *ask(struct client *client, enum query_what what, uint32_t *count)
{
	union message message;
	unsigned int fd_count;
	const void *records;
	int fds[3];

	message_init(&message, MESSAGE_QUERY);
	message.query.what = what;
	client_send(client, &message, NULL, 0);
	assert_int_equal(receive(client, &message, fds, &fd_count, PATIENCE_MS), MESSAGE_SNAPSHOT);
	assert_int_equal(message.snapshot.what, what);
	assert_int_equal(fcntl(fds[0], F_GET_SEALS),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	*count = message.snapshot.count;
	assert_int_equal(message.snapshot.record_size, record_sizes[what]);
	assert_int_equal(lseek(fds[0], 0, SEEK_END), (off_t)*count * message.snapshot.record_size);
	if (!*count)
		return NULL;
	records = mmap(NULL, (size_t)*count * message.snapshot.record_size, PROT_READ, MAP_PRIVATE,
		       fds[0], 0);
	assert_true(records != MAP_FAILED);
	close(fds[0]);
	return records;
}

static struct side_record *record(struct client *client, uint32_t index)
{
	struct side_record *records =
		(struct side_record *)((char *)client->side + SIDE_HEADER_SIZE);

	if (client->side->used <= index)
		client->side->used = index + 1;
	return &records[index];
}

static void fill(struct side_record *record, uint32_t state, uint64_t number)
{
	record->state = state;
	record->reason = REASON_WAITING;
	record->fd = (int32_t)number;
	record->cookie = number;
	record->local.port = 80;
	record->send.tcp_bytes = number;
	record->receive.tcp_bytes = 2 * number;
	record->send.position = 3 * number;
	record->receive.position = 4 * number;
	record->send.calls = 5 * number;
	record->receive.calls = 6 * number;
	record->sizes[3] = 7;
	record->receive.moved = state == SIDE_SHM;
	record->holders = state != SIDE_FREE;
}

static void connections_are_what_the_shim_wrote(void **state)
{
	struct client client, command;
	const struct snapshot_connection *found;
	uint32_t count, i;

	(void)state;
	client_open(&client, &daemon_);
	client_open_command(&command, &daemon_);
	assert_null(ask(&command, QUERY_CONNECTIONS, &count));
	for (i = 0; i < 1000; i++)
		fill(record(&client, i), i % 3 ? SIDE_SHM : SIDE_FREE, i);
	record(&client, 1)->reason = 12345;
	record(&client, 2)->state = 99;
	found = ask(&command, QUERY_CONNECTIONS, &count);
	assert_int_equal(count, 665);
	assert_int_equal(found[0].cookie, 1);
	assert_int_equal(found[0].reason, REASON_NONE);
	assert_int_equal(found[1].cookie, 4);
	assert_int_equal(found[1].state, SIDE_SHM);
	assert_int_equal(found[1].reason, REASON_WAITING);
	assert_int_equal(found[1].uid, geteuid());
	assert_int_equal(found[1].pid, getpid());
	assert_int_equal(found[1].fd, 4);
	assert_int_equal(found[1].moved, 2);
	assert_int_equal(found[1].local.port, 80);
	assert_int_equal(found[1].bytes_tcp[0], 4);
	assert_int_equal(found[1].bytes_tcp[1], 8);
	assert_int_equal(found[1].bytes_shm[0], 12);
	assert_int_equal(found[1].bytes_shm[1], 16);
	assert_int_equal(found[1].calls[0], 20);
	assert_int_equal(found[1].calls[1], 24);
	assert_string_equal(found[1].program, "test-daemon-snapshot");
	client_close(&client);
	client_close(&command);
}

/* A connection with another host has moved, whatever its record says of the directions. */
static void a_connection_by_smcr_is_listed_as_moved(void **state)
{
	const struct snapshot_connection *found;
	const struct snapshot_totals *before, *now;
	struct client client, command;
	uint32_t count;

	(void)state;
	client_open_command(&command, &daemon_);
	usleep(20000); /* sessions of earlier tests are counted */
	before = ask(&command, QUERY_TOTALS, &count);
	client_open(&client, &daemon_);
	fill(record(&client, 0), SIDE_SMCR, 1);
	found = ask(&command, QUERY_CONNECTIONS, &count);
	assert_int_equal(count, 1);
	assert_int_equal(found->state, SIDE_SMCR);
	assert_int_equal(found->moved, 3);
	assert_int_equal(found->remote.state, 0);
	now = ask(&command, QUERY_TOTALS, &count);
	assert_int_equal(now->connections - before->connections, 1);
	assert_int_equal(now->moved - before->moved, 1);
	assert_int_equal(now->smcr, 0);
	client_close(&client);
	client_close(&command);
}

static void without_adapters_the_listings_are_empty(void **state)
{
	struct client command;
	uint32_t count, what;

	(void)state;
	client_open_command(&command, &daemon_);
	for (what = QUERY_LINK_GROUPS; what < QUERY_END; what++) {
		assert_null(ask(&command, what, &count));
		assert_int_equal(count, 0);
	}
	client_close(&command);
}

static void totals_outlive_the_session(void **state)
{
	struct client client, command;
	const struct snapshot_totals *before, *now;
	uint32_t count, round;

	(void)state;
	client_open_command(&command, &daemon_);
	usleep(20000); /* sessions of earlier tests are counted */
	before = ask(&command, QUERY_TOTALS, &count);
	client_open(&client, &daemon_);
	client.side->totals.connections = 100;
	client.side->totals.bytes_shm[1] = 1000;
	client.side->totals.reasons[REASON_YOUNG] = 3;
	fill(record(&client, 0), SIDE_SHM, 1);
	fill(record(&client, 1), SIDE_TCP, 1);
	fill(record(&client, 2), SIDE_LISTENING, 1);
	fill(record(&client, 3), SIDE_CONNECTING, 1);
	for (round = 0; round < 2; round++) {
		now = ask(&command, QUERY_TOTALS, &count);
		assert_int_equal(count, 1);
		assert_int_equal(now->connections - before->connections, 102);
		assert_int_equal(now->moved - before->moved, 1);
		assert_int_equal(now->bytes_tcp[0] - before->bytes_tcp[0], 2);
		assert_int_equal(now->bytes_shm[1] - before->bytes_shm[1], 1008);
		assert_int_equal(now->calls[1] - before->calls[1], 12);
		assert_int_equal(now->sizes[3] - before->sizes[3], 14);
		assert_int_equal(now->reasons[REASON_YOUNG] - before->reasons[REASON_YOUNG], 3);
		assert_int_equal(now->reasons[REASON_WAITING] - before->reasons[REASON_WAITING], 1);
		assert_int_equal(now->sessions - before->sessions, 1 - round);
		assert_true(now->uptime_ms >= before->uptime_ms);
		if (!round) {
			client_close(&client);
			usleep(50000);
		}
	}
	client_close(&command);
}

/* Processes that were forked share a side segment: it is counted once, and lives with the last. */
static void a_shared_side_segment_is_counted_once(void **state)
{
	struct client parent, child, command;
	const struct snapshot_connection *found;
	const struct snapshot_totals *before, *now;
	union message message;
	uint32_t count;
	uint64_t mail;
	int round;

	(void)state;
	client_open_command(&command, &daemon_);
	before = ask(&command, QUERY_TOTALS, &count);
	client_open(&parent, &daemon_);
	fill(record(&parent, 0), SIDE_TCP, 1);
	record(&parent, 0)->pid = 12345;
	usleep(20000); /* mail is counted after it was sent */
	mail = parent.side->inbox;
	client_connect(&child, &daemon_);
	message_init(&message, MESSAGE_HELLO);
	message.hello.role = ROLE_SHIM;
	client_send(&child, &message, &parent.side_fd, 1);
	expect(&child, MESSAGE_WELCOME, &message);
	usleep(20000);
	assert_int_equal(parent.side->inbox, mail + 1);
	for (round = 0; round < 3; round++) {
		found = ask(&command, QUERY_CONNECTIONS, &count);
		assert_int_equal(count, round < 2 ? 1 : 0);
		if (count)
			assert_int_equal(found[0].pid, 12345);
		now = ask(&command, QUERY_TOTALS, &count);
		assert_int_equal(now->connections - before->connections, 1);
		if (round == 0)
			client_close(&parent);
		if (round == 1)
			client_close(&child);
		usleep(50000);
	}
	client_close(&command);
}

static void totals_count_hand_overs(void **state)
{
	const struct snapshot_totals *before, *now;
	struct client client, command;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t count;

	(void)state;
	client_open_command(&command, &daemon_);
	before = ask(&command, QUERY_TOTALS, &count);
	client_open(&client, &daemon_);
	offer(&client, 1, fd);
	expect_refused(&client, 1, REASON_NOT_TCP);
	must_serve(&daemon_);
	now = ask(&command, QUERY_TOTALS, &count);
	assert_int_equal(now->offers - before->offers, 3);
	assert_int_equal(now->paired - before->paired, 1);
	assert_int_equal(now->refused[REASON_NOT_TCP] - before->refused[REASON_NOT_TCP], 1);
	close(fd);
	client_close(&client);
	client_close(&command);
}

/* nobody sees what is his, which is nothing */
static void other_users_connections_are_hidden(void **state)
{
	struct client client;
	uint32_t count = 0;
	int status;
	pid_t child;

	(void)state;
	if (geteuid())
		skip();
	client_open(&client, &daemon_);
	fill(record(&client, 0), SIDE_SHM, 1);
	child = fork();
	if (!child) {
		struct client mine, command;

		if (setgid(65534) || setuid(65534))
			_exit(2);
		client_open(&mine, &daemon_);
		fill(record(&mine, 0), SIDE_TCP, 77);
		client_open_command(&command, &daemon_);
		const struct snapshot_connection *found = ask(&command, QUERY_CONNECTIONS, &count);
		_exit(count == 1 && found->cookie == 77 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	client_close(&client);
}

static void a_user_has_so_many_connections(void **state)
{
	struct daemon_under_test daemon;
	struct client client;
	struct end end;
	int tcp[2][2], i;

	(void)state;
	start_daemon(&daemon, (const char *[]){"--set", "limits.connections_per_user=2", NULL});
	client_open(&client, &daemon);
	for (i = 0; i < 2; i++)
		tcp_pair(tcp[i], AF_INET, AF_INET);
	for (i = 0; i < 2; i++) {
		offer(&client, 1, tcp[0][0]);
		offer(&client, 2, tcp[0][1]);
		expect_paired(&client, 1, &end);
		end_close(&end);
		expect_paired(&client, 2, &end);
		end_close(&end);
		offer(&client, 3, tcp[1][0]);
		expect_refused(&client, 3, REASON_LIMIT);
		withdraw(&client, 1);
		offer(&client, 4, tcp[1][0]);
		offer(&client, 5, tcp[1][1]);
		expect_refused(&client, 5, REASON_LIMIT);
		withdraw(&client, 2);
		withdraw(&client, 4);
	}
	client_close(&client);
	for (i = 0; i < 4; i++)
		close(tcp[i / 2][i % 2]);
	stop_daemon(&daemon);
}

static void a_user_has_so_much_memory(void **state)
{
	struct daemon_under_test daemon;
	struct client client;
	struct end end;
	int tcp[2][2], i;

	(void)state;
	start_daemon(&daemon, (const char *[]){"--set", "limits.memory_per_user=1M", "--set",
					       "ring.bytes=256K", NULL});
	client_open(&client, &daemon);
	for (i = 0; i < 2; i++)
		tcp_pair(tcp[i], AF_INET, AF_INET);
	offer(&client, 1, tcp[0][0]);
	offer(&client, 2, tcp[0][1]);
	expect_paired(&client, 1, &end);
	assert_int_equal(end.ring_bytes, 256 * 1024);
	end_close(&end);
	expect_paired(&client, 2, &end);
	end_close(&end);
	offer(&client, 3, tcp[1][0]);
	offer(&client, 4, tcp[1][1]);
	expect_refused(&client, 3, REASON_LIMIT);
	expect_refused(&client, 4, REASON_LIMIT);
	withdraw(&client, 1); /* the segment lives as long as the end it was counted for */
	withdraw(&client, 2);
	offer(&client, 5, tcp[1][0]);
	offer(&client, 6, tcp[1][1]);
	expect_paired(&client, 5, &end);
	end_close(&end);
	expect_paired(&client, 6, &end);
	end_close(&end);
	client_close(&client);
	for (i = 0; i < 4; i++)
		close(tcp[i / 2][i % 2]);
	stop_daemon(&daemon);
}

static void a_user_has_so_many_sessions(void **state)
{
	struct daemon_under_test daemon;
	struct client clients[3];
	int i;

	(void)state;
	start_daemon(&daemon, (const char *[]){"--set", "limits.sessions_per_user=2", NULL});
	for (i = 0; i < 2; i++)
		client_open(&clients[i], &daemon);
	client_connect(&clients[2], &daemon);
	expect_dropped(&clients[2], PATIENCE_MS);
	client_close(&clients[2]);
	client_close(&clients[0]);
	usleep(50000);
	client_open(&clients[0], &daemon);
	client_close(&clients[0]);
	client_close(&clients[1]);
	stop_daemon(&daemon);
}

/* Out of descriptors the daemon lets clients wait, and serves them when others have gone. */
static void clients_wait_for_descriptors(void **state)
{
	struct daemon_under_test daemon;
	struct client clients[300];
	union message message;
	int i, served = 0;

	(void)state;
	start_daemon(&daemon, NULL);
	{
		char command[96];

		snprintf(command, sizeof(command), "prlimit --pid %d --nofile=200:200",
			 (int)daemon.pid);
		if (system(command) != 0)
			skip();
	}
	for (i = 0; i < 300; i++)
		client_connect(&clients[i], &daemon);
	for (i = 0; i < 300; i++) {
		message_init(&message, MESSAGE_HELLO);
		message.hello.role = ROLE_COMMAND;
		client_send(&clients[i], &message, NULL, 0);
	}
	for (i = 0; i < 300; i++) {
		int fds[3];
		unsigned int count;

		served +=
			receive(&clients[i], &message, fds, &count, PATIENCE_MS) == MESSAGE_WELCOME;
		client_close(&clients[i]);
	}
	assert_int_equal(served, 300);
	stop_daemon(&daemon);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_what_the_shim_wrote),
		cmocka_unit_test(a_connection_by_smcr_is_listed_as_moved),
		cmocka_unit_test(without_adapters_the_listings_are_empty),
		cmocka_unit_test(totals_outlive_the_session),
		cmocka_unit_test(a_shared_side_segment_is_counted_once),
		cmocka_unit_test(totals_count_hand_overs),
		cmocka_unit_test(other_users_connections_are_hidden),
		cmocka_unit_test(a_user_has_so_many_connections),
		cmocka_unit_test(a_user_has_so_much_memory),
		cmocka_unit_test(a_user_has_so_many_sessions),
		cmocka_unit_test(clients_wait_for_descriptors),
	};

	if (argc < 2)
		return 2;
	daemon_program = argv[1];
	cmocka_set_test_filter(argc > 2 ? argv[2] : NULL);
	return cmocka_run_group_tests(tests, setup, teardown);
}
