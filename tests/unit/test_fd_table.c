/* SPDX-License-Identifier: MIT */
/*
 * Hidden descriptors keep out of the program's way, whatever its limits are
 */
#include "shim/fd_table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/libc.h"
#include "unit.h"

/* Limits hold for a process: each case is a child, and says the line of the check that failed. */
#define expect(expression)                                                                         \
	do {                                                                                       \
		if (!(expression)) {                                                               \
			dprintf(2, "%s:%d: %s\n", __FILE__, __LINE__, #expression);                \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static void run_in_child(int (*body)(rlim_t, rlim_t), rlim_t soft, rlim_t hard)
{
	struct rlimit limit;
	int status;
	pid_t child;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < hard) {
		print_message("no room for a limit of %llu here\n", (unsigned long long)hard);
		return;
	}
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		limit.rlim_cur = soft;
		limit.rlim_max = hard;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			_exit(2);
		libc_resolve();
		fd_table_init();
		_exit(body(soft, hard));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static int lowest_free(void)
{
	int fd = dup(1);

	close(fd);
	return fd;
}

/* With room above the soft limit, a program that uses all it may never meets one of ours. */
static int hide_above_soft_limit(rlim_t soft, rlim_t hard)
{
	const int lowest = lowest_free();

	expect(fd_table_size == (int)hard);
	for (int i = 0; i < 20; i++) {
		int fd = open("/dev/null", O_RDONLY), hidden;

		expect(fd == lowest);
		hidden = fd_hide(fd);
		expect(hidden == (int)soft + i);
		expect(fcntl(hidden, F_GETFD) == FD_CLOEXEC);
		expect(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
		expect(fd_is_hidden(hidden) && !fd_connection(hidden) && !fd_poller(hidden));
		expect(lowest_free() == lowest);
	}
	for (int i = 0; i < 20; i++) {
		fd_unhide((int)soft + i);
		expect(!fd_is_hidden((int)soft + i));
		expect(fcntl((int)soft + i, F_GETFD) < 0);
	}
	return 0;
}

static void hidden_descriptors_stand_above_the_soft_limit(void **state)
{
	(void)state;
	run_in_child(hide_above_soft_limit, 64, 128);
	run_in_child(hide_above_soft_limit, 64, 512);
	run_in_child(hide_above_soft_limit, 256, 4096);
}

static rlim_t kernel_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.rlim_cur;
}

/* The kernel's table of descriptors grows with the number of the highest. */
static int room_is_bounded(rlim_t soft, rlim_t hard)
{
	expect(fd_soft_limit == soft);
	expect(kernel_limit() <= hard && kernel_limit() > soft);
	expect(soft < 1024 || kernel_limit() <= soft * 8);
	return 0;
}

static void the_program_keeps_its_limit_and_the_room_is_bounded(void **state)
{
	(void)state;
	run_in_child(room_is_bounded, 64, 512);
	run_in_child(room_is_bounded, 1024, 4096);
	run_in_child(room_is_bounded, 1024, 16384);
}

/* A program that changes its limit moves where later ones go; those that are there stay. */
static int change_limits(rlim_t soft, rlim_t hard)
{
	struct rlimit limit = {.rlim_cur = 2 * soft, .rlim_max = hard};
	int first = fd_hide(dup(1)), second;

	expect(first == (int)soft);
	expect(fd_set_limits(&limit) == 0);
	expect(fd_soft_limit == 2 * soft && kernel_limit() > 2 * soft);
	second = fd_hide(dup(1));
	expect(second == 2 * (int)soft);
	expect(fd_is_hidden(first) && fcntl(first, F_GETFD) == FD_CLOEXEC);
	limit.rlim_cur = hard + 1;
	expect(fd_set_limits(&limit) == -1 && errno == EINVAL);
	expect(fd_soft_limit == 2 * soft);
	/* All for the program: ours share its range. */
	limit.rlim_cur = hard;
	expect(fd_set_limits(&limit) == 0);
	expect(fd_soft_limit == hard && kernel_limit() == hard);
	second = fd_hide(dup(1));
	expect(second >= (int)hard / 4 && second < (int)hard);
	return 0;
}

static void a_changed_limit_moves_the_hidden_ones_that_follow(void **state)
{
	(void)state;
	run_in_child(change_limits, 64, 512);
	run_in_child(change_limits, 1024, 4096);
}

/* Without such room they are high up all the same. */
static int hide_within_limit(rlim_t soft, rlim_t hard)
{
	int fd = open("/dev/null", O_RDONLY), hidden = fd_hide(fd);

	expect(soft == hard && fd_table_size == (int)hard);
	expect(hidden >= (int)hard / 4 && hidden < (int)hard);
	expect(fcntl(hidden, F_GETFD) == FD_CLOEXEC);
	expect(lowest_free() == fd);
	return 0;
}

static void without_room_they_stand_high_up(void **state)
{
	(void)state;
	run_in_child(hide_within_limit, 64, 64);
	run_in_child(hide_within_limit, 1024, 1024);
	run_in_child(hide_within_limit, 63, 63);
}

static int hide_until_full(rlim_t soft, rlim_t hard)
{
	int hidden = 0, count = 0, fd = -1;
	bool where_it_is = false;

	while (hidden >= 0 && count < 1000) {
		fd = open("/dev/null", O_RDONLY);
		expect(fd >= 0);
		hidden = fd_hide_of_connection(fd);
		count += hidden >= 0;
	}
	expect(hidden == -EMFILE && fd_hidden_room() <= 0);
	expect(fcntl(fd, F_GETFD) < 0); /* closed, since the caller has no use for it */
	/* Most of what is above the program's limit, else of less than half. */
	expect(count <= (int)(soft < hard ? hard - soft : hard / 2));
	expect(count >= (int)hard / 3);
	expect(fd_hide(dup(1)) >= (int)(soft < hard ? soft : hard / 4)); /* an epoll's */
	/* For a moment at the program's number. */
	fd = open("/dev/null", O_RDONLY);
	expect(fd_hide_for_a_moment(fd, &where_it_is) == fd && where_it_is && fd_is_hidden(fd));
	fd_unhide(fd);
	expect(fcntl(fd, F_GETFD) < 0 && !fd_is_hidden(fd));
	/* The program gets what it may have all the same. */
	for (int i = 4; i < (int)(soft < hard ? soft : hard / 2); i++)
		expect(dup(1) >= 0);
	return 0;
}

static void when_none_is_left_the_program_has_its_own(void **state)
{
	(void)state;
	run_in_child(hide_until_full, 64, 64);
	run_in_child(hide_until_full, 64, 256);
	run_in_child(hide_until_full, 1024, 1024);
}

static int look_at_slots(rlim_t soft, rlim_t hard)
{
	_Alignas(16) static char object[16];
	const uintptr_t address = (uintptr_t)object;
	const int last = (int)hard - 1;

	(void)soft;
	for (int fd = 0; fd <= last; fd++)
		expect(fd_table_slot(fd) == 0 && !fd_connection(fd) && !fd_poller(fd));
	expect(fd_table_set(0, address) && fd_table_set(last, address | FD_TAG_POLLER));
	expect((char *)fd_connection(0) == object && !fd_poller(0) && !fd_is_hidden(0));
	expect((char *)fd_poller(last) == object && !fd_connection(last) && !fd_is_hidden(last));
	expect(fd_table_set(0, 0) && !fd_connection(0));
	expect(!fd_table_set(-1, address) && !fd_table_set((int)hard, address));
	expect(!fd_table_set(INT32_MAX, address) && !fd_table_set(INT32_MIN, address));
	expect(fd_table_slot(-1) == 0 && fd_table_slot((int)hard) == 0);
	expect(fd_table_slot(INT32_MAX) == 0 && fd_table_slot(INT32_MIN) == 0);
	expect(fd_hide(-1) == -EMFILE);
	fd_unhide(-1);
	return 0;
}

static void numbers_beyond_the_table_lead_nowhere(void **state)
{
	(void)state;
	run_in_child(look_at_slots, 64, 512);
}

static int fork_once_more(rlim_t soft, rlim_t hard)
{
	int status;
	pid_t child;

	(void)soft;
	(void)hard;
	expect(fd_table_is_ours());
	child = fork();
	if (child == 0)
		_exit(fd_table_is_ours());
	expect(waitpid(child, &status, 0) == child && status == 0);
	return 0;
}

static void the_table_belongs_to_one_process(void **state)
{
	(void)state;
	run_in_child(fork_once_more, 64, 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hidden_descriptors_stand_above_the_soft_limit),
		cmocka_unit_test(the_program_keeps_its_limit_and_the_room_is_bounded),
		cmocka_unit_test(a_changed_limit_moves_the_hidden_ones_that_follow),
		cmocka_unit_test(without_room_they_stand_high_up),
		cmocka_unit_test(when_none_is_left_the_program_has_its_own),
		cmocka_unit_test(numbers_beyond_the_table_lead_nowhere),
		cmocka_unit_test(the_table_belongs_to_one_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
