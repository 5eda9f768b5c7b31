/* SPDX-License-Identifier: MIT */
/* connections that end by "ss --kill", by a reset or by silence, while threads are inside calls */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

/* What names a socket to the kernel. */
static struct inet_diag_sockid id_of(int fd)
{
	struct sockaddr_in local, peer;
	socklen_t local_length = sizeof(local), peer_length = sizeof(peer);
	struct inet_diag_sockid id = {0};
	uint64_t cookie = 0;
	socklen_t cookie_length = sizeof(cookie);

	if (getsockname(fd, (struct sockaddr *)&local, &local_length) < 0 ||
	    getpeername(fd, (struct sockaddr *)&peer, &peer_length) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_length) < 0)
		die("its name");
	id.idiag_sport = local.sin_port;
	id.idiag_dport = peer.sin_port;
	id.idiag_src[0] = local.sin_addr.s_addr;
	id.idiag_dst[0] = peer.sin_addr.s_addr;
	id.idiag_cookie[0] = (uint32_t)cookie;
	id.idiag_cookie[1] = (uint32_t)(cookie >> 32);
	return id;
}

/* 0 or an errno */
static int destroy(int fd)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 wanted;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = SOCK_DESTROY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.wanted = {.sdiag_family = AF_INET,
			   .sdiag_protocol = IPPROTO_TCP,
			   .idiag_states = ~0U,
			   .id = id_of(fd)},
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[512];
	} answer = {0};
	int line = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (send(line, &request, sizeof(request), 0) < 0 ||
	    recv(line, &answer, sizeof(answer), 0) < 0)
		die("sock_diag");
	close(line);
	return -answer.error.error;
}

static int fd_inside;

static void in_read(void)
{
	char in[10];

	say_call("read", read(fd_inside, in, sizeof(in)));
}

static void in_recv_of_all(void)
{
	char in[10];

	say_call("recv", recv(fd_inside, in, sizeof(in), MSG_WAITALL));
}

static void in_write(void)
{
	say_call("write", write(fd_inside, "x", 1));
}

static void in_a_long_write(void)
{
	ssize_t n = write(fd_inside, same_block, sizeof(same_block));

	say("some went: %d", n > 0 && n < (ssize_t)sizeof(same_block));
}

static void poll_for(short events)
{
	struct pollfd wanted = {fd_inside, events, 0};

	say_call("poll", poll(&wanted, 1, -1));
	say_poll("  events", (unsigned int)wanted.revents);
}

static void in_poll(void)
{
	poll_for(POLLIN);
}

static void in_poll_for_room(void)
{
	poll_for(POLLOUT);
}

static void in_poll_for_the_end(void)
{
	poll_for(POLLRDHUP);
}

static void in_select(void)
{
	fd_set reads;

	FD_ZERO(&reads);
	FD_SET(fd_inside, &reads);
	say_call("select", select(fd_inside + 1, &reads, NULL, NULL, NULL));
}

static void epoll_for(uint32_t events)
{
	struct epoll_event event = {events, {0}};
	int epoll = epoll_create1(0);

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd_inside, &event);
	say_call("epoll_wait", epoll_wait(epoll, &event, 1, -1));
	say_poll("  events", event.events);
	close(epoll);
}

static void in_epoll_wait(void)
{
	epoll_for(EPOLLIN);
}

static void in_epoll_wait_for_an_edge(void)
{
	epoll_for(EPOLLIN | EPOLLRDHUP | EPOLLET);
}

static void *run_inside(void *call)
{
	(*(void (**)(void))call)();
	return NULL;
}

static void ignore(int number)
{
	(void)number;
}

/* Of the program's handlers some restart what they interrupt, and some do not. */
static void install_handlers(void)
{
	const struct sigaction restarts = {.sa_handler = ignore, .sa_flags = SA_RESTART},
			       interrupts = {.sa_handler = ignore};

	sigaction(SIGUSR1, &restarts, NULL);
	sigaction(SIGUSR2, &interrupts, NULL);
}

/* Nothing comes through from this to the other: what was sent, or the first probe, is the last. */
static void silence(const int ends[2])
{
	const int one = 1, nobody = 255, milliseconds = 1000;

	setsockopt(ends[0], IPPROTO_IP, IP_MINTTL, &nobody, sizeof(nobody));
	setsockopt(ends[1], IPPROTO_TCP, TCP_KEEPIDLE, &one, sizeof(one));
	setsockopt(ends[1], IPPROTO_TCP, TCP_KEEPINTVL, &one, sizeof(one));
	setsockopt(ends[1], IPPROTO_TCP, TCP_KEEPCNT, &one, sizeof(one));
	setsockopt(ends[1], IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds));
	say_call("keepalive", setsockopt(ends[1], SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)));
}

enum end { DESTROYED, RESET, TIMED_OUT };

/* A thread is @inside a call on one end; that end is destroyed, or the other, which resets this. */
static void ends_in(void (*inside)(void), int full, enum end end)
{
	pthread_t thread;
	int ends[2], error = 0;

	install_handlers();
	signal(SIGPIPE, SIG_IGN);
	pair_open(ends);
	fd_inside = ends[1];
	if (full)
		fill(ends[1]);
	pthread_create(&thread, NULL, run_inside, &inside);
	let_block();
	if (end == TIMED_OUT)
		silence(ends);
	else
		error = destroy(ends[end == RESET ? 0 : 1]);
	pthread_join(thread, NULL);
	say("destroyed: %s", strerrorname_np(error));
	in_read();
	in_read();
	in_write();
	in_poll();
	pair_close(ends);
}

static void destroyed_in_read(void)
{
	ends_in(in_read, 0, DESTROYED);
}

static void reset_in_read(void)
{
	ends_in(in_read, 0, RESET);
}

static void reset_in_recv_of_all(void)
{
	ends_in(in_recv_of_all, 0, RESET);
}

static void destroyed_in_write(void)
{
	ends_in(in_write, 1, DESTROYED);
}

/* The error is left to the next call. */
static void destroyed_in_a_long_write(void)
{
	ends_in(in_a_long_write, 0, DESTROYED);
}

static void destroyed_in_poll_with_unsent_bytes(void)
{
	ends_in(in_poll, 1, DESTROYED);
}

static void reset_in_write(void)
{
	ends_in(in_write, 1, RESET);
}

static void destroyed_in_poll(void)
{
	ends_in(in_poll, 0, DESTROYED);
}

static void reset_in_poll_for_room(void)
{
	ends_in(in_poll_for_room, 1, RESET);
}

static void reset_in_poll_for_the_end(void)
{
	ends_in(in_poll_for_the_end, 0, RESET);
}

static void reset_in_select(void)
{
	ends_in(in_select, 0, RESET);
}

static void destroyed_in_epoll_wait(void)
{
	ends_in(in_epoll_wait, 0, DESTROYED);
}

static void reset_in_epoll_wait_for_an_edge(void)
{
	ends_in(in_epoll_wait_for_an_edge, 0, RESET);
}

static void timed_out_in_read(void)
{
	ends_in(in_read, 0, TIMED_OUT);
}

static void timed_out_in_write(void)
{
	ends_in(in_write, 1, TIMED_OUT);
}

static void timed_out_in_poll(void)
{
	ends_in(in_poll, 0, TIMED_OUT);
}

static void timed_out_in_epoll_wait(void)
{
	ends_in(in_epoll_wait, 0, TIMED_OUT);
}

const struct behaviour same_destroyed[] = {
	{"timed_out_in_read", timed_out_in_read},
	{"timed_out_in_write", timed_out_in_write},
	{"timed_out_in_poll", timed_out_in_poll},
	{"timed_out_in_epoll_wait", timed_out_in_epoll_wait},
	{"destroyed_in_read", destroyed_in_read},
	{"reset_in_read", reset_in_read},
	{"reset_in_recv_of_all", reset_in_recv_of_all},
	{"destroyed_in_write", destroyed_in_write},
	{"destroyed_in_a_long_write", destroyed_in_a_long_write},
	{"destroyed_in_poll_with_unsent_bytes", destroyed_in_poll_with_unsent_bytes},
	{"reset_in_write", reset_in_write},
	{"destroyed_in_poll", destroyed_in_poll},
	{"reset_in_poll_for_room", reset_in_poll_for_room},
	{"reset_in_poll_for_the_end", reset_in_poll_for_the_end},
	{"reset_in_select", reset_in_select},
	{"destroyed_in_epoll_wait", destroyed_in_epoll_wait},
	{"reset_in_epoll_wait_for_an_edge", reset_in_epoll_wait_for_an_edge},
	{NULL, NULL},
};
