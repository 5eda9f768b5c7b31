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

#define CALL(NUMBER, EXPRESSION)                                                                   \
	case NUMBER:                                                                               \
		*result = (EXPRESSION);                                                            \
		return true

bool call_by_number(long number, const long *a, long *result)
{
	switch (number) {
		CALL(SYS_close, call_fd_close(FD));
		CALL(SYS_close_range, close_range((unsigned int)a[0], (unsigned int)a[1], INT(2)));
		CALL(SYS_dup, dup(FD));
#ifdef SYS_dup2
		CALL(SYS_dup2, dup2(FD, INT(1)));
#endif
		CALL(SYS_dup3, dup3(FD, INT(1), INT(2)));
		CALL(SYS_fcntl, fcntl(FD, INT(1), a[2]));
		CALL(SYS_ioctl, ioctl(FD, (unsigned long)a[1], a[2]));
		CALL(SYS_read, read(FD, AT(1), SIZE(2)));
		CALL(SYS_write, write(FD, AT(1), SIZE(2)));
		CALL(SYS_readv, readv(FD, AT(1), INT(2)));
		CALL(SYS_writev, writev(FD, AT(1), INT(2)));
		CALL(SYS_sendfile, sendfile(FD, INT(1), AT(2), SIZE(3)));
		CALL(SYS_splice, splice(FD, AT(1), INT(2), AT(3), SIZE(4), (unsigned int)a[5]));
		CALL(SYS_sendto, sendto(FD, AT(1), SIZE(2), INT(3), AT(4), (socklen_t)a[5]));
		CALL(SYS_recvfrom, recvfrom(FD, AT(1), SIZE(2), INT(3), AT(4), AT(5)));
		CALL(SYS_sendmsg, sendmsg(FD, AT(1), INT(2)));
		CALL(SYS_recvmsg, recvmsg(FD, AT(1), INT(2)));
		CALL(SYS_sendmmsg, sendmmsg(FD, AT(1), (unsigned int)a[2], INT(3)));
		CALL(SYS_recvmmsg, recvmmsg(FD, AT(1), (unsigned int)a[2], INT(3), AT(4)));
		CALL(SYS_socket, socket(INT(0), INT(1), INT(2)));
		CALL(SYS_connect, connect(FD, AT(1), (socklen_t)a[2]));
		CALL(SYS_listen, listen(FD, INT(1)));
		CALL(SYS_accept, accept(FD, AT(1), AT(2)));
		CALL(SYS_accept4, accept4(FD, AT(1), AT(2), INT(3)));
		CALL(SYS_shutdown, shutdown(FD, INT(1)));
		CALL(SYS_setsockopt, setsockopt(FD, INT(1), INT(2), AT(3), (socklen_t)a[4]));
		CALL(SYS_getsockopt, getsockopt(FD, INT(1), INT(2), AT(3), AT(4)));
#ifdef SYS_poll
		CALL(SYS_poll, poll(AT(0), (nfds_t)a[1], INT(2)));
#endif
		CALL(SYS_epoll_ctl, epoll_ctl(FD, INT(1), INT(2), AT(3)));
#ifdef SYS_epoll_wait
		CALL(SYS_epoll_wait, epoll_wait(FD, AT(1), INT(2), INT(3)));
#endif
	}
	/* The kernel's set of signals is only the beginning of libc's. */
	if (number != SYS_epoll_pwait || a[4])
		return false;
	*result = epoll_wait(FD, AT(1), INT(2), INT(3));
	return true;
}
