/* SPDX-License-Identifier: MIT */
/* recv, recvfrom, recvmsg, read and readv of 0 bytes */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "same.h"

/* Each call that can be asked for nothing; @flags are recv()'s. */
static void receive_nothing(const char *what, int fd, int flags)
{
	char in[1];
	struct iovec part = {in, 0};
	struct msghdr none = {.msg_iov = &part}, empty = {.msg_iov = &part, .msg_iovlen = 1};
	int queued = -1;

	say("%s", what);
	say_call(" read", read(fd, in, 0));
	say_call(" readv", readv(fd, &part, 1));
	say_call(" recv", recv(fd, in, 0, flags));
	say_call(" recv nowhere", recv(fd, NULL, 0, flags));
	say_call(" recvfrom", recvfrom(fd, in, 0, flags, NULL, NULL));
	say_call(" recvmsg", recvmsg(fd, &empty, flags));
	say_call(" recvmsg without a part", recvmsg(fd, &none, flags));
	ioctl(fd, FIONREAD, &queued);
	say(" queued %d", queued);
}

static void receive_nothing_at_the_end(void)
{
	const struct linger at_once = {1, 0};
	char in[10];
	int ends[2];

	pair_open(ends);
	say_call("write", write(ends[0], "abc", 3));
	shutdown(ends[0], SHUT_WR);
	settle();
	receive_nothing("before the end", ends[1], 0);
	say_call("read", read(ends[1], in, 10));
	receive_nothing("at the end", ends[1], 0);
	receive_nothing("at the end, of all", ends[1], MSG_WAITALL);
	pair_close(ends);
	pair_open(ends);
	setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(ends[0]);
	settle();
	receive_nothing("behind a reset", ends[1], 0);
	close(ends[1]);
	pair_open(ends);
	shutdown(ends[1], SHUT_RD);
	receive_nothing("behind one's own end", ends[1], 0);
	pair_close(ends);
}

static int ended_later;
static pthread_t interrupted_later;

static void shut_down(void)
{
	shutdown(ended_later, SHUT_WR);
}

static void reset(void)
{
	const struct linger at_once = {1, 0};

	setsockopt(ended_later, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(ended_later);
}

static void interrupt(void)
{
	pthread_kill(interrupted_later, SIGUSR1);
}

static void on_signal(int number)
{
	(void)number;
}

static void wait_for_nothing(const char *what, int fd, void (*ends_it)(void))
{
	uint64_t before = now_ms();
	char in[1];

	if (ends_it)
		run_later(ends_it, 100);
	say_call(what, recv(fd, in, 0, 0));
	say("waited: %s", now_ms() - before >= 90 ? "yes" : "no");
	if (ends_it)
		run_later_join();
}

/* Whatever ends the wait is told by the next call alone. */
static void nothing_is_received_when_something_happens(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	const struct timeval tenth = {0, 100000};
	char in[1];
	int ends[2];

	pair_open(ends);
	interrupted_later = pthread_self();
	sigaction(SIGUSR1, &action, NULL);
	wait_for_nothing("a signal", ends[1], interrupt);
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, NULL);
	wait_for_nothing("a signal that restarts calls", ends[1], interrupt);
	ended_later = ends[0];
	wait_for_nothing("the end", ends[1], shut_down);
	say_call("recv", recv(ends[1], in, 1, 0));
	pair_close(ends);
	pair_open(ends);
	setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &tenth, sizeof(tenth));
	wait_for_nothing("a time-out", ends[1], NULL);
	setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0}, sizeof(tenth));
	ended_later = ends[0];
	wait_for_nothing("a reset", ends[1], reset);
	say_call("recv", recv(ends[1], in, 1, 0));
	say_call("recv", recv(ends[1], in, 1, 0));
	close(ends[1]);
}

/* TCP waits for data before it takes none of it; read() and readv() alone do not look. */
static void nothing_is_received_when_something_is_there(void)
{
	static const int flags[] = {0, MSG_PEEK, MSG_WAITALL, MSG_TRUNC, MSG_PEEK | MSG_WAITALL};
	char in[10];
	int ends[2];

	pair_open(ends);
	receive_nothing("empty", ends[1], MSG_DONTWAIT);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		send_later(ends[0], "late", 50);
		say_call("recv", recv(ends[1], in, 0, flags[i]));
		send_later_join();
		settle();
		receive_nothing("with data", ends[1], flags[i]);
		say_call("read", read(ends[1], in, 10));
	}
	set_nonblocking(ends[1], 1);
	receive_nothing("empty, not blocking", ends[1], 0);
	receive_nothing("empty, not blocking, all", ends[1], MSG_WAITALL);
	pair_close(ends);
	receive_nothing_at_the_end();
}

const struct behaviour same_nothing[] = {
	{"nothing_is_received_when_something_is_there",
	 nothing_is_received_when_something_is_there},
	{"nothing_is_received_when_something_happens", nothing_is_received_when_something_happens},
	{NULL, NULL},
};
