/* SPDX-License-Identifier: MIT */
/* Messages that pass connections, and are not the usual ones */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "neighbour.h"
#include "same.h"

static void a_malformed_control_message(void)
{
	static const size_t lengths[] = {0, 4, sizeof(struct cmsghdr) - 1, 1UL << 40};
	char byte = 'x';
	struct iovec part = {&byte, 1};
	_Alignas(struct cmsghdr) char control[64] = {0};
	struct cmsghdr *head = (struct cmsghdr *)control;
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 32};
	int ends[2], lines[2];

	pair_open(ends);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, lines) < 0)
		die("socketpair");
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		head->cmsg_len = lengths[i];
		say_call("sendmsg", sendmsg(lines[0], &message, 0));
	}
	pair_close(lines);
	pair_close(ends);
}

static void takes_the_second(int line)
{
	int fds[MOST_PASSED] = {-1};
	char in[10];

	say_call("read", read(line, in, 1));
	take(line, fds, CMSG_SPACE(sizeof(int)), 0);
	say_call("read", read(fds[0], in, 10));
}

static void the_second_of_two_messages_carries_it(void)
{
	struct neighbour neighbour = neighbour_start(takes_the_second);
	char bytes[2] = "ab";
	struct iovec parts[2] = {{&bytes[0], 1}, {&bytes[1], 1}};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct cmsghdr *head = (struct cmsghdr *)control;
	struct mmsghdr messages[2] = {
		{.msg_hdr = {.msg_iov = &parts[0], .msg_iovlen = 1}},
		{.msg_hdr = {.msg_iov = &parts[1],
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)}},
	};
	int ends[2];

	pair_open(ends);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &ends[1], sizeof(int));
	say_call("sendmmsg", sendmmsg(neighbour.line, messages, 2, 0));
	close(ends[1]);
	say_call("write", write(ends[0], "hello", 5));
	neighbour_join(&neighbour);
	close(ends[0]);
}

/* Anything but these ends the process. */
static void allow_messages_only(void)
{
	static const unsigned int allowed[] = {SYS_read,       SYS_write,	SYS_recvmsg,
					       SYS_sendmsg,    SYS_close,	SYS_exit,
					       SYS_exit_group, SYS_rt_sigreturn};
	enum { COUNT = sizeof(allowed) / sizeof(allowed[0]) };
	struct sock_filter filter[2 * COUNT + 2];
	struct sock_fprog program = {.len = 2 * COUNT + 2, .filter = filter};

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (unsigned int i = 0; i < COUNT; i++) {
		filter[1 + 2 * i] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
		filter[2 + 2 * i] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[2 * COUNT + 1] =
		(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		die("seccomp");
}

static void a_descriptor_comes_into_a_sandbox(void)
{
	int ends[2], lines[2], pipes[2], fd = -1, status;
	char in[10];
	pid_t pid;

	pair_open(ends);
	if (pipe(pipes) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, lines) < 0)
		die("socketpair");
	pid = fork();
	if (pid == 0) {
		char byte = 0;
		struct iovec part = {&byte, 1};
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
		struct msghdr message = {.msg_iov = &part,
					 .msg_iovlen = 1,
					 .msg_control = control,
					 .msg_controllen = sizeof(control)};
		long result;

		allow_messages_only();
		result = recvmsg(lines[1], &message, 0);
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
		result = result == 1 && write(fd, "in", 2) == 2 && write(ends[0], "on", 2) == 2 ? 0
												: 1;
		syscall(SYS_exit_group, result);
	}
	say_call("sendmsg", pass(lines[0], &pipes[1], 1, 0));
	say_call("read", read(pipes[0], in, 10));
	say_call("read", read(ends[1], in, 10));
	waitpid(pid, &status, 0);
	say("status %d", status);
	pair_close(lines);
	pair_close(pipes);
	pair_close(ends);
}

static void answers_many(int line)
{
	enum { SENDERS = 80 };
	int wrong = 0;

	for (int i = 0; i < SENDERS; i++) {
		int ends[2];
		char in[4];
		pid_t pid = fork();

		if (pid == 0) {
			pair_open(ends);
			if (pass(line, &ends[0], 1, 0) != 1 || read_all(ends[1], in, 4) != 4)
				_exit(1);
			write_all(ends[1], in, 4);
			_exit(0);
		}
		waitpid(pid, &wrong, 0);
		if (wrong)
			break;
	}
	say("status %d", wrong);
}

/* Each from a process of its own: what belongs to one is not to stay when the connection is gone. */
static void many_senders_one_after_another(void)
{
	struct neighbour neighbour = neighbour_start(answers_many);
	int i, good = 0;

	for (i = 0; i < 80; i++) {
		char byte, in[4];
		struct iovec part = {&byte, 1};
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
		struct msghdr message = {.msg_iov = &part,
					 .msg_iovlen = 1,
					 .msg_control = control,
					 .msg_controllen = sizeof(control)};
		int fd;

		if (recvmsg(neighbour.line, &message, 0) != 1)
			break;
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
		write_all(fd, "ping", 4);
		good += read_all(fd, in, 4) == 4 && memcmp(in, "ping", 4) == 0;
		close(fd);
	}
	neighbour_join(&neighbour);
	say("%d of %d", good, i);
}

const struct behaviour same_pass_odd[] = {
	{"a_malformed_control_message", a_malformed_control_message},
	{"the_second_of_two_messages_carries_it", the_second_of_two_messages_carries_it},
	{"a_descriptor_comes_into_a_sandbox", a_descriptor_comes_into_a_sandbox},
	{"many_senders_one_after_another", many_senders_one_after_another},
	{NULL, NULL},
};
