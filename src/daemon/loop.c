/* SPDX-License-Identifier: MIT */
#include "daemon/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_A_TURN 64

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int loop_open(struct loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	loop->now = monotonic_ms();
	return 0;
}

void loop_close(struct loop *loop)
{
	close(loop->epoll);
	loop->epoll = -1;
}

int loop_watch_add(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? -errno : 0;
}

void loop_watch_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	if (watch->fd >= 0)
		epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_watch_remove(struct loop *loop, struct loop_watch *watch)
{
	if (watch->fd >= 0)
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->armed)
		return;
	if (timer->previous)
		timer->previous->next = timer->next;
	else
		loop->timers = timer->next;
	if (timer->next)
		timer->next->previous = timer->previous;
	else
		loop->timers_last = timer->previous;
	timer->armed = false;
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t delay)
{
	struct loop_timer *before;

	loop_timer_stop(loop, timer);
	timer->deadline = loop->now + delay;
	for (before = loop->timers_last; before; before = before->previous)
		if (before->deadline <= timer->deadline)
			break;
	timer->previous = before;
	timer->next = before ? before->next : loop->timers;
	if (before)
		before->next = timer;
	else
		loop->timers = timer;
	if (timer->next)
		timer->next->previous = timer;
	else
		loop->timers_last = timer;
	timer->armed = true;
}

void loop_task_add(struct loop *loop, int (*run)(void *context), void *context)
{
	assert(loop->task_count < LOOP_TASKS_MAX);
	loop->tasks[loop->task_count++] = (struct loop_task){run, context};
}

static void fire_timers(struct loop *loop)
{
	struct loop_timer *timer;

	while ((timer = loop->timers) && timer->deadline <= loop->now) {
		loop_timer_stop(loop, timer);
		timer->handler(timer->context);
	}
}

static int shorter(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* Run the tasks; how long may the loop sleep now? */
static int run_tasks(struct loop *loop)
{
	int sleep = LOOP_FOREVER;
	unsigned int i;
	int64_t left;

	loop->again = false;
	for (i = 0; i < loop->task_count; i++)
		sleep = shorter(sleep, loop->tasks[i].run(loop->tasks[i].context));
	if (loop->again)
		return 0;
	if (!loop->timers)
		return sleep;
	left = loop->timers->deadline - loop->now;
	if (left < 0)
		left = 0;
	return shorter(sleep, left > INT_MAX ? INT_MAX : (int)left);
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_A_TURN];
	int i, count, sleep;

	for (;;) {
		sleep = run_tasks(loop);
		if (loop->stopping) {
			loop->stopping = false;
			return 0;
		}
		count = epoll_wait(loop->epoll, events, EVENTS_A_TURN, sleep);
		if (count < 0 && errno != EINTR)
			return -errno;
		loop->now = monotonic_ms();
		for (i = 0; i < count; i++) {
			struct loop_watch *watch = events[i].data.ptr;

			if (watch->fd >= 0)
				watch->handler(watch->context, events[i].events);
		}
		fire_timers(loop);
	}
}

void loop_again(struct loop *loop)
{
	loop->again = true;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}
