/* SPDX-License-Identifier: MIT */
#include "daemon/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/apps.h"
#include "daemon/engine.h"
#include "daemon/log.h"
#include "daemon/pairing.h"
#include "daemon/remote.h"
#include "daemon/remote_kept.h"
#include "daemon/socket.h"
#include "daemon/stats.h"

/* A packet longer than any message shows as one that was cut. */
#define PACKET_ROOM MESSAGE_SIZE_MAX
#define CONTROL_ROOM CMSG_SPACE(SESSION_FDS_MAX * sizeof(int))

/* Where packets are received: used by one session at a time. */
static union {
	union message message;
	char bytes[PACKET_ROOM];
} packets[SESSION_BATCH];
static alignas(struct cmsghdr) char controls[SESSION_BATCH][CONTROL_ROOM];

#define COMM_MAX 15U /* the kernel cuts names there */

/* The text of a file of /proc/@pid, or where a link there leads; its length. */
static size_t read_proc(pid_t pid, const char *what, bool link, char *text, size_t size)
{
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	if (link) {
		length = readlink(path, text, size - 1);
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		length = fd < 0 ? 0 : read(fd, text, size - 1);
		if (fd >= 0)
			close(fd);
	}
	length = length > 0 && text[length - 1] == '\n' ? length - 1 : length;
	text[length > 0 ? length : 0] = 0;
	return length > 0 ? (size_t)length : 0;
}

/*
 * The name under which it was started, which may be a link's (redis-server); where the kernel has cut
 * it short or does not tell, the executable's.
 */
static void read_program(pid_t pid, char *program, size_t size)
{
	char comm[64], target[4096];
	size_t length = read_proc(pid, "comm", false, comm, sizeof(comm));
	const char *name = comm;

	if ((length == 0 || length >= COMM_MAX) &&
	    read_proc(pid, "exe", true, target, sizeof(target))) {
		const char *base = strrchr(target, '/');

		base = base ? base + 1 : target;
		if (strncmp(base, comm, length) == 0)
			name = base;
	}
	snprintf(program, size, "%.*s", (int)size - 1, name);
}

/* Do the pids that this process knows mean the same to us? */
static bool shares_pids(pid_t pid)
{
	char path[64], ours[64], theirs[64];
	ssize_t our_length, their_length;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	our_length = readlink("/proc/self/ns/pid", ours, sizeof(ours));
	their_length = readlink(path, theirs, sizeof(theirs));
	return our_length > 0 && our_length == their_length &&
	       memcmp(ours, theirs, (size_t)our_length) == 0;
}

void session_doom(struct session *session, const char *text)
{
	struct apps *apps = session->apps;

	if (session->doomed)
		return;
	session->doomed = true;
	loop_watch_remove(apps->loop, &session->watch);
	if (text) {
		apps->totals.sessions_dropped++;
		log_client("dropped %s, process %d of user %u: %s",
			   session->program[0] ? session->program : "a client", (int)session->pid,
			   (unsigned int)session->user->uid, text);
		snprintf(session->farewell, sizeof(session->farewell), "%s", text);
	}
	session->next_doomed = apps->doomed;
	apps->doomed = session;
}

static void watch_again(struct session *session)
{
	loop_watch_change(session->apps->loop, &session->watch,
			  EPOLLIN | (session->outbox ? (uint32_t)EPOLLOUT : 0));
}

static int transmit(struct session *session, const union message *message, const int *fds,
		    unsigned int fd_count)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
	struct iovec part = {(void *)(uintptr_t)message, message->header.length};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *rights;

	if (fd_count) {
		packet.msg_control = control;
		packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		rights = CMSG_FIRSTHDR(&packet);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
	}
	if (sendmsg(session->socket, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	if (session->side && !side_file_count_mail(session->side))
		session_doom(session, "the side segment has no memory");
	return 0;
}

static int copy_fds(struct apps *apps, struct outgoing *out, const int *fds, unsigned int count)
{
	if (count && apps_headroom(apps) < apps->fd_limit / 4)
		return -EMFILE;
	for (out->fd_count = 0; out->fd_count < count; out->fd_count++) {
		out->fds[out->fd_count] = fcntl(fds[out->fd_count], F_DUPFD_CLOEXEC, 0);
		if (out->fds[out->fd_count] < 0)
			return -EMFILE;
		apps->fds_held++;
	}
	return 0;
}

static void outgoing_free(struct apps *apps, struct outgoing *out)
{
	apps->fds_held -= out->fd_count;
	while (out->fd_count)
		disposer_add(apps->disposer, DISPOSE_QUICK, out->fds[--out->fd_count], NULL);
	free(out);
}

static int queue(struct session *session, const union message *message, const int *fds,
		 unsigned int fd_count)
{
	struct outgoing *out;

	if (session->outbox_count == OUTBOX_MESSAGES_MAX) {
		session_doom(session, "does not read its messages");
		return -ENOBUFS;
	}
	out = calloc(1, sizeof(*out));
	if (!out) {
		session_doom(session, "no memory for its messages");
		return -ENOMEM;
	}
	if (copy_fds(session->apps, out, fds, fd_count)) {
		outgoing_free(session->apps, out);
		return -EMFILE;
	}
	out->message = *message;
	if (session->outbox)
		session->outbox_last->next = out;
	else
		session->outbox = out;
	session->outbox_last = out;
	if (session->outbox_count++ == 0)
		watch_again(session);
	return 0;
}

int session_send(struct session *session, const union message *message, const int *fds,
		 unsigned int fd_count)
{
	int result;

	if (session->doomed)
		return -EPIPE;
	if (session->outbox)
		return queue(session, message, fds, fd_count);
	result = transmit(session, message, fds, fd_count);
	if (result == -EAGAIN || result == -ENOBUFS)
		return queue(session, message, fds, fd_count);
	if (result && result != -ETOOMANYREFS)
		session_doom(session, NULL);
	return result;
}

void session_flush(struct session *session)
{
	struct outgoing *out;
	int result;

	while ((out = session->outbox) && !session->doomed) {
		result = transmit(session, &out->message, out->fds, out->fd_count);
		if (result == -EAGAIN || result == -ENOBUFS)
			return;
		if (result && result != -ETOOMANYREFS)
			session_doom(session, NULL);
		session->outbox = out->next;
		session->outbox_count--;
		outgoing_free(session->apps, out);
	}
	if (!session->doomed)
		watch_again(session);
}

/* True if @fd is taken over, as @session's side segment. */
static bool take_side(struct session *session, int fd)
{
	struct apps *apps = session->apps;
	bool kept;

	session->side = side_file_enter(&apps->side_files, fd, &kept);
	if (!session->side)
		return false;
	if (kept)
		apps->fds_held++;
	else
		disposer_add(apps->disposer, DISPOSE_QUICK, fd, NULL);
	return true;
}

/*
 * Does its program live in our network namespace?  An RNIC serves connections of that one alone, and those
 * of other containers are to move by their sequence numbers.  (The socket has the client's namespace.)
 */
static bool shares_network(const struct session *session)
{
	return socket_word(session->socket, SO_NETNS_COOKIE) == session->apps->netns;
}

/* Is there all that SMC-R to other hosts takes, and may this program have it? */
static uint32_t policy_flags(const struct session *session)
{
	const struct apps *apps = session->apps;

	if (!apps->engine || !apps->engine->rnic_count || !tcp_option_may_work(&apps->tcp_option))
		return 0;
	if (!shares_network(session) ||
	    rules_deny_program(&apps->config->rules, session->program) ||
	    rules_deny_program(&apps->config->smcr_rules, session->program))
		return POLICY_RENDEZVOUS;
	return POLICY_RENDEZVOUS | POLICY_OFFER;
}

/* What is denied is not to be offered: the shim looks before it connects or listens. */
static void say_rules(struct session *session)
{
	struct rule_end ends[RULE_ENDS_MAX];
	unsigned int at, count = rules_ends(&session->apps->config->rules, ends);
	union message message;

	for (at = 0; at < count; at += message.rules.count) {
		message_init(&message, MESSAGE_RULES);
		message.rules.count = count - at < RULES_EACH ? count - at : RULES_EACH;
		memcpy(message.rules.ends, ends + at, message.rules.count * sizeof(*ends));
		session_send(session, &message, NULL, 0);
	}
}

static void say_welcome(struct session *session)
{
	const uint32_t flags = policy_flags(session);
	union message message;

	if (flags & POLICY_OFFER && session->role == ROLE_SHIM)
		say_rules(session);
	message_init(&message, MESSAGE_WELCOME);
	message.welcome.policy = session->apps->config->policy;
	message.welcome.policy.flags = flags;
	message.welcome.daemon_pid = getpid();
	snprintf(message.welcome.release, sizeof(message.welcome.release), "%s", SMCU_VERSION);
	session_send(session, &message, NULL, 0);
}

static void take_hello(struct session *session, const struct message_hello *hello, int fd)
{
	bool wanted = hello->role == ROLE_SHIM;

	if (session->role || wanted != (fd >= 0) || (wanted && !take_side(session, fd))) {
		if (fd >= 0)
			apps_dispose(session->apps, session->user, fd);
		session_doom(session, session->role	  ? "a second HELLO"
				      : wanted && fd >= 0 ? "HELLO without a valid side segment"
							  : "HELLO with the wrong descriptors");
		return;
	}
	session->role = hello->role;
	loop_timer_stop(session->apps->loop, &session->hello_timer);
	read_program(session->pid, session->program, sizeof(session->program));
	session->shares_pids = shares_pids(session->pid);
	say_welcome(session);
}

static void dispose_all(struct session *session, const int *fds, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		apps_dispose(session->apps, session->user, fds[i]);
}

/* @fds: what came with it, as many as that message may bring; they are taken over. */
static void take_message(struct session *session, const union message *message, const int *fds,
			 unsigned int count)
{
	if (message->header.type == MESSAGE_HELLO) {
		take_hello(session, &message->hello, count ? fds[0] : -1);
		return;
	}
	if (!session->role) {
		dispose_all(session, fds, count);
		session_doom(session, "no HELLO");
		return;
	}
	switch (message->header.type) {
	case MESSAGE_OFFER:
		pairing_offer(session, &message->offer, fds[0]);
		break;
	case MESSAGE_RENDEZVOUS:
		remote_open(session, &message->rendezvous, fds, count);
		break;
	case MESSAGE_WITHDRAW:
		pairing_withdraw(session, message->withdraw.id);
		break;
	default:
		stats_ask(session, message->query.what);
	}
}

static const char *complaint(int error)
{
	switch (error) {
	case -EPROTONOSUPPORT:
		return "another version of the protocol";
	case -EMSGSIZE:
		return "a message of the wrong length";
	case -EBADF:
		return "a message with the wrong number of descriptors";
	default:
		return "not a message that a client sends";
	}
}

static int check_packet(const struct msghdr *packet, const union message *message, size_t length,
			unsigned int fd_count)
{
	int error;

	if (packet->msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	if (packet->msg_flags & MSG_CTRUNC)
		return -EBADF;
	error = message_check(message, length, fd_count);
	if (error)
		return error;
	switch (message->header.type) {
	case MESSAGE_HELLO:
	case MESSAGE_OFFER:
	case MESSAGE_WITHDRAW:
	case MESSAGE_RENDEZVOUS:
	case MESSAGE_QUERY:
		return 0;
	default:
		return -EPROTO;
	}
}

/* The descriptors that came with a packet. */
static unsigned int collect_fds(struct msghdr *packet, int fds[SESSION_FDS_MAX])
{
	struct cmsghdr *part;
	unsigned int count = 0;
	size_t bytes;

	for (part = CMSG_FIRSTHDR(packet); part; part = CMSG_NXTHDR(packet, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = part->cmsg_len - CMSG_LEN(0);
		if (bytes > (SESSION_FDS_MAX - count) * sizeof(int))
			bytes = (SESSION_FDS_MAX - count) * sizeof(int);
		memcpy(fds + count, CMSG_DATA(part), bytes);
		count += (unsigned int)(bytes / sizeof(int));
	}
	return count;
}

static void take_packet(struct session *session, struct msghdr *packet,
			const union message *message, size_t length)
{
	int fds[SESSION_FDS_MAX], error = 0;
	unsigned int count = collect_fds(packet, fds);

	if (!session->doomed) {
		error = check_packet(packet, message, length, count);
		if (!error) {
			take_message(session, message, fds, count);
			return;
		}
	}
	dispose_all(session, fds, count);
	if (length || count)
		session_doom(session, complaint(error));
	else
		session_doom(session, NULL); /* end of file */
}

static int receive(struct session *session, unsigned int most, struct mmsghdr *batch)
{
	static struct iovec parts[SESSION_BATCH];
	unsigned int i;

	for (i = 0; i < most; i++) {
		parts[i] = (struct iovec){packets[i].bytes, PACKET_ROOM};
		batch[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i],
							.msg_iovlen = 1,
							.msg_control = controls[i],
							.msg_controllen = CONTROL_ROOM}};
	}
	return recvmmsg(session->socket, batch, most, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
}

/* Not watched until apps find room for descriptors. */
static void stall(struct session *session)
{
	loop_watch_remove(session->apps->loop, &session->watch);
	session->stalled = true;
	session->apps->stalled_count++;
	apps_retry_later(session->apps);
}

void session_resume(struct session *session)
{
	session->stalled = false;
	session->apps->stalled_count--;
	session->watch.fd = session->socket;
	if (loop_watch_add(session->apps->loop, &session->watch,
			   EPOLLIN | (session->outbox ? (uint32_t)EPOLLOUT : 0)))
		session_doom(session, "no memory to watch it");
}

static void on_event(void *context, uint32_t events)
{
	struct session *session = context;
	uint64_t room = apps_headroom(session->apps) / SESSION_FDS_MAX;
	struct mmsghdr batch[SESSION_BATCH];
	int i, count;

	if (events & EPOLLOUT)
		session_flush(session);
	if (session->doomed || !(events & ~(uint32_t)EPOLLOUT))
		return;
	if (!room) {
		stall(session);
		return;
	}
	count = receive(session, room < SESSION_BATCH ? (unsigned int)room : SESSION_BATCH, batch);
	if (count < 0 && errno != EAGAIN && errno != EINTR)
		session_doom(session, NULL);
	if (count > 0 && session->side && !side_file_count_heard(session->side))
		session_doom(session, "the side segment has no memory");
	for (i = 0; i < count; i++)
		take_packet(session, &batch[i].msg_hdr, &packets[i].message, batch[i].msg_len);
}

static void on_silence(void *context)
{
	session_doom(context, "no HELLO in time");
}

struct session *session_new(struct apps *apps, int socket, struct user *user, pid_t pid)
{
	static const int room = OUTBOX_BYTES;
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->apps = apps;
	session->socket = socket;
	session->user = user;
	session->pid = pid;
	session->watch = (struct loop_watch){socket, on_event, session};
	if (loop_watch_add(apps->loop, &session->watch, EPOLLIN)) {
		free(session);
		return NULL;
	}
	if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	session->hello_timer.handler = on_silence;
	session->hello_timer.context = session;
	loop_timer_start(apps->loop, &session->hello_timer, SESSION_HELLO_MS);
	return session;
}

static void say_farewell(struct session *session)
{
	union message message;

	if (!session->farewell[0] || session->outbox)
		return;
	message_init(&message, MESSAGE_FAREWELL);
	memcpy(message.farewell.text, session->farewell, sizeof(message.farewell.text));
	transmit(session, &message, NULL, 0);
}

void session_free(struct session *session)
{
	struct apps *apps = session->apps;
	struct outgoing *out;

	say_farewell(session);
	remote_kept_close(session);
	loop_timer_stop(apps->loop, &session->hello_timer);
	while ((out = session->outbox)) {
		session->outbox = out->next;
		outgoing_free(apps, out);
	}
	disposer_add(apps->disposer, DISPOSE_SOCKET, session->socket, NULL);
	apps->fds_held--;
	if (session->stalled)
		apps->stalled_count--;
	free(session);
}
