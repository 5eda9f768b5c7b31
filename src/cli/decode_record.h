/* SPDX-License-Identifier: MIT */
/*
 * One line of smcu decode, for people or as a JSON object
 *
 * A record is begun for a packet, gets its members one by one, and is printed at its end.  For people
 * a member is NAME=VALUE, and a flag its name alone, if it is set.
 */
#ifndef SMCU_CLI_DECODE_RECORD_H
#define SMCU_CLI_DECODE_RECORD_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/decode_packet.h"

/**
 * struct record - a line that is being made
 * @members: as a JSON object; NULL if there is no memory
 */
struct record {
	const struct packet *packet;
	const char *protocol;
	const char *kind;
	json_t *members;
};

/**
 * record_begin - begin a line
 * @packet: where it was; stays with the record
 * @protocol: "TCP", "CLC", "RoCE", "LLC", "CDC"
 * @kind: what it is there
 */
struct record record_begin(const struct packet *packet, const char *protocol, const char *kind);

void record_number(struct record *record, const char *name, uint64_t number);

/* record_hex - a number that names something: "0x" and @digits hexadecimal digits */
void record_hex(struct record *record, const char *name, uint64_t number, unsigned int digits);

void record_flag(struct record *record, const char *name, bool set);
void record_text(struct record *record, const char *name, const char *text);

/* record_bytes - hexadecimal, two digits a byte */
void record_bytes(struct record *record, const char *name, const uint8_t *bytes, size_t size);

/* record_gid - an IPv6 address, as such */
void record_gid(struct record *record, const char *name, const uint8_t gid[ROCE_GID_SIZE]);

/* record_mac - "02:00:00:00:0a:01" */
void record_mac(struct record *record, const char *name, const uint8_t mac[6]);

/* record_mtu - "mtu" in bytes, of a path MTU code; or "mtu_code", of one that does not exist */
void record_mtu(struct record *record, uint8_t code);

/* record_add - any other value, which it takes over */
void record_add(struct record *record, const char *name, json_t *value);

/* Values for record_add(). */
json_t *value_hex(uint64_t number, unsigned int digits);
json_t *value_gid(const uint8_t gid[ROCE_GID_SIZE]);
json_t *value_padded(const uint8_t *text, size_t size); /* without the blanks at its end */

/**
 * record_end - print the line, and give its memory back
 * @json: as a JSON object
 */
void record_end(struct record *record, bool json);

#endif
