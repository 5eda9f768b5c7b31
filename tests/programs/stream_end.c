/* SPDX-License-Identifier: MIT */
#include "stream_end.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHUNK_MAX 65536U
#define PAUSES_MAX 12U

static const char *const style_names[STYLE_COUNT] = {"blocking",    "poll",	  "select",
						     "epoll level", "epoll edge", "dontwait"};

enum progress { PROGRESS_BLOCKED, PROGRESS_SOME, PROGRESS_DONE, PROGRESS_FAILED };

void stream_plan_make(struct stream_plan *plan, uint64_t seed, uint64_t index, uint64_t max,
		      unsigned int kill_percent)
{
	struct dice dice = {mix(seed, index)};
	int i;

	memset(plan, 0, sizeof(*plan));
	plan->index = index;
	if (dice_below(&dice, 100) < kill_percent)
		plan->kill = dice_below(&dice, 3) ? KILL_SELF : KILL_OTHER;
	plan->kill_after_us = (unsigned int)dice_size(&dice, 20000);
	for (i = 0; i < 2; i++) {
		plan->seed[i] = dice_roll(&dice);
		plan->length[i] =
			dice_below(&dice, 2) ? dice_below(&dice, max) + 1 : dice_size(&dice, max);
		if (dice_below(&dice, 8) == 0)
			plan->length[i] = 0;
		plan->shut[i] = (int)dice_below(&dice, 2);
		plan->style[i] = (enum stream_style)dice_below(&dice, STYLE_COUNT);
		plan->write_max[i] = dice_size(&dice, CHUNK_MAX);
		plan->read_max[i] = dice_size(&dice, CHUNK_MAX);
		/* tiny pieces of a long stream only take time */
		if (plan->write_max[i] < plan->length[i] / 300)
			plan->write_max[i] = plan->length[i] / 300;
		if (plan->read_max[i] < plan->length[1 - i] / 300)
			plan->read_max[i] = plan->length[1 - i] / 300;
		plan->pause_us[i] = (unsigned int)dice_size(&dice, 500);
	}
	if (plan->kill != KILL_NONE && !plan->length[0])
		plan->length[0] = 1;
	if (plan->kill != KILL_NONE)
		plan->shut[0] = 1; /* the kernel says it for the dead */
	if (plan->kill == KILL_OTHER)
		plan->length[1] = 0;
}

static int out_done(const struct stream_end *end)
{
	return end->sent == end->plan->length[end->side];
}

static int in_done(const struct stream_end *end)
{
	const struct stream_plan *plan = end->plan;

	return end->received == plan->length[1 - end->side] &&
	       (!plan->shut[1 - end->side] || end->finished);
}

/* The client end that dies with its last write does so only when it has read all, as unread bytes
 * would make the kernel reset the connection and throw the last write away. */
static uint64_t out_limit(const struct stream_end *end)
{
	const struct stream_plan *plan = end->plan;
	uint64_t length = plan->length[end->side];

	if (plan->kill == KILL_SELF && end->side == 0 && end->received < plan->length[1])
		return length > end->tail ? length - end->tail : 0;
	return length;
}

static void fail(struct stream_end *end, const char *what, uint64_t position)
{
	if (!end->error[0])
		snprintf(end->error, sizeof(end->error), "%s at position %llu: %s", what,
			 (unsigned long long)position, strerror(errno));
}

/* A few pauses in each stream let the hand-over happen at any point of it. */
static void pause_now_and_then(const struct stream_end *end, struct dice *dice, unsigned int *left)
{
	if (*left == 0 || dice_below(dice, 4) != 0)
		return;
	--*left;
	sleep_us((unsigned int)dice_below(dice, end->plan->pause_us[end->side]));
}

static ssize_t write_somehow(struct stream_end *end, char *buffer, size_t length, int flags)
{
	struct iovec parts[2] = {{buffer, length / 3}, {buffer + length / 3, length - length / 3}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	if (flags)
		return send(end->fd, buffer, length, flags);
	switch (dice_below(&end->write_dice, 4)) {
	case 0:
		return write(end->fd, buffer, length);
	case 1:
		return send(end->fd, buffer, length, MSG_NOSIGNAL);
	case 2:
		return writev(end->fd, parts, 2);
	default:
		return sendmsg(end->fd, &message, MSG_NOSIGNAL);
	}
}

static enum progress write_step(struct stream_end *end, int flags)
{
	char buffer[CHUNK_MAX];
	const struct stream_plan *plan = end->plan;
	size_t length = dice_size(&end->write_dice, plan->write_max[end->side]);
	uint64_t limit = out_limit(end);
	ssize_t n;

	if (end->sent == limit)
		return out_done(end) ? PROGRESS_DONE : PROGRESS_BLOCKED;
	if (length > limit - end->sent)
		length = (size_t)(limit - end->sent);
	pattern_fill(plan->seed[end->side], end->sent, buffer, length);
	pause_now_and_then(end, &end->write_dice, &end->write_pauses);
	n = write_somehow(end, buffer, length, flags);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PROGRESS_BLOCKED;
	if (n <= 0) {
		fail(end, "write", end->sent);
		return PROGRESS_FAILED;
	}
	end->sent += (uint64_t)n;
	if (plan->kill == KILL_SELF && end->side == 0 && out_done(end))
		kill(getpid(), SIGKILL);
	if (end->accepted)
		*end->accepted = end->sent;
	if (out_done(end) && plan->shut[end->side] && shutdown(end->fd, SHUT_WR) < 0)
		fail(end, "shutdown", end->sent);
	return out_done(end) ? PROGRESS_DONE : PROGRESS_SOME;
}

static ssize_t read_somehow(struct stream_end *end, char *buffer, size_t length, int flags)
{
	struct iovec parts[2] = {{buffer, length / 2}, {buffer + length / 2, length - length / 2}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n;

	switch (dice_below(&end->read_dice, flags ? 2 : 6)) {
	case 0:
		return recv(end->fd, buffer, length, flags);
	case 1:
		n = recv(end->fd, buffer, length, flags | MSG_PEEK);
		return n > 0 ? recv(end->fd, buffer, (size_t)n, flags) : n;
	case 2:
		return readv(end->fd, parts, 2);
	case 3:
		return recvmsg(end->fd, &message, 0);
	case 4:
		/* what is still to come is known, so that this ends */
		return recv(end->fd, buffer, length, MSG_WAITALL);
	default:
		return read(end->fd, buffer, length);
	}
}

static void check(struct stream_end *end, const char *buffer, size_t length)
{
	uint64_t seed = end->plan->seed[1 - end->side], position = end->received;
	size_t good = pattern_check(seed, position, buffer, length);
	char what[64];

	if (good == length)
		return;
	pattern_explain(seed, position + good, buffer + good, length - good, what, sizeof(what));
	if (!end->error[0])
		snprintf(end->error, sizeof(end->error), "wrong byte at position %llu of %llu: %s",
			 (unsigned long long)(position + good),
			 (unsigned long long)end->plan->length[1 - end->side], what);
}

static enum progress read_end_of_file(struct stream_end *end)
{
	uint64_t length = end->plan->length[1 - end->side];

	end->finished = 1;
	/* killed from outside: what was accepted is known to who holds the board, not to us */
	if (end->received == length || (end->plan->kill == KILL_OTHER && end->side == 1))
		return PROGRESS_DONE;
	snprintf(end->error, sizeof(end->error), "end of file at position %llu of %llu",
		 (unsigned long long)end->received, (unsigned long long)length);
	return PROGRESS_FAILED;
}

static enum progress read_step(struct stream_end *end, int flags)
{
	char buffer[CHUNK_MAX];
	const struct stream_plan *plan = end->plan;
	uint64_t left = plan->length[1 - end->side] - end->received;
	size_t length = dice_size(&end->read_dice, plan->read_max[end->side]);
	ssize_t n;

	if (in_done(end))
		return PROGRESS_DONE;
	/* one more than all, so that a byte too many is seen; but MSG_WAITALL would wait for it */
	if (length > left)
		length = (size_t)left + (plan->shut[1 - end->side] && !left);
	pause_now_and_then(end, &end->read_dice, &end->read_pauses);
	n = read_somehow(end, buffer, length, flags);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PROGRESS_BLOCKED;
	if (n < 0) {
		fail(end, "read", end->received);
		return PROGRESS_FAILED;
	}
	if (n == 0)
		return read_end_of_file(end);
	if (!left) {
		snprintf(end->error, sizeof(end->error), "%zd bytes after the last", n);
		return PROGRESS_FAILED;
	}
	check(end, buffer, (size_t)n);
	end->received += (uint64_t)n;
	if (end->error[0])
		return PROGRESS_FAILED;
	return in_done(end) ? PROGRESS_DONE : PROGRESS_SOME;
}

static void *blocking_reader(void *argument)
{
	struct stream_end *end = argument;
	enum progress progress;

	do
		progress = read_step(end, 0);
	while (progress == PROGRESS_SOME || progress == PROGRESS_BLOCKED);
	if (progress == PROGRESS_FAILED)
		shutdown(end->fd, SHUT_RDWR); /* so that the writer does not wait for ever */
	return NULL;
}

static void run_blocking(struct stream_end *end)
{
	enum progress progress;
	pthread_t reader;
	int joined = 0;

	if (pthread_create(&reader, NULL, blocking_reader, end) != 0)
		die("pthread_create");
	while (!out_done(end)) {
		progress = write_step(end, 0);
		if (progress == PROGRESS_FAILED)
			break;
		if (progress == PROGRESS_BLOCKED && !joined) {
			pthread_join(reader, NULL); /* held back until all is read */
			joined = 1;
		}
		if (end->error[0])
			break;
	}
	if (!joined)
		pthread_join(reader, NULL);
}

/* Wait until the socket can do one of what is wanted, by the style's own call. */
static void wait_ready(struct stream_end *end, int epoll, int read, int write)
{
	struct pollfd wanted = {end->fd, (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0)), 0};
	struct epoll_event event = {(read ? EPOLLIN : 0U) | (write ? EPOLLOUT : 0U),
				    {.fd = end->fd}};
	fd_set reads, writes;
	int n;

	switch (end->plan->style[end->side]) {
	case STYLE_EPOLL_LEVEL:
		epoll_ctl(epoll, EPOLL_CTL_MOD, end->fd, &event);
		n = epoll_wait(epoll, &event, 1, -1);
		break;
	case STYLE_EPOLL_EDGE:
		n = epoll_wait(epoll, &event, 1, -1);
		break;
	case STYLE_SELECT:
		if (end->fd < FD_SETSIZE) {
			FD_ZERO(&reads);
			FD_ZERO(&writes);
			if (read)
				FD_SET(end->fd, &reads);
			if (write)
				FD_SET(end->fd, &writes);
			n = select(end->fd + 1, &reads, &writes, NULL, NULL);
			break;
		}
		/* fallthrough */
	default:
		n = poll(&wanted, 1, -1);
	}
	if (n < 0 && errno != EINTR)
		fail(end, "wait", end->received);
}

static void run_ready(struct stream_end *end)
{
	enum stream_style style = end->plan->style[end->side];
	struct epoll_event event = {EPOLLIN | EPOLLOUT, {.fd = end->fd}};
	int epoll = -1, flags = style == STYLE_DONTWAIT ? MSG_DONTWAIT : 0;
	enum progress in, out;

	if (style != STYLE_DONTWAIT)
		set_nonblocking(end->fd, 1);
	if (style == STYLE_EPOLL_LEVEL || style == STYLE_EPOLL_EDGE) {
		if (style == STYLE_EPOLL_EDGE)
			event.events |= EPOLLET;
		epoll = epoll_create1(EPOLL_CLOEXEC);
		if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, end->fd, &event) < 0)
			die("epoll");
	}
	while (!(in_done(end) && out_done(end)) && !end->error[0]) {
		in = in_done(end) ? PROGRESS_DONE : read_step(end, flags);
		out = out_done(end) ? PROGRESS_DONE : write_step(end, flags);
		if (end->plan->kill == KILL_OTHER && end->side == 1 && end->finished)
			break;
		if (in == PROGRESS_SOME || out == PROGRESS_SOME)
			continue;
		if (in == PROGRESS_BLOCKED || out == PROGRESS_BLOCKED)
			wait_ready(end, epoll, in == PROGRESS_BLOCKED,
				   out == PROGRESS_BLOCKED && end->sent < out_limit(end));
	}
	if (epoll >= 0)
		close(epoll);
}

int stream_end_run(struct stream_end *end, const struct stream_plan *plan, int side, int fd,
		   _Atomic uint64_t *accepted)
{
	int one = 1;

	memset(end, 0, sizeof(*end));
	end->plan = plan;
	end->side = side;
	end->fd = fd;
	end->accepted = accepted;
	end->write_dice.state = mix(plan->seed[side], 1);
	end->read_dice.state = mix(plan->seed[1 - side], 2);
	end->write_pauses = end->read_pauses = PAUSES_MAX;
	end->tail = dice_size(&end->write_dice, plan->write_max[side]);
	/* without it, most of a test's time would be the wait for delayed acknowledgements */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		fail(end, "TCP_NODELAY", 0);
	if (plan->length[side] == 0 && plan->shut[side] && shutdown(fd, SHUT_WR) < 0)
		fail(end, "shutdown", 0);
	if (plan->style[side] == STYLE_BLOCKING)
		run_blocking(end);
	else
		run_ready(end);
	if (close(fd) < 0)
		fail(end, "close", end->received);
	return end->error[0] ? -1 : 0;
}

void stream_end_describe(const struct stream_end *end, char *text, size_t size)
{
	const struct stream_plan *plan = end->plan;
	const char *kills[] = {"", ", kills itself", ", is killed"};

	snprintf(text, size,
		 "stream %llu %s (%s%s): sent %llu of %llu%s, received %llu of %llu%s%s",
		 (unsigned long long)plan->index, end->side ? "server" : "client",
		 style_names[plan->style[end->side]], kills[plan->kill],
		 (unsigned long long)end->sent, (unsigned long long)plan->length[end->side],
		 plan->shut[end->side] ? "+FIN" : "", (unsigned long long)end->received,
		 (unsigned long long)plan->length[1 - end->side],
		 plan->shut[1 - end->side] ? "+FIN" : "", end->finished ? " (seen)" : "");
}
