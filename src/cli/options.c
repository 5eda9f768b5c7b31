/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <getopt.h>
#include <stddef.h>

#include "cli/command.h"
#include "cli/usage.h"

#define FIRST_CODE 256 /* beyond every character */

int options_parse(const struct option_rule *rules, enum option_order order, int argc, char **argv)
{
	struct option options[OPTIONS_MAX + 1] = {0};
	int option;

	for (unsigned int i = 0; rules[i].name && i < OPTIONS_MAX; i++)
		options[i] = (struct option){
			.name = rules[i].name,
			.has_arg = rules[i].value ? required_argument : no_argument,
			.val = FIRST_CODE + (int)i,
		};
	opterr = 0;
	optind = 1;
	while ((option = getopt_long(argc, argv, order == OPTIONS_FIRST ? "+:" : ":", options,
				     NULL)) != -1) {
		if (option < FIRST_CODE)
			return usage_option_error(option, argv);
		if (rules[option - FIRST_CODE].value)
			*rules[option - FIRST_CODE].value = optarg;
		else
			*rules[option - FIRST_CODE].flag = true;
	}
	return STATUS_OK;
}
