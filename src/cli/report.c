/* SPDX-License-Identifier: MIT */
#include "cli/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/options.h"
#include "cli/usage.h"

const char *client_trouble(int error)
{
	switch (error) {
	case -EPERM:
		return "its directory belongs to somebody else, or is open to others";
	case -EPROTONOSUPPORT:
		return "smcud is of another version";
	case -EACCES:
		return "smcud refuses";
	case -EPROTO:
	case -EMSGSIZE:
	case -EBADF:
		return "the answer makes no sense";
	default:
		return strerror(-error);
	}
}

static int parse(struct report *report, bool lists, const char **chosen, int argc, char **argv)
{
	const struct option_rule rules[] = {
		{"json", &report->json, NULL},
		{"socket", NULL, chosen},
		{lists ? "details" : NULL, &report->details, NULL},
		{NULL, NULL, NULL},
	};
	int status = options_parse(rules, OPTIONS_ANYWHERE, argc, argv);

	if (status)
		return status;
	return optind < argc ? usage_error("too much on the command line:", argv[optind])
			     : STATUS_OK;
}

/* @lists: there are details to be had */
static int begin(struct report *report, bool lists, int argc, char **argv)
{
	struct endpoints endpoints;
	const char *chosen = NULL, *path;
	int error, status;

	memset(report, 0, sizeof(*report));
	status = parse(report, lists, &chosen, argc, argv);
	if (status)
		return status;
	error = endpoints_find(&endpoints, chosen);
	if (error) {
		fprintf(stderr, "smcu: the socket's path is too long\n");
		return STATUS_FAILED;
	}
	error = client_open_any(&report->client, &endpoints);
	if (!error)
		return STATUS_OK;
	path = report->client.endpoint.path;
	if (error == -ENOENT || error == -ECONNREFUSED)
		fprintf(stderr, "smcu: no smcud answers at %s\n", path);
	else
		fprintf(stderr, "smcu: no smcud answers at %s: %s\n", path, client_trouble(error));
	return STATUS_FAILED;
}

int report_open(struct report *report, int argc, char **argv)
{
	return begin(report, false, argc, argv);
}

int report_query(struct report *report, enum query_what what, size_t record_size, void **records,
		 size_t *count)
{
	int error = client_query(&report->client, what, record_size, records, count);

	client_close(&report->client);
	if (!error)
		return STATUS_OK;
	fprintf(stderr, "smcu: %s: %s\n", report->client.endpoint.path, client_trouble(error));
	return STATUS_FAILED;
}

json_t *json_text(const char *text, size_t size)
{
	char printable[256];

	if (size >= sizeof(printable))
		size = sizeof(printable) - 1;
	name_program(text, size, printable);
	return json_string(printable);
}

json_t *json_count(uint64_t number)
{
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

json_t *json_hex(uint64_t number, int digits)
{
	char text[24];

	snprintf(text, sizeof(text), "%0*llx", digits, (unsigned long long)number);
	return json_string(text);
}

json_t *json_gid(const uint8_t gid[16])
{
	char text[NAME_ADDRESS_MAX];

	name_gid(gid, text);
	return json_string(text);
}

json_t *json_mac(const uint8_t mac[6])
{
	char text[NAME_MAC_MAX];

	name_mac(mac, text);
	return json_string(text);
}

int report_json(json_t *root)
{
	if (!root) {
		fprintf(stderr, "smcu: %s\n", strerror(ENOMEM));
		return STATUS_FAILED;
	}
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return STATUS_OK;
}

static int print_json(const struct report_listing *listing, const void *records, size_t count)
{
	const char *record = records;
	json_t *array = json_array();

	for (size_t n = 0; array && n < count; n++, record += listing->record_size)
		json_array_append_new(array, listing->json(record));
	return report_json(array);
}

int report_list(const struct report_listing *listing, int argc, char **argv)
{
	struct report report;
	void *records;
	size_t count;
	int status = begin(&report, true, argc, argv);

	if (!status)
		status = report_query(&report, listing->what, listing->record_size, &records,
				      &count);
	if (status)
		return status;
	if (count)
		qsort(records, count, listing->record_size, listing->compare);
	if (report.json)
		status = print_json(listing, records, count);
	else
		status = listing->print(&report, records, count);
	free(records);
	return status;
}
