/* SPDX-License-Identifier: MIT */
/*
 * A command against daemons that answer well, badly, and not at all
 */
#include "cli/client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

enum behaviour {
	WELL,
	HANGS_UP, /* right after accept */
	SAYS_FAREWELL, /* instead of WELCOME */
	TALKS_NONSENSE, /* a packet that is no message */
	WRONG_ANSWER, /* a message, but not the one asked for */
	OTHER_RECORDS, /* records of another size */
	SHORT_RECORDS, /* fewer bytes than count says */
	MANY_FDS, /* more descriptors than a message brings */
};

#define RECORDS 3U

/* struct daemon - the other side, for one session, in a thread */
struct daemon {
	enum behaviour behaviour;
	struct endpoint endpoint;
	int listener;
	pthread_t thread;
};

static char scratch[] = "/tmp/smcu-client-XXXXXX";

static void answer(int fd, const union message *message, int file, unsigned int copies)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {0};
	struct iovec part = {(void *)message, message->header.length};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (copies) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(copies * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(copies * sizeof(int));
		for (unsigned int i = 0; i < copies; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &file, sizeof(file));
	}
	sendmsg(fd, &header, MSG_NOSIGNAL);
}

static void answer_hello(const struct daemon *daemon, int fd)
{
	union message message;

	message_init(&message, MESSAGE_WELCOME);
	message.welcome.daemon_pid = 4711;
	snprintf(message.welcome.release, sizeof(message.welcome.release), "1.2.3");
	if (daemon->behaviour == SAYS_FAREWELL)
		message_init(&message, MESSAGE_FAREWELL);
	if (daemon->behaviour == TALKS_NONSENSE)
		message.header.version = 99;
	answer(fd, &message, -1, 0);
}

static void answer_query(const struct daemon *daemon, int fd)
{
	static const uint64_t records[RECORDS] = {11, 22, 33};
	int file = memfd_create("records", MFD_CLOEXEC);
	union message message;

	if (write(file, records, sizeof(records)) != sizeof(records))
		return;
	message_init(&message, MESSAGE_SNAPSHOT);
	message.snapshot.what = QUERY_TOTALS;
	message.snapshot.count = RECORDS + (daemon->behaviour == SHORT_RECORDS);
	message.snapshot.record_size =
		sizeof(records[0]) + (daemon->behaviour == OTHER_RECORDS ? 8 : 0);
	if (daemon->behaviour == WRONG_ANSWER)
		message_init(&message, MESSAGE_WELCOME);
	answer(fd, &message, file,
	       daemon->behaviour == WRONG_ANSWER ? 0
	       : daemon->behaviour == MANY_FDS	 ? 3
						 : 1);
	close(file);
}

static void *serve(void *context)
{
	const struct daemon *daemon = context;
	int fd = accept(daemon->listener, NULL, NULL);
	union message message;

	while (daemon->behaviour != HANGS_UP && recv(fd, &message, sizeof(message), 0) > 0) {
		if (message.header.type == MESSAGE_HELLO)
			answer_hello(daemon, fd);
		else
			answer_query(daemon, fd);
	}
	close(fd);
	return NULL;
}

static void start(struct daemon *daemon, enum behaviour behaviour)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(daemon, 0, sizeof(*daemon));
	daemon->behaviour = behaviour;
	snprintf(daemon->endpoint.path, ENDPOINT_MAX, "%s/smcud.sock", scratch);
	memcpy(address.sun_path, daemon->endpoint.path, sizeof(address.sun_path));
	daemon->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(daemon->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(daemon->listener, 1), 0);
	assert_int_equal(pthread_create(&daemon->thread, NULL, serve, daemon), 0);
}

static void stop(struct daemon *daemon)
{
	pthread_join(daemon->thread, NULL);
	close(daemon->listener);
	unlink(daemon->endpoint.path);
}

static void a_snapshot_arrives_whole(void **state)
{
	struct daemon daemon;
	struct client client;
	void *records;
	size_t count;

	(void)state;
	start(&daemon, WELL);
	assert_int_equal(client_open(&client, &daemon.endpoint), 0);
	assert_int_equal(client.welcome.daemon_pid, 4711);
	assert_string_equal(client.welcome.release, "1.2.3");
	for (int again = 0; again < 2; again++) {
		assert_int_equal(client_query(&client, QUERY_TOTALS, 8, &records, &count), 0);
		assert_int_equal(count, RECORDS);
		assert_int_equal(((uint64_t *)records)[0], 11);
		assert_int_equal(((uint64_t *)records)[2], 33);
		free(records);
	}
	client_close(&client);
	stop(&daemon);
}

static void expect_open(enum behaviour behaviour, int error)
{
	struct daemon daemon;
	struct client client;

	start(&daemon, behaviour);
	assert_int_equal(client_open(&client, &daemon.endpoint), error);
	stop(&daemon);
}

static void a_bad_welcome_is_an_error(void **state)
{
	(void)state;
	expect_open(SAYS_FAREWELL, -EACCES);
	expect_open(TALKS_NONSENSE, -EPROTONOSUPPORT);
}

/* The hang-up may be seen by send (EPIPE), by recv as a reset, or as the end. */
static void a_daemon_that_hangs_up_is_an_error(void **state)
{
	struct daemon daemon;
	struct client client;
	int error;

	(void)state;
	start(&daemon, HANGS_UP);
	error = client_open(&client, &daemon.endpoint);
	assert_true(error == -ECONNREFUSED || error == -ECONNRESET || error == -EPIPE);
	stop(&daemon);
}

static void expect_query(enum behaviour behaviour, int error)
{
	struct daemon daemon;
	struct client client;
	void *records;
	size_t count;
	int before = dup(0), after;

	close(before);
	start(&daemon, behaviour);
	assert_int_equal(client_open(&client, &daemon.endpoint), 0);
	assert_int_equal(client_query(&client, QUERY_TOTALS, 8, &records, &count), error);
	client_close(&client);
	stop(&daemon);
	after = dup(0);
	close(after);
	assert_int_equal(after, before); /* no descriptor stayed open */
}

static void a_bad_snapshot_is_an_error_and_leaks_nothing(void **state)
{
	(void)state;
	expect_query(WRONG_ANSWER, -EPROTO);
	expect_query(OTHER_RECORDS, -EPROTONOSUPPORT);
	expect_query(SHORT_RECORDS, -EPROTO);
	expect_query(MANY_FDS, -EBADF);
}

static void nobody_there_is_told_apart(void **state)
{
	struct endpoints endpoints = {.count = 1};
	struct daemon daemon;
	struct client client;

	(void)state;
	snprintf(endpoints.list[0].path, ENDPOINT_MAX, "%s/nobody.sock", scratch);
	assert_int_equal(client_open_any(&client, &endpoints), -ENOENT);
	start(&daemon, WELL);
	endpoints.list[1] = daemon.endpoint;
	endpoints.count = 2;
	assert_int_equal(client_open_any(&client, &endpoints), 0);
	assert_string_equal(client.endpoint.path, daemon.endpoint.path);
	client_close(&client);
	pthread_join(daemon.thread, NULL);
	close(daemon.listener); /* its socket is left behind, as by a daemon that was killed */
	assert_int_equal(client_open_any(&client, &endpoints), -ECONNREFUSED);
	unlink(daemon.endpoint.path);
}

/* The system's daemon refuses, the user has none. */
static void who_refuses_is_not_hidden_by_nobody(void **state)
{
	struct endpoints endpoints = {.count = 2};
	struct daemon daemon;
	struct client client;

	(void)state;
	start(&daemon, SAYS_FAREWELL);
	endpoints.list[0] = daemon.endpoint;
	snprintf(endpoints.list[1].path, ENDPOINT_MAX, "%s/nobody.sock", scratch);
	assert_int_equal(client_open_any(&client, &endpoints), -EACCES);
	assert_string_equal(client.endpoint.path, daemon.endpoint.path);
	stop(&daemon);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(scratch) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_snapshot_arrives_whole),
		cmocka_unit_test(a_bad_welcome_is_an_error),
		cmocka_unit_test(a_daemon_that_hangs_up_is_an_error),
		cmocka_unit_test(a_bad_snapshot_is_an_error_and_leaks_nothing),
		cmocka_unit_test(nobody_there_is_told_apart),
		cmocka_unit_test(who_refuses_is_not_hidden_by_nobody),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
