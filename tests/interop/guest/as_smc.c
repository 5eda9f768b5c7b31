/* SPDX-License-Identifier: MIT */
/*
 * as_smc - a preload library for guests: what asks for TCP gets the kernel's AF_SMC
 *
 * For programs that others wrote (redis, iperf3).  They are linked with libraries, so they run in a
 * guest by "ld-linux-x86-64.so.2 --library-path /bin --preload /bin/libguest-as_smc.so PROGRAM".
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AF_SMC
#define AF_SMC 43
#endif
#define SMC_IPV4 0
#define SMC_IPV6 1
#define TYPE_MASK 0xf /* the rest is SOCK_NONBLOCK and SOCK_CLOEXEC */

int socket(int domain, int type, int protocol)
{
	int is_tcp = (domain == AF_INET || domain == AF_INET6) &&
		     (type & TYPE_MASK) == SOCK_STREAM &&
		     (protocol == 0 || protocol == IPPROTO_TCP);

	if (is_tcp) {
		protocol = domain == AF_INET6 ? SMC_IPV6 : SMC_IPV4;
		domain = AF_SMC;
	}
	return (int)syscall(SYS_socket, domain, type, protocol);
}
