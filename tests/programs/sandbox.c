/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

/* --- ways in --- */

void lock_in_strictly(void)
{
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
		die("strict mode");
}

/* Any system call but these @count ends the process. */
void allow_only(const unsigned int *allowed, unsigned int count)
{
	struct sock_filter filter[64];
	struct sock_fprog program = {.len = (unsigned short)(count + 3), .filter = filter};
	unsigned int i;

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (i = 0; i < count; i++)
		filter[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
							     (unsigned char)(count - i), 0);
	filter[count + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter[count + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		die("seccomp");
}

void lock_in_by_number(void)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {.len = 1, .filter = &all};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		die("seccomp");
}

static void limit_descriptors(rlim_t soft)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = soft;
	say_call("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
}

void lock_in_with_one_descriptor(void)
{
	limit_descriptors(1);
}

void lock_in_with_none(void)
{
	limit_descriptors(0);
}

/* --- a program in a sandbox, and its peer --- */

int box_ends[2];
pid_t box_program;

/*
 * A child with box_ends[0], which locks itself in after @delay_ms, goes on, and exits with what it
 * returns.  The connection has moved before.
 */
void box_start(void (*lock_in)(void), int (*go_on)(int fd), unsigned int delay_ms)
{
	say("start"); /* the stream is ready for use in the sandbox */
	box_program = fork();
	if (box_program < 0)
		die("fork");
	if (box_program == 0) {
		close(box_ends[1]);
		sleep_us(delay_ms * 1000);
		lock_in();
		syscall(SYS_exit, go_on(box_ends[0]));
	}
	close(box_ends[0]);
}

void box_finish(void)
{
	int status;

	close(box_ends[1]);
	waitpid(box_program, &status, 0);
	if (WIFSIGNALED(status))
		say("killed by %d", WTERMSIG(status));
	else
		say("exit %d", WEXITSTATUS(status));
}

int ask_and_answer(int fd)
{
	char word[4];
	int i;

	for (i = 0; i < 50; i++)
		if (write(fd, "word", 4) != 4 || read(fd, word, 4) != 4)
			return 1;
	return 0;
}

void box_echo(void)
{
	char word[4];
	int i = 0;

	while (read_all(box_ends[1], word, 4) == 4 && ++i)
		write_all(box_ends[1], word, 4);
	say("echoed %d", i);
}
