/* SPDX-License-Identifier: MIT */
/*
 * streams - thousands of checked TCP streams
 *
 * Each stream carries random numbers of bytes both ways at once, in one of many styles of I/O,
 * and some client ends are killed.  Every byte is checked for value and place.  Bytes, sizes,
 * styles and kills are functions of (--seed, stream number): `streams run --seed=S --only=K` does
 * stream K again.  Stream K comes from address 127.1.0.0 + K, which is how the server knows it.
 *
 *   streams run     starts a server and a client process a batch, each with its own SMCU_MOVE_AFTER
 *   streams server  --port=P: one side only; it ends after --count streams
 *   streams client  --port=P
 *
 * Options: --seed --first --count --batch --parallel --max --kill (percent) --time (seconds a
 * batch) --move-after (for both sides, instead of a random one) --only --keep-going
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <unistd.h>

#include "stream_end.h"

extern char **environ;

#define SOURCE_BASE 0x7f010000U /* 127.1.0.0 */

struct settings {
	uint64_t seed, first, count, batch, parallel, max, kill, time, move_after, port, board;
};

/**
 * struct board - shared by master, server, client and its children
 * @port: the server's, once it listens
 * @failures: streams that went wrong
 * @bytes: received and checked
 * @connected, @taken, @accepted: indexed by stream - first
 */
struct board {
	_Atomic uint32_t port;
	_Atomic uint64_t failures;
	_Atomic uint64_t bytes;
	struct {
		_Atomic uint32_t connected;
		_Atomic uint32_t taken;
		_Atomic uint64_t accepted;
	} stream[];
};

static struct settings set;
static struct board *board;
static struct stream_end **running; /* for the alarm */
static int running_side;

static size_t board_size(void)
{
	return sizeof(*board) + set.count * sizeof(board->stream[0]);
}

static void tell_running(int signal_number)
{
	char text[300];
	uint64_t i;

	(void)signal_number;
	for (i = 0; i < set.count; i++) {
		if (!running[i])
			continue;
		stream_end_describe(running[i], text, sizeof(text));
		dprintf(1, "unfinished after %llu s: %s\n", (unsigned long long)set.time, text);
	}
	if (running_side == 1)
		for (i = 0; i < set.count; i++)
			if (board->stream[i].connected && !board->stream[i].taken)
				dprintf(1, "stream %llu never came out of accept\n",
					(unsigned long long)(set.first + i));
	_exit(3);
}

static void arm_alarm(void)
{
	signal(SIGALRM, tell_running);
	alarm((unsigned int)set.time);
}

static void report(const struct stream_end *end, const char *error)
{
	char text[400];

	board->failures++;
	stream_end_describe(end, text, sizeof(text));
	dprintf(1, "wrong: %s: %s (replay: --seed=%llu --only=%llu)\n", text, error,
		(unsigned long long)set.seed, (unsigned long long)end->plan->index);
}

static void run_one(uint64_t index, int side, int fd)
{
	uint64_t slot = index - set.first;
	struct stream_plan plan;
	struct stream_end end;

	stream_plan_make(&plan, set.seed, index, set.max, (unsigned int)set.kill);
	memset(&end, 0, sizeof(end));
	end.plan = &plan;
	end.side = side;
	running[slot] = &end;
	if (side == 1)
		board->stream[slot].taken = 1;
	if (stream_end_run(&end, &plan, side, fd,
			   side == 0 ? &board->stream[slot].accepted : NULL) < 0)
		report(&end, end.error);
	running[slot] = NULL;
	board->bytes += end.received;
	if (side == 1 && plan.kill == KILL_OTHER && end.received < board->stream[slot].accepted)
		report(&end, "bytes that write() accepted are missing");
}

/* ---- server ---- */

static void *serve_one(void *argument)
{
	int fd = (int)(intptr_t)argument;
	struct sockaddr_in peer = {0};
	socklen_t length = sizeof(peer);
	uint64_t index;

	if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
		die("getpeername");
	index = ntohl(peer.sin_addr.s_addr) - SOURCE_BASE;
	if (index < set.first || index >= set.first + set.count)
		die("a connection from nowhere: %s", inet_ntoa(peer.sin_addr));
	run_one(index, 1, fd);
	return NULL;
}

static void serve(void)
{
	pthread_t *threads = calloc(set.count, sizeof(*threads));
	uint16_t port = (uint16_t)set.port;
	int listener = listen_local(&port), fd;
	uint64_t i;

	running_side = 1;
	arm_alarm();
	board->port = port;
	for (i = 0; i < set.count; i++) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0 || pthread_create(&threads[i], NULL, serve_one, (void *)(intptr_t)fd))
			die("accept");
	}
	for (i = 0; i < set.count; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

/* ---- client ---- */

static uint64_t client_next;
static pthread_mutex_t client_lock = PTHREAD_MUTEX_INITIALIZER;

static enum stream_kill kill_of(uint64_t index, unsigned int *after_us)
{
	struct stream_plan plan;

	stream_plan_make(&plan, set.seed, index, set.max, (unsigned int)set.kill);
	*after_us = plan.kill_after_us;
	return plan.kill;
}

static void client_one(uint64_t index)
{
	int fd = connect_local((uint16_t)set.port, SOURCE_BASE + (uint32_t)index);

	board->stream[index - set.first].connected = 1;
	run_one(index, 0, fd);
}

static void *client_worker(void *unused)
{
	unsigned int after_us;
	uint64_t index;

	for (;;) {
		pthread_mutex_lock(&client_lock);
		while (client_next < set.count &&
		       kill_of(set.first + client_next, &after_us) != KILL_NONE)
			client_next++;
		index = set.first + client_next++;
		pthread_mutex_unlock(&client_lock);
		if (index >= set.first + set.count)
			return unused;
		client_one(index);
	}
}

/* One child is one client end that is going to be killed. */
static void doomed_child(uint64_t index, enum stream_kill kill)
{
	arm_alarm();
	client_one(index);
	if (kill == KILL_SELF && !board->failures)
		dprintf(1, "wrong: stream %llu outlived its kill\n", (unsigned long long)index);
	for (;;)
		pause();
}

struct doomed {
	pid_t pid;
	uint64_t index;
	enum stream_kill kill;
	unsigned int after_us;
	int asked;
};

/* Start children, kill those whose time has come, until all of them are gone. */
static void kill_children(void)
{
	struct doomed *doomed = calloc(set.parallel, sizeof(*doomed));
	uint64_t next = set.first, alive = 0, i;
	int status;

	do {
		for (i = 0; i < set.parallel; i++) {
			struct doomed *d = &doomed[i];

			while (!d->pid && next < set.first + set.count) {
				d->kill = kill_of(next, &d->after_us);
				d->index = next++;
				if (d->kill == KILL_NONE)
					continue;
				d->asked = 0;
				d->pid = fork();
				if (d->pid == 0)
					doomed_child(d->index, d->kill);
				if (d->pid < 0)
					die("fork");
				alive++;
			}
			if (d->pid && d->kill == KILL_OTHER && !d->asked &&
			    board->stream[d->index - set.first].connected) {
				sleep_us(d->after_us);
				kill(d->pid, SIGKILL);
				d->asked = 1;
			}
			if (d->pid && waitpid(d->pid, &status, WNOHANG) == d->pid) {
				if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
					board->failures++;
					dprintf(1, "wrong: client end %llu ended with status %x\n",
						(unsigned long long)d->index, (unsigned int)status);
				}
				d->pid = 0;
				alive--;
			}
		}
		sleep_us(200);
	} while (alive || next < set.first + set.count);
	free(doomed);
}

static void client(void)
{
	pthread_t *threads = calloc(set.parallel, sizeof(*threads));
	pid_t killer = fork(); /* while there is one thread only */
	int status = 0;
	uint64_t i;

	if (killer < 0)
		die("fork");
	arm_alarm();
	if (killer == 0) {
		kill_children();
		_exit(0);
	}
	for (i = 0; i < set.parallel; i++)
		if (pthread_create(&threads[i], NULL, client_worker, NULL) != 0)
			die("pthread_create");
	for (i = 0; i < set.parallel; i++)
		pthread_join(threads[i], NULL);
	if (waitpid(killer, &status, 0) != killer || status)
		die("the killer of children failed");
	free(threads);
}

/* ---- master ---- */

static pid_t start(const char *role, char **argv, uint64_t move_after)
{
	char numbers[9][48], after[32];
	char *arguments[] = {argv[0],	 (char *)(uintptr_t)role,
			     numbers[0], numbers[1],
			     numbers[2], numbers[3],
			     numbers[4], numbers[5],
			     numbers[6], numbers[7],
			     numbers[8], NULL};
	const struct {
		const char *name;
		uint64_t value;
	} options[9] = {{"seed", set.seed},	    {"first", set.first},  {"count", set.count},
			{"parallel", set.parallel}, {"max", set.max},	   {"kill", set.kill},
			{"time", set.time},	    {"port", board->port}, {"board", set.board}};
	pid_t pid;
	int i;

	for (i = 0; i < 9; i++)
		snprintf(numbers[i], sizeof(numbers[i]), "--%s=%llu", options[i].name,
			 (unsigned long long)options[i].value);
	snprintf(after, sizeof(after), "%llu", (unsigned long long)move_after);
	setenv("SMCU_MOVE_AFTER", after, 1);
	if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ) != 0)
		die("posix_spawn");
	return pid;
}

static uint64_t random_move_after(struct dice *dice)
{
	const uint64_t usual[] = {0, 0, 0, 0, 1, 2, 99, 16384};

	if (set.move_after != UINT64_MAX)
		return set.move_after;
	return dice_below(dice, 4) ? usual[dice_below(dice, 8)] : dice_size(dice, set.max) | 1U;
}

static int run_batch(char **argv, struct dice *dice)
{
	uint64_t after[2] = {random_move_after(dice), random_move_after(dice)};
	int status[2] = {0, 0}, i;
	pid_t pid[2];

	memset(board, 0, board_size());
	pid[1] = start("server", argv, after[1]);
	while (!board->port) {
		if (waitpid(pid[1], &status[1], WNOHANG) == pid[1])
			die("the server did not start");
		sleep_us(1000);
	}
	pid[0] = start("client", argv, after[0]);
	for (i = 0; i < 2; i++)
		waitpid(pid[i], &status[i], 0);
	if (!status[0] && !status[1] && !board->failures)
		return 0;
	printf("batch failed: streams %llu to %llu, seed %llu, SMCU_MOVE_AFTER client %llu server "
	       "%llu: client status %x, server status %x\n",
	       (unsigned long long)set.first, (unsigned long long)(set.first + set.count - 1),
	       (unsigned long long)set.seed, (unsigned long long)after[0],
	       (unsigned long long)after[1], (unsigned int)status[0], (unsigned int)status[1]);
	fflush(stdout);
	return -1;
}

static int master(int argc, char **argv)
{
	uint64_t total = set.count, done = 0, bytes = 0, only;
	struct dice dice = {mix(set.seed, UINT64_MAX)};
	int failed = 0;

	only = option_number(argc, argv, "only", UINT64_MAX);
	if (only != UINT64_MAX) {
		set.first = only;
		total = set.batch = 1;
	}
	while (done < total) {
		set.count = total - done < set.batch ? total - done : set.batch;
		if (run_batch(argv, &dice) < 0)
			failed = 1;
		bytes += board->bytes;
		done += set.count;
		set.first += set.count;
		if (failed && !option_given(argc, argv, "keep-going"))
			break;
	}
	printf("%s: %llu streams, %llu bytes\n", failed ? "FAILED" : "exact",
	       (unsigned long long)done, (unsigned long long)bytes);
	return failed;
}

static void open_board(void)
{
	int fd = (int)set.board;
	size_t size;

	if (!fd) {
		fd = memfd_create("board", 0);
		if (fd < 0 || ftruncate(fd, (off_t)board_size()) < 0)
			die("memfd");
		set.board = (uint64_t)fd;
	}
	size = board_size();
	board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	running = calloc(set.count, sizeof(struct stream_end *));
	if (board == MAP_FAILED || !running)
		die("memory");
}

int main(int argc, char **argv)
{
	const char *role = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	set.seed = option_number(argc, argv, "seed", 1);
	set.first = option_number(argc, argv, "first", 0);
	set.count = option_number(argc, argv, "count", 200);
	set.batch = option_number(argc, argv, "batch", 100);
	set.parallel = option_number(argc, argv, "parallel", 16);
	set.max = option_number(argc, argv, "max", 262144);
	set.kill = option_number(argc, argv, "kill", 30);
	set.time = option_number(argc, argv, "time", 120);
	set.move_after = option_number(argc, argv, "move-after", UINT64_MAX);
	set.port = option_number(argc, argv, "port", 0);
	set.board = option_number(argc, argv, "board", 0);
	raise_descriptor_limit();
	open_board();
	if (strcmp(role, "run") == 0)
		return master(argc, argv);
	if (strcmp(role, "server") == 0)
		serve();
	else if (strcmp(role, "client") == 0)
		client();
	else
		die("usage: streams run|server|client [--option=number]...");
	return board->failures != 0;
}
