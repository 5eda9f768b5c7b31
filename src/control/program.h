/* SPDX-License-Identifier: MIT */
/*
 * Will a program that is about to be started have the preload library?
 *
 * Asked before an exec, of the file and by the kernel's and the dynamic linker's rules: a program that is
 * statically linked, for another architecture, or that runs with other privileges than its caller's is
 * started without the libraries that LD_PRELOAD names.  A script is what its interpreter is.  It costs an
 * open, a look at the headers and a close; nothing is kept, and nothing is allocated: a vfork child asks.
 *
 * Where there is no such file the answer is that it will: the exec fails.  Of one that can be executed but
 * not read only the environment is judged.
 */
#ifndef SMCU_CONTROL_PROGRAM_H
#define SMCU_CONTROL_PROGRAM_H

#include <stdbool.h>

/**
 * struct program - what is to be executed
 * @path: empty for the file that @directory is; it may be no address of a string: the exec fails
 * @directory: below which a relative path is, or AT_FDCWD
 * @searched: along $PATH, where there is no slash in it
 */
struct program {
	const char *path;
	int directory;
	bool searched;
};

/**
 * program_loses_the_shim - why will @program with the environment @env not have it?
 *
 * Return: words that complete "it has no shim: ", or NULL: it will have it.
 */
const char *program_loses_the_shim(const struct program *program, char *const env[]);

#endif
