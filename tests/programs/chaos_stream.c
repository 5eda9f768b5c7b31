/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing of a task, and how it ends
 */
#include "chaos.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static char buffer[CALL_MAX];

static struct end_state *own(const struct task *task)
{
	return end_of(task->number, task->side);
}

static bool has(const struct task *task, unsigned int flags)
{
	return atomic_load(&own(task)->flags) & flags;
}

static void set(const struct task *task, unsigned int flags)
{
	atomic_fetch_or(&own(task)->flags, flags);
}

/* One in eight connections is wrong, where the checker is tested. */
static bool is_faulty(const struct task *task, enum fault fault)
{
	return __builtin_expect(board->fault == fault, 0) && task->number % 8 == 3;
}

static enum finish finish_of(const struct task *task)
{
	return has(task, END_SPLIT) ? FINISH_SHUT : task->plan.finish[task->side];
}

/* What this end writes in all. */
static uint64_t limit_of(const struct task *task)
{
	enum finish finish = finish_of(task);

	return finish == FINISH_EARLY || finish == FINISH_LINGER ? task->plan.early_at[task->side]
								 : task->plan.length[task->side];
}

static bool all_written(const struct task *task)
{
	return own(task)->accepted >= limit_of(task) || has(task, END_SHUT | END_RESET);
}

unsigned int task_wants(const struct task *task)
{
	unsigned int wants = 0;

	if (is_faulty(task, FAULT_STALL) && own(task)->received + own(task)->accepted > 1000)
		return 0;
	if ((task->does & DOES(WAY_READ)) && !has(task, END_EOF | END_RESET))
		wants |= DOES(WAY_READ);
	if ((task->does & DOES(WAY_WRITE)) && !all_written(task) && now_ms() >= task->rest_until)
		wants |= DOES(WAY_WRITE);
	return wants;
}

/* --- the two calls --- */

static void look_at(struct task *task, const char *bytes, size_t n)
{
	const uint64_t seed = task->plan.seed[!task->side];
	const uint64_t position = own(task)->received;
	size_t wrong = pattern_check(seed, position, bytes, n);
	char text[64];

	if (wrong == n)
		return;
	pattern_explain(seed, position + wrong, bytes + wrong, n - wrong, text, sizeof(text));
	complain(task->number, "side %u read wrong bytes at %llu: %s", task->side,
		 (unsigned long long)(position + wrong), text);
}

static ssize_t read_somehow(const struct task *task, struct dice *dice, size_t size, int flags)
{
	struct iovec parts[2] = {{buffer, size / 3}, {buffer + size / 3, size - size / 3}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	switch (dice_below(dice, flags ? 2 : 4)) {
	case 0:
		return recv(task->fd, buffer, size, flags);
	case 1:
		return recvmsg(task->fd, &message, flags);
	case 2:
		return read(task->fd, buffer, size);
	default:
		return readv(task->fd, parts, 2);
	}
}

static void ended(struct task *task, int error, const char *call)
{
	if (error != ECONNRESET && error != EPIPE) {
		complain(task->number, "%s on side %u: %s", call, task->side, strerror(error));
		return;
	}
	check_reset(task->number, task->side, call);
	set(task, END_RESET);
}

static void read_step(struct task *task, int flags)
{
	struct end_state *end = own(task);
	struct dice *dice = &end->dice[WAY_READ];
	ssize_t n =
		read_somehow(task, dice, dice_size(dice, task->plan.read_max[task->side]), flags);

	if (n > 0) {
		look_at(task, buffer, (size_t)n);
		atomic_fetch_add(&end->received, (uint64_t)n);
		atomic_fetch_add(&board->bytes, (uint64_t)n);
	} else if (n == 0) {
		check_end_of_file(task->number, task->side);
		set(task, END_EOF);
	} else if (errno == EAGAIN) {
		task->ready &= ~DOES(WAY_READ);
	} else if (errno != EINTR) {
		ended(task, errno, "read");
	}
}

static ssize_t write_somehow(const struct task *task, struct dice *dice, size_t size, int flags)
{
	struct iovec parts[2] = {{buffer, size / 3}, {buffer + size / 3, size - size / 3}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	switch (dice_below(dice, flags ? 2 : 4)) {
	case 0:
		return send(task->fd, buffer, size, flags | MSG_NOSIGNAL);
	case 1:
		return sendmsg(task->fd, &message, flags | MSG_NOSIGNAL);
	case 2:
		return write(task->fd, buffer, size);
	default:
		return writev(task->fd, parts, 2);
	}
}

static void fill(const struct task *task, size_t size)
{
	uint64_t position = own(task)->accepted;

	if (is_faulty(task, FAULT_LOSE) && position > 1000)
		position++;
	if (is_faulty(task, FAULT_REPEAT) && position > 1000)
		position--;
	pattern_fill(task->plan.seed[task->side], position, buffer, size);
	if (is_faulty(task, FAULT_CORRUPT) && position > 1000)
		buffer[size / 2] ^= 1;
}

static void write_step(struct task *task, int flags)
{
	struct end_state *end = own(task);
	struct dice *dice = &end->dice[WAY_WRITE];
	const uint64_t left = limit_of(task) - end->accepted;
	size_t size = dice_size(dice, task->plan.write_max[task->side]);
	ssize_t n;

	if (size > left)
		size = (size_t)left;
	fill(task, size);
	atomic_store(&end->attempted, end->accepted + size);
	n = write_somehow(task, dice, size, flags);
	if (n > 0) {
		atomic_fetch_add(&end->accepted, (uint64_t)n);
		if (dice_below(dice, 4) == 0)
			task->rest_until =
				now_ms() + dice_below(dice, task->plan.pause_us[task->side]) / 1000;
	} else if (n < 0 && errno == EAGAIN) {
		task->ready &= ~DOES(WAY_WRITE);
	} else if (n == 0) {
		complain(task->number, "a write of %zu bytes on side %u gave 0", size, task->side);
	} else if (errno != EINTR) {
		ended(task, errno, "write");
	}
	/* Whoever goes on begins with what was accepted. */
	atomic_store(&end->attempted, end->accepted);
}

/* --- the end --- */

/* A dead writer of a split end cannot say that it writes no more: its reader does. */
static bool must_shut(const struct task *task)
{
	if (has(task, END_SHUT | END_RESET))
		return false;
	if (!(task->does & DOES(WAY_WRITE)))
		return own(task)->owner[WAY_WRITE] == OWNER_DEAD;
	return finish_of(task) == FINISH_SHUT && all_written(task);
}

static void shut(struct task *task)
{
	if (is_faulty(task, FAULT_CUT))
		atomic_fetch_add(&own(task)->accepted, 7);
	set(task, END_SHUT);
	if (shutdown(task->fd, SHUT_WR) < 0 && errno != ENOTCONN)
		complain(task->number, "shutdown on side %u: %s", task->side, strerror(errno));
}

static bool all_read(const struct task *task)
{
	return has(task, END_EOF | END_RESET) ||
	       (finish_of(task) == FINISH_CLOSE &&
		own(task)->received >= task->plan.length[!task->side]);
}

static bool is_over(const struct task *task)
{
	if (has(task, END_RESET))
		return true;
	if (task->does == DOES(WAY_READ))
		return all_read(task) && !must_shut(task);
	if (task->does == DOES(WAY_WRITE))
		return all_written(task);
	switch (finish_of(task)) {
	case FINISH_EARLY:
	case FINISH_LINGER:
		return all_written(task);
	default:
		return all_written(task) && all_read(task);
	}
}

static void reset_on_close(struct task *task)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (setsockopt(task->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0)
		complain(task->number, "SO_LINGER on side %u: %s", task->side, strerror(errno));
}

void task_finish(struct task *task)
{
	struct end_state *end = own(task);

	if (finish_of(task) == FINISH_LINGER) {
		set(task, END_LINGER);
		reset_on_close(task);
	}
	for (unsigned int way = 0; way < WAYS; way++)
		if ((task->does & DOES(way)) && !is_faulty(task, FAULT_RESET))
			set(task, END_CLOSED(way));
	if (close(task->fd) < 0)
		complain(task->number, "close on side %u: %s", task->side, strerror(errno));
	for (unsigned int way = 0; way < WAYS; way++)
		if (task->does & DOES(way))
			atomic_store(&end->owner[way], OWNER_OVER);
}

bool task_step(struct task *task, bool may_block)
{
	const int flags = may_block || task->plan.nonblocking[task->side] ? 0 : MSG_DONTWAIT;

	if (is_faulty(task, FAULT_RESET) && own(task)->received > 1000) {
		reset_on_close(task); /* and no word of it on the board */
		return true;
	}
	if (task_wants(task) & task->ready & DOES(WAY_READ))
		read_step(task, flags);
	if (task_wants(task) & task->ready & DOES(WAY_WRITE))
		write_step(task, flags);
	if (must_shut(task))
		shut(task);
	return is_over(task);
}
