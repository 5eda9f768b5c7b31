/* SPDX-License-Identifier: MIT */
#include "shim/session.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control/message.h"
#include "shim/cleanup.h"
#include "shim/clock.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/quiet.h"
#include "shim/rules.h"
#include "shim/settings.h"
#include "shim/side.h"
#include "shim/spare.h"

#define RETRY_SECONDS 1
#define YIELDS_FOR_MAIL 8U
#define CROWD_NS 6000000000ULL /* the peer waits for so long for what the daemon is to say */
#define CROWD_LOOK_MS 10
#define HANGS_NS 100000000ULL /* a daemon that reads nothing of what there is for so long */

static _Atomic uint32_t lock;
static _Atomic int session = -1;
static _Atomic time_t not_before; /* no new attempt before this moment */
static bool welcomed; /* its policy is known */
static bool waited;   /* ... or was waited for long enough */
static uint64_t unread_since; /* it has read nothing from then on, and there is something; 0: there is nothing */
static uint64_t heard;	      /* as side_header.heard was then */

static bool own_or_root(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid() || peer.uid == getuid());
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	fd = libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (quiet_connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    !own_or_root(fd)) {
		quiet_close(fd);
		return -1;
	}
	return fd;
}

/*
 * Where a daemon may listen.  Noted at the start: programs clear their environment (nginx) or write
 * their title over it (redis).
 */
static char paths[3][sizeof(((struct sockaddr_un *)0)->sun_path)];

void session_note_paths(void)
{
	const char *named = getenv("SMCU_SOCKET");
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (named && *named) {
		snprintf(paths[0], sizeof(paths[0]), "%s", named);
		return;
	}
	snprintf(paths[0], sizeof(paths[0]), "/run/smcu/smcud.sock");
	if (runtime && *runtime)
		snprintf(paths[1], sizeof(paths[1]), "%s/smcu/smcud.sock", runtime);
	snprintf(paths[2], sizeof(paths[2]), "/tmp/smcu-%u/smcud.sock", (unsigned int)geteuid());
}

static int connect_to_any(void)
{
	int fd = -1;

	for (unsigned int i = 0; fd < 0 && i < sizeof(paths) / sizeof(paths[0]); i++)
		if (paths[i][0])
			fd = connect_to(paths[i]);
	return fd;
}

static int send_message_with(union message *message, const int *fds, size_t count)
{
	struct iovec iov = {.iov_base = message, .iov_len = message->header.length};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
	} control = {0};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count) {
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	return quiet_sendmsg(session, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int send_message(union message *message, int fd)
{
	return send_message_with(message, &fd, fd >= 0);
}

static void hang_up(void)
{
	fd_unhide(session);
	session = -1;
	welcomed = waited = settings.offer = settings.rendezvous = false;
	unread_since = 0;
	rules_drop();
	connection_offers_are_void();
	spare_drop();
}

static time_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

static int open_session(void)
{
	union message hello;

	if (now_seconds() < not_before || !side_make())
		return -ENOENT;
	session = connect_to_any();
	if (session >= 0)
		session = fd_hide(session);
	if (session >= 0) {
		message_init(&hello, MESSAGE_HELLO);
		hello.hello.role = ROLE_SHIM;
		if (send_message(&hello, side_descriptor()) == 0)
			return 0;
		hang_up();
	}
	session = -1;
	not_before = now_seconds() + RETRY_SECONDS;
	return -ENOENT;
}

void session_have(void)
{
	const int saved = errno;

	if (settings.sandboxed || latch_take(&lock) < 0)
		return;
	if (session < 0)
		(void)open_session();
	latch_drop(&lock);
	errno = saved;
}

/* The daemon has not read yet what was said before; of a user's descriptors only so many may be on their way. */
static bool is_crowded(int error)
{
	return error == -EAGAIN || error == -ETOOMANYREFS;
}

/* With the lock: from now on there may be something unread. */
static void will_tell(void)
{
	if (unread_since)
		return;
	unread_since = now_ns();
	heard = atomic_load(&side_header()->heard);
}

/* With the lock: is there something that the daemon should have read long ago? */
static bool hangs(void)
{
	int unread = 0;

	if (session < 0 || libc.ioctl(session, SIOCOUTQ, &unread) < 0 || unread == 0) {
		unread_since = 0;
		return false;
	}
	if (atomic_load(&side_header()->heard) != heard)
		unread_since = 0;
	will_tell();
	return now_ns() - unread_since > HANGS_NS;
}

/* With the lock.  A session that has ended is replaced: perhaps there is a new daemon. */
static int send_in_session(union message *message, const int *fds, size_t count)
{
	/* Another one must say WELCOME before it is offered anything, and does not know what this one has. */
	const int attempts = count == RENDEZVOUS_FDS ? 2 : 1;
	int error = 0;

	for (int attempt = 0; attempt < attempts; attempt++) {
		if (session < 0)
			error = open_session();
		if (session < 0)
			break;
		will_tell();
		error = send_message_with(message, fds, count);
		if (error == 0 || is_crowded(error))
			break;
		hang_up();
	}
	return error;
}

void session_check(void)
{
	struct pollfd look = {.fd = session};
	const int saved = errno;

	if (look.fd >= 0 && quiet_poll(&look, 1, 0) > 0 && latch_take(&lock) == 0) {
		if (session == look.fd)
			hang_up();
		latch_drop(&lock);
	}
	errno = saved;
}

static void give_lock_up(void *unused)
{
	(void)unused;
	lock_drop(&lock);
}

/* With the lock, which is given up if a signal handler jumps out of it. */
static int wait_for(struct pollfd *what, int timeout_ms)
{
	struct cleanup cleanup;
	int n;

	cleanup_push(&cleanup, give_lock_up, NULL);
	n = quiet_poll(what, 1, timeout_ms);
	cleanup_pop(&cleanup);
	return n;
}

static void wait_for_room(int error)
{
	struct pollfd room = {.fd = session, .events = error == -EAGAIN ? POLLOUT : 0};

	(void)wait_for(&room, CROWD_LOOK_MS);
}

int session_rendezvous(union message *message, const int *fds, unsigned int count)
{
	const int saved = errno;
	uint64_t deadline;
	int error;

	if (latch_take(&lock) < 0)
		return -EAGAIN;
	error = send_in_session(message, fds, count);
	if (__builtin_expect(is_crowded(error), 0)) { /* better late than a reset */
		deadline = now_ns() + CROWD_NS;
		while (is_crowded(error) && now_ns() < deadline) {
			wait_for_room(error);
			error = send_in_session(message, fds, count);
		}
		if (is_crowded(error))
			hang_up(); /* it hangs: the next one is not to wait as well */
	}
	latch_drop(&lock);
	errno = saved;
	return error;
}

void session_withdraw(uint64_t id)
{
	const int saved = errno;
	union message withdraw;

	bool mine = latch_take(&lock) < 0; /* a close while we collect answers */

	if (session >= 0) {
		message_init(&withdraw, MESSAGE_WITHDRAW);
		withdraw.withdraw.id = id;
		(void)send_message(&withdraw, -1);
	}
	if (!mine)
		latch_drop(&lock);
	errno = saved;
}

bool session_is_away(void)
{
	return settings.sandboxed || (session < 0 && now_seconds() < not_before);
}

static unsigned int take_descriptors(struct msghdr *header, int *fds)
{
	unsigned int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	}
	return n;
}

static void handle(const union message *message, int *fds, unsigned int count)
{
	struct connection *connection = NULL;
	bool taken = false;

	switch (message->header.type) {
	case MESSAGE_WELCOME:
		rules_settle();
		settings_from_policy(&message->welcome.policy);
		welcomed = true;
		break;
	case MESSAGE_RULES:
		rules_take(&message->rules);
		break;
	case MESSAGE_PAIRED:
		connection = connection_by_id(message->paired.id);
		taken = connection && move_attach(connection, &message->paired, fds);
		break;
	case MESSAGE_REFUSED:
		connection = connection_by_id(message->refused.id);
		if (connection)
			move_refused(connection, (enum reason)message->refused.reason);
		break;
	case MESSAGE_FAREWELL:
		settings_say("the daemon ended the session: %s", message->farewell.text);
		break;
	default:
		break;
	}
	for (unsigned int i = 0; i < count && !taken; i++)
		quiet_close(fds[i]);
	if (connection)
		connection_put(connection);
}

/* Take one message; false when there is none (left). */
static bool collect_one(void)
{
	union message message;
	int fds[MESSAGE_FDS_MAX];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(fds))];
	} control;
	struct iovec iov = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr header = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = &control,
				.msg_controllen = sizeof(control)};
	unsigned int count;
	ssize_t n;

	if (session < 0 || settings.sandboxed)
		return false;
	n = quiet_recvmsg(session, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		hang_up();
		return false;
	}
	count = take_descriptors(&header, fds);
	if (message_check(&message, (size_t)n, count) == 0) {
		handle(&message, fds, count);
		return true;
	}
	for (unsigned int i = 0; i < count; i++)
		quiet_close(fds[i]);
	hang_up();
	return false;
}

/*
 * Who holds the lock collects for all.  A moment is worth waiting for, since then this very call may
 * find its connection attached; no more, or a crowd queues up: the next call comes here again.
 */
static bool take_lock_soon(void)
{
	for (unsigned int yields = 0; !latch_try(&lock); yields++) {
		if (yields == YIELDS_FOR_MAIL)
			return false;
		sched_yield();
	}
	return true;
}

static void collect_all(void)
{
	/* Note the count first: mail that comes meanwhile is collected the next time. */
	atomic_store(&side_own.collected, atomic_load(&side_header()->inbox));
	while (collect_one())
		;
}

void session_collect(void)
{
	const int saved = errno;

	if (!side_header() || !take_lock_soon())
		return;
	collect_all();
	latch_drop(&lock);
	errno = saved;
}

/* With the lock.  Once a session; other messages may come first. */
static void await_welcome(void)
{
	struct pollfd answer = {.fd = session, .events = POLLIN};

	while (session >= 0 && !welcomed && !waited && wait_for(&answer, SESSION_PATIENCE_MS) > 0)
		collect_all();
	waited = true;
	collect_all();
}

void session_learn_policy(void)
{
	const int saved = errno;

	if (session_is_away() ||
	    (session >= 0 && !session_has_mail() && (welcomed || waited)) ||
	    latch_take(&lock) < 0)
		return;
	if (session >= 0 || open_session() == 0)
		await_welcome();
	latch_drop(&lock);
	errno = saved;
}

bool session_hangs(void)
{
	const int saved = errno;
	bool yes;

	if (latch_take(&lock) < 0)
		return false;
	yes = hangs();
	latch_drop(&lock);
	errno = saved;
	return yes;
}

/* With the lock: is there a daemon that takes what it is given? */
static bool have_daemon(void)
{
	if (session < 0 && open_session() < 0)
		return false;
	if (!welcomed && !waited)
		await_welcome();
	return session >= 0 && welcomed && !hangs();
}

static int offer_in_session(struct connection *connection, int fd)
{
	union message offer;
	int error;

	message_init(&offer, MESSAGE_OFFER);
	offer.offer.id = connection_make_id(connection);
	offer.offer.local = connection->side->local;
	offer.offer.peer = connection->side->peer;
	error = send_in_session(&offer, &fd, 1);
	if (error)
		connection->id = 0;
	return error;
}

int session_offer(struct connection *connection, int fd)
{
	const int saved = errno;
	int error;

	if (latch_take(&lock) < 0)
		return -EAGAIN;
	error = have_daemon() ? offer_in_session(connection, fd) : -ENOENT;
	latch_drop(&lock);
	errno = saved;
	return error;
}

void session_let_finish(void)
{
	if (latch_take(&lock) == 0)
		latch_drop(&lock);
}

void session_before_fork(void)
{
	if (side_header())
		session_have();
	(void)latch_take(&lock);
}

void session_after_fork(bool in_child)
{
	if (in_child) {
		if (session >= 0)
			hang_up();
		not_before = 0;
		atomic_store(&side_own.collected, 0);
		atomic_store(&lock, 0);
		return;
	}
	latch_drop(&lock);
}
