/* SPDX-License-Identifier: MIT */
/* fcntl, ioctl and socket options one by one, copying between descriptors, standard streams */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "same.h"

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif

/* Still a connection that works both ways? */
static void say_still_there(const int ends[2])
{
	char in[10];

	say_call("write", write(ends[0], "there", 5));
	say_call("read", read(ends[1], in, sizeof(in)));
	say_call("write", write(ends[1], "back", 4));
	say_call("read", read(ends[0], in, sizeof(in)));
}

static void commands_of_fcntl(void)
{
	struct flock lock = {.l_type = F_WRLCK};
	int ends[2], twin;

	pair_open(ends);
	say_call("F_GETFL", fcntl(ends[0], F_GETFL));
	say_call("F_SETFL", fcntl(ends[0], F_SETFL, O_NONBLOCK | O_APPEND));
	say_call("F_GETFL", fcntl(ends[0], F_GETFL));
	say_call("F_SETFL", fcntl(ends[0], F_SETFL, 0));
	say_call("F_GETFD", fcntl(ends[0], F_GETFD));
	say_call("F_SETFD", fcntl(ends[0], F_SETFD, FD_CLOEXEC));
	say_call("F_GETFD", fcntl(ends[0], F_GETFD));
	twin = fcntl(ends[0], F_DUPFD, 50);
	say("F_DUPFD %d, close-on-exec %d", twin, fcntl(twin, F_GETFD));
	close(twin);
	say_call("F_DUPFD of -1", fcntl(ends[0], F_DUPFD, -1));
	say_call("F_GETOWN", fcntl(ends[0], F_GETOWN));
	say_call("F_GETSIG", fcntl(ends[0], F_GETSIG));
	say_call("F_GETLEASE", fcntl(ends[0], F_GETLEASE));
	say_call("F_GETPIPE_SZ", fcntl(ends[0], F_GETPIPE_SZ));
	say_call("F_GET_SEALS", fcntl(ends[0], F_GET_SEALS));
	say_call("F_GETLK", fcntl(ends[0], F_GETLK, &lock));
	say_call("unknown", fcntl(ends[0], 9999));
	say_still_there(ends);
	pair_close(ends);
}

static void requests_of_ioctl(void)
{
	int ends[2], value = -1;
	struct termios terminal;

	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	settle();
	say_call("FIONREAD", ioctl(ends[1], FIONREAD, &value));
	say("%d", value);
	say_call("FIONREAD to nowhere", ioctl(ends[1], FIONREAD, no_access()));
	say_call("FIONBIO from nowhere", ioctl(ends[1], FIONBIO, no_access()));
	say_call("SIOCOUTQNSD", ioctl(ends[1], SIOCOUTQNSD, &value));
	say("%d", value);
	say_call("SIOCATMARK", ioctl(ends[1], SIOCATMARK, &value));
	say("%d", value);
	say_call("FIOCLEX", ioctl(ends[1], FIOCLEX));
	say_call("F_GETFD", fcntl(ends[1], F_GETFD));
	say_call("FIONCLEX", ioctl(ends[1], FIONCLEX));
	say_call("F_GETFD", fcntl(ends[1], F_GETFD));
	say_call("TCGETS", ioctl(ends[1], TCGETS, &terminal));
	say_call("FIOGETOWN", ioctl(ends[1], FIOGETOWN, &value));
	say("%d", value);
	say_call("SIOCGSTAMP", ioctl(ends[1], SIOCGSTAMP, &terminal));
	say_call("unknown", ioctl(ends[1], 0x12345678, &value));
	drain(ends[1]);
	say_still_there(ends);
	pair_close(ends);
}

static const struct option {
	const char *name;
	int level;
	int option;
	int value;
} options[] = {
#define OPTION(level, name, value)                                                                 \
	{                                                                                          \
#name, level, name, value                                                          \
	}
	OPTION(SOL_SOCKET, SO_KEEPALIVE, 1),
	OPTION(SOL_SOCKET, SO_REUSEADDR, 1),
	OPTION(SOL_SOCKET, SO_REUSEPORT, 1),
	OPTION(SOL_SOCKET, SO_BROADCAST, 1),
	OPTION(SOL_SOCKET, SO_DONTROUTE, 1),
	OPTION(SOL_SOCKET, SO_PRIORITY, 5),
	OPTION(SOL_SOCKET, SO_MARK, 7),
	OPTION(SOL_SOCKET, SO_BUSY_POLL, 0),
	OPTION(SOL_SOCKET, SO_PREFER_BUSY_POLL, 1),
	OPTION(SOL_SOCKET, SO_INCOMING_CPU, 0),
	OPTION(SOL_SOCKET, SO_MAX_PACING_RATE, 1000000000),
	OPTION(SOL_SOCKET, SO_SNDLOWAT, 1),
	OPTION(SOL_SOCKET, SO_TYPE, 1),
	OPTION(SOL_SOCKET, SO_DOMAIN, 2),
	OPTION(SOL_SOCKET, SO_PROTOCOL, 6),
	OPTION(SOL_SOCKET, SO_ACCEPTCONN, 1),
	OPTION(SOL_SOCKET, SO_ERROR, 1),
	OPTION(IPPROTO_TCP, TCP_NODELAY, 1),
	OPTION(IPPROTO_TCP, TCP_CORK, 0),
	OPTION(IPPROTO_TCP, TCP_MAXSEG, 1000),
	OPTION(IPPROTO_TCP, TCP_KEEPIDLE, 100),
	OPTION(IPPROTO_TCP, TCP_KEEPINTVL, 10),
	OPTION(IPPROTO_TCP, TCP_KEEPCNT, 3),
	OPTION(IPPROTO_TCP, TCP_SYNCNT, 3),
	OPTION(IPPROTO_TCP, TCP_LINGER2, 3),
	OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT, 3),
	OPTION(IPPROTO_TCP, TCP_WINDOW_CLAMP, 100000),
	OPTION(IPPROTO_TCP, TCP_QUICKACK, 1),
	OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT, 10000),
	OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 100000),
	OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1),
	OPTION(IPPROTO_TCP, TCP_FASTOPEN, 1),
	OPTION(IPPROTO_TCP, TCP_SAVE_SYN, 1),
	OPTION(IPPROTO_TCP, 9999, 1),
	OPTION(IPPROTO_IP, IP_TOS, 0x10),
	OPTION(IPPROTO_IP, IP_TTL, 50),
	OPTION(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO),
	OPTION(IPPROTO_IP, IP_RECVERR, 1),
	OPTION(IPPROTO_IP, IP_FREEBIND, 1),
	OPTION(IPPROTO_IP, IP_MTU, 1),
	OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1),
	OPTION(IPPROTO_IPV6, IPV6_V6ONLY, 1),
	OPTION(9999, 1, 1),
};

static void options_keep_their_values(void)
{
	size_t count = sizeof(options) / sizeof(options[0]), i;
	char text[64];
	int ends[2];

	pair_open(ends);
	for (i = 0; i < count; i++) {
		const struct option *o = &options[i];
		socklen_t length = sizeof(int);
		int value = -1;

		snprintf(text, sizeof(text), "set %s", o->name);
		say_call(text, setsockopt(ends[0], o->level, o->option, &o->value, length));
		say_call("get", getsockopt(ends[0], o->level, o->option, &value, &length));
		if (o->option != SO_INCOMING_CPU || o->level != SOL_SOCKET)
			say("  %d, %u bytes", value, length);
	}
	say_call("from nowhere", setsockopt(ends[0], SOL_SOCKET, SO_KEEPALIVE, no_access(), 4));
	say_call("low water from nowhere",
		 setsockopt(ends[0], SOL_SOCKET, SO_RCVLOWAT, no_access(), 4));
	say_call("ULP from nowhere", setsockopt(ends[0], SOL_SOCKET, SO_ZEROCOPY, no_access(), 4));
	say_call("too short", setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &ends, 1));
	say_still_there(ends);
	pair_close(ends);
}

static void recvmsg_says_how_much_is_left(void)
{
	char bytes[4], control[64];
	struct iovec part = {bytes, 4};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *head;
	int ends[2], on = 1, left = -1;

	pair_open(ends);
	say_call("TCP_INQ", setsockopt(ends[1], IPPROTO_TCP, TCP_INQ, &on, sizeof(on)));
	say_call("write", write(ends[0], "0123456789", 10));
	settle();
	say_call("recvmsg", recvmsg(ends[1], &message, 0));
	head = CMSG_FIRSTHDR(&message);
	if (head) {
		memcpy(&left, CMSG_DATA(head), sizeof(left));
		say("level %d type %d left %d", head->cmsg_level, head->cmsg_type, left);
	}
	say("control %zu", message.msg_controllen);
	message.msg_control = NULL;
	message.msg_controllen = 0;
	say_call("recvmsg", recvmsg(ends[1], &message, 0));
	say("flags %x", (unsigned int)message.msg_flags);
	pair_close(ends);
}

static void recvmsg_waits_for_all_parts(void)
{
	char in[10] = "";
	struct iovec parts[2] = {{in, 3}, {in + 3, 5}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	send_later(ends[0], "defgh", 50);
	say_call("recvmsg", recvmsg(ends[1], &message, MSG_WAITALL));
	say("%s", in);
	send_later_join();
	pair_close(ends);
}

static void errors_of_recvmmsg_and_sendmmsg(void)
{
	struct iovec part = {(char[]){"abc"}, 3};
	struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}},
				      {.msg_hdr = {.msg_iov = no_access(), .msg_iovlen = 1}}};
	struct timespec negative = {-1, 0}, tenth = {0, 100000000};
	int ends[2];

	pair_open(ends);
	say_call("sendmmsg of bad ones", sendmmsg(ends[0], no_access(), 2, 0));
	say_call("sendmmsg of a good and a bad one", sendmmsg(ends[0], messages, 2, 0));
	say_call("sendmmsg of none", sendmmsg(ends[0], messages, 0, 0));
	settle();
	say_call("recvmmsg to bad ones", recvmmsg(ends[1], no_access(), 2, MSG_DONTWAIT, NULL));
	say_call("recvmmsg with a bad time", recvmmsg(ends[1], messages, 1, 0, &negative));
	say_call("recvmmsg", recvmmsg(ends[1], messages, 1, 0, &tenth));
	send_later(ends[0], "late", 200);
	say_call("recvmmsg looks at the time after a message",
		 recvmmsg(ends[1], messages, 2, 0, &tenth));
	send_later_join();
	pair_close(ends);
}

static void reads_of_every_kind_in_order(void)
{
	char in[40];
	struct iovec part = {in, 4}, out = {(char[]){"v2->"}, 4};
	int ends[2], i;

	pair_open(ends);
	for (i = 0; i < 3; i++) {
		say_call("write", write(ends[0], "write ", 6));
		say_call("pwritev2", pwritev2(ends[0], &out, 1, -1, 0));
		say_call("send", send(ends[0], "send", 4, 0));
	}
	settle();
	say_call("preadv2", preadv2(ends[1], &part, 1, -1, 0));
	say("%.4s", in);
	say_call("read", read(ends[1], in, 10));
	say("%.10s", in);
	say_call("preadv2 of what is there", preadv2(ends[1], &part, 1, -1, RWF_NOWAIT));
	say("%.4s", in);
	say_call("recv", recv(ends[1], in, 24, MSG_WAITALL));
	say("%.24s", in);
	say_call("preadv2 of nothing", preadv2(ends[1], &part, 1, -1, RWF_NOWAIT));
	send_later(ends[0], "late", 50);
	say_call("preadv2 waits", preadv2(ends[1], &part, 1, -1, 0));
	send_later_join();
	pair_close(ends);
}

static void sendfile_from_other_things(void)
{
	int file = temporary_file(3, 1000), zero = open("/dev/zero", O_RDONLY), pipes[2], ends[2];
	int write_only = open("/dev/null", O_WRONLY), directory = open("/", O_RDONLY);
	char in[1000];
	ssize_t n;

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	n = sendfile(ends[0], zero, NULL, 100);
	say_call("from /dev/zero", n);
	if (n > 0)
		say_call("read", recv(ends[1], in, (size_t)n, MSG_WAITALL));
	write_all(pipes[1], "abc", 3);
	say_call("from a pipe", sendfile(ends[0], pipes[0], NULL, 3));
	say_call("from a write-only file", sendfile(ends[0], write_only, NULL, 3));
	say_call("from a directory", sendfile(ends[0], directory, NULL, 3));
	say_call("offset at a bad address", sendfile(ends[0], file, no_access(), 3));
	say_call("write", write(ends[1], "socket", 6));
	settle();
	say_call("from a socket to a pipe", sendfile(pipes[1], ends[0], NULL, 6));
	say_call("read", read(pipes[0], in, 9));
	say("%.9s", in);
	say_call("from a socket to a file", sendfile(file, ends[0], NULL, 3));
	say_call("from itself", sendfile(ends[0], ends[0], NULL, 3));
	say_call("from a file", sendfile(ends[0], file, NULL, 3));
	say_call("read", recv(ends[1], in, 3, MSG_WAITALL));
	pair_close(ends);
}

static void errors_of_splice(void)
{
	int file = temporary_file(3, 1000), pipes[2], ends[2], other[2];
	loff_t at = 0;
	char in[100];

	pair_open(ends);
	pair_open(other);
	if (pipe(pipes) < 0)
		die("pipe");
	say_call("write", write(ends[0], "abcdef", 6));
	settle();
	say_call("offset of a socket", splice(ends[1], &at, pipes[1], NULL, 3, 0));
	say_call("offset of a pipe", splice(ends[1], NULL, pipes[1], &at, 3, 0));
	say_call("offset at the target",
		 splice(pipes[0], NULL, ends[0], &at, 3, SPLICE_F_NONBLOCK));
	say_call("socket to socket", splice(ends[1], NULL, other[0], NULL, 3, 0));
	say_call("socket to file", splice(ends[1], NULL, file, NULL, 3, 0));
	say_call("file to socket", splice(file, NULL, ends[0], NULL, 3, 0));
	say_call("to the wrong end", splice(ends[1], NULL, pipes[0], NULL, 3, 0));
	say_call("from the wrong end", splice(pipes[1], NULL, ends[0], NULL, 3, 0));
	say_call("to nothing", splice(ends[1], NULL, -1, NULL, 3, 0));
	say_call("odd flags", splice(ends[1], NULL, pipes[1], NULL, 3, 0x100));
	say_call("of nothing", splice(ends[1], NULL, pipes[1], NULL, 0, 0));
	say_call("nothing lost", read(ends[1], in, sizeof(in)));
	close(pipes[0]);
	signal(SIGPIPE, SIG_IGN);
	say_call("write", write(ends[0], "abc", 3));
	say_call("to a broken pipe", splice(ends[1], NULL, pipes[1], NULL, 3, 0));
	say_call("still there", recv(ends[1], in, sizeof(in), MSG_DONTWAIT));
	pair_close(ends);
	pair_close(other);
}

static void tee_and_its_kin(void)
{
	int file = temporary_file(3, 1000), pipes[2], ends[2];
	struct iovec part = {(char[]){"abc"}, 3};

	pair_open(ends);
	if (pipe(pipes) < 0)
		die("pipe");
	write_all(pipes[1], "xyz", 3);
	say_call("tee from a socket", tee(ends[1], pipes[1], 3, 0));
	say_call("tee to a socket", tee(pipes[0], ends[0], 3, 0));
	say_call("vmsplice", vmsplice(ends[0], &part, 1, 0));
	say_call("copy_file_range from", copy_file_range(ends[1], NULL, file, NULL, 3, 0));
	say_call("copy_file_range to", copy_file_range(file, NULL, ends[0], NULL, 3, 0));
	say_call("readahead", readahead(ends[0], 0, 3));
	say_call("fallocate", fallocate(ends[0], 0, 0, 3));
	say_still_there(ends);
	pair_close(ends);
}

static void standard_output_becomes_a_socket(void)
{
	char in[40] = "";
	int ends[2], before;

	pair_open(ends);
	fflush(stdout);
	before = dup(1);
	dup2(ends[0], 1);
	printf("printed %d\n", 1);
	fflush(stdout);
	if (write(1, "written\n", 8) != 8)
		die("write");
	puts("put");
	fflush(stdout);
	dup2(before, 1);
	say_call("recv", recv(ends[1], in, 22, MSG_WAITALL));
	say("%s", in);
	pair_close(ends);
}

static void standard_input_becomes_a_socket(void)
{
	char line[40] = "", word[10] = "";
	int ends[2], before = dup(0);

	pair_open(ends);
	say_call("write", write(ends[0], "a line\nword 7\n", 14));
	settle();
	dup2(ends[1], 0);
	say("%s", fgets(line, sizeof(line), stdin) ? line : "nothing");
	say("scanned %d %s", scanf("%9s", word), word);
	say("%d", getchar());
	shutdown(ends[0], SHUT_WR);
	say("%d %d %d", getchar(), getchar(), getchar());
	if (before >= 0)
		dup2(before, 0);
	pair_close(ends);
}

static void streams_of_every_mode(void)
{
	char line[40] = "";
	int ends[2];
	FILE *both, *plain;

	pair_open(ends);
	both = fdopen(ends[0], "r+");
	plain = fdopen(dup(ends[1]), "w");
	setvbuf(plain, NULL, _IONBF, 0);
	say("fileno fits: %d", fileno(both) == ends[0]);
	fprintf(plain, "one\n");
	say("%s", fgets(line, sizeof(line), both) ? line : "nothing");
	say("seek %d", fseek(both, 0, SEEK_CUR));
	fputs("two\n", both);
	fflush(both);
	say_call("read", read(ends[1], line, sizeof(line)));
	say("vdprintf %d", dprintf(ends[1], "%s", "three\n"));
	fclose(plain);
	say("%s", fgets(line, sizeof(line), both) ? line : "nothing");
	fclose(both);
	say_call("closed", write(ends[0], "x", 1));
	say_call("end", read(ends[1], line, sizeof(line)));
	close(ends[1]);
}

static unsigned long resident_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages;

	if (!file || fscanf(file, "%*u %lu", &pages) != 1)
		die("statm");
	fclose(file);
	return pages;
}

/* Whatever is reserved for later must not become memory now. */
static void a_program_that_locks_its_memory(void)
{
	struct epoll_event event = {EPOLLIN, {0}};
	int ends[2], epoll = epoll_create1(0);
	unsigned long before;

	say_call("mlockall", mlockall(MCL_CURRENT | MCL_FUTURE));
	before = resident_pages();
	pair_open(ends);
	epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event);
	say_still_there(ends);
	say("grew by less than 8 MiB: %s", resident_pages() - before < 2048 ? "yes" : "no");
	close(epoll);
	pair_close(ends);
}

const struct behaviour same_misc[] = {
	{"a_program_that_locks_its_memory", a_program_that_locks_its_memory},
	{"commands_of_fcntl", commands_of_fcntl},
	{"requests_of_ioctl", requests_of_ioctl},
	{"options_keep_their_values", options_keep_their_values},
	{"recvmsg_says_how_much_is_left", recvmsg_says_how_much_is_left},
	{"recvmsg_waits_for_all_parts", recvmsg_waits_for_all_parts},
	{"errors_of_recvmmsg_and_sendmmsg", errors_of_recvmmsg_and_sendmmsg},
	{"reads_of_every_kind_in_order", reads_of_every_kind_in_order},
	{"sendfile_from_other_things", sendfile_from_other_things},
	{"errors_of_splice", errors_of_splice},
	{"tee_and_its_kin", tee_and_its_kin},
	{"standard_output_becomes_a_socket", standard_output_becomes_a_socket},
	{"standard_input_becomes_a_socket", standard_input_becomes_a_socket},
	{"streams_of_every_mode", streams_of_every_mode},
	{NULL, NULL},
};
