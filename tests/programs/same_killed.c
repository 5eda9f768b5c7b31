/* SPDX-License-Identifier: MIT */
/* a peer in another process that is killed while this end is inside a call */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

static pid_t peer_pid;

static void kill_peer(void)
{
	kill(peer_pid, SIGKILL);
}

/* A connection to a process of its own, which reads nothing after the warm-up and is killed soon. */
static int doomed_peer(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), fd;

	signal(SIGPIPE, SIG_IGN);
	peer_pid = fork();
	if (peer_pid == 0) {
		close(listener);
		pair_warm_one(connect_local(port, 0), 1);
		for (;;)
			pause();
	}
	fd = accept(listener, NULL, NULL);
	close(listener);
	pair_warm_one(fd, 0);
	return fd;
}

/* From now on the process has a tenth of a second, and the call that follows is in the middle. */
static void doom(void)
{
	run_later(kill_peer, 100);
}

static void say_the_end(int fd)
{
	struct pollfd wanted = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
	char in[10];

	run_later_join();
	waitpid(peer_pid, NULL, 0);
	settle();
	say_call("poll", poll(&wanted, 1, 0));
	say_poll("  events", (unsigned int)wanted.revents);
	say_call("read", read(fd, in, sizeof(in)));
	say_call("read", read(fd, in, sizeof(in)));
	say_call("write", write(fd, "x", 1));
	settle();
	say_call("write", write(fd, "x", 1));
	close(fd);
}

static void a_peer_killed_in_read(void)
{
	int fd = doomed_peer();
	char in[10];

	doom();
	say_call("read", read(fd, in, sizeof(in)));
	say_the_end(fd);
}

static void a_peer_killed_with_unread_bytes(void)
{
	int fd = doomed_peer();
	char in[10];

	say_call("write", write(fd, "never read", 10));
	doom();
	say_call("read", read(fd, in, sizeof(in)));
	say_the_end(fd);
}

static void a_peer_killed_in_readv(void)
{
	int fd = doomed_peer();
	char in[10];
	struct iovec parts[2] = {{in, 3}, {in + 3, 7}};

	doom();
	say_call("readv", readv(fd, parts, 2));
	say_the_end(fd);
}

static void a_peer_killed_in_recvmsg(void)
{
	int fd = doomed_peer();
	char in[10];
	struct iovec part = {in, sizeof(in)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	doom();
	say_call("recvmsg", recvmsg(fd, &message, 0));
	say_the_end(fd);
}

static void a_peer_killed_in_peek(void)
{
	int fd = doomed_peer();
	char in[10];

	doom();
	say_call("recv", recv(fd, in, sizeof(in), MSG_PEEK));
	say_the_end(fd);
}

static void a_peer_killed_in_recv_of_all(void)
{
	int fd = doomed_peer();
	char in[10];

	doom();
	say_call("recv", recv(fd, in, sizeof(in), MSG_WAITALL));
	say_the_end(fd);
}

static void a_peer_killed_in_write(void)
{
	int fd = doomed_peer();

	fill(fd);
	doom();
	say_call("write", write(fd, "x", 1));
	say_the_end(fd);
}

static void a_peer_killed_in_sendmsg(void)
{
	int fd = doomed_peer();
	struct iovec parts[2] = {{(char[]){"a"}, 1}, {(char[]){"bc"}, 2}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	fill(fd);
	doom();
	say_call("sendmsg", sendmsg(fd, &message, 0));
	say_the_end(fd);
}

static void a_peer_killed_in_send(void)
{
	int fd = doomed_peer();

	fill(fd);
	doom();
	say_call("send", send(fd, "x", 1, MSG_NOSIGNAL));
	say_the_end(fd);
}

static void a_peer_killed_in_sendto(void)
{
	int fd = doomed_peer();

	fill(fd);
	doom();
	say_call("sendto", sendto(fd, "xyz", 3, 0, NULL, 0));
	say_the_end(fd);
}

static void a_peer_killed_in_writev(void)
{
	int fd = doomed_peer();
	struct iovec parts[2] = {{(char[]){"a"}, 1}, {(char[]){"bc"}, 2}};

	fill(fd);
	doom();
	say_call("writev", writev(fd, parts, 2));
	say_the_end(fd);
}

static void a_peer_killed_in_sendmmsg(void)
{
	int fd = doomed_peer();
	struct iovec part = {(char[]){"abc"}, 3};
	struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}},
				      {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}};

	fill(fd);
	doom();
	say_call("sendmmsg", sendmmsg(fd, messages, 2, 0));
	say_the_end(fd);
}

/* Some bytes have gone when it is killed: they are told of, and the error is the next call's. */
static void a_peer_killed_in_a_long_write(void)
{
	int fd = doomed_peer();
	ssize_t n;

	doom();
	n = write(fd, same_block, sizeof(same_block));
	say("some went: %d", n > 0 && n < (ssize_t)sizeof(same_block));
	say_the_end(fd);
}

static void a_peer_killed_in_recvfrom(void)
{
	int fd = doomed_peer();
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	char in[10];

	doom();
	say_call("recvfrom", recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &length));
	say_the_end(fd);
}

static void a_peer_killed_in_recvmmsg(void)
{
	int fd = doomed_peer();
	char in[10];
	struct iovec part = {in, sizeof(in)};
	struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}},
				      {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}};

	doom();
	say_call("recvmmsg", recvmmsg(fd, messages, 2, 0, NULL));
	say_the_end(fd);
}

static void a_peer_killed_in_splice_from_a_pipe(void)
{
	int fd = doomed_peer(), pipes[2];

	if (pipe(pipes) < 0)
		die("pipe");
	write_all(pipes[1], "abc", 3);
	fill(fd);
	doom();
	say_call("splice", splice(pipes[0], NULL, fd, NULL, 3, 0));
	say_the_end(fd);
	pair_close(pipes);
}

static void a_peer_killed_in_sendfile(void)
{
	int fd = doomed_peer(), file = temporary_file(1, 1000);

	fill(fd);
	doom();
	say_call("sendfile", sendfile(fd, file, NULL, 1000));
	say_the_end(fd);
	close(file);
}

static void a_peer_killed_in_splice(void)
{
	int fd = doomed_peer(), pipes[2];

	if (pipe(pipes) < 0)
		die("pipe");
	doom();
	say_call("splice", splice(fd, NULL, pipes[1], NULL, 100, 0));
	say_the_end(fd);
	close(pipes[0]);
	close(pipes[1]);
}

static void a_peer_killed_in_poll(void)
{
	int fd = doomed_peer();
	struct pollfd wanted = {fd, POLLIN | POLLRDHUP, 0};

	doom();
	say_call("poll", poll(&wanted, 1, 5000));
	say_poll("  events", (unsigned int)wanted.revents);
	say_the_end(fd);
}

static void a_peer_killed_in_poll_for_room(void)
{
	int fd = doomed_peer();
	struct pollfd wanted = {fd, POLLOUT, 0};

	fill(fd);
	doom();
	say_call("poll", poll(&wanted, 1, 5000));
	say_poll("  events", (unsigned int)wanted.revents);
	say_the_end(fd);
}

static void a_peer_killed_in_select(void)
{
	int fd = doomed_peer();
	struct timeval time = {5, 0};
	fd_set reads, others;

	FD_ZERO(&reads);
	FD_ZERO(&others);
	FD_SET(fd, &reads);
	FD_SET(fd, &others);
	doom();
	say_call("select", select(fd + 1, &reads, NULL, &others, &time));
	say("readable %d, exception %d", !!FD_ISSET(fd, &reads), !!FD_ISSET(fd, &others));
	say_the_end(fd);
}

static void a_peer_killed_in_ppoll(void)
{
	int fd = doomed_peer();
	const struct timespec time = {5, 0};
	struct pollfd wanted = {fd, POLLIN | POLLRDHUP, 0};
	sigset_t none;

	sigemptyset(&none);
	doom();
	say_call("ppoll", ppoll(&wanted, 1, &time, &none));
	say_poll("  events", (unsigned int)wanted.revents);
	say_the_end(fd);
}

static void a_peer_killed_in_pselect(void)
{
	int fd = doomed_peer();
	const struct timespec time = {5, 0};
	fd_set writes;
	sigset_t none;

	FD_ZERO(&writes);
	FD_SET(fd, &writes);
	sigemptyset(&none);
	fill(fd);
	doom();
	say_call("pselect", pselect(fd + 1, NULL, &writes, NULL, &time, &none));
	say("writable %d", !!FD_ISSET(fd, &writes));
	say_the_end(fd);
}

static void a_peer_killed_in_epoll_pwait(void)
{
	int fd = doomed_peer(), epoll = epoll_create1(0);
	struct epoll_event event = {EPOLLIN | EPOLLRDHUP, {0}};
	sigset_t none;

	sigemptyset(&none);
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	doom();
	say_call("epoll_pwait", epoll_pwait(epoll, &event, 1, 5000, &none));
	say_poll("  events", event.events);
	say_the_end(fd);
	close(epoll);
}

static void a_peer_killed_in_epoll_pwait2(void)
{
	int fd = doomed_peer(), epoll = epoll_create1(0);
	const struct timespec time = {5, 0};
	struct epoll_event event = {EPOLLOUT, {0}};

	fill(fd);
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	doom();
	say_call("epoll_pwait2", epoll_pwait2(epoll, &event, 1, &time, NULL));
	say_poll("  events", event.events);
	say_the_end(fd);
	close(epoll);
}

/* Who is alive might never read what it waits for: it would hang here. */
static void a_peer_killed_in_a_lingering_close(void)
{
	const struct linger linger = {1, 60};
	int fd = doomed_peer();

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	fill(fd);
	doom();
	say_call("close", close(fd));
	run_later_join();
	waitpid(peer_pid, NULL, 0);
	say_call("close", close(fd));
}

static void wait_for_the_kill(uint32_t events)
{
	int fd = doomed_peer(), epoll = epoll_create1(0);
	struct epoll_event event = {events, {0}};

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	if (events & EPOLLOUT) /* the edge that it begins with */
		epoll_wait(epoll, &event, 1, 0);
	doom();
	say_call("epoll_wait", epoll_wait(epoll, &event, 1, 5000));
	say_poll("  events", event.events);
	say_the_end(fd);
	close(epoll);
}

static void a_peer_killed_in_epoll_wait(void)
{
	wait_for_the_kill(EPOLLIN);
}

static void a_peer_killed_in_epoll_wait_for_an_edge(void)
{
	wait_for_the_kill(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

const struct behaviour same_killed[] = {
	{"a_peer_killed_in_read", a_peer_killed_in_read},
	{"a_peer_killed_with_unread_bytes", a_peer_killed_with_unread_bytes},
	{"a_peer_killed_in_readv", a_peer_killed_in_readv},
	{"a_peer_killed_in_recvmsg", a_peer_killed_in_recvmsg},
	{"a_peer_killed_in_peek", a_peer_killed_in_peek},
	{"a_peer_killed_in_recv_of_all", a_peer_killed_in_recv_of_all},
	{"a_peer_killed_in_write", a_peer_killed_in_write},
	{"a_peer_killed_in_sendmsg", a_peer_killed_in_sendmsg},
	{"a_peer_killed_in_send", a_peer_killed_in_send},
	{"a_peer_killed_in_sendto", a_peer_killed_in_sendto},
	{"a_peer_killed_in_writev", a_peer_killed_in_writev},
	{"a_peer_killed_in_sendmmsg", a_peer_killed_in_sendmmsg},
	{"a_peer_killed_in_a_long_write", a_peer_killed_in_a_long_write},
	{"a_peer_killed_in_recvfrom", a_peer_killed_in_recvfrom},
	{"a_peer_killed_in_recvmmsg", a_peer_killed_in_recvmmsg},
	{"a_peer_killed_in_splice_from_a_pipe", a_peer_killed_in_splice_from_a_pipe},
	{"a_peer_killed_in_ppoll", a_peer_killed_in_ppoll},
	{"a_peer_killed_in_pselect", a_peer_killed_in_pselect},
	{"a_peer_killed_in_epoll_pwait", a_peer_killed_in_epoll_pwait},
	{"a_peer_killed_in_epoll_pwait2", a_peer_killed_in_epoll_pwait2},
	{"a_peer_killed_in_a_lingering_close", a_peer_killed_in_a_lingering_close},
	{"a_peer_killed_in_sendfile", a_peer_killed_in_sendfile},
	{"a_peer_killed_in_splice", a_peer_killed_in_splice},
	{"a_peer_killed_in_poll", a_peer_killed_in_poll},
	{"a_peer_killed_in_poll_for_room", a_peer_killed_in_poll_for_room},
	{"a_peer_killed_in_select", a_peer_killed_in_select},
	{"a_peer_killed_in_epoll_wait", a_peer_killed_in_epoll_wait},
	{"a_peer_killed_in_epoll_wait_for_an_edge", a_peer_killed_in_epoll_wait_for_an_edge},
	{NULL, NULL},
};
