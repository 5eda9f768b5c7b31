/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: sendfile and splice
 *
 * The bytes go from the file or pipe straight into the ring, and from the ring into the pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim/bell.h"
#include "shim/call_io.h"
#include "shim/cleanup.h"
#include "shim/connection.h"
#include "shim/hold.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/quiet.h"
#include "shim/settings.h"
#include "shim/signals.h"
#include "shim/stream_common.h"
#include "shim/urgent.h"
#include "shim/user_memory.h"

/*
 * Without waiting.  Return: bytes, 0 at the end, -EINPROGRESS for any failure: who waits will be told why.
 * @unknown: set if that is not known of such a file.
 */
static ssize_t read_at_once(int fd, void *to, size_t n, off64_t at, bool *unknown)
{
	const struct iovec vector = {.iov_base = to, .iov_len = n};
	const int saved = errno;
	long got;

	*unknown = false;
	if (settings.sandboxed) /* which need not know of this call */
		return -EINPROGRESS;
	/* No cancellation point: others wait for the lock. */
	got = libc.syscall(SYS_preadv2, fd, &vector, 1, (long)at, (long)(at >> 32), RWF_NOWAIT);
	*unknown = got < 0 && errno == EOPNOTSUPP;
	errno = saved;
	return got < 0 ? -EINPROGRESS : got;
}

/* One that no disk and no network is behind, and that cannot say that it need not wait (tmpfs). */
static bool is_memory(int fd)
{
	struct statfs what;

	return fstatfs(fd, &what) == 0 &&
	       (what.f_type == TMPFS_MAGIC || what.f_type == RAMFS_MAGIC);
}

/**
 * struct file_source - read at places, as the kernel does, which sets the file's position at the end
 * @at: what is to be read next
 * @is_memory: known to be
 */
struct file_source {
	struct stream_source source;
	int fd;
	off64_t at;
	bool is_memory;
};

static ssize_t read_file(struct stream_source *source, void *to, size_t n, bool waits)
{
	struct file_source *file = (struct file_source *)source;
	ssize_t got = -EINPROGRESS;
	bool unknown = false;

	if (!waits && !file->is_memory)
		got = read_at_once(file->fd, to, n, file->at, &unknown);
	if (unknown)
		file->is_memory = is_memory(file->fd);
	if (waits || (got < 0 && file->is_memory)) {
		got = pread64(file->fd, to, n, file->at);
		if (got < 0)
			return -errno;
	}
	if (got > 0)
		file->at += got;
	return got;
}

/* On a connection with rings: @offset is the program's, and may be any address. */
static ssize_t file_to_socket(struct connection *connection, int fd, int from, off64_t *offset,
			      size_t size)
{
	struct file_source file = {.source.read = read_file, .fd = from};
	off64_t at = 0;
	ssize_t n;

	/* The kernel says what is wrong with the source, and with the offset, if we ask for nothing. */
	if (libc.sendfile64(fd, from, offset, 0) < 0)
		return -errno;
	if (size == 0)
		return 0;
	if (offset && !user_copy(&at, offset, sizeof(at)))
		return -EFAULT;
	if (!offset)
		at = lseek64(from, 0, SEEK_CUR);
	file.at = at;
	n = stream_fill(connection, fd, size, 0, &file.source);
	if (n <= 0)
		return n == -EISDIR ? -EINVAL : n;
	at += n; /* more may have been read than there was room for */
	if (!offset)
		(void)lseek64(from, at, SEEK_SET);
	else if (!user_copy(offset, &at, sizeof(at)))
		return -EFAULT;
	return n;
}

/* A pipe that is open in the direction wanted? */
static bool is_pipe(int fd, bool reads)
{
	const int status = libc.fcntl(fd, F_GETFL);
	struct stat what;

	return status >= 0 && fstat(fd, &what) == 0 && S_ISFIFO(what.st_mode) &&
	       (status & O_ACCMODE) != (reads ? O_WRONLY : O_RDONLY);
}

static bool is_attached_socket(int fd)
{
	struct connection *connection = connection_get(fd);
	const bool attached = connection && is_attached(connection);

	if (connection)
		connection_put(connection);
	return attached;
}

EXPORT ssize_t sendfile64(int fd, int from, off64_t *offset, size_t size)
{
	struct connection *connection;
	ssize_t result;
	int state;

	libc_ready();
	connection = connection_get(fd);
	if (!connection && !offset && is_attached_socket(from) && is_pipe(fd, false))
		return splice(from, NULL, fd, NULL, size, 0); /* the one target a socket has */
	if (!connection)
		return libc.sendfile64(fd, from, offset, size);
	if (stream_kernel_begin(connection, DIRECTION_SEND)) {
		IN_KERNEL(result, libc.sendfile64(fd, from, offset, size), DIRECTION_SEND, 0);
		stream_kernel_end(connection, fd, DIRECTION_SEND, result);
	} else {
		/* libc's is no cancellation point. */
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		result = to_errno(file_to_socket(connection, fd, from, offset, size));
		pthread_setcancelstate(state, NULL);
	}
	connection_put(connection);
	return result;
}

EXPORT ssize_t sendfile(int fd, int from, off_t *offset, size_t size)
{
	return sendfile64(fd, from, offset, size);
}

/**
 * struct pipe_source - waits for its first byte, as the kernel does
 * @waits: it does
 * @begun: it has given some
 */
struct pipe_source {
	struct stream_source source;
	struct connection *connection;
	int fd;
	bool waits;
	bool begun;
};

static ssize_t wait_and_read(const struct pipe_source *pipe, void *to, size_t n)
{
	struct cleanup cleanup;
	ssize_t got;

	cleanup_push(&cleanup, stream_abandon, pipe->connection);
	got = libc.read(pipe->fd, to, n);
	cleanup_pop(&cleanup);
	return got < 0 ? -errno : got;
}

static ssize_t read_pipe(struct stream_source *source, void *to, size_t n, bool waits)
{
	struct pipe_source *pipe = (struct pipe_source *)source;
	struct pollfd look = {.fd = pipe->fd, .events = POLLIN};
	bool unknown;
	ssize_t got;

	/* Another reader may take what poll(2) saw: then the read waits, but nobody for us. */
	if (waits && (pipe->begun || !pipe->waits) && quiet_poll(&look, 1, 0) <= 0)
		return pipe->begun ? 0 : -EAGAIN;
	got = waits ? wait_and_read(pipe, to, n) : read_at_once(pipe->fd, to, n, -1, &unknown);
	pipe->begun |= got > 0;
	return got;
}

/* Sleep until @pipe is ready, as the kernel does.  0, -EAGAIN: it is not, and the call does not wait; -EINTR */
static int wait_for_pipe(struct connection *connection, int pipe, short events, bool waits)
{
	const struct handler_runs before = handler_runs;
	struct pollfd look = {.fd = pipe, .events = events};
	struct cleanup cleanup;
	int n;

	cleanup_push(&cleanup, stream_abandon, connection);
	do
		n = libc.poll(&look, 1, waits ? -1 : 0);
	while (n < 0 && errno == EINTR && signals_restarted(&before));
	cleanup_pop(&cleanup);
	if (n < 0)
		return -errno;
	return look.revents & (events | POLLHUP | POLLERR) ? 0 : -EAGAIN;
}

static ssize_t pipe_to_socket(struct connection *connection, int from, int fd, size_t size,
			      unsigned int flags)
{
	bool waits = !(flags & SPLICE_F_NONBLOCK) && !(libc.fcntl(from, F_GETFL) & O_NONBLOCK);
	struct pipe_source pipe = {.source = {.read = read_pipe, .is_consumed = true},
				   .connection = connection,
				   .fd = from,
				   .waits = waits};
	const int error = wait_for_pipe(connection, from, POLLIN, waits);

	if (error)
		return error;
	return stream_fill(connection, fd, size, flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0,
			   &pipe.source);
}

/* With the lock: how many of @size bytes come before an urgent one (urgent.h). */
static size_t pass_and_stop(struct connection *connection, size_t size)
{
	const struct urgent_view view = urgent_look(connection);

	urgent_pass(connection, view.skip);
	return size < view.most ? size : view.most;
}

/* Without waiting; not all that is called a pipe can say that it would (a FIFO, or Linux before 6.5). */
static ssize_t write_at_once(int fd, void *from, size_t n)
{
	const struct iovec vector = {.iov_base = from, .iov_len = n};
	struct pollfd look = {.fd = fd, .events = POLLOUT};
	ssize_t done = settings.sandboxed
			       ? -1
			       : libc.syscall(SYS_pwritev2, fd, &vector, 1, -1L, -1L, RWF_NOWAIT);

	if (done < 0 && (settings.sandboxed || errno == EOPNOTSUPP)) {
		if (quiet_poll(&look, 1, 0) <= 0)
			return -EAGAIN;
		/* As much as poll() promises room for, while nobody else writes there. */
		done = quiet_write(fd, from, n < PIPE_BUF ? n : PIPE_BUF);
	}
	return done < 0 ? -errno : done;
}

/* One stretch of the ring into the pipe; 0: nothing there. */
static ssize_t ring_to_pipe(struct connection *connection, int to, size_t size)
{
	struct ring *ring = &connection->receive;
	const size_t before = ring_available(ring);
	uint8_t *span;
	uint64_t from;
	ssize_t n;

	hold_begin(connection, stream_abandon_take); /* a FIFO may let us wait */
	if (lock_take(&ring->own->lock, thread_id()) < 0) {
		hold_end();
		return -EAGAIN;
	}
	from = atomic_load_explicit(&ring->own->position, memory_order_relaxed);
	if (__builtin_expect(is_remote(connection), 0))
		size = pass_and_stop(connection, size);
	n = ring_front(ring, &span);
	if (n > 0) {
		n = write_at_once(to, span, (size_t)n < size ? (size_t)n : size);
		if (n > 0)
			ring_release(ring, (size_t)n);
	}
	if (__builtin_expect(is_remote(connection), 0))
		urgent_after_read(connection, from);
	lock_drop(&ring->own->lock);
	if (n > 0)
		bell_tell_writer(connection, before);
	hold_end();
	return n;
}

/* Of what TCP has before the switch. */
static ssize_t splice_counted(struct connection *connection, int fd, int to, size_t size,
			      unsigned int flags)
{
	struct side_direction *direction = &connection->side->receive;
	ssize_t n;

	latch_begin();
	atomic_fetch_add(&direction->in_kernel, 1);
	n = quiet_splice(fd, NULL, to, NULL, size, flags | SPLICE_F_NONBLOCK);
	n = n < 0 ? -errno : n;
	if (n > 0)
		move_account(connection, fd, DIRECTION_RECEIVE, (size_t)n);
	atomic_fetch_sub(&direction->in_kernel, 1);
	latch_end();
	return n;
}

static ssize_t socket_to_pipe(struct connection *connection, int fd, int to, size_t size,
			      unsigned int flags)
{
	bool waits = !(flags & SPLICE_F_NONBLOCK) && !stream_is_nonblocking(connection, 0);
	char byte;
	struct iovec one = {.iov_base = &byte, .iov_len = 1};
	size_t done = 0;
	ssize_t n;

	do {
		/* Waits, and tells the end and errors, as a read would. */
		n = stream_receive(connection, fd, &one, 1,
				   MSG_PEEK | (waits && !done ? 0 : MSG_DONTWAIT));
		if (n <= 0)
			break;
		if (waits && !done && (n = wait_for_pipe(connection, to, POLLOUT, true)))
			return n;
		if (!receive_has_moved(connection)) {
			n = splice_counted(connection, fd, to, size - done, flags);
			if (n <= 0)
				break;
			done += (size_t)n; /* and go on: the rest may be in the ring */
			continue;
		}
		n = ring_to_pipe(connection, to, size - done);
		if (n == 0) { /* it was TCP's: somebody wrote past the shim */
			n = quiet_splice(fd, NULL, to, NULL, size, flags | SPLICE_F_NONBLOCK);
			n = n < 0 ? -errno : n;
		}
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 && done < size);
	return done ? (ssize_t)done : n;
}

#define SPLICE_FLAGS                                                                               \
	((unsigned int)(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))

EXPORT ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
		      unsigned int flags)
{
	struct connection *source, *target, *connection;
	enum way way;
	ssize_t result;

	libc_ready();
	source = call_io_enter(from);
	target = source ? NULL : call_io_enter(to);
	connection = source ? source : target;
	if (!connection)
		return libc.splice(from, from_offset, to, to_offset, size, flags);
	way = source ? DIRECTION_RECEIVE : DIRECTION_SEND;
	if (stream_kernel_begin(connection, way)) {
		IN_KERNEL(result, libc.splice(from, from_offset, to, to_offset, size, flags), way,
			  0);
		stream_kernel_end(connection, source ? from : to, way, result);
	} else if (from_offset || to_offset || size == 0 || (flags & ~SPLICE_FLAGS) ||
		   !is_pipe(source ? to : from, !source)) {
		/* What the kernel refuses, it refuses before it looks into the socket. */
		result = quiet_splice(from, from_offset, to, to_offset, size, flags);
	} else if (source) {
		result = socket_to_pipe(source, from, to, size, flags);
		result = result == -ESTALE ? libc.splice(from, NULL, to, NULL, size, flags)
					   : to_errno(result);
	} else {
		result = to_errno(pipe_to_socket(target, from, to, size, flags));
	}
	connection_put(connection);
	return result;
}
