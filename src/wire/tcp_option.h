/* SPDX-License-Identifier: MIT */
/*
 * The TCP option that says "I speak SMC" (RFC 7609, 3.1 and A.1; RFC 6994)
 *
 * A shared experimental option with the identifier "SMCR" in EBCDIC, on SYN and SYN-ACK alone, and
 * the same for SMC-R and SMC-D, v1 and v2.  It may stand anywhere among the options.
 */
#ifndef SMCU_WIRE_TCP_OPTION_H
#define SMCU_WIRE_TCP_OPTION_H

#include <stddef.h>
#include <stdint.h>

#define TCP_OPTION_KIND 254U
#define TCP_OPTION_LENGTH 6U
#define TCP_OPTION_IDENTIFIER 0xe2d4c3d9U /* "SMCR" */

/**
 * tcp_option_find - is it among the options of a segment?
 * @options: what follows the fixed 20 bytes of a TCP header
 * @length: bytes, at most 40
 * @field: set to the name of what is wrong, on -EPROTO; may be NULL
 *
 * As the kernel does, a length above 6 is taken if it is even.
 *
 * Return: the offset of its kind byte, -ENOENT: it is not there, -EPROTO: an option ends before it
 * starts or after the last byte, and SMC's was not among those before it.
 */
int tcp_option_find(const void *options, size_t length, const char **field);

/* tcp_option_encode - write the TCP_OPTION_LENGTH bytes; returns that, or -ENOBUFS */
int tcp_option_encode(void *to, size_t room);

#endif
