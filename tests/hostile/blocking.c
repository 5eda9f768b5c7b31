/* SPDX-License-Identifier: MIT */
/*
 * Clients that pass what blocks who closes it or looks at it: nobody else waits
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../daemon/client.h"

static struct daemon_under_test daemon_;

static int setup(void **state)
{
	(void)state;
	start_daemon(&daemon_, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop_daemon(&daemon_);
	return 0;
}

/* A connection whose last close would last an hour: data that the peer never takes. */
static void make_lingering(int ends[2])
{
	struct linger hour = {1, 3600};
	static const char data[1 << 16];

	tcp_pair(ends, AF_INET, AF_INET);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	while (send(ends[0], data, sizeof(data), MSG_NOSIGNAL) > 0)
		;
	fcntl(ends[0], F_SETFL, 0);
	assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)), 0);
}

/* The last copy of @fd is the daemon's. */
static void close_quickly(int fd)
{
	close(fd); /* while another copy is in flight or in the daemon, this does not linger */
}

static void descriptors_that_linger(void **state)
{
	enum { COUNT = 100 };
	unsigned int before = daemon_descriptors(&daemon_);
	int ends[COUNT][2], i;
	struct client client;

	(void)state;
	client_open(&client, &daemon_);
	for (i = 0; i < COUNT; i++)
		make_lingering(ends[i]);
	kill(daemon_.pid, SIGSTOP); /* so that the daemon's copy is the last */
	for (i = 0; i < COUNT; i++) {
		offer(&client, (uint64_t)i, ends[i][0]);
		close_quickly(ends[i][0]);
	}
	kill(daemon_.pid, SIGCONT);
	for (i = 0; i < 20; i++)
		must_serve_at_once(&daemon_);
	client_close(&client);
	must_let_go(&daemon_, before);
	for (i = 0; i < COUNT; i++)
		close(ends[i][1]);
}

/* The same in the queue of a session that is dropped with them unread. */
static void a_session_full_of_descriptors_that_linger(void **state)
{
	enum { COUNT = 20 };
	unsigned int before = daemon_descriptors(&daemon_);
	int ends[COUNT][2], fds[COUNT], i;
	struct client client;

	(void)state;
	for (i = 0; i < COUNT; i++) {
		make_lingering(ends[i]);
		fds[i] = ends[i][0];
	}
	client_connect(&client, &daemon_);
	kill(daemon_.pid, SIGSTOP);
	for (i = 0; i < 20; i++)
		assert_int_equal(send_packet(client.socket, "rubbish", 7, fds, COUNT), 0);
	for (i = 0; i < COUNT; i++)
		close_quickly(fds[i]);
	kill(daemon_.pid, SIGCONT);
	for (i = 0; i < 20; i++)
		must_serve_at_once(&daemon_);
	client_close(&client);
	must_let_go(&daemon_, before);
	for (i = 0; i < COUNT; i++)
		close(ends[i][1]);
}

/**
 * struct holder - somebody who holds a kernel lock by using memory that never arrives
 */
struct holder {
	int fd;
	void *page;
};

static void *hold_socket(void *argument)
{
	struct holder *holder = argument;

	send(holder->fd, holder->page, 4096, MSG_NOSIGNAL);
	return NULL;
}

static void *hold_file(void *argument)
{
	struct holder *holder = argument;

	return (void *)pwrite(holder->fd, holder->page, 4096, 0);
}

/* A page that is never filled; -1 if we may not have one. */
static int missing_page(void **page)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0)
		return -1;
	*page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)*page;
	range.range.len = 4096;
	return ioctl(fd, UFFDIO_REGISTER, &range) < 0 ? -1 : fd;
}

/* A process of its own, since nothing but its end lets go of the lock. */
static void hold_locks(void)
{
	struct holder socket_holder, side_holder;
	struct client client;
	pthread_t threads[2];
	int tcp[2], uffd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	uffd = missing_page(&socket_holder.page);
	if (uffd < 0)
		_exit(77);
	side_holder.page = socket_holder.page;
	client_open(&client, &daemon_);
	tcp_pair(tcp, AF_INET, AF_INET);
	socket_holder.fd = tcp[0];
	side_holder.fd = client.side_fd;
	offer(&client, 1, tcp[0]); /* asks for the addresses before the lock is held */
	withdraw(&client, 1);
	pthread_create(&threads[0], NULL, hold_socket, &socket_holder);
	pthread_create(&threads[1], NULL, hold_file, &side_holder);
	usleep(50000);
	{
		union message message;
		int other[2];

		tcp_pair(other, AF_INET, AF_INET);
		offer(&client, 2, other[0]);
		message_init(&message, MESSAGE_OFFER);
		message.offer.id = 3;
		message.offer.local.port = message.offer.peer.port = 1;
		client_send(&client, &message, &tcp[0], 1);
		offer(&client, 4, tcp[1]);
		offer(&client, 5, other[1]);
	}
	for (;;)
		pause();
}

static void locks_held_for_ever(void **state)
{
	pid_t child = fork();
	int i, status = 0;

	(void)state;
	if (!child)
		hold_locks();
	for (i = 0; i < 20; i++) {
		must_serve_at_once(&daemon_);
		usleep(20000);
	}
	if (waitpid(child, &status, WNOHANG) == child)
		skip();
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	must_serve_at_once(&daemon_);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_that_linger),
		cmocka_unit_test(a_session_full_of_descriptors_that_linger),
		cmocka_unit_test(locks_held_for_ever),
	};

	if (argc < 2)
		return 2;
	daemon_program = argv[1];
	cmocka_set_test_filter(argc > 2 ? argv[2] : NULL);
	return cmocka_run_group_tests(tests, setup, teardown);
}
