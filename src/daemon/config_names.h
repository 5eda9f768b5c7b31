/* SPDX-License-Identifier: MIT */
/*
 * Lists of names in the configuration: adapters, their faults, and groups of hosts (EIDs)
 *
 * Entries are separated by commas or blanks.  Where one of a list is wrong, none of it is taken, and the
 * complaint names it.
 */
#ifndef SMCU_DAEMON_CONFIG_NAMES_H
#define SMCU_DAEMON_CONFIG_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define CONFIG_COMPLAINT_MAX 160U

struct config;

/**
 * config_names_rnics - read "eth0=NET1, eth1": interfaces, with the PNETID of each if it has one
 * @anew: forget those of before
 * @complaint: on failure, what is wrong with which of them
 *
 * An interface is named as Linux names one; a PNETID has 1 to 16 letters and digits, of which the
 * letters become capitals.
 *
 * Return: 0 or -EINVAL.
 */
int config_names_rnics(struct config *config, const char *text, bool anew,
		       char complaint[CONFIG_COMPLAINT_MAX]);

/* config_names_eids - read "SMCU, SMCV1": user EIDs (1 to 32 of A-Z 0-9 . -, not . or - in front) */
int config_names_eids(struct config *config, const char *text, bool anew,
		      char complaint[CONFIG_COMPLAINT_MAX]);

/**
 * config_names_faults - read "loss 10000 duplicate 5000 reorder 0": rates of a million, 0 where not named
 *
 * Return: 0 or -EINVAL with @complaint.
 */
int config_names_faults(struct config *config, const char *text,
			char complaint[CONFIG_COMPLAINT_MAX]);

/* config_names_describe_rnics, _faults, _eids - the list as it would be written; cut to @size */
void config_names_describe_rnics(const struct config *config, char *text, size_t size);
void config_names_describe_faults(const struct config *config, char *text, size_t size);
void config_names_describe_eids(const struct config *config, char *text, size_t size);

#endif
