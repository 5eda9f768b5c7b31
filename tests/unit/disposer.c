/* SPDX-License-Identifier: MIT */
/*
 * What may wait to be closed waits for others, but not for ever
 */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "daemon/disposer.h"

#define START 1000 /* milliseconds */
#define TURNS 3000U

static struct disposer *disposer;

static int open_one(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Its thread closes it. */
static void await_close(int fd)
{
	for (unsigned int i = 0; i < TURNS && is_open(fd); i++)
		usleep(1000);
	assert_false(is_open(fd));
}

static void what_may_wait_is_closed_when_its_time_has_come(void **state)
{
	int fd = open_one();

	(void)state;
	disposer_add_later(disposer, DISPOSE_QUICK, fd, NULL);
	assert_int_equal(disposer_watch(disposer, START), DISPOSER_LATER_MS);
	assert_int_equal(disposer_watch(disposer, START + DISPOSER_LATER_MS - 1), 1);
	assert_int_equal(disposer_backlog(disposer), 1);
	assert_true(is_open(fd));
	(void)disposer_watch(disposer, START + DISPOSER_LATER_MS);
	await_close(fd);
}

static void what_is_urgent_takes_along_what_waits(void **state)
{
	int waits = open_one(), urgent = open_one();

	(void)state;
	disposer_add_later(disposer, DISPOSE_QUICK, waits, NULL);
	disposer_add(disposer, DISPOSE_QUICK, urgent, NULL);
	(void)disposer_watch(disposer, START);
	await_close(waits);
	await_close(urgent);
}

static void enough_of_them_wait_no_longer(void **state)
{
	int fds[DISPOSER_LATER_MOST];

	(void)state;
	for (unsigned int i = 0; i < DISPOSER_LATER_MOST; i++) {
		fds[i] = open_one();
		disposer_add_later(disposer, DISPOSE_QUICK, fds[i], NULL);
	}
	(void)disposer_watch(disposer, START);
	for (unsigned int i = 0; i < DISPOSER_LATER_MOST; i++)
		await_close(fds[i]);
}

static void an_end_leaves_nothing_open(void **state)
{
	int fd = open_one();

	(void)state;
	disposer_add_later(disposer, DISPOSE_QUICK, fd, NULL);
	disposer_close(disposer);
	await_close(fd);
}

static int set_up(void **state)
{
	(void)state;
	disposer = disposer_open();
	return disposer ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_wait_is_closed_when_its_time_has_come),
		cmocka_unit_test(what_is_urgent_takes_along_what_waits),
		cmocka_unit_test(enough_of_them_wait_no_longer),
		cmocka_unit_test(an_end_leaves_nothing_open),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
