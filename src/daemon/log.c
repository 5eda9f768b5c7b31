/* SPDX-License-Identifier: MIT */
#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static bool use_syslog;

void log_to_syslog(void)
{
	openlog("smcud", LOG_PID, LOG_DAEMON);
	use_syslog = true;
}

static void log_line(int priority, const char *format, va_list arguments)
{
	char line[1024];

	if (use_syslog) {
		vsyslog(priority, format, arguments);
		return;
	}
	vsnprintf(line, sizeof(line), format, arguments);
	fprintf(stderr, "smcud: %s\n", line);
}

void log_say(int priority, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_line(priority, format, arguments);
	va_end(arguments);
}

void log_client(const char *format, ...)
{
	static struct timespec window;
	static unsigned int said, swallowed;
	struct timespec now;
	va_list arguments;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec != window.tv_sec) {
		if (swallowed)
			log_say(LOG_INFO, "%u lines about clients left out", swallowed);
		window = now;
		said = swallowed = 0;
	}
	if (said++ >= LOG_CLIENT_BURST) {
		swallowed++;
		return;
	}
	va_start(arguments, format);
	log_line(LOG_INFO, format, arguments);
	va_end(arguments);
}
