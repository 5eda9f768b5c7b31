/* SPDX-License-Identifier: MIT */
#include "daemon/caller.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/log.h"

/**
 * struct worker - a thread
 * @running: what it is at
 * @seen: what it was at when the loop looked last
 * @left: another has taken over, or the end has come: it ends when it comes back
 * @sleeping: waits for something in the queue
 */
struct worker {
	struct caller *caller;
	struct call *running;
	const struct call *seen;
	bool left;
	bool sleeping;
};

static void append(struct calls *calls, struct call *call)
{
	call->next = NULL;
	if (calls->first)
		calls->last->next = call;
	else
		calls->first = call;
	calls->last = call;
}

static struct call *take(struct calls *calls)
{
	struct call *call = calls->first;

	if (call)
		calls->first = call->next;
	return call;
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct caller *caller = worker->caller;
	const uint64_t one = 1;

	prctl(PR_SET_NAME, "smcud-caller");
	pthread_mutex_lock(&caller->lock);
	while (!worker->left) {
		worker->running = take(&caller->queue);
		if (!worker->running) {
			worker->sleeping = true;
			pthread_cond_wait(&caller->more, &caller->lock);
			worker->sleeping = false;
			continue;
		}
		pthread_mutex_unlock(&caller->lock);
		worker->running->run(worker->running);
		pthread_mutex_lock(&caller->lock);
		append(&caller->finished, worker->running);
		(void)!write(caller->finished_watch.fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&caller->lock);
	free(worker);
	return NULL;
}

/* With the lock held.  It takes no signals: the loop does. */
static void start_worker(struct caller *caller)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	sigset_t all, before;
	pthread_t thread;
	int error = ENOMEM;

	if (worker) {
		worker->caller = caller;
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(&thread, NULL, worker_main, worker);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (error) {
		free(worker);
		return; /* once more with the next look */
	}
	pthread_detach(thread);
	caller->worker = worker;
}

/* @user has too many stuck: what he has in the queue waits until one of them returns.  With the lock held. */
static void park(struct caller *caller, const struct user *user)
{
	struct calls queue = caller->queue;
	struct call *call;

	caller->queue = (struct calls){0};
	while ((call = take(&queue)))
		append(call->user == user ? &caller->parked : &caller->queue, call);
}

/* The thread does not come back: somebody holds the socket's lock.  With the lock held. */
static void leave_worker(struct caller *caller)
{
	struct worker *worker = caller->worker;
	struct user *user = worker->running->user;

	worker->left = true;
	worker->running->stuck = true;
	caller->worker = NULL;
	if (++user->stuck == CALLER_STUCK_MAX) {
		log_client("calls on sockets of user %u do not return", (unsigned int)user->uid);
		park(caller, user);
	}
}

static void on_patience(void *context)
{
	struct caller *caller = context;
	struct worker *worker;

	pthread_mutex_lock(&caller->lock);
	worker = caller->worker;
	if (worker && worker->running && worker->running == worker->seen)
		leave_worker(caller);
	else if (worker)
		worker->seen = worker->running;
	if (!caller->worker && caller->queue.first)
		start_worker(caller);
	if (caller->queue.first || (caller->worker && caller->worker->running))
		loop_timer_start(caller->loop, &caller->patience, CALLER_PATIENCE_MS);
	pthread_mutex_unlock(&caller->lock);
}

static void queue(struct caller *caller, struct call *call)
{
	pthread_mutex_lock(&caller->lock);
	append(&caller->queue, call);
	if (!caller->worker)
		start_worker(caller);
	else if (caller->worker->sleeping)
		pthread_cond_signal(&caller->more);
	pthread_mutex_unlock(&caller->lock);
	if (!caller->patience.armed)
		loop_timer_start(caller->loop, &caller->patience, CALLER_PATIENCE_MS);
}

/* One came back: its user may have more. */
static void unpark(struct caller *caller)
{
	struct calls parked = caller->parked;
	struct call *call;

	caller->parked = (struct calls){0};
	while ((call = take(&parked)))
		caller_submit(caller, call);
}

static void on_finished(void *context, uint32_t events)
{
	struct caller *caller = context;
	struct calls finished;
	struct call *call;
	uint64_t count;

	(void)events;
	(void)!read(caller->finished_watch.fd, &count, sizeof(count));
	pthread_mutex_lock(&caller->lock);
	finished = caller->finished;
	caller->finished = (struct calls){0};
	if (caller->worker)
		caller->worker->seen = NULL; /* the same call may be made again */
	pthread_mutex_unlock(&caller->lock);
	while ((call = take(&finished))) {
		if (call->stuck) {
			call->stuck = false;
			call->user->stuck--;
			unpark(caller);
		}
		call->done(call);
	}
}

int caller_open(struct caller *caller, struct loop *loop, uid_t trusted)
{
	*caller = (struct caller){.loop = loop, .trusted = trusted};
	caller->patience = (struct loop_timer){.handler = on_patience, .context = caller};
	pthread_mutex_init(&caller->lock, NULL);
	pthread_cond_init(&caller->more, NULL);
	caller->finished_watch =
		(struct loop_watch){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), on_finished, caller};
	if (caller->finished_watch.fd < 0)
		return -errno;
	return loop_watch_add(loop, &caller->finished_watch, EPOLLIN);
}

void caller_close(struct caller *caller)
{
	loop_timer_stop(caller->loop, &caller->patience);
	pthread_mutex_lock(&caller->lock);
	if (caller->worker) {
		caller->worker->left = true;
		pthread_cond_signal(&caller->more);
	}
	caller->queue = (struct calls){0};
	pthread_mutex_unlock(&caller->lock);
}

void caller_submit(struct caller *caller, struct call *call)
{
	if (call->user->uid == caller->trusted) {
		call->run(call);
		call->done(call);
	} else if (call->user->stuck >= CALLER_STUCK_MAX) {
		append(&caller->parked, call);
	} else {
		queue(caller, call);
	}
}
