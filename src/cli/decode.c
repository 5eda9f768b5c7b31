/* SPDX-License-Identifier: MIT */
#include "cli/decode.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/usage.h"

#define MALFORMED_SHOWN 32U /* bytes */

void decode_malformed(struct decoder *decoder, const struct packet *packet, const char *protocol,
		      const char *field, const uint8_t *bytes, size_t size)
{
	struct record record = record_begin(packet, protocol, "malformed");

	record_text(&record, "wrong", field);
	record_number(&record, "length", size);
	record_bytes(&record, "bytes", bytes, size < MALFORMED_SHOWN ? size : MALFORMED_SHOWN);
	record_end(&record, decoder->json);
	if (!decoder->verify)
		return;
	fprintf(stderr, "smcu: frame %lu: %s message cannot be decoded: %s\n", packet->number,
		protocol, field);
	decoder->differs = true;
}

void decode_compare(struct decoder *decoder, const struct record *record, const uint8_t *bytes,
		    size_t size, const uint8_t *again, int result)
{
	size_t length = result < 0 ? 0 : (size_t)result, at = 0;

	if (!decoder->verify || decoder->differs)
		return;
	while (at < size && at < length && bytes[at] == again[at])
		at++;
	if (at == size && at == length)
		return;
	fprintf(stderr, "smcu: frame %lu: %s %s: ", record->packet->number, record->protocol,
		record->kind);
	if (result < 0)
		fprintf(stderr, "cannot be encoded again: %s\n", strerror(-result));
	else if (at == size || at == length)
		fprintf(stderr, "%zu bytes were received, %zu encoded\n", size, length);
	else
		fprintf(stderr, "byte %zu was 0x%02x, encoded 0x%02x\n", at, bytes[at], again[at]);
	decoder->differs = true;
}

static int parse(struct decoder *decoder, const char **name, int argc, char **argv)
{
	const struct option_rule rules[] = {
		{"json", &decoder->json, NULL},
		{"verify", &decoder->verify, NULL},
		{NULL, NULL, NULL},
	};
	int status = options_parse(rules, OPTIONS_ANYWHERE, argc, argv);

	if (status)
		return status;
	if (optind == argc)
		return usage_error("a file is missing after", "decode");
	*name = argv[optind++];
	return optind < argc ? usage_error("too much on the command line:", argv[optind])
			     : STATUS_OK;
}

static int trouble(const char *name, const char *what)
{
	fprintf(stderr, "smcu: %s: %s\n", name, what);
	return STATUS_FAILED;
}

/* The capture, or NULL after an error was printed. */
static pcap_t *capture_open(const char *name)
{
	char error[PCAP_ERRBUF_SIZE];
	FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
	pcap_t *capture;

	if (!file) {
		trouble(name, strerror(errno));
		return NULL;
	}
	capture = pcap_fopen_offline(file, error);
	if (!capture) {
		trouble(name, error);
		if (file != stdin)
			fclose(file);
		return NULL;
	}
	if (!packet_link_known(pcap_datalink(capture))) {
		const char *link = pcap_datalink_val_to_name(pcap_datalink(capture));

		fprintf(stderr, "smcu: %s: frames of link type %d (%s) cannot be read\n", name,
			pcap_datalink(capture), link ? link : "unknown");
		pcap_close(capture);
		return NULL;
	}
	return capture;
}

static void decode_frame(struct decoder *decoder, struct packet *packet, int link_type,
			 const uint8_t *bytes, size_t size)
{
	if (!packet_find(packet, link_type, bytes, size))
		return;
	if (packet->protocol == PACKET_TCP)
		decode_segment(decoder, packet);
	else if (packet->destination_port == ROCE_PORT)
		decode_datagram(decoder, packet);
}

/* Every frame; the status. */
static int decode_capture(struct decoder *decoder, pcap_t *capture, const char *name)
{
	struct packet packet = {0};
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	double first = 0;
	int result = 1;

	while (!decoder->differs && (result = pcap_next_ex(capture, &header, &bytes)) == 1) {
		packet.number++;
		packet.time = (double)header->ts.tv_sec + (double)header->ts.tv_usec / 1e6;
		first = packet.number == 1 ? packet.time : first;
		packet.since = packet.time - first;
		decode_frame(decoder, &packet, pcap_datalink(capture), bytes, header->caplen);
	}
	if (result == PCAP_ERROR) {
		fflush(stdout);
		return trouble(name, pcap_geterr(capture));
	}
	return decoder->differs ? STATUS_FAILED : STATUS_OK;
}

int command_decode(int argc, char **argv)
{
	struct decoder decoder = {0};
	const char *name = NULL;
	pcap_t *capture;
	int status = parse(&decoder, &name, argc, argv);

	if (status)
		return status;
	capture = capture_open(name);
	if (!capture)
		return STATUS_FAILED;
	status = decode_capture(&decoder, capture, name);
	decode_segments_end(&decoder);
	decode_datagrams_end(&decoder);
	pcap_close(capture);
	return status;
}
