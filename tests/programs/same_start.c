/* SPDX-License-Identifier: MIT */
/* Ways to start a program that close, choose or hide descriptors on the way: a shell's, a runtime's, libc's */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

/* What a cat at the other end does; it ends. */
static void talk_to_cat(int fd, pid_t cat)
{
	char in[20] = "";

	say_call("write", write(fd, "hello cat", 9));
	say_call("read", (ssize_t)read_all(fd, in, 9));
	say("%.9s", in);
	say_call("shutdown", shutdown(fd, SHUT_WR));
	say_call("end", read(fd, in, 20));
	say("cat %d", join(cat));
	close(fd);
}

static void close_from_three(void)
{
	if (close_range(3, ~0U, 0) < 0)
		_exit(126);
}

static void close_from_three_and_up(void)
{
	closefrom(3);
}

static void close_each(void)
{
	for (int fd = 3; fd < 5000; fd++)
		close(fd);
}

static void close_from_three_by_system_call(void)
{
	if (syscall(SYS_close_range, 3L, (long)~0U, 0L) < 0)
		_exit(126);
}

static void mark_from_three(void)
{
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		_exit(126);
}

static void close_in_vfork(const char *how, void (*close_rest)(void))
{
	int ends[2];
	pid_t pid;

	say("%s", how);
	pair_open(ends);
	pid = vfork();
	if (pid == 0) {
		dup2(ends[1], 0);
		dup2(ends[1], 1);
		close_rest();
		execlp("cat", "cat", NULL);
		_exit(127);
	}
	close(ends[1]);
	talk_to_cat(ends[0], pid);
}

static void a_vfork_child_closes_all_but_three(void)
{
	close_in_vfork("close_range", close_from_three);
	close_in_vfork("close_range to mark", mark_from_three);
	close_in_vfork("closefrom", close_from_three_and_up);
	close_in_vfork("close_range by syscall", close_from_three_by_system_call);
	close_in_vfork("close", close_each);
}

static pid_t spawn_cat(int fd, int close_from)
{
	posix_spawn_file_actions_t actions;
	char *const arguments[] = {"cat", NULL};
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 70, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	if (close_from)
		posix_spawn_file_actions_addclosefrom_np(&actions, close_from);
	errno = posix_spawnp(&pid, "cat", &actions, NULL, arguments, environ);
	if (errno)
		die("posix_spawnp");
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void a_spawned_program_with_all_closed_but_three(void)
{
	int ends[2];
	pid_t cat;

	pair_open(ends);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	cat = spawn_cat(ends[1], 3);
	close(ends[1]);
	talk_to_cat(ends[0], cat);
}

/* What is open in the program started, as a shell sees it: nothing above two but its own. */
static void a_spawned_program_sees_what_was_left_open(void)
{
	posix_spawn_file_actions_t actions;
	char *const arguments[] = {
		"sh", "-c", "for fd in 5 6 8 50 70 90; do (: <&$fd) 2>/dev/null && echo $fd; done",
		NULL};
	int ends[2], null = open("/dev/null", O_RDONLY);
	pid_t pid;

	pair_open(ends);
	dup2(null, 50);
	dup2(null, 90);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 70, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawn_file_actions_adddup2(&actions, 2, 6);
	fflush(stdout);
	say("spawn %d", posix_spawnp(&pid, "sh", &actions, NULL, arguments, environ));
	say("sh %d", join(pid));
	posix_spawn_file_actions_adddup2(&actions, 50, 51);
	say("closed: %s",
	    strerrorname_np(posix_spawnp(&pid, "sh", &actions, NULL, arguments, environ)));
	posix_spawn_file_actions_destroy(&actions);
	close(50);
	close(90);
	close(null);
	pair_close(ends);
}

/* The one that the program gets was made last, and the others are not for it. */
static void a_program_started_among_many_connections(void)
{
	enum { MANY = 280 };
	static int others[MANY][2];
	int ends[2], i;
	char in[5];
	pid_t cat;

	for (i = 0; i < MANY; i++) {
		connect_pair(others[i]);
		fcntl(others[i][0], F_SETFD, FD_CLOEXEC);
		fcntl(others[i][1], F_SETFD, FD_CLOEXEC);
	}
	for (i = 0; i < MANY; i++)
		pair_warm(others[i]);
	pair_open(ends);
	cat = spawn_cat(ends[1], 0);
	say_call("write", write(ends[0], "first", 5));
	say_call("read", (ssize_t)read_all(ends[0], in, 5));
	close(ends[1]);
	talk_to_cat(ends[0], cat);
	for (i = 0; i < MANY; i++)
		pair_close(others[i]);
}

/* --- what libc starts --- */

/* In a process of its own, with the connection as standard input and output. */
static int with_standard_streams(const int ends[2], int (*run)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	dup2(ends[1], 0);
	dup2(ends[1], 1);
	close(ends[0]);
	close(ends[1]);
	_exit(run());
}

static int cat_by_system(void)
{
	int status = system("cat");

	return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void system_starts_a_filter_on_the_connection(void)
{
	int ends[2];
	pid_t pid;

	pair_open(ends);
	pid = with_standard_streams(ends, cat_by_system);
	close(ends[1]);
	talk_to_cat(ends[0], pid);
}

static int heads_by_popen(void)
{
	char text[6] = "";
	FILE *from = popen("head -c 5", "r"), *to;
	size_t n;

	if (!from)
		return 1;
	n = fread(text, 1, 5, from);
	if (pclose(from) != 0)
		return 2;
	to = popen("cat", "w");
	if (!to)
		return 3;
	fprintf(to, "%zu %s", n, text);
	return pclose(to) == 0 ? 0 : 4;
}

static void popen_starts_filters_on_the_connection(void)
{
	char in[20] = "";
	int ends[2];
	pid_t pid;

	pair_open(ends);
	pid = with_standard_streams(ends, heads_by_popen);
	close(ends[1]);
	say_call("write", write(ends[0], "first", 5));
	say_call("read", (ssize_t)read_all(ends[0], in, 7));
	say("%s", in);
	say_call("end", read(ends[0], in, 20));
	say("child %d", join(pid));
	close(ends[0]);
}

static volatile sig_atomic_t interrupts, children;

static void count_signal(int number)
{
	if (number == SIGINT)
		interrupts++;
	else
		children++;
}

static void say_status(const char *what, int status)
{
	if (status < 0)
		say("%s -1 %s", what, strerrorname_np(errno));
	else if (WIFSIGNALED(status))
		say("%s signal %d", what, WTERMSIG(status));
	else
		say("%s %d", what, WEXITSTATUS(status));
	errno = 0;
}

static void say_signals(const char *what)
{
	struct sigaction now;
	sigset_t mask;

	sigaction(SIGINT, NULL, &now);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	say("%s: %d interrupts, SIGINT ours %d, blocked %d %d", what, interrupts,
	    now.sa_handler == count_signal, sigismember(&mask, SIGCHLD),
	    sigismember(&mask, SIGINT));
}

static void system_and_its_signals(void)
{
	int ends[2];

	pair_open(ends);
	signal(SIGINT, count_signal);
	say("a shell %d", system(NULL) != 0);
	say_status("exit 3", system("exit 3"));
	say_status("no such command", system("exec 2>/dev/null; /nowhere/nothing"));
	say_status("killed", system("kill -TERM $$"));
	/* it is ignored here meanwhile, and not there */
	say_status("interrupted", system("kill -INT $PPID; kill -INT $$; exit 4"));
	say_signals("after");
	signal(SIGINT, SIG_IGN);
	say_status("ignored there too", system("kill -INT $$; exit 5"));
	signal(SIGINT, SIG_DFL);
	/* its own child is not the program's business */
	signal(SIGCHLD, count_signal);
	say_status("exit 6", system("exit 6"));
	say_call("nobody left", waitpid(-1, NULL, WNOHANG));
	signal(SIGCHLD, SIG_IGN);
	say_status("nobody waits", system("exit 7"));
	signal(SIGCHLD, SIG_DFL);
	say_status("a dash", system("-e 2>/dev/null"));
	pair_close(ends);
}

static void *run_system(void *unused)
{
	return system("sleep 20") ? unused : NULL;
}

static void system_is_cancelled(void)
{
	pthread_t thread;
	void *result;
	int ends[2];

	pair_open(ends);
	pthread_create(&thread, NULL, run_system, NULL);
	let_block();
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("cancelled %d", result == PTHREAD_CANCELED);
	say_call("nobody left", waitpid(-1, NULL, WNOHANG));
	say_status("and again", system("exit 2"));
	pair_close(ends);
}

static void try_mode(const char *mode)
{
	FILE *stream;

	errno = 0;
	stream = popen("exit 3", mode);
	if (!stream) {
		say("popen '%s': %s", mode, strerrorname_np(errno));
		return;
	}
	say("popen '%s': close-on-exec %d", mode, fcntl(fileno(stream), F_GETFD));
	say_status("pclose", pclose(stream));
}

/* Some do, and glibc waits for the program then as well. */
static int (*volatile close_plainly)(FILE *) = fclose;

static void streams_of_popen(void)
{
	static const char *const modes[] = {"r", "w", "re", "we", "er", "rw", "", "e", "rb", "x"};
	char line[40] = "";
	FILE *one, *two;
	int ends[2];

	pair_open(ends);
	fflush(stdout);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		try_mode(modes[i]);
	/* who is started later does not hold the pipe of an earlier one open */
	one = popen("cat >/dev/null; exit 1", "w");
	two = popen("read line; exit 2", "w");
	say_status("one", pclose(one));
	fputs("line\n", two);
	say_status("two", pclose(two));
	one = popen("echo a line; echo another; kill -TERM $$", "r");
	say("gets %s", fgets(line, sizeof(line), one) ? line : "nothing");
	say("getc %c", fgetc(one));
	say_status("fclose", close_plainly(one));
	one = popen("exit 0", "w");
	sleep_us(100000);
	fputs("nobody reads this", one);
	say_call("flush", fflush(one));
	say("error %d, seek %d", ferror(one), fseek(one, 0, SEEK_SET));
	clearerr(one);
	say("closed %d", pclose(one) >= 0);
	signal(SIGPIPE, SIG_DFL);
	say_call("nobody left", waitpid(-1, NULL, WNOHANG));
	pair_close(ends);
}

/* --- a table of descriptors of one's own --- */

static void exchange(const int ends[2])
{
	char in[10];

	say_call("write", write(ends[0], "abc", 3));
	say_call("read", read(ends[1], in, 10));
	say_call("write", write(ends[1], "defg", 4));
	say_call("read", read(ends[0], in, 10));
	send_later(ends[1], "later", 50);
	say_call("read", read(ends[0], in, 10));
	send_later_join();
	say_call("read", recv(ends[0], in, 10, MSG_DONTWAIT));
}

static void *close_the_rest(void *fd)
{
	static int result;

	result = close_range(*(unsigned int *)fd, ~0U, CLOSE_RANGE_UNSHARE);
	return &result;
}

static void a_range_is_closed_in_a_table_of_its_own(void)
{
	int ends[2], more[2], last, *result;
	pthread_t thread;
	char in[10];
	pid_t cat;

	pair_open(ends);
	pair_open(more);
	last = more[0] > more[1] ? more[0] + 1 : more[1] + 1;
	say_call("close_range", close_range((unsigned int)last, ~0U, CLOSE_RANGE_UNSHARE));
	exchange(ends);
	say_call("wrong flags", close_range(3, 3, (int)~0U));
	say_call("wrong range", close_range(4, 3, CLOSE_RANGE_UNSHARE));
	write_all(more[1], "unread", 6);
	say_call("close_range",
		 close_range((unsigned int)more[0], (unsigned int)more[0], CLOSE_RANGE_UNSHARE));
	say_call("read", read(more[1], in, 10));
	say_call("closed", read(more[0], in, 10));
	close(more[1]);
	/* A thread's closing is its own. */
	last = ends[0] < ends[1] ? ends[0] : ends[1];
	if (pthread_create(&thread, NULL, close_the_rest, &last) != 0)
		die("pthread_create");
	pthread_join(thread, (void **)&result);
	say("in a thread %d", *result);
	exchange(ends);
	cat = spawn_cat(ends[1], 0);
	close(ends[1]);
	talk_to_cat(ends[0], cat);
}

const struct behaviour same_start[] = {
	{"a_vfork_child_closes_all_but_three", a_vfork_child_closes_all_but_three},
	{"a_spawned_program_with_all_closed_but_three",
	 a_spawned_program_with_all_closed_but_three},
	{"a_spawned_program_sees_what_was_left_open", a_spawned_program_sees_what_was_left_open},
	{"a_program_started_among_many_connections", a_program_started_among_many_connections},
	{"system_starts_a_filter_on_the_connection", system_starts_a_filter_on_the_connection},
	{"popen_starts_filters_on_the_connection", popen_starts_filters_on_the_connection},
	{"system_and_its_signals", system_and_its_signals},
	{"system_is_cancelled", system_is_cancelled},
	{"streams_of_popen", streams_of_popen},
	{"a_range_is_closed_in_a_table_of_its_own", a_range_is_closed_in_a_table_of_its_own},
	{NULL, NULL},
};
