/* SPDX-License-Identifier: MIT */
/*
 * A descriptor whose close() never returns, whatever one does: a file of a FUSE file system whose
 * server does not answer FLUSH.  Any user can have one (in a user namespace of his own).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../daemon/client.h"

#define SERVER_LIVES_S 20
#define PASSED 12 /* fewer than cost the user his sessions */

static void reply(int fuse, const struct fuse_in_header *request, int error, void *body,
		  size_t size)
{
	struct fuse_out_header header = {.len = (uint32_t)(sizeof(header) + size),
					 .error = error,
					 .unique = request->unique};
	struct iovec parts[2] = {{&header, sizeof(header)}, {body, size}};

	if (writev(fuse, parts, 2) < 0)
		return;
}

/*
 * A file system that is one file; it opens, and is never flushed.  When this process ends the
 * kernel gives up on the file system; it must not have the file open itself.
 */
static _Noreturn void serve(int fuse)
{
	static _Alignas(8) char buffer[1 << 18];
	const struct fuse_in_header *request = (struct fuse_in_header *)buffer;
	struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 4096};
	struct fuse_attr_out status = {.attr = {.ino = 1, .mode = S_IFREG | 0600, .nlink = 1}};
	struct fuse_open_out opened = {0};

	alarm(SERVER_LIVES_S);
	while (read(fuse, buffer, sizeof(buffer)) > 0) {
		switch (request->opcode) {
		case FUSE_INIT:
			reply(fuse, request, 0, &init, sizeof(init));
			break;
		case FUSE_GETATTR:
			reply(fuse, request, 0, &status, sizeof(status));
			break;
		case FUSE_OPEN:
			reply(fuse, request, 0, &opened, sizeof(opened));
			break;
		case FUSE_FLUSH:
			break;
		default:
			reply(fuse, request, -ENOSYS, NULL, 0);
		}
	}
	_exit(0);
}

/* Returns a descriptor that cannot be closed, or does not return where FUSE cannot be had. */
static int unclosable(pid_t *server)
{
	char options[96], path[] = "/tmp/smcu-unclosable-XXXXXX";
	int fd = mkstemp(path), fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	close(fd);
	snprintf(options, sizeof(options), "fd=%d,rootmode=100600,user_id=0,group_id=0", fuse);
	if (fuse < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("smcu-test", path, "fuse", MS_NODEV | MS_NOSUID, options) < 0) {
		unlink(path);
		_exit(77);
	}
	*server = fork();
	if (!*server)
		serve(fuse);
	close(fuse);
	fd = open(path, O_RDWR | O_CLOEXEC);
	umount2(path, MNT_DETACH);
	unlink(path);
	if (fd < 0)
		_exit(78);
	return fd;
}

static void pass_unclosable(const struct daemon_under_test *daemon, int ready)
{
	union message message;
	struct client client;
	pid_t server;
	int i, fd;

	fd = unclosable(&server);
	for (i = 0; i < PASSED; i++) {
		client_connect(&client, daemon);
		message_init(&message, MESSAGE_HELLO);
		message.hello.role = ROLE_SHIM;
		send_packet(client.socket, &message, sizeof(message.hello), &fd, 1);
	}
	if (write(ready, &server, sizeof(server)) != sizeof(server))
		kill(server, SIGKILL);
	_exit(0); /* once the server has ended */
}

static void a_descriptor_that_cannot_be_closed(void **state)
{
	struct daemon_under_test daemon, next;
	int64_t begin;
	int i, ready[2], status;
	pid_t child, server, second;

	(void)state;
	start_daemon(&daemon, NULL);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	if (!child)
		pass_unclosable(&daemon, ready[1]);
	close(ready[1]);
	if (read(ready[0], &server, sizeof(server)) != sizeof(server)) {
		waitpid(child, &status, 0);
		stop_daemon(&daemon);
		skip();
	}
	close(ready[0]);
	for (i = 0; i < 20; i++) {
		begin = milliseconds();
		must_serve(&daemon);
		assert_true(milliseconds() - begin < 250);
	}
	/* It ends as far as it can: its place is free for the next one. */
	kill(daemon.pid, SIGTERM);
	for (i = 0; i < 300 && access(daemon.socket, F_OK) == 0; i++)
		usleep(10000);
	usleep(100000);
	assert_int_equal(access(daemon.socket, F_OK), -1);
	second = fork();
	if (!second) {
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		execl(daemon_program, "smcud", "-f", "--socket", daemon.socket, (char *)NULL);
		_exit(127);
	}
	for (i = 0; i < 300 && access(daemon.socket, F_OK) != 0; i++)
		usleep(10000);
	usleep(100000);
	must_serve(&daemon);
	kill(server, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(waitpid(daemon.pid, &status, 0), daemon.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	next = daemon;
	next.pid = second;
	stop_daemon(&next);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_that_cannot_be_closed),
	};

	if (argc < 2)
		return 2;
	daemon_program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
