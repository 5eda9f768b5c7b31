/* SPDX-License-Identifier: MIT */
/* read, write, send, recv and their flags */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "same.h"

static char buffer[1 << 20];

static void write_then_read(void)
{
	static const size_t sizes[] = {1, 7, 64, 1000, 4096, 16384, 65536};
	char in[65536];
	int ends[2];
	size_t i;

	pair_open(ends);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		pattern_fill(i, 0, buffer, sizes[i]);
		say_call("write", write(ends[i % 2], buffer, sizes[i]));
		say_call("read", (ssize_t)read_all(ends[1 - i % 2], in, sizes[i]));
		say_pattern("bytes", i, 0, in, sizes[i]);
	}
	pair_close(ends);
}

static void a_short_read_leaves_the_rest(void)
{
	char in[100];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "0123456789", 10));
	say_call("read 4", read(ends[1], in, 4));
	say("%.4s", in);
	say_call("read 100", read(ends[1], in, 100));
	say("%.6s", in);
	pair_close(ends);
}

static void writes_run_together(void)
{
	char in[100];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	say_call("write", write(ends[0], "defg", 4));
	say_call("write", write(ends[0], "h", 1));
	settle();
	say_call("read", read(ends[1], in, sizeof(in)));
	say("%.8s", in);
	pair_close(ends);
}

static void peek_does_not_take(void)
{
	char in[100];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "0123456789", 10));
	settle();
	say_call("peek 3", recv(ends[1], in, 3, MSG_PEEK));
	say_call("peek 100", recv(ends[1], in, 100, MSG_PEEK));
	say("%.10s", in);
	say_call("recv 5", recv(ends[1], in, 5, 0));
	say_call("peek 100", recv(ends[1], in, 100, MSG_PEEK));
	say("%.5s", in);
	say_call("recv 100", recv(ends[1], in, 100, 0));
	say_call("peek empty", recv(ends[1], in, 100, MSG_PEEK | MSG_DONTWAIT));
	pair_close(ends);
}

static void peek_waits_for_data(void)
{
	char in[100];
	int ends[2];

	pair_open(ends);
	send_later(ends[0], "later", 50);
	say_call("peek", recv(ends[1], in, 100, MSG_PEEK));
	say_call("recv", recv(ends[1], in, 100, 0));
	send_later_join();
	pair_close(ends);
}

static void *write_in_pieces(void *argument)
{
	int fd = *(int *)argument, i;

	for (i = 0; i < 10; i++) {
		write_all(fd, buffer + i * 100, 100);
		sleep_us(2000);
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void waitall_waits_for_all(void)
{
	pthread_t thread;
	char in[1000];
	int ends[2];

	pair_open(ends);
	pattern_fill(5, 0, buffer, 1000);
	pthread_create(&thread, NULL, write_in_pieces, &ends[0]);
	say_call("recv all of 650", recv(ends[1], in, 650, MSG_WAITALL));
	say_pattern("bytes", 5, 0, in, 650);
	say_call("recv all of 1000, 350 come", recv(ends[1], in, 1000, MSG_WAITALL));
	say_pattern("bytes", 5, 650, in, 350);
	say_call("recv all of 10 at the end", recv(ends[1], in, 10, MSG_WAITALL));
	pthread_join(thread, NULL);
	pair_close(ends);
}

static void waitall_peek_waits_too(void)
{
	pthread_t thread;
	char in[1000];
	int ends[2];

	pair_open(ends);
	pattern_fill(5, 0, buffer, 1000);
	pthread_create(&thread, NULL, write_in_pieces, &ends[0]);
	say_call("peek all of 300", recv(ends[1], in, 300, MSG_WAITALL | MSG_PEEK));
	say_call("recv all of 300", recv(ends[1], in, 300, MSG_WAITALL));
	say_pattern("bytes", 5, 0, in, 300);
	pthread_join(thread, NULL);
	pair_close(ends);
}

static void waitall_dontwait_takes_what_is_there(void)
{
	char in[100];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "12345", 5));
	settle();
	say_call("recv", recv(ends[1], in, 100, MSG_WAITALL | MSG_DONTWAIT));
	say_call("recv", recv(ends[1], in, 100, MSG_WAITALL | MSG_DONTWAIT));
	pair_close(ends);
}

/* Like pair_open(), but nothing has gone to and fro. */
static void pair_without_warm_up(int ends[2])
{
	uint16_t port = 0;
	int listener = listen_local(&port);

	ends[0] = connect_local(port, 0);
	ends[1] = accept(listener, NULL, NULL);
	close(listener);
}

/* One whose owner would be told of data by signals. */
static void pair_with_an_owner(int ends[2])
{
	pair_without_warm_up(ends);
	fcntl(ends[1], F_SETOWN, getpid());
}

static void *reset_later(void *fd)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	settle();
	setsockopt(*(int *)fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(*(int *)fd);
	return NULL;
}

static void wait_for_all_until_a_reset(void (*open_ends)(int *), int is_late)
{
	pthread_t thread;
	char in[100];
	int ends[2];

	open_ends(ends);
	say_call("write", write(ends[0], buffer, 50));
	pthread_create(&thread, NULL, reset_later, &ends[0]);
	if (is_late)
		pthread_join(thread, NULL);
	say_call("recv all", recv(ends[1], in, 100, MSG_WAITALL));
	say_call("recv", recv(ends[1], in, 100, 0));
	say_call("recv", recv(ends[1], in, 100, 0));
	if (!is_late)
		pthread_join(thread, NULL);
	close(ends[1]);
}

static void waitall_leaves_a_reset_to_the_next(void)
{
	wait_for_all_until_a_reset(pair_open, 0);
	wait_for_all_until_a_reset(pair_open, 1);
	wait_for_all_until_a_reset(pair_without_warm_up, 0);
	wait_for_all_until_a_reset(pair_without_warm_up, 1);
}

static void a_short_send_leaves_a_reset_to_the_next(void)
{
	static char much[16000000];
	pthread_t thread;
	int ends[2];

	pair_open(ends);
	pthread_create(&thread, NULL, reset_later, &ends[1]);
	say("sent %d", send(ends[0], much, sizeof(much), MSG_NOSIGNAL) > 0);
	pthread_join(thread, NULL);
	say_call("send", send(ends[0], much, 1, MSG_NOSIGNAL));
	say_call("send", send(ends[0], much, 1, MSG_NOSIGNAL));
	close(ends[0]);
}

static void *write_slowly(void *fd)
{
	for (int i = 0; i < 20; i++) {
		write_all(*(int *)fd, "x", 1);
		sleep_us(60000);
	}
	return NULL;
}

static void wait_for_all_with_a_limit(void (*open_ends)(int *))
{
	struct timeval limit = {0, 400000};
	pthread_t thread;
	char in[20];
	int ends[2];
	ssize_t n;

	open_ends(ends);
	setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	pthread_create(&thread, NULL, write_slowly, &ends[0]);
	n = recv(ends[1], in, 20, MSG_WAITALL);
	say("some %d, all %d", n > 0, n == 20);
	pthread_join(thread, NULL);
	say("the rest %d", recv(ends[1], in, 20, 0) == 20 - n);
	pair_close(ends);
}

static void waitall_has_one_time_out(void)
{
	wait_for_all_with_a_limit(pair_open);
	wait_for_all_with_a_limit(pair_without_warm_up);
	wait_for_all_with_a_limit(pair_with_an_owner);
}

static void empty_and_nonblocking_is_eagain(void)
{
	char in[10];
	int ends[2], one = 1, zero = 0;

	pair_open(ends);
	say_call("recv dontwait", recv(ends[1], in, 10, MSG_DONTWAIT));
	set_nonblocking(ends[1], 1);
	say_call("read nonblocking", read(ends[1], in, 10));
	say_call("recv nonblocking", recv(ends[1], in, 10, 0));
	set_nonblocking(ends[1], 0);
	say_call("FIONBIO on", ioctl(ends[1], FIONBIO, &one));
	say_call("read nonblocking", read(ends[1], in, 10));
	say_call("FIONBIO off", ioctl(ends[1], FIONBIO, &zero));
	send_later(ends[0], "x", 30);
	say_call("read blocking", read(ends[1], in, 10));
	send_later_join();
	pair_close(ends);
}

static void full_and_nonblocking_is_eagain(void)
{
	size_t in, out;
	int ends[2];

	pair_open(ends);
	in = fill(ends[0]);
	say("more than 128 KiB fit: %s", in > 131072 ? "yes" : "no");
	say_call("send", send(ends[0], "x", 1, MSG_DONTWAIT));
	set_nonblocking(ends[0], 1);
	say_call("write", write(ends[0], "x", 1));
	out = drain(ends[1]);
	say("all came out: %s", in == out ? "yes" : "no");
	say_call("write", write(ends[0], "x", 1));
	pair_close(ends);
}

static void trunc_throws_bytes_away(void)
{
	char in[20] = "untouched";
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "0123456789", 10));
	settle();
	say_call("recv trunc 4", recv(ends[1], in, 4, MSG_TRUNC));
	say("%s", in);
	say_call("recv trunc nowhere 2", recv(ends[1], NULL, 2, MSG_TRUNC));
	say_call("recv 10", recv(ends[1], in, 10, 0));
	say("%.4s", in);
	say_call("write", write(ends[0], "abcdef", 6));
	settle();
	say_call("peek trunc", recv(ends[1], in, 3, MSG_PEEK | MSG_TRUNC));
	say_call("recv 10", recv(ends[1], in, 10, 0));
	pair_close(ends);
}

static void nothing_is_nothing(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("write 0", write(ends[0], buffer, 0));
	say_call("send 0", send(ends[0], buffer, 0, 0));
	say_call("read 0", read(ends[1], in, 0));
	say_call("recv 0 dontwait", recv(ends[1], in, 0, MSG_DONTWAIT));
	say_call("write", write(ends[0], "abc", 3));
	settle();
	say_call("read 0", read(ends[1], in, 0));
	say_call("read", read(ends[1], in, 10));
	pair_close(ends);
}

static void bad_addresses_are_efault(void)
{
	void *nowhere = no_access();
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], nowhere, 10));
	say_call("send", send(ends[0], nowhere, 10, 0));
	say_call("write", write(ends[0], "0123456789", 10));
	settle();
	say_call("read", read(ends[1], nowhere, 10));
	say_call("recv", recv(ends[1], nowhere, 10, 0));
	say_call("peek", recv(ends[1], nowhere, 10, MSG_PEEK));
	say_call("read after that", read(ends[1], in, 10));
	say("%.10s", in);
	pair_close(ends);
}

static void a_buffer_that_ends_early_is_efault(void)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char in[64];
	int ends[2];

	if (pages == MAP_FAILED || mprotect(pages + 4096, 4096, PROT_NONE) < 0)
		die("mmap");
	pair_open(ends);
	memcpy(pages + 4092, "last", 4);
	say_call("write", write(ends[0], pages + 4092, 100));
	say_call("write", write(ends[0], "good", 4));
	say_call("read", read(ends[1], in, sizeof(in)));
	say("%.4s", in);
	munmap(pages, 8192);
	pair_close(ends);
}

static void sendto_and_recvfrom(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET}, from;
	socklen_t length = sizeof(from);
	char in[10];
	int ends[2];

	pair_open(ends);
	memset(&from, 0x55, sizeof(from));
	say_call("sendto nobody", sendto(ends[0], "abc", 3, 0, NULL, 0));
	say_call("recvfrom", recvfrom(ends[1], in, 10, 0, (struct sockaddr *)&from, &length));
	say("address length %u, family %x", length, from.sin_family);
	length = (socklen_t)-1;
	say_call("write", write(ends[0], "abc", 3));
	say_call("recvfrom -1", recvfrom(ends[1], in, 10, 0, (struct sockaddr *)&from, &length));
	say_call("write", write(ends[0], "hij", 3));
	say_call("recvfrom nowhere", recvfrom(ends[1], in, 10, 0, (struct sockaddr *)&from, no_access()));
	address.sin_port = 1;
	say_call("sendto another",
		 sendto(ends[0], "defg", 4, 0, (struct sockaddr *)&address, sizeof(address)));
	settle();
	say_call("recvfrom", recvfrom(ends[1], in, 10, MSG_DONTWAIT, NULL, NULL));
	pair_close(ends);
}

static void recvfrom_of_all_names_nobody(void)
{
	struct sockaddr_in from;
	struct sockaddr *name = (struct sockaddr *)&from;
	socklen_t length = sizeof(from);
	char in[10];
	int ends[2];

	pair_open(ends);
	memset(&from, 0x55, sizeof(from));
	say_call("write", write(ends[0], "abcdefghi", 9));
	say_call("recvfrom", recvfrom(ends[1], in, 3, MSG_WAITALL, name, &length));
	say("address length %u, family %x", length, from.sin_family);
	length = (socklen_t)-1;
	say_call("recvfrom -1", recvfrom(ends[1], in, 3, MSG_WAITALL, name, &length));
	say_call("recvfrom nowhere", recvfrom(ends[1], in, 3, MSG_WAITALL, name, no_access()));
	say_call("what is left", recv(ends[1], in, 10, MSG_DONTWAIT));
	pair_close(ends);
}

static void odd_flags(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("error queue", recv(ends[1], in, 10, MSG_ERRQUEUE));
	say_call("send more", send(ends[0], "abc", 3, MSG_MORE));
	say_call("send", send(ends[0], "def", 3, 0));
	say_call("recv all", recv(ends[1], in, 6, MSG_WAITALL));
	say("%.6s", in);
	say_call("send confirm", send(ends[0], "g", 1, MSG_CONFIRM | MSG_EOR));
	say_call("recv", recv(ends[1], in, 6, 0));
	say_call("unknown flag", send(ends[0], "h", 1, 0x01000000));
	say_call("recv", recv(ends[1], in, 6, 0));
	pair_close(ends);
}

static void urgent_data(void)
{
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("nothing urgent", recv(ends[1], in, 1, MSG_OOB));
	say_call("send", send(ends[0], "ab", 2, 0));
	say_call("send urgent", send(ends[0], "!", 1, MSG_OOB));
	say_call("send", send(ends[0], "cd", 2, 0));
	settle();
	say_call("urgent", recv(ends[1], in, 1, MSG_OOB));
	say("%c, at mark %d", in[0], sockatmark(ends[1]));
	say_call("read", read(ends[1], in, 10));
	say("at mark %d", sockatmark(ends[1]));
	say_call("read", read(ends[1], in, 10));
	say("%.2s, at mark %d", in, sockatmark(ends[1]));
	pair_close(ends);
}

static void urgent_data_in_line(void)
{
	int ends[2], one = 1;
	char in[10];

	pair_open(ends);
	say_call("inline", setsockopt(ends[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
	say_call("send", send(ends[0], "ab", 2, 0));
	say_call("send urgent", send(ends[0], "!", 1, MSG_OOB));
	settle();
	say_call("read", read(ends[1], in, 10));
	say("at mark %d", sockatmark(ends[1]));
	say_call("read", read(ends[1], in, 10));
	say("%c, at mark %d", in[0], sockatmark(ends[1]));
	say_call("send", send(ends[0], "cd", 2, 0));
	say_call("read", read(ends[1], in, 10));
	say("%.2s", in);
	pair_close(ends);
}

static void urgent_data_behind_much_else(void)
{
	static char in[200000];
	const size_t much = 50000; /* within TCP's first window: what is behind that comes later */
	struct pollfd wanted;
	size_t before = 0;
	int ends[2];
	ssize_t n;

	pair_open(ends);
	write_all(ends[0], buffer, much);
	say_call("send urgent", send(ends[0], "xyz", 3, MSG_OOB));
	say_call("send", send(ends[0], "after", 5, 0));
	settle();
	wanted = (struct pollfd){ends[1], POLLIN | POLLPRI, 0};
	say_call("poll", poll(&wanted, 1, 1000));
	say_poll("events", (unsigned int)wanted.revents);
	while (before < much + 2 && (n = read(ends[1], in, sizeof(in))) > 0)
		before += (size_t)n;
	say("before the mark %zu, at mark %d", before, sockatmark(ends[1]));
	say_call("urgent", recv(ends[1], in, 1, MSG_OOB));
	say("%c", in[0]);
	say_call("again", recv(ends[1], in, 1, MSG_OOB));
	say_call("read", read(ends[1], in, 10));
	say("%.5s, at mark %d", in, sockatmark(ends[1]));
	pair_close(ends);
}

static void two_ends_write_a_megabyte_before_reading(void)
{
	char *in = malloc(sizeof(buffer));
	int ends[2];

	pair_open(ends);
	pattern_fill(1, 0, buffer, sizeof(buffer));
	write_all(ends[0], buffer, sizeof(buffer));
	pattern_fill(2, 0, buffer, sizeof(buffer));
	write_all(ends[1], buffer, sizeof(buffer));
	say_call("read", (ssize_t)read_all(ends[0], in, sizeof(buffer)));
	say_pattern("bytes", 2, 0, in, sizeof(buffer));
	say_call("read", (ssize_t)read_all(ends[1], in, sizeof(buffer)));
	say_pattern("bytes", 1, 0, in, sizeof(buffer));
	free(in);
	pair_close(ends);
}

static void standard_streams_on_a_socket(void)
{
	FILE *in, *out;
	char line[100];
	int ends[2];

	pair_open(ends);
	out = fdopen(ends[0], "w");
	in = fdopen(ends[1], "r");
	say("fprintf %d", fprintf(out, "first line\nsecond %d\n", 2));
	say("fflush %d", fflush(out));
	say("%s", fgets(line, sizeof(line), in) ? line : "nothing");
	say("%s", fgets(line, sizeof(line), in) ? line : "nothing");
	say("dprintf %d", dprintf(ends[0], "third %s\n", "line"));
	say("%s", fgets(line, sizeof(line), in) ? line : "nothing");
	fclose(out);
	say("%s", fgets(line, sizeof(line), in) ? line : "end of file");
	say("feof %d ferror %d", !!feof(in), !!ferror(in));
	fclose(in);
}

static void dprintf_on_a_moved_socket(void)
{
	char in[100] = "";
	int ends[2];

	pair_open(ends);
	say("dprintf %d", dprintf(ends[0], "%s %d\n", "answer", 42));
	say_call("write", write(ends[0], "next", 4));
	say_call("recv", recv(ends[1], in, 14, MSG_WAITALL));
	say("%s", in);
	pair_close(ends);
}

const struct behaviour same_io[] = {
	{"write_then_read", write_then_read},
	{"a_short_read_leaves_the_rest", a_short_read_leaves_the_rest},
	{"writes_run_together", writes_run_together},
	{"peek_does_not_take", peek_does_not_take},
	{"peek_waits_for_data", peek_waits_for_data},
	{"waitall_waits_for_all", waitall_waits_for_all},
	{"waitall_peek_waits_too", waitall_peek_waits_too},
	{"waitall_dontwait_takes_what_is_there", waitall_dontwait_takes_what_is_there},
	{"waitall_leaves_a_reset_to_the_next", waitall_leaves_a_reset_to_the_next},
	{"waitall_has_one_time_out", waitall_has_one_time_out},
	{"a_short_send_leaves_a_reset_to_the_next", a_short_send_leaves_a_reset_to_the_next},
	{"empty_and_nonblocking_is_eagain", empty_and_nonblocking_is_eagain},
	{"full_and_nonblocking_is_eagain", full_and_nonblocking_is_eagain},
	{"trunc_throws_bytes_away", trunc_throws_bytes_away},
	{"nothing_is_nothing", nothing_is_nothing},
	{"bad_addresses_are_efault", bad_addresses_are_efault},
	{"a_buffer_that_ends_early_is_efault", a_buffer_that_ends_early_is_efault},
	{"sendto_and_recvfrom", sendto_and_recvfrom},
	{"recvfrom_of_all_names_nobody", recvfrom_of_all_names_nobody},
	{"odd_flags", odd_flags},
	{"urgent_data", urgent_data},
	{"urgent_data_behind_much_else", urgent_data_behind_much_else},
	{"urgent_data_in_line", urgent_data_in_line},
	{"two_ends_write_a_megabyte_before_reading", two_ends_write_a_megabyte_before_reading},
	{"standard_streams_on_a_socket", standard_streams_on_a_socket},
	{"dprintf_on_a_moved_socket", dprintf_on_a_moved_socket},
	{NULL, NULL},
};
