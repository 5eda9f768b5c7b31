/* SPDX-License-Identifier: MIT */
#include "daemon/remote_tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/apps.h"
#include "daemon/remote_state.h"

/* Did the peer, or who has the socket, end it; or has nothing come through for long? */
static bool is_reset(int error)
{
	return error == 0 || error == ECONNRESET || error == EPIPE || error == ECONNABORTED ||
	       error == ENOTCONN;
}

static void lost(struct remote *remote, int error)
{
	if (remote->phase == REMOTE_SMC && !is_reset(error))
		remote->tcp.timed_out = true;
	else if (!remote->tcp.timed_out)
		remote->tcp.failed = true;
}

/* Nobody else asks for it in SMC-R: the application asks the stand-in. */
static int take_error(const struct remote *remote)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (remote->phase == REMOTE_SMC)
		(void)getsockopt(remote->tcp.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return error;
}

static void on_tcp(void *context, uint32_t events)
{
	struct remote *remote = context;
	struct remote_tcp *tcp = &remote->tcp;

	if (events & (EPOLLIN | EPOLLRDHUP))
		tcp->look = tcp->edge = true;
	if (events & EPOLLRDHUP)
		tcp->ended = true;
	if (events & EPOLLOUT)
		tcp->blocked = false;
	/* Both streams ended is no reset, and neither is an error while TCP goes on. */
	if (events & EPOLLHUP &&
	    (!tcp->shut || (events & EPOLLERR && remote->phase != REMOTE_RELAY)))
		lost(remote, take_error(remote));
	remote_activate(remote);
}

/* Disconnecting it sends RST, and whoever else holds the socket finds it reset as well. */
static int reset(int fd)
{
	static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	return connect(fd, &nowhere, sizeof(nowhere)) < 0 ? shutdown(fd, SHUT_RDWR) : 0;
}

/* Set it, after what the application finds instead is noted. */
static int keep_alive(int fd, _Atomic uint32_t *noted)
{
	const int on = 1;
	int was = 0;
	socklen_t size = sizeof(was);
	uint32_t nothing = KEEP_ALIVE_AS_TCP;

	if (getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &was, &size) < 0)
		return -1;
	atomic_compare_exchange_strong(noted, &nothing, was ? KEEP_ALIVE_ON : KEEP_ALIVE_OFF);
	return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* Wherever it is made: touches nothing but what the call is about. */
static void run_call(struct call *call)
{
	struct remote_tcp *tcp = list_owner(call, struct remote_tcp, call);
	ssize_t n = 0;

	switch (tcp->operation) {
	case REMOTE_TCP_SENDING:
	case REMOTE_TCP_RELAYING:
		n = send(tcp->fd, tcp->from, tcp->length, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case REMOTE_TCP_RELAYING_URGENT:
		n = send(tcp->fd, tcp->from, tcp->length, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case REMOTE_TCP_PEEKING:
		n = recv(tcp->fd, tcp->in, tcp->length, MSG_PEEK | MSG_DONTWAIT);
		break;
	case REMOTE_TCP_TAKING:
		n = recv(tcp->fd, NULL, tcp->length, MSG_TRUNC | MSG_DONTWAIT);
		break;
	case REMOTE_TCP_SHUTTING:
		n = shutdown(tcp->fd, (int)tcp->length);
		break;
	case REMOTE_TCP_RESETTING:
		n = reset(tcp->fd);
		break;
	case REMOTE_TCP_KEEPING_ALIVE:
		n = keep_alive(tcp->fd, tcp->keep_alive);
		break;
	}
	tcp->result = n < 0 ? -errno : n;
}

static void forget_out(struct remote_tcp *tcp)
{
	free(tcp->out);
	tcp->out = NULL;
	tcp->out_length = tcp->out_sent = 0;
}

static void sent(struct remote_tcp *tcp, ssize_t n)
{
	if (n < 0)
		n = 0;
	if (tcp->operation != REMOTE_TCP_SENDING) {
		tcp->relayed += (size_t)n;
		return;
	}
	tcp->out_sent += (unsigned int)n;
	tcp->negotiated[0] += (uint64_t)n;
	if (tcp->out_sent == tcp->out_length)
		forget_out(tcp);
}

static void peeked(struct remote_tcp *tcp, ssize_t n)
{
	tcp->in_length = n > 0 ? (size_t)n : 0;
	if (n == 0)
		tcp->ended = tcp->at_end = true;
	if (n == 0 || n == -EAGAIN)
		tcp->look = tcp->edge;
}

static void call_done(struct call *call)
{
	struct remote *remote = list_owner(call, struct remote, tcp.call);
	struct remote_tcp *tcp = &remote->tcp;
	ssize_t n = tcp->result;

	tcp->busy = false;
	if (tcp->operation < REMOTE_TCP_TAKING && n < 0 && n != -EAGAIN && n != -EINTR) {
		tcp->error_taken = true;
		lost(remote, (int)-n);
	}
	switch (tcp->operation) {
	case REMOTE_TCP_SENDING:
	case REMOTE_TCP_RELAYING:
	case REMOTE_TCP_RELAYING_URGENT:
		if (n != -EAGAIN)
			tcp->blocked = false;
		sent(tcp, n);
		break;
	case REMOTE_TCP_PEEKING:
		peeked(tcp, n);
		break;
	case REMOTE_TCP_TAKING:
		tcp->negotiated[1] += n > 0 ? (uint64_t)n : 0;
		break;
	case REMOTE_TCP_RESETTING:
		tcp->failed = tcp->told = true;
		break;
	default:
		break;
	}
	if (tcp->operation == REMOTE_TCP_PEEKING && n == -EAGAIN)
		remote_look_later(remote);
	else
		remote_activate(remote);
}

static void begin(struct remote *remote, enum remote_tcp_operation operation, const uint8_t *from,
		  size_t length)
{
	struct remote_tcp *tcp = &remote->tcp;

	tcp->operation = operation;
	tcp->from = from;
	tcp->length = length;
	tcp->busy = true;
	caller_submit(&remote->apps->caller, &tcp->call);
}

void remote_tcp_open(struct remote *remote, int fd)
{
	struct remote_tcp *tcp = &remote->tcp;

	tcp->fd = fd;
	tcp->look = true;
	tcp->call = (struct call){.run = run_call, .done = call_done, .user = remote->user};
	tcp->watch.fd = -1;
}

int remote_tcp_watch(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;

	if (tcp->failed)
		return 0;
	tcp->watch = (struct loop_watch){tcp->fd, on_tcp, remote};
	return loop_watch_add(remote->apps->loop, &tcp->watch,
			      EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

void remote_tcp_keep_alive(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;

	if (tcp->kept_alive || tcp->busy || tcp->failed || tcp->timed_out || !remote->watched ||
	    remote->phase != REMOTE_SMC)
		return;
	tcp->kept_alive = true;
	tcp->keep_alive = &remote->send.shared->writer.keep_alive;
	begin(remote, REMOTE_TCP_KEEPING_ALIVE, NULL, 0);
}

void remote_tcp_close(struct remote *remote)
{
	loop_watch_remove(remote->apps->loop, &remote->tcp.watch);
	forget_out(&remote->tcp);
}

void remote_tcp_queue(struct remote *remote, const void *bytes, size_t length)
{
	struct remote_tcp *tcp = &remote->tcp;

	if (!tcp->out)
		tcp->out = malloc(REMOTE_TCP_OUT_MAX);
	if (!tcp->out || length > REMOTE_TCP_OUT_MAX - tcp->out_length) {
		tcp->failed = true; /* the peer would wait for it in vain */
		return;
	}
	memcpy(tcp->out + tcp->out_length, bytes, length);
	tcp->out_length += (unsigned int)length;
}

void remote_tcp_end(struct remote *remote, enum proto_action_type how)
{
	struct remote_tcp *tcp = &remote->tcp;

	tcp->shut = true;
	if (how == PROTO_TCP_RESET)
		tcp->reset_due = true;
	else
		tcp->due |= how == PROTO_TCP_SHUT_DOWN ? REMOTE_TCP_SHUT : REMOTE_TCP_SHUT_WRITE;
}

/* In both cases until the socket says that it takes more. */
static void send_some(struct remote *remote, enum remote_tcp_operation operation,
		      const uint8_t *from, size_t length)
{
	remote->tcp.blocked = true;
	begin(remote, operation, from, length);
}

static void reset_now(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;

	loop_watch_remove(remote->apps->loop, &tcp->watch);
	forget_out(tcp);
	tcp->due = 0;
	tcp->in_length = 0;
	tcp->reset_due = tcp->look = false;
	begin(remote, REMOTE_TCP_RESETTING, NULL, 0);
}

static bool is_to_be_shut(const struct remote_tcp *tcp)
{
	return !tcp->busy && !tcp->reset_due && tcp->due && (!tcp->out || tcp->failed);
}

void remote_tcp_finish(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;
	const int how = tcp->due & REMOTE_TCP_SHUT ? SHUT_RDWR : SHUT_WR;

	if (!is_to_be_shut(tcp))
		return;
	tcp->due = 0;
	begin(remote, REMOTE_TCP_SHUTTING, NULL, (size_t)how);
}

void remote_tcp_peek(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;

	tcp->edge = false;
	begin(remote, REMOTE_TCP_PEEKING, NULL, sizeof(tcp->in));
}

void remote_tcp_take(struct remote *remote, size_t length)
{
	remote->tcp.in_length = 0;
	begin(remote, REMOTE_TCP_TAKING, NULL, length);
}

/* What was seen, to the protocol, as far as it takes it: so many bytes. */
static size_t offer(struct remote *remote)
{
	const struct remote_tcp *tcp = &remote->tcp;
	size_t at = 0, taken = 1, wanted;

	while (taken && at < tcp->in_length && remote->connection &&
	       (wanted = connection_tcp_wanted(remote->connection))) {
		const size_t left = tcp->in_length - at;

		taken = connection_tcp_received(remote->connection, tcp->in + at,
						wanted < left ? wanted : left);
		at += taken;
	}
	return at;
}

static void hand_over(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;
	const size_t seen = tcp->in_length, taken = offer(remote);

	if (taken) {
		if (taken == seen && seen < sizeof(tcp->in))
			tcp->look = tcp->edge; /* that was all */
		remote_tcp_take(remote, taken);
		return;
	}
	tcp->in_length = 0;
	/* Until there is more of it.  (Without a connection it is the application's.) */
	tcp->look = tcp->edge || !remote->connection;
	if (remote->connection && tcp->ended && !tcp->edge)
		connection_tcp_ended(remote->connection);
}

/* What the protocol wants of the stream; false: nothing now. */
static bool receive(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;
	size_t wanted = remote->connection ? connection_tcp_wanted(remote->connection) : 0;

	if (!wanted || tcp->failed || tcp->timed_out)
		return false;
	if (tcp->in_length) {
		hand_over(remote);
	} else if (tcp->at_end && !tcp->told_end) {
		tcp->told_end = true;
		connection_tcp_ended(remote->connection);
	} else if (tcp->look) {
		remote_tcp_peek(remote);
	} else {
		return false;
	}
	return true;
}

static bool do_next(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;

	if (tcp->busy)
		return false;
	if (is_to_be_shut(tcp)) {
		remote_finish_later(remote);
		return false;
	}
	if (tcp->reset_due)
		reset_now(remote);
	else if (tcp->out && !tcp->blocked && !tcp->failed)
		send_some(remote, REMOTE_TCP_SENDING, tcp->out + tcp->out_sent,
			  tcp->out_length - tcp->out_sent);
	else
		return receive(remote);
	return true;
}

void remote_tcp_work(struct remote *remote)
{
	struct remote_tcp *tcp = &remote->tcp;

	while (do_next(remote))
		;
	remote_tcp_keep_alive(remote);
	if (!(tcp->failed || tcp->timed_out) || tcp->told || !remote->connection)
		return;
	tcp->told = true;
	if (tcp->failed) {
		connection_tcp_reset(remote->connection);
	} else {
		loop_watch_remove(remote->apps->loop, &tcp->watch);
		connection_tcp_timed_out(remote->connection);
	}
	while (do_next(remote))
		;
}

bool remote_tcp_idle(const struct remote *remote)
{
	const struct remote_tcp *tcp = &remote->tcp;

	return !tcp->busy && !tcp->reset_due && (tcp->failed || (!tcp->out && !tcp->due));
}

bool remote_tcp_ready(const struct remote *remote)
{
	return remote_tcp_idle(remote) && !remote->tcp.failed && !remote->tcp.blocked;
}

void remote_tcp_relay(struct remote *remote, const uint8_t *bytes, size_t length, bool urgent)
{
	send_some(remote, urgent ? REMOTE_TCP_RELAYING_URGENT : REMOTE_TCP_RELAYING, bytes, length);
}

/**
 * struct lone_reset - of a socket that has no remote
 */
struct lone_reset {
	struct call call;
	struct apps *apps;
	int fd;
};

static void run_lone(struct call *call)
{
	(void)reset(list_owner(call, struct lone_reset, call)->fd);
}

static void lone_done(struct call *call)
{
	struct lone_reset *lone = list_owner(call, struct lone_reset, call);
	struct apps *apps = lone->apps;

	apps_dispose(apps, call->user, lone->fd);
	apps->fds_held--;
	users_let_go(&apps->users, call->user);
	free(lone);
}

void remote_tcp_reset(struct apps *apps, struct user *user, int fd)
{
	struct lone_reset *lone = calloc(1, sizeof(*lone));

	if (!lone) {
		apps_dispose(apps, user, fd);
		return;
	}
	*lone = (struct lone_reset){.apps = apps, .fd = fd};
	lone->call = (struct call){.run = run_lone, .done = lone_done, .user = user};
	users_keep(user);
	apps->fds_held++;
	caller_submit(&apps->caller, &lone->call);
}
