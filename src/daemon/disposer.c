/* SPDX-License-Identifier: MIT */
#include "daemon/disposer.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_ITEMS 126U

struct item {
	int fd;
	_Atomic uint32_t *blame;
};

/**
 * struct chunk - a piece of a queue: filled by the loop, emptied by the thread
 */
struct chunk {
	struct chunk *next;
	uint32_t count;
	struct item items[CHUNK_ITEMS];
};

/**
 * struct lane - one queue and its thread
 * @filling: chunk that the loop adds to; the thread does not see it before disposer_wake()
 * @urgent: there is something in @filling that is not to wait; else it waits since @waits_since, 0: not yet
 * @lock: protects @first, @last, @asleep, @ending
 * @first, @last: chunks handed to the thread
 * @added: descriptors added by the loop, ever; @handed: those that the thread was given
 * @closed: descriptors closed by the thread, ever
 * @seen: @closed when the loop looked last; @seen_at: when that was
 * @patience: milliseconds from then until the thread is poked
 * @stuck: was found stuck and has not been idle since
 */
struct lane {
	struct chunk *filling;
	bool urgent;
	int64_t waits_since;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct chunk *first;
	struct chunk *last;
	bool asleep;
	bool ending;
	bool started;
	pthread_t thread;
	uint64_t added;
	uint64_t handed;
	_Atomic uint64_t closed;
	uint64_t seen;
	int64_t seen_at;
	int patience;
	bool stuck;
	const char *name;
};

/**
 * struct disposer - all of it
 * @idle: the last look found nothing left, and nothing was added since: the loop asks in each of its turns
 */
struct disposer {
	struct lane lanes[DISPOSE_CLASSES];
	bool idle;
};

static const char *const lane_names[DISPOSE_CLASSES] = {"smcud-quick", "smcud-socket",
							"smcud-foreign"};

static void nothing(int signal)
{
	(void)signal;
}

static void close_chunk(struct lane *lane, struct chunk *chunk)
{
	uint32_t i;

	for (i = 0; i < chunk->count; i++) {
		close(chunk->items[i].fd);
		if (chunk->items[i].blame)
			atomic_fetch_sub(chunk->items[i].blame, 1);
		atomic_fetch_add_explicit(&lane->closed, 1, memory_order_release);
	}
	free(chunk);
}

static struct chunk *next_chunk(struct lane *lane)
{
	struct chunk *chunk;

	pthread_mutex_lock(&lane->lock);
	while (!lane->first && !lane->ending) {
		lane->asleep = true;
		pthread_cond_wait(&lane->more, &lane->lock);
		lane->asleep = false;
	}
	chunk = lane->first;
	if (chunk)
		lane->first = chunk->next;
	if (!lane->first)
		lane->last = NULL;
	pthread_mutex_unlock(&lane->lock);
	return chunk;
}

static void *lane_main(void *argument)
{
	struct lane *lane = argument;
	struct chunk *chunk;

	prctl(PR_SET_NAME, lane->name);
	while ((chunk = next_chunk(lane)))
		close_chunk(lane, chunk);
	return NULL;
}

/* The thread takes no signal but SIGUSR1; the loop takes all others through its signalfd. */
static int lane_start(struct lane *lane)
{
	struct sigaction action = {.sa_handler = nothing};
	sigset_t all, before;
	int error;

	sigaction(SIGUSR1, &action, NULL);
	sigfillset(&all);
	sigdelset(&all, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&lane->thread, NULL, lane_main, lane);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	lane->started = !error;
	return -error;
}

struct disposer *disposer_open(void)
{
	struct disposer *disposer = calloc(1, sizeof(*disposer));
	unsigned int i;

	if (!disposer)
		return NULL;
	for (i = 0; i < DISPOSE_CLASSES; i++) {
		pthread_mutex_init(&disposer->lanes[i].lock, NULL);
		pthread_cond_init(&disposer->lanes[i].more, NULL);
		disposer->lanes[i].name = lane_names[i];
	}
	return disposer;
}

/* Not freed: a thread may be stuck in there, and the process ends anyway. */
void disposer_close(struct disposer *disposer)
{
	unsigned int i;

	disposer_wake(disposer);
	for (i = 0; i < DISPOSE_CLASSES; i++) {
		struct lane *lane = &disposer->lanes[i];

		if (!lane->started)
			continue;
		pthread_mutex_lock(&lane->lock);
		lane->ending = true;
		pthread_cond_signal(&lane->more);
		pthread_mutex_unlock(&lane->lock);
		pthread_detach(lane->thread);
	}
}

enum dispose_class disposer_class(int fd, bool internet)
{
	struct linger linger;
	socklen_t size = sizeof(linger);
	int domain = AF_UNSPEC;

	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) < 0)
		return fcntl(fd, F_GET_SEALS) < 0 ? DISPOSE_FOREIGN : DISPOSE_QUICK;
	if (linger.l_onoff && linger.l_linger)
		return DISPOSE_SOCKET;
	size = sizeof(domain);
	if (!internet && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0)
		internet = domain == AF_INET || domain == AF_INET6;
	return internet ? DISPOSE_QUICK : DISPOSE_SOCKET;
}

/* Give the thread what was collected.  @wake: and see that it runs. */
static void lane_hand_over(struct lane *lane, bool wake)
{
	struct chunk *chunk = lane->filling;
	bool asleep;

	if (!chunk)
		return;
	lane->filling = NULL;
	lane->urgent = false;
	lane->waits_since = 0;
	lane->handed += chunk->count;
	pthread_mutex_lock(&lane->lock);
	if (lane->last)
		lane->last->next = chunk;
	else
		lane->first = chunk;
	lane->last = chunk;
	asleep = lane->asleep;
	pthread_mutex_unlock(&lane->lock);
	if (!lane->started)
		lane_start(lane);
	else if (asleep && wake)
		pthread_cond_signal(&lane->more);
}

static void lane_add(struct lane *lane, int fd, _Atomic uint32_t *blame)
{
	struct chunk *chunk = lane->filling;

	if (!chunk) {
		chunk = malloc(sizeof(*chunk));
		if (!chunk) {
			close(fd);
			return;
		}
		chunk->next = NULL;
		chunk->count = 0;
		lane->filling = chunk;
	}
	if (blame)
		atomic_fetch_add(blame, 1);
	chunk->items[chunk->count++] = (struct item){fd, blame};
	lane->added++;
	if (chunk->count == CHUNK_ITEMS)
		lane_hand_over(lane, true);
}

void disposer_add(struct disposer *disposer, enum dispose_class class, int fd,
		  _Atomic uint32_t *blame)
{
	disposer->idle = false;
	disposer->lanes[class].urgent = true;
	lane_add(&disposer->lanes[class], fd, blame);
}

void disposer_add_later(struct disposer *disposer, enum dispose_class class, int fd,
			_Atomic uint32_t *blame)
{
	disposer->idle = false;
	lane_add(&disposer->lanes[class], fd, blame);
}

void disposer_wake(struct disposer *disposer)
{
	unsigned int i;

	for (i = 0; i < DISPOSE_CLASSES; i++)
		lane_hand_over(&disposer->lanes[i], true);
}

/* Hand over what is to wait no longer; milliseconds until there is something, -1: nothing waits. */
static int lane_collect(struct lane *lane, int64_t now)
{
	if (!lane->filling)
		return -1;
	if (!lane->waits_since)
		lane->waits_since = now;
	if (!lane->urgent && lane->filling->count < DISPOSER_LATER_MOST &&
	    now - lane->waits_since < DISPOSER_LATER_MS)
		return (int)(lane->waits_since + DISPOSER_LATER_MS - now);
	lane_hand_over(lane, true);
	return -1;
}

static uint64_t lane_left(const struct lane *lane)
{
	return lane->handed - atomic_load_explicit(&lane->closed, memory_order_acquire);
}

uint32_t disposer_backlog(const struct disposer *disposer)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < DISPOSE_CLASSES; i++)
		sum += lane_left(&disposer->lanes[i]) + disposer->lanes[i].added -
		       disposer->lanes[i].handed;
	return (uint32_t)sum;
}

static int lane_watch(struct lane *lane, int64_t now)
{
	uint64_t closed;

	if (!lane_left(lane)) {
		lane->stuck = false;
		lane->seen = UINT64_MAX;
		return -1;
	}
	if (!lane->started && lane_start(lane) < 0)
		return DISPOSER_PATIENCE_MOST_MS;
	closed = atomic_load_explicit(&lane->closed, memory_order_acquire);
	if (closed != lane->seen) {
		lane->seen = closed;
		lane->seen_at = now;
		lane->patience = lane->stuck ? 1 : DISPOSER_PATIENCE_MS;
	} else if (now - lane->seen_at >= lane->patience) {
		pthread_kill(lane->thread, SIGUSR1);
		lane->seen_at = now;
		lane->patience = lane->stuck ? 2 * lane->patience : 1;
		if (lane->patience > DISPOSER_PATIENCE_MOST_MS)
			lane->patience = DISPOSER_PATIENCE_MOST_MS;
		lane->stuck = true;
	}
	return lane->patience;
}

static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

int disposer_watch(struct disposer *disposer, int64_t now)
{
	int soonest = -1;
	unsigned int i;

	if (disposer->idle)
		return -1;
	for (i = 0; i < DISPOSE_CLASSES; i++) {
		soonest = sooner(soonest, lane_collect(&disposer->lanes[i], now));
		soonest = sooner(soonest, lane_watch(&disposer->lanes[i], now));
	}
	disposer->idle = soonest < 0;
	return soonest;
}
