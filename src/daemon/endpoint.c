/* SPDX-License-Identifier: MIT */
#include "daemon/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 1024

__attribute__((format(printf, 3, 4))) static int fail(char error[ENDPOINT_ERROR_MAX], int number,
						      const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, ENDPOINT_ERROR_MAX, format, arguments);
	va_end(arguments);
	return -number;
}

/* Under sudo, $XDG_RUNTIME_DIR may be the caller's. */
static bool directory_own(const char *path)
{
	struct stat status;

	return path && path[0] == '/' && stat(path, &status) == 0 && S_ISDIR(status.st_mode) &&
	       status.st_uid == geteuid();
}

int endpoint_default_path(bool per_user, char path[ENDPOINT_PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int length;

	if (geteuid() == 0 && !per_user)
		length = snprintf(path, ENDPOINT_PATH_MAX, "/run/smcu/smcud.sock");
	else if (directory_own(runtime))
		length = snprintf(path, ENDPOINT_PATH_MAX, "%s/smcu/smcud.sock", runtime);
	else
		length = snprintf(path, ENDPOINT_PATH_MAX, "/tmp/smcu-%u/smcud.sock",
				  (unsigned int)geteuid());
	return length < 0 || (size_t)length >= ENDPOINT_PATH_MAX ? -ENAMETOOLONG : 0;
}

/*
 * Make the directory if it is missing; see that nobody else can put things there.  (Modes are what
 * the umask leaves, here and below: chmod() would follow whatever took the place meanwhile.)
 */
static int prepare_directory(const struct endpoint *endpoint, bool shared, bool own,
			     char error[ENDPOINT_ERROR_MAX])
{
	char directory[ENDPOINT_PATH_MAX];
	struct stat status;
	mode_t before;
	char *slash;
	int result;

	memcpy(directory, endpoint->path, sizeof(directory));
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return 0;
	*slash = 0;
	before = umask(shared ? 0022 : 0077);
	result = mkdir(directory, 0777);
	umask(before);
	if (result < 0 && errno != EEXIST)
		return fail(error, errno, "cannot make %s: %s", directory, strerror(errno));
	if (!own)
		return 0;
	if (lstat(directory, &status) < 0)
		return fail(error, errno, "%s: %s", directory, strerror(errno));
	if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
	    (status.st_mode & (shared ? 0022 : 0077)))
		return fail(error, EPERM, "%s is not a directory that only we can write to",
			    directory);
	return 0;
}

/* Who holds the lock, as the lock file says; 0 if it does not. */
static int lock_holder(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

static int refuse_second(const struct endpoint *endpoint, int fd, char error[ENDPOINT_ERROR_MAX])
{
	int pid = lock_holder(fd);

	if (pid > 0)
		return fail(error, EBUSY, "another daemon (pid %d) serves %s", pid, endpoint->path);
	return fail(error, EBUSY, "another daemon serves %s", endpoint->path);
}

static int take_lock(struct endpoint *endpoint, char error[ENDPOINT_ERROR_MAX])
{
	struct stat held, there;
	int result, fd;

	for (;;) {
		fd = open(endpoint->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return fail(error, errno, "%s: %s", endpoint->lock_path, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			result = errno == EWOULDBLOCK ? refuse_second(endpoint, fd, error)
						      : fail(error, errno, "%s: %s",
							     endpoint->lock_path, strerror(errno));
			close(fd);
			return result;
		}
		if (fstat(fd, &held) == 0 && lstat(endpoint->lock_path, &there) == 0 &&
		    held.st_ino == there.st_ino && held.st_dev == there.st_dev)
			break;
		close(fd); /* a daemon that ended just now removed it */
	}
	endpoint->lock = fd;
	return 0;
}

static int remove_stale(const struct endpoint *endpoint, char error[ENDPOINT_ERROR_MAX])
{
	struct stat status;

	if (lstat(endpoint->path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return fail(error, EEXIST, "%s exists and is not a socket", endpoint->path);
	if (unlink(endpoint->path) < 0)
		return fail(error, errno, "cannot remove the old %s: %s", endpoint->path,
			    strerror(errno));
	return 0;
}

static int start_listening(struct endpoint *endpoint, bool shared, char error[ENDPOINT_ERROR_MAX])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t before;
	int result;

	memcpy(address.sun_path, endpoint->path, sizeof(address.sun_path));
	endpoint->listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (endpoint->listening < 0)
		return fail(error, errno, "socket: %s", strerror(errno));
	before = umask(shared ? 0111 : 0177);
	result = bind(endpoint->listening, (struct sockaddr *)&address, sizeof(address));
	umask(before);
	if (result < 0 || listen(endpoint->listening, BACKLOG) < 0) {
		result = fail(error, errno, "%s: %s", endpoint->path, strerror(errno));
		close(endpoint->listening);
		return result;
	}
	return 0;
}

static void drop_lock(struct endpoint *endpoint)
{
	unlink(endpoint->lock_path);
	flock(endpoint->lock, LOCK_UN);
	close(endpoint->lock);
}

int endpoint_open(struct endpoint *endpoint, const char *path, bool shared, bool own_directory,
		  char error[ENDPOINT_ERROR_MAX])
{
	int result;

	if (strlen(path) >= sizeof(endpoint->path))
		return fail(error, ENAMETOOLONG, "%.100s...: the path is too long for a socket",
			    path);
	memset(endpoint, 0, sizeof(*endpoint));
	strcpy(endpoint->path, path);
	snprintf(endpoint->lock_path, sizeof(endpoint->lock_path), "%s.lock", path);
	result = prepare_directory(endpoint, shared, own_directory, error);
	if (result)
		return result;
	result = take_lock(endpoint, error);
	if (result)
		return result;
	result = remove_stale(endpoint, error);
	if (!result)
		result = start_listening(endpoint, shared, error);
	if (result)
		drop_lock(endpoint);
	return result;
}

void endpoint_sign(const struct endpoint *endpoint)
{
	if (ftruncate(endpoint->lock, 0) == 0)
		dprintf(endpoint->lock, "%d\n", (int)getpid());
}

void endpoint_close(struct endpoint *endpoint)
{
	unlink(endpoint->path);
	shutdown(endpoint->listening, SHUT_RDWR);
	close(endpoint->listening);
	drop_lock(endpoint);
}
