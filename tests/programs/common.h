/* SPDX-License-Identifier: MIT */
/*
 * What the test programs share: numbers from a seed, bytes from a position, sockets
 *
 * These programs know nothing of smcu.  They are ordinary TCP programs, correct on plain TCP, and
 * are then run again under `smcu run`.
 */
#ifndef TESTS_COMMON_H
#define TESTS_COMMON_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* die - print "PROGRAM: text: strerror(errno)" and exit(2): the test itself could not work */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* mix - a 64-bit number from two (splitmix64): same arguments, same number, everywhere */
uint64_t mix(uint64_t seed, uint64_t n);

/**
 * struct dice - a replayable sequence of numbers
 * @state: the seed, then whatever
 */
struct dice {
	uint64_t state;
};

uint64_t dice_roll(struct dice *dice);

/* dice_below - 0 to @limit - 1; @limit > 0 */
uint64_t dice_below(struct dice *dice, uint64_t limit);

/* dice_size - 1 to @limit, every order of magnitude as likely as the others */
size_t dice_size(struct dice *dice, size_t limit);

/*
 * Each byte of a stream is a function of (seed, position), so that a byte lost, doubled, swapped or
 * from another stream is seen where it happens.
 */
void pattern_fill(uint64_t seed, uint64_t position, void *buffer, size_t length);

/* pattern_check - index of the first wrong byte in @buffer, or @length */
size_t pattern_check(uint64_t seed, uint64_t position, const void *buffer, size_t length);

/**
 * pattern_explain - say what happened at the first wrong byte
 * @buffer: bytes received, the first of them wrong, at @position of the stream
 * @text, @size: filled with "lost 37 bytes", "repeats 12 bytes", "zeroes" or "foreign bytes"
 */
void pattern_explain(uint64_t seed, uint64_t position, const void *buffer, size_t length,
		     char *text, size_t size);

/* listen_local - a listener on 127.0.0.1; @port 0 takes any and tells which */
int listen_local(uint16_t *port);

/* connect_local - a connection to 127.0.0.1:@port, from 127.0.0.1 or (source not 0) @source */
int connect_local(uint16_t port, uint32_t source);

/* connect_pair - two ends of a new connection; @ends[0] connected, @ends[1] was accepted */
void connect_pair(int ends[2]);

/* write_all, read_all - the whole length or die (read_all returns less only at the end of file) */
void write_all(int fd, const void *buffer, size_t length);
size_t read_all(int fd, void *buffer, size_t length);

/* set_nonblocking - O_NONBLOCK on or off */
void set_nonblocking(int fd, int on);

/* sleep_us - really that long, signals or not */
void sleep_us(unsigned int us);

/* raw_call - a system call by the processor's instruction, which no library sees; -errno */
long raw_call(long number, const long arguments[6]);

/* now_ms - a clock that only goes forward */
uint64_t now_ms(void);

/* raise_descriptor_limit - soft to hard */
void raise_descriptor_limit(void);

/* option_number - value of "--name=value" in argv, or @otherwise */
uint64_t option_number(int argc, char **argv, const char *name, uint64_t otherwise);

/* option_text - the same, as it stands there */
const char *option_text(int argc, char **argv, const char *name, const char *otherwise);

/**
 * address_of - a numeric IPv4 or IPv6 address as a socket's; ends the program where @text is none
 *
 * Return: the length of @address.
 */
socklen_t address_of(const char *text, uint16_t port, struct sockaddr_storage *address);

/* option_given - is "--name" there? */
int option_given(int argc, char **argv, const char *name);

#endif
