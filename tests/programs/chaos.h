/* SPDX-License-Identifier: MIT */
/*
 * chaos - checked streams between processes that fork, exec, pass descriptors, are stopped and killed
 *
 * Theory of operation
 *
 * A master makes the *board*, memory that all processes share, and keeps some *workers* of either
 * side running.  A server worker accepts, a client worker connects; each has several *tasks*, an end
 * of a connection or, when it was split, one direction of it, and drives them in one loop.  What a
 * task has done stands on the board, so that any process can go on with it: the child of a fork, the
 * program after an exec, whoever got the descriptor by SCM_RIGHTS.
 *
 * Each byte is a function of connection, direction and position.  A writer notes what it attempts
 * before a call and what was accepted after it, so that of a writer that was killed at any
 * instruction it is known how much must, and how much can, have arrived.  chaos_check.c has what TCP
 * allows at the end of a stream.
 *
 * The owner of a direction is a worker.  Who hands it on sets OWNER_MOVING first; the new owner puts
 * itself there.  Only the master kills (and a worker itself, where its dice say so): it sets the
 * worker's state first, so that whoever sees a stream end can tell that its writer was killed.
 *
 * All that is random comes from the seed: the plan of a connection, and the dice of each direction.
 */
#ifndef TESTS_CHAOS_H
#define TESTS_CHAOS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common.h"

#define SIDES 2U /* 0 client, 1 server */
#define CONNECTIONS (1U << 20)
#define SOURCE_BASE 0x7f400000U /* 127.64.0.0 + number: how a server knows a connection */
#define WORKERS 24U
#define TASKS 12U /* of one worker */
#define NEW_TASKS 4U /* with so many it accepts and connects no more */
#define KEPT 8U
#define CALL_MAX (1U << 20) /* bytes of a read or write */

/* What a task is to do, and indices of what there is for each direction. */
enum way { WAY_READ = 0, WAY_WRITE = 1, WAYS = 2 };
#define DOES(way) (1U << (way))
#define DOES_BOTH (DOES(WAY_READ) | DOES(WAY_WRITE))

enum finish {
	FINISH_SHUT, /* shutdown(SHUT_WR) when all is written, close after the peer's end */
	FINISH_CLOSE, /* close when all is written and all is read */
	FINISH_EARLY, /* close in the middle, whatever is unread */
	FINISH_LINGER, /* the same with SO_LINGER 0: a reset */
	FINISHES
};

enum event {
	EVENT_FORK_ON, /* the child goes on, the parent closes */
	EVENT_FORK_AWAY, /* the parent goes on, the child has the descriptors for a moment */
	EVENT_SPLIT, /* the child writes, the parent reads */
	EVENT_EXEC, /* the worker starts itself anew, with all its tasks */
	EVENT_EXEC_STDIO, /* the same, with a task as its standard input or output */
	EVENT_VFORK, /* a new program goes on */
	EVENT_SPAWN, /* the same by posix_spawn */
	EVENT_PASS, /* by SCM_RIGHTS to a worker of the same side */
	EVENT_PASS_KEEP, /* the same, and the descriptor is kept for a moment */
	EVENT_DUP, /* goes on with another number */
	EVENT_KILL_SELF, /* SIGKILL right after a call */
	EVENT_KILL, /* by the master, at any moment */
	EVENT_STOP, /* SIGSTOP, and SIGCONT a moment later */
	EVENTS
};

/* Faults of our own making: the checker must see them. */
enum fault {
	FAULT_NONE,
	FAULT_CORRUPT,
	FAULT_LOSE,
	FAULT_REPEAT,
	FAULT_RESET,
	FAULT_CUT,
	FAULT_STALL,
	FAULTS
};

enum pass { PASS_NEVER, PASS_EARLY, PASS_ANY };

/**
 * struct plan - what both ends know of a connection
 * Indexed by side:
 * @seed, @length: the bytes it writes
 * @finish: how it ends
 * @early_at: bytes written when it ends early
 * @nonblocking: O_NONBLOCK is set
 * @write_max, @read_max: of one call
 * @pause_us: the longest rest between two writes
 * @rarity: one of so many calls is followed by an event
 */
struct plan {
	uint64_t seed[SIDES];
	uint64_t length[SIDES];
	enum finish finish[SIDES];
	uint64_t early_at[SIDES];
	bool nonblocking[SIDES];
	size_t write_max[SIDES];
	size_t read_max[SIDES];
	unsigned int pause_us[SIDES];
	unsigned int rarity[SIDES];
};

/* struct end_state.owner, beside a worker's index + 1 */
#define OWNER_NONE 0U /* not yet taken */
#define OWNER_DEAD UINT32_MAX /* its process was killed */
#define OWNER_OVER (UINT32_MAX - 1U) /* given up in order */
#define OWNER_MOVING (1U << 16) /* ored in: handed on */

/* struct end_state.flags */
#define END_SHUT (1U << 0) /* it says that it writes no more */
#define END_LINGER (1U << 1) /* it resets */
#define END_EOF (1U << 2) /* it saw the peer's end */
#define END_RESET (1U << 3) /* it got ECONNRESET or EPIPE */
#define END_SPLIT (1U << 4) /* two tasks have it */
#define END_CLOSED(way) (1U << (5 + (way))) /* this direction's task closes */
#define END_KILLED(way) (1U << (7 + (way))) /* who had this direction was killed */
#define END_KILLED_ANY (END_KILLED(WAY_READ) | END_KILLED(WAY_WRITE))

/**
 * struct end_state - one end on the board
 * @owner: indexed by enum way: OWNER_*, or a worker's index + 1
 * @flags: END_*
 * @attempted: bytes that it has written at most
 * @accepted: bytes that its writes have accepted at least
 * @received: bytes that it has read and checked at least
 * @dice: indexed by enum way
 */
struct end_state {
	_Atomic uint32_t owner[WAYS];
	_Atomic uint32_t flags;
	_Atomic uint64_t attempted;
	_Atomic uint64_t accepted;
	_Atomic uint64_t received;
	struct dice dice[WAYS];
};

/**
 * struct connection_state - one connection on the board
 * @end: by side
 * @judged, @progress, @progress_at: the master's
 */
struct connection_state {
	struct end_state end[SIDES];
	bool judged;
	uint64_t progress;
	uint64_t progress_at;
};

enum worker_state {
	WORKER_FREE,
	WORKER_STARTING, /* taken by whoever starts it */
	WORKER_TAKING, /* taking something over: not to be killed */
	WORKER_READY,
	WORKER_BUSY, /* handing something on */
	WORKER_KILLED, /* SIGKILL is on its way */
	WORKER_LEFT /* ended in order */
};

/**
 * struct worker_slot - one process on the board
 * @state: enum worker_state
 * @pid: once it runs
 * @side: which side's
 * @lasting: it accepts or connects, never blocks, and stays; the others leave when they have nothing to do
 * @stopped_until, @since: the master's
 */
struct worker_slot {
	_Atomic uint32_t state;
	_Atomic int32_t pid;
	_Atomic uint32_t side;
	_Atomic uint32_t lasting;
	uint64_t stopped_until;
	uint64_t since;
};

/**
 * struct board - what all processes share
 * @seed, @pass, @fault, @most_workers: options
 * @master: its process
 * @descriptor, @listener, @mail: numbers of inherited descriptors; @mail by side: [0] receives
 * @port: the listener's
 * @next: number of the next connection
 * @stopping: 1: no more connections; 2: end
 * @failures: what went wrong so far
 * @events, @bytes, @processes: for the summary
 */
struct board {
	uint64_t seed;
	uint32_t pass;
	uint32_t fault;
	uint32_t most_workers;
	int32_t master;
	int descriptor;
	int listener;
	int mail[SIDES][2];
	uint16_t port;
	_Atomic uint32_t next;
	_Atomic uint32_t stopping;
	_Atomic uint32_t failures;
	_Atomic uint64_t events[EVENTS];
	_Atomic uint64_t bytes;
	_Atomic uint64_t processes;
	struct worker_slot worker[WORKERS];
	struct connection_state connection[CONNECTIONS];
};

extern struct board *board;

/* complain - one thing is wrong with connection @number */
void complain(uint32_t number, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- chaos_check.c --- */

void plan_make(struct plan *plan, uint32_t number);

/* check_end_of_file, check_reset - end @side of connection @number has just seen it: may that be? */
void check_end_of_file(uint32_t number, unsigned int side);
void check_reset(uint32_t number, unsigned int side, const char *call);

/* connection_is_over - nobody has anything to do with it any more */
bool connection_is_over(const struct connection_state *connection);

/* check_connection - it is over: did both streams arrive as TCP would have brought them? */
void check_connection(uint32_t number);

/* describe - one line on where a connection stands */
void describe(uint32_t number, char *text, size_t size);

/* --- workers --- */

/**
 * struct task - an end of a connection, or one direction of it
 * @number, @side: which
 * @does: DOES()
 * @fd: the socket
 * @ready: DOES(): what the kernel said can be done
 * @watched: epoll: what it is registered for
 * @rest_until: no write before that (ms)
 * @plan: see above
 */
struct task {
	uint32_t number;
	unsigned int side;
	unsigned int does;
	int fd;
	unsigned int ready;
	unsigned int watched;
	uint64_t rest_until;
	struct plan plan;
};

enum driver { DRIVER_POLL, DRIVER_EPOLL_LEVEL, DRIVER_EPOLL_EDGE, DRIVERS };

/**
 * struct worker - this process
 * @id: index on the board
 * @side: which side's
 * @driver, @epoll: how it waits
 * @dice: its own
 * @tasks, @count: what it has to do
 * @kept, @kept_until, @kept_count: descriptors that it has passed on and not closed yet
 */
struct worker {
	uint32_t id;
	unsigned int side;
	enum driver driver;
	int epoll;
	struct dice dice;
	struct task tasks[TASKS];
	unsigned int count;
	int kept[KEPT];
	uint64_t kept_until[KEPT];
	unsigned int kept_count;
};

static inline struct end_state *end_of(uint32_t number, unsigned int side)
{
	return &board->connection[number].end[side];
}

/* owner_slot - the worker that has a direction, or had it before it was handed on; or NULL */
static inline struct worker_slot *owner_slot(uint32_t owner)
{
	return owner == OWNER_NONE || owner >= OWNER_OVER
		       ? NULL
		       : &board->worker[(owner & ~OWNER_MOVING) - 1];
}

/* worker_run - the loop; ends the process */
void worker_run(struct worker *worker) __attribute__((noreturn));

/* worker_begin - in a program that was started, anew (exec) or as a new worker, with these tasks */
void worker_begin(struct worker *worker, uint32_t id, const char *tasks);

/* worker_start - in a process that has just begun to be worker @id: it is WORKER_TAKING */
void worker_start(struct worker *worker, uint32_t id);

/* worker_reserve - a place on the board for a worker to be started, or -1: there are enough others */
int worker_reserve(unsigned int side, bool lasting);

/* worker_turns - from one state to another, or wait for the SIGKILL that is on its way */
void worker_turns(const struct worker *worker, enum worker_state from, enum worker_state to);

/* task_claim - from now on it is this worker's; false: it was given up for dead */
bool task_claim(const struct worker *worker, uint32_t number, unsigned int side, unsigned int does);

/* task_release - it is about to be another's (before a descriptor is passed or a process started) */
void task_release(struct worker *worker, struct task *task, unsigned int does);

/* task_add - drive the end with socket @fd */
struct task *task_add(struct worker *worker, uint32_t number, unsigned int side, unsigned int does,
		      int fd);

/* task_unwatch - take it out of the epoll */
void task_unwatch(const struct worker *worker, struct task *task);

/* task_forget - it is another's, or over; the descriptor is the caller's */
void task_forget(struct worker *worker, unsigned int index);

/* --- chaos_stream.c --- */

/* task_wants - DOES(): what it could do now, if the socket can */
unsigned int task_wants(const struct task *task);

/* task_step - a call each way, as far as it is ready; true: it is over */
bool task_step(struct task *task, bool may_block);

/* task_finish - close it as it is to end */
void task_finish(struct task *task);

/* --- chaos_event.c --- */

/* event_after - now and then something happens to a task after a call, more often before its @first */
void event_after(struct worker *worker, unsigned int index, bool first);

/* mail_receive - take what was passed to this side */
void mail_receive(struct worker *worker);

/* tasks_from_argument - take what a program was started with */
void tasks_from_argument(struct worker *worker, const char *tasks);

/* worker_arguments - to start a worker with; @tasks as it is taken by tasks_from_argument() */
struct worker_arguments {
	char text[5][320];
	char *list[8];
};
void worker_arguments(struct worker_arguments *arguments, const struct worker *worker, uint32_t id,
		      const char *tasks);

#endif
