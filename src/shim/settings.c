/* SPDX-License-Identifier: MIT */
#include "shim/settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ring/segment.h"
#include "ring/wait.h"
#include "shim/libc.h"
#include "shim/quiet.h"

#define MOVE_AFTER_DEFAULT 16384

struct settings settings = {
	.move_after = MOVE_AFTER_DEFAULT,
	.wait_yields = WAIT_YIELDS_DEFAULT,
};

void settings_say(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int n, m;

	if (!settings.verbose)
		return;
	n = snprintf(line, sizeof(line), "smcu[%d]: ", (int)getpid());
	va_start(arguments, format);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, arguments);
	va_end(arguments);
	n += m < (int)sizeof(line) - n - 1 ? m : (int)sizeof(line) - n - 2;
	line[n++] = '\n';
	(void)!quiet_write(STDERR_FILENO, line, (size_t)n);
}

/* A decimal number up to @most from the environment; says so and ignores it when it is none. */
static bool number(const char *name, uint64_t most, uint64_t *value)
{
	const char *text = getenv(name);
	char *end;
	unsigned long long n;

	if (!text || !*text)
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || *text == '-' || n > most) {
		fprintf(stderr, "smcu: %s=%s is not a number from 0 to %llu: ignored\n", name, text,
			(unsigned long long)most);
		return false;
	}
	*value = n;
	return true;
}

static bool flag(const char *name)
{
	const char *text = getenv(name);

	return text && *text && *text != '0';
}

void settings_from_environment(void)
{
	uint64_t n;

	settings.require = flag("SMCU_REQUIRE");
	settings.verbose = flag("SMCU_VERBOSE");
	settings.off = flag("SMCU_OFF");
	if (number("SMCU_MOVE_AFTER", UINT64_MAX, &n)) {
		settings.move_after = n;
		settings.fixed_move_after = true;
	}
	if (number("SMCU_WAIT_YIELDS", 100000, &n)) {
		settings.wait_yields = (uint32_t)n;
		settings.fixed_wait_yields = true;
	}
}

void settings_from_policy(const struct policy *policy)
{
	if (!settings.fixed_move_after)
		settings.move_after = policy->move_after;
	if (!settings.fixed_wait_yields)
		settings.wait_yields = policy->wait_yields;
	settings.rendezvous = (policy->flags & POLICY_RENDEZVOUS) &&
			      segment_bytes_valid(policy->ring_bytes) &&
			      policy->element_bytes >= ELEMENT_BYTES_MIN &&
			      policy->element_bytes <= policy->ring_bytes &&
			      (policy->element_bytes & (policy->element_bytes - 1)) == 0;
	settings.offer = settings.rendezvous && (policy->flags & POLICY_OFFER);
	settings.ring_bytes = policy->ring_bytes;
	settings.element_bytes = policy->element_bytes;
}
