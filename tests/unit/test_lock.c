/* SPDX-License-Identifier: MIT */
/*
 * The lock in shared memory: one holder at a time, whoever is killed with it
 */
#include "ring/lock.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring/side.h"
#include "unit.h"

#define STUCK_SECONDS 10 /* who waits for so long waits for ever: SIGALRM ends the program */

/**
 * struct shared - what threads and children see
 * @count: guarded by @lock, and by nothing else
 */
struct shared {
	_Atomic uint32_t lock;
	uint64_t count;
	_Atomic uint32_t taken;
	_Atomic bool dropped;
};

static uint32_t own_tid(void)
{
	return (uint32_t)syscall(SYS_gettid);
}

static int shared_make(void **state)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*state = shared;
	alarm(STUCK_SECONDS);
	return shared == MAP_FAILED ? -1 : 0;
}

static int shared_drop(void **state)
{
	alarm(0);
	return munmap(*state, sizeof(struct shared));
}

/* Add @n to the count in two steps that another holder would spoil. */
static void count_up(struct shared *shared, unsigned int n)
{
	uint32_t tid = own_tid();

	for (unsigned int i = 0; i < n; i++) {
		uint64_t count;

		if (lock_take(&shared->lock, tid) < 0)
			abort();
		count = shared->count;
		if (i % 64 == 0)
			sched_yield();
		shared->count = count + 1;
		lock_drop(&shared->lock);
	}
}

#define THREADS 4
#define THREAD_COUNTS 10000

static void *count_in_thread(void *shared)
{
	count_up(shared, THREAD_COUNTS);
	return NULL;
}

static void threads_exclude_each_other(void **state)
{
	struct shared *shared = *state;
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_in_thread, shared), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(shared->count, THREADS * THREAD_COUNTS);
	assert_int_equal(shared->lock, 0);
}

static void processes_exclude_each_other(void **state)
{
	struct shared *shared = *state;
	int status;

	for (int i = 0; i < 3; i++) {
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			count_up(shared, 5000);
			_exit(0);
		}
	}
	count_up(shared, 5000);
	for (int i = 0; i < 3; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(shared->count, 4 * 5000);
	assert_int_equal(shared->lock, 0);
}

static void the_holder_itself_is_told(void **state)
{
	struct shared *shared = *state;
	uint32_t tid = own_tid();

	assert_int_equal(lock_take(&shared->lock, tid), 0);
	assert_int_equal(lock_take(&shared->lock, tid), -EDEADLK);
	assert_int_equal(shared->lock, tid);
	/* Also when others wait. */
	shared->lock = tid | SIDE_LOCK_WAITERS;
	assert_int_equal(lock_take(&shared->lock, tid), -EDEADLK);
	assert_int_equal(shared->lock, tid | SIDE_LOCK_WAITERS);
	lock_drop(&shared->lock);
	assert_int_equal(shared->lock, 0);
	assert_int_equal(lock_take(&shared->lock, tid), 0);
	lock_drop(&shared->lock);
}

/* A child that takes the lock and keeps it until it is killed. */
static pid_t holder_start(struct shared *shared)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (lock_take(&shared->lock, own_tid()) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	while (shared->lock == 0)
		sched_yield();
	return child;
}

static void a_killed_holder_loses_it(void **state)
{
	struct shared *shared = *state;
	uint32_t tid = own_tid();

	for (int i = 0; i < 20; i++) {
		pid_t child = holder_start(shared);

		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(shared->lock, child);
		errno = 4711;
		assert_int_equal(lock_take(&shared->lock, tid), 0);
		assert_int_equal(errno, 4711);
		assert_int_equal(shared->lock & ~SIDE_LOCK_WAITERS, tid);
		lock_drop(&shared->lock);
		assert_int_equal(shared->lock, 0);
	}
}

/*
 * The parent of a pre-forked server may want the lock before it gets to wait(2): until then, the
 * dead child still has its number.
 */
static void a_killed_holder_that_nobody_waited_for_loses_it(void **state)
{
	struct shared *shared = *state;
	pid_t child = holder_start(shared);
	siginfo_t info;

	kill(child, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(lock_take(&shared->lock, own_tid()), 0);
	lock_drop(&shared->lock);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void *take_and_end(void *argument)
{
	struct shared *shared = argument;

	return (void *)(intptr_t)lock_take(&shared->lock, own_tid());
}

static void a_thread_that_ended_loses_it(void **state)
{
	struct shared *shared = *state;
	pthread_t thread;
	void *error;

	assert_int_equal(pthread_create(&thread, NULL, take_and_end, shared), 0);
	assert_int_equal(pthread_join(thread, &error), 0);
	assert_null(error);
	assert_int_not_equal(shared->lock, 0);
	assert_int_equal(lock_take(&shared->lock, own_tid()), 0);
	lock_drop(&shared->lock);
}

/* Several wait for a dead holder: one of them gets it. */
static void only_one_takes_over(void **state)
{
	struct shared *shared = *state;

	for (int round = 0; round < 10; round++) {
		pid_t holder = holder_start(shared), children[2];
		int status;

		for (int i = 0; i < 2; i++) {
			children[i] = fork();
			assert_true(children[i] >= 0);
			if (children[i] == 0) {
				count_up(shared, 500);
				_exit(0);
			}
		}
		kill(holder, SIGKILL);
		count_up(shared, 500);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(waitpid(children[i], &status, 0), children[i]);
			assert_int_equal(status, 0);
		}
		assert_int_equal(waitpid(holder, NULL, 0), holder);
	}
	assert_int_equal(shared->count, 10 * 3 * 500);
}

static void a_living_holder_keeps_it(void **state)
{
	struct shared *shared = *state;
	const struct timespec moment = {.tv_nsec = 60000000};
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (lock_take(&shared->lock, own_tid()) < 0)
			_exit(1);
		atomic_store(&shared->taken, 1);
		nanosleep(&moment, NULL);
		atomic_store(&shared->dropped, true);
		lock_drop(&shared->lock);
		_exit(0);
	}
	while (!atomic_load(&shared->taken))
		sched_yield();
	assert_int_equal(lock_take(&shared->lock, own_tid()), 0);
	assert_true(atomic_load(&shared->dropped));
	lock_drop(&shared->lock);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void *take_and_drop(void *argument)
{
	struct shared *shared = argument;

	if (lock_take(&shared->lock, own_tid()) < 0)
		return shared;
	shared->count++;
	lock_drop(&shared->lock);
	return NULL;
}

static void all_who_wait_get_their_turn(void **state)
{
	struct shared *shared = *state;
	pthread_t threads[THREADS];
	void *error;

	assert_int_equal(lock_take(&shared->lock, own_tid()), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_drop, shared), 0);
	while (!(shared->lock & SIDE_LOCK_WAITERS))
		sched_yield();
	assert_int_equal(shared->lock, own_tid() | SIDE_LOCK_WAITERS);
	assert_int_equal(shared->count, 0);
	lock_drop(&shared->lock);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &error), 0);
		assert_null(error);
	}
	assert_int_equal(shared->count, THREADS);
	assert_int_equal(shared->lock, 0);
}

#define lock_test(name) cmocka_unit_test_setup_teardown(name, shared_make, shared_drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lock_test(threads_exclude_each_other),
		lock_test(processes_exclude_each_other),
		lock_test(the_holder_itself_is_told),
		lock_test(a_killed_holder_loses_it),
		lock_test(a_killed_holder_that_nobody_waited_for_loses_it),
		lock_test(a_thread_that_ended_loses_it),
		lock_test(only_one_takes_over),
		lock_test(a_living_holder_keeps_it),
		lock_test(all_who_wait_get_their_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
