/* SPDX-License-Identifier: MIT */
/*
 * The configuration: every source, every key, and that a mistake is named with its line
 */
#include "daemon/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static char path[] = "/tmp/smcu-config-XXXXXX";
static char error[CONFIG_ERROR_MAX];

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static int read_text(struct config *config, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	error[0] = 0;
	config_init(config);
	return config_read_file(config, path, error);
}

static void refuses(const char *text, int line, const char *complaint)
{
	char place[64];
	struct config config;

	assert_int_not_equal(read_text(&config, text), 0);
	snprintf(place, sizeof(place), "%s:%d: ", path, line);
	if (strncmp(error, place, strlen(place)) != 0 || !strstr(error, complaint))
		fail_msg("'%s' for: %s", error, text);
	config_free(&config);
}

static void an_empty_file_changes_nothing(void **state)
{
	struct config config, built_in;
	char text[64];

	(void)state;
	config_init(&built_in);
	assert_int_equal(read_text(&config, ""), 0);
	assert_int_equal(config.smcr_rules.lists[RULE_PROGRAM][RULE_DENY].count, 2);
	assert_true(rules_deny_program(&config.smcr_rules, "sshd"));
	assert_true(rules_deny_program(&config.smcr_rules, "vsftpd"));
	rules_free(&config.smcr_rules);
	rules_free(&built_in.smcr_rules);
	memset(config.smcr_rules.lists, 0, sizeof(config.smcr_rules.lists));
	memset(built_in.smcr_rules.lists, 0, sizeof(built_in.smcr_rules.lists));
	assert_memory_equal(&config, &built_in, sizeof(config));
	config_describe(&config, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(config.policy.move_after, 16384);
	assert_int_equal(config.policy.ring_bytes, 4 << 20);
	assert_int_equal(config.policy.wait_yields, 100);
	assert_int_equal(config.policy.element_bytes, 512 << 10);
	assert_int_equal(config.max_connections, 255);
	assert_int_equal(config.linger, 600);
	assert_int_equal(config.rnic_count, 0);
	assert_int_equal(config.eid_count, 1);
	assert_memory_equal(config.eids[0], "SMCU                            ", CONFIG_EID_SIZE);
}

static void every_key_is_read(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(read_text(&config,
				   "# comment\n; comment\n"
				   "[move]\nafter = 64K ; inline\n"
				   "[ring]\n  bytes=1M\n"
				   "[wait]\nyields = 0\n"
				   "[limits]\nconnections_per_user = 10\n"
				   "memory_per_user = 2G\nsessions_per_user = 3\n"
				   "[rules]\nallow_port = 80, 8000-8100\ndeny_port = 22\n"
				   "deny_port = 23\n"
				   "allow_address = 127.0.0.0/8 ::1\ndeny_address=10.1.2.3\n"
				   "allow_program = a, b\ndeny_program = sshd\n"
				   "[rnic]\ninterface = eth0=net1, eth1\n"
				   "interface = enp1s0.5=NET2\n"
				   "faults = loss 10 reorder 1000000\n"
				   "[smcr]\neid = FIRST.HOSTS-1 2ND\neid = THIRD\n"
				   "element_bytes = 64K\nmax_connections = 16\nlinger = 5\n"
				   "deny_program = ftpd\n"
				   "[daemon]\nidle_exit = 5\n"),
			 0);
	assert_int_equal(config.policy.move_after, 65536);
	assert_int_equal(config.policy.ring_bytes, 1 << 20);
	assert_int_equal(config.policy.wait_yields, 0);
	assert_int_equal(config.connections_per_user, 10);
	assert_int_equal(config.memory_per_user, 2ULL << 30);
	assert_int_equal(config.sessions_per_user, 3);
	assert_int_equal(config.idle_exit, 5);
	assert_int_equal(config.rules.lists[RULE_PORT][RULE_ALLOW].count, 2);
	assert_int_equal(config.rules.lists[RULE_PORT][RULE_DENY].count, 2);
	assert_int_equal(config.rules.lists[RULE_ADDRESS][RULE_ALLOW].count, 2);
	assert_int_equal(config.rules.lists[RULE_ADDRESS][RULE_DENY].count, 1);
	assert_int_equal(config.rules.lists[RULE_PROGRAM][RULE_ALLOW].count, 2);
	assert_int_equal(config.rules.lists[RULE_PROGRAM][RULE_DENY].count, 1);
	assert_int_equal(config.rnic_count, 3);
	assert_string_equal(config.rnics[0].name, "eth0");
	assert_string_equal(config.rnics[0].pnetid, "NET1");
	assert_string_equal(config.rnics[1].name, "eth1");
	assert_string_equal(config.rnics[1].pnetid, "");
	assert_string_equal(config.rnics[2].name, "enp1s0.5");
	assert_string_equal(config.rnics[2].pnetid, "NET2");
	assert_int_equal(config.faults.loss, 10);
	assert_int_equal(config.faults.duplicate, 0);
	assert_int_equal(config.faults.reorder, 1000000);
	assert_int_equal(config.eid_count, 3);
	assert_memory_equal(config.eids[0], "FIRST.HOSTS-1                   ", CONFIG_EID_SIZE);
	assert_memory_equal(config.eids[1], "2ND                             ", CONFIG_EID_SIZE);
	assert_memory_equal(config.eids[2], "THIRD                           ", CONFIG_EID_SIZE);
	assert_int_equal(config.policy.element_bytes, 65536);
	assert_int_equal(config.max_connections, 16);
	assert_int_equal(config.linger, 5);
	assert_true(rules_deny_program(&config.smcr_rules, "ftpd"));
	assert_false(rules_deny_program(&config.smcr_rules, "sshd"));
	config_free(&config);
}

static void mistakes_are_named_with_their_line(void **state)
{
	char long_line[600] = "[rules]\nallow_port = ";

	(void)state;
	refuses("[move]\nafter = 1\nbefore = 2\n", 3, "unknown key 'before' in [move]");
	refuses("[moves]\nafter = 1\n", 2, "unknown section [moves]");
	refuses("after = 1\n", 1, "before any [section]");
	refuses("[move]\nafter = many\n", 2, "is not a size");
	refuses("[move]\nafter = -1\n", 2, "is not a size");
	refuses("[move]\nafter = 1T\n", 2, "is not a size");
	refuses("[move]\nafter =\n", 2, "is not a size");
	refuses("[move]\nafter = 99999999999999999999\n", 2, "is not a size");
	refuses("[move]\nafter = 99999999999999999G\n", 2, "is not a size");
	refuses("[wait]\nyields = 1K\n", 2, "is not a number");
	refuses("[wait]\nyields = 100001\n", 2, "is not between 0 and 100000");
	refuses("\n\n[ring]\nbytes = 3M\n", 4, "is not a power of two");
	refuses("[ring]\nbytes = 128K\n", 2, "is not between");
	refuses("[ring]\nbytes = 128M\n", 2, "is not between");
	refuses("[rules]\ndeny_port = 0\n", 2, "is not a list of ports");
	refuses("[rules]\ndeny_port = 70000\n", 2, "is not a list of ports");
	refuses("[rules]\ndeny_port = 9-8\n", 2, "is not a list of ports");
	refuses("[rules]\ndeny_port = ,\n", 2, "is not a list of ports");
	refuses("[rules]\ndeny_address = 10.0.0.0/33\n", 2, "is not a list of addresses");
	refuses("[rules]\ndeny_address = ::1/129\n", 2, "is not a list of addresses");
	refuses("[rules]\ndeny_address = localhost\n", 2, "is not a list of addresses");
	refuses("[rules]\ndeny_program = /bin/sh\n", 2, "is not a list of names");
	refuses("[move]\nrubbish\n", 2, "neither");
	refuses("[move\nafter = 1\n", 1, "neither");
	refuses("[move]\nafter = 1\nrubbish\n[wait]\nyields = x\n", 3, "neither");
	memset(long_line + strlen(long_line), '1', 400);
	refuses(long_line, 2, "too long");
}

static void wrong_names_of_adapters_and_hosts_are_named(void **state)
{
	(void)state;
	refuses("[rnic]\ninterface =\n", 2, "an interface is missing");
	refuses("[rnic]\ninterface = ,\n", 2, "an interface is missing");
	refuses("[rnic]\ninterface = eth0, a/b\n", 2, "'a/b' is no name of an interface");
	refuses("[rnic]\ninterface = a:b\n", 2, "'a:b' is no name");
	refuses("[rnic]\ninterface = ..\n", 2, "'..' is no name");
	refuses("[rnic]\ninterface = =NET1\n", 2, "'' is no name");
	refuses("[rnic]\ninterface = abcdefghijklmnop\n", 2, "'abcdefghijklmnop' is no name");
	refuses("[rnic]\ninterface = eth0=\n", 2, "'', the PNETID of eth0");
	refuses("[rnic]\ninterface = eth0=NET.1\n", 2, "'NET.1', the PNETID of eth0");
	refuses("[rnic]\ninterface = eth0=ABCDEFGHIJKLMNOPQ\n", 2, "is not 1 to 16 letters");
	refuses("[rnic]\ninterface = a b\ninterface = b=NET1\n", 3, "'b' is named twice");
	refuses("[rnic]\ninterface = a b c d e\n", 2, "'e' is one more than the 4");
	refuses("[rnic]\nfaults = lost 1\n", 2, "'lost' is neither loss, duplicate nor reorder");
	refuses("[rnic]\nfaults = loss 1 reorder\n", 2, "reorder needs a rate");
	refuses("[rnic]\nfaults = loss 1000001\n", 2, "loss needs a rate");
	refuses("[rnic]\nfaults = loss -1\n", 2, "loss needs a rate");
	refuses("[smcr]\neid =\n", 2, "an EID is missing");
	refuses("[smcr]\neid = ONE two\n", 2, "'two' is no EID");
	refuses("[smcr]\neid = .ONE\n", 2, "'.ONE' is no EID");
	refuses("[smcr]\neid = -ONE\n", 2, "'-ONE' is no EID");
	refuses("[smcr]\neid = ONE_TWO\n", 2, "'ONE_TWO' is no EID");
	refuses("[smcr]\neid = ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456\n", 2, "is no EID: 1 to 32 of");
	refuses("[smcr]\neid = ONE, ONE\n", 2, "'ONE' is named twice");
	refuses("[smcr]\neid = A B C D E F G H I\n", 2, "'I' is one more than the 8");
	refuses("[smcr]\nelement_bytes = 8K\n", 2, "is not between");
	refuses("[smcr]\nelement_bytes = 48K\n", 2, "is not a power of two");
	refuses("[smcr]\nmax_connections = 15\n", 2, "is not between 16 and 255");
	refuses("[smcr]\nmax_connections = 256\n", 2, "is not between 16 and 255");
	refuses("[smcr]\nlinger = 0\n", 2, "is not between 1 and 86400");
	refuses("[smcr]\nlinger = 86401\n", 2, "is not between 1 and 86400");
	refuses("[smcr]\nlinger = 5m\n", 2, "is not a number");
}

static void a_wrong_list_leaves_the_one_before(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(read_text(&config, "[rnic]\ninterface = eth0=NET1\n"), 0);
	assert_int_not_equal(config_assign(&config, "rnic.interface=eth1,eth1", error), 0);
	assert_string_equal(error, "rnic.interface: 'eth1' is named twice");
	assert_int_not_equal(config_assign(&config, "smcr.eid=ONE,two", error), 0);
	assert_memory_equal(config.eids[0], "SMCU ", 5);
	assert_int_equal(config.rnic_count, 1);
	assert_string_equal(config.rnics[0].name, "eth0");
	assert_int_equal(config_assign(&config, "rnic.interface=eth1=B", error), 0);
	assert_int_equal(config_assign(&config, "rnic.interface=eth2", error), 0);
	assert_int_equal(config.rnic_count, 2);
	assert_string_equal(config.rnics[0].name, "eth1");
	assert_string_equal(config.rnics[1].pnetid, "");
	config_free(&config);
}

static void an_element_is_no_larger_than_the_ring(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(read_text(&config, "[ring]\nbytes = 256K\n"), 0);
	assert_int_equal(config_complete(&config, error), 0);
	assert_int_equal(config.policy.element_bytes, 256 << 10);
	config_free(&config);
	assert_int_equal(read_text(&config, "[smcr]\nelement_bytes = 1M\n[ring]\nbytes = 1M\n"), 0);
	assert_int_equal(config_complete(&config, error), 0);
	assert_int_equal(config.policy.element_bytes, 1 << 20);
	assert_int_equal(config_assign(&config, "ring.bytes=512K", error), 0);
	assert_int_not_equal(config_complete(&config, error), 0);
	assert_string_equal(error, "smcr.element_bytes: 1048576 is more than ring.bytes, 524288");
	config_free(&config);
}

static void a_missing_file_is_named(void **state)
{
	struct config config;

	(void)state;
	config_init(&config);
	assert_int_not_equal(config_read_file(&config, "/nonexistent/x.conf", error), 0);
	assert_string_equal(error, "/nonexistent/x.conf: No such file or directory");
	config_free(&config);
}

static void later_sources_win(void **state)
{
	struct config config;
	char text[256];

	(void)state;
	assert_int_equal(read_text(&config, "[move]\nafter = 1\n[wait]\nyields = 1\n"
					    "[ring]\nbytes = 1M\n[rules]\ndeny_port=1,2\n"),
			 0);
	setenv("SMCU_MOVE_AFTER", "2", 1);
	setenv("SMCU_WAIT_YIELDS", "2", 1);
	setenv("SMCU_RING_BYTES", "", 1);
	assert_int_equal(config_read_environment(&config, error), 0);
	assert_int_equal(config_assign(&config, "wait.yields=3", error), 0);
	assert_int_equal(config_assign(&config, "rules.deny_port=7", error), 0);
	assert_int_equal(config_assign(&config, "rules.deny_port=8", error), 0);
	assert_int_equal(config.policy.move_after, 2);
	assert_int_equal(config.policy.wait_yields, 3);
	assert_int_equal(config.policy.ring_bytes, 1 << 20);
	assert_int_equal(config.rules.lists[RULE_PORT][RULE_DENY].count, 2);
	assert_int_equal(config.rules.lists[RULE_PORT][RULE_DENY].entries[0].end.ports[0], 7);
	config_describe(&config, text, sizeof(text));
	assert_string_equal(text, "move.after=2 (environment) ring.bytes=1048576 (file) "
				  "wait.yields=3 (command line) "
				  "rules.deny_port=2 entries (command line)");
	assert_int_equal(config_assign(&config, "rnic.interface=eth0=NET1,eth1", error), 0);
	assert_int_equal(config_assign(&config, "smcr.eid=ONE TWO", error), 0);
	config_describe(&config, text, sizeof(text));
	assert_non_null(strstr(text, " rnic.interface=eth0=NET1,eth1 (command line) "
				     "smcr.eid=ONE,TWO (command line)"));
	config_describe(&config, text, 20);
	assert_int_equal(strlen(text), 19);
	setenv("SMCU_WAIT_YIELDS", "x", 1);
	assert_int_not_equal(config_read_environment(&config, error), 0);
	assert_non_null(strstr(error, "SMCU_WAIT_YIELDS: "));
	config_free(&config);
}

static void assignments_that_are_none(void **state)
{
	static const char *const bad[] = {"",
					  "x",
					  "a.b",
					  "a=b",
					  "a=b.c",
					  "move.after",
					  ".=",
					  "wait.=1",
					  "nothing.here=1",
					  "move.later=1",
					  "move.after=x"};
	struct config config;
	size_t i;

	(void)state;
	config_init(&config);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_not_equal(config_assign(&config, bad[i], error), 0);
	config_free(&config);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_changes_nothing),
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(mistakes_are_named_with_their_line),
		cmocka_unit_test(wrong_names_of_adapters_and_hosts_are_named),
		cmocka_unit_test(a_wrong_list_leaves_the_one_before),
		cmocka_unit_test(an_element_is_no_larger_than_the_ring),
		cmocka_unit_test(a_missing_file_is_named),
		cmocka_unit_test(later_sources_win),
		cmocka_unit_test(assignments_that_are_none),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
