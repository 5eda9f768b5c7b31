// SPDX-License-Identifier: MIT
#include "tools.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_BACKLOG 4096

void fail(int error, const char *format, ...)
{
	va_list arguments;

	fputs("smcu-bench: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	if (error == EBADMSG)
		fputs(": WRONG DATA", stderr);
	else if (error != 0)
		fprintf(stderr, ": %s", strerror(error));
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void sleep_seconds(double seconds)
{
	struct timespec left = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static uint64_t timeval_us(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000U + (uint64_t)time.tv_usec;
}

uint64_t cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return timeval_us(usage.ru_utime) + timeval_us(usage.ru_stime);
}

void raise_descriptor_limit(unsigned int needed)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		fail(errno, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		fail(errno, "setrlimit");
	if (limit.rlim_max < needed)
		fail(0, "%u descriptors are needed, the hard limit is %lu", needed,
		     (unsigned long)limit.rlim_max);
}

static struct addrinfo *resolve(const char *address, uint16_t port)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	struct addrinfo *found;
	char service[8];
	int error;

	snprintf(service, sizeof(service), "%u", (unsigned int)port);
	error = getaddrinfo(address, service, &hints, &found);
	if (error != 0)
		fail(0, "address %s: %s", address, gai_strerror(error));
	return found;
}

static uint16_t socket_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		fail(errno, "getsockname");
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int socket_listen(const char *address, uint16_t *port)
{
	struct addrinfo *found = resolve(address, *port);
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		fail(errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, found->ai_addr, found->ai_addrlen) < 0)
		fail(errno, "bind to %s port %u", address, (unsigned int)*port);
	if (listen(fd, LISTEN_BACKLOG) < 0)
		fail(errno, "listen");
	freeaddrinfo(found);
	*port = socket_port(fd);
	return fd;
}

int socket_connect(const struct options *options)
{
	static _Thread_local struct addrinfo *server; /* resolved once, connected to very often */
	int fd;

	if (server == NULL)
		server = resolve(options->address, options->port);
	fd = socket(server->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail(errno, "socket");
	if (connect(fd, server->ai_addr, server->ai_addrlen) < 0)
		fail(errno, "connect to %s port %u", options->address, (unsigned int)options->port);
	return fd;
}

void socket_no_delay(int fd)
{
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		fail(errno, "TCP_NODELAY");
}

void socket_non_blocking(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		fail(errno, "O_NONBLOCK");
}

int send_all(int fd, const void *bytes, uint64_t length)
{
	const unsigned char *next = bytes;

	while (length > 0) {
		ssize_t sent = send(fd, next, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		next += sent;
		length -= (uint64_t)sent;
	}
	return 0;
}

int receive_all(int fd, void *bytes, uint64_t length)
{
	unsigned char *next = bytes;

	while (length > 0) {
		ssize_t received = recv(fd, next, length, 0);

		if (received < 0 && errno == EINTR)
			continue;
		if (received < 0)
			return -errno;
		if (received == 0)
			return -ECONNRESET;
		next += received;
		length -= (uint64_t)received;
	}
	return 0;
}

struct report greet(int fd, const struct hello *hello)
{
	struct report report;
	int error = send_all(fd, hello, sizeof(*hello));

	if (error < 0)
		fail(-error, "sending the hello");
	error = receive_all(fd, &report, sizeof(report));
	if (error < 0)
		fail(-error, "receiving the report");
	if (report.magic != HELLO_MAGIC || report.token != hello->token)
		fail(EBADMSG, "the report");
	return report;
}

int connect_with(const struct options *options, const struct hello *hello)
{
	int fd = socket_connect(options);

	socket_no_delay(fd);
	greet(fd, hello);
	return fd;
}

static struct report ask_server(const struct options *options)
{
	struct hello hello = {
		.magic = HELLO_MAGIC,
		.work = WORK_USAGE,
		.token = clock_ns(),
		.size = HELLO_SIZE,
	};
	int fd = socket_connect(options);
	struct report report = greet(fd, &hello);

	close(fd);
	return report;
}

void meter_start(struct meter *meter, const struct options *options)
{
	struct report report = ask_server(options);

	meter->server_pid = report.pid;
	meter->server_us = report.cpu_us;
	meter->client_us = cpu_us();
	meter->elapsed_ns = clock_ns();
}

void meter_stop(struct meter *meter, const struct options *options)
{
	meter->elapsed_ns = clock_ns() - meter->elapsed_ns;
	meter->client_us = cpu_us() - meter->client_us;
	meter->server_us = ask_server(options).cpu_us - meter->server_us;
}

void hold(const struct options *options)
{
	char byte;

	while (options->hold && read(STDIN_FILENO, &byte, 1) > 0)
		;
}
