/* SPDX-License-Identifier: MIT */
/*
 * What the commands that report (ss, stats, linkgroup, link, device) have in common
 */
#ifndef SMCU_CLI_REPORT_H
#define SMCU_CLI_REPORT_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/client.h"

/**
 * struct report - a reporting command's options and its session
 * @json: print JSON
 * @details: print more of each record
 * @client: the session
 */
struct report {
	bool json;
	bool details;
	struct client client;
};

/**
 * report_open - read the options of a reporting command and reach the daemon
 * @report: filled
 * @argc, @argv: from the subcommand's name on
 *
 * Return: STATUS_OK, or the exit status after an error was printed.
 */
int report_open(struct report *report, int argc, char **argv);

/**
 * report_query - get a snapshot and end the session
 *
 * Arguments as client_query().  Return: STATUS_OK, or the exit status after an error was printed.
 */
int report_query(struct report *report, enum query_what what, size_t record_size, void **records,
		 size_t *count);

/**
 * struct report_listing - a command that lists records of one kind
 * @what, @record_size: of the query
 * @compare: order of two records, for qsort(3)
 * @print: print them to people; returns an exit status
 * @json: one of them
 */
struct report_listing {
	enum query_what what;
	size_t record_size;
	int (*compare)(const void *left, const void *right);
	int (*print)(const struct report *report, const void *records, size_t count);
	json_t *(*json)(const void *record);
};

/* report_list - all of such a command; returns the exit status */
int report_list(const struct report_listing *listing, int argc, char **argv);

/* client_trouble - words for an error of client_open() or client_query() */
const char *client_trouble(int error);

/**
 * report_json - print @root, with a newline, and drop it
 *
 * Return: STATUS_OK or STATUS_FAILED (@root is NULL: no memory).
 */
int report_json(json_t *root);

/* json_text - a JSON string of at most @size bytes, made printable as name_program() does */
json_t *json_text(const char *text, size_t size);

/* json_hex - a JSON string of at least @digits hexadecimal digits: what names something */
json_t *json_hex(uint64_t number, int digits);

/* json_gid - a JSON string: name_gid() */
json_t *json_gid(const uint8_t gid[16]);

/* json_mac - a JSON string: name_mac() */
json_t *json_mac(const uint8_t mac[6]);

/* json_count - a JSON number; JSON libraries end at 2^63 - 1, and so does this */
json_t *json_count(uint64_t number);

#endif
