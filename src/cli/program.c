/* SPDX-License-Identifier: MIT */
#include "cli/program.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADERS_MOST 64

/* Where execvp(3) would find it: false when nowhere. */
static bool find(const char *name, char path[PATH_MAX])
{
	const char *directory = getenv("PATH"), *end;

	if (strchr(name, '/') || !directory)
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
	for (;; directory = end + 1) {
		end = strchrnul(directory, ':');
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - directory), directory,
			     end == directory ? "" : "/", name) < PATH_MAX &&
		    access(path, X_OK) == 0)
			return true;
		if (!*end)
			return false;
	}
}

/* Any other program asks for one by PT_INTERP. */
static bool has_no_loader(int fd)
{
	ElfW(Phdr) headers[HEADERS_MOST];
	ElfW(Ehdr) file;
	ssize_t size;

	if (pread(fd, &file, sizeof(file), 0) != sizeof(file) ||
	    memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 || file.e_phentsize != sizeof(headers[0]) ||
	    file.e_phnum > HEADERS_MOST)
		return false;
	size = (ssize_t)(file.e_phnum * sizeof(headers[0]));
	if (pread(fd, headers, (size_t)size, (off_t)file.e_phoff) != size)
		return false;
	for (unsigned int i = 0; i < file.e_phnum; i++)
		if (headers[i].p_type == PT_INTERP)
			return false;
	return true;
}

bool program_is_static(const char *name)
{
	char path[PATH_MAX];
	bool is_static;
	int fd;

	if (!find(name, path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	is_static = has_no_loader(fd);
	close(fd);
	return is_static;
}
