/* SPDX-License-Identifier: MIT */
/*
 * What the commands that report (ss, stats) have in common
 */
#ifndef SMCU_CLI_REPORT_H
#define SMCU_CLI_REPORT_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/client.h"

/**
 * struct report - a reporting command's options and its session
 * @json: print JSON
 * @client: the session
 */
struct report {
	bool json;
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

/* json_count - a JSON number; JSON libraries end at 2^63 - 1, and so does this */
json_t *json_count(uint64_t number);

#endif
