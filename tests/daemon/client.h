/* SPDX-License-Identifier: MIT */
/*
 * A raw client of the daemon, for tests: starts smcud on a socket of its own, speaks the control
 * protocol by hand, and makes the TCP connections to offer.
 *
 * The daemon's path is argv[1] of the test.
 */
#ifndef SMCU_TESTS_DAEMON_CLIENT_H
#define SMCU_TESTS_DAEMON_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/message.h"

#define PATIENCE_MS 3000

extern const char *daemon_program;

/**
 * struct daemon_under_test - a running smcud
 * @directory: its own, mode 0755; @socket: "@directory/s"; @log: its standard error
 */
struct daemon_under_test {
	pid_t pid;
	char directory[64];
	char socket[96];
	char log[96];
};

/* start_daemon - with "--set"s or other options (NULL-terminated); waits until it serves */
void start_daemon(struct daemon_under_test *daemon, const char *const *options);

/* start_again - one that was killed, where it was */
void start_again(struct daemon_under_test *daemon, const char *const *options);

/* stop_daemon - SIGTERM; fails the test if it does not end with status 0; removes its directory */
void stop_daemon(struct daemon_under_test *daemon);

/* run_daemon - run smcud with these options to its end; returns the exit status, fills @output */
int run_daemon(const char *const *options, char *output, size_t size);

/* log_contains - waits until the daemon's log has @text; false after PATIENCE_MS */
bool log_contains(const struct daemon_under_test *daemon, const char *text);

/**
 * struct client - a session
 * @socket: connection to the daemon
 * @side: side segment, mapped; @side_fd
 */
struct client {
	int socket;
	struct side_header *side;
	int side_fd;
};

/* client_connect - connect, say nothing */
void client_connect(struct client *client, const struct daemon_under_test *daemon);

/* client_open - connect, HELLO as a shim (or as a command), take WELCOME */
void client_open(struct client *client, const struct daemon_under_test *daemon);
void client_open_command(struct client *client, const struct daemon_under_test *daemon);
void client_close(struct client *client);

/* make_side - a valid side segment */
int make_side(void);

/* send_packet - any bytes with any descriptors; returns 0 or -errno */
int send_packet(int socket, const void *bytes, size_t length, const int *fds, unsigned int count);

void client_send(struct client *client, const union message *message, const int *fds,
		 unsigned int count);

/* offer - OFFER with the true addresses */
void offer(struct client *client, uint64_t id, int tcp);
void withdraw(struct client *client, uint64_t id);

/**
 * receive - the next message
 * @fds: filled; the caller closes them
 * @timeout_ms: how long to wait
 *
 * Return: its type, 0 when nothing came, -1 at the end of the session.
 */
int receive(struct client *client, union message *message, int fds[3], unsigned int *count,
	    int timeout_ms);

/* expect - the next message has this type; descriptors are closed */
void expect(struct client *client, enum message_type type, union message *message);

/* expect_refused - REFUSED for @id with @reason; expect_nothing - silence for 50 ms */
void expect_refused(struct client *client, uint64_t id, unsigned int reason);
void expect_nothing(struct client *client);

/* expect_dropped - FAREWELL (perhaps) and the end; fails if it takes longer than @timeout_ms */
void expect_dropped(struct client *client, int timeout_ms);

/**
 * struct end - what PAIRED brought
 */
struct end {
	uint64_t id;
	uint32_t end;
	uint32_t ring_bytes;
	int segment, data, space;
};

void expect_paired(struct client *client, uint64_t id, struct end *end);
void end_close(struct end *end);

/* must_serve - a fresh pair of clients is paired within PATIENCE_MS: the daemon is well */
void must_serve(const struct daemon_under_test *daemon);

/* must_serve_at_once - within SERVED_WITHIN_MS, that is, while somebody else misbehaves */
#define SERVED_WITHIN_MS 1000
void must_serve_at_once(const struct daemon_under_test *daemon);

/* daemon_descriptors - how many it has open; must_let_go - waits until it has @most */
unsigned int daemon_descriptors(const struct daemon_under_test *daemon);
void must_let_go(const struct daemon_under_test *daemon, unsigned int most);

/* tcp_pair - two ends of a connection over loopback; @family of each end, AF_INET6 mapped if mixed */
void tcp_pair(int ends[2], int client_family, int server_family);

int64_t milliseconds(void);

#endif
