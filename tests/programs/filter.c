/* SPDX-License-Identifier: MIT */
/*
 * filter - what inetd starts for a connection: lines of standard input, answered on standard output
 *
 * "question N" becomes "answer N"; any other line comes back as it is.  With libc's streams, whose reads and
 * writes no preload library sees.
 */
#include <stdio.h>
#include <string.h>

int main(void)
{
	static const char question[] = "question";
	char line[65536];

	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, question, sizeof(question) - 1) == 0)
			printf("answer%s", line + sizeof(question) - 1);
		else
			printf("%s", line);
		fflush(stdout);
	}
	return ferror(stdin) || ferror(stdout);
}
