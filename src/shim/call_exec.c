/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: starting another program
 *
 * Moved connections are passed on (inherit.h), and the program gets the limit on descriptors that
 * this one believes it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

#include "control/program.h"
#include "shim/call_limit.h"
#include "shim/fd_table.h"
#include "shim/inherit.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/settings.h"
#include "shim/spawn_actions.h"

/**
 * struct target - what is to be executed, and with what
 * @flags: of execveat(2)
 */
struct target {
	struct program program;
	int flags;
	char *const *arguments;
};

static int run(const struct target *target, char *const env[])
{
	const struct program *program = &target->program;

	if (program->searched)
		return libc.execvpe(program->path, target->arguments, env);
	if (program->directory == AT_FDCWD && !target->flags)
		return libc.execve(program->path, target->arguments, env);
	return libc.execveat(program->directory, program->path, target->arguments, env,
			     target->flags);
}

static int execute(const struct target *target, char *const env[])
{
	struct inheritance inheritance;
	const bool own_limits = limits_are_own();
	size_t room;
	int result;

	libc_ready();
	if (settings.sandboxed)
		return run(target, env);
	room = inherit_find(&inheritance, &target->program, env, INHERIT_EXEC, NULL);
	_Alignas(char *) char space[room + 1];

	if (room)
		env = inherit_begin(&inheritance, env, space);
	if (!own_limits) {
		fd_limits_show();
		memory_limits_lower();
	}
	result = run(target, env);
	if (!own_limits) {
		memory_limits_raise();
		fd_limits_raise();
	}
	if (room)
		inherit_end(&inheritance, true);
	return result;
}

EXPORT int execveat(int directory, const char *path, char *const arguments[], char *const env[],
		    int flags)
{
	const struct target target = {.program = {.path = path, .directory = directory},
				      .flags = flags,
				      .arguments = arguments};

	return execute(&target, env);
}

EXPORT int execve(const char *path, char *const arguments[], char *const env[])
{
	return execveat(AT_FDCWD, path, arguments, env, 0);
}

EXPORT int execv(const char *path, char *const arguments[])
{
	return execve(path, arguments, environ);
}

EXPORT int execvpe(const char *file, char *const arguments[], char *const env[])
{
	const struct target target = {
		.program = {.path = file, .directory = AT_FDCWD, .searched = true},
		.arguments = arguments};

	return execute(&target, env);
}

EXPORT int execvp(const char *file, char *const arguments[])
{
	return execvpe(file, arguments, environ);
}

EXPORT int fexecve(int fd, char *const arguments[], char *const env[])
{
	if (fd < 0) {
		errno = EINVAL;
		return -1;
	}
	return execveat(fd, "", arguments, env, AT_EMPTY_PATH);
}

/* The arguments of execl(3) and its kin; with @env, the environment after them. */
static int execute_list(struct target *target, const char *first, va_list list, bool has_env)
{
	size_t count = 1;
	va_list again;

	va_copy(again, list);
	while (first && va_arg(again, char *))
		count++;
	va_end(again);
	char *arguments[count + 1];

	arguments[0] = (char *)(uintptr_t)first;
	for (size_t i = 1; i < count; i++)
		arguments[i] = va_arg(list, char *);
	arguments[count] = NULL;
	if (first)
		(void)va_arg(list, char *);
	target->arguments = arguments;
	return execute(target, has_env ? va_arg(list, char **) : environ);
}

EXPORT int execl(const char *path, const char *first, ...)
{
	struct target target = {.program = {.path = path, .directory = AT_FDCWD}};
	va_list list;
	int result;

	va_start(list, first);
	result = execute_list(&target, first, list, false);
	va_end(list);
	return result;
}

EXPORT int execlp(const char *file, const char *first, ...)
{
	struct target target = {.program = {.path = file, .directory = AT_FDCWD, .searched = true}};
	va_list list;
	int result;

	va_start(list, first);
	result = execute_list(&target, first, list, false);
	va_end(list);
	return result;
}

EXPORT int execle(const char *path, const char *first, ...)
{
	struct target target = {.program = {.path = path, .directory = AT_FDCWD}};
	va_list list;
	int result;

	va_start(list, first);
	result = execute_list(&target, first, list, true);
	va_end(list);
	return result;
}

typedef int spawn_call(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const arguments[],
		       char *const env[]);

/**
 * struct spawning - the arguments of posix_spawn(3), and which of the two it is
 */
struct spawning {
	spawn_call *call;
	struct program program;
	pid_t *pid;
	const posix_spawn_file_actions_t *actions;
	const posix_spawnattr_t *attributes;
	char *const *arguments;
};

static int run_spawn(const struct spawning *how, char *const env[])
{
	return how->call(how->pid, how->program.path, how->actions, how->attributes, how->arguments,
			 env);
}

/* The hidden descriptors are to be there when the program starts, whatever the actions close. */
static int run_around_hidden(const struct spawning *how, char *const env[])
{
	posix_spawn_file_actions_t spared;
	struct spawning changed = *how;
	int error;

	if (!how->actions || !spawn_actions_are_known())
		return run_spawn(how, env);
	error = spawn_actions_spare(how->actions, &spared);
	if (error)
		return error;
	changed.actions = &spared;
	error = run_spawn(&changed, env);
	spawn_actions_free(&spared);
	return error;
}

static int spawn(const struct spawning *how, char *const env[])
{
	struct inheritance inheritance;
	size_t room = 0;
	int error;

	if (!settings.sandboxed)
		room = inherit_find(&inheritance, &how->program, env, INHERIT_SPAWN, how->actions);
	if (!room)
		return run_spawn(how, env);
	_Alignas(char *) char space[room];

	env = inherit_begin(&inheritance, env, space);
	error = run_around_hidden(how, env);
	inherit_end(&inheritance, error != 0);
	return error;
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const arguments[],
		       char *const env[])
{
	libc_ready();
	return spawn(&(struct spawning){.call = libc.posix_spawn,
					.program = {.path = path, .directory = AT_FDCWD},
					.pid = pid,
					.actions = actions,
					.attributes = attributes,
					.arguments = arguments},
		     env);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attributes, char *const arguments[],
			char *const env[])
{
	libc_ready();
	return spawn(
		&(struct spawning){
			.call = libc.posix_spawnp,
			.program = {.path = file, .directory = AT_FDCWD, .searched = true},
			.pid = pid,
			.actions = actions,
			.attributes = attributes,
			.arguments = arguments},
		env);
}
