/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/command.h"
#include "cli/usage.h"

int command_version(int argc, char **argv)
{
	if (argc > 1)
		return usage_error("too much on the command line:", argv[1]);
	puts("smcu " SMCU_VERSION);
	return STATUS_OK;
}
