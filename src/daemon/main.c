/* SPDX-License-Identifier: MIT */
/*
 * smcud: options, signals, going to the background
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/apps.h"
#include "daemon/config.h"
#include "daemon/endpoint.h"
#include "daemon/engine.h"
#include "daemon/hash.h"
#include "daemon/log.h"
#include "daemon/loop.h"
#include "daemon/tcp_option.h"

#define ASSIGNMENTS_MAX 32
#define DESCRIPTORS_WANTED (1U << 20)

/**
 * struct options - the command line
 * @config: --config, or NULL
 * @socket: --socket, or NULL
 * @assignments: each --set
 */
struct options {
	bool foreground;
	bool per_user;
	const char *config;
	const char *socket;
	const char *assignments[ASSIGNMENTS_MAX];
	int assignment_count;
};

/**
 * struct daemon - everything
 * @adapters_left_out: those of the system's file are not this daemon's
 * @signals: a signalfd in the loop
 * @ready: pipe to the process that started us, -1 in the foreground
 */
struct daemon {
	struct options options;
	struct config config;
	bool adapters_left_out;
	struct endpoint endpoint;
	struct loop loop;
	struct apps apps;
	struct engine engine;
	struct loop_watch signals;
	int ready;
};

static const char usage[] =
	"Usage: smcud [OPTION]...\n"
	"Moves TCP connections within this host to shared memory, and those to other hosts to\n"
	"RDMA (see smcud(8)).\n"
	"\n"
	"  -f, --foreground       stay in the foreground, log to standard error\n"
	"  -c, --config FILE      read FILE instead of " CONFIG_FILE "\n"
	"  -s, --socket PATH      listen there\n"
	"      --per-user         serve only this user; leave when nobody is left\n"
	"      --rnic INTERFACE[=PNETID]  use it for RDMA to other hosts; may be repeated\n"
	"      --eid NAME         a group of hosts that this one is in; may be repeated\n"
	"      --set SECTION.KEY=VALUE  over the configuration file and the environment\n"
	"      --version          print the version\n"
	"      --help             print this\n";

enum { OPTION_PER_USER = 256, OPTION_RNIC, OPTION_EID, OPTION_SET, OPTION_VERSION, OPTION_HELP };

static const struct option long_options[] = {
	{"foreground", no_argument, NULL, 'f'},
	{"config", required_argument, NULL, 'c'},
	{"socket", required_argument, NULL, 's'},
	{"per-user", no_argument, NULL, OPTION_PER_USER},
	{"rnic", required_argument, NULL, OPTION_RNIC},
	{"eid", required_argument, NULL, OPTION_EID},
	{"set", required_argument, NULL, OPTION_SET},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{0},
};

static _Noreturn void usage_error(const char *what, const char *which)
{
	fprintf(stderr, "smcud: %s%s (try 'smcud --help')\n", what, which);
	exit(2);
}

static void take_assignment(struct options *options, const char *assignment)
{
	if (options->assignment_count == ASSIGNMENTS_MAX)
		usage_error("too many settings on the command line: ", assignment);
	options->assignments[options->assignment_count++] = assignment;
}

/* An option that stands for --set @key=... */
static void take_setting(struct options *options, const char *key, const char *value)
{
	char *assignment;

	if (asprintf(&assignment, "%s=%s", key, value) < 0)
		usage_error("no memory for ", value);
	take_assignment(options, assignment);
}

static void take_option(struct options *options, int option, const char *culprit)
{
	switch (option) {
	case 'f':
		options->foreground = true;
		break;
	case 'c':
		options->config = optarg;
		break;
	case 's':
		options->socket = optarg;
		break;
	case OPTION_PER_USER:
		options->per_user = true;
		break;
	case OPTION_SET:
		take_assignment(options, optarg);
		break;
	case OPTION_RNIC:
		take_setting(options, "rnic.interface", optarg);
		break;
	case OPTION_EID:
		take_setting(options, "smcr.eid", optarg);
		break;
	case OPTION_VERSION:
		printf("smcud %s\n", SMCU_VERSION);
		exit(0);
	case OPTION_HELP:
		fputs(usage, stdout);
		exit(0);
	case ':':
		usage_error("option needs a value: ", culprit);
	default:
		usage_error("unknown option: ", culprit);
	}
}

/* The daemon changes its directory. */
static const char *absolute_path(const char *path)
{
	char directory[4096];
	char *absolute;

	if (!path || path[0] == '/' || !getcwd(directory, sizeof(directory)) ||
	    asprintf(&absolute, "%s/%s", directory, path) < 0)
		return path;
	return absolute;
}

static void parse_options(struct options *options, int argc, char **argv)
{
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":fc:s:", long_options, NULL)) != -1)
		take_option(options, option, argv[optind - 1]);
	if (optind < argc)
		usage_error("unexpected argument: ", argv[optind]);
	if (options->socket && !*options->socket)
		usage_error("--socket needs a path", "");
	options->socket = absolute_path(options->socket);
	options->config = absolute_path(options->config);
}

/* File, environment, command line; on failure @error is one line for people. */
static int load_config(const struct options *options, struct config *config,
		       char error[CONFIG_ERROR_MAX])
{
	const char *path = options->config ? options->config : CONFIG_FILE;
	int result, i;

	config_init(config);
	result = config_read_file(config, path, error);
	if (result == -ENOENT && !options->config)
		result = 0;
	if (!result)
		result = config_read_environment(config, error);
	for (i = 0; i < options->assignment_count && !result; i++)
		result = config_assign(config, options->assignments[i], error);
	if (!result)
		result = config_complete(config, error);
	if (result)
		config_free(config);
	return result;
}

static bool serves_only_own(const struct options *options)
{
	return options->per_user || geteuid() != 0;
}

/*
 * The adapters of the system's file are for the system's daemon: one of a user, which attaches no TCP
 * option, can do nothing with them but keep their UDP port from it.
 */
static bool leave_out_adapters(const struct options *options, struct config *config)
{
	return serves_only_own(options) && !options->config && config->tcp_option[0] != '/' &&
	       config_drop_file_rnics(config);
}

static void say_settings(const char *event, const struct config *config)
{
	char text[768];

	config_describe(config, text, sizeof(text));
	log_say(LOG_INFO, "%s; settings: %s", event, text[0] ? text : "all built in");
}

static void reread(struct daemon *daemon)
{
	char error[CONFIG_ERROR_MAX];
	struct config config;

	if (load_config(&daemon->options, &config, error)) {
		log_say(LOG_ERR, "%s; the old configuration stays", error);
		return;
	}
	(void)leave_out_adapters(&daemon->options, &config);
	config_free(&daemon->config);
	daemon->config = config;
	say_settings("configuration reread", &daemon->config);
}

static void on_signal(void *context, uint32_t events)
{
	struct daemon *daemon = context;
	struct signalfd_siginfo signal;

	(void)events;
	while (read(daemon->signals.fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal)) {
		if (signal.ssi_signo == SIGHUP) {
			reread(daemon);
			continue;
		}
		log_say(LOG_INFO, "signal %u: ending", signal.ssi_signo);
		loop_stop(&daemon->loop);
	}
}

static int watch_signals(struct daemon *daemon)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* what may not be made is an error, and that pair stays TCP */
	daemon->signals = (struct loop_watch){signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
					      on_signal, daemon};
	if (daemon->signals.fd < 0)
		return -errno;
	return loop_watch_add(&daemon->loop, &daemon->signals, EPOLLIN);
}

/*
 * As many descriptors as we may have; more than the hard limit if we are allowed to.  With too few the
 * listener would be paused for ever: false.
 */
static bool raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return true;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max >= DESCRIPTORS_WANTED)
		return true;
	limit.rlim_cur = limit.rlim_max = DESCRIPTORS_WANTED;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= APPS_FDS_LEAST)
		return true;
	log_say(LOG_ERR, "only %llu descriptors allowed, %u are needed",
		(unsigned long long)limit.rlim_cur, APPS_FDS_LEAST);
	return false;
}

/* The process that was started: wait until the daemon says it serves, or is gone. */
static _Noreturn void await_ready(int pipe_end)
{
	char byte;

	_exit(read(pipe_end, &byte, 1) == 1 ? 0 : 1);
}

static void redirect_standard_files(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

/* Returns in the daemon; the process that was started waits in here. */
static int go_to_background(struct daemon *daemon)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0)
		return -errno;
	if (child > 0) {
		close(ends[1]);
		await_ready(ends[0]);
	}
	close(ends[0]);
	daemon->ready = ends[1];
	setsid();
	child = fork();
	if (child < 0)
		return -errno;
	if (child > 0)
		_exit(0);
	if (chdir("/") < 0)
		return -errno;
	return 0;
}

static void say_ready(struct daemon *daemon)
{
	if (daemon->ready < 0)
		return;
	redirect_standard_files();
	log_to_syslog();
	if (write(daemon->ready, "", 1) != 1)
		log_say(LOG_WARNING, "who started us is gone");
	close(daemon->ready);
}

static void open_tcp_option(struct daemon *daemon)
{
	const char *where = daemon->config.tcp_option;
	bool named = where[0] == '/';

	if (named || (strcmp(where, "auto") == 0 && !daemon->apps.only_own))
		(void)tcp_option_open(&daemon->apps.tcp_option, &daemon->loop,
				      named ? where : NULL);
}

static int serve(struct daemon *daemon)
{
	struct apps_options options = {.listening = daemon->endpoint.listening,
				       .only_own = serves_only_own(&daemon->options),
				       .exit_when_idle = daemon->options.per_user};
	char event[256];
	int error;

	error = loop_open(&daemon->loop);
	if (!error)
		error = watch_signals(daemon);
	if (!error)
		error = apps_open(&daemon->apps, &daemon->loop, &daemon->config, &options);
	if (!error)
		error = engine_open(&daemon->engine, &daemon->apps, &daemon->config);
	if (error)
		return error;
	daemon->apps.engine = &daemon->engine;
	open_tcp_option(daemon);
	endpoint_sign(&daemon->endpoint);
	say_ready(daemon);
	snprintf(event, sizeof(event), "smcud %s serves %s", SMCU_VERSION, daemon->endpoint.path);
	say_settings(event, &daemon->config);
	if (daemon->adapters_left_out)
		log_say(LOG_INFO, "the adapters of " CONFIG_FILE " are left to the system's smcud");
	error = loop_run(&daemon->loop);
	tcp_option_close(&daemon->apps.tcp_option);
	if (!error && engine_end(&daemon->engine)) /* a second signal ends that too */
		error = loop_run(&daemon->loop);
	engine_close(&daemon->engine);
	apps_close(&daemon->apps);
	return error;
}

static int open_endpoint(struct daemon *daemon)
{
	char path[ENDPOINT_PATH_MAX], error[ENDPOINT_ERROR_MAX];
	const char *where = daemon->options.socket;
	bool shared = geteuid() == 0 && !daemon->options.per_user;
	int result;

	if (!where) {
		if (endpoint_default_path(daemon->options.per_user, path)) {
			log_say(LOG_ERR, "$XDG_RUNTIME_DIR is too long for the path of a socket");
			return -ENAMETOOLONG;
		}
		where = path;
	}
	result = endpoint_open(&daemon->endpoint, where, shared, !daemon->options.socket, error);
	if (result)
		log_say(LOG_ERR, "%s", error);
	return result;
}

int main(int argc, char **argv)
{
	static struct daemon daemon = {.ready = -1};
	char error[CONFIG_ERROR_MAX];
	int result;

	parse_options(&daemon.options, argc, argv);
	if (load_config(&daemon.options, &daemon.config, error)) {
		log_say(LOG_ERR, "%s", error);
		return 1;
	}
	daemon.adapters_left_out = leave_out_adapters(&daemon.options, &daemon.config);
	hash_open();
	if (!raise_descriptor_limit() || open_endpoint(&daemon))
		return 1;
	result = daemon.options.foreground ? 0 : go_to_background(&daemon);
	if (!result)
		result = serve(&daemon);
	if (result)
		log_say(LOG_ERR, "%s", strerror(-result));
	endpoint_close(&daemon.endpoint);
	config_free(&daemon.config);
	return result ? 1 : 0;
}
