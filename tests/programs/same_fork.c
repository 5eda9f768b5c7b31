/* SPDX-License-Identifier: MIT */
/* fork, vfork, exec and posix_spawn with a connection that moved, or moves later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

extern char **environ;

static int join(pid_t pid)
{
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void a_child_uses_the_connection(void)
{
	int ends[2];
	char in[20];
	pid_t pid;

	pair_open(ends);
	pid = fork();
	if (pid == 0) {
		if (read_all(ends[0], in, 4) != 4)
			_exit(1);
		write_all(ends[0], "from child", 10);
		_exit(0);
	}
	say_call("write", write(ends[1], "ping", 4));
	say_call("read", (ssize_t)read_all(ends[1], in, 10));
	say("%.10s", in);
	say("child %d", join(pid));
	say_call("no end yet", recv(ends[1], in, 1, MSG_DONTWAIT));
	say_call("write", write(ends[0], "parent", 6));
	say_call("read", read(ends[1], in, 20));
	close(ends[0]);
	say_call("read", read(ends[1], in, 20));
	close(ends[1]);
}

static void the_parent_closes_and_the_child_goes_on(void)
{
	static char bytes[300000];
	char *in = malloc(sizeof(bytes));
	int ends[2];
	pid_t pid;

	pair_open(ends);
	pattern_fill(31, 0, bytes, sizeof(bytes));
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		settle();
		write_all(ends[0], bytes, sizeof(bytes));
		_exit(0);
	}
	say_call("close", close(ends[0]));
	say_call("read", (ssize_t)read_all(ends[1], in, sizeof(bytes)));
	say_pattern("bytes", 31, 0, in, sizeof(bytes));
	say_call("read", read(ends[1], in, 10));
	say("child %d", join(pid));
	close(ends[1]);
	free(in);
}

static void parent_and_child_both_write(void)
{
	enum { RECORDS = 500, RECORD = 64 };
	char record[RECORD], in[RECORD];
	int ends[2], i, broken = 0, who[2] = {0, 0};
	pid_t pid;

	pair_open(ends);
	pid = fork();
	memset(record, pid == 0 ? 'c' : 'p', RECORD);
	for (i = 0; i < RECORDS; i++)
		write_all(ends[0], record, RECORD);
	if (pid == 0)
		_exit(0);
	for (i = 0; i < 2 * RECORDS; i++) {
		if (read_all(ends[1], in, RECORD) != RECORD)
			die("short");
		if (in[0] != in[RECORD - 1] || memcmp(in, in + 1, RECORD - 1) != 0)
			broken++;
		who[in[0] == 'c']++;
	}
	say("parent %d child %d broken %d", who[0], who[1], broken);
	say("child %d", join(pid));
	pair_close(ends);
}

static void children_share_the_reading(void)
{
	enum { CHILDREN = 4, TOTAL = 200000 };
	static char bytes[TOTAL];
	int ends[2], counts[2], i;
	pid_t pids[CHILDREN];
	size_t total = 0, part;
	ssize_t n;

	pair_open(ends);
	if (pipe(counts) < 0)
		die("pipe");
	for (i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		close(ends[0]);
		for (part = 0; (n = read(ends[1], bytes, 1000)) > 0; part += (size_t)n)
			;
		write_all(counts[1], &part, sizeof(part));
		_exit(n == 0 ? 0 : 1);
	}
	write_all(ends[0], bytes, TOTAL);
	shutdown(ends[0], SHUT_WR);
	for (i = 0; i < CHILDREN; i++) {
		say("child %d", join(pids[i]));
		if (read_all(counts[0], &part, sizeof(part)) != sizeof(part))
			die("pipe");
		total += part;
	}
	say("all together %zu", total);
	close(counts[0]);
	close(counts[1]);
	pair_close(ends);
}

static void a_fork_before_the_move(void)
{
	int ends[2], status, i;
	char in[10];
	pid_t pid;

	connect_pair(ends);
	write_all(ends[0], "x", 1);
	pid = fork();
	if (pid == 0) {
		sleep_us(50000);
		/* the parent has been writing; now the child does */
		write_all(ends[0], "child", 5);
		_exit(0);
	}
	if (read_all(ends[1], in, 1) != 1)
		die("first byte");
	for (i = 0; i < 20; i++) {
		write_all(ends[1], "w", 1);
		if (read_all(ends[0], in, 1) != 1)
			die("exchange");
		sleep_us(500);
	}
	say_call("read", (ssize_t)read_all(ends[1], in, 5));
	say("%.5s", in);
	waitpid(pid, &status, 0);
	say_call("write", write(ends[0], "parent", 6));
	say_call("read", read(ends[1], in, 10));
	say("child %d", status);
	pair_close(ends);
}

static void a_spawned_cat_on_the_connection(void)
{
	posix_spawn_file_actions_t actions;
	char *arguments[] = {(char *)(uintptr_t) "cat", NULL};
	char in[20];
	int ends[2];
	pid_t pid;

	pair_open(ends);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
	posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	posix_spawn_file_actions_addclose(&actions, ends[1]);
	if (posix_spawnp(&pid, "cat", &actions, NULL, arguments, environ) != 0)
		die("posix_spawnp");
	close(ends[1]);
	say_call("write", write(ends[0], "hello cat", 9));
	say_call("read", (ssize_t)read_all(ends[0], in, 9));
	say("%.9s", in);
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	say_call("read", read(ends[0], in, 20));
	say("cat %d", join(pid));
	close(ends[0]);
}

static void a_forked_shell_on_the_connection(void)
{
	char in[40] = "";
	int ends[2];
	pid_t pid;

	pair_open(ends);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], 0);
		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		execlp("sh", "sh", "-c", "read line; echo \"got $line\"; cat >/dev/null; echo end",
		       NULL);
		_exit(127);
	}
	close(ends[1]);
	say_call("write", write(ends[0], "a line\n", 7));
	say_call("read", (ssize_t)read_all(ends[0], in, 11));
	say("%s", in);
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	say_call("read", (ssize_t)read_all(ends[0], in, 20));
	say("shell %d", join(pid));
	close(ends[0]);
}

static void an_inherited_connection_may_be_left_alone(void)
{
	int ends[2];
	char in[10];
	pid_t pid;

	pair_open(ends);
	/* programs that do not know of the socket, such as system() and popen() start */
	say("true %d", system("true"));
	pid = vfork();
	if (pid == 0) {
		execlp("true", "true", NULL);
		_exit(127);
	}
	say("vfork %d", join(pid));
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "def", 3));
	say_call("read", read(ends[0], in, 10));
	pair_close(ends);
}

/* cat on ends[1], started without fork(2), as soon as the connection is there */
static pid_t start_cat(const int ends[2], bool spawned)
{
	posix_spawn_file_actions_t actions;
	char *const arguments[] = {"cat", NULL};
	pid_t pid;

	if (spawned) {
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
		posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
		if (posix_spawnp(&pid, "cat", &actions, NULL, arguments, environ) != 0)
			die("posix_spawnp");
		posix_spawn_file_actions_destroy(&actions);
		return pid;
	}
	pid = vfork();
	if (pid == 0) {
		dup2(ends[1], 0);
		dup2(ends[1], 1);
		execvp("cat", arguments);
		_exit(127);
	}
	return pid;
}

/* The parent closes its copy at once, or keeps it, and goes on with other things. */
static void started_before_the_move(bool spawned, bool kept)
{
	int ends[2], others[2], i, wrong = 0;
	char in[4] = "";
	pid_t pid;

	pair_open(others);
	connect_pair(ends);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	pid = start_cat(ends, spawned);
	if (!kept)
		close(ends[1]);
	pair_warm(others);
	for (i = 0; i < 50; i++) {
		write_all(ends[0], "abc", 3);
		wrong += read_all(ends[0], in, 3) != 3 || memcmp(in, "abc", 3) != 0;
		sleep_us(200);
	}
	say("%s, %s: wrong %d", spawned ? "posix_spawn" : "vfork", kept ? "kept" : "closed", wrong);
	if (kept)
		close(ends[1]);
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	say_call("end", read(ends[0], in, 3));
	say("cat %d", join(pid));
	close(ends[0]);
	pair_close(others);
}

static void a_program_started_before_the_move_has_the_connection(void)
{
	for (int way = 0; way < 4; way++)
		started_before_the_move(way & 1, way & 2);
}

static void close_on_exec_closes(void)
{
	int ends[2];
	char in[10];
	pid_t pid;

	pair_open(ends);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		execlp("sleep", "sleep", "0.3", NULL);
		_exit(127);
	}
	settle();
	sleep_us(50000);
	close(ends[0]);
	/* the sleeping program has no copy, so this is the end */
	say_call("read", read(ends[1], in, 10));
	say("sleep %d", join(pid));
	close(ends[1]);
}

static void a_vfork_child_that_closes_and_dups(void)
{
	int ends[2];
	char in[20];
	pid_t pid;

	pair_open(ends);
	pid = vfork();
	if (pid == 0) {
		/* as CPython's subprocess does: in the child, with the parent's memory */
		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		execlp("echo", "echo", "from vfork", NULL);
		_exit(127);
	}
	say("echo %d", join(pid));
	say_call("read", (ssize_t)read_all(ends[0], in, 11));
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "def", 3));
	say_call("read", read(ends[0], in, 10));
	pair_close(ends);
}

static void a_killed_child_does_not_block_the_parent(void)
{
	static char block[10000];
	int ends[2], i;
	pid_t pid;

	pair_open(ends);
	pid = fork();
	if (pid == 0)
		for (;;)
			if (write(ends[0], block, sizeof(block)) < 0)
				_exit(1);
	for (i = 0; i < 100; i++)
		if (read(ends[1], block, sizeof(block)) <= 0)
			die("read");
	kill(pid, SIGKILL);
	say("child %d", join(pid));
	drain(ends[1]);
	memset(block, 'p', 10);
	say_call("write", write(ends[0], block, 10));
	memset(block, 0, sizeof(block));
	say_call("read", (ssize_t)read_all(ends[1], block, 10));
	say("%.10s", block);
	pair_close(ends);
}

/* The connection as standard input and output of a program. */
static void become_a_filter(const int ends[2], const char *script)
{
	dup2(ends[1], 0);
	dup2(ends[1], 1);
	close(ends[0]);
	close(ends[1]);
	execlp("sh", "sh", "-c", script, NULL);
	_exit(127);
}

/* Half of what it gets is in the ring before it starts. */
static void filter_and_compare(const char *script)
{
	static char out[3000], in[3000];
	size_t length = sizeof(out) / 2;
	int ends[2];
	pid_t pid;

	pair_open(ends);
	memset(out, 'a', sizeof(out));
	for (size_t i = 59; i < sizeof(out); i += 60)
		out[i] = '\n';
	write_all(ends[0], out, length);
	pid = fork();
	if (pid == 0)
		become_a_filter(ends, script);
	close(ends[1]);
	sleep_us(20000);
	write_all(ends[0], out + length, sizeof(out) - length);
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	say_call("read", (ssize_t)read_all(ends[0], in, sizeof(in)));
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = out[i] == 'a' ? 'b' : out[i];
	say("as it should be: %d", memcmp(in, out, sizeof(in)) == 0);
	say_call("end", read(ends[0], in, 1));
	say("filter %d", join(pid));
	close(ends[0]);
}

static void a_filter_that_reads_and_writes(void)
{
	filter_and_compare("exec tr a b");
}

static void a_filter_with_standard_streams(void)
{
	filter_and_compare("exec sed y/a/b/");
}

/* The way of programs that re-execute themselves: same go-on FD TIMES answers, and starts anew. */
void same_go_on(int fd, int times)
{
	char number[16], left[16], word[4];
	char *const arguments[] = {"same", "go-on", number, left, NULL};
	const int self = open("/proc/self", O_PATH | O_CLOEXEC);
	const int exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	if (read_all(fd, word, 4) != 4)
		_exit(9);
	word[0] = (char)('0' + times);
	write_all(fd, word, 4);
	if (times == 0)
		_exit(0);
	snprintf(number, sizeof(number), "%d", fd);
	snprintf(left, sizeof(left), "%d", times - 1);
	if (times == 1)
		fexecve(exe, arguments, environ);
	if (times == 2)
		execveat(self, "exe", arguments, environ, 0);
	if (times == 3)
		execveat(exe, "", arguments, environ, AT_EMPTY_PATH);
	execl("/proc/self/exe", "same", "go-on", number, left, NULL);
	_exit(127);
}

static void a_program_that_executes_itself_goes_on(void)
{
	char in[5] = "";
	int ends[2], i;
	pid_t pid;

	pair_open(ends);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		same_go_on(ends[1], 5);
	}
	close(ends[1]);
	for (i = 0; i < 6; i++) {
		write_all(ends[0], "word", 4);
		say_call("read", (ssize_t)read_all(ends[0], in, 4));
		say("%s", in);
	}
	say_call("end", read(ends[0], in, 4));
	say("child %d", join(pid));
	close(ends[0]);
}

/* What servers do that start a program for each connection. */
static void a_filter_that_starts_before_the_move(void)
{
	char in[20];
	int ends[2], i, wrong = 0;
	pid_t pid;

	connect_pair(ends);
	pid = fork();
	if (pid == 0)
		become_a_filter(ends, "exec sed -u s/question/answer/");
	close(ends[1]);
	for (i = 0; i < 100; i++) {
		write_all(ends[0], "question\n", 9);
		wrong += read_all(ends[0], in, 7) != 7 || memcmp(in, "answer\n", 7) != 0;
		sleep_us(500);
	}
	say("wrong %d", wrong);
	say_call("shutdown", shutdown(ends[0], SHUT_WR));
	say_call("end", read(ends[0], in, 1));
	say("filter %d", join(pid));
	close(ends[0]);
}

static void a_vfork_child_becomes_a_filter(void)
{
	char in[10];
	int ends[2];
	pid_t pid;

	pair_open(ends);
	pid = vfork();
	if (pid == 0) {
		dup2(ends[1], 0);
		dup2(ends[1], 1);
		execlp("head", "head", "-c", "5", NULL);
		_exit(127);
	}
	/* both have the end now, and the parent uses it first */
	say_call("write", write(ends[1], "from parent", 11));
	say_call("read", (ssize_t)read_all(ends[0], in, 10));
	say_call("read", (ssize_t)read_all(ends[0], in, 1));
	say_call("write", write(ends[0], "to child", 5));
	say_call("read", (ssize_t)read_all(ends[0], in, 5));
	say("%.5s", in);
	say("head %d", join(pid));
	say_call("write", write(ends[0], "mine", 4));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
}

static void a_started_program_has_the_limits(void)
{
	fflush(stdout);
	say("sh %d", system("ulimit -n; ulimit -Hn"));
	if (fork() == 0) {
		execlp("sh", "sh", "-c", "ulimit -n; ulimit -Hn", NULL);
		_exit(127);
	}
	wait(NULL);
}

static void exec_of_nothing_leaves_all_as_it_was(void)
{
	char *arguments[] = {(char *)(uintptr_t) "nothing", NULL};
	char in[10];
	int ends[2];
	pid_t pid;

	pair_open(ends);
	say_call("execv", execv("/nowhere/nothing", arguments));
	say_call("execvp", execvp("no-such-program-anywhere", arguments));
	say_call("execv", execv(no_access(), arguments));
	say_call("execveat", execveat(ends[0], "nothing", arguments, environ, 0));
	say_call("execveat", execveat(-1, "", arguments, environ, AT_EMPTY_PATH));
	say_call("fexecve", fexecve(-1, arguments, environ));
	say("spawn: %s",
	    strerrorname_np(posix_spawn(&pid, "/nowhere/nothing", NULL, NULL, arguments, environ)));
	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	close(ends[0]);
	say_call("end", read(ends[1], in, 10));
	close(ends[1]);
}

const struct behaviour same_fork[] = {
	{"a_filter_that_reads_and_writes", a_filter_that_reads_and_writes},
	{"a_filter_with_standard_streams", a_filter_with_standard_streams},
	{"a_filter_that_starts_before_the_move", a_filter_that_starts_before_the_move},
	{"a_program_that_executes_itself_goes_on", a_program_that_executes_itself_goes_on},
	{"a_vfork_child_becomes_a_filter", a_vfork_child_becomes_a_filter},
	{"a_started_program_has_the_limits", a_started_program_has_the_limits},
	{"exec_of_nothing_leaves_all_as_it_was", exec_of_nothing_leaves_all_as_it_was},
	{"a_child_uses_the_connection", a_child_uses_the_connection},
	{"the_parent_closes_and_the_child_goes_on", the_parent_closes_and_the_child_goes_on},
	{"parent_and_child_both_write", parent_and_child_both_write},
	{"children_share_the_reading", children_share_the_reading},
	{"a_fork_before_the_move", a_fork_before_the_move},
	{"a_spawned_cat_on_the_connection", a_spawned_cat_on_the_connection},
	{"a_program_started_before_the_move_has_the_connection",
	 a_program_started_before_the_move_has_the_connection},
	{"a_forked_shell_on_the_connection", a_forked_shell_on_the_connection},
	{"an_inherited_connection_may_be_left_alone", an_inherited_connection_may_be_left_alone},
	{"close_on_exec_closes", close_on_exec_closes},
	{"a_vfork_child_that_closes_and_dups", a_vfork_child_that_closes_and_dups},
	{"a_killed_child_does_not_block_the_parent", a_killed_child_does_not_block_the_parent},
	{NULL, NULL},
};
