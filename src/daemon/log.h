/* SPDX-License-Identifier: MIT */
/*
 * What the daemon says to people: standard error in the foreground, syslog otherwise
 */
#ifndef SMCU_DAEMON_LOG_H
#define SMCU_DAEMON_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* log_to_syslog - from now on write to syslog instead of standard error */
void log_to_syslog(void);

/**
 * log_say - write one line
 * @priority: LOG_ERR, LOG_WARNING, LOG_INFO, ...
 * @format: without a newline
 */
__attribute__((format(printf, 2, 3))) void log_say(int priority, const char *format, ...);

/**
 * log_client - the same about something that a client caused
 *
 * A client cannot fill the disk: beyond LOG_CLIENT_BURST lines a second they are only counted, and
 * the count is said once.
 */
#define LOG_CLIENT_BURST 20U
__attribute__((format(printf, 1, 2))) void log_client(const char *format, ...);

#endif
