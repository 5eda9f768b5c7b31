/* SPDX-License-Identifier: MIT */
#include "cli/usage.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "cli/command.h"

int usage_error(const char *what, const char *argument)
{
	fprintf(stderr, "smcu: %s '%s' (try 'smcu help')\n", what, argument);
	return STATUS_USAGE;
}

int usage_option_error(int option, char **argv)
{
	const char letter[3] = {'-', (char)optopt, '\0'};

	if (option == ':')
		return usage_error("a value is missing after", argv[optind - 1]);
	/* Of a long option it leaves 0, or our code; we have no short ones, which may stand together. */
	return usage_error("unknown option",
			   optopt && optopt <= UCHAR_MAX ? letter : argv[optind - 1]);
}
