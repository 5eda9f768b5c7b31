/* SPDX-License-Identifier: MIT */
/*
 * exchange - a server that echoes and a client that checks, over TCP or the kernel's AF_SMC
 *
 *   exchange serve   --address=A --port=P [--smc] [--connections=N] [--accept-delay=MS] ...
 *   exchange connect --address=A --port=P [--smc] [--size=BYTES] [--count=N] [--stream] ...
 *
 * The same program stands on both sides of a test between hosts: with --smc in a guest whose kernel
 * has SMC, without it as the ordinary TCP program that it is then.  Every byte is a function of
 * (--seed, its position); both ends check it.
 *
 * Both: --seed, --send-buffer=BYTES, --receive-buffer=BYTES (socket options, before connect or
 * listen), --read-delay=MS (before each read).
 * Client: --count messages of --size bytes, each of them read back before the next is written, or
 * with --stream all written while what comes back is read.  Then:
 *   --delay=MS    rest between messages
 *   --urgent      one urgent byte goes right behind the first message, and comes back so (not with
 *                 --stream; there are two messages at least)
 *   --half-close  shutdown(SHUT_WR) after the last message is written, before its echo is read
 *   --hold        keep the connection until standard input ends, so that others can look at it
 *   --abort       close with SO_LINGER 0, after the last message is written, its echo not read
 *
 * Each prints a line for each event; times are not among them:
 *   listening, accepted ADDRESS PORT, connected ADDRESS PORT (its own), urgent BYTE, held,
 *   done BYTES (client, all came back), ended BYTES eof|ERRNO (server, each connection)
 * The status is 0 unless something failed or a byte was wrong.  An end by error of a connection to
 * the server is an event, not a failure.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#ifndef AF_SMC
#define AF_SMC 43
#endif
#define SMC_IPV4 0 /* protocols of AF_SMC: which addresses it speaks */
#define SMC_IPV6 1
#define CHUNK 65536
#define URGENT_BYTE 85

struct settings {
	const char *address;
	uint64_t port, seed, size, count, connections;
	uint64_t send_buffer, receive_buffer;
	unsigned int accept_delay, read_delay, delay; /* ms */
	int smc, stream, urgent, half_close, hold, abort;
};

static struct settings set;

static void settings_read(int argc, char **argv)
{
	set = (struct settings){
		.address = option_text(argc, argv, "address", "127.0.0.1"),
		.port = option_number(argc, argv, "port", 0),
		.seed = option_number(argc, argv, "seed", 1),
		.size = option_number(argc, argv, "size", 100),
		.count = option_number(argc, argv, "count", 5),
		.connections = option_number(argc, argv, "connections", 1),
		.send_buffer = option_number(argc, argv, "send-buffer", 0),
		.receive_buffer = option_number(argc, argv, "receive-buffer", 0),
		.accept_delay = (unsigned int)option_number(argc, argv, "accept-delay", 0),
		.read_delay = (unsigned int)option_number(argc, argv, "read-delay", 0),
		.delay = (unsigned int)option_number(argc, argv, "delay", 0),
		.smc = option_given(argc, argv, "smc"),
		.stream = option_given(argc, argv, "stream"),
		.urgent = option_given(argc, argv, "urgent"),
		.half_close = option_given(argc, argv, "half-close"),
		.hold = option_given(argc, argv, "hold"),
		.abort = option_given(argc, argv, "abort"),
	};
}

static void rest_ms(unsigned int ms)
{
	if (ms)
		sleep_us(ms * 1000);
}

/* The address of the command line; returns its length. */
static socklen_t address_make(struct sockaddr_storage *storage)
{
	return address_of(set.address, (uint16_t)set.port, storage);
}

/* "WHAT ADDRESS PORT" */
static void address_print(const char *what, const struct sockaddr_storage *storage)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)storage;
	const struct sockaddr_in *four = (const struct sockaddr_in *)storage;
	char text[INET6_ADDRSTRLEN];

	if (storage->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
	printf("%s %s %u\n", what, text, ntohs(four->sin_port)); /* it is in the same place */
}

static void buffer_set(int fd, int option, uint64_t bytes)
{
	int value = (int)bytes;

	if (bytes && setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) < 0)
		die("socket buffer of %d bytes", value);
}

static int socket_make(int family)
{
	int fd = set.smc ? socket(AF_SMC, SOCK_STREAM, family == AF_INET6 ? SMC_IPV6 : SMC_IPV4)
			 : socket(family, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	buffer_set(fd, SO_SNDBUF, set.send_buffer);
	buffer_set(fd, SO_RCVBUF, set.receive_buffer);
	return fd;
}

static void bytes_check(uint64_t position, const char *buffer, size_t length)
{
	size_t good = pattern_check(set.seed, position, buffer, length);
	char text[64];

	if (good == length)
		return;
	pattern_explain(set.seed, position + good, buffer + good, length - good, text,
			sizeof(text));
	printf("wrong at %llu: %s\n", (unsigned long long)(position + good), text);
	fflush(stdout);
	exit(1);
}

/* Wait for the urgent byte and take it. */
static void urgent_take(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLPRI};
	unsigned char byte;

	while (poll(&wait, 1, -1) < 0)
		if (errno != EINTR)
			die("poll");
	if (recv(fd, &byte, 1, MSG_OOB) != 1)
		die("urgent byte");
	printf("urgent %u\n", byte);
}

/*
 * Send @length bytes and then, in the same call, the urgent one, for which @buffer has room.  Sent
 * alone and taken before the next ordinary read, it would never be passed by Linux's SMC, whose
 * sender then waits for ever.
 */
static ssize_t urgent_send(int fd, char *buffer, size_t length)
{
	buffer[length] = URGENT_BYTE;
	if (send(fd, buffer, length + 1, MSG_OOB | MSG_NOSIGNAL) != (ssize_t)length + 1)
		die("urgent byte");
	return (ssize_t)length;
}

/* Echo what comes; 0 at the end of file, else the errno that ended it. */
static int echo_run(int fd, uint64_t *position)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN | POLLPRI};
	ssize_t count, sent, done;
	char buffer[CHUNK + 1];
	int urgent = 0; /* is to be sent back */

	for (;; urgent = 0) {
		rest_ms(set.read_delay);
		if (poll(&wait, 1, -1) < 0)
			return errno;
		if (wait.revents & POLLPRI) {
			urgent_take(fd);
			urgent = 1;
		}
		count = recv(fd, buffer, CHUNK, 0);
		if (count <= 0)
			return count < 0 ? errno : 0;
		bytes_check(*position, buffer, (size_t)count);
		for (done = 0; done < count; done += sent) {
			sent = urgent ? urgent_send(fd, buffer, (size_t)count)
				      : send(fd, buffer + done, (size_t)(count - done),
					     MSG_NOSIGNAL);
			if (sent < 0)
				return errno;
		}
		*position += (uint64_t)count;
	}
}

static void *connection_serve(void *argument)
{
	int fd = (int)(intptr_t)argument, error;
	uint64_t position = 0;

	error = echo_run(fd, &position);
	close(fd);
	printf("ended %llu %s\n", (unsigned long long)position,
	       error ? strerrorname_np(error) : "eof");
	return NULL;
}

static int serve(void)
{
	struct sockaddr_storage address;
	socklen_t length = address_make(&address);
	pthread_t *threads = calloc(set.connections, sizeof(*threads));
	int listener = socket_make(address.ss_family), one = 1, fd;
	uint64_t i;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!threads || bind(listener, (struct sockaddr *)&address, length) < 0 ||
	    listen(listener, 128) < 0)
		die("listen on %s port %u", set.address, (unsigned int)set.port);
	printf("listening\n");
	for (i = 0; i < set.connections; i++) {
		rest_ms(set.accept_delay);
		length = sizeof(address);
		fd = accept(listener, (struct sockaddr *)&address, &length);
		if (fd < 0)
			die("accept");
		address_print("accepted", &address);
		if (pthread_create(&threads[i], NULL, connection_serve, (void *)(intptr_t)fd))
			die("thread");
	}
	while (i--)
		pthread_join(threads[i], NULL);
	free(threads);
	return 0;
}

static void message_write(int fd, uint64_t position, int urgent)
{
	char *buffer = malloc(set.size + 1);

	if (!buffer)
		die("memory");
	pattern_fill(set.seed, position, buffer, set.size);
	if (urgent)
		urgent_send(fd, buffer, set.size);
	else
		write_all(fd, buffer, set.size);
	free(buffer);
}

/* Read and check up to @end; fewer bytes than that are a failure. */
static void echo_read(int fd, uint64_t *position, uint64_t end)
{
	char buffer[CHUNK];
	ssize_t count;

	while (*position < end) {
		rest_ms(set.read_delay);
		count = recv(fd, buffer, end - *position < CHUNK ? end - *position : CHUNK, 0);
		if (count < 0)
			die("receive after %llu bytes", (unsigned long long)*position);
		if (count == 0) {
			errno = EPIPE;
			die("end of file after %llu bytes", (unsigned long long)*position);
		}
		bytes_check(*position, buffer, (size_t)count);
		*position += (uint64_t)count;
	}
}

static void last_message_write(int fd, uint64_t position)
{
	message_write(fd, position, 0);
	if (set.half_close && shutdown(fd, SHUT_WR) < 0)
		die("shutdown");
}

static void exchange_in_turn(int fd)
{
	uint64_t written, received = 0, i;
	int urgent;

	for (i = 0; i < set.count; i++) {
		written = i * set.size;
		urgent = set.urgent && i == 0;
		if (i + 1 == set.count)
			last_message_write(fd, written);
		else
			message_write(fd, written, urgent);
		if (i + 1 == set.count && set.abort)
			return;
		if (urgent)
			urgent_take(fd);
		echo_read(fd, &received, written + set.size);
		rest_ms(set.delay);
	}
}

static void *stream_write(void *argument)
{
	int fd = (int)(intptr_t)argument;
	uint64_t i;

	for (i = 0; i + 1 < set.count; i++) {
		message_write(fd, i * set.size, 0);
		rest_ms(set.delay);
	}
	last_message_write(fd, i * set.size);
	return NULL;
}

static void exchange_as_stream(int fd)
{
	uint64_t received = 0;
	pthread_t writer;

	if (pthread_create(&writer, NULL, stream_write, (void *)(intptr_t)fd))
		die("thread");
	if (!set.abort)
		echo_read(fd, &received, set.count * set.size);
	pthread_join(writer, NULL);
}

/* After half a close the server, too, comes to its end. */
static void end_of_file_await(int fd)
{
	char byte;

	if (recv(fd, &byte, 1, 0) != 0)
		die("no end of file after the last byte");
}

static void hold(void)
{
	char byte;

	printf("held\n");
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static int client_connect(void)
{
	struct sockaddr_storage address;
	socklen_t length = address_make(&address);
	int fd = socket_make(address.ss_family);

	if (connect(fd, (struct sockaddr *)&address, length) < 0)
		die("connect to %s port %u", set.address, (unsigned int)set.port);
	length = sizeof(address);
	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		die("getsockname");
	address_print("connected", &address);
	return fd;
}

static int client_run(void)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	int fd = client_connect();

	if (set.stream)
		exchange_as_stream(fd);
	else
		exchange_in_turn(fd);
	if (set.hold)
		hold();
	if (set.abort)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	else if (set.half_close)
		end_of_file_await(fd);
	close(fd);
	if (!set.abort)
		printf("done %llu\n", (unsigned long long)(set.count * set.size));
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	settings_read(argc, argv);
	if (argc > 1 && set.port && set.count && strcmp(argv[1], "serve") == 0)
		return serve();
	if (argc > 1 && set.port && set.count && !(set.urgent && (set.stream || set.count < 2)) &&
	    strcmp(argv[1], "connect") == 0)
		return client_run();
	fprintf(stderr, "exchange: serve or connect, and --port; see the top of its source\n");
	return 2;
}
