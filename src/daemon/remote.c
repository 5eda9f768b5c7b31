/* SPDX-License-Identifier: MIT */
#include "daemon/remote_state.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>

#include "daemon/apps.h"
#include "daemon/remote_kept.h"
#include "daemon/rnic.h"
#include "daemon/stats.h"
#include "ring/segment.h"

#define BUSY_TURNS 2U /* before the processor is given away */
#define AWAKE_YIELDS 100U /* turns without anything new before it sleeps */
#define QUIET_TURNS 2U /* before what can wait is done */
#define PUT_OFF_MOST 4U /* turns: who connects often waits for what is given back */
#define VAIN_LOOKS 256U /* at one remote before it is left alone, however busy others are */
#define VAIN_LOOKS_UNWATCHED 32U /* at one that is new: each is a system call */

void remote_look_later(struct remote *remote)
{
	if (!list_empty(&remote->of_active))
		return;
	list_append(&remote->apps->remotes.active, &remote->of_active);
	loop_again(remote->apps->loop);
}

void remote_activate(struct remote *remote)
{
	remote->apps->remotes.touched = true;
	remote->vain_looks = 0;
	remote_look_later(remote);
}

void remote_finish_later(struct remote *remote)
{
	if (list_empty(&remote->of_late))
		list_append(&remote->apps->remotes.late, &remote->of_late);
}

void remote_add(struct remote *remote)
{
	struct remotes *remotes = &remote->apps->remotes;

	list_append(&remotes->all, &remote->of_all);
	remotes->count++;
	remote_activate(remote);
}

/* (both halves shut down look like a close: then the mark, or the bells, tell) */
static void on_stand_in(void *context, uint32_t events)
{
	struct remote *remote = context;

	remote->stand_in_rang = true;
	if (events & EPOLLRDHUP)
		remote->app_shut = true;
	if (events & EPOLLHUP && !remote->peer_shut)
		remote->app_gone = true;
	if (remote->app_shut && remote_app_marks(remote) & MARK_CLOSED)
		remote->app_gone = true;
	remote_activate(remote);
}

/* From when it is first left alone: a short connection is over before. */
static void watch(struct remote *remote)
{
	int error;

	if (remote->watched)
		return;
	remote->watched = true;
	error = remote_tcp_watch(remote);
	if (!error && remote->stand_in_fd >= 0) {
		remote->stand_in = (struct loop_watch){remote->stand_in_fd, on_stand_in, remote};
		error = loop_watch_add(remote->apps->loop, &remote->stand_in,
				       EPOLLIN | EPOLLRDHUP | EPOLLET);
	}
	if (!error) {
		remote_tcp_keep_alive(remote);
		return;
	}
	remote->broken = true; /* nobody would see its end */
	remote_activate(remote);
}

/* What looking alone does not show, or shows too dear. */
static bool needs_watch(const struct remote *remote)
{
	const struct remote_tcp *tcp = &remote->tcp;

	return !remote->watched &&
	       (remote->vain_looks >= VAIN_LOOKS_UNWATCHED || remote->phase == REMOTE_RELAY ||
		remote->user->uid != remote->apps->caller.trusted || (tcp->blocked && !tcp->busy) ||
		(remote_app_marks(remote) & (MARK_SHUT | MARK_CLOSED)) == MARK_SHUT);
}

/* Does nobody wait for the close?  The application is gone, and TCP was shut down. */
static bool is_unawaited(const struct remote *remote)
{
	return remote->app_gone && !remote->relay.begun;
}

static void dispose(const struct remote *remote, enum dispose_class class, int fd)
{
	if (is_unawaited(remote))
		disposer_add_later(remote->apps->disposer, class, fd, NULL);
	else
		disposer_add(remote->apps->disposer, class, fd, NULL);
}

static void close_stand_in(struct remote *remote)
{
	struct apps *apps = remote->apps;

	if (remote->stand_in_fd < 0)
		return;
	loop_watch_remove(apps->loop, &remote->stand_in);
	dispose(remote, DISPOSE_SOCKET, remote->stand_in_fd);
	apps->fds_held--;
	remote->stand_in_fd = -1;
}

void remote_remove(struct remote *remote)
{
	struct apps *apps = remote->apps;

	list_remove(&remote->of_active);
	list_remove(&remote->of_late);
	list_remove(&remote->of_all);
	apps->remotes.count--;
	remote_relay_stop(remote);
	close_stand_in(remote);
	remote_tcp_close(remote);
	dispose(remote, disposer_class(remote->tcp.fd, true), remote->tcp.fd);
	remote_kept_leave(remote->map, is_unawaited(remote));
	remote_map_put(remote->map);
	apps->fds_held -= REMOTE_DESCRIPTORS - 1;
	remote->user->connections--;
	users_let_go(&apps->users, remote->user);
	free(remote);
}

void remote_mark(struct remote *remote, uint32_t marks)
{
	atomic_fetch_or(&remote->receive.shared->writer.marks, marks);
	remote_wake_reader(remote);
}

uint32_t remote_app_marks(const struct remote *remote)
{
	return atomic_load_explicit(&remote->send.shared->writer.marks, memory_order_acquire);
}

void remote_reset_application(struct remote *remote)
{
	remote->reset = true;
	close_stand_in(remote);
	/* Who sleeps on a bell looks; its end says the same. */
	remote_wake_reader(remote);
	remote_wake_writer(remote, SIZE_MAX);
}

/* The peer's stream has ended. */
static void ended(struct remote *remote, uint32_t flags)
{
	if (flags & CDC_ABNORMAL_CLOSE || remote->reset)
		return; /* PROTO_RESET follows, or went before */
	if (flags & CDC_CLOSED)
		remote->peer_closed = true;
	remote_mark(remote, flags & CDC_CLOSED ? MARK_SHUT | MARK_CLOSED : MARK_SHUT);
	if (!remote->peer_shut && !remote->app_gone)
		(void)shutdown(remote->stand_in_fd, SHUT_WR);
	remote->peer_shut = true;
}

static void gone(struct remote *remote)
{
	remote->connection = NULL;
	if (remote->phase == REMOTE_RELAY)
		return;
	remote->phase = REMOTE_ENDED;
}

/* Where the rendezvous led to, and how it ended. */
static void phase_act(struct remote *remote, const struct proto_action *action)
{
	/* (a Proposal that is still here has asked nobody) */
	if (action->mute && remote->tcp.negotiated[0])
		tcp_option_remember_mute(&remote->apps->tcp_option, remote->peer.bytes);
	switch (action->type) {
	case PROTO_CONNECTED:
		remote->phase = REMOTE_SMC;
		remote_mark(remote, MARK_ATTACHED);
		stats_smcr(remote->apps);
		break;
	case PROTO_FELL_BACK:
		remote->phase = REMOTE_RELAY;
		/* (who waits for it looks by itself) */
		atomic_fetch_or(&remote->receive.shared->writer.marks, MARK_DECLINED);
		remote_relay_begin(remote, action->late);
		stats_fell_back(remote->apps, action->number);
		break;
	case PROTO_ENDED:
		ended(remote, action->number);
		break;
	case PROTO_FAILED:
		stats_failed(remote->apps);
		remote_reset_application(remote);
		break;
	case PROTO_RESET:
		remote_reset_application(remote);
		break;
	case PROTO_GONE:
		gone(remote);
		break;
	default:
		break;
	}
}

void remote_act(struct remote *remote, const struct proto_action *action)
{
	switch (action->type) {
	case PROTO_TCP_SEND:
		remote_tcp_queue(remote, action->bytes, action->length);
		break;
	case PROTO_TCP_SHUT_DOWN_WRITE:
	case PROTO_TCP_SHUT_DOWN:
	case PROTO_TCP_RESET:
		remote_tcp_end(remote, action->type);
		break;
	case PROTO_URGENT:
		remote_urgent(remote, action->position);
		break;
	case PROTO_READABLE:
		ring_arrived(&remote->receive, action->position);
		remote_wake_reader(remote);
		break;
	case PROTO_RELEASED:
		remote_release(remote, action->position);
		break;
	default:
		phase_act(remote, action);
	}
	remote_activate(remote);
}

/* SO_LINGER of 0 resets; of more it holds up the application's close(), and no data is lost (as with TCP). */
static void close_connection(struct remote *remote)
{
	struct linger linger = {0};
	socklen_t size = sizeof(linger);

	(void)getsockopt(remote->tcp.fd, SOL_SOCKET, SO_LINGER, &linger, &size);
	if (linger.l_onoff && linger.l_linger == 0)
		connection_abort(remote->connection);
	else
		connection_close(remote->connection, CONNECTION_NO_LINGER);
}

/* What the application did, to the protocol; after remote_look(), which has told what it wrote before. */
static void tell_protocol(struct remote *remote)
{
	if (remote->told_close)
		return;
	if (remote->broken) {
		remote->told_close = true;
		remote_reset_application(remote);
		connection_abort(remote->connection);
	} else if (remote->reset) {
		remote->told_close = true;
		connection_close(remote->connection, CONNECTION_NO_LINGER);
	} else if (remote->app_gone) {
		remote_finish_later(remote);
	} else if (remote->app_shut && !remote->told_shut) {
		remote->told_shut = true;
		connection_shut_down(remote->connection);
	}
}

/* Data sent to a peer that has closed: TCP answers it by RST. */
static void refuse_data(struct remote *remote)
{
	int unread = 0;

	if (!remote->peer_closed || !remote->stand_in_rang)
		return;
	remote->stand_in_rang = false;
	if (remote->stand_in_fd >= 0 && ioctl(remote->stand_in_fd, SIOCINQ, &unread) == 0 &&
	    unread > 1)
		remote_reset_application(remote);
}

static struct rnic *rnic_of(struct proto_host *host)
{
	return list_owner(host, struct rnic, host);
}

/* One look; true if another is worth while. */
static bool work(struct remote *remote)
{
	bool news = false;

	if (!remote->watched && remote->phase == REMOTE_RENDEZVOUS)
		remote->tcp.look = true;
	if (remote_app_marks(remote) & MARK_GONE)
		remote->app_shut = remote->app_gone = true;
	remote_tcp_work(remote);
	if (remote->phase == REMOTE_RENDEZVOUS && remote->connection)
		rnic_give_answers(rnic_of(remote->connection->host));
	refuse_data(remote);
	if (remote->connection && !remote->told_close) {
		news = remote_look(remote);
		if (remote->connection)
			tell_protocol(remote);
	}
	if (remote->phase == REMOTE_RELAY) {
		if (remote_relay_work(remote))
			news = true;
		if (remote->broken) {
			remote_tcp_end(remote, PROTO_TCP_RESET);
			remote_reset_application(remote);
			remote->phase = REMOTE_ENDED;
		}
	}
	remote_tcp_work(remote);
	return news;
}

/* Is the caller at one of its descriptors? */
static bool is_called(const struct remote *remote)
{
	return remote->tcp.busy || remote_bells_busy(remote->map);
}

static bool is_over(const struct remote *remote)
{
	return remote->phase == REMOTE_ENDED && !remote->connection && !is_called(remote) &&
	       remote_tcp_idle(remote);
}

/* Nobody rings for it: it is looked at as long as something happens to it. */
static bool is_left_alone(const struct remote *remote)
{
	return remote->watched && (remote->phase == REMOTE_ENDED || remote->told_close);
}

/* Stay active for another look: true; or have the bells rung from now on. */
static bool look_again(struct remote *remote, bool news)
{
	if (news) {
		remote->vain_looks = 0;
	} else if (++remote->vain_looks == VAIN_LOOKS) {
		remote->vain_looks = 0;
		remote_arm(remote);
		if (!remote_has_news(remote))
			return false;
	}
	remote_disarm(remote);
	return true;
}

/* One look; it stays active unless it is over, or done with.  True: there was something new. */
static bool turn(struct remote *remote)
{
	bool news = work(remote);

	if (is_over(remote)) {
		remote_finish_later(remote);
		return false;
	}
	if (needs_watch(remote))
		watch(remote);
	if (!news && is_left_alone(remote))
		return false;
	if (news && remote->phase == REMOTE_SMC)
		follow_saw(&remote->apps->remotes.follow, ring_reader_processor(&remote->receive));
	if (look_again(remote, news) && list_empty(&remote->of_active))
		list_append(&remote->apps->remotes.active, &remote->of_active);
	return news;
}

static void take_all(struct list *from, struct list *taken)
{
	list_init(taken);
	list_each(node, after, from)
	{
		list_remove(node);
		list_append(taken, node);
	}
}

/* Who becomes active meanwhile waits for the next turn. */
static int look_at_all(void *context)
{
	struct apps *apps = context;
	struct remotes *remotes = &apps->remotes;
	struct list now;

	remote_kept_sweep(remotes);
	remotes->news = remotes->touched;
	remotes->touched = false;
	take_all(&remotes->active, &now);
	while (!list_empty(&now)) {
		struct remote *remote = list_owner(now.next, struct remote, of_active);

		list_remove(&remote->of_active);
		remotes->news |= turn(remote);
	}
	return LOOP_FOREVER;
}

/* Ask all to ring; those that have something after all stay active. */
static void arm_all(struct remotes *remotes)
{
	struct list now;

	take_all(&remotes->active, &now);
	while (!list_empty(&now)) {
		struct remote *remote = list_owner(now.next, struct remote, of_active);

		list_remove(&remote->of_active);
		watch(remote);
		if (is_left_alone(remote))
			continue;
		remote_arm(remote);
		if (remote_has_news(remote))
			remote_look_later(remote);
	}
}

/* (each step of it is a turn of the loop: that is pause enough) */
static void wait_anew(struct remotes *remotes)
{
	wait_begin(&remotes->wait, &remotes->habit, AWAKE_YIELDS, WAIT_PEER_ANYWHERE);
	remotes->wait.pauses = 0;
}

/* The application has closed; after a last look at what it wrote. */
static void finish_connection(struct remote *remote)
{
	if (!remote->app_gone || !remote->connection || remote->told_close)
		return;
	(void)remote_look(remote);
	remote_activate(remote);
	if (!remote->connection || remote->broken)
		return;
	remote->told_close = true;
	close_connection(remote);
}

void remotes_finish(struct apps *apps)
{
	struct list late;

	apps->remotes.put_off = 0;
	if (list_empty(&apps->remotes.late))
		return;
	loop_again(apps->loop); /* what is given back here is closed by the next turn */
	take_all(&apps->remotes.late, &late);
	while (!list_empty(&late)) {
		struct remote *remote = list_owner(late.next, struct remote, of_late);

		list_remove(&remote->of_late);
		finish_connection(remote);
		remote_tcp_finish(remote);
		if (is_over(remote))
			remote_remove(remote);
	}
}

bool remotes_rest(struct apps *apps, bool busy)
{
	struct remotes *remotes = &apps->remotes;
	const bool woken = !remotes->awake;

	if (list_empty(&remotes->active) && woken) {
		remotes_finish(apps);
		return false;
	}
	if (woken)
		wait_slept(&remotes->habit, rnic_now() - remotes->asleep_since);
	remotes->awake = true;
	if (busy || remotes->news || remotes->touched) {
		if (!woken)
			wait_found(&remotes->wait);
		wait_anew(remotes);
		remotes->quiet = 0;
		if (++remotes->put_off == PUT_OFF_MOST)
			remotes_finish(apps);
		follow_turn(&remotes->follow);
		if (++remotes->busy % BUSY_TURNS == 0)
			sched_yield(); /* to who waits for the news */
		return true;
	}
	remotes->busy = 0;
	if (++remotes->quiet >= QUIET_TURNS)
		remotes_finish(apps);
	if (wait_step(&remotes->wait))
		return true;
	remotes_finish(apps);
	if (remotes->touched)
		return true;
	arm_all(remotes);
	if (!list_empty(&remotes->active))
		return true;
	remotes->awake = false;
	remotes->asleep_since = rnic_now();
	return false;
}

void remotes_open(struct apps *apps)
{
	list_init(&apps->remotes.all);
	list_init(&apps->remotes.active);
	list_init(&apps->remotes.late);
	apps->remotes.count = 0;
	apps->remotes.awake = false;
	apps->remotes.maps_most = remote_maps_most();
	loop_task_add(apps->loop, look_at_all, apps);
}

void remotes_close(struct apps *apps)
{
	list_each(node, after, &apps->remotes.all)
	{
		struct remote *remote = list_owner(node, struct remote, of_all);

		remote_tcp_work(remote);
		remote_tcp_finish(remote);
		if (!is_called(remote)) /* what is called may never come back */
			remote_remove(remote);
	}
}

void remote_describe(const struct remote *remote, struct remote_facts *facts)
{
	*facts = (struct remote_facts){.cookie = remote->cookie,
				       .uid = remote->user->uid,
				       .local = remote->local,
				       .peer = remote->peer,
				       .connection = remote->connection,
				       .smc = remote->phase == REMOTE_SMC};
}
