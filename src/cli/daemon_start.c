/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * smcud --per-user goes to the background by itself and its first process ends, with status 0, when
 * the socket answers.  Several commands may start one at the same moment: all but one are refused,
 * because the first holds the lock, and end with another status.  So the status is not believed:
 * what counts is whether somebody answers, at once after status 0, and within RACE_MS otherwise,
 * since the winner may not have come as far as its socket.  Or the lock was that of a daemon about
 * to end for want of users: then one is started again.
 *
 * The daemon outlives us, so it gets nothing of ours: no descriptor, and an anonymous file for its
 * standard error, from which the reason of a failure is read.
 */
#include "cli/daemon_start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/report.h"

#define ATTEMPTS 3
#define RACE_MS 500
#define RETRY_MS 10
#define EXEC_FAILED 127

int installed_find(const char *name, const char *relative, const char *configured, int mode,
		   char *path)
{
	char self[PATH_MAX], candidate[3 * PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[length > 0 ? length : 0] = '\0';
	slash = strrchr(self, '/');
	for (int place = slash ? 0 : 2; place < 3; place++) {
		if (slash)
			*slash = '\0';
		if (place == 0)
			snprintf(candidate, sizeof(candidate), "%s/%s", self, name);
		else if (place == 1)
			snprintf(candidate, sizeof(candidate), "%s/%s/%s", self, relative, name);
		else
			snprintf(candidate, sizeof(candidate), "%s/%s", configured, name);
		if (access(candidate, mode) == 0 && realpath(candidate, path))
			return 0;
	}
	return -ENOENT;
}

/* Nobody there, or somebody who is just leaving. */
static bool nobody_answers(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET ||
	       error == -EPIPE;
}

static void sleep_ms(long milliseconds)
{
	struct timespec time = {.tv_nsec = milliseconds * 1000000};

	nanosleep(&time, NULL);
}

/* In the child: become smcud. */
__attribute__((noreturn)) static void become_daemon(const char *program, const char *socket_path,
						    int messages)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(messages, STDERR_FILENO) < 0)
		_exit(EXEC_FAILED);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	unsetenv("LD_PRELOAD");
	unsetenv("SMCU_MOVE_AFTER"); /* this program's wish is not the policy for all to come */
	unsetenv("SMCU_WAIT_YIELDS");
	execl(program, "smcud", "--per-user", "--socket", socket_path, (char *)NULL);
	_exit(EXEC_FAILED);
}

/* Returns the exit status of smcud's first process, or -errno. */
static int run_daemon(const char *program, const char *socket_path, int messages)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0)
		become_daemon(program, socket_path, messages);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXEC_FAILED;
}

/* The first line of what smcud said. */
static void read_complaint(int messages, char trouble[TROUBLE_MAX])
{
	ssize_t length = pread(messages, trouble, TROUBLE_MAX - 1, 0);

	trouble[length > 0 ? length : 0] = '\0';
	trouble[strcspn(trouble, "\n")] = '\0';
	if (!trouble[0])
		snprintf(trouble, TROUBLE_MAX, "smcud did not start");
}

static int wait_for_answer(struct client *client, const struct endpoint *endpoint, int milliseconds)
{
	int error = client_open(client, endpoint);

	for (int waited = 0; nobody_answers(error) && waited < milliseconds; waited += RETRY_MS) {
		sleep_ms(RETRY_MS);
		error = client_open(client, endpoint);
	}
	return error;
}

static int start(struct client *client, const struct endpoint *endpoint, char trouble[TROUBLE_MAX])
{
	char program[PATH_MAX];
	int status, error = -ENOENT, messages;

	if (installed_find("smcud", "../sbin", SMCU_SBINDIR, X_OK, program) < 0) {
		snprintf(trouble, TROUBLE_MAX, "smcud is not installed");
		return -ENOENT;
	}
	messages = memfd_create("smcud-messages", MFD_CLOEXEC);
	if (messages < 0) {
		error = -errno;
		snprintf(trouble, TROUBLE_MAX, "%s", strerror(-error));
		return error;
	}
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		status = run_daemon(program, endpoint->path, messages);
		error = wait_for_answer(client, endpoint, status == 0 ? 0 : RACE_MS);
		if (!nobody_answers(error) || status == EXEC_FAILED)
			break;
	}
	if (error)
		read_complaint(messages, trouble);
	close(messages);
	return error;
}

int daemon_reach(struct client *client, const struct endpoints *endpoints,
		 char trouble[TROUBLE_MAX])
{
	const struct endpoint *last = &endpoints->list[endpoints->count - 1];
	int error = client_open_any(client, endpoints);

	if (error && !nobody_answers(error) && strcmp(client->endpoint.path, last->path) != 0) {
		fprintf(stderr, "smcu: warning: %s: %s; trying a daemon of your own\n",
			client->endpoint.path, client_trouble(error));
		error = client_open(client, last);
	}
	if (nobody_answers(error)) {
		error = endpoint_prepare(last);
		if (!error)
			return start(client, last, trouble);
	}
	if (error)
		snprintf(trouble, TROUBLE_MAX, "%s: %s", last->path, client_trouble(error));
	return error;
}
