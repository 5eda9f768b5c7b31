/* SPDX-License-Identifier: MIT */
#include "cli/decode_record.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/names.h"
#include "cli/report.h"

static struct side_address end_of(const uint8_t address[ROCE_GID_SIZE], uint16_t port)
{
	struct side_address end = {.port = port};

	memcpy(end.bytes, address, sizeof(end.bytes));
	return end;
}

static json_t *value_end(const uint8_t address[ROCE_GID_SIZE], uint16_t port)
{
	const struct side_address end = end_of(address, port);
	char text[NAME_ADDRESS_MAX];

	name_ip(&end, text);
	return json_pack("{s:s, s:i}", "address", text, "port", (int)port);
}

json_t *value_hex(uint64_t number, unsigned int digits)
{
	return json_sprintf("0x%0*" PRIx64, (int)digits, number);
}

json_t *value_gid(const uint8_t gid[ROCE_GID_SIZE])
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, gid, text, sizeof(text));
	return json_string(text);
}

json_t *value_padded(const uint8_t *text, size_t size)
{
	while (size && text[size - 1] == ' ')
		size--;
	return json_text((const char *)text, size);
}

struct record record_begin(const struct packet *packet, const char *protocol, const char *kind)
{
	return (struct record){packet, protocol, kind, json_object()};
}

void record_add(struct record *record, const char *name, json_t *value)
{
	json_object_set_new(record->members, name, value);
}

void record_number(struct record *record, const char *name, uint64_t number)
{
	record_add(record, name, json_count(number));
}

void record_hex(struct record *record, const char *name, uint64_t number, unsigned int digits)
{
	record_add(record, name, value_hex(number, digits));
}

void record_flag(struct record *record, const char *name, bool set)
{
	record_add(record, name, json_boolean(set));
}

void record_text(struct record *record, const char *name, const char *text)
{
	record_add(record, name, json_string(text));
}

void record_bytes(struct record *record, const char *name, const uint8_t *bytes, size_t size)
{
	char text[65];
	size_t at = 0;

	for (size_t i = 0; i < size && at + 2 < sizeof(text); i++, at += 2)
		snprintf(text + at, 3, "%02x", bytes[i]);
	text[at] = '\0';
	record_text(record, name, text);
}

void record_gid(struct record *record, const char *name, const uint8_t gid[ROCE_GID_SIZE])
{
	record_add(record, name, value_gid(gid));
}

void record_mac(struct record *record, const char *name, const uint8_t mac[6])
{
	record_add(record, name,
		   json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
				mac[4], mac[5]));
}

void record_mtu(struct record *record, uint8_t code)
{
	if (code >= 1 && code <= 5)
		record_number(record, "mtu", UINT64_C(128) << code);
	else
		record_number(record, "mtu_code", code);
}

static void print_value(const json_t *value);

/* Members, each behind @separator but the first. */
static void print_members(const json_t *object, const char *separator)
{
	const char *name, *before = "";
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		if (json_is_false(value))
			continue;
		printf("%s%s", before, name);
		before = separator;
		if (json_is_true(value))
			continue;
		putchar('=');
		print_value(value);
	}
}

static void print_string(const char *text)
{
	const char *quote = strpbrk(text, " ,\"") || !*text ? "\"" : "";

	printf("%s%s%s", quote, text, quote);
}

static void print_value(const json_t *value)
{
	if (json_is_string(value)) {
		print_string(json_string_value(value));
	} else if (json_is_integer(value)) {
		printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	} else if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value); i++) {
			fputs(i ? "," : "", stdout);
			print_value(json_array_get(value, i));
		}
	} else if (json_is_object(value)) {
		print_members(value, "/");
	}
}

static void print_line(const struct record *record)
{
	const struct packet *packet = record->packet;
	const struct side_address source = end_of(packet->source, packet->source_port);
	const struct side_address destination =
		end_of(packet->destination, packet->destination_port);
	char from[NAME_ADDRESS_MAX], to[NAME_ADDRESS_MAX];

	name_address(&source, from);
	name_address(&destination, to);
	printf("%6lu %11.6f  %s > %s  %s %s  ", packet->number, packet->since, from, to,
	       record->protocol, record->kind);
	print_members(record->members, " ");
	putchar('\n');
}

static void print_object(const struct record *record)
{
	const struct packet *packet = record->packet;
	json_t *object = json_pack("{s:I, s:f, s:o, s:o, s:s, s:s}", "frame",
				   (json_int_t)packet->number, "time", packet->time, "source",
				   value_end(packet->source, packet->source_port), "destination",
				   value_end(packet->destination, packet->destination_port),
				   "protocol", record->protocol, "kind", record->kind);

	json_object_update(object, record->members);
	json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(16));
	putchar('\n');
	json_decref(object);
}

void record_end(struct record *record, bool json)
{
	if (json)
		print_object(record);
	else
		print_line(record);
	json_decref(record->members);
	record->members = NULL;
}
