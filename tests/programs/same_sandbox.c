/* SPDX-License-Identifier: MIT */
/*
 * Programs that sandbox themselves after their connection has moved: any system call that TCP would not
 * have needed ends them.
 */
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "same.h"
#include "sandbox.h"

#define TO_PROGRAM 1U /* seeds of the two streams */
#define TO_PEER 2U
#define MUCH 8000000U

static void strict_mode_goes_on(void)
{
	pair_open(box_ends);
	box_start(lock_in_strictly, ask_and_answer, 50);
	box_echo(); /* asleep when the program locks itself in */
	box_finish();
}

static void a_filter_by_number_goes_on(void)
{
	pair_open(box_ends);
	box_start(lock_in_by_number, ask_and_answer, 0);
	box_echo();
	box_finish();
}

/* The connection is the program's alone: no other process holds its end. */
static void strict_mode_alone(void)
{
	uint16_t port = 0;
	int listener = listen_local(&port), i;
	char byte;

	say("start");
	box_program = fork();
	if (box_program == 0) {
		box_ends[0] = connect_local(port, 0);
		for (i = 0; i < 20; i++) {
			write_all(box_ends[0], "w", 1);
			read_all(box_ends[0], &byte, 1);
			sleep_us(500);
		}
		lock_in_strictly();
		syscall(SYS_exit, ask_and_answer(box_ends[0]));
	}
	box_ends[1] = accept(listener, NULL, NULL);
	for (i = 0; i < 20 && read_all(box_ends[1], &byte, 1) == 1; i++)
		write_all(box_ends[1], &byte, 1);
	box_echo();
	box_finish();
	close(listener);
}

/* Rounds that answer a byte each, a pause, and much to read when it has locked itself in. */
static int read_much_in_strict_mode(uint16_t port, int rounds)
{
	static char in[100000];
	const int fd = connect_local(port, 0);
	char byte;

	for (; rounds && read_all(fd, &byte, 1) == 1; rounds--)
		write_all(fd, &byte, 1);
	sleep_us(40000);
	lock_in_strictly();
	return read_all(fd, in, sizeof(in)) != sizeof(in) ||
	       pattern_check(TO_PROGRAM, 0, in, sizeof(in)) != sizeof(in);
}

/* Of what moves the connection nothing has been read when the filter starts: in one of these at the latest. */
static void strict_mode_with_the_move_unread(void)
{
	static char out[100000];
	uint16_t port = 0;
	int listener = listen_local(&port);
	char byte;

	pattern_fill(TO_PROGRAM, 0, out, sizeof(out));
	for (int rounds = 0; rounds < 8; rounds++) {
		box_program = fork();
		if (box_program == 0)
			syscall(SYS_exit, read_much_in_strict_mode(port, rounds));
		box_ends[1] = accept(listener, NULL, NULL);
		box_ends[0] = -1;
		for (int i = 0; i < rounds; i++) {
			write_all(box_ends[1], "w", 1);
			read_all(box_ends[1], &byte, 1);
			sleep_us(2000);
		}
		write_all(box_ends[1], out, sizeof(out));
		box_finish();
	}
	close(listener);
}

/* Bytes @from... of a stream, until it would block; how far it came. */
static uint64_t fill_with(int fd, uint64_t seed)
{
	static char block[16384];
	uint64_t at = 0;
	ssize_t n;

	do {
		pattern_fill(seed, at, block, sizeof(block));
		n = send(fd, block, sizeof(block), MSG_DONTWAIT);
		at += n > 0 ? (uint64_t)n : 0;
	} while (n > 0);
	return at;
}

static void write_from(int fd, uint64_t seed, uint64_t at, uint64_t end)
{
	static char block[100000];

	while (at < end) {
		size_t n = end - at < sizeof(block) ? (size_t)(end - at) : sizeof(block);

		pattern_fill(seed, at, block, n);
		write_all(fd, block, n);
		at += n;
	}
}

/* 0 when bytes 0 to @end - 1 came, and came right. */
static int read_until(int fd, uint64_t seed, uint64_t end)
{
	static char block[70000];
	uint64_t at = 0;

	while (at < end) {
		size_t most = end - at < sizeof(block) ? (size_t)(end - at) : sizeof(block);
		ssize_t n = read(fd, block, most);

		if (n <= 0)
			return 1;
		if (pattern_check(seed, at, block, (size_t)n) != (size_t)n)
			return 2;
		at += (uint64_t)n;
	}
	return 0;
}

static uint64_t filled[2];

static int read_and_write_much(int fd)
{
	int error = read_until(fd, TO_PROGRAM, filled[1] + MUCH);

	write_from(fd, TO_PEER, filled[0], filled[0] + MUCH);
	return error;
}

/* Both rings are full when the program locks itself in, and the peer is asleep in a write. */
static void full_both_ways(void (*lock_in)(void))
{
	pair_open(box_ends);
	filled[0] = fill_with(box_ends[0], TO_PEER);
	filled[1] = fill_with(box_ends[1], TO_PROGRAM);
	box_start(lock_in, read_and_write_much, 100);
	write_from(box_ends[1], TO_PROGRAM, filled[1], filled[1] + MUCH);
	say("read %d", read_until(box_ends[1], TO_PEER, filled[0] + MUCH));
	box_finish();
}

static void strict_mode_with_full_buffers(void)
{
	full_both_ways(lock_in_strictly);
}

static void one_descriptor_with_full_buffers(void)
{
	full_both_ways(lock_in_with_one_descriptor);
}

static void *write_stream(void *unused)
{
	write_from(box_ends[1], TO_PROGRAM, 0, MUCH / 4);
	return unused;
}

/* Both ways in pieces; the filter starts after some of them, while the peer writes and reads. */
static int exchange_streams(unsigned int before)
{
	static char block[20000];
	uint64_t at = 0;
	unsigned int pieces = 0;
	size_t n;

	while (at < MUCH / 4) {
		if (pieces++ == before)
			lock_in_strictly();
		n = MUCH / 4 - at < sizeof(block) ? (size_t)(MUCH / 4 - at) : sizeof(block);
		if (read_all(box_ends[0], block, n) != n ||
		    pattern_check(TO_PROGRAM, at, block, n) != n)
			return 1;
		pattern_fill(TO_PEER, at, block, n);
		write_all(box_ends[0], block, n);
		at += n;
	}
	return 0;
}

static void strict_mode_in_the_middle_of_streams(void)
{
	pthread_t writer;
	unsigned int round;

	for (round = 0; round < 20; round++) {
		pair_open(box_ends);
		say("start");
		box_program = fork();
		if (box_program == 0) {
			close(box_ends[1]);
			syscall(SYS_exit, exchange_streams(round * 3));
		}
		close(box_ends[0]);
		pthread_create(&writer, NULL, write_stream, NULL);
		say("read %d", read_until(box_ends[1], TO_PEER, MUCH / 4));
		pthread_join(writer, NULL);
		box_finish();
	}
}

static int read_to_the_end(int fd)
{
	char in[10];

	say_call("read", read(fd, in, 10));
	say_call("read", read(fd, in, 10));
	say_call("read", read(fd, in, 10));
	return 0;
}

static void a_peer_closes_on_strict_mode(void)
{
	pair_open(box_ends);
	write_all(box_ends[1], "abc", 3);
	box_start(lock_in_strictly, read_to_the_end, 50);
	close(box_ends[1]);
	box_finish();
}

static void a_peer_closes_later_on_strict_mode(void)
{
	pair_open(box_ends);
	box_start(lock_in_strictly, read_to_the_end, 0);
	sleep_us(100000);
	write_all(box_ends[1], "abc", 3);
	settle();
	box_finish();
}

static void a_peer_resets_strict_mode(void)
{
	struct linger reset = {1, 0};

	pair_open(box_ends);
	box_start(lock_in_strictly, read_to_the_end, 0);
	sleep_us(100000);
	setsockopt(box_ends[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	box_finish();
}

static int write_twice(int fd)
{
	char in[10];

	say_call("read", read(fd, in, 10));
	say_call("write", write(fd, "abc", 3));
	while (read(fd, in, 10) > 0)
		;
	say_call("write", write(fd, "abc", 3));
	return 0;
}

static void a_write_to_nobody_in_strict_mode(void)
{
	pair_open(box_ends);
	box_start(lock_in_strictly, write_twice, 0);
	sleep_us(50000);
	box_finish();
}

/* A socket that the program has made before, and what it sends on it. */
static struct sockaddr_in fast_peer;
static int fast_socket;

static void lock_in_to_send(void)
{
	static const unsigned int allowed[] = {SYS_sendto, SYS_sendmsg, SYS_exit, SYS_exit_group};

	allow_only(allowed, sizeof(allowed) / sizeof(allowed[0]));
}

static int send_fast(int fd)
{
	(void)fd;
	return sendto(fast_socket, "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&fast_peer,
		      sizeof(fast_peer)) != 5;
}

static void a_sandboxed_program_opens_fast(void)
{
	int queue = 5, accepted;
	uint16_t port = 0;
	int listener = listen_local(&port);
	char in[10];

	setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
	fast_peer = (struct sockaddr_in){.sin_family = AF_INET,
					 .sin_port = htons(port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	fast_socket = socket(AF_INET, SOCK_STREAM, 0);
	pair_open(box_ends);
	box_start(lock_in_to_send, send_fast, 0);
	accepted = accept(listener, NULL, NULL);
	close(fast_socket);
	say_call("read", (ssize_t)read_all(accepted, in, 5));
	box_finish();
	close(accepted);
	close(listener);
}

const struct behaviour same_sandbox[] = {
	{"a_sandboxed_program_opens_fast", a_sandboxed_program_opens_fast},
	{"strict_mode_goes_on", strict_mode_goes_on},
	{"strict_mode_alone", strict_mode_alone},
	{"strict_mode_with_the_move_unread", strict_mode_with_the_move_unread},
	{"a_filter_by_number_goes_on", a_filter_by_number_goes_on},
	{"strict_mode_with_full_buffers", strict_mode_with_full_buffers},
	{"one_descriptor_with_full_buffers", one_descriptor_with_full_buffers},
	{"strict_mode_in_the_middle_of_streams", strict_mode_in_the_middle_of_streams},
	{"a_peer_closes_on_strict_mode", a_peer_closes_on_strict_mode},
	{"a_peer_closes_later_on_strict_mode", a_peer_closes_later_on_strict_mode},
	{"a_peer_resets_strict_mode", a_peer_resets_strict_mode},
	{"a_write_to_nobody_in_strict_mode", a_write_to_nobody_in_strict_mode},
	{NULL, NULL},
};
