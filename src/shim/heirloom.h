/* SPDX-License-Identifier: MIT */
/*
 * What a connection needs beside its socket, when another program takes it up
 *
 * Theory of operation
 *
 * The segment and the two bells (and the stand-in of a remote one), if it has moved, and the record in a side segment: descriptors and
 * a few numbers, which travel as text, through an environment (inherit.h) or beside a passed
 * socket (pass.h), and are named after the socket's cookie.  Who takes them believes nothing: a
 * segment is the peer's to scribble over in any case, and a wrong record spoils the stream of that
 * one connection, as whoever has its socket can.
 */
#ifndef SMCU_SHIM_HEIRLOOM_H
#define SMCU_SHIM_HEIRLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEIRLOOM_TEXT 160U /* characters at the most, the closing NUL included */

struct connection;
struct side_record;

/**
 * struct heirloom - one connection's, in the order of the text
 * @cookie: of the socket
 * @segment, @data_bell, @space_bell, @stand_in, @side: descriptors; -1 but for the last where it has not moved,
 *	and @stand_in where it is not remote
 * @returned: not in the text: its record is none for us, and the connection went back to TCP instead
 * @record: index in the side segment
 * @end, @ring_bytes, @element_bytes, @same_user, @by_connect: as in struct connection
 *
 * Who takes it up is a holder of the record already.
 */
struct heirloom {
	uint64_t cookie;
	int segment, data_bell, space_bell, stand_in, side;
	uint32_t record;
	unsigned int end, ring_bytes, element_bytes, same_user, by_connect;
	bool returned;
};

/* heirloom_cookie - of the socket @fd; 0 when it is none */
uint64_t heirloom_cookie(int fd);

/* heirloom_of - @connection's; its record must lie in a side segment that can be passed on */
struct heirloom heirloom_of(const struct connection *connection);

/* heirloom_print - as text, ended by ';'; its length */
int heirloom_print(const struct heirloom *heirloom, char text[HEIRLOOM_TEXT]);

/* heirloom_scan - the first of @text; false when it is none */
bool heirloom_scan(struct heirloom *heirloom, const char *text);

/* heirloom_is_valid - are the descriptors what they should be? */
bool heirloom_is_valid(const struct heirloom *heirloom);

/**
 * heirloom_hide - its descriptors are the shim's now
 * @stay: they keep their numbers
 *
 * Return: false when the shim has its share already; they are closed.
 */
bool heirloom_hide(struct heirloom *heirloom, bool stay);

/* heirloom_record - the record, whose socket must be this one; NULL: there is none: @returned, or not; all is closed */
struct side_record *heirloom_record(struct heirloom *heirloom);

/**
 * heirloom_take_up - the socket @fd is a connection with these
 *
 * Return: it; NULL when there is no memory: heirloom_refuse() was called.
 */
struct connection *heirloom_take_up(const struct heirloom *heirloom, struct side_record *record,
				    int fd);

/* heirloom_refuse - its rings cannot be had: rather its end than a silence; says so */
void heirloom_refuse(int fd);

/*
 * heirloom_lost - somebody closed its rings on the way to this program: here it is replaced by a socket that
 * was reset, and said, on standard error in any case; other programs that have it go on
 */
void heirloom_lost(int fd);

/* heirloom_drop - nobody takes it up: close segment and bells, and be a holder no more */
void heirloom_drop(const struct heirloom *heirloom, struct side_record *record);

#endif
