/* SPDX-License-Identifier: MIT */
/*
 * The subcommands of smcu, one file each
 *
 * Each takes the arguments from its own name on (argv[0] is "run", "ss", ...) and returns the exit
 * status of smcu.
 */
#ifndef SMCU_CLI_COMMAND_H
#define SMCU_CLI_COMMAND_H

/* Exit statuses; those of run are the shell's. */
enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1, /* no daemon, or it did not answer as it should; a bad capture */
	STATUS_USAGE = 2, /* the command line makes no sense */
	STATUS_NOT_RUN = 126, /* run: the program is there but cannot be executed */
	STATUS_NOT_FOUND = 127, /* run: no such program */
};

int command_decode(int argc, char **argv);
int command_device(int argc, char **argv);
int command_link(int argc, char **argv);
int command_linkgroup(int argc, char **argv);
int command_run(int argc, char **argv);
int command_ss(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_version(int argc, char **argv);

#endif
