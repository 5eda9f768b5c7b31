/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: starting another program
 *
 * Moved connections are passed on (inherit.h), and the program gets the limit on descriptors that
 * this one believes it has.
 */
#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

#include "shim/call_limit.h"
#include "shim/fd_table.h"
#include "shim/inherit.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/settings.h"

/**
 * struct target - what is to be executed, and how
 * @path: or NULL: @fd
 * @searched: along $PATH
 */
struct target {
	const char *path;
	int fd;
	bool searched;
	char *const *arguments;
};

static int run(const struct target *target, char *const env[])
{
	if (!target->path)
		return libc.fexecve(target->fd, target->arguments, env);
	if (target->searched)
		return libc.execvpe(target->path, target->arguments, env);
	return libc.execve(target->path, target->arguments, env);
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
	room = inherit_find(&inheritance, env, INHERIT_EXEC);
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

EXPORT int execve(const char *path, char *const arguments[], char *const env[])
{
	return execute(&(struct target){.path = path, .arguments = arguments}, env);
}

EXPORT int execv(const char *path, char *const arguments[])
{
	return execve(path, arguments, environ);
}

EXPORT int execvpe(const char *file, char *const arguments[], char *const env[])
{
	return execute(&(struct target){.path = file, .searched = true, .arguments = arguments},
		       env);
}

EXPORT int execvp(const char *file, char *const arguments[])
{
	return execvpe(file, arguments, environ);
}

EXPORT int fexecve(int fd, char *const arguments[], char *const env[])
{
	return execute(&(struct target){.fd = fd, .arguments = arguments}, env);
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
	struct target target = {.path = path};
	va_list list;
	int result;

	va_start(list, first);
	result = execute_list(&target, first, list, false);
	va_end(list);
	return result;
}

EXPORT int execlp(const char *file, const char *first, ...)
{
	struct target target = {.path = file, .searched = true};
	va_list list;
	int result;

	va_start(list, first);
	result = execute_list(&target, first, list, false);
	va_end(list);
	return result;
}

EXPORT int execle(const char *path, const char *first, ...)
{
	struct target target = {.path = path};
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

static int spawn(spawn_call *call, pid_t *pid, const char *path,
		 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
		 char *const arguments[], char *const env[])
{
	struct inheritance inheritance;
	size_t room = 0;
	int error;

	if (!settings.sandboxed)
		room = inherit_find(&inheritance, env,
				    actions ? INHERIT_SPAWN_ACTIONS : INHERIT_SPAWN);
	_Alignas(char *) char space[room + 1];

	if (room)
		env = inherit_begin(&inheritance, env, space);
	error = call(pid, path, actions, attributes, arguments, env);
	if (room)
		inherit_end(&inheritance, error != 0);
	return error;
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const arguments[],
		       char *const env[])
{
	libc_ready();
	return spawn(libc.posix_spawn, pid, path, actions, attributes, arguments, env);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attributes, char *const arguments[],
			char *const env[])
{
	libc_ready();
	return spawn(libc.posix_spawnp, pid, file, actions, attributes, arguments, env);
}
