/* SPDX-License-Identifier: MIT */
#include "control/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LIBRARY "libsmcu-preload.so"
#define FIRST_LINE 256 /* of a script: BINPRM_BUF_SIZE */
#define INTERPRETERS 5 /* of interpreters, as the kernel follows them */
#define SEARCHED_DEFAULT "/bin:/usr/bin"
#define HEADERS 16 /* program headers read at a time */

/* Our own: what cannot be loaded beside it is of another architecture. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

/* One that is switched off is none. */
static const char *lost_by_environment(char *const env[])
{
	bool there = false;

	for (; env && *env; env++) {
		if (strncmp(*env, "LD_PRELOAD=", 11) == 0 && strstr(*env, LIBRARY))
			there = true;
		if (strncmp(*env, "SMCU_OFF=", 9) == 0 && (*env)[9] && (*env)[9] != '0')
			return "SMCU_OFF is set";
	}
	return there ? NULL : "its environment does not preload it";
}

/* The dynamic linker itself, with the program as its argument, does what it does for that. */
static bool is_linker(const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;

	return strncmp(name, "ld", 2) == 0 && strstr(name, ".so");
}

static bool has_interpreter(int fd, const ElfW(Ehdr) * header)
{
	ElfW(Phdr) headers[HEADERS];
	ssize_t n;

	for (unsigned int at = 0; at < header->e_phnum; at += HEADERS) {
		n = pread(fd, headers, sizeof(headers),
			  (off_t)(header->e_phoff + at * sizeof(headers[0])));
		for (unsigned int i = 0; i < HEADERS && at + i < header->e_phnum; i++) {
			if (n < (ssize_t)((i + 1) * sizeof(headers[0])))
				return false;
			if (headers[i].p_type == PT_INTERP)
				return true;
		}
	}
	return false;
}

static const char *lost_by_linking(int fd, const ElfW(Ehdr) * header, const char *path)
{
	if (header->e_ident[EI_CLASS] != __ehdr_start.e_ident[EI_CLASS] ||
	    header->e_ident[EI_DATA] != __ehdr_start.e_ident[EI_DATA] ||
	    header->e_machine != __ehdr_start.e_machine)
		return "it is for another architecture";
	if (header->e_phentsize != sizeof(ElfW(Phdr)) ||
	    (!has_interpreter(fd, header) && !is_linker(path)))
		return "it is statically linked";
	return NULL;
}

/* Would the kernel say AT_SECURE?  Who has other effective than real ids gets it for any program. */
static const char *lost_by_privileges(int fd, const struct stat *file)
{
	const uid_t real_user = getuid();
	const gid_t real_group = getgid();
	uid_t user = geteuid();
	gid_t group = getegid();
	struct statvfs mount;
	const bool counts = fstatvfs(fd, &mount) == 0 && !(mount.f_flag & ST_NOSUID) &&
			    prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 0;

	if (counts && (file->st_mode & S_ISUID))
		user = file->st_uid;
	if (counts && (file->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		group = file->st_gid;
	if (user != real_user || group != real_group)
		return "it changes the user or the group";
	if (counts && real_user != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return "it gets capabilities";
	return NULL;
}

/* The interpreter that a script's first line names, into @path; false: there is none */
static bool interpreter(const char line[FIRST_LINE], size_t length, char path[FIRST_LINE])
{
	size_t at = 2, n = 0;

	if (length < 2 || line[0] != '#' || line[1] != '!')
		return false;
	while (at < length && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (at < length && line[at] && !strchr(" \t\n", line[at]))
		path[n++] = line[at++];
	path[n] = 0;
	return n > 0;
}

/**
 * struct file - one that the kernel would open
 * @path: and, if it is a script, the path of the next one
 */
struct file {
	char path[PATH_MAX];
};

/* Look at one; true: the next one is to be looked at. */
static bool look(struct file *file, const char **lost)
{
	char line[FIRST_LINE] = "", next[FIRST_LINE];
	ElfW(Ehdr) header;
	struct stat status;
	bool is_script = false;
	ssize_t n;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return false;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		n = pread(fd, line, sizeof(line), 0);
		memcpy(&header, line, sizeof(header));
		if (n >= (ssize_t)sizeof(header) && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0) {
			*lost = lost_by_linking(fd, &header, file->path);
			if (!*lost)
				*lost = lost_by_privileges(fd, &status);
		} else if (n > 0) {
			is_script = interpreter(line, (size_t)n, next);
		}
	}
	close(fd);
	if (is_script)
		memcpy(file->path, next, sizeof(next));
	return is_script;
}

static bool is_program(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* As execvp(3) does: the first of that name in $PATH. */
static bool search(const char *name, struct file *file)
{
	const char *at = getenv("PATH"), *end;

	for (at = at ? at : SEARCHED_DEFAULT;; at = end + 1) {
		end = strchrnul(at, ':');
		snprintf(file->path, sizeof(file->path), "%.*s%s%s", (int)(end - at), at,
			 end > at ? "/" : "", name);
		if (is_program(file->path))
			return true;
		if (!*end)
			return false;
	}
}

/* False: there is none, and the exec is going to fail.  A relative path may be meant from elsewhere. */
static bool find(const struct program *program, struct file *file)
{
	const char *path = program->path;
	int n;

	if (program->searched && !strchr(path, '/'))
		return search(path, file);
	if (faccessat(program->directory, path, X_OK, 0) < 0 && errno == EFAULT)
		return false;
	if (program->directory == AT_FDCWD || path[0] == '/')
		n = snprintf(file->path, sizeof(file->path), "%s", path);
	else
		n = snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d%s%s",
			     program->directory, path[0] ? "/" : "", path);
	if (n >= (int)sizeof(file->path))
		return false;
	return file->path[0] != '/' || access(file->path, X_OK) == 0;
}

const char *program_loses_the_shim(const struct program *program, char *const env[])
{
	const int saved = errno;
	const char *lost = NULL;
	struct file file;

	if (find(program, &file)) {
		lost = lost_by_environment(env);
		for (int i = 0; !lost && i < INTERPRETERS && look(&file, &lost); i++)
			;
	}
	errno = saved;
	return lost;
}
