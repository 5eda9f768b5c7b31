/* SPDX-License-Identifier: MIT */
/*
 * Which daemon a command talks to, and which it refuses to believe
 */
#include "cli/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char scratch[] = "/tmp/smcu-endpoint-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	unsetenv("SMCU_SOCKET");
	return mkdtemp(scratch) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(scratch);
}

static void system_daemon_comes_before_the_users(void **state)
{
	struct endpoints found;
	char expected[100];

	(void)state;
	setenv("XDG_RUNTIME_DIR", scratch, 1);
	assert_int_equal(endpoints_find(&found, NULL), 0);
	assert_int_equal(found.count, 2);
	assert_string_equal(found.list[0].path, ENDPOINT_SYSTEM);
	assert_string_equal(found.list[0].directory, "");
	snprintf(expected, sizeof(expected), "%s/smcu/smcud.sock", scratch);
	assert_string_equal(found.list[1].path, expected);
}

static void without_a_runtime_directory_it_is_tmp(void **state)
{
	static const char *const unusable[] = {NULL, "", "relative", "/nonexistent/runtime"};
	struct endpoints found;
	char expected[100];

	(void)state;
	snprintf(expected, sizeof(expected), "/tmp/smcu-%u/smcud.sock", (unsigned int)geteuid());
	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++) {
		if (unusable[i])
			setenv("XDG_RUNTIME_DIR", unusable[i], 1);
		else
			unsetenv("XDG_RUNTIME_DIR");
		assert_int_equal(endpoints_find(&found, NULL), 0);
		assert_string_equal(found.list[1].path, expected);
	}
}

static void a_chosen_socket_is_the_only_one(void **state)
{
	struct endpoints found;

	(void)state;
	setenv("SMCU_SOCKET", "/run/environment.sock", 1);
	assert_int_equal(endpoints_find(&found, NULL), 0);
	assert_int_equal(found.count, 1);
	assert_string_equal(found.list[0].path, "/run/environment.sock");
	assert_int_equal(endpoints_find(&found, "/run/option.sock"), 0);
	assert_int_equal(found.count, 1);
	assert_string_equal(found.list[0].path, "/run/option.sock");
	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(endpoints_find(&found, "relative.sock"), 0);
	assert_string_equal(found.list[0].path, "/tmp/relative.sock");
	setenv("SMCU_SOCKET", "", 1);
	assert_int_equal(endpoints_find(&found, NULL), 0);
	assert_int_equal(found.count, 2);
	unsetenv("SMCU_SOCKET");
}

/* sun_path has 108 bytes: a longer path must not be cut into another one. */
static void a_path_that_does_not_fit_is_refused(void **state)
{
	char longest[ENDPOINT_MAX], longer[ENDPOINT_MAX + 1];
	struct endpoints found;

	(void)state;
	memset(longest, '/', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(endpoints_find(&found, longest), 0);
	memset(longer, '/', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(endpoints_find(&found, longer), -ENAMETOOLONG);
}

static void a_directory_open_to_others_is_not_trusted(void **state)
{
	struct endpoint endpoint;
	struct endpoints found;

	(void)state;
	setenv("XDG_RUNTIME_DIR", scratch, 1);
	assert_int_equal(endpoints_find(&found, NULL), 0);
	endpoint = found.list[1];
	assert_int_equal(endpoint_trusted(&endpoint), -ENOENT);
	assert_int_equal(endpoint_prepare(&endpoint), 0);
	assert_int_equal(endpoint_trusted(&endpoint), 0);
	assert_int_equal(chmod(endpoint.directory, 0755), 0);
	assert_int_equal(endpoint_trusted(&endpoint), -EPERM);
	assert_int_equal(endpoint_prepare(&endpoint), -EPERM);
	assert_int_equal(rmdir(endpoint.directory), 0);
	assert_int_equal(symlink("/tmp", endpoint.directory), 0);
	assert_int_equal(endpoint_prepare(&endpoint), -EPERM);
	assert_int_equal(unlink(endpoint.directory), 0);
	if (geteuid() == 0) { /* only root can make somebody else's directory */
		assert_int_equal(endpoint_prepare(&endpoint), 0);
		assert_int_equal(chown(endpoint.directory, 65534, 65534), 0);
		assert_int_equal(endpoint_trusted(&endpoint), -EPERM);
		assert_int_equal(rmdir(endpoint.directory), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_daemon_comes_before_the_users),
		cmocka_unit_test(without_a_runtime_directory_it_is_tmp),
		cmocka_unit_test(a_chosen_socket_is_the_only_one),
		cmocka_unit_test(a_path_that_does_not_fit_is_refused),
		cmocka_unit_test(a_directory_open_to_others_is_not_trusted),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
