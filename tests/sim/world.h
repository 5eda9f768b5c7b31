/* SPDX-License-Identifier: MIT */
/*
 * A world for two hosts that speak SMC-R: virtual time, TCP, RDMA, and programs that use sockets
 *
 * Theory of operation
 *
 * A *schedule* is everything that happens in one world: which hosts, which connections, how long each
 * message takes, what fails.  All of it comes out of one number, the seed, so each schedule can be run
 * again.  Time stands still while something happens, and jumps to the next event.
 *
 *   application.c ── engine.c ── src/proto ── engine.c ── fabric.c, tcp.c ── the other host
 *
 * After each step, and at the end, *invariants* are checked:
 *   - a reader gets exactly the bytes that were written, in order; at a clean end all of them
 *   - memory that is written to is registered, and not given back before its peer has agreed
 *   - a send buffer is not reused before it is sent
 *   - both ends agree: both SMC, both TCP, or at least one of them got an error
 *   - without faults, and if no program closes early, nobody gets an error
 *   - who ends a link group takes what the peer still says, for some time
 *   - when the programs have ended nothing is left: no connection, link group, region, queue pair,
 *     timer or memory; and that is so after finite time
 *
 * What breaks one ends the schedule with a message.
 */
#ifndef SMCU_SIM_WORLD_H
#define SMCU_SIM_WORLD_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/connection.h"
#include "proto/link_group.h"
#include "proto/proto.h"
#include "proto/rendezvous.h"

#define SIM_HOSTS 2U
#define SIM_PAIRS_MAX 5U
#define SIM_STEPS_MAX 400000U
#define SIM_PATTERN 131071U /* bytes until a stream's pattern repeats: a prime */
#define SIM_MS 1000U /* times are in microseconds */

struct sim_world;

/**
 * struct sim_event - something that will happen
 * @time, @sequence: when; events of one time happen in the order in which they were planned
 * @act: what
 * @object, @number: for whom; the event is dropped if @cancelled
 * @bytes: a message
 */
struct sim_event {
	uint64_t time;
	uint64_t sequence;
	void (*act)(struct sim_world *world, struct sim_event *event);
	void *object;
	uint64_t number;
	bool cancelled;
	bool flag;
	uint32_t length;
	uint32_t rkey;
	uint64_t address;
	uint8_t bytes[PROTO_MESSAGE_LENGTH];
	struct sim_event *next_free;
};

/**
 * struct sim_memory - in front of each piece of memory that the protocol has
 */
struct sim_memory {
	struct list of_host;
	struct sim_host *host;
};

/**
 * struct sim_place - memory that programs of a host use one after the other
 * @regions: that it is registered as now
 * @taken: in use, or not to be used again
 */
struct sim_place {
	struct rmb_memory memory;
	uint8_t *bytes;
	unsigned int regions;
	bool taken;
};

/**
 * struct sim_host - one of the hosts
 * @memory: of its protocol, by struct sim_memory
 * @dead: it will not act again
 * @regions, @queue_pairs, @timers: that its protocol has now
 * @places: see there
 */
struct sim_host {
	struct sim_world *world;
	struct proto_host proto;
	struct list memory;
	bool dead;
	unsigned int regions;
	unsigned int queue_pairs;
	unsigned int timers;
	struct sim_place places[SIM_PAIRS_MAX];
};

/**
 * struct sim_half - one direction of a TCP connection
 * @bytes, @size, @room: all that was ever sent
 * @arrived, @taken: of these
 * @last: time of the last arrival that is planned
 */
struct sim_half {
	struct sim_end *to;
	uint8_t *bytes;
	size_t size;
	size_t room;
	size_t arrived;
	size_t taken;
	uint64_t last;
	bool fin_sent;
	bool fin;
};

enum sim_mode { SIM_RENDEZVOUS, SIM_SMC, SIM_TCP, SIM_FAILED };

/* How a program uses its socket. */
enum sim_style {
	SIM_HALF_CLOSES, /* writes, shuts down, reads to the end, closes */
	SIM_RESPONDS, /* reads to the end, then writes and closes */
	SIM_CLOSES, /* writes and closes, read or not */
	SIM_ABORTS, /* resets the connection some time */
};

/**
 * struct sim_end - one end of a connection, and the program that has it
 * @peer: the other end
 * @in: TCP's direction to here
 * @region: what it reads from
 * @place: where that is, until it is left; NULL: it is used once
 * @mode: where data goes
 * @style, @to_write, @chunk, @pace: the program's ways; @pace: microseconds at most between calls
 * @written, @released, @readable, @read: positions
 * @tcp_written: of what was written, this went into TCP
 * @urgent_at: position behind the last urgent byte written; 0: none
 * @late: messages of the rendezvous may still come
 * @eof: the peer's stream ended cleanly at @readable
 * @reset: an error was seen
 * @shut, @closed: what the program did
 * @unread_at_close: it closed without having read all
 * @woken: the program will run
 */
struct sim_end {
	struct sim_host *host;
	struct sim_end *peer;
	struct connection *connection;
	struct sim_region *region;
	struct sim_place *place;
	struct sim_half in;
	enum sim_mode mode;
	enum sim_style style;
	uint64_t to_write;
	uint32_t chunk;
	uint32_t pace;
	uint32_t buffer;
	uint32_t linger;
	unsigned int urgent_percent;
	struct rendezvous_facts facts;
	enum rendezvous_route route;
	uint64_t written;
	uint64_t released;
	uint64_t readable;
	uint64_t read;
	uint64_t tcp_written;
	uint64_t urgent_at;
	uint64_t peer_urgent;
	bool late;
	unsigned int index;
	bool started;
	bool eof;
	bool reset;
	bool peer_gone;
	bool shut;
	bool closed;
	bool aborted;
	bool unread_at_close;
	bool woken;
	bool tcp_dead;
};

/**
 * struct sim_region - registered memory
 * @place: where it is, or NULL: @bytes are its own
 * @connections: that it served
 */
struct sim_region {
	struct sim_host *host;
	struct rmb *rmb;
	uint32_t rkey;
	uint64_t address;
	uint32_t size;
	uint8_t *bytes;
	struct sim_place *place;
	unsigned int connections;
};

/**
 * struct sim_queue_pair - one end of a link
 * @peer: where it is connected to
 * @receives, @sends: RTR, RTS
 * @last_arrival, @last_completion: planned, so that order is kept
 * @posted: SENDs without completion
 * @flying: SENDs and WRITEs that have not arrived
 * @ending: its host has been stopped, then
 */
struct sim_queue_pair {
	struct sim_host *host;
	struct link *link;
	struct sim_queue_pair *peer;
	uint32_t number;
	bool receives;
	bool sends;
	bool broken;
	uint64_t last_arrival;
	uint64_t last_completion;
	unsigned int posted;
	unsigned int flying;
	uint64_t ending;
};

#define SIM_REGIONS_MAX 64U
#define SIM_QUEUE_PAIRS_MAX 64U

/**
 * struct sim_world - one schedule
 * @present: the event that is happening
 * @faults: something fails in this schedule: errors are allowed
 * @rough: programs close early or reset
 * @deny_percent: requests for memory, regions, queue pairs that are refused
 * @rested: connections whose RMB had served another
 * @tcp_delay, @rdma_delay: microseconds at most
 */
struct sim_world {
	uint64_t seed;
	uint64_t random;
	uint64_t now;
	uint64_t planned;
	struct sim_event **heap;
	size_t heap_size;
	size_t heap_room;
	struct sim_event *free_events;
	struct sim_event *present;
	struct sim_host hosts[SIM_HOSTS];
	struct sim_end ends[SIM_PAIRS_MAX][2];
	unsigned int pairs;
	struct sim_region regions[SIM_REGIONS_MAX];
	unsigned int region_count;
	struct sim_queue_pair queue_pairs[SIM_QUEUE_PAIRS_MAX];
	unsigned int queue_pair_count;
	bool faults;
	bool rough;
	unsigned int deny_percent;
	uint32_t tcp_delay;
	uint32_t rdma_delay;
	bool trace;
	bool told;
	jmp_buf failed;
	uint64_t moved;
	uint64_t rested;
	uint64_t fell_back;
};

/* world.c */

/* sim_fail - an invariant is broken */
_Noreturn void sim_fail(struct sim_world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void sim_trace(struct sim_world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
uint64_t sim_random(struct sim_world *world);
/* sim_below - 0 to @limit - 1 */
uint64_t sim_below(struct sim_world *world, uint64_t limit);
bool sim_percent(struct sim_world *world, unsigned int percent);
struct sim_event *sim_plan(struct sim_world *world, uint64_t time,
			   void (*act)(struct sim_world *, struct sim_event *), void *object);
/* sim_step - the next event; false if there is none */
bool sim_step(struct sim_world *world);
void sim_pattern_fill(void);
const uint8_t *sim_pattern(const struct sim_end *writer, uint64_t position, size_t *length);
unsigned int sim_host_name(const struct sim_host *host);

/* tcp.c */

void sim_tcp_send(struct sim_world *world, struct sim_end *from, const void *bytes, size_t length);
void sim_tcp_fin(struct sim_world *world, struct sim_end *from);
void sim_tcp_reset(struct sim_world *world, struct sim_end *from);

/* sim_tcp_reset_seen - the engine learns of a RST */
void sim_tcp_reset_seen(struct sim_world *world, struct sim_end *end);

/* fabric.c */

void sim_fabric_act(struct sim_world *world, struct sim_host *host,
		    const struct proto_action *action);
/* sim_break - the path of a link is lost */
void sim_break(struct sim_world *world, struct sim_queue_pair *pair);

/* engine.c */

void sim_host_start(struct sim_world *world, struct sim_host *host,
		    const struct proto_config *config);
void sim_end_start(struct sim_world *world, struct sim_event *event);
/* sim_end_poll - something is there on TCP */
void sim_end_poll(struct sim_world *world, struct sim_end *end);
/* sim_poll_late - drop what still comes of the rendezvous before data of the application */
void sim_poll_late(struct sim_end *end);
void sim_host_free(struct sim_host *host);

/* place.c */

/* sim_place_take - where @end's RMB will be; sim_place_leave - when it is over */
void sim_place_take(struct sim_world *world, struct sim_end *end);
void sim_place_leave(struct sim_world *world, struct sim_end *end);

/* application.c */

void sim_wake(struct sim_world *world, struct sim_end *end);
void sim_check(struct sim_world *world, struct sim_end *end, uint64_t position,
	       const uint8_t *bytes, size_t length);

/* schedule.c */

/* sim_run - one schedule; false if it broke an invariant */
bool sim_run(struct sim_world *world, uint64_t seed, bool trace, bool quiet);

#endif
