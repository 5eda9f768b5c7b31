/* SPDX-License-Identifier: MIT */
/*
 * A watch: one registration of a TCP socket in one of the program's epolls (see epoll.h)
 */
#ifndef SMCU_SHIM_WATCH_H
#define SMCU_SHIM_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct connection;
struct poller;
struct side_record;

/* What stands in the low bits of a watch's address in the inner epoll. */
enum watch_source {
	SOURCE_TCP = 0,
	SOURCE_DATA = 1,
	SOURCE_SPACE = 2,
	SOURCE_STAND_IN = 3,
	SOURCE_MASK = 3
};

/**
 * struct watch - one registration of a TCP socket
 * @connection, @fd, @poller: what is watched, as what, by whom
 * @side: the connection's record, by which a child knows it; set when it has rings
 * @events, @data: the program's
 * @native: registered in the program's epoll by the kernel; in a sandbox all are, but fired one-shots
 * @disabled: a one-shot that has fired
 * @parked: the program removed it; it stays in the inner epoll, since some programs add a socket
 *	again at each request
 * @handed: natively by another process (epoll_share.h): the inner epoll still has it
 * @orphan: @fd was closed, another descriptor of the connection was not: it goes on under that number
 * @leads: the bells are registered for it
 * @sibling: of one that leads: the next of the same connection in the same poller
 * @hot: stands in the hot list
 * @fresh: ADD or MOD since the last report: whatever is ready is an edge
 * @takeover: its number among the poller's takeovers; 0 if the kernel never had it
 * @idle: times found idle since it was last ready
 * @told: the turn in which it was last reported
 * @seen_back: it was reported since a remote connection (remote.h) went back to TCP, which may have more
 * @seen_produced, @seen_full, @seen_ends: state at the last edge reported
 * @previous, @next: hot list
 * @next_of_connection, @next_of_poller: where else it is linked; the second also links free ones
 */
struct watch {
	struct connection *connection;
	struct side_record *side;
	int fd;
	struct poller *poller;
	uint32_t events;
	epoll_data_t data;
	bool native;
	bool handed;
	bool disabled;
	bool parked;
	bool orphan;
	bool leads;
	struct watch *sibling;
	bool hot;
	bool fresh;
	bool seen_back;
	uint8_t idle;
	uint32_t told;
	uint32_t takeover;
	uint64_t seen_produced;
	uint32_t seen_full;
	short seen_ends;
	struct watch *previous;
	struct watch *next;
	struct watch *next_of_connection;
	struct watch *next_of_poller;
};

/* watch_after_fork - in the child: those there are are its parent's, and stay (epoll_share.h) */
void watch_after_fork(void);

/* With the epoll lock (links) held: */

/* watch_find - the registration of @fd of that connection there, or NULL */
struct watch *watch_find(struct connection *connection, const struct poller *poller, int fd);

/* watch_reserve - have some: there may be no more memory to ask for */
void watch_reserve(void);

/* watch_link - a new one, in the kernel so far; NULL when memory is short */
struct watch *watch_link(struct poller *poller, struct connection *connection, int fd,
			 const struct epoll_event *event);

/* watch_end - unlink it, with its registrations in the inner epoll; watch_free - nobody has it any more */
void watch_end(struct watch *watch);
void watch_free(struct watch *watch);

/* watch_set - the program changed, or renewed, what it wants; watch_park - it wants no more */
void watch_set(struct watch *watch, const struct epoll_event *event);
void watch_park(struct watch *watch);

/* watch_kick - a thread asleep in the kernel is to look at a changed interest */
void watch_kick(struct watch *watch);

/* With the poller's lock held too: */

/**
 * watch_enter - let the inner epoll watch the connection; the watch is hot from now on
 *
 * Return: 0 or -errno.
 */
int watch_enter(struct watch *watch);

/* watch_return - out of the inner epoll, and back into the program's unless its one shot has fired */
void watch_return(struct watch *watch);

/* watch_leave - out of the inner epoll, if it is there */
void watch_leave(struct watch *watch);

/* watch_give - to the program's @epoll; one that has fired is given as one that waits for nothing */
void watch_give(struct watch *watch, int epoll, int fd);

/* watch_stop_one_shot - keep the kernel from reporting it, and see whether it has */
void watch_stop_one_shot(struct watch *watch);

/* With the poller's lock alone: into the hot list, and out of it. */
void watch_heat(struct watch *watch);
void watch_cool(struct watch *watch);

#endif
