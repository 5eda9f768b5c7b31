/* SPDX-License-Identifier: MIT */
/*
 * The loop of a worker: accepts or connects, drives its tasks, waits by poll or epoll, or in blocking
 * calls where it has but one direction of one connection
 */
#include "chaos.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONGEST_WAIT_MS 100

/* --- the board --- */

static struct worker_slot *slot_of(const struct worker *worker)
{
	return &board->worker[worker->id];
}

void worker_turns(const struct worker *worker, enum worker_state from, enum worker_state to)
{
	uint32_t expected = from;

	if (atomic_compare_exchange_strong(&slot_of(worker)->state, &expected, to))
		return;
	for (;;)
		pause(); /* for the SIGKILL */
}

static unsigned int population(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < WORKERS; i++) {
		uint32_t state = board->worker[i].state;

		count += state != WORKER_FREE && state != WORKER_KILLED && state != WORKER_LEFT;
	}
	return count;
}

int worker_reserve(unsigned int side, bool lasting)
{
	if (!lasting && population() >= board->most_workers)
		return -1;
	for (unsigned int i = 0; i < WORKERS; i++) {
		uint32_t expected = WORKER_FREE;

		if (!atomic_compare_exchange_strong(&board->worker[i].state, &expected,
						    WORKER_STARTING))
			continue;
		board->worker[i].side = side;
		board->worker[i].lasting = lasting;
		return (int)i;
	}
	return -1;
}

static void choose_driver(struct worker *worker)
{
	worker->driver = (enum driver)dice_below(&worker->dice, DRIVERS);
	worker->epoll = worker->driver == DRIVER_POLL ? -1 : epoll_create1(EPOLL_CLOEXEC);
}

void worker_start(struct worker *worker, uint32_t id)
{
	uint32_t expected = WORKER_STARTING;
	struct worker_slot *slot = &board->worker[id];

	worker->id = id;
	slot->pid = getpid();
	if (!atomic_compare_exchange_strong(&slot->state, &expected, WORKER_TAKING))
		die("a place was given away before it was taken");
	atomic_fetch_add(&board->processes, 1);
	choose_driver(worker);
}

static void nothing(int signal_number)
{
	(void)signal_number;
}

void worker_begin(struct worker *worker, uint32_t id, const char *tasks)
{
	const struct sigaction nudge = {.sa_handler = nothing};

	sigaction(SIGUSR1, &nudge, NULL); /* it was ignored across the exec */
	worker->id = id;
	if (slot_of(worker)->pid != getpid()) {
		worker_start(worker, id);
		tasks_from_argument(worker, tasks);
		worker_turns(worker, WORKER_TAKING, WORKER_READY);
	} else {
		choose_driver(worker);
		tasks_from_argument(worker, tasks);
	}
}

bool task_claim(const struct worker *worker, uint32_t number, unsigned int side, unsigned int does)
{
	struct end_state *end = end_of(number, side);

	for (unsigned int way = 0; way < WAYS; way++) {
		uint32_t owner = atomic_load(&end->owner[way]);

		if (!(does & DOES(way)))
			continue;
		do {
			if (owner == OWNER_DEAD || owner == OWNER_OVER)
				return false;
		} while (!atomic_compare_exchange_weak(&end->owner[way], &owner, worker->id + 1));
	}
	return true;
}

void task_release(struct worker *worker, struct task *task, unsigned int does)
{
	struct end_state *end = end_of(task->number, task->side);

	task_unwatch(worker, task);
	for (unsigned int way = 0; way < WAYS; way++)
		if (does & DOES(way))
			atomic_fetch_or(&end->owner[way], OWNER_MOVING);
}

struct task *task_add(struct worker *worker, uint32_t number, unsigned int side, unsigned int does,
		      int fd)
{
	struct task *task;

	if (worker->count == TASKS)
		die("too many tasks");
	task = &worker->tasks[worker->count++];
	memset(task, 0, sizeof(*task));
	task->number = number;
	task->side = side;
	task->does = does;
	task->fd = fd;
	task->ready = DOES_BOTH;
	plan_make(&task->plan, number);
	return task;
}

void task_forget(struct worker *worker, unsigned int index)
{
	worker->tasks[index] = worker->tasks[--worker->count];
}

/* --- new connections --- */

static struct task *task_begin(struct worker *worker, uint32_t number, unsigned int side, int fd)
{
	struct end_state *end = end_of(number, side);
	struct task *task = task_add(worker, number, side, DOES_BOTH, fd);
	int one = 1;

	for (unsigned int way = 0; way < WAYS; way++)
		end->dice[way].state = mix(board->seed, ((uint64_t)number << 8) | side << 1 | way);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (task->plan.nonblocking[side])
		set_nonblocking(fd, 1);
	return task;
}

static void accept_one(struct worker *worker)
{
	struct sockaddr_in peer = {0};
	socklen_t length = sizeof(peer);
	int fd = accept4(board->listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
	uint32_t number = ntohl(peer.sin_addr.s_addr) - SOURCE_BASE;

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR)
			die("accept");
		return;
	}
	if (number >= board->next)
		die("a connection from nowhere: %s", inet_ntoa(peer.sin_addr));
	if (!task_claim(worker, number, worker->side, DOES_BOTH)) {
		close(fd);
		return;
	}
	task_begin(worker, number, worker->side, fd);
	event_after(worker, worker->count - 1, true);
}

static void connect_one(struct worker *worker)
{
	const uint32_t number = atomic_fetch_add(&board->next, 1);
	int fd;

	if (number >= CONNECTIONS)
		die("too many connections");
	(void)task_claim(worker, number, worker->side, DOES_BOTH);
	fd = connect_local(board->port, SOURCE_BASE + number);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		die("F_SETFD");
	task_begin(worker, number, worker->side, fd);
	event_after(worker, worker->count - 1, true);
}

/* --- waiting --- */

static uint64_t key_of(const struct task *task)
{
	return (uint64_t)task->number << 8 | task->side << 4 | task->does;
}

static unsigned int events_of(unsigned int does)
{
	return (does & DOES(WAY_READ) ? EPOLLIN : 0U) | (does & DOES(WAY_WRITE) ? EPOLLOUT : 0U);
}

static void note(struct task *task, unsigned int events)
{
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		task->ready |= DOES(WAY_READ);
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		task->ready |= DOES(WAY_WRITE);
}

void task_unwatch(const struct worker *worker, struct task *task)
{
	if (task->watched && epoll_ctl(worker->epoll, EPOLL_CTL_DEL, task->fd, NULL) < 0)
		die("EPOLL_CTL_DEL");
	task->watched = 0;
	task->ready = DOES_BOTH;
}

static void task_watch(const struct worker *worker, struct task *task)
{
	const bool edge = worker->driver == DRIVER_EPOLL_EDGE;
	const unsigned int wants = edge ? DOES_BOTH : task_wants(task);
	struct epoll_event event = {.events = events_of(wants) | (edge ? EPOLLET : 0U),
				    .data.u64 = key_of(task)};

	if (!wants && task->watched)
		task_unwatch(worker, task);
	if (wants == task->watched)
		return;
	if (epoll_ctl(worker->epoll, task->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, task->fd,
		      &event) < 0)
		die("epoll_ctl");
	task->watched = wants;
}

static void wait_epoll(struct worker *worker, int timeout)
{
	struct epoll_event events[TASKS];
	int n = epoll_wait(worker->epoll, events, TASKS, timeout);

	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	if (worker->driver == DRIVER_EPOLL_LEVEL)
		for (unsigned int i = 0; i < worker->count; i++)
			worker->tasks[i].ready = 0;
	for (int i = 0; i < n; i++)
		for (unsigned int t = 0; t < worker->count; t++)
			if (key_of(&worker->tasks[t]) == events[i].data.u64)
				note(&worker->tasks[t], events[i].events);
}

/* How long may the wait take?  0 when an edge is still to be served. */
static int longest_wait(const struct worker *worker)
{
	uint64_t now = now_ms(), until = now + LONGEST_WAIT_MS;

	for (unsigned int i = 0; i < worker->count; i++) {
		const struct task *task = &worker->tasks[i];

		if (worker->driver == DRIVER_EPOLL_EDGE && (task_wants(task) & task->ready))
			return 0;
		if (task->rest_until > now && task->rest_until < until)
			until = task->rest_until;
	}
	return (int)(until - now);
}

static void take_new(struct worker *worker, const struct pollfd *mail,
		     const struct pollfd *listener)
{
	if (mail->revents)
		mail_receive(worker);
	if (listener->revents && worker->count < NEW_TASKS)
		accept_one(worker);
}

/* Mail and listener by poll, and beside them the tasks, or the epoll with the tasks. */
static void worker_wait(struct worker *worker)
{
	const bool takes = worker->count < TASKS;
	const bool accepts =
		worker->side == 1 && slot_of(worker)->lasting && worker->count < NEW_TASKS;
	const int timeout = longest_wait(worker);
	struct pollfd fds[TASKS + 2] = {
		{.fd = takes ? board->mail[worker->side][0] : -1, .events = POLLIN},
		{.fd = accepts ? board->listener : -1, .events = POLLIN},
		{.fd = worker->epoll, .events = POLLIN},
	};
	nfds_t count = worker->epoll >= 0 ? 3 : 2;

	if (worker->epoll >= 0) {
		for (unsigned int i = 0; i < worker->count; i++)
			task_watch(worker, &worker->tasks[i]);
		if (!takes) {
			wait_epoll(worker, timeout);
			return;
		}
	} else {
		for (unsigned int i = 0; i < worker->count; i++) {
			unsigned int wants = task_wants(&worker->tasks[i]);

			fds[count].fd = wants ? worker->tasks[i].fd : -1;
			fds[count++].events = (short)events_of(wants);
		}
	}
	if (poll(fds, count, timeout) < 0) {
		if (errno != EINTR)
			die("poll");
		return;
	}
	if (worker->epoll >= 0) {
		wait_epoll(worker, 0);
	} else {
		for (unsigned int i = 0; i < worker->count; i++) {
			worker->tasks[i].ready = 0;
			note(&worker->tasks[i], (unsigned int)fds[2 + i].revents);
		}
	}
	take_new(worker, &fds[0], &fds[1]);
}

/* --- the loop --- */

/* One direction of a blocking socket, and nothing else: calls that sleep. */
static bool may_block(const struct worker *worker)
{
	const struct task *task = &worker->tasks[0];

	return !slot_of(worker)->lasting && worker->count == 1 && task->does != DOES_BOTH &&
	       !task->plan.nonblocking[task->side];
}

static void drive(struct worker *worker, bool blocking)
{
	for (unsigned int i = 0; i < worker->count;) {
		struct task *task = &worker->tasks[i];
		const uint64_t key = key_of(task);

		if (blocking)
			task->ready = DOES_BOTH;
		if (!task_step(task, blocking)) {
			event_after(worker, i, false);
		} else {
			task_unwatch(worker, task); /* another process may still hold the socket */
			task_finish(task);
			task_forget(worker, i);
			continue;
		}
		/* It may have gone, and another have come to its place; or we are another process. */
		if (i < worker->count && key_of(&worker->tasks[i]) == key)
			i++;
	}
}

static void close_kept(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->kept_count;) {
		if (worker->kept_until[i] > now_ms()) {
			i++;
			continue;
		}
		close(worker->kept[i]);
		worker->kept_count--;
		worker->kept[i] = worker->kept[worker->kept_count];
		worker->kept_until[i] = worker->kept_until[worker->kept_count];
	}
}

static void leave_if_idle(struct worker *worker)
{
	if (worker->count || (slot_of(worker)->lasting && board->stopping < 2))
		return;
	worker_turns(worker, WORKER_READY, WORKER_LEFT);
	if (dice_below(&worker->dice, 2))
		exit(0);
	_exit(0);
}

static bool wants_to_connect(struct worker *worker)
{
	return worker->side == 0 && slot_of(worker)->lasting && !board->stopping &&
	       worker->count < NEW_TASKS && dice_below(&worker->dice, 2U + 4U * worker->count) == 0;
}

void worker_run(struct worker *worker)
{
	for (;;) {
		const bool blocking = may_block(worker);

		if (!blocking)
			worker_wait(worker);
		else if (worker->tasks[0].rest_until > now_ms())
			sleep_us((unsigned int)(worker->tasks[0].rest_until - now_ms()) * 1000U);
		drive(worker, blocking);
		close_kept(worker);
		if (wants_to_connect(worker))
			connect_one(worker);
		leave_if_idle(worker);
		if (kill(board->master, 0) < 0)
			_exit(1); /* nobody judges us any more */
	}
}
