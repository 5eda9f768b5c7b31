/* SPDX-License-Identifier: MIT */
/*
 * The daemon's life: how it starts, who is turned away, how it ends
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"

static char output[4096];

static void fails(const char *const *options, int status, const char *complaint)
{
	assert_int_equal(run_daemon(options, output, sizeof(output)), status);
	if (!strstr(output, complaint) || strchr(output, '\n') != output + strlen(output) - 1)
		fail_msg("not one line with '%s': %s", complaint, output);
}

static void bad_options_are_one_line_and_status_2(void **state)
{
	(void)state;
	fails((const char *[]){"--nonsense", NULL}, 2, "unknown option: --nonsense");
	fails((const char *[]){"-x", NULL}, 2, "unknown option: -x");
	fails((const char *[]){"-fx", NULL}, 2, "unknown option: -");
	fails((const char *[]){"--config", NULL}, 2, "option needs a value: --config");
	fails((const char *[]){"rubbish", NULL}, 2, "unexpected argument: rubbish");
	fails((const char *[]){"--socket", "", NULL}, 2, "--socket needs a path");
}

static void version_and_help(void **state)
{
	(void)state;
	assert_int_equal(run_daemon((const char *[]){"--version", NULL}, output, sizeof(output)),
			 0);
	assert_string_equal(output, "smcud " SMCU_VERSION "\n");
	assert_int_equal(run_daemon((const char *[]){"--help", NULL}, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "--per-user"));
}

static void a_bad_configuration_is_status_1(void **state)
{
	(void)state;
	fails((const char *[]){"-f", "--config", "/nonexistent", NULL}, 1,
	      "/nonexistent: No such file or directory");
	fails((const char *[]){"-f", "--set", "move.after=x", NULL}, 1, "move.after: 'x' is not");
	setenv("SMCU_RING_BYTES", "5M", 1);
	fails((const char *[]){"-f", NULL}, 1, "SMCU_RING_BYTES: ");
	unsetenv("SMCU_RING_BYTES");
}

static void a_socket_that_cannot_be(void **state)
{
	char path[200], file[] = "/tmp/smcud-file-XXXXXX";

	(void)state;
	fails((const char *[]){"-f", "--socket", "/nonexistent/a/b", NULL}, 1,
	      "cannot make /nonexistent/a");
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	fails((const char *[]){"-f", "--socket", path, NULL}, 1, "too long");
	close(mkstemp(file));
	fails((const char *[]){"-f", "--socket", file, NULL}, 1, "is not a socket");
	snprintf(path, sizeof(path), "%s.lock", file);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(unlink(file), 0);
}

static void a_second_daemon_is_refused(void **state)
{
	struct daemon_under_test daemon;
	char complaint[160];

	(void)state;
	start_daemon(&daemon, NULL);
	snprintf(complaint, sizeof(complaint), "smcud: another daemon (pid %d) serves %s\n",
		 (int)daemon.pid, daemon.socket);
	fails((const char *[]){"-f", "--socket", daemon.socket, NULL}, 1, complaint);
	fails((const char *[]){"--per-user", "--socket", daemon.socket, NULL}, 1, complaint);
	must_serve(&daemon);
	stop_daemon(&daemon);
}

static void a_socket_left_behind_is_replaced(void **state)
{
	struct daemon_under_test daemon;

	(void)state;
	start_daemon(&daemon, NULL);
	must_serve(&daemon);
	kill(daemon.pid, SIGKILL);
	waitpid(daemon.pid, NULL, 0);
	assert_int_equal(access(daemon.socket, F_OK), 0);
	start_again(&daemon, NULL);
	must_serve(&daemon);
	stop_daemon(&daemon);
}

static void write_config(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static uint64_t policy_move_after(const struct daemon_under_test *daemon)
{
	struct client client;
	union message message;

	client_connect(&client, daemon);
	message_init(&message, MESSAGE_HELLO);
	message.hello.role = ROLE_COMMAND;
	client_send(&client, &message, NULL, 0);
	expect(&client, MESSAGE_WELCOME, &message);
	assert_int_equal(message.welcome.daemon_pid, daemon->pid);
	client_close(&client);
	return message.welcome.policy.move_after;
}

static void sighup_rereads_but_not_rubbish(void **state)
{
	char path[] = "/tmp/smcud-conf-XXXXXX";
	struct daemon_under_test daemon;
	int fd = mkstemp(path);

	(void)state;
	close(fd);
	write_config(path, "[move]\nafter = 1\n");
	start_daemon(&daemon, (const char *[]){"--config", path, "--set", "wait.yields=7", NULL});
	assert_true(log_contains(&daemon, "move.after=1 (file) wait.yields=7 (command line)"));
	assert_int_equal(policy_move_after(&daemon), 1);
	write_config(path, "[move]\nafter = 2\n");
	kill(daemon.pid, SIGHUP);
	assert_true(log_contains(&daemon, "reread; settings: move.after=2 (file)"));
	assert_int_equal(policy_move_after(&daemon), 2);
	write_config(path, "[move]\nafter = 3\n[nothing]\nx = 1\n");
	kill(daemon.pid, SIGHUP);
	assert_true(log_contains(&daemon, ":4: unknown section [nothing]; the old"));
	assert_int_equal(policy_move_after(&daemon), 2);
	must_serve(&daemon);
	unlink(path);
	kill(daemon.pid, SIGHUP);
	assert_true(log_contains(&daemon, "No such file or directory; the old"));
	assert_int_equal(policy_move_after(&daemon), 2);
	stop_daemon(&daemon);
}

static void sigterm_ends_sessions_too(void **state)
{
	struct daemon_under_test daemon;
	struct client client;

	(void)state;
	start_daemon(&daemon, NULL);
	client_open(&client, &daemon);
	stop_daemon(&daemon);
	expect_dropped(&client, PATIENCE_MS);
	client_close(&client);
}

static int daemon_pid(const struct daemon_under_test *daemon)
{
	char path[128], text[16] = "";
	int fd, pid = 0;

	snprintf(path, sizeof(path), "%s.lock", daemon->socket);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		pid = atoi(text);
	close(fd);
	return pid;
}

/* As `smcu run` starts it: it serves as soon as the first process returned 0, and leaves. */
static void in_the_background_until_nobody_is_left(void **state)
{
	struct daemon_under_test daemon = {.directory = "/tmp/smcud-test-XXXXXX"};
	const char *options[] = {"--per-user", "--socket",	     daemon.socket,
				 "--set",      "daemon.idle_exit=1", NULL};
	struct client client;
	int64_t end;

	(void)state;
	assert_non_null(mkdtemp(daemon.directory));
	snprintf(daemon.socket, sizeof(daemon.socket), "%s/new/s", daemon.directory);
	assert_int_equal(run_daemon(options, output, sizeof(output)), 0);
	assert_string_equal(output, "");
	client_open(&client, &daemon);
	usleep(1500000);
	daemon.pid = daemon_pid(&daemon);
	assert_int_equal(kill(daemon.pid, 0), 0);
	must_serve(&daemon);
	client_close(&client);
	end = milliseconds() + 4000;
	while (access(daemon.socket, F_OK) == 0 && milliseconds() < end)
		usleep(10000);
	assert_int_equal(access(daemon.socket, F_OK), -1);
	assert_true(milliseconds() > end - 3500);
	usleep(20000); /* the lock goes after the socket */
	snprintf(daemon.socket, sizeof(daemon.socket), "%s/new", daemon.directory);
	assert_int_equal(rmdir(daemon.socket), 0);
	assert_int_equal(rmdir(daemon.directory), 0);
}

static mode_t mode_of(const char *path)
{
	struct stat status;

	assert_int_equal(lstat(path, &status), 0);
	return status.st_mode & 0777;
}

/* Started with @mask in the background; its directory is new. */
static void modes_under(mode_t mask, bool per_user)
{
	struct daemon_under_test daemon = {.directory = "/tmp/smcud-test-XXXXXX"};
	const char *options[] = {"--set",	"tcp_option.attach=no",		"--socket",
				 daemon.socket, per_user ? "--per-user" : NULL, NULL};
	const bool shared = geteuid() == 0 && !per_user;
	char made[sizeof(daemon.directory) + 8];
	mode_t before;
	int result;

	assert_non_null(mkdtemp(daemon.directory));
	snprintf(made, sizeof(made), "%s/new", daemon.directory);
	snprintf(daemon.socket, sizeof(daemon.socket), "%s/s", made);
	before = umask(mask);
	result = run_daemon(options, output, sizeof(output));
	umask(before);
	assert_int_equal(result, 0);
	assert_int_equal(mode_of(made), shared ? 0755 : 0700);
	assert_int_equal(mode_of(daemon.socket), shared ? 0666 : 0600);
	assert_int_equal(kill(daemon_pid(&daemon), SIGTERM), 0);
	for (int64_t end = milliseconds() + 4000; rmdir(made) && milliseconds() < end;)
		usleep(10000);
	assert_int_equal(rmdir(daemon.directory), 0);
}

static void modes_do_not_depend_on_who_starts_it(void **state)
{
	(void)state;
	modes_under(0, false);
	modes_under(0077, false);
	modes_under(0, true);
	modes_under(0077, true);
}

/* In a process of another user: is there a WELCOME? */
static int welcomed_as_nobody(const struct daemon_under_test *daemon)
{
	int status;
	pid_t child = fork();

	if (!child) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		union message message;
		struct client client = {.side_fd = -1};
		int fds[3];
		unsigned int count;

		if (setgid(65534) || setuid(65534))
			_exit(2);
		strcpy(address.sun_path, daemon->socket);
		client.socket = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		if (connect(client.socket, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(1);
		message_init(&message, MESSAGE_HELLO);
		message.hello.role = ROLE_COMMAND;
		/* (a daemon that refuses may have closed already) */
		if (send_packet(client.socket, &message, message.header.length, NULL, 0) < 0)
			_exit(1);
		_exit(receive(&client, &message, fds, &count, PATIENCE_MS) == MESSAGE_WELCOME ? 0
											      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static void the_system_daemon_serves_all_users(void **state)
{
	struct daemon_under_test daemon;

	(void)state;
	if (geteuid())
		skip();
	start_daemon(&daemon, NULL);
	assert_int_equal(welcomed_as_nobody(&daemon), 0);
	stop_daemon(&daemon);
}

static void a_daemon_per_user_serves_its_own_only(void **state)
{
	struct daemon_under_test daemon;

	(void)state;
	if (geteuid())
		skip();
	start_daemon(&daemon, (const char *[]){"--per-user", NULL});
	assert_int_equal(welcomed_as_nobody(&daemon), 1);
	assert_int_equal(chmod(daemon.socket, 0666), 0); /* nor if the file lets him */
	assert_int_equal(welcomed_as_nobody(&daemon), 1);
	must_serve(&daemon);
	stop_daemon(&daemon);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_options_are_one_line_and_status_2),
		cmocka_unit_test(version_and_help),
		cmocka_unit_test(a_bad_configuration_is_status_1),
		cmocka_unit_test(a_socket_that_cannot_be),
		cmocka_unit_test(a_second_daemon_is_refused),
		cmocka_unit_test(a_socket_left_behind_is_replaced),
		cmocka_unit_test(sighup_rereads_but_not_rubbish),
		cmocka_unit_test(sigterm_ends_sessions_too),
		cmocka_unit_test(in_the_background_until_nobody_is_left),
		cmocka_unit_test(modes_do_not_depend_on_who_starts_it),
		cmocka_unit_test(the_system_daemon_serves_all_users),
		cmocka_unit_test(a_daemon_per_user_serves_its_own_only),
	};

	if (argc < 2)
		return 2;
	daemon_program = argv[1];
	cmocka_set_test_filter(argc > 2 ? argv[2] : NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
