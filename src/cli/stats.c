/* SPDX-License-Identifier: MIT */
/*
 * smcu stats: what moved and what did not, since the daemon started
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/report.h"
#include "control/reason.h"
#include "control/snapshot.h"
#include "wire/clc.h"

#define BAR_MAX 40U /* characters of the histogram's longest bar */

_Static_assert(sizeof(((struct snapshot_totals *)0)->reasons) / sizeof(uint64_t) >= REASON_COUNT,
	       "every reason has its counter");

static unsigned int percent(uint64_t part, uint64_t whole)
{
	return whole ? (unsigned int)((double)part * 100 / (double)whole + 0.5) : 0;
}

static void print_bytes(const char *label, uint64_t tcp, uint64_t shm)
{
	char tcp_text[NAME_AMOUNT_MAX], shm_text[NAME_AMOUNT_MAX];

	name_amount(tcp, tcp_text);
	name_amount(shm, shm_text);
	printf("%-12s %12s in shared memory, %12s through TCP\n", label, shm_text, tcp_text);
}

static void print_reasons(const char *title, const uint64_t *counts)
{
	bool any = false;

	for (unsigned int reason = 1; reason < REASON_COUNT; reason++) {
		if (!counts[reason])
			continue;
		if (!any)
			printf("\n%s\n", title);
		any = true;
		printf("  %10" PRIu64 "  %s\n", counts[reason], reason_text(reason));
	}
}

static const char *diagnosis_text(uint32_t diagnosis)
{
	const char *text = clc_diagnosis_text(diagnosis);

	return text ? text : "unknown diagnosis";
}

/* How the rendezvous with other hosts ended, if there was one. */
static void print_remote(const struct snapshot_totals *t)
{
	if (!(t->smcr | t->fallbacks | t->failed))
		return;
	printf("%-12s %12" PRIu64 " by SMC-R, %" PRIu64 " fell back to TCP, %" PRIu64 " failed\n",
	       "other hosts", t->smcr, t->fallbacks, t->failed);
	if (t->fallbacks)
		printf("\nConnections with other hosts that fell back to TCP, and why\n");
	for (unsigned int i = 0; i < SNAPSHOT_DECLINES && t->declines[i].count; i++)
		printf("  %10" PRIu64 "  0x%08x %s\n", t->declines[i].count,
		       t->declines[i].diagnosis, diagnosis_text(t->declines[i].diagnosis));
}

static void print_sizes(const uint64_t sizes[SIDE_SIZES])
{
	static const char bar[BAR_MAX + 1] = "########################################";
	uint64_t most = 0;

	for (unsigned int i = 0; i < SIDE_SIZES; i++)
		most = sizes[i] > most ? sizes[i] : most;
	if (!most)
		return;
	printf("\nSizes of writes (bytes)\n");
	for (unsigned int i = 0; i < SIDE_SIZES; i++) {
		double share = (double)sizes[i] / (double)most;
		int length = (int)(share * BAR_MAX + 0.5);

		if (!sizes[i])
			continue;
		printf("  %7u%s  %10" PRIu64 "  %.*s\n", 1U << i, i + 1 < SIDE_SIZES ? ".." : "+ ",
		       sizes[i], length, bar);
	}
}

static int print_text(const struct report *report, const struct snapshot_totals *t)
{
	const struct client *client = &report->client;
	char duration[NAME_DURATION_MAX];

	name_duration(t->uptime_ms, duration);
	printf("smcud %s, process %d, at %s, up %s\n", client->welcome.release,
	       client->welcome.daemon_pid, client->endpoint.path, duration);
	printf("%-12s %12" PRIu64 ", of which %" PRIu64 " moved to shared memory (%u %%)\n",
	       "connections", t->connections, t->moved, percent(t->moved, t->connections));
	print_bytes("sent", t->bytes_tcp[0], t->bytes_shm[0]);
	print_bytes("received", t->bytes_tcp[1], t->bytes_shm[1]);
	printf("%-12s %12" PRIu64 " sending, %" PRIu64 " receiving\n", "calls", t->calls[0],
	       t->calls[1]);
	printf("%-12s %12" PRIu64 " now, %" PRIu64 " ended for misbehaviour\n", "processes",
	       t->sessions, t->sessions_dropped);
	printf("%-12s %12" PRIu64 " offered, %" PRIu64 " pairs made\n", "ends", t->offers,
	       t->paired);
	print_remote(t);
	print_reasons("Connections that are or ended as TCP, and why", t->reasons);
	print_reasons("Offers that the daemon refused, and why", t->refused);
	print_sizes(t->sizes);
	return STATUS_OK;
}

static json_t *json_pair(const char *first, uint64_t one, const char *second, uint64_t other)
{
	return json_pack("{s:o, s:o}", first, json_count(one), second, json_count(other));
}

/* Every reason, also those that never occurred: scripts need no defaults. */
static json_t *json_reasons(const uint64_t *counts)
{
	json_t *object = json_object();

	for (unsigned int reason = 1; object && reason < REASON_COUNT; reason++)
		json_object_set_new(object, reason_name(reason), json_count(counts[reason]));
	return object;
}

static json_t *json_declines(const struct snapshot_totals *t)
{
	json_t *array = json_array();

	for (unsigned int i = 0; array && i < SNAPSHOT_DECLINES && t->declines[i].count; i++)
		json_array_append_new(array,
				      json_pack("{s:o, s:s, s:o}", "diagnosis",
						json_hex(t->declines[i].diagnosis, 8), "meaning",
						diagnosis_text(t->declines[i].diagnosis), "count",
						json_count(t->declines[i].count)));
	return array;
}

static json_t *json_remote(const struct snapshot_totals *t)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "smcr", json_count(t->smcr), "fallbacks",
			 json_count(t->fallbacks), "failed", json_count(t->failed), "declines",
			 json_declines(t));
}

static json_t *json_sizes(const uint64_t sizes[SIDE_SIZES])
{
	json_t *array = json_array();

	for (unsigned int i = 0; array && i < SIDE_SIZES; i++)
		json_array_append_new(array, json_pair("from", 1U << i, "count", sizes[i]));
	return array;
}

static json_t *json_daemon(const struct client *client, const struct snapshot_totals *t)
{
	return json_pack("{s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "release",
			 json_text(client->welcome.release, sizeof(client->welcome.release)), "pid",
			 (int)client->welcome.daemon_pid, "socket",
			 json_text(client->endpoint.path, sizeof(client->endpoint.path)),
			 "uptime_ms", json_count(t->uptime_ms), "sessions", json_count(t->sessions),
			 "sessions_dropped", json_count(t->sessions_dropped), "offers",
			 json_count(t->offers), "paired", json_count(t->paired), "refused",
			 json_reasons(t->refused));
}

static json_t *json_totals(const struct client *client, const struct snapshot_totals *t)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "connections",
			 json_count(t->connections), "moved", json_count(t->moved), "sent",
			 json_pair("tcp", t->bytes_tcp[0], "shm", t->bytes_shm[0]), "received",
			 json_pair("tcp", t->bytes_tcp[1], "shm", t->bytes_shm[1]), "calls",
			 json_pair("sending", t->calls[0], "receiving", t->calls[1]), "reasons",
			 json_reasons(t->reasons), "sizes", json_sizes(t->sizes), "remote",
			 json_remote(t), "daemon", json_daemon(client, t));
}

int command_stats(int argc, char **argv)
{
	struct report report;
	void *records;
	size_t count;
	int status = report_open(&report, argc, argv);

	if (!status)
		status = report_query(&report, QUERY_TOTALS, sizeof(struct snapshot_totals),
				      &records, &count);
	if (status)
		return status;
	if (count != 1) {
		fprintf(stderr, "smcu: the daemon's answer makes no sense\n");
		status = STATUS_FAILED;
	} else if (report.json) {
		status = report_json(json_totals(&report.client, records));
	} else {
		status = print_text(&report, records);
	}
	free(records);
	return status;
}
