/* SPDX-License-Identifier: MIT */
/*
 * smcu: the command
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/usage.h"

static const char help[] =
	"usage: smcu COMMAND [OPTION ...]\n"
	"\n"
	"  run [OPTION ...] [--] PROGRAM [ARGUMENT ...]\n"
	"                      run PROGRAM with its TCP connections through shared memory\n"
	"      --require           fail rather than stay TCP: no daemon, a peer without smcu\n"
	"      --verbose           have the program say what smcu does, on standard error\n"
	"      --move-after BYTES  move a connection after so many bytes (k, M, G; 0: at once)\n"
	"  ss [--json]         list connections: is it in shared memory, and if not, why\n"
	"  stats [--json]      what moved and what did not, in numbers\n"
	"  version             print the version\n"
	"  help                print this\n"
	"\n"
	"run, ss and stats take --socket PATH: the daemon to use.  Without it, the first that\n"
	"answers: $SMCU_SOCKET, or /run/smcu/smcud.sock, $XDG_RUNTIME_DIR/smcu/smcud.sock "
	"(without\n"
	"a runtime directory, /tmp/smcu-UID/smcud.sock).\n";

static int command_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	fputs(help, stdout);
	return STATUS_OK;
}

static const struct {
	const char *name;
	int (*command)(int argc, char **argv);
} commands[] = {
	{"run", command_run},		{"ss", command_ss},
	{"stats", command_stats},	{"version", command_version},
	{"--version", command_version}, {"-V", command_version},
	{"help", command_help},		{"--help", command_help},
	{"-h", command_help},
};

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs(help, stderr);
		return STATUS_USAGE;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		int status;

		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		status = commands[i].command(argc - 1, argv + 1);
		if (fflush(stdout) == EOF || ferror(stdout)) {
			fputs("smcu: cannot write to standard output\n", stderr);
			return STATUS_FAILED;
		}
		return status;
	}
	return usage_error(argv[1][0] == '-' ? "unknown option" : "unknown command", argv[1]);
}
