/* SPDX-License-Identifier: MIT */
/*
 * One clear line about a command line that makes no sense
 */
#ifndef SMCU_CLI_USAGE_H
#define SMCU_CLI_USAGE_H

/* usage_error - "smcu: WHAT 'ARGUMENT' (try 'smcu help')"; returns STATUS_USAGE */
int usage_error(const char *what, const char *argument);

/**
 * usage_option_error - what getopt_long(3) has just complained about, told by us
 * @option: what it returned: ':' (the option string starts with ':') or '?'
 * @argv: as given to it
 *
 * Return: STATUS_USAGE.
 */
int usage_option_error(int option, char **argv);

#endif
