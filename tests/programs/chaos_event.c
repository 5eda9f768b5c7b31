/* SPDX-License-Identifier: MIT */
/*
 * What happens to a task between two of its calls: forks, execs, passed descriptors, a kill
 */
#include "chaos.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;

#define SELF "/proc/self/exe"
#define MOMENT_US 50000U /* how long descriptors are kept by who does not use them */

/**
 * struct letter - what goes with a descriptor
 */
struct letter {
	uint32_t number;
	uint32_t side;
	uint32_t does;
};

static void count(enum event event)
{
	atomic_fetch_add(&board->events[event], 1);
}

static struct dice *dice_of(const struct task *task)
{
	return &end_of(task->number, task->side)
			->dice[task->does & DOES(WAY_READ) ? WAY_READ : WAY_WRITE];
}

/* --- starting a program --- */

void worker_arguments(struct worker_arguments *arguments, const struct worker *worker, uint32_t id,
		      const char *tasks)
{
	static char self[] = SELF, role[] = "worker";

	snprintf(arguments->text[0], sizeof(arguments->text[0]), "--board=%d", board->descriptor);
	snprintf(arguments->text[1], sizeof(arguments->text[1]), "--id=%u", id);
	snprintf(arguments->text[2], sizeof(arguments->text[2]), "--side=%u", worker->side);
	snprintf(arguments->text[3], sizeof(arguments->text[3]), "--dice=%llu",
		 (unsigned long long)worker->dice.state);
	snprintf(arguments->text[4], sizeof(arguments->text[4]), "--tasks=%s", tasks);
	arguments->list[0] = self;
	arguments->list[1] = role;
	for (unsigned int i = 0; i < 5; i++)
		arguments->list[2 + i] = arguments->text[i];
	arguments->list[7] = NULL;
}

static void print_task(char *text, size_t size, const struct task *task, int fd)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%u.%u.%u.%d,", task->number, task->side, task->does,
		 fd);
}

void tasks_from_argument(struct worker *worker, const char *tasks)
{
	unsigned int side, does;
	uint32_t number;
	int fd, used;

	tasks += strlen("--tasks=");
	while (sscanf(tasks, "%u.%u.%u.%d,%n", &number, &side, &does, &fd, &used) == 4) {
		tasks += used;
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			die("descriptor %d did not come through the exec", fd);
		if (task_claim(worker, number, side, does))
			task_add(worker, number, side, does, fd);
		else
			close(fd);
	}
}

static bool is_free(int fd)
{
	return fcntl(fd, F_GETFD) < 0;
}

/* A number for a descriptor in another program: the standard streams are as good as others. */
static int random_number(struct dice *dice)
{
	return dice_below(dice, 3) ? 20 + (int)dice_below(dice, 200) : (int)dice_below(dice, 2);
}

/* The whole worker, with all that it has. */
static void exec_self(struct worker *worker, unsigned int index, bool stdio)
{
	struct worker_arguments arguments;
	struct task *task = &worker->tasks[index];
	int to = (int)dice_below(dice_of(task), 2);
	char tasks[300] = "";

	for (unsigned int i = 0; i < worker->count; i++)
		if (worker->tasks[i].fd == to)
			stdio = false;
	if (stdio) {
		task_unwatch(worker, task); /* first: the epoll may have that number */
		if (dup2(task->fd, to) < 0)
			die("dup2");
		close(task->fd);
		task->fd = to;
	}
	for (unsigned int i = 0; i < worker->count; i++) {
		if (fcntl(worker->tasks[i].fd, F_SETFD, 0) < 0)
			die("F_SETFD");
		print_task(tasks, sizeof(tasks), &worker->tasks[i], worker->tasks[i].fd);
	}
	count(stdio ? EVENT_EXEC_STDIO : EVENT_EXEC);
	worker_arguments(&arguments, worker, worker->id, tasks);
	signal(SIGUSR1, SIG_IGN); /* a nudge is not to kill who has no handler yet */
	execv(SELF, arguments.list);
	die("execv");
}

static void start_by_vfork(const struct task *task, int to, char **arguments)
{
	pid_t pid = vfork();

	if (pid == 0) {
		if (dup2(task->fd, to) == to)
			execv(SELF, arguments);
		_exit(127);
	}
	if (pid < 0)
		die("vfork");
}

static void start_by_spawn(const struct task *task, int to, char **arguments)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, task->fd, to);
	errno = posix_spawn(&pid, SELF, &actions, NULL, arguments, environ);
	if (errno)
		die("posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
}

/* A new program goes on with one task. */
static void start_program(struct worker *worker, unsigned int index, enum event event)
{
	struct worker_arguments arguments;
	struct task *task = &worker->tasks[index];
	int to = random_number(dice_of(task)), id;
	char tasks[64] = "";

	if (to > 1 ? !is_free(to) : to == task->fd)
		return;
	id = worker_reserve(worker->side, false);
	if (id < 0)
		return;
	count(event);
	worker_turns(worker, WORKER_READY, WORKER_BUSY);
	task_release(worker, task, task->does);
	print_task(tasks, sizeof(tasks), task, to);
	worker_arguments(&arguments, worker, (uint32_t)id, tasks);
	if (event == EVENT_VFORK)
		start_by_vfork(task, to, arguments.list);
	else
		start_by_spawn(task, to, arguments.list);
	close(task->fd);
	task_forget(worker, index);
	worker_turns(worker, WORKER_BUSY, WORKER_READY);
}

/* --- fork --- */

/* In the child: only this task is left. */
static void keep_only(struct worker *worker, unsigned int index, unsigned int does, uint32_t id)
{
	struct task task = worker->tasks[index];

	for (unsigned int i = 0; i < worker->count; i++)
		if (i != index)
			close(worker->tasks[i].fd);
	for (unsigned int i = 0; i < worker->kept_count; i++)
		close(worker->kept[i]);
	if (worker->epoll >= 0)
		close(worker->epoll);
	worker->count = worker->kept_count = 0;
	worker->dice.state = mix(worker->dice.state, id);
	worker_start(worker, id);
	if (task_claim(worker, task.number, task.side, does))
		task_add(worker, task.number, task.side, does, task.fd)->rest_until =
			task.rest_until;
	else
		close(task.fd);
	worker_turns(worker, WORKER_TAKING, WORKER_READY);
}

static void fork_on(struct worker *worker, unsigned int index, enum event event)
{
	struct task *task = &worker->tasks[index];
	const unsigned int does = event == EVENT_SPLIT ? DOES(WAY_WRITE) : task->does;
	int id = worker_reserve(worker->side, false);
	pid_t pid;

	if (id < 0)
		return;
	count(event);
	worker_turns(worker, WORKER_READY, WORKER_BUSY);
	task_release(worker, task, does);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		keep_only(worker, index, does, (uint32_t)id);
		return;
	}
	if (event == EVENT_SPLIT) {
		task->does = DOES(WAY_READ);
	} else {
		close(task->fd);
		task_forget(worker, index);
	}
	worker_turns(worker, WORKER_BUSY, WORKER_READY);
}

static void split(struct worker *worker, unsigned int index)
{
	struct task *task = &worker->tasks[index];
	struct end_state *end = end_of(task->number, task->side);

	if (task->does != DOES_BOTH || (end->flags & (END_SHUT | END_RESET | END_EOF)))
		return;
	atomic_fetch_or(&end->flags, END_SPLIT);
	fork_on(worker, index, EVENT_SPLIT);
}

static void fork_away(struct task *task)
{
	struct dice *dice = dice_of(task);
	const unsigned int us = (unsigned int)dice_below(dice, MOMENT_US);
	const unsigned int how = (unsigned int)dice_below(dice, 3);
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0) {
		count(EVENT_FORK_AWAY);
		return;
	}
	sleep_us(us);
	if (how == 0)
		kill(getpid(), SIGKILL);
	if (how == 1)
		exit(0);
	_exit(0);
}

/* --- SCM_RIGHTS --- */

static bool may_pass(const struct task *task)
{
	const struct end_state *end = end_of(task->number, task->side);
	const char *move_after = getenv("SMCU_MOVE_AFTER");

	if (board->pass != PASS_EARLY)
		return board->pass == PASS_ANY;
	return !end->attempted && !end->accepted && !end->received && move_after &&
	       strcmp(move_after, "0") != 0;
}

static bool send_letter(const struct task *task)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct letter letter = {task->number, task->side, task->does};
	struct iovec part = {&letter, sizeof(letter)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &task->fd, sizeof(int));
	if (sendmsg(board->mail[task->side][1], &message, MSG_DONTWAIT) == sizeof(letter))
		return true;
	if (errno != EAGAIN && errno != ETOOMANYREFS)
		die("sendmsg of a descriptor");
	return false;
}

static void pass(struct worker *worker, unsigned int index, bool keep)
{
	struct task *task = &worker->tasks[index];
	const unsigned int me = worker->id + 1;
	struct end_state *end = end_of(task->number, task->side);

	if (!may_pass(task) || (keep && worker->kept_count == KEPT))
		return;
	worker_turns(worker, WORKER_READY, WORKER_BUSY);
	task_release(worker, task, task->does);
	if (!send_letter(task)) {
		for (unsigned int way = 0; way < WAYS; way++)
			if (task->does & DOES(way))
				atomic_store(&end->owner[way], me);
		worker_turns(worker, WORKER_BUSY, WORKER_READY);
		return;
	}
	count(keep ? EVENT_PASS_KEEP : EVENT_PASS);
	if (keep) {
		worker->kept_until[worker->kept_count] = now_ms() + dice_below(&worker->dice, 1000);
		worker->kept[worker->kept_count++] = task->fd;
	} else {
		close(task->fd);
	}
	task_forget(worker, index);
	worker_turns(worker, WORKER_BUSY, WORKER_READY);
}

void mail_receive(struct worker *worker)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct letter letter;
	struct iovec part = {&letter, sizeof(letter)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int fd;

	worker_turns(worker, WORKER_READY, WORKER_TAKING);
	if (recvmsg(board->mail[worker->side][0], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) ==
	    sizeof(letter)) {
		if (message.msg_controllen < CMSG_LEN(sizeof(int)))
			die("a letter without a descriptor");
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(int));
		if (task_claim(worker, letter.number, letter.side, letter.does))
			task_add(worker, letter.number, letter.side, letter.does, fd);
		else
			close(fd);
	}
	worker_turns(worker, WORKER_TAKING, WORKER_READY);
}

/* --- the others --- */

static void go_on_as_another_number(const struct worker *worker, struct task *task)
{
	int fd = fcntl(task->fd, F_DUPFD_CLOEXEC, 5 + (int)dice_below(dice_of(task), 200));

	if (fd < 0)
		die("F_DUPFD_CLOEXEC");
	count(EVENT_DUP);
	task_unwatch(worker, task);
	close(task->fd);
	task->fd = fd;
}

static void kill_self(const struct worker *worker)
{
	count(EVENT_KILL_SELF);
	worker_turns(worker, WORKER_READY, WORKER_KILLED);
	kill(getpid(), SIGKILL);
}

static enum event random_event(struct dice *dice)
{
	static const enum event usual[] = {
		EVENT_FORK_ON, EVENT_FORK_ON, EVENT_FORK_ON,   EVENT_FORK_AWAY,
		EVENT_SPLIT,   EVENT_SPLIT,   EVENT_SPLIT,     EVENT_EXEC,
		EVENT_VFORK,   EVENT_VFORK,   EVENT_SPAWN,     EVENT_SPAWN,
		EVENT_PASS,    EVENT_PASS,    EVENT_PASS_KEEP, EVENT_DUP,
	};

	if (dice_below(dice, 200) == 0)
		return EVENT_KILL_SELF;
	return usual[dice_below(dice, sizeof(usual) / sizeof(usual[0]))];
}

void event_after(struct worker *worker, unsigned int index, bool first)
{
	struct task *task = &worker->tasks[index];
	struct dice *dice = dice_of(task);
	enum event event;

	if (dice_below(dice, first ? 8 : task->plan.rarity[task->side]) != 0)
		return;
	event = random_event(dice);
	if (first && board->pass != PASS_NEVER && dice_below(dice, 2))
		event = EVENT_PASS;
	switch (event) {
	case EVENT_FORK_ON:
		fork_on(worker, index, event);
		break;
	case EVENT_FORK_AWAY:
		fork_away(task);
		break;
	case EVENT_SPLIT:
		split(worker, index);
		break;
	case EVENT_EXEC:
		exec_self(worker, index, dice_below(dice, 3) == 0);
		break;
	case EVENT_VFORK:
	case EVENT_SPAWN:
		start_program(worker, index, event);
		break;
	case EVENT_PASS:
	case EVENT_PASS_KEEP:
		pass(worker, index, event == EVENT_PASS_KEEP);
		break;
	case EVENT_DUP:
		go_on_as_another_number(worker, task);
		break;
	default:
		kill_self(worker);
	}
}
