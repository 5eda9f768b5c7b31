/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: system and popen
 *
 * libc starts the shell by a posix_spawn(3) of its own, which does not pass us: these do what its do, and
 * by ours, so that the shell has the connections.  Without any, libc's system(3) does.  Its popen(3)
 * never: a child must not hold the pipes of earlier streams, and each of the two knows only its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/call_stdio.h"
#include "shim/connection.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/quiet.h"
#include "shim/settings.h"

#define SHELL "/bin/sh"

static pid_t wait_for(pid_t child, int *status)
{
	pid_t result;

	do
		result = waitpid(child, status, 0);
	while (result < 0 && errno == EINTR);
	return result;
}

/* Since 2.38 glibc says "--", so that a command may begin with a dash. */
static bool ends_options(void)
{
	int major = 0, minor = 0;

	return sscanf(gnu_get_libc_version(), "%d.%d", &major, &minor) == 2 &&
	       (major > 2 || minor >= 38);
}

static int start_shell(pid_t *pid, const char *command, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes)
{
	char *const text = (char *)(uintptr_t)command;
	char *const plain[] = {"sh", "-c", text, NULL};
	char *const ended[] = {"sh", "-c", "--", text, NULL};
	char *const *arguments = ends_options() ? ended : plain;

	return posix_spawn(pid, SHELL, actions, attributes, arguments, environ);
}

/* --- system --- */

/* Calls that are under way, of all threads, and what the first found. */
static _Atomic uint32_t signals_lock;
static int signals_users;
static struct sigaction interrupt_before, quit_before;

/**
 * struct shell - one call
 * @mask: the thread's, before
 * @child: once it is there
 */
struct shell {
	sigset_t mask;
	pid_t child;
};

static void signals_take(struct shell *shell)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t child;

	if (latch_take(&signals_lock) == 0) {
		if (signals_users++ == 0) {
			libc.sigaction(SIGINT, &ignore, &interrupt_before);
			libc.sigaction(SIGQUIT, &ignore, &quit_before);
		}
		latch_drop(&signals_lock);
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &child, &shell->mask);
}

static void signals_give(const struct shell *shell)
{
	if (latch_take(&signals_lock) == 0) {
		if (--signals_users == 0) {
			libc.sigaction(SIGINT, &interrupt_before, NULL);
			libc.sigaction(SIGQUIT, &quit_before, NULL);
		}
		latch_drop(&signals_lock);
	}
	pthread_sigmask(SIG_SETMASK, &shell->mask, NULL);
}

/* The thread is cancelled while it waits. */
static void give_up(void *context)
{
	struct shell *shell = context;
	int status, state;

	kill(shell->child, SIGKILL);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	(void)wait_for(shell->child, &status);
	pthread_setcancelstate(state, NULL);
	signals_give(shell);
}

/* In the child the signals are what they were here before. */
static int start_with_signals(struct shell *shell, const char *command)
{
	posix_spawnattr_t attributes;
	sigset_t by_default;
	int error;

	sigemptyset(&by_default);
	if (interrupt_before.sa_handler != SIG_IGN)
		sigaddset(&by_default, SIGINT);
	if (quit_before.sa_handler != SIG_IGN)
		sigaddset(&by_default, SIGQUIT);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &shell->mask);
	posix_spawnattr_setsigdefault(&attributes, &by_default);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	error = start_shell(&shell->child, command, NULL, &attributes);
	posix_spawnattr_destroy(&attributes);
	return error;
}

static int run_shell(const char *command)
{
	struct shell shell;
	int status = -1, error;

	signals_take(&shell);
	error = start_with_signals(&shell, command);
	if (error == 0) {
		pthread_cleanup_push(give_up, &shell);
		if (wait_for(shell.child, &status) != shell.child)
			status = -1;
		pthread_cleanup_pop(0);
	} else {
		status = W_EXITCODE(127, 0);
	}
	signals_give(&shell);
	if (error)
		errno = error;
	return status;
}

EXPORT int system(const char *command)
{
	libc_ready();
	if (settings.off || settings.sandboxed || connection_none())
		return libc.system(command);
	return command ? run_shell(command) : run_shell("exit 0") == 0;
}

/* --- popen --- */

/**
 * struct stream_child - a program at the other end of a stream
 * @fd: our end of the pipe
 * @pid: 0 until it runs
 */
struct stream_child {
	int fd;
	pid_t pid;
	struct stream_child *next;
};

static _Atomic uint32_t streams_lock;
static struct stream_child *streams;

static int start_on_pipe(struct stream_child *child, const char *command, int end, int target,
			 const sigset_t *mask)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = posix_spawn_file_actions_init(&actions);

	if (error)
		return error;
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, mask);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	error = posix_spawn_file_actions_adddup2(&actions, end, target);
	for (const struct stream_child *other = streams; other && !error; other = other->next)
		if (other->fd != target)
			error = posix_spawn_file_actions_addclose(&actions, other->fd);
	if (!error)
		error = start_shell(&child->pid, command, &actions, &attributes);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static void unlink_child(const struct stream_child *child)
{
	struct stream_child **at = &streams;

	while (*at && *at != child)
		at = &(*at)->next;
	if (*at)
		*at = child->next;
}

/* fclose(3), which is all that glibc's pclose(3) is, calls this. */
static int close_and_wait(void *cookie)
{
	struct stream_child *child = cookie;
	int status, state, result;

	if (latch_take(&streams_lock) == 0) {
		unlink_child(child);
		latch_drop(&streams_lock);
	}
	result = close(child->fd);
	if (result == 0 && child->pid) {
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		result = wait_for(child->pid, &status) < 0 ? -1 : status;
		pthread_setcancelstate(state, NULL);
	}
	free(child);
	return result;
}

/* "r" or "w", and "e" where one likes. */
static bool is_mode(const char *mode, bool *reads, bool *keeps)
{
	bool writes = false;

	*reads = *keeps = false;
	for (; *mode; mode++) {
		if (*mode == 'r')
			*reads = true;
		else if (*mode == 'w')
			writes = true;
		else if (*mode == 'e')
			*keeps = true;
		else
			return false;
	}
	return *reads != writes;
}

static ssize_t pipe_read(void *cookie, char *buffer, size_t size)
{
	return libc.read(((const struct stream_child *)cookie)->fd, buffer, size);
}

static ssize_t pipe_write(void *cookie, const char *buffer, size_t size)
{
	return call_stdio_write(((const struct stream_child *)cookie)->fd, buffer, size);
}

static int pipe_seek(void *cookie, off64_t *offset, int whence)
{
	(void)cookie, (void)offset, (void)whence;
	errno = ESPIPE;
	return -1;
}

static FILE *stream_on_pipe(struct stream_child *child, bool reads)
{
	const cookie_io_functions_t functions = {
		.read = pipe_read, .write = pipe_write, .seek = pipe_seek, .close = close_and_wait};
	FILE *file = fopencookie(child, reads ? "r" : "w", functions);

	if (file)
		file->_fileno = child->fd; /* for fileno() */
	return file;
}

static int start_and_link(struct stream_child *child, const char *command, int end, int target)
{
	sigset_t mask; /* the program's: signals that wait for a latch are blocked as well */
	int error;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	if (latch_take(&streams_lock) < 0)
		return EAGAIN; /* a signal handler interrupted another of these calls */
	error = start_on_pipe(child, command, end, target, &mask);
	if (!error) {
		child->next = streams;
		streams = child;
	}
	latch_drop(&streams_lock);
	return error;
}

/* The stream is made first, since a program that runs cannot be called back. */
static FILE *open_stream(const char *command, const int ends[2], bool reads, bool keeps)
{
	struct stream_child *child = calloc(1, sizeof(*child));
	FILE *file;
	int error;

	if (!child)
		return NULL;
	child->fd = ends[!reads];
	file = stream_on_pipe(child, reads);
	if (!file) {
		free(child);
		return NULL;
	}
	error = start_and_link(child, command, ends[reads], reads ? STDOUT_FILENO : STDIN_FILENO);
	if (error) {
		child->fd = dup(child->fd); /* fclose(3) closes this one, and popen() its own */
		fclose(file);
		errno = error;
		return NULL;
	}
	if (!keeps)
		(void)libc.fcntl(child->fd, F_SETFD, 0);
	return file;
}

EXPORT FILE *popen(const char *command, const char *mode)
{
	bool reads, keeps;
	int ends[2], error;
	FILE *file;

	libc_ready();
	if (settings.off)
		return libc.popen(command, mode);
	if (!is_mode(mode, &reads, &keeps)) {
		errno = EINVAL;
		return NULL;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return NULL;
	file = open_stream(command, ends, reads, keeps);
	error = errno;
	quiet_close(ends[reads]);
	if (!file)
		quiet_close(ends[!reads]);
	errno = error;
	return file;
}
