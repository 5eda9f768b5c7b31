/* SPDX-License-Identifier: MIT */
#include "daemon/apps.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/pairing.h"
#include "daemon/stats.h"

#define ACCEPTS_A_TURN 32U
#define FOREIGN_MAX 16U /* of one user; closing one takes microseconds unless it is meant ill */
#define IDLE_REMOTES_MS 200 /* how often to look whether all is sent */
#define IDLE_BEFORE_FIRST_MS 60000 /* who started us may not have connected yet */

uint64_t apps_headroom(const struct apps *apps)
{
	uint64_t used = apps->fds_held + disposer_backlog(apps->disposer) + APPS_FDS_RESERVED;

	return used < apps->fd_limit ? apps->fd_limit - used : 0;
}

void apps_dispose(struct apps *apps, struct user *user, int fd)
{
	enum dispose_class class = disposer_class(fd, false);

	disposer_add(apps->disposer, class, fd, class == DISPOSE_FOREIGN ? &user->foreign : NULL);
}

void apps_retry_later(struct apps *apps)
{
	if (!apps->retry.armed)
		loop_timer_start(apps->loop, &apps->retry, APPS_RETRY_MS);
}

static void pause_listener(struct apps *apps)
{
	loop_watch_remove(apps->loop, &apps->listener);
	apps->paused = true;
	apps_retry_later(apps);
}

/* Is there room again? */
static void on_retry(void *context)
{
	struct apps *apps = context;
	struct session *session;

	if (apps->stalled_count && apps_headroom(apps) >= SESSION_FDS_MAX)
		for (session = apps->sessions; session; session = session->next)
			if (session->stalled && !session->doomed)
				session_resume(session);
	if (apps->paused && apps_headroom(apps) >= APPS_HEADROOM_ACCEPT) {
		apps->listener.fd = apps->listening;
		apps->paused = loop_watch_add(apps->loop, &apps->listener, EPOLLIN) < 0;
	}
	if (apps->paused || apps->stalled_count)
		apps_retry_later(apps);
}

/* May this user have one more session?  NULL, or why not. */
static const char *why_not_served(const struct apps *apps, struct user *user)
{
	if (apps->only_own && user->uid != apps->only_uid)
		return "this daemon serves its own user only";
	if (user->sessions > apps->config->sessions_per_user)
		return "too many sessions of this user";
	if (atomic_load(&user->foreign) > FOREIGN_MAX)
		return "descriptors that this user passed cannot be closed";
	return NULL;
}

static void link_session(struct apps *apps, struct session *session)
{
	session->previous = apps->sessions_last;
	if (apps->sessions_last)
		apps->sessions_last->next = session;
	else
		apps->sessions = session;
	apps->sessions_last = session;
	apps->session_count++;
	loop_timer_stop(apps->loop, &apps->idle);
}

static void take_connection(struct apps *apps, int fd)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	struct session *session = NULL;
	struct user *user;
	const char *refusal;

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	user = users_enter(&apps->users, peer.uid);
	if (user)
		session = session_new(apps, fd, user, peer.pid);
	if (!session) {
		if (user)
			users_leave(&apps->users, user);
		disposer_add(apps->disposer, DISPOSE_SOCKET, fd, NULL);
		return;
	}
	apps->fds_held++;
	link_session(apps, session);
	refusal = why_not_served(apps, user);
	if (refusal)
		session_doom(session, refusal);
}

static void on_connection(void *context, uint32_t events)
{
	struct apps *apps = context;
	unsigned int i;
	int fd;

	(void)events;
	for (i = 0; i < ACCEPTS_A_TURN; i++) {
		if (apps_headroom(apps) < APPS_HEADROOM_ACCEPT) {
			pause_listener(apps);
			return;
		}
		fd = accept4(apps->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			take_connection(apps, fd);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_listener(apps); /* out of descriptors or memory */
		return;
	}
}

static void start_idle_timer(struct apps *apps, int64_t least)
{
	int64_t delay = (int64_t)apps->config->idle_exit * 1000;

	if (apps->exit_when_idle && !apps->session_count)
		loop_timer_start(apps->loop, &apps->idle, delay < least ? least : delay);
}

/* Who connected just now is in the backlog and readable: it is served first. */
static void on_idle(void *context)
{
	struct apps *apps = context;

	on_connection(apps, EPOLLIN);
	if (apps->session_count)
		return;
	if (apps->remotes.count) { /* what their programs wrote last is still on its way */
		start_idle_timer(apps, IDLE_REMOTES_MS);
		return;
	}
	log_say(LOG_INFO, "no session for some time: leaving");
	loop_stop(apps->loop);
}

static void reap(struct apps *apps, struct session *session)
{
	struct user *user = session->user;

	pairing_forget(session);
	stats_session_ends(session);
	if (session->previous)
		session->previous->next = session->next;
	else
		apps->sessions = session->next;
	if (session->next)
		session->next->previous = session->previous;
	else
		apps->sessions_last = session->previous;
	apps->session_count--;
	session_free(session);
	users_leave(&apps->users, user);
}

static int reap_doomed(void *context)
{
	struct apps *apps = context;
	struct session *session;

	if (!apps->doomed)
		return LOOP_FOREVER;
	while ((session = apps->doomed)) {
		apps->doomed = session->next_doomed;
		reap(apps, session);
	}
	start_idle_timer(apps, 0);
	return LOOP_FOREVER;
}

static int run_disposer(void *context)
{
	struct apps *apps = context;

	return disposer_watch(apps->disposer, apps->loop->now);
}

static uint64_t own_network_namespace(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	if (fd < 0)
		return 0;
	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
	close(fd);
	return cookie;
}

static uint64_t descriptor_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 1024 : limit.rlim_cur;
}

static int open_diag(struct sock_diag *diag)
{
	int error = sock_diag_open(diag);

	if (error) {
		log_say(LOG_ERR, "no NETLINK_SOCK_DIAG socket: %s", strerror(-error));
		return error;
	}
	error = sock_diag_check(diag);
	if (error)
		log_say(LOG_WARNING,
			"the kernel does not find a connection over loopback (%s): "
			"it may lack INET_DIAG; nothing will move",
			strerror(-error));
	return 0;
}

int apps_open(struct apps *apps, struct loop *loop, struct config *config,
	      const struct apps_options *options)
{
	int error;

	memset(apps, 0, sizeof(*apps));
	apps->loop = loop;
	apps->config = config;
	apps->started = loop->now;
	apps->listening = options->listening;
	apps->only_own = options->only_own;
	apps->only_uid = geteuid();
	apps->exit_when_idle = options->exit_when_idle;
	apps->fd_limit = descriptor_limit();
	apps->netns = own_network_namespace();
	apps->retry = (struct loop_timer){.handler = on_retry, .context = apps};
	apps->idle = (struct loop_timer){.handler = on_idle, .context = apps};
	apps->listener = (struct loop_watch){options->listening, on_connection, apps};
	apps->disposer = disposer_open();
	if (!apps->disposer)
		return -ENOMEM;
	error = open_diag(&apps->diag);
	if (!error)
		error = caller_open(&apps->caller, loop, apps->only_uid);
	if (error)
		return error;
	error = loop_watch_add(loop, &apps->listener, EPOLLIN);
	if (error)
		return error;
	side_file_guard();
	loop_task_add(loop, reap_doomed, apps);
	loop_task_add(loop, stats_work, apps); /* after reaping, which leaves it work */
	remotes_open(apps);
	loop_task_add(loop, run_disposer, apps);
	start_idle_timer(apps, IDLE_BEFORE_FIRST_MS);
	return 0;
}

void apps_close(struct apps *apps)
{
	struct session *session;

	for (session = apps->sessions; session; session = session->next)
		session_doom(session, NULL);
	reap_doomed(apps);
	remotes_close(apps);
	caller_close(&apps->caller);
	loop_timer_stop(apps->loop, &apps->idle);
	loop_timer_stop(apps->loop, &apps->retry);
	loop_watch_remove(apps->loop, &apps->listener);
	sock_diag_close(&apps->diag);
	disposer_close(apps->disposer);
}
