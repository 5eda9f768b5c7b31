/* SPDX-License-Identifier: MIT */
#include "same_inside.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

int fd_inside, other_inside;

void *in_write(void *mark)
{
	return write(fd_inside, "x", 1) < 0 ? NULL : mark;
}

void *in_poll(void *mark)
{
	struct pollfd wanted = {fd_inside, POLLIN, 0};

	return poll(&wanted, 1, -1) < 0 ? NULL : mark;
}

void *in_select(void *mark)
{
	fd_set reads;

	FD_ZERO(&reads);
	FD_SET(fd_inside, &reads);
	return select(fd_inside + 1, &reads, NULL, NULL, NULL) < 0 ? NULL : mark;
}

void *in_epoll_wait(void *mark)
{
	struct epoll_event event;

	return epoll_wait(other_inside, &event, 1, -1) < 0 ? NULL : mark;
}

void *in_splice(void *mark)
{
	return splice(fd_inside, NULL, other_inside, NULL, 10, 0) < 0 ? NULL : mark;
}
