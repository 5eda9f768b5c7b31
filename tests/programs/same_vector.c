/* SPDX-License-Identifier: MIT */
/* readv, writev, sendmsg, recvmsg, sendmmsg, recvmmsg, preadv2, and the fortified variants */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "same.h"

static void writev_and_readv(void)
{
	char one[4], two[1], three[10];
	struct iovec out[4] = {
		{(char[]){"abc"}, 3}, {NULL, 0}, {(char[]){"d"}, 1}, {(char[]){"efgh"}, 4}};
	struct iovec in[3] = {{one, 4}, {two, 1}, {three, 10}};
	int ends[2];

	pair_open(ends);
	say_call("writev", writev(ends[0], out, 4));
	settle();
	say_call("readv", readv(ends[1], in, 3));
	say("%.4s %.1s %.3s", one, two, three);
	pair_close(ends);
}

static void vectors_of_megabytes(void)
{
	enum { PARTS = 64, PART = 20000 };
	char *bytes = malloc(PARTS * PART), *copy = malloc(PARTS * PART);
	struct iovec parts[PARTS];
	size_t done = 0;
	int ends[2], i;
	ssize_t n;

	pair_open(ends);
	pattern_fill(9, 0, bytes, PARTS * PART);
	for (i = 0; i < PARTS; i++)
		parts[i] = (struct iovec){bytes + i * PART, PART};
	n = writev(ends[0], parts, PARTS);
	say_call("writev", n);
	for (i = 0; i < PARTS; i++)
		parts[i] = (struct iovec){copy + i * PART, PART};
	while (done < PARTS * PART) {
		size_t first = done / PART;

		parts[first].iov_base = copy + done;
		parts[first].iov_len = PART - done % PART;
		n = readv(ends[1], parts + first, (int)(PARTS - first));
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	say("read %zu", done);
	say_pattern("bytes", 9, 0, copy, done);
	free(bytes);
	free(copy);
	pair_close(ends);
}

/*
 * Programs with edge-triggered events (nginx) take a call that did less than asked as "empty" or
 * "full" and wait for the next edge, which does not come if there was more.
 */
static void short_calls_mean_empty_or_full(void)
{
	enum { LENGTH = 30000, PART = 20000, CYCLES = 400 };
	static char out[LENGTH], in[PART];
	struct iovec parts[2] = {{in, 7000}, {in + 7000, PART - 7000}};
	int ends[2], cycle, tries, queued, short_writes = 0, more_after_short = 0;
	size_t got;
	ssize_t n;

	pair_open(ends);
	set_nonblocking(ends[0], 1);
	set_nonblocking(ends[1], 1);
	for (cycle = 0; cycle < CYCLES; cycle++) {
		n = write(ends[0], out, (size_t)(LENGTH - cycle));
		short_writes += n != LENGTH - cycle;
		for (tries = 0, queued = 0; tries < 1000 && queued < n; tries++) {
			ioctl(ends[1], FIONREAD, &queued);
			sleep_us(queued < n ? 1000 : 0);
		}
		for (got = 0; got < (size_t)(LENGTH - cycle); got += (size_t)n) {
			n = cycle % 2 ? readv(ends[1], parts, 2) : read(ends[1], in, PART);
			if (n <= 0)
				break;
			more_after_short += n < PART && got + (size_t)n < (size_t)(LENGTH - cycle);
		}
	}
	say("short writes %d, short reads with more behind them %d", short_writes,
	    more_after_short);
	pair_close(ends);
}

static void bad_vectors(void)
{
	static struct iovec many[IOV_MAX + 1];
	volatile int below_zero = -1;
	struct iovec negative = {(char[]){"x"}, (size_t)-1};
	struct iovec nowhere = {no_access(), 5};
	struct iovec half[2] = {{(char[]){"good"}, 4}, nowhere};
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("writev of none", writev(ends[0], many, 0));
	say_call("writev of too many", writev(ends[0], many, IOV_MAX + 1));
	say_call("writev of -1", writev(ends[0], many, below_zero));
	say_call("writev of a negative length", writev(ends[0], &negative, 1));
	say_call("writev of a bad list", writev(ends[0], no_access(), 1));
	say_call("writev of a bad part", writev(ends[0], &nowhere, 1));
	say_call("readv of none", readv(ends[1], many, 0));
	say_call("readv of too many", readv(ends[1], many, IOV_MAX + 1));
	say_call("writev of empty parts", writev(ends[0], many, 3));
	say_call("write", write(ends[0], "end", 3));
	say_call("recv", recv(ends[1], in, 3, MSG_WAITALL));
	say("%.3s", in);
	say_call("writev of a good and a bad part", writev(ends[0], half, 2));
	pair_close(ends);
}

static void sendmsg_and_recvmsg(void)
{
	char one[3], two[20], control[64];
	struct sockaddr_in name;
	struct iovec out[2] = {{(char[]){"hello "}, 6}, {(char[]){"world"}, 5}};
	struct iovec in[2] = {{one, 3}, {two, 20}};
	struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
	int ends[2];

	pair_open(ends);
	say_call("sendmsg", sendmsg(ends[0], &message, 0));
	message = (struct msghdr){&name, sizeof(name), in, 2, control, sizeof(control), MSG_TRUNC};
	settle();
	say_call("recvmsg", recvmsg(ends[1], &message, 0));
	say("name %u control %zu flags %x", message.msg_namelen, message.msg_controllen,
	    (unsigned int)message.msg_flags);
	say("%.3s %.8s", one, two);
	say_call("recvmsg dontwait", recvmsg(ends[1], &message, MSG_DONTWAIT));
	say_call("sendmsg bad", sendmsg(ends[0], no_access(), 0));
	say_call("recvmsg bad", recvmsg(ends[1], no_access(), 0));
	pair_close(ends);
}

static void sendmsg_with_a_name_and_control(void)
{
	struct iovec out = {(char[]){"abc"}, 3};
	char control[CMSG_SPACE(sizeof(int))] = {0}, in[10];
	struct msghdr message = {.msg_iov = &out,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int ends[2], passed = 0;
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	/* descriptors cannot be passed over TCP; the kernel says so or ignores it */
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &passed, sizeof(passed));
	pair_open(ends);
	say_call("sendmsg", sendmsg(ends[0], &message, 0));
	settle();
	say_call("recv", recv(ends[1], in, 10, MSG_DONTWAIT));
	pair_close(ends);
}

static void peek_with_recvmsg(void)
{
	char bytes[10];
	struct iovec in = {bytes, 10};
	struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1};
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "abcdef", 6));
	settle();
	say_call("peek", recvmsg(ends[1], &message, MSG_PEEK));
	in.iov_len = 2;
	say_call("recvmsg", recvmsg(ends[1], &message, 0));
	in.iov_len = 10;
	say_call("recvmsg", recvmsg(ends[1], &message, 0));
	say("%.4s", bytes);
	say_call("recvmsg trunc", recvmsg(ends[1], &message, MSG_TRUNC | MSG_DONTWAIT));
	pair_close(ends);
}

static void sendmmsg_and_recvmmsg(void)
{
	char bytes[3][4];
	struct iovec parts[3] = {{(char[]){"abc"}, 3}, {(char[]){"de"}, 2}, {(char[]){"fghi"}, 4}};
	struct mmsghdr messages[3];
	struct timespec second = {1, 0};
	int ends[2], i, n;

	pair_open(ends);
	memset(messages, 0, sizeof(messages));
	for (i = 0; i < 3; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	say_call("sendmmsg", sendmmsg(ends[0], messages, 3, 0));
	say("%u %u %u", messages[0].msg_len, messages[1].msg_len, messages[2].msg_len);
	settle();
	for (i = 0; i < 3; i++)
		parts[i] = (struct iovec){bytes[i], 4};
	n = recvmmsg(ends[1], messages, 3, MSG_WAITFORONE, &second);
	say_call("recvmmsg", n);
	for (i = 0; i < n; i++)
		say("%.*s", (int)messages[i].msg_len, bytes[i]);
	say_call("recvmmsg dontwait", recvmmsg(ends[1], messages, 3, MSG_DONTWAIT, NULL));
	shutdown(ends[0], SHUT_WR);
	say_call("recvmmsg at the end", recvmmsg(ends[1], messages, 2, 0, NULL));
	say("%u", messages[0].msg_len);
	pair_close(ends);
}

static uint64_t arrived;
static bool arrived_right;
static int arrives_at;

static void read_to_the_end(void)
{
	static char in[10000];
	ssize_t n;

	arrived = 0;
	arrived_right = true;
	while ((n = read(arrives_at, in, sizeof(in))) > 0) {
		arrived_right &= pattern_check(4, arrived, in, (size_t)n) == (size_t)n;
		arrived += (uint64_t)n;
	}
}

/* What is told of a call that sent @count of @messages: false when one before the last was short. */
static bool only_the_last_is_short(const struct mmsghdr *messages, int count, size_t *sent)
{
	*sent = 0;
	for (int i = 0; i < count; i++) {
		*sent += messages[i].msg_len;
		if (i < count - 1 && messages[i].msg_len != messages[i].msg_hdr.msg_iov->iov_len)
			return false;
	}
	return true;
}

/* While somebody reads there is room again behind a message that found too little. */
static void send_many_to_a_reader(void)
{
	enum { MESSAGES = 64, PART = 100000, TOTAL = 16 << 20 };
	struct mmsghdr messages[MESSAGES] = {0};
	struct iovec parts[MESSAGES];
	size_t done = 0, sent;
	bool ended = true;
	int ends[2], n;

	pair_open(ends);
	pattern_fill(4, 0, same_block, TOTAL + MESSAGES * PART);
	set_nonblocking(ends[0], 1);
	arrives_at = ends[1];
	run_later(read_to_the_end, 50);
	while (done < TOTAL && ended) {
		for (int i = 0; i < MESSAGES; i++) {
			parts[i] = (struct iovec){same_block + done + i * PART, PART};
			messages[i].msg_hdr =
				(struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
		}
		n = sendmmsg(ends[0], messages, MESSAGES, 0);
		if (n < 0 && errno != EAGAIN)
			die("sendmmsg");
		ended = only_the_last_is_short(messages, n, &sent);
		done += sent;
	}
	shutdown(ends[0], SHUT_WR);
	run_later_join();
	say("only the last is short: %s", ended ? "yes" : "no");
	say("arrived all: %s, right: %s", arrived == done ? "yes" : "no",
	    arrived_right ? "yes" : "no");
	pair_close(ends);
}

/* Often enough to meet that moment. */
static void sendmmsg_ends_with_a_short_message(void)
{
	for (int i = 0; i < 4; i++)
		send_many_to_a_reader();
}

static void sendmmsg_of_too_many(void)
{
	enum { MANY = IOV_MAX + 6 };
	static struct mmsghdr messages[MANY];
	struct iovec part = {(char[]){"a"}, 1};
	int ends[2];

	pair_open(ends);
	for (int i = 0; i < MANY; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	say_call("sendmmsg", sendmmsg(ends[0], messages, MANY, 0));
	say("the last %u, the next %u", messages[IOV_MAX - 1].msg_len, messages[IOV_MAX].msg_len);
	say_call("arrived", (ssize_t)drain(ends[1]));
	pair_close(ends);
}

static void positions_make_no_sense(void)
{
	struct iovec part = {(char[]){"abc"}, 3};
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("pread", pread(ends[0], in, 3, 0));
	say_call("pwrite", pwrite(ends[0], "abc", 3, 0));
	say_call("preadv", preadv(ends[0], &part, 1, 0));
	say_call("pwritev", pwritev(ends[0], &part, 1, 0));
	say_call("lseek", lseek(ends[0], 0, SEEK_CUR));
	say_call("fsync", fsync(ends[0]));
	say_call("ftruncate", ftruncate(ends[0], 0));
	pair_close(ends);
}

static void preadv2_at_no_position(void)
{
	char in[10];
	struct iovec out = {(char[]){"abc"}, 3}, part = {in, 10};
	int ends[2];

	pair_open(ends);
	say_call("pwritev2", pwritev2(ends[0], &out, 1, -1, 0));
	settle();
	say_call("preadv2", preadv2(ends[1], &part, 1, -1, 0));
	say_call("preadv2 nowait", preadv2(ends[1], &part, 1, -1, RWF_NOWAIT));
	say_call("preadv2 unknown", preadv2(ends[1], &part, 1, -1, 0x4000000));
	pair_close(ends);
}

/* Built with _FORTIFY_SOURCE: a length the compiler does not know makes __read_chk and friends. */
static void fortified_calls(void)
{
	volatile size_t length = 5;
	struct pollfd wanted[2];
	volatile nfds_t count = 2;
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	char in[8];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "abcdefghijklmnopqrst", 20));
	settle();
	say_call("read", read(ends[1], in, length));
	say("%.5s", in);
	say_call("recv", recv(ends[1], in, length, 0));
	say("%.5s", in);
	say_call("recvfrom", recvfrom(ends[1], in, length, 0, (struct sockaddr *)&from, &size));
	say("%.5s", in);
	wanted[0] = (struct pollfd){ends[1], POLLIN | POLLOUT, 0};
	wanted[1] = (struct pollfd){ends[0], POLLIN | POLLOUT, 0};
	say_call("poll", poll(wanted, count, 1000));
	say_poll("reader", (unsigned int)wanted[0].revents);
	say_poll("writer", (unsigned int)wanted[1].revents);
	say_call("ppoll", ppoll(wanted, count, NULL, NULL));
	pair_close(ends);
}

const struct behaviour same_vector[] = {
	{"writev_and_readv", writev_and_readv},
	{"vectors_of_megabytes", vectors_of_megabytes},
	{"short_calls_mean_empty_or_full", short_calls_mean_empty_or_full},
	{"bad_vectors", bad_vectors},
	{"sendmsg_and_recvmsg", sendmsg_and_recvmsg},
	{"sendmsg_with_a_name_and_control", sendmsg_with_a_name_and_control},
	{"peek_with_recvmsg", peek_with_recvmsg},
	{"sendmmsg_and_recvmmsg", sendmmsg_and_recvmmsg},
	{"sendmmsg_ends_with_a_short_message", sendmmsg_ends_with_a_short_message},
	{"sendmmsg_of_too_many", sendmmsg_of_too_many},
	{"positions_make_no_sense", positions_make_no_sense},
	{"preadv2_at_no_position", preadv2_at_no_position},
	{"fortified_calls", fortified_calls},
	{NULL, NULL},
};
