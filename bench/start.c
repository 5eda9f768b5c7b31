// SPDX-License-Identifier: MIT
/*
 * What it costs to start a program that does nothing, from posix_spawn(3) to its end
 *
 * Under smcu the program inherits the preload library with the environment.
 */
#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools.h"

extern char **environ;

static uint64_t start_once(void)
{
	char path[] = "/bin/true", *arguments[] = {path, NULL};
	uint64_t start = clock_ns();
	int error, status;
	pid_t pid;

	error = posix_spawn(&pid, path, NULL, NULL, arguments, environ);
	if (error != 0)
		fail(error, "%s", path);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail(0, "%s ended with status %d", path, status);
	return clock_ns() - start;
}

void run_start(const struct options *options)
{
	static struct histogram starts;
	uint64_t until = clock_ns() + (uint64_t)(options->seconds * 1e9);

	(void)start_once();
	while (clock_ns() < until)
		histogram_add(&starts, start_once());
	json_begin("start");
	json_number("starts", (double)starts.count);
	json_latency(&starts);
	json_end();
	hold(options);
}
