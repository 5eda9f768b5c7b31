/* SPDX-License-Identifier: MIT */
/*
 * The calls with a stand-in whose system call has the same arguments
 */
#include "shim/call_number.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim/call_fd.h"

#define FD ((int)a[0])
#define AT(N) ((void *)a[N])
#define INT(N) ((int)a[N])
#define SIZE(N) ((size_t)a[N])

static bool by_descriptor(long number, const long *a, long *result)
{
	switch (number) {
	case SYS_close:
		*result = call_fd_close(FD);
		return true;
	case SYS_close_range:
		*result = close_range((unsigned int)a[0], (unsigned int)a[1], INT(2));
		return true;
	case SYS_dup:
		*result = dup(FD);
		return true;
#ifdef SYS_dup2
	case SYS_dup2:
		*result = dup2(FD, INT(1));
		return true;
#endif
	case SYS_dup3:
		*result = dup3(FD, INT(1), INT(2));
		return true;
	case SYS_fcntl:
		*result = fcntl(FD, INT(1), a[2]);
		return true;
	case SYS_ioctl:
		*result = ioctl(FD, (unsigned long)a[1], a[2]);
		return true;
	default:
		return false;
	}
}

static bool by_bytes(long number, const long *a, long *result)
{
	switch (number) {
	case SYS_read:
		*result = read(FD, AT(1), SIZE(2));
		return true;
	case SYS_write:
		*result = write(FD, AT(1), SIZE(2));
		return true;
	case SYS_readv:
		*result = readv(FD, AT(1), INT(2));
		return true;
	case SYS_writev:
		*result = writev(FD, AT(1), INT(2));
		return true;
	case SYS_sendfile:
		*result = sendfile(FD, INT(1), AT(2), SIZE(3));
		return true;
	case SYS_splice:
		*result = splice(FD, AT(1), INT(2), AT(3), SIZE(4), (unsigned int)a[5]);
		return true;
	default:
		return false;
	}
}

static bool by_messages(long number, const long *a, long *result)
{
	switch (number) {
	case SYS_sendto:
		*result = sendto(FD, AT(1), SIZE(2), INT(3), AT(4), (socklen_t)a[5]);
		return true;
	case SYS_recvfrom:
		*result = recvfrom(FD, AT(1), SIZE(2), INT(3), AT(4), AT(5));
		return true;
	case SYS_sendmsg:
		*result = sendmsg(FD, AT(1), INT(2));
		return true;
	case SYS_recvmsg:
		*result = recvmsg(FD, AT(1), INT(2));
		return true;
	case SYS_sendmmsg:
		*result = sendmmsg(FD, AT(1), (unsigned int)a[2], INT(3));
		return true;
	case SYS_recvmmsg:
		*result = recvmmsg(FD, AT(1), (unsigned int)a[2], INT(3), AT(4));
		return true;
	default:
		return false;
	}
}

static bool by_sockets(long number, const long *a, long *result)
{
	switch (number) {
	case SYS_socket:
		*result = socket(INT(0), INT(1), INT(2));
		return true;
	case SYS_connect:
		*result = connect(FD, AT(1), (socklen_t)a[2]);
		return true;
	case SYS_listen:
		*result = listen(FD, INT(1));
		return true;
	case SYS_accept:
		*result = accept(FD, AT(1), AT(2));
		return true;
	case SYS_accept4:
		*result = accept4(FD, AT(1), AT(2), INT(3));
		return true;
	case SYS_shutdown:
		*result = shutdown(FD, INT(1));
		return true;
	case SYS_setsockopt:
		*result = setsockopt(FD, INT(1), INT(2), AT(3), (socklen_t)a[4]);
		return true;
	case SYS_getsockopt:
		*result = getsockopt(FD, INT(1), INT(2), AT(3), AT(4));
		return true;
	default:
		return false;
	}
}

static bool by_waits(long number, const long *a, long *result)
{
	switch (number) {
#ifdef SYS_poll
	case SYS_poll:
		*result = poll(AT(0), (nfds_t)a[1], INT(2));
		return true;
#endif
	case SYS_epoll_ctl:
		*result = epoll_ctl(FD, INT(1), INT(2), AT(3));
		return true;
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
		*result = epoll_wait(FD, AT(1), INT(2), INT(3));
		return true;
#endif
	case SYS_epoll_pwait: /* the kernel's set of signals is the beginning of libc's */
		if (a[4])
			return false;
		*result = epoll_wait(FD, AT(1), INT(2), INT(3));
		return true;
	default:
		return false;
	}
}

bool call_by_number(long number, const long *a, long *result)
{
	return by_descriptor(number, a, result) || by_bytes(number, a, result) ||
	       by_messages(number, a, result) || by_sockets(number, a, result) ||
	       by_waits(number, a, result);
}
