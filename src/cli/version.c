/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/command.h"

int command_version(int argc, char **argv)
{
	if (argc > 1) {
		fprintf(stderr, "smcu: version takes no '%s' (try 'smcu help')\n", argv[1]);
		return STATUS_USAGE;
	}
	puts("smcu " SMCU_VERSION);
	return STATUS_OK;
}
