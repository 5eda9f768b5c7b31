/* SPDX-License-Identifier: MIT */
/*
 * Sockets that are asked for by SMC's name: AF_SMC, or IPPROTO_SMC
 *
 * Theory of operation
 *
 * A program that was written for SMC asks for socket(AF_SMC, SOCK_STREAM, SMCPROTO_SMC or SMCPROTO_SMC6)
 * or socket(AF_INET or AF_INET6, SOCK_STREAM, IPPROTO_SMC), and uses Internet addresses from there on.
 * It gets a TCP socket of that address family, which moves as any other, and is told what Linux's SMC
 * would tell of it (SO_DOMAIN, SO_PROTOCOL, SOL_SMC).  So does what it accepts.  The kernel's own SMC is
 * not asked, even if it is there: nobody could move its sockets, and a program is to do the same
 * everywhere.
 *
 * The name is lost by exec: the new program sees TCP.
 */
#ifndef SMCU_SHIM_SMC_NAME_H
#define SMCU_SHIM_SMC_NAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#ifndef AF_SMC
#define AF_SMC 43
#endif
#ifndef SOL_SMC
#define SOL_SMC 286
#endif
#ifndef IPPROTO_SMC
#define IPPROTO_SMC 256
#endif
#ifndef TCP_ULP
#define TCP_ULP 31 /* an option of IPPROTO_TCP, by which a TCP socket is asked for as well */
#endif
#define SMCPROTO_SMC 0
#define SMCPROTO_SMC6 1
#define SMC_LIMIT_HS 1 /* an option of SOL_SMC */

/**
 * struct smc_name - how a socket was asked for
 * @domain, @protocol: what SO_DOMAIN and SO_PROTOCOL say; @domain is 0 for a socket of TCP's name
 * @limits_handshakes: SMC_LIMIT_HS, which is kept for who asks
 */
struct smc_name {
	uint16_t domain;
	uint16_t protocol;
	bool limits_handshakes;
};

/* smc_name_family - address family of the TCP socket that stands for such a one; 0: it is none */
int smc_name_family(int domain, int type, int protocol);

/* smc_name_of - the name of a socket; @domain is 0 if it has none */
struct smc_name smc_name_of(int fd);

/**
 * smc_name_set_option, smc_name_get_option - setsockopt(2) and getsockopt(2) on one that has a name
 *
 * Return: true when that was all; @result is then 0 or -errno.
 */
bool smc_name_set_option(int fd, int level, int name, const void *value, socklen_t length,
			 int *result);
bool smc_name_get_option(int fd, int level, int option, void *value, socklen_t *length,
			 int *result);

#endif
