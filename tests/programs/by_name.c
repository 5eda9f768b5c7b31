/* SPDX-License-Identifier: MIT */
/*
 * by_name - a program written for SMC: sockets of family AF_SMC or protocol IPPROTO_SMC, or plain ones
 *
 *   by_name serve NAME         print a port, answer one client, and say what the socket is
 *   by_name connect NAME PORT  100 words there and back
 *   by_name refuse             what no name can have
 *
 * NAME: smc, smc6, ipproto, ipproto6, tcp or tcp6
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define AF_SMC_NUMBER 43
#define IPPROTO_SMC_NUMBER 256
#define SOL_SMC_NUMBER 286
#define SMC_LIMIT_HS_NUMBER 1

static const struct name {
	const char *text;
	int domain;
	int protocol;
	int family;
} names[] = {
	{"smc", AF_SMC_NUMBER, 0, AF_INET},
	{"smc6", AF_SMC_NUMBER, 1, AF_INET6},
	{"ipproto", AF_INET, IPPROTO_SMC_NUMBER, AF_INET},
	{"ipproto6", AF_INET6, IPPROTO_SMC_NUMBER, AF_INET6},
	{"tcp", AF_INET, 0, AF_INET},
	{"tcp6", AF_INET6, 0, AF_INET6},
};

static const struct name *name_find(const char *text)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].text, text) == 0)
			return &names[i];
	die("no such name: %s", text);
}

static int number_of(int fd, int level, int option)
{
	int number = -1;
	socklen_t length = sizeof(number);

	return getsockopt(fd, level, option, &number, &length) < 0 ? -errno : number;
}

static int family_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		die("getsockname");
	return address.ss_family;
}

static void describe(const char *what, int fd)
{
	printf("%s: domain %d type %d protocol %d address %d\n", what,
	       number_of(fd, SOL_SOCKET, SO_DOMAIN), number_of(fd, SOL_SOCKET, SO_TYPE),
	       number_of(fd, SOL_SOCKET, SO_PROTOCOL), family_of(fd));
}

static void set_limit(int fd)
{
	int one = 1;

	if (setsockopt(fd, SOL_SMC_NUMBER, SMC_LIMIT_HS_NUMBER, &one, sizeof(one)) < 0)
		printf("limit: %s\n", strerrorname_np(errno));
	else
		printf("limit %d\n", number_of(fd, SOL_SMC_NUMBER, SMC_LIMIT_HS_NUMBER));
	if (setsockopt(fd, SOL_SMC_NUMBER, 99, &one, sizeof(one)) < 0)
		printf("other: %s\n", strerrorname_np(errno));
}

static socklen_t loopback(const struct name *name, uint16_t port, struct sockaddr_storage *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	memset(address, 0, sizeof(*address));
	if (name->family == AF_INET6)
		memcpy(address, &in6, sizeof(in6));
	else
		memcpy(address, &in, sizeof(in));
	return name->family == AF_INET6 ? sizeof(in6) : sizeof(in);
}

static int make(const struct name *name)
{
	int fd = socket(name->domain, SOCK_STREAM | SOCK_CLOEXEC, name->protocol);

	if (fd < 0)
		die("socket");
	return fd;
}

static void serve(const struct name *name)
{
	int listener = make(name), fd, rounds = 0;
	struct sockaddr_storage address;
	socklen_t length = loopback(name, 0, &address);
	char word[4];

	if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 5) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		die("listen");
	printf("port %d\n",
	       ntohs(name->family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
					      : ((struct sockaddr_in *)&address)->sin_port));
	fflush(stdout);
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		die("accept");
	while (read_all(fd, word, 4) == 4 && ++rounds)
		write_all(fd, word, 4);
	describe("listener", listener);
	describe("accepted", fd);
	set_limit(listener);
	printf("rounds %d\n", rounds);
}

static void connect_to(const struct name *name, uint16_t port)
{
	int fd = make(name), rounds = 0;
	struct sockaddr_storage address;
	socklen_t length = loopback(name, port, &address);
	char word[4];

	set_limit(fd);
	if (connect(fd, (struct sockaddr *)&address, length) < 0)
		die("connect");
	for (; rounds < 100; rounds++) {
		write_all(fd, "word", 4);
		if (read_all(fd, word, 4) != 4 || memcmp(word, "word", 4) != 0)
			break;
		sleep_us(500);
	}
	describe("connected", dup(fd));
	printf("rounds %d\n", rounds);
}

static void refuse(void)
{
	const int odd[][3] = {{AF_SMC_NUMBER, SOCK_DGRAM, 0},
			      {AF_SMC_NUMBER, SOCK_STREAM, 2},
			      {AF_INET, SOCK_DGRAM, IPPROTO_SMC_NUMBER},
			      {AF_UNIX, SOCK_STREAM, IPPROTO_SMC_NUMBER}};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		printf("%s\n", socket(odd[i][0], odd[i][1], odd[i][2]) < 0 ? strerrorname_np(errno)
									   : "a socket");
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(name_find(argv[2]));
	else if (argc == 4 && strcmp(argv[1], "connect") == 0)
		connect_to(name_find(argv[2]), (uint16_t)atoi(argv[3]));
	else if (argc == 2 && strcmp(argv[1], "refuse") == 0)
		refuse();
	else
		return 2;
	return 0;
}
