/* SPDX-License-Identifier: MIT */
#ifndef SMCU_CLI_PROGRAM_H
#define SMCU_CLI_PROGRAM_H

#include <stdbool.h>

/**
 * program_is_static - would execvp(3) start a program that no library can be preloaded into?
 * @name: as execvp(3) takes it
 *
 * Return: false also where it cannot be told (a script, or no such program).
 */
bool program_is_static(const char *name);

#endif
