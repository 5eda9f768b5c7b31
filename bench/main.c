// SPDX-License-Identifier: MIT
/*
 * smcu-bench: ordinary TCP programs for measuring; they know nothing of smcu
 *
 * README.md says how to use it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

static const char usage[] =
	"usage: smcu-bench server   [--port N] [--wait threads|epoll] [--workers N]\n"
	"       smcu-bench pingpong --port N [--size BYTES] [--seconds S]\n"
	"       smcu-bench rr       --port N [--size BYTES] [--connections N] [--wait "
	"threads|epoll]\n"
	"       smcu-bench stream   --port N [--size BYTES] [--total BYTES] [--read-size BYTES]\n"
	"       smcu-bench connect  --port N [--exchanges N] [--seconds S]\n"
	"       smcu-bench idle     --port N [--connections N] [--size BYTES] [--exchanges N]\n"
	"                           [--idle S] [--wait poll|epoll|threads]\n"
	"       smcu-bench calls | start | blocked  [--seconds S] [--idle S]\n"
	"All:   [--address A] [--warmup S] [--warmup-bytes BYTES] [--hold]\n"
	"BYTES and N may end in k, m or g (binary).  The result is one line of JSON.\n";

enum option_code {
	OPTION_ADDRESS = 1,
	OPTION_PORT,
	OPTION_WAIT,
	OPTION_SIZE,
	OPTION_READ_SIZE,
	OPTION_CONNECTIONS,
	OPTION_EXCHANGES,
	OPTION_TOTAL,
	OPTION_WARMUP_BYTES,
	OPTION_SECONDS,
	OPTION_WARMUP,
	OPTION_IDLE,
	OPTION_WORKERS,
	OPTION_HOLD,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{"address", required_argument, NULL, OPTION_ADDRESS},
	{"port", required_argument, NULL, OPTION_PORT},
	{"wait", required_argument, NULL, OPTION_WAIT},
	{"size", required_argument, NULL, OPTION_SIZE},
	{"read-size", required_argument, NULL, OPTION_READ_SIZE},
	{"connections", required_argument, NULL, OPTION_CONNECTIONS},
	{"exchanges", required_argument, NULL, OPTION_EXCHANGES},
	{"total", required_argument, NULL, OPTION_TOTAL},
	{"warmup-bytes", required_argument, NULL, OPTION_WARMUP_BYTES},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"warmup", required_argument, NULL, OPTION_WARMUP},
	{"idle", required_argument, NULL, OPTION_IDLE},
	{"workers", required_argument, NULL, OPTION_WORKERS},
	{"hold", no_argument, NULL, OPTION_HOLD},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

static uint64_t parse_count(const char *text, uint64_t most)
{
	static const char suffixes[] = "kmg";
	const char *suffix;
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (end == text || errno != 0 || *text == '-')
		fail(0, "%s is no number", text);
	suffix = *end != '\0' ? strchr(suffixes, *end) : NULL;
	if (suffix != NULL) {
		value <<= 10 * (suffix - suffixes + 1);
		end++;
	}
	if (*end != '\0' || value > most)
		fail(0, "%s is no number up to %llu", text, (unsigned long long)most);
	return value;
}

static double parse_seconds(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= 3600))
		fail(0, "%s is no time in seconds", text);
	return value;
}

static enum wait_mode parse_wait(const char *text)
{
	if (strcmp(text, "threads") == 0)
		return WAIT_THREADS;
	if (strcmp(text, "epoll") == 0)
		return WAIT_EPOLL;
	if (strcmp(text, "poll") == 0)
		return WAIT_POLL;
	fail(0, "--wait is threads, epoll or poll");
}

static void parse_count_option(struct options *options, int code, const char *text)
{
	switch (code) {
	case OPTION_PORT:
		options->port = (uint16_t)parse_count(text, UINT16_MAX);
		break;
	case OPTION_SIZE:
		options->size = parse_count(text, 1U << 30);
		break;
	case OPTION_READ_SIZE:
		options->read_size = parse_count(text, 1U << 30);
		break;
	case OPTION_CONNECTIONS:
		options->connections = (unsigned int)parse_count(text, 1000000);
		break;
	case OPTION_EXCHANGES:
		options->exchanges = (unsigned int)parse_count(text, UINT32_MAX);
		break;
	case OPTION_TOTAL:
		options->total = parse_count(text, UINT64_MAX);
		break;
	case OPTION_WARMUP_BYTES:
		options->warmup_bytes = parse_count(text, UINT64_MAX);
		break;
	case OPTION_WORKERS:
		options->workers = (unsigned int)parse_count(text, 100000);
		break;
	}
}

static void parse_option(struct options *options, int code, const char *text)
{
	switch (code) {
	case OPTION_ADDRESS:
		options->address = text;
		break;
	case OPTION_WAIT:
		options->wait = parse_wait(text);
		break;
	case OPTION_SECONDS:
		options->seconds = parse_seconds(text);
		break;
	case OPTION_WARMUP:
		options->warmup = parse_seconds(text);
		break;
	case OPTION_IDLE:
		options->idle = parse_seconds(text);
		break;
	case OPTION_HOLD:
		options->hold = true;
		break;
	case OPTION_HELP:
		fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	case '?':
		fputs(usage, stderr);
		exit(EXIT_FAILURE);
	default:
		parse_count_option(options, code, text);
	}
}

/* What a workload takes for options that are not given. */
static struct options workload_defaults(const char *workload)
{
	struct options options = {
		.address = "127.0.0.1",
		.size = 64,
		.read_size = 256 * 1024,
		.connections = 1,
		.exchanges = 1,
		.total = 1ULL << 30,
		.warmup_bytes = 64ULL << 20,
		.seconds = 1,
		.warmup = 0.2,
		.idle = 2,
	};

	if (strcmp(workload, "rr") == 0) {
		options.size = 16 * 1024;
		options.connections = 10;
	} else if (strcmp(workload, "stream") == 0) {
		options.size = 20 * 1000 * 1000;
	} else if (strcmp(workload, "idle") == 0) {
		options.size = 64 * 1024;
		options.connections = 1000;
		options.exchanges = 16;
		options.wait = WAIT_POLL;
	}
	return options;
}

static void run_workload(const char *workload, struct options *options)
{
	if (strcmp(workload, "server") == 0) {
		run_server(options);
	} else if (strcmp(workload, "pingpong") == 0) {
		options->connections = 1;
		run_rr(options, "pingpong");
	} else if (strcmp(workload, "rr") == 0) {
		run_rr(options, "rr");
	} else if (strcmp(workload, "stream") == 0) {
		run_stream(options);
	} else if (strcmp(workload, "connect") == 0) {
		run_connect(options);
	} else if (strcmp(workload, "idle") == 0) {
		run_idle(options);
	} else if (strcmp(workload, "calls") == 0) {
		run_calls(options);
	} else if (strcmp(workload, "start") == 0) {
		run_start(options);
	} else if (strcmp(workload, "blocked") == 0) {
		run_blocked(options);
	} else {
		fputs(usage, stderr);
		exit(EXIT_FAILURE);
	}
}

/* The others bring their own peers, or have none. */
static bool needs_port(const char *workload)
{
	static const char *const without[] = {"", "server", "calls", "start", "blocked"};

	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		if (strcmp(workload, without[i]) == 0)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	const char *workload = argc > 1 ? argv[1] : "";
	struct options options = workload_defaults(workload);
	int code;

	if (strcmp(workload, "--help") == 0) {
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	if (argc > 1) {
		argc--;
		argv++;
	}
	while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		parse_option(&options, code, optarg);
	if (optind < argc || options.size == 0 || options.connections == 0 ||
	    options.exchanges == 0) {
		fputs(usage, stderr);
		return EXIT_FAILURE;
	}
	if (options.port == 0 && needs_port(workload))
		fail(0, "which --port?");
	signal(SIGPIPE, SIG_IGN);
	run_workload(workload, &options);
	return EXIT_SUCCESS;
}
