/* SPDX-License-Identifier: MIT */
/*
 * What a socket says of itself without taking its lock
 *
 * TCP_INFO, getsockname(2) and getpeername(2) wait for the lock, which the owner of a socket holds for as
 * long as he likes, by sending from memory that never arrives.
 */
#ifndef SMCU_DAEMON_SOCKET_H
#define SMCU_DAEMON_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* socket_option - an option that is an int, such as SO_DOMAIN; -1 if it cannot be had */
static inline int64_t socket_option(int fd, int level, int name)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, name, &value, &size) < 0 ? -1 : value;
}

/* socket_word - an option of SOL_SOCKET that is a 64-bit word, such as SO_COOKIE; 0 if it cannot be had */
static inline uint64_t socket_word(int fd, int name)
{
	uint64_t value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? 0 : value;
}

/* socket_is_tcp - over IPv4 or IPv6: no other domain has a stream of that protocol number */
static inline bool socket_is_tcp(int fd)
{
	return socket_option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP &&
	       socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
}

#endif
