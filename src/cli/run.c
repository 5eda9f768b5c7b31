/* SPDX-License-Identifier: MIT */
/*
 * smcu run: start a program with the preload library and a daemon to go with it
 *
 * Theory of operation
 *
 * The program replaces this process, so its exit status, its signals and its terminal are its own.
 * It inherits the session with the daemon, under a high descriptor number: a daemon for one user
 * ends some seconds after its last session, and a shell may sit for an hour before it starts the
 * program that first connects.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/daemon_start.h"
#include "cli/names.h"
#include "cli/options.h"
#include "cli/usage.h"
#include "control/program.h"

#define PRELOAD_NAME "libsmcu-preload.so"
#define KEEP_DESCRIPTOR_MIN 64 /* below, numbers are the program's */
#define KEEP_DESCRIPTOR_MAX 1000

/**
 * struct run - the options
 * @require: fail rather than run as plain TCP
 * @verbose: have the shim speak
 * @move_after_given, @move_after: bytes
 * @socket: chosen daemon or NULL
 * @argv: the program and its arguments
 */
struct run {
	bool require;
	bool verbose;
	bool move_after_given;
	uint64_t move_after;
	const char *socket;
	char **argv;
};

static int parse(struct run *run, int argc, char **argv)
{
	const char *move_after = NULL;
	const struct option_rule rules[] = {
		{"require", &run->require, NULL},
		{"verbose", &run->verbose, NULL},
		{"socket", NULL, &run->socket},
		{"move-after", NULL, &move_after},
		{NULL, NULL, NULL},
	};
	int status = options_parse(rules, OPTIONS_FIRST, argc, argv);

	if (status)
		return status;
	run->move_after_given = move_after != NULL;
	if (move_after && parse_amount(move_after, &run->move_after) < 0)
		return usage_error("not a number of bytes:", move_after);
	if (optind >= argc) {
		fputs("smcu: run what? (try 'smcu help')\n", stderr);
		return STATUS_USAGE;
	}
	run->argv = argv + optind;
	return STATUS_OK;
}

/* Put the library in front of what LD_PRELOAD has; a sanitizer's runtime must come before all. */
static int set_preload(const char *library)
{
	const char *before = getenv("LD_PRELOAD"), *runtime = SMCU_SANITIZER;
	char *value;
	int error = 0;

	if (strpbrk(library, ": ")) {
		fprintf(stderr, "smcu: cannot preload '%s': the path has a space or a colon\n",
			library);
		return STATUS_FAILED;
	}
	if (before && strstr(before, library))
		return STATUS_OK; /* smcu run within smcu run */
	if (asprintf(&value, "%s%s%s%s%s", runtime, runtime[0] ? ":" : "", library,
		     before && before[0] ? ":" : "", before ? before : "") < 0)
		return STATUS_FAILED;
	error = setenv("LD_PRELOAD", value, 1);
	free(value);
	return error ? STATUS_FAILED : STATUS_OK;
}

static void set_environment(const struct run *run)
{
	char number[24];

	if (run->require)
		setenv("SMCU_REQUIRE", "1", 1);
	if (run->verbose)
		setenv("SMCU_VERBOSE", "1", 1);
	if (run->move_after_given) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)run->move_after);
		setenv("SMCU_MOVE_AFTER", number, 1);
	}
}

/* Leave the session open in the program; see the theory of operation. */
static void keep_session(struct client *client)
{
	struct rlimit limit = {.rlim_cur = KEEP_DESCRIPTOR_MAX};
	int lowest;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > KEEP_DESCRIPTOR_MAX)
		limit.rlim_cur = KEEP_DESCRIPTOR_MAX;
	lowest = (int)limit.rlim_cur - 16;
	if (lowest >= KEEP_DESCRIPTOR_MIN)
		fcntl(client->fd, F_DUPFD, lowest);
	client_close(client);
}

static int find_daemon(const struct run *run)
{
	char trouble[TROUBLE_MAX];
	struct endpoints endpoints;
	struct client client;

	if (endpoints_find(&endpoints, run->socket) < 0) {
		snprintf(trouble, sizeof(trouble), "the socket's path is too long");
	} else if (daemon_reach(&client, &endpoints, trouble) == 0) {
		setenv("SMCU_SOCKET", client.endpoint.path, 1);
		keep_session(&client);
		return STATUS_OK;
	}
	if (run->require) {
		fprintf(stderr, "smcu: no daemon: %s\n", trouble);
		return STATUS_FAILED;
	}
	fprintf(stderr, "smcu: warning: no daemon (%s): %s runs as plain TCP\n", trouble,
		run->argv[0]);
	return STATUS_OK;
}

/* Into some programs no library gets. */
static int look_at_program(const struct run *run)
{
	static char preload[] = "LD_PRELOAD=" PRELOAD_NAME;
	const struct program program = {
		.path = run->argv[0], .directory = AT_FDCWD, .searched = true};
	const char *lost = program_loses_the_shim(&program, (char *const[]){preload, NULL});

	if (!lost)
		return STATUS_OK;
	if (run->require) {
		fprintf(stderr, "smcu: %s would be plain TCP: %s\n", run->argv[0], lost);
		return STATUS_FAILED;
	}
	fprintf(stderr, "smcu: warning: %s runs as plain TCP: %s\n", run->argv[0], lost);
	return STATUS_OK;
}

int command_run(int argc, char **argv)
{
	char library[PATH_MAX];
	struct run run = {0};
	int status = parse(&run, argc, argv);

	if (status)
		return status;
	if (installed_find(PRELOAD_NAME, "../lib/smcu", SMCU_PRELOAD_DIR, R_OK, library) < 0) {
		fprintf(stderr, "smcu: %s is not installed\n", PRELOAD_NAME);
		return STATUS_FAILED;
	}
	status = look_at_program(&run);
	if (!status)
		status = find_daemon(&run);
	if (!status)
		status = set_preload(library);
	if (status)
		return status;
	set_environment(&run);
	execvp(run.argv[0], run.argv);
	status = errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN;
	fprintf(stderr, "smcu: cannot run '%s': %s\n", run.argv[0], strerror(errno));
	return status;
}
