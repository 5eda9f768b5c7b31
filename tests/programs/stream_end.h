/* SPDX-License-Identifier: MIT */
/*
 * One end of a checked stream: writes its bytes, reads and checks the other end's, in one of many
 * styles.  Both ends derive the plan of stream k from (seed, k), so they need not talk about it.
 */
#ifndef TESTS_STREAM_END_H
#define TESTS_STREAM_END_H

#include <stdatomic.h>
#include <stdint.h>

#include "common.h"

enum stream_style {
	STYLE_BLOCKING, /* a thread that reads, asleep in the kernel, and one that writes */
	STYLE_POLL, /* non-blocking, one thread */
	STYLE_SELECT,
	STYLE_EPOLL_LEVEL,
	STYLE_EPOLL_EDGE,
	STYLE_DONTWAIT, /* blocking descriptor, MSG_DONTWAIT */
	STYLE_COUNT
};

enum stream_kill {
	KILL_NONE,
	KILL_SELF, /* the client end gets SIGKILL from itself right after its last write */
	KILL_OTHER, /* the client end is killed from outside, at any moment; it only writes */
};

/**
 * struct stream_plan - what both ends know of a stream
 * @index: its number
 * @kill: what happens to the client end
 * @kill_after_us: KILL_OTHER: from the connection to the kill
 * Indexed by the writing end (0 client, 1 server):
 * @seed, @length: the bytes
 * @shut: does the writer say shutdown(SHUT_WR) at the end?
 * Indexed by the end itself:
 * @style, @write_max, @read_max, @pause_us: how it goes about it
 */
struct stream_plan {
	uint64_t index;
	enum stream_kill kill;
	unsigned int kill_after_us;
	uint64_t seed[2];
	uint64_t length[2];
	int shut[2];
	enum stream_style style[2];
	size_t write_max[2];
	size_t read_max[2];
	unsigned int pause_us[2];
};

/**
 * stream_plan_make - the plan of stream @index
 * @max: longest direction in bytes
 * @kill_percent: how many of 100 client ends are killed
 */
void stream_plan_make(struct stream_plan *plan, uint64_t seed, uint64_t index, uint64_t max,
		      unsigned int kill_percent);

/**
 * struct stream_end - one end at work
 * @plan: see above
 * @side: 0 client, 1 server
 * @fd: the socket
 * @sent, @received: bytes so far
 * @accepted: if not NULL: told how many bytes write() accepted, as soon as it is known
 * @write_pauses, @read_pauses: how many more it takes
 * @tail: KILL_SELF: bytes of the last write, held back until all is read
 * @finished: the reader saw the end of file
 * @error: what went wrong, empty if nothing
 */
struct stream_end {
	const struct stream_plan *plan;
	int side;
	int fd;
	_Atomic uint64_t sent;
	_Atomic uint64_t received;
	_Atomic uint64_t *accepted;
	_Atomic int finished;
	struct dice write_dice;
	struct dice read_dice;
	unsigned int write_pauses;
	unsigned int read_pauses;
	uint64_t tail;
	char error[256];
};

/* stream_end_run - all of it, then close; 0 if every byte was right, -1 with @error set if not */
int stream_end_run(struct stream_end *end, const struct stream_plan *plan, int side, int fd,
		   _Atomic uint64_t *accepted);

/* stream_end_describe - one line on where it stands, for a test that hangs */
void stream_end_describe(const struct stream_end *end, char *text, size_t size);

#endif
