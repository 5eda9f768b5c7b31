/* SPDX-License-Identifier: MIT */
#include "cli/endpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int endpoint_set(struct endpoint *endpoint, const char *directory, const char *path)
{
	int length = snprintf(endpoint->path, sizeof(endpoint->path), "%s", path);

	if (length < 0 || (size_t)length >= sizeof(endpoint->path))
		return -ENAMETOOLONG;
	snprintf(endpoint->directory, sizeof(endpoint->directory), "%s", directory);
	return 0;
}

/* Is @directory there, and this user's?  (Under sudo, $XDG_RUNTIME_DIR may be the caller's.) */
static bool directory_own(const char *directory)
{
	struct stat status;

	return stat(directory, &status) == 0 && S_ISDIR(status.st_mode) &&
	       status.st_uid == geteuid();
}

static int endpoint_set_user(struct endpoint *endpoint)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char directory[ENDPOINT_MAX], path[ENDPOINT_MAX];
	int length;

	if (runtime && runtime[0] == '/' && directory_own(runtime))
		length = snprintf(directory, sizeof(directory), "%s/smcu", runtime);
	else
		length = snprintf(directory, sizeof(directory), "/tmp/smcu-%u",
				  (unsigned int)geteuid());
	if (length < 0 || (size_t)length >= sizeof(directory))
		return -ENAMETOOLONG;
	length = snprintf(path, sizeof(path), "%s/smcud.sock", directory);
	if (length < 0 || (size_t)length >= sizeof(path))
		return -ENAMETOOLONG;
	return endpoint_set(endpoint, directory, path);
}

/* A program that runs under smcu may change its directory: the path becomes absolute. */
static int endpoint_set_chosen(struct endpoint *endpoint, const char *chosen)
{
	char here[PATH_MAX], path[2 * PATH_MAX];

	if (chosen[0] == '/' || !getcwd(here, sizeof(here)))
		return endpoint_set(endpoint, "", chosen);
	snprintf(path, sizeof(path), "%s/%s", here, chosen);
	return endpoint_set(endpoint, "", path);
}

int endpoints_find(struct endpoints *endpoints, const char *chosen)
{
	const char *environment = getenv("SMCU_SOCKET");

	if (!chosen && environment && environment[0])
		chosen = environment;
	endpoints->count = 1;
	if (chosen)
		return endpoint_set_chosen(&endpoints->list[0], chosen);
	endpoints->count = 2;
	endpoint_set(&endpoints->list[0], "", ENDPOINT_SYSTEM);
	return endpoint_set_user(&endpoints->list[1]);
}

int endpoint_trusted(const struct endpoint *endpoint)
{
	struct stat status;

	if (!endpoint->directory[0])
		return 0;
	if (lstat(endpoint->directory, &status) < 0)
		return -errno;
	if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077))
		return -EPERM;
	return 0;
}

int endpoint_prepare(const struct endpoint *endpoint)
{
	if (endpoint->directory[0] && mkdir(endpoint->directory, 0700) < 0 && errno != EEXIST)
		return -errno;
	return endpoint_trusted(endpoint);
}
