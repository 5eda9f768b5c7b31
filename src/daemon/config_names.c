/* SPDX-License-Identifier: MIT */
#include "daemon/config_names.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"
#include "daemon/engine.h"
#include "fabric/fabric.h"
#include "wire/clc.h"

_Static_assert(CONFIG_RNICS_MAX == ENGINE_RNICS_MAX, "every adapter that is configured fits");
_Static_assert(CONFIG_PNETID_SIZE == FABRIC_PNETID_SIZE, "the fabric keeps what is configured");
_Static_assert(CONFIG_EID_SIZE == CLC_EID_SIZE && CONFIG_EIDS_MAX == CLC_EIDS_MAX,
	       "every EID that is configured can be said");

#define ENTRY_MAX 64U
#define FAULTS_ALL 1000000U

__attribute__((format(printf, 2, 3))) static int complain(char complaint[CONFIG_COMPLAINT_MAX],
							  const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(complaint, CONFIG_COMPLAINT_MAX, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* The next entry of a list, cut to what @entry holds; false: there is none. */
static bool next_entry(const char **text, char entry[ENTRY_MAX])
{
	static const char separators[] = ", \t";
	size_t length;

	*text += strspn(*text, separators);
	length = strcspn(*text, separators);
	snprintf(entry, ENTRY_MAX, "%.*s", (int)(length < ENTRY_MAX ? length : ENTRY_MAX - 1),
		 *text);
	*text += length;
	return length > 0;
}

/* What Linux takes for the name of an interface. */
static bool interface_valid(const char *name)
{
	const char *place;

	if (!*name || strlen(name) >= CONFIG_INTERFACE_SIZE || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return false;
	for (place = name; *place; place++)
		if (*place == '/' || *place == ':' || !isgraph((unsigned char)*place))
			return false;
	return true;
}

static bool pnetid_valid(const char *name)
{
	const char *place;

	if (!*name || strlen(name) >= CONFIG_PNETID_SIZE)
		return false;
	for (place = name; *place; place++)
		if (!isascii(*place) || !isalnum((unsigned char)*place))
			return false;
	return true;
}

static int parse_rnic(char *entry, struct config_rnic *rnic, char complaint[CONFIG_COMPLAINT_MAX])
{
	char *pnetid = strchr(entry, '=');
	size_t i;

	memset(rnic, 0, sizeof(*rnic));
	if (pnetid)
		*pnetid++ = 0;
	if (!interface_valid(entry))
		return complain(complaint, "'%s' is no name of an interface", entry);
	if (pnetid && !pnetid_valid(pnetid))
		return complain(complaint,
				"'%s', the PNETID of %s, is not 1 to %u letters and digits", pnetid,
				entry, CONFIG_PNETID_SIZE - 1);
	strcpy(rnic->name, entry);
	for (i = 0; pnetid && pnetid[i]; i++)
		rnic->pnetid[i] = (char)toupper((unsigned char)pnetid[i]);
	return 0;
}

static int add_rnic(struct config_rnic *rnics, unsigned int *count, char *entry,
		    char complaint[CONFIG_COMPLAINT_MAX])
{
	struct config_rnic rnic;
	unsigned int i;

	if (parse_rnic(entry, &rnic, complaint))
		return -EINVAL;
	for (i = 0; i < *count; i++)
		if (strcmp(rnics[i].name, rnic.name) == 0)
			return complain(complaint, "'%s' is named twice", rnic.name);
	if (*count == CONFIG_RNICS_MAX)
		return complain(complaint, "'%s' is one more than the %u interfaces that may be",
				rnic.name, CONFIG_RNICS_MAX);
	rnics[(*count)++] = rnic;
	return 0;
}

int config_names_rnics(struct config *config, const char *text, bool anew,
		       char complaint[CONFIG_COMPLAINT_MAX])
{
	struct config_rnic rnics[CONFIG_RNICS_MAX] = {0};
	unsigned int count = anew ? 0 : config->rnic_count, before = count;
	char entry[ENTRY_MAX];

	memcpy(rnics, config->rnics, count * sizeof(rnics[0]));
	while (next_entry(&text, entry))
		if (add_rnic(rnics, &count, entry, complaint))
			return -EINVAL;
	if (count == before)
		return complain(complaint, "an interface is missing (such as eth0, or eth0=NET1)");
	memcpy(config->rnics, rnics, sizeof(rnics));
	config->rnic_count = count;
	return 0;
}

static uint32_t *fault_named(struct config_faults *faults, const char *name)
{
	return strcmp(name, "loss") == 0	? &faults->loss
	       : strcmp(name, "duplicate") == 0 ? &faults->duplicate
	       : strcmp(name, "reorder") == 0	? &faults->reorder
						: NULL;
}

int config_names_faults(struct config *config, const char *text,
			char complaint[CONFIG_COMPLAINT_MAX])
{
	struct config_faults faults = {0};
	char name[ENTRY_MAX], rate[ENTRY_MAX];

	while (next_entry(&text, name)) {
		uint32_t *fault = fault_named(&faults, name);

		if (!fault)
			return complain(complaint, "'%s' is neither loss, duplicate nor reorder",
					name);
		if (!next_entry(&text, rate) || strlen(rate) > 7 ||
		    rate[strspn(rate, "0123456789")] || strtoul(rate, NULL, 10) > FAULTS_ALL)
			return complain(complaint, "%s needs a rate of 0 to %u of a million", name,
					FAULTS_ALL);
		*fault = (uint32_t)strtoul(rate, NULL, 10);
	}
	config->faults = faults;
	return 0;
}

void config_names_describe_faults(const struct config *config, char *text, size_t size)
{
	const struct config_faults *faults = &config->faults;

	snprintf(text, size, "loss %u duplicate %u reorder %u", faults->loss, faults->duplicate,
		 faults->reorder);
}

static bool eid_valid(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

	return *name && strlen(name) <= CONFIG_EID_SIZE && *name != '.' && *name != '-' &&
	       name[strspn(name, letters)] == 0;
}

static int add_eid(uint8_t eids[][CONFIG_EID_SIZE], unsigned int *count, const char *entry,
		   char complaint[CONFIG_COMPLAINT_MAX])
{
	uint8_t eid[CONFIG_EID_SIZE];
	unsigned int i;

	if (!eid_valid(entry))
		return complain(complaint,
				"'%s' is no EID: 1 to %u of A-Z, 0-9, '.' and '-', a letter or "
				"digit in front",
				entry, CONFIG_EID_SIZE);
	memset(eid, ' ', sizeof(eid));
	memcpy(eid, entry, strlen(entry));
	for (i = 0; i < *count; i++)
		if (memcmp(eids[i], eid, sizeof(eid)) == 0)
			return complain(complaint, "'%s' is named twice", entry);
	if (*count == CONFIG_EIDS_MAX)
		return complain(complaint, "'%s' is one more than the %u EIDs that may be", entry,
				CONFIG_EIDS_MAX);
	memcpy(eids[(*count)++], eid, sizeof(eid));
	return 0;
}

int config_names_eids(struct config *config, const char *text, bool anew,
		      char complaint[CONFIG_COMPLAINT_MAX])
{
	uint8_t eids[CONFIG_EIDS_MAX][CONFIG_EID_SIZE] = {0};
	unsigned int count = anew ? 0 : config->eid_count, before = count;
	char entry[ENTRY_MAX];

	memcpy(eids, config->eids, count * sizeof(eids[0]));
	while (next_entry(&text, entry))
		if (add_eid(eids, &count, entry, complaint))
			return -EINVAL;
	if (count == before)
		return complain(complaint, "an EID is missing (such as SMCU)");
	memcpy(config->eids, eids, sizeof(eids));
	config->eid_count = (uint8_t)count;
	return 0;
}

void config_names_describe_rnics(const struct config *config, char *text, size_t size)
{
	size_t used = 0;
	unsigned int i;

	text[0] = 0;
	for (i = 0; i < config->rnic_count && used < size; i++) {
		const struct config_rnic *rnic = &config->rnics[i];

		used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", i ? "," : "",
					 rnic->name, rnic->pnetid[0] ? "=" : "", rnic->pnetid);
	}
}

void config_names_describe_eids(const struct config *config, char *text, size_t size)
{
	size_t used = 0;
	unsigned int i;

	text[0] = 0;
	for (i = 0; i < config->eid_count && used < size; i++) {
		const char *eid = (const char *)config->eids[i];
		int length = CONFIG_EID_SIZE;

		while (length && eid[length - 1] == ' ')
			length--;
		used += (size_t)snprintf(text + used, size - used, "%s%.*s", i ? "," : "", length,
					 eid);
	}
}
