/* SPDX-License-Identifier: MIT */
/*
 * chaos - the master: keeps workers running, stops and kills them, and judges what is over
 *
 *   chaos run [--seed=S] [--seconds=N]
 *
 * Further options: --workers (processes at once) --kill, --stop (chances per second, in percent)
 * --pass (descriptors by SCM_RIGHTS: 0 never, 1 before the first byte, 2 at any moment) --patience
 * (seconds that a stream may stand still) --move-after (for all, instead of a random one for each)
 * --fault (what is to go wrong, see enum fault: the run must then fail)
 */
#include "chaos.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define TICK_MS 10U
#define LASTING 2U /* workers of a side that there always are */
#define UNCERTAIN_MS 5000U /* after that what a killed process was handing on is lost */
#define STARTING_MS 60000U /* a busy machine takes its time to start a program */
#define STOP_MS 300U

struct board *board;

static struct {
	uint64_t seconds, kill, stop, patience, move_after;
	struct dice dice;
	uint32_t first; /* all before it are judged */
} master;

void complain(uint32_t number, const char *format, ...)
{
	char text[256], state[640];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	describe(number, state, sizeof(state));
	dprintf(2, "wrong: connection %u: %s: %s\n", number, text, state);
	atomic_fetch_add(&board->failures, 1);
}

static void open_board(int fd)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		     0);
	if (board == MAP_FAILED)
		die("memory");
}

/* --- workers --- */

static void set_move_after(void)
{
	const uint64_t usual[] = {0, 0, 1, 1, 1, 1, 99, 16384};
	uint64_t bytes = usual[dice_below(&master.dice, 8)];
	char text[24];

	if (master.move_after != UINT64_MAX)
		bytes = master.move_after;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	setenv("SMCU_MOVE_AFTER", text, 1);
}

static void start_worker(unsigned int side)
{
	struct worker_arguments arguments;
	struct worker worker = {.side = side, .dice = {dice_roll(&master.dice)}};
	int id = worker_reserve(side, true);
	pid_t pid;

	if (id < 0)
		return;
	set_move_after();
	worker_arguments(&arguments, &worker, (uint32_t)id, "");
	errno = posix_spawn(&pid, arguments.list[0], NULL, NULL, arguments.list, environ);
	if (errno)
		die("posix_spawn");
}

static void keep_population(void)
{
	unsigned int count[SIDES] = {0};

	for (unsigned int i = 0; i < WORKERS; i++) {
		const struct worker_slot *slot = &board->worker[i];

		if (slot->lasting && slot->state >= WORKER_STARTING && slot->state <= WORKER_BUSY)
			count[slot->side]++;
	}
	for (unsigned int side = 0; side < SIDES; side++)
		for (; count[side] < LASTING; count[side]++)
			start_worker(side);
}

/* A killed worker's directions are dead, but for those that it was handing on a moment ago. */
static bool bury(uint32_t id, bool all)
{
	bool certain = true;

	for (uint32_t number = master.first; number < board->next; number++)
		for (unsigned int at = 0; at < SIDES * WAYS; at++) {
			struct end_state *end = end_of(number, at / WAYS);
			_Atomic uint32_t *owner = &end->owner[at % WAYS];
			uint32_t who = atomic_load(owner);

			if ((who & ~OWNER_MOVING) != id + 1 || who >= OWNER_OVER)
				continue;
			if ((who & OWNER_MOVING) && !all) {
				certain = false;
				continue;
			}
			atomic_fetch_or(&end->flags, END_KILLED(at % WAYS));
			if (!atomic_compare_exchange_strong(owner, &who, OWNER_DEAD))
				atomic_fetch_and(&end->flags, ~END_KILLED(at % WAYS));
		}
	return certain;
}

static bool is_running(const struct worker_slot *slot)
{
	return slot->pid == 0 || kill(slot->pid, 0) == 0 || errno != ESRCH;
}

static void look_at_worker(uint32_t id)
{
	struct worker_slot *slot = &board->worker[id];
	const uint32_t state = slot->state;

	if (state == WORKER_FREE)
		return;
	if (is_running(slot)) {
		if (state == WORKER_STARTING && !slot->pid) {
			if (!slot->since)
				slot->since = now_ms();
			if (now_ms() < slot->since + STARTING_MS)
				return; /* or who reserved it was killed before it started it */
			slot->since = 0;
			slot->state = WORKER_FREE;
		}
		return;
	}
	if (state != slot->state)
		return; /* it has changed meanwhile: next time */
	if (state != WORKER_KILLED && state != WORKER_LEFT) {
		dprintf(2, "wrong: process %d has ended by itself, in state %u\n", slot->pid,
			state);
		atomic_fetch_add(&board->failures, 1);
	}
	if (!slot->since)
		slot->since = now_ms();
	if (!bury(id, now_ms() > slot->since + UNCERTAIN_MS))
		return;
	slot->since = slot->stopped_until = 0;
	slot->pid = 0;
	slot->state = WORKER_FREE;
}

static struct worker_slot *random_worker(void)
{
	const unsigned int start = (unsigned int)dice_below(&master.dice, WORKERS);

	for (unsigned int i = 0; i < WORKERS; i++) {
		struct worker_slot *slot = &board->worker[(start + i) % WORKERS];

		if ((slot->state == WORKER_READY || slot->state == WORKER_BUSY) && slot->pid)
			return slot;
	}
	return NULL;
}

static void kill_one(void)
{
	struct worker_slot *slot = random_worker();
	uint32_t state;

	if (!slot)
		return;
	state = slot->state;
	/* In the middle of a hand-over now and then only: it takes a while to know what became of it. */
	if (state == WORKER_BUSY && dice_below(&master.dice, 4))
		return;
	if ((state != WORKER_READY && state != WORKER_BUSY) ||
	    !atomic_compare_exchange_strong(&slot->state, &state, WORKER_KILLED))
		return;
	kill(slot->pid, SIGKILL);
	board->events[EVENT_KILL]++;
}

static void stop_one(void)
{
	struct worker_slot *slot = random_worker();

	if (!slot || slot->stopped_until || kill(slot->pid, SIGSTOP) < 0)
		return;
	slot->stopped_until = now_ms() + 1 + dice_below(&master.dice, STOP_MS);
	board->events[EVENT_STOP]++;
}

static void let_go_on(void)
{
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct worker_slot *slot = &board->worker[i];

		if (!slot->stopped_until || slot->stopped_until > now_ms())
			continue;
		slot->stopped_until = 0;
		if (slot->pid)
			kill(slot->pid, SIGCONT);
	}
}

/* --- connections --- */

static bool is_over(const struct end_state *end)
{
	for (unsigned int way = 0; way < WAYS; way++)
		if (end->owner[way] != OWNER_DEAD && end->owner[way] != OWNER_OVER)
			return false;
	return true;
}

/*
 * A client that was killed before its connect(2) has no server; nor has one whose server was killed in its accept(2),
 * before it could say so.
 */
static void give_up_unborn(struct connection_state *connection)
{
	struct end_state *server = &connection->end[1];

	if (!is_over(&connection->end[0]) || now_ms() < connection->progress_at + UNCERTAIN_MS)
		return;
	for (unsigned int way = 0; way < WAYS; way++) {
		uint32_t none = OWNER_NONE;

		atomic_compare_exchange_strong(&server->owner[way], &none, OWNER_OVER);
	}
}

/* Whoever reads at a split end must hear that its writer is dead. */
static void nudge(const struct end_state *end)
{
	const struct worker_slot *slot = owner_slot(end->owner[WAY_READ]);

	if (slot && !slot->lasting && slot->pid && end->owner[WAY_WRITE] == OWNER_DEAD &&
	    !(end->flags & (END_SHUT | END_RESET)))
		kill(slot->pid, SIGUSR1);
}

static uint64_t progress_of(const struct connection_state *connection)
{
	uint64_t sum = 0;

	for (unsigned int side = 0; side < SIDES; side++) {
		const struct end_state *end = &connection->end[side];

		sum = mix(sum, end->received + end->accepted + ((uint64_t)end->flags << 40));
		sum = mix(sum, end->owner[WAY_READ] ^ (uint64_t)end->owner[WAY_WRITE] << 32);
	}
	return sum | 1;
}

static void look_at_connection(uint32_t number)
{
	struct connection_state *connection = &board->connection[number];
	const uint64_t progress = progress_of(connection), now = now_ms();

	if (connection->judged)
		return;
	if (connection_is_over(connection)) {
		check_connection(number);
		connection->judged = true;
		return;
	}
	give_up_unborn(connection);
	for (unsigned int side = 0; side < SIDES; side++)
		nudge(&connection->end[side]);
	if (progress != connection->progress) {
		connection->progress = progress;
		connection->progress_at = now;
	} else if (now > connection->progress_at + master.patience * 1000) {
		complain(number, "stands still for %llu s", (unsigned long long)master.patience);
		connection->progress_at = now;
	}
}

static bool look_at_connections(void)
{
	const uint32_t next = board->next;

	for (uint32_t number = master.first; number < next; number++)
		look_at_connection(number);
	while (master.first < next && board->connection[master.first].judged)
		master.first++;
	return master.first == next;
}

/* --- the run --- */

static void tick(uint64_t *last)
{
	let_go_on();
	for (uint32_t id = 0; id < WORKERS; id++)
		look_at_worker(id);
	keep_population();
	if (dice_below(&master.dice, 100U * 1000U / TICK_MS) < master.stop)
		stop_one();
	if (dice_below(&master.dice, 100U * 1000U / TICK_MS) < master.kill)
		kill_one();
	sleep_us(TICK_MS * 1000U);
	*last = now_ms();
}

static void end_workers(void)
{
	const uint64_t limit = now_ms() + 10000;
	bool any = true;

	board->stopping = 2;
	while (any && now_ms() < limit && !board->failures) {
		any = false;
		let_go_on();
		for (uint32_t id = 0; id < WORKERS; id++) {
			look_at_worker(id);
			any |= board->worker[id].state != WORKER_FREE;
		}
		sleep_us(TICK_MS * 1000U);
	}
	for (uint32_t id = 0; id < WORKERS; id++) {
		board->worker[id].state = WORKER_KILLED;
		if (board->worker[id].pid)
			kill(board->worker[id].pid, SIGKILL);
	}
}

static void summarize(void)
{
	static const char *const names[EVENTS] = {
		[EVENT_FORK_ON] = "the child of a fork went on",
		[EVENT_FORK_AWAY] = "the parent went on",
		[EVENT_SPLIT] = "one wrote and one read",
		[EVENT_EXEC] = "exec",
		[EVENT_EXEC_STDIO] = "exec with a standard stream",
		[EVENT_VFORK] = "vfork and exec",
		[EVENT_SPAWN] = "posix_spawn",
		[EVENT_PASS] = "descriptor passed and closed",
		[EVENT_PASS_KEEP] = "descriptor passed and kept",
		[EVENT_DUP] = "another number",
		[EVENT_KILL_SELF] = "killed after a call",
		[EVENT_KILL] = "killed at any moment",
		[EVENT_STOP] = "stopped and continued",
	};
	uint32_t ends[4] = {0};

	for (uint32_t number = 0; number < board->next; number++)
		for (unsigned int side = 0; side < SIDES; side++) {
			const uint32_t flags = end_of(number, side)->flags;

			ends[flags & END_KILLED_ANY ? 0
			     : flags & END_RESET    ? 1
			     : flags & END_EOF	    ? 2
						    : 3]++;
		}
	printf("%s: seed %llu, %u connections, %llu bytes, %llu processes\n",
	       board->failures ? "FAILED" : "exact", (unsigned long long)board->seed, board->next,
	       (unsigned long long)board->bytes, (unsigned long long)board->processes);
	printf("  ends: %u killed, %u reset, %u saw the end of file, %u closed before it\n",
	       ends[0], ends[1], ends[2], ends[3]);
	for (unsigned int event = 0; event < EVENTS; event++)
		printf("  %8llu %s\n", (unsigned long long)board->events[event], names[event]);
}

static int run(void)
{
	uint64_t now = now_ms();
	const uint64_t until = now + master.seconds * 1000;

	printf("chaos run --seed=%llu\n", (unsigned long long)board->seed);
	fflush(stdout);
	while (now < until && !board->failures) {
		(void)look_at_connections();
		tick(&now);
	}
	board->stopping = 1;
	while (!look_at_connections() && !board->failures)
		tick(&now);
	end_workers();
	summarize();
	return board->failures != 0;
}

static void prepare(int argc, char **argv)
{
	uint16_t port = 0;
	int fd = memfd_create("chaos", 0);

	if (fd < 0 || ftruncate(fd, sizeof(struct board)) < 0)
		die("memfd");
	open_board(fd);
	board->master = getpid();
	board->descriptor = fd;
	board->seed = option_number(argc, argv, "seed", (uint64_t)time(NULL));
	board->pass = (uint32_t)option_number(argc, argv, "pass", PASS_ANY);
	board->fault = (uint32_t)option_number(argc, argv, "fault", FAULT_NONE);
	board->most_workers = (uint32_t)option_number(argc, argv, "workers", 10);
	board->listener = listen_local(&port);
	board->port = port;
	set_nonblocking(board->listener, 1);
	for (unsigned int side = 0; side < SIDES; side++)
		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, board->mail[side]) < 0)
			die("socketpair");
	master.seconds = option_number(argc, argv, "seconds", 10);
	master.kill = option_number(argc, argv, "kill", 100);
	master.stop = option_number(argc, argv, "stop", 500);
	master.patience = option_number(argc, argv, "patience", 20);
	master.move_after = option_number(argc, argv, "move-after", UINT64_MAX);
	master.dice.state = mix(board->seed, UINT64_MAX);
}

static void be_worker(int argc, char **argv)
{
	struct worker worker = {.side = (unsigned int)option_number(argc, argv, "side", 0)};
	const uint32_t id = (uint32_t)option_number(argc, argv, "id", 0);

	open_board((int)option_number(argc, argv, "board", 0));
	worker.dice.state = mix(option_number(argc, argv, "dice", 0), id);
	worker_begin(&worker, id, argv[argc - 1]);
	worker_run(&worker);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* nobody waits: the master asks who is still there */
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		be_worker(argc, argv);
	if (argc < 2 || strcmp(argv[1], "run") != 0)
		die("usage: chaos run [--option=number]...");
	prepare(argc, argv);
	return run();
}
