/* SPDX-License-Identifier: MIT */
/* listening, accepting, connecting, and what is inherited on the way */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

static struct sockaddr_in local_address(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Some exchanges, and then bytes both ways. */
static void talk(const int ends[2])
{
	char in[10];

	pair_warm(ends);
	say_call("write", write(ends[0], "there", 5));
	say_call("read", read(ends[1], in, sizeof(in)));
	say_call("write", write(ends[1], "back", 4));
	say_call("read", read(ends[0], in, sizeof(in)));
}

static void accept_inherits_no_flags(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), ends[2];
	char in[10];

	set_nonblocking(listener, 1);
	fcntl(listener, F_SETFD, FD_CLOEXEC);
	say_call("nobody there", accept(listener, NULL, NULL));
	ends[0] = connect_local(port, 0);
	settle();
	ends[1] = accept(listener, NULL, NULL);
	say("flags %x %x", fcntl(ends[1], F_GETFL), fcntl(ends[1], F_GETFD));
	pair_warm(ends);
	send_later(ends[0], "later", 50);
	say_call("read waits", read(ends[1], in, sizeof(in)));
	send_later_join();
	pair_close(ends);
	ends[0] = connect_local(port, 0);
	settle();
	ends[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	say("flags %x %x", fcntl(ends[1], F_GETFL), fcntl(ends[1], F_GETFD));
	set_nonblocking(ends[1], 0);
	pair_warm(ends);
	set_nonblocking(ends[1], 1);
	say_call("read does not wait", read(ends[1], in, sizeof(in)));
	pair_close(ends);
	close(listener);
}

static void accept_inherits_options(void)
{
	struct linger linger = {1, 0};
	struct timeval time = {0, 150000};
	uint16_t port = 0;
	int listener = listen_local(&port), ends[2], on = 1, value = 0;
	socklen_t length = sizeof(value);
	char in[10];

	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	setsockopt(listener, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(listener, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ends[0] = connect_local(port, 0);
	ends[1] = accept(listener, NULL, NULL);
	getsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &value, &length);
	say("no delay %d", value != 0);
	getsockopt(ends[1], SOL_SOCKET, SO_KEEPALIVE, &value, &length);
	say("keep alive %d", value != 0);
	pair_warm(ends);
	say_call("read until the time is out", read(ends[1], in, sizeof(in)));
	say_call("send urgent", send(ends[0], "!", 1, MSG_OOB));
	settle();
	say_call("read in line", recv(ends[1], in, sizeof(in), MSG_DONTWAIT));
	close(ends[1]);
	settle();
	say_call("read after the reset", read(ends[0], in, sizeof(in)));
	close(ends[0]);
	close(listener);
}

static void accept_inherits_a_low_water_mark(void)
{
	struct pollfd wanted;
	uint16_t port = 0;
	int listener = listen_local(&port), ends[2], mark = 4;
	char in[10];

	setsockopt(listener, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark));
	ends[0] = connect_local(port, 0);
	ends[1] = accept(listener, NULL, NULL);
	wanted = (struct pollfd){ends[1], POLLIN, 0};
	say_call("write", write(ends[0], "abc", 3));
	settle();
	say_call("too few", poll(&wanted, 1, 20));
	say_call("write", write(ends[0], "d", 1));
	say_call("enough", poll(&wanted, 1, 1000));
	say_call("read", read(ends[1], in, sizeof(in)));
	pair_close(ends);
	close(listener);
}

static void accept_tells_who_it_is(void)
{
	struct sockaddr_in peer = {0}, own = {0};
	socklen_t length = sizeof(peer), short_length = 4;
	uint16_t port = 0;
	int listener = listen_local(&port), ends[2];

	ends[0] = connect_local(port, 0);
	ends[1] = accept(listener, (struct sockaddr *)&peer, &length);
	say("length %u", length);
	getsockname(ends[0], (struct sockaddr *)&own, &length);
	say("it is the client: %d", memcmp(&own, &peer, sizeof(own)) == 0);
	talk(ends);
	pair_close(ends);
	ends[0] = connect_local(port, 0);
	ends[1] = accept4(listener, (struct sockaddr *)&peer, &short_length, 0);
	say("length %u", short_length);
	talk(ends);
	pair_close(ends);
	close(listener);
}

static void errors_of_accept(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), plain = socket(AF_INET, SOCK_STREAM, 0), ends[2];
	socklen_t length = 16;
	char in[10];

	pair_open(ends);
	say_call("on a connection", accept(ends[0], NULL, NULL));
	say_call("on a new socket", accept(plain, NULL, NULL));
	say_call("on no socket", accept(temporary_file(1, 1), NULL, NULL));
	say_call("on nothing", accept(-1, NULL, NULL));
	say_call("odd flags", accept4(listener, NULL, NULL, 0x40));
	pair_close(ends);
	ends[0] = connect_local(port, 0);
	settle();
	say_call("bad address", accept(listener, no_access(), &length));
	settle();
	say_call("the client is told", recv(ends[0], in, sizeof(in), MSG_DONTWAIT));
	close(ends[0]);
	close(listener);
	close(plain);
}

static int pass_through(int listener)
{
	uint16_t port;
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	getsockname(listener, (struct sockaddr *)&address, &length);
	port = ntohs(address.sin_port);
	return connect_local(port, 0);
}

static void a_listener_that_defers_accept(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), seconds = 5, ends[2];
	struct pollfd wanted = {listener, POLLIN, 0};
	char in[10];

	say_call("defer",
		 setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)));
	ends[0] = pass_through(listener);
	say_call("connected, but silent", poll(&wanted, 1, 50));
	say_call("write", write(ends[0], "first", 5));
	say_call("now", poll(&wanted, 1, 2000));
	ends[1] = accept(listener, NULL, NULL);
	say_call("read", recv(ends[1], in, sizeof(in), MSG_DONTWAIT));
	talk(ends);
	pair_close(ends);
	close(listener);
}

static void a_listener_with_fast_open(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), queue = 5, ends[2], i;
	struct sockaddr_in address = local_address(port);
	char in[10];

	say_call("fast open",
		 setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)));
	for (i = 0; i < 2; i++) {
		ends[0] = socket(AF_INET, SOCK_STREAM, 0);
		say_call("sendto", sendto(ends[0], "hello", 5, MSG_FASTOPEN,
					  (struct sockaddr *)&address, sizeof(address)));
		ends[1] = accept(listener, NULL, NULL);
		say_call("read", read(ends[1], in, sizeof(in)));
		talk(ends);
		pair_close(ends);
	}
	close(listener);
}

static void fast_open_by_connect(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), queue = 5, on = 1, ends[2];
	struct sockaddr_in address = local_address(port);
	char in[10];

	setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	say_call("option", setsockopt(ends[0], IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)));
	say_call("connect", connect(ends[0], (struct sockaddr *)&address, sizeof(address)));
	say_call("write", write(ends[0], "hello", 5));
	ends[1] = accept(listener, NULL, NULL);
	say_call("read", read(ends[1], in, sizeof(in)));
	talk(ends);
	pair_close(ends);
	close(listener);
}

static void a_socket_is_connected_again(void)
{
	struct sockaddr nothing = {.sa_family = AF_UNSPEC};
	uint16_t port = 0;
	int listener = listen_local(&port), ends[2], again[2];
	struct sockaddr_in address = local_address(port);
	char in[10];

	pair_open(ends);
	say_call("write", write(ends[0], "lost", 4));
	say_call("disconnect", connect(ends[0], &nothing, sizeof(nothing)));
	settle();
	say_call("the first peer reads", read(ends[1], in, sizeof(in)));
	say_call("the first peer reads", read(ends[1], in, sizeof(in)));
	say_call("connect", connect(ends[0], (struct sockaddr *)&address, sizeof(address)));
	again[0] = ends[0];
	again[1] = accept(listener, NULL, NULL);
	talk(again);
	close(again[1]);
	say_call("end", read(again[0], in, sizeof(in)));
	pair_close(ends);
	close(listener);
}

static void a_connected_socket_becomes_a_listener(void)
{
	struct sockaddr nothing = {.sa_family = AF_UNSPEC};
	int ends[2], more[2];

	pair_open(ends);
	say_call("disconnect", connect(ends[0], &nothing, sizeof(nothing)));
	say_call("listen", listen(ends[0], 5));
	more[0] = pass_through(ends[0]);
	more[1] = accept(ends[0], NULL, NULL);
	talk(more);
	pair_close(more);
	pair_close(ends);
}

struct acceptor {
	int listener;
	int result;
	int error;
};

static void *accept_in_a_thread(void *argument)
{
	struct acceptor *acceptor = argument;

	acceptor->result = accept(acceptor->listener, NULL, NULL);
	acceptor->error = errno;
	return NULL;
}

static void shutdown_of_a_listener_wakes_accept(void)
{
	struct acceptor acceptor;
	uint16_t port = 0;
	pthread_t thread;
	int ends[2];

	acceptor.listener = listen_local(&port);
	pthread_create(&thread, NULL, accept_in_a_thread, &acceptor);
	settle();
	say_call("shutdown", shutdown(acceptor.listener, SHUT_RDWR));
	pthread_join(thread, NULL);
	errno = acceptor.error;
	say_call("accept", acceptor.result);
	say_call("listen again", listen(acceptor.listener, 5));
	ends[0] = pass_through(acceptor.listener);
	ends[1] = accept(acceptor.listener, NULL, NULL);
	talk(ends);
	pair_close(ends);
	close(acceptor.listener);
}

static void a_closed_listener_resets_who_waits(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), client = connect_local(port, 0), ends[2];
	char in[10];

	say_call("write", write(client, "hello", 5));
	close(listener);
	settle();
	say_call("read", read(client, in, sizeof(in)));
	close(client);
	pair_open(ends);
	pair_close(ends);
}

/* As servers do that fork first: who accepts is not who listens. */
static void children_that_accept(void)
{
	enum { CHILDREN = 2, CLIENTS = 10 };
	uint16_t port = 0;
	int listener = listen_local(&port), i, j, fd, right = 0, status;
	pid_t pids[CHILDREN];
	char in[4];

	for (i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		for (;;) {
			fd = accept(listener, NULL, NULL);
			while (read_all(fd, in, 4) == 4)
				write_all(fd, in, 4);
			close(fd);
		}
	}
	for (i = 0; i < CLIENTS; i++) {
		fd = connect_local(port, 0);
		for (j = 0; j < 20; j++) {
			write_all(fd, "word", 4);
			right += read_all(fd, in, 4) == 4 && memcmp(in, "word", 4) == 0;
			sleep_us(300);
		}
		close(fd);
	}
	say("right answers %d", right);
	for (i = 0; i < CHILDREN; i++) {
		kill(pids[i], SIGTERM);
		waitpid(pids[i], &status, 0);
	}
	close(listener);
}

static void errors_of_connect_and_bind(void)
{
	struct sockaddr_in address = local_address(0), foreign = address;
	int ends[2], fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(address);

	pair_open(ends);
	say_call("bind", bind(fd, (struct sockaddr *)&address, length));
	say_call("bind again", bind(fd, (struct sockaddr *)&address, length));
	getsockname(fd, (struct sockaddr *)&address, &length);
	say_call("listen", listen(fd, 1));
	say_call("address in use", bind(other, (struct sockaddr *)&address, length));
	foreign.sin_addr.s_addr = htonl(0xc0000201);
	say_call("foreign address", bind(other, (struct sockaddr *)&foreign, length));
	say_call("bind a connection", bind(ends[0], (struct sockaddr *)&address, length));
	say_call("bad address", connect(other, no_access(), length));
	say_call("short address", connect(other, (struct sockaddr *)&address, 4));
	address.sin_family = AF_INET6;
	say_call("wrong family", connect(other, (struct sockaddr *)&address, length));
	say_call("connect a listener", connect(fd, (struct sockaddr *)&address, length));
	say_call("no socket", connect(temporary_file(1, 1), (struct sockaddr *)&address, length));
	say_call("no peer", getpeername(other, (struct sockaddr *)&address, &length));
	say_call("odd domain", socket(77, SOCK_STREAM, 0));
	say_call("odd protocol", socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	close(fd);
	close(other);
	pair_close(ends);
}

static void calls_on_an_unconnected_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), file = temporary_file(1, 10), ends[2];
	struct pollfd wanted = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
	char in[10];

	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	say_call("read", read(fd, in, 10));
	say_call("recv", recv(fd, in, 10, MSG_PEEK));
	say_call("write", write(fd, "x", 1));
	say_call("send", send(fd, "x", 1, MSG_NOSIGNAL));
	say_call("sendfile", sendfile(fd, file, NULL, 10));
	say_call("shutdown", shutdown(fd, SHUT_WR));
	say_call("poll", poll(&wanted, 1, 0));
	say_poll("  events", (unsigned int)wanted.revents);
	pair_close(ends);
	close(fd);
	close(file);
}

static void other_sockets_are_left_alone(void)
{
	int ends[2], pair[2], udp = socket(AF_INET, SOCK_DGRAM, 0), fd;
	struct sockaddr_in address = local_address(0);
	socklen_t length = sizeof(address);
	char in[10];

	pair_open(ends);
	say_call("internet pair", socketpair(AF_INET, SOCK_STREAM, 0, pair));
	say_call("local pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	say_call("write", write(pair[0], "abc", 3));
	say_call("read", read(pair[1], in, sizeof(in)));
	close(pair[0]);
	say_call("read", read(pair[1], in, sizeof(in)));
	bind(udp, (struct sockaddr *)&address, length);
	getsockname(udp, (struct sockaddr *)&address, &length);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	say_call("connect", connect(fd, (struct sockaddr *)&address, length));
	say_call("send", send(fd, "datagram", 8, 0));
	say_call("recv", recv(udp, in, 4, MSG_TRUNC));
	say_call("recv", recv(udp, in, 4, MSG_DONTWAIT));
	close(fd);
	close(udp);
	close(pair[1]);
	pair_close(ends);
}

const struct behaviour same_socket[] = {
	{"accept_inherits_no_flags", accept_inherits_no_flags},
	{"accept_inherits_options", accept_inherits_options},
	{"accept_inherits_a_low_water_mark", accept_inherits_a_low_water_mark},
	{"accept_tells_who_it_is", accept_tells_who_it_is},
	{"errors_of_accept", errors_of_accept},
	{"a_listener_that_defers_accept", a_listener_that_defers_accept},
	{"a_listener_with_fast_open", a_listener_with_fast_open},
	{"fast_open_by_connect", fast_open_by_connect},
	{"a_socket_is_connected_again", a_socket_is_connected_again},
	{"a_connected_socket_becomes_a_listener", a_connected_socket_becomes_a_listener},
	{"shutdown_of_a_listener_wakes_accept", shutdown_of_a_listener_wakes_accept},
	{"a_closed_listener_resets_who_waits", a_closed_listener_resets_who_waits},
	{"children_that_accept", children_that_accept},
	{"errors_of_connect_and_bind", errors_of_connect_and_bind},
	{"calls_on_an_unconnected_socket", calls_on_an_unconnected_socket},
	{"other_sockets_are_left_alone", other_sockets_are_left_alone},
	{NULL, NULL},
};
