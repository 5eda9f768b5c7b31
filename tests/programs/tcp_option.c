/* SPDX-License-Identifier: MIT */
/*
 * tcp_option - what the kernel side of the TCP option knows of the two ends of a connection
 *
 *   tcp_option CLIENT SERVER [--ipv6] [--verdict] [--withdraw] [--again | --beside] [--pause]
 *
 * CLIENT, SERVER: what the end asks for before connect or listen: "none", "trace" or "offer".  Prints
 * a line an end, and whether their sequence numbers are each other's.  With --verdict: only what the ends are
 * told, before and after they are connected.  With --withdraw the listener's wishes are 0 before the connect; with
 * --again it is closed then, and a new one listens at its port; with --beside another one does (SO_REUSEPORT) while it is
 * still there.  With --pause it says "listening" and waits for a line of input before anything else happens.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/tcp_option.h"
#include "common.h"

static void ask(int fd, const char *what)
{
	unsigned int wishes = strcmp(what, "offer") == 0   ? TCP_OPTION_TRACE | TCP_OPTION_OFFER
			      : strcmp(what, "trace") == 0 ? TCP_OPTION_TRACE
							   : 0;

	if (wishes && setsockopt(fd, TCP_OPTION_LEVEL, TCP_OPTION_ASK, &wishes, sizeof(wishes)) < 0)
		printf("ask: %s\n", strerrorname_np(errno));
}

static const char *verdict(int fd)
{
	const int any = 0;

	return setsockopt(fd, TCP_OPTION_LEVEL, TCP_OPTION_VERDICT, &any, sizeof(any)) < 0
		       ? strerrorname_np(errno)
		       : "TCP";
}

/* The newest: that of a daemon that was killed may be there for a while. */
static int find_map(void)
{
	int newest = -1;
	__u32 id = 0;

	while (bpf_map_get_next_id(id, &id) == 0) {
		struct bpf_map_info info = {0};
		__u32 length = sizeof(info);
		int map = bpf_map_get_fd_by_id(id), other = map;

		if (map >= 0 && bpf_obj_get_info_by_fd(map, &info, &length) == 0 &&
		    strcmp(info.name, TCP_OPTION_MAP) == 0) {
			other = newest;
			newest = map;
		}
		if (other >= 0)
			close(other);
	}
	return newest;
}

static struct tcp_option_state say(const char *who, int fd)
{
	struct tcp_option_state state = {0};

	(void)bpf_map_lookup_elem(find_map(), &fd, &state);
	printf("%s:%s%s%s%s%s\n", who, state.flags & TCP_OPTION_TRACE ? " traced" : "",
	       state.flags & TCP_OPTION_OFFER ? " offers" : "",
	       state.flags & TCP_OPTION_ESTABLISHED ? " established" : "",
	       state.flags & TCP_OPTION_ACTIVE ? " active" : "",
	       state.flags & TCP_OPTION_AGREED ? " agreed" : "");
	return state;
}

static socklen_t loopback(int family, struct sockaddr_storage *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	address->ss_family = (sa_family_t)family;
	if (family == AF_INET)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		in6->sin6_addr = in6addr_loopback;
	return family == AF_INET ? sizeof(*in) : sizeof(*in6);
}

static void listen_at(int listener, const char *what, struct sockaddr_storage *address,
		      socklen_t *length)
{
	const int on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	ask(listener, what);
	if (bind(listener, (struct sockaddr *)address, *length) < 0 || listen(listener, 5) < 0 ||
	    getsockname(listener, (struct sockaddr *)address, length) < 0)
		die("listen");
}

/* The one of both that the kernel has chosen. */
static int accept_either(int one, int other)
{
	struct pollfd both[2] = {{.fd = one, .events = POLLIN}, {.fd = other, .events = POLLIN}};

	if (poll(both, 2, 10000) <= 0)
		die("accept");
	return accept(both[0].revents ? one : other, NULL, NULL);
}

int main(int argc, char **argv)
{
	const int family = option_given(argc, argv, "ipv6") ? AF_INET6 : AF_INET;
	int listener = socket(family, SOCK_STREAM, 0), client = socket(family, SOCK_STREAM, 0);
	struct tcp_option_state ends[2];
	struct sockaddr_storage address;
	socklen_t length = loopback(family, &address);
	int server, second = -1;
	char line[8];

	if (argc < 3)
		die("usage: tcp_option CLIENT SERVER [--ipv6]");
	listen_at(listener, argv[2], &address, &length);
	if (option_given(argc, argv, "pause")) {
		puts("listening");
		fflush(stdout);
		(void)!fgets(line, sizeof(line), stdin);
	}
	ask(client, argv[1]);
	if (option_given(argc, argv, "withdraw"))
		(void)setsockopt(listener, TCP_OPTION_LEVEL, TCP_OPTION_ASK, &(int){0},
				 sizeof(int));
	if (option_given(argc, argv, "again")) {
		close(listener);
		listener = socket(family, SOCK_STREAM, 0);
		listen_at(listener, argv[2], &address, &length);
	}
	if (option_given(argc, argv, "beside")) {
		second = socket(family, SOCK_STREAM, 0);
		listen_at(second, argv[2], &address, &length);
	}
	if (option_given(argc, argv, "verdict"))
		printf("before: %s\n", verdict(client));
	if (connect(client, (struct sockaddr *)&address, length) < 0)
		die("connect");
	server = accept_either(listener, second);
	if (server < 0)
		die("accept");
	if (option_given(argc, argv, "verdict")) {
		printf("client: %s\nserver: %s\n", verdict(client), verdict(server));
		return 0;
	}
	ends[0] = say("client", client);
	ends[1] = say("server", server);
	if (ends[0].sent && ends[1].sent)
		printf("numbers %s\n",
		       ends[0].sent == ends[1].received && ends[0].received == ends[1].sent
			       ? "match"
			       : "differ");
	return 0;
}
