/* SPDX-License-Identifier: MIT */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 64

/**
 * struct line_reader - bytes that come in pieces, given out as lines
 * @text: what has come of the current line
 * @length: bytes of it
 */
struct line_reader {
	char text[AGENT_LINE];
	size_t length;
};

/**
 * struct program - one that runs, or a free place
 * @pid: 0 if the place is free
 * @input: write end of its standard input, -1 if closed
 * @output: read end of what it prints
 */
struct program {
	pid_t pid;
	int input;
	int output;
	struct line_reader lines;
};

static struct program programs[AGENT_PROGRAMS];
static int port;
static int stopped;

__attribute__((format(printf, 1, 2))) static void answer(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vdprintf(port, format, list);
	va_end(list);
}

/* Feed what came; @take gets each whole line, without its end.  A line too long comes in pieces. */
static void lines_feed(struct line_reader *reader, const char *bytes, size_t count,
		       void (*take)(char *line, long context), long context)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (bytes[i] != '\n')
			reader->text[reader->length++] = bytes[i];
		if (bytes[i] != '\n' && reader->length < AGENT_LINE - 1)
			continue;
		reader->text[reader->length] = 0;
		reader->length = 0;
		take(reader->text, context);
	}
}

static void output_line(char *line, long id)
{
	answer("%ld out %s\n", id, line);
}

/* In the child: become the program. */
static void program_exec(char **words, const int input[2], const int output[2])
{
	static char *environment[] = {"PATH=/bin", NULL};

	setsid();
	dup2(input[0], STDIN_FILENO);
	dup2(output[1], STDOUT_FILENO);
	dup2(output[1], STDERR_FILENO);
	execvpe(words[0], words, environment);
	fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
	_exit(127);
}

static int program_start(struct program *program, char **words)
{
	int input[2], output[2];

	if (pipe2(input, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(output, O_CLOEXEC) < 0) {
		close(input[0]);
		close(input[1]);
		return -errno;
	}
	program->pid = fork();
	if (program->pid == 0)
		program_exec(words, input, output);
	close(input[0]);
	close(output[1]);
	program->input = input[1];
	program->output = output[0];
	program->lines.length = 0;
	return program->pid < 0 ? -EAGAIN : 0;
}

static void input_close(struct program *program)
{
	if (program->input >= 0)
		close(program->input);
	program->input = -1;
}

/* Its output has ended: so has the program, or it is about to. */
static void program_finish(struct program *program, long id)
{
	int status = 0;

	if (program->lines.length)
		lines_feed(&program->lines, "\n", 1, output_line, id);
	input_close(program);
	close(program->output);
	waitpid(program->pid, &status, 0);
	program->pid = 0;
	answer("%ld exit %d\n", id,
	       WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void program_read(struct program *program, long id)
{
	char bytes[512];
	ssize_t count = read(program->output, bytes, sizeof(bytes));

	if (count > 0)
		lines_feed(&program->lines, bytes, (size_t)count, output_line, id);
	else if (count == 0 || errno != EINTR)
		program_finish(program, id);
}

static int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

/* The program that @word names by its ID; NULL if there is no such ID. */
static struct program *program_named(const char *word)
{
	char *end;
	unsigned long id = strtoul(word, &end, 10);

	return *end || id >= AGENT_PROGRAMS ? NULL : &programs[id];
}

/* Those that need an ID of a program that runs; is it one of them? */
static int command_to_program(char **words, int count)
{
	struct program *program = count >= 2 ? program_named(words[1]) : NULL;

	if (!program || !program->pid)
		return 0;
	if (count == 2 && strcmp(words[0], "end") == 0)
		input_close(program);
	else if (count == 3 && strcmp(words[0], "kill") == 0)
		kill(program->pid, atoi(words[2]));
	else
		return 0;
	return 1;
}

static int command_run(char **words, int count)
{
	struct program *program = count >= 3 ? program_named(words[1]) : NULL;

	return program && !program->pid && program_start(program, words + 2) == 0;
}

static void command_line(char *line, long unused)
{
	char copy[AGENT_LINE], *words[WORDS + 1], *word, *rest = NULL;
	int count = 0;

	(void)unused;
	strcpy(copy, line);
	for (word = strtok_r(line, " ", &rest); word && count < WORDS;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	words[count] = NULL;
	if (count == 0)
		return;
	if (strcmp(words[0], "stop") == 0)
		stopped = 1;
	else if (strcmp(words[0], "run") == 0 && command_run(words, count))
		return;
	else if (strcmp(words[0], "write") == 0 && count >= 3)
		answer("write %d\n",
		       file_write(words[1], strstr(copy, words[1]) + strlen(words[1]) + 1));
	else if (!command_to_program(words, count))
		answer("error %s\n", copy);
}

/* Programs that lost their parents come to us, as the first process. */
static void orphans_reap(void)
{
	siginfo_t info;
	size_t i;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
			return;
		for (i = 0; i < AGENT_PROGRAMS; i++)
			if (programs[i].pid == info.si_pid)
				return; /* its output has not been read to the end */
		waitpid(info.si_pid, NULL, 0);
	}
}

void agent_serve(int fd)
{
	struct line_reader commands = {.length = 0};
	struct pollfd waits[AGENT_PROGRAMS + 1];
	char bytes[512];
	ssize_t count;
	long i;

	port = fd;
	signal(SIGPIPE, SIG_IGN);
	answer("ready\n");
	while (!stopped) {
		for (i = 0; i < AGENT_PROGRAMS; i++)
			waits[i] = (struct pollfd){.fd = programs[i].pid ? programs[i].output : -1,
						   .events = POLLIN};
		waits[i] = (struct pollfd){.fd = fd, .events = POLLIN};
		if (poll(waits, AGENT_PROGRAMS + 1, 1000) < 0 && errno != EINTR)
			return;
		for (i = 0; i < AGENT_PROGRAMS; i++)
			if (waits[i].revents)
				program_read(&programs[i], i);
		if (waits[i].revents) {
			count = read(fd, bytes, sizeof(bytes));
			if (count <= 0)
				return;
			lines_feed(&commands, bytes, (size_t)count, command_line, 0);
		}
		orphans_reap();
	}
}
