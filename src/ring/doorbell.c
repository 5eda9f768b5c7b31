/* SPDX-License-Identifier: MIT */
#include "ring/doorbell.h"

#include <errno.h>
#include <sys/socket.h>

int doorbell_create(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}
