/* SPDX-License-Identifier: MIT */
/*
 * A program that sandboxes itself after its connection has moved, and its peer: what the behaviours in
 * same_sandbox*.c share
 */
#ifndef TESTS_SANDBOX_H
#define TESTS_SANDBOX_H

#include <sys/types.h>

/* The connection: [0] the program's end, [1] the peer's; and the process. */
extern int box_ends[2];
extern pid_t box_program;

/* Ways in.  allow_only - any system call but these @count ends the process */
void allow_only(const unsigned int *allowed, unsigned int count);
void lock_in_strictly(void);
void lock_in_by_number(void);
void lock_in_with_one_descriptor(void);
void lock_in_with_none(void);

/**
 * box_start - a child with box_ends[0] locks itself in and goes on; the caller keeps box_ends[1]
 * @lock_in: how
 * @go_on: what it does then; it exits with what that returns
 * @delay_ms: before it locks itself in
 */
void box_start(void (*lock_in)(void), int (*go_on)(int fd), unsigned int delay_ms);

/* box_finish - close the peer's end, and say how the program ended */
void box_finish(void);

/* ask_and_answer - 50 words there and back, 0 if they came back; box_echo - the peer's part */
int ask_and_answer(int fd);
void box_echo(void);

#endif
