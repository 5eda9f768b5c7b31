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
	"  ss [--json] [--details]\n"
	"                      list connections: shared memory, SMC-R, or TCP and why\n"
	"  stats [--json]      what moved and what did not, in numbers\n"
	"  linkgroup [--json] [--details]\n"
	"  link [--json] [--details]\n"
	"  device [--json] [--details]\n"
	"                      list link groups with other hosts, their links, and the adapters\n"
	"  decode [--json] [--verify] FILE\n"
	"                      print what of SMC is in a capture: options, CLC, LLC, CDC, RoCE\n"
	"      --verify            encode each message again; fail at the first byte that differs\n"
	"  version             print the version\n"
	"  help                print this\n"
	"\n"
	"All but decode take --socket PATH: the daemon to use.  Without it, the first that\n"
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
	{"stats", command_stats},	{"linkgroup", command_linkgroup},
	{"link", command_link},		{"device", command_device},
	{"decode", command_decode},	{"version", command_version},
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
