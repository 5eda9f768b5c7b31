/* SPDX-License-Identifier: MIT */
/*
 * Behaviours of TCP that must be the same when the connection has moved to shared memory
 *
 * A behaviour is a function that does something with connected sockets and prints each result and
 * errno, in an order and with values that plain TCP always gives.  tests/e2e/same.sh runs each on
 * plain TCP and under smcu and compares what they print.  None of it knows of smcu: before a
 * behaviour starts, pair_open() has exchanged bytes for long enough that a connection which is going
 * to move has moved.
 */
#ifndef TESTS_SAME_H
#define TESTS_SAME_H

#include <stdbool.h>
#include <sys/types.h>

#include "common.h"

/**
 * struct behaviour - one of them
 * @name: what must hold; the name of the test
 * @run: does it and prints what happened
 */
struct behaviour {
	const char *name;
	void (*run)(void);
};

/* same_block - more than any buffer takes */
extern char same_block[64 << 20];

/* One list a topic, each ended by a NULL name. */
extern const struct behaviour same_back[], same_cancel[], same_cancel_held[], same_clone[],
	same_close[], same_descriptor[], same_destroyed[], same_epoll[], same_epoll_fork[],
	same_epoll_more[], same_epoll_names[], same_every_option[], same_file[], same_fork[],
	same_holders[], same_io[], same_killed[], same_misc[], same_mixed[], same_nothing[], same_number[], same_option[],
	same_option_late[], same_pass[], same_pass_far[], same_pass_odd[], same_poll[],
	same_sandbox[], same_sandbox_wait[], same_signal[], same_socket[], same_start[],
	same_stdio[], same_threads[], same_vector[];

/* same_go_on - what 'same go-on FD TIMES' does, for a behaviour that executes it; does not return */
void same_go_on(int fd, int times);

/* pair_open - a connection and a warm-up; ends[0] connected, ends[1] was accepted */
void pair_open(int ends[2]);

/* pair_warm - the warm-up alone: bytes to and fro with pauses */
void pair_warm(const int ends[2]);

/* pair_warm_one - one end's part of it, where the other is another process's; who @answers reads first */
void pair_warm_one(int fd, int answers);

/* pair_close - both ends */
void pair_close(const int ends[2]);

/* say - print a line */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* say_call - print "what = result", and errno's name if it is negative */
void say_call(const char *what, ssize_t result);

/* say_poll - print the names of poll's bits; epoll's have the same values */
void say_poll(const char *what, unsigned int events);

/* say_pattern - print whether @buffer has bytes @position... of the stream of @seed */
void say_pattern(const char *what, uint64_t seed, uint64_t position, const void *buffer,
		 size_t length);

/* settle - time enough, on a busy machine too, for what was sent on loopback to have arrived */
void settle(void);

/* let_block - time enough, on a busy machine too, for threads just made to block in what they are to call */
void let_block(void);

/* send_later - a thread that writes @text to @fd after a while; joined by send_later_join() */
void send_later(int fd, const char *text, unsigned int after_ms);
void send_later_join(void);

/* run_later - a thread that calls @what after a while; joined by run_later_join() */
void run_later(void (*what)(void), unsigned int after_ms);
void run_later_join(void);

/* fill - write to @fd until it would block, and once more; returns how many bytes went */
size_t fill(int fd);

/* drain - read until it would block; returns how many bytes came */
size_t drain(int fd);

/* no_access - an address at which nothing can be read or written */
void *no_access(void);

/**
 * struct late_page - a page that is there only when its time has come: who copies to or from it meets it on the way
 * @at, @bytes: where, and how many; page-aligned, in private memory that nobody has touched
 * @faults: late_page_open()'s
 */
struct late_page {
	char *at;
	size_t bytes;
	int faults;
};

/* late_page_open - false where the kernel has no userfaultfd(2) for us; close @faults in the end */
bool late_page_open(struct late_page *page);

/* late_page_wait - until somebody has met it; late_page_end - now it is there, all zeros */
void late_page_wait(const struct late_page *page);
void late_page_end(const struct late_page *page);

/* temporary_file - an unlinked file with bytes 0 to @length - 1 of the stream of @seed */
int temporary_file(uint64_t seed, size_t length);

#endif
