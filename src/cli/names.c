/* SPDX-License-Identifier: MIT */
#include "cli/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool address_is_set(const struct side_address *address)
{
	static const struct side_address none;

	return address->port || memcmp(address->bytes, none.bytes, sizeof(none.bytes)) != 0;
}

static bool address_is_v4(const struct side_address *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
}

void name_ip(const struct side_address *address, char text[NAME_ADDRESS_MAX])
{
	if (!address_is_set(address))
		snprintf(text, NAME_ADDRESS_MAX, "*");
	else if (address_is_v4(address))
		inet_ntop(AF_INET, address->bytes + 12, text, NAME_ADDRESS_MAX);
	else
		inet_ntop(AF_INET6, address->bytes, text, NAME_ADDRESS_MAX);
}

void name_gid(const uint8_t gid[16], char text[NAME_ADDRESS_MAX])
{
	struct side_address address = {.port = 0};

	memcpy(address.bytes, gid, sizeof(address.bytes));
	name_ip(&address, text);
}

void name_mac(const uint8_t mac[6], char text[NAME_MAC_MAX])
{
	snprintf(text, NAME_MAC_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
}

void name_address(const struct side_address *address, char text[NAME_ADDRESS_MAX])
{
	char ip[NAME_ADDRESS_MAX];

	name_ip(address, ip);
	if (!address_is_set(address))
		snprintf(text, NAME_ADDRESS_MAX, "*:*");
	else if (address_is_v4(address))
		snprintf(text, NAME_ADDRESS_MAX, "%.15s:%u", ip, address->port);
	else
		snprintf(text, NAME_ADDRESS_MAX, "[%.45s]:%u", ip, address->port);
}

void name_user(uid_t uid, char text[NAME_USER_MAX])
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(text, NAME_USER_MAX, "%s", user->pw_name);
	else
		snprintf(text, NAME_USER_MAX, "%u", (unsigned int)uid);
}

void name_program(const char *name, size_t size, char *text)
{
	size_t length = strnlen(name, size);

	for (size_t i = 0; i < length; i++)
		text[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
	text[length] = '\0';
}

void name_amount(uint64_t bytes, char text[NAME_AMOUNT_MAX])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double amount = (double)bytes;
	unsigned int unit = 0;

	while (amount >= 999.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		amount /= 1000;
		unit++;
	}
	snprintf(text, NAME_AMOUNT_MAX, "%.*f %s", unit ? 1 : 0, amount, units[unit]);
}

void name_duration(uint64_t milliseconds, char text[NAME_DURATION_MAX])
{
	unsigned long long seconds = milliseconds / 1000, days = seconds / 86400;
	char prefix[24] = "";

	if (days)
		snprintf(prefix, sizeof(prefix), "%llud ", days);
	snprintf(text, NAME_DURATION_MAX, "%s%02u:%02u:%02u", prefix,
		 (unsigned int)(seconds / 3600 % 24), (unsigned int)(seconds / 60 % 60),
		 (unsigned int)(seconds % 60));
}

int parse_amount(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "kMG";
	unsigned long long number;
	unsigned int shift = 0;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		const char *suffix = strchr(suffixes, *end == 'K' ? 'k' : *end);

		if (!suffix || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (number > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = (uint64_t)number << shift;
	return 0;
}
