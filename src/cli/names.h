/* SPDX-License-Identifier: MIT */
/*
 * How numbers are shown to people and to programs
 */
#ifndef SMCU_CLI_NAMES_H
#define SMCU_CLI_NAMES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ring/side.h"

#define NAME_ADDRESS_MAX 64 /* "[" IPv6 address "]:" port */
#define NAME_USER_MAX 33
#define NAME_AMOUNT_MAX 24
#define NAME_DURATION_MAX 40
#define NAME_MAC_MAX 18

/* name_ip - the address alone: "192.0.2.1", "2001:db8::1", "*" for an unset one */
void name_ip(const struct side_address *address, char text[NAME_ADDRESS_MAX]);

/* name_address - address and port: "192.0.2.1:80", "[2001:db8::1]:80", "*:*" */
void name_address(const struct side_address *address, char text[NAME_ADDRESS_MAX]);

/* name_gid - address of an adapter, as name_ip() */
void name_gid(const uint8_t gid[16], char text[NAME_ADDRESS_MAX]);

/* name_mac - "02:00:5e:10:00:01" */
void name_mac(const uint8_t mac[6], char text[NAME_MAC_MAX]);

/* name_user - the user's name, or the number if it has none */
void name_user(uid_t uid, char text[NAME_USER_MAX]);

/**
 * name_program - a program's name, fit for a terminal and for JSON
 * @name: at most @size bytes, as a process chose them; need not end
 * @text: @size + 1 bytes; whatever is not printable ASCII becomes '?'
 */
void name_program(const char *name, size_t size, char *text);

/* name_amount - bytes for people: "512 B", "1.5 MB" (powers of 1000) */
void name_amount(uint64_t bytes, char text[NAME_AMOUNT_MAX]);

/* name_duration - "3d 04:05:06", "04:05:06" */
void name_duration(uint64_t milliseconds, char text[NAME_DURATION_MAX]);

/**
 * parse_amount - the inverse, for options
 * @text: digits, then perhaps k, M or G (powers of 1024)
 * @bytes: set on success
 *
 * Return: 0, -EINVAL, or -ERANGE.
 */
int parse_amount(const char *text, uint64_t *bytes);

#endif
