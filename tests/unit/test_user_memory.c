/* SPDX-License-Identifier: MIT */
/*
 * Addresses that are none end a copy, not the program; other faults are the program's own
 */
#include "shim/user_memory.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/deferred.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/place.h"
#include "shim/signals.h"
#include "unit.h"

#define PAGE 4096U

/* A page of @fill, with nothing behind it; before it, too. */
static unsigned char *lonely_page(int fill)
{
	unsigned char *pages = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	memset(pages + PAGE, fill, PAGE);
	return pages + PAGE;
}

static void lonely_page_free(unsigned char *page)
{
	munmap(page - PAGE, 3 * PAGE);
}

static int guard(void **state)
{
	(void)state;
	libc_resolve();
	fd_table_owner = getpid(); /* no vfork child */
	signals_guard();
	return 0;
}

static void a_bad_address_ends_the_copy(void **state)
{
	unsigned char *page = lonely_page('x'), own[2 * PAGE];

	(void)state;
	assert_true(user_copy(own, page, PAGE));
	assert_int_equal(own[PAGE - 1], 'x');
	assert_true(user_copy(NULL, NULL, 0));
	for (size_t n = 1; n < PAGE; n = n * 3 + 1) {
		assert_false(user_copy(own, page + PAGE, n));
		assert_false(user_copy(page + PAGE, own, n));
		assert_false(user_copy(own, page + PAGE - n, n + 1));
		assert_false(user_copy(page + PAGE - n, own, n + 1));
		assert_true(user_copy(page + PAGE - n, own, n));
	}
	assert_false(user_copy(own, (void *)(uintptr_t)16, 8));
	lonely_page_free(page);
}

static void the_end_of_a_mapped_file_ends_it_too(void **state)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	unsigned char *page, own[10];

	(void)state;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(fd >= 0 && page != MAP_FAILED);
	assert_false(user_copy(own, page, sizeof(own)));
	assert_false(user_copy(page, own, sizeof(own)));
	munmap(page, PAGE);
	close(fd);
}

static sigjmp_buf back;
static volatile sig_atomic_t caught;

static void leap(int number)
{
	caught = number;
	siglongjmp(back, 1);
}

/* A fault that is no copy's, at an address that the last copy had. */
static void the_program_catches_its_own_faults(void **state)
{
	const struct sigaction action = {.sa_handler = leap};
	unsigned char *page = lonely_page(0);
	struct sigaction old;

	(void)state;
	assert_int_equal(sigaction(SIGSEGV, &action, &old), 0);
	assert_false(user_copy(page + PAGE, page, 1));
	assert_int_equal(caught, 0);
	if (sigsetjmp(back, 1) == 0)
		*(volatile unsigned char *)(page + PAGE) = 1;
	assert_int_equal(caught, SIGSEGV);
	caught = 0;
	if (sigsetjmp(back, 1) == 0)
		raise(SIGSEGV);
	assert_int_equal(caught, SIGSEGV);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
	lonely_page_free(page);
}

static void the_program_sees_what_it_set(void **state)
{
	const struct sigaction action = {.sa_handler = leap,
					 .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
	struct sigaction before, now;

	(void)state;
	assert_int_equal(sigaction(SIGBUS, &action, &before), 0);
	assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
	assert_ptr_equal(now.sa_handler, leap);
	assert_int_equal(now.sa_flags, action.sa_flags);
	caught = 0;
	if (sigsetjmp(back, 1) == 0)
		raise(SIGBUS);
	assert_int_equal(caught, SIGBUS);
	assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
	assert_ptr_equal(now.sa_handler, SIG_DFL); /* it was for once */
	assert_ptr_equal(signal(SIGBUS, leap), SIG_DFL);
	assert_ptr_equal(signal(SIGBUS, SIG_IGN), leap);
	raise(SIGBUS); /* ignored */
	assert_int_equal(sigaction(SIGBUS, &before, NULL), 0);
}

static void without_a_handler_it_dies(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)(lonely_page(0) + PAGE) = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static unsigned char *nowhere;
static volatile sig_atomic_t wrong_in_handler, times;

static void copy_in_handler(int number)
{
	unsigned char own[64];

	(void)number;
	wrong_in_handler |= user_copy(own, nowhere, sizeof(own)) ||
			    !user_copy(own, nowhere - sizeof(own), sizeof(own));
	times++;
}

static void a_handler_copies_while_a_copy_is_under_way(void **state)
{
	const struct sigaction action = {.sa_handler = copy_in_handler, .sa_flags = SA_RESTART};
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
	unsigned char *page = lonely_page('x'), *large = malloc(1 << 20), *copy = malloc(1 << 20);
	bool right = true;

	(void)state;
	nowhere = page + PAGE;
	memset(large, 'y', 1 << 20);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 200000 && times < 200; i++) {
		right &= user_copy(copy, large, 1 << 20);
		right &= !user_copy(page + PAGE - 100, large, 200);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	assert_true(right);
	assert_false(wrong_in_handler);
	assert_true(times >= 200);
	free(large);
	free(copy);
	lonely_page_free(page);
}

static void vectors_are_gathered_and_scattered(void **state)
{
	char a[] = "abc", b[] = "defgh", all[9] = "", out_a[3], out_b[5];
	const struct iovec in[] = {{a, 3}, {NULL, 0}, {b, 5}};
	const struct iovec out[] = {{out_a, 3}, {out_b, 5}};
	const struct iovec bad[] = {{a, 3}, {(void *)(uintptr_t)16, 5}};
	struct place place = {.iov = in, .count = 3};

	(void)state;
	assert_true(place_take(&place, all, 4));
	assert_true(place_take(&place, all + 4, 4));
	assert_string_equal(all, "abcdefgh");
	assert_int_equal(place.count, 0);
	place = (struct place){.iov = out, .count = 2};
	assert_true(place_put(&place, all, 8));
	assert_memory_equal(out_a, "abc", 3);
	assert_memory_equal(out_b, "defgh", 5);
	place = (struct place){.iov = bad, .count = 2};
	assert_false(place_take(&place, all, 8));
}

static void what_handlers_send_is_kept_in_order(void **state)
{
	char first[] = "first", second[] = "second", taken[10];
	const struct iovec one = {first, 5}, two = {second, 6}, bad = {(void *)(uintptr_t)16, 5};

	(void)state;
	assert_null(deferred_first());
	assert_int_equal(deferred_add((struct place){.iov = &one, .count = 1}, 5), 5);
	assert_int_equal(deferred_add((struct place){.iov = &two, .count = 1}, 6), 6);
	assert_int_equal(deferred_add((struct place){.iov = &bad, .count = 1}, 5), -EFAULT);
	first[0] = 'x'; /* the handler's buffer is gone by then */
	assert_true(place_take(&deferred_first()->rest, taken, 5));
	assert_memory_equal(taken, "first", 5);
	deferred_drop();
	assert_true(place_take(&deferred_first()->rest, taken, 6));
	assert_memory_equal(taken, "second", 6);
	deferred_drop();
	assert_null(deferred_first());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bad_address_ends_the_copy),
		cmocka_unit_test(the_end_of_a_mapped_file_ends_it_too),
		cmocka_unit_test(the_program_catches_its_own_faults),
		cmocka_unit_test(the_program_sees_what_it_set),
		cmocka_unit_test(without_a_handler_it_dies),
		cmocka_unit_test(a_handler_copies_while_a_copy_is_under_way),
		cmocka_unit_test(vectors_are_gathered_and_scattered),
		cmocka_unit_test(what_handlers_send_is_kept_in_order),
	};

	return cmocka_run_group_tests(tests, guard, NULL);
}
