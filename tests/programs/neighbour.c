/* SPDX-License-Identifier: MIT */
#include "neighbour.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

ssize_t pass(int line, const int *fds, int count, int flags)
{
	char byte = 'p';
	struct iovec part = {&byte, 1};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(MOST_PASSED * sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	memcpy(CMSG_DATA(&control.header), fds, (size_t)count * sizeof(int));
	return sendmsg(line, &message, flags);
}

int take(int line, int *fds, size_t room, int flags)
{
	char byte = 0;
	struct iovec part = {&byte, 1};
	_Alignas(struct cmsghdr) char control[256];
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room};
	struct cmsghdr *c;
	int count = 0;

	say_call("recvmsg", recvmsg(line, &message, flags));
	for (c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
	}
	say("%d descriptors, control %zu, truncated %d", count, (size_t)message.msg_controllen,
	    !!(message.msg_flags & MSG_CTRUNC));
	return count;
}

int take_one(int line)
{
	int fds[MOST_PASSED];

	return take(line, fds, CMSG_SPACE(sizeof(int)), 0) == 1 ? fds[0] : -1;
}

struct neighbour neighbour_start(void (*run)(int line))
{
	struct neighbour neighbour;
	int lines[2];

	neighbour.said = tmpfile();
	if (!neighbour.said || socketpair(AF_UNIX, SOCK_STREAM, 0, lines) < 0)
		die("neighbour");
	neighbour.pid = fork();
	if (neighbour.pid == 0) {
		dup2(fileno(neighbour.said), STDOUT_FILENO);
		close(lines[0]);
		run(lines[1]);
		_exit(0);
	}
	close(lines[1]);
	neighbour.line = lines[0];
	return neighbour;
}

void neighbour_join(const struct neighbour *neighbour)
{
	char line[200];
	int status = 0;

	if (waitpid(neighbour->pid, &status, 0) != neighbour->pid)
		die("waitpid");
	rewind(neighbour->said);
	while (fgets(line, sizeof(line), neighbour->said))
		say("\t%.*s", (int)strcspn(line, "\n"), line);
	fclose(neighbour->said);
	say("neighbour %d", WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
	close(neighbour->line);
}

void hand_over(int line)
{
	write_all(line, "w", 1);
}

void await(int line)
{
	char byte;

	if (read_all(line, &byte, 1) != 1)
		die("the other process is gone");
}
