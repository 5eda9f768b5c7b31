/* SPDX-License-Identifier: MIT */
#include "cli/report.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/names.h"
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

static int parse(struct report *report, const char **chosen, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"socket", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	optind = 1;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			report->json = true;
			break;
		case 's':
			*chosen = optarg;
			break;
		default:
			return usage_option_error(option, argv);
		}
	}
	return optind < argc ? usage_error("too much on the command line:", argv[optind])
			     : STATUS_OK;
}

int report_open(struct report *report, int argc, char **argv)
{
	struct endpoints endpoints;
	const char *chosen = NULL, *path;
	int error, status;

	memset(report, 0, sizeof(*report));
	status = parse(report, &chosen, argc, argv);
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
	path = endpoints.list[endpoints.count - 1].path;
	if (error == -ENOENT || error == -ECONNREFUSED)
		fprintf(stderr, "smcu: no smcud answers at %s\n", path);
	else
		fprintf(stderr, "smcu: no smcud answers at %s: %s\n", path, client_trouble(error));
	return STATUS_FAILED;
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
