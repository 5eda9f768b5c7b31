/* SPDX-License-Identifier: MIT */
/*
 * The options of a subcommand: long ones, with a value or without
 */
#ifndef SMCU_CLI_OPTIONS_H
#define SMCU_CLI_OPTIONS_H

#include <stdbool.h>

#define OPTIONS_MAX 8U

/**
 * struct option_rule - one option; a table of them ends with a @name of NULL
 * @name: without "--"
 * @flag: set to true if it is given; or
 * @value: set to what follows it
 */
struct option_rule {
	const char *name;
	bool *flag;
	const char **value;
};

enum option_order {
	OPTIONS_ANYWHERE, /* also behind arguments */
	OPTIONS_FIRST /* the first argument ends them: the rest is another program's */
};

/**
 * options_parse - read the options of a subcommand
 * @rules: at most OPTIONS_MAX
 * @argc, @argv: from the subcommand's name on
 *
 * Return: STATUS_OK, and optind is the first argument; or STATUS_USAGE after an error was printed.
 */
int options_parse(const struct option_rule *rules, enum option_order order, int argc, char **argv);

#endif
