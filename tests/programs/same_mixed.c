/* SPDX-License-Identifier: MIT */
/* waits for moved connections beside everything else, nested, shared and exclusive */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "same.h"

enum kind { MOVED, PLAIN, PIPE, TIMER, SIGNAL, EVENT, LISTENER, KINDS };

static const char *const kind_names[KINDS] = {"moved",	"plain", "pipe",    "timer",
					      "signal", "event", "listener"};

/* One of each; what makes it readable is written to the other side. */
struct company {
	int fds[KINDS];
	int moved[2];
	int pipes[2];
	uint16_t port;
	int caller;
};

/* A socket connected to itself: it stays TCP. */
static int plain_socket(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
	    connect(fd, (struct sockaddr *)&address, length) < 0)
		die("self-connect");
	return fd;
}

static void company_open(struct company *company)
{
	sigset_t usr1;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	pair_open(company->moved);
	company->port = 0;
	company->caller = -1;
	if (pipe(company->pipes) < 0)
		die("pipe");
	company->fds[MOVED] = company->moved[1];
	company->fds[PLAIN] = plain_socket();
	company->fds[PIPE] = company->pipes[0];
	company->fds[TIMER] = timerfd_create(CLOCK_MONOTONIC, 0);
	company->fds[SIGNAL] = signalfd(-1, &usr1, 0);
	company->fds[EVENT] = eventfd(0, 0);
	company->fds[LISTENER] = listen_local(&company->port);
}

static void make_ready(struct company *company, enum kind kind)
{
	const struct itimerspec now = {.it_value = {0, 1}};

	switch (kind) {
	case MOVED:
		write_all(company->moved[0], "m", 1);
		break;
	case PLAIN:
		write_all(company->fds[PLAIN], "p", 1);
		break;
	case PIPE:
		write_all(company->pipes[1], "p", 1);
		break;
	case TIMER:
		timerfd_settime(company->fds[TIMER], 0, &now, NULL);
		break;
	case SIGNAL:
		raise(SIGUSR1);
		break;
	case EVENT:
		eventfd_write(company->fds[EVENT], 1);
		break;
	default:
		company->caller = connect_local(company->port, 0);
		break;
	}
	settle();
}

static void make_unready(struct company *company, enum kind kind)
{
	char in[sizeof(struct signalfd_siginfo)];

	if (kind == LISTENER) {
		close(accept(company->fds[LISTENER], NULL, NULL));
		close(company->caller);
	} else if (read(company->fds[kind], in, sizeof(in)) <= 0) {
		die("read");
	}
}

static void company_close(struct company *company)
{
	int i;

	for (i = 0; i < KINDS; i++)
		close(company->fds[i]);
	close(company->moved[0]);
	close(company->pipes[1]);
}

static void say_kinds(const char *what, int n, const int ready[KINDS])
{
	int i;

	say_call(what, n);
	for (i = 0; i < KINDS; i++)
		if (ready[i])
			say("  %s", kind_names[i]);
}

static void poll_company(const struct company *company, const char *what, int ms)
{
	struct pollfd wanted[KINDS];
	int ready[KINDS], i, n;

	for (i = 0; i < KINDS; i++)
		wanted[i] = (struct pollfd){company->fds[i], POLLIN, 0};
	n = poll(wanted, KINDS, ms);
	for (i = 0; i < KINDS; i++)
		ready[i] = wanted[i].revents != 0;
	say_kinds(what, n, ready);
}

static void select_company(const struct company *company, const char *what, int ms)
{
	struct timeval time = {0, ms * 1000};
	int ready[KINDS], i, n;
	fd_set reads;

	FD_ZERO(&reads);
	for (i = 0; i < KINDS; i++)
		FD_SET(company->fds[i], &reads);
	n = select(FD_SETSIZE, &reads, NULL, NULL, &time);
	for (i = 0; i < KINDS; i++)
		ready[i] = FD_ISSET(company->fds[i], &reads);
	say_kinds(what, n, ready);
}

static int company_epoll;

static void epoll_company(const struct company *company, const char *what, int ms)
{
	struct epoll_event events[KINDS];
	int ready[KINDS] = {0}, i, n;

	(void)company;
	n = epoll_wait(company_epoll, events, KINDS, ms);
	for (i = 0; i < n; i++)
		ready[events[i].data.u32]++;
	say_kinds(what, n, ready);
}

/* Each alone, then all together. */
static void wait_in_company(void (*look)(const struct company *, const char *, int),
			    uint32_t events)
{
	struct company company;
	int i;

	company_open(&company);
	company_epoll = epoll_create1(0);
	for (i = 0; i < KINDS; i++) {
		struct epoll_event event = {EPOLLIN | events, {.u32 = (uint32_t)i}};

		if (epoll_ctl(company_epoll, EPOLL_CTL_ADD, company.fds[i], &event) < 0)
			die("epoll_ctl");
	}
	look(&company, "idle", 20);
	for (i = 0; i < KINDS; i++) {
		make_ready(&company, (enum kind)i);
		look(&company, "one", 1000);
		make_unready(&company, (enum kind)i);
	}
	look(&company, "idle", 20);
	for (i = 0; i < KINDS; i++)
		make_ready(&company, (enum kind)i);
	look(&company, "all", 1000);
	look(&company, "again", 20);
	company_close(&company);
	close(company_epoll);
}

static void poll_in_company(void)
{
	wait_in_company(poll_company, 0);
}

static void select_in_company(void)
{
	wait_in_company(select_company, 0);
}

static void epoll_in_company(void)
{
	wait_in_company(epoll_company, 0);
}

static void epoll_for_edges_in_company(void)
{
	wait_in_company(epoll_company, EPOLLET);
}

static int epoll_of(int fd, uint32_t events)
{
	struct epoll_event event = {events, {.fd = fd}};
	int epoll = epoll_create1(0);

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	return epoll;
}

static void say_wait(const char *what, int epoll, int ms)
{
	struct epoll_event event = {0};

	int n = epoll_wait(epoll, &event, 1, ms);

	say_call(what, n);
	if (n > 0)
		say_poll("  events", event.events);
}

static void in_two_epolls_and_a_nested_one(void)
{
	int ends[2], level, edge, outer, outermost;
	char in[10];

	pair_open(ends);
	level = epoll_of(ends[1], EPOLLIN);
	edge = epoll_of(ends[1], EPOLLIN | EPOLLET);
	outer = epoll_of(level, EPOLLIN);
	outermost = epoll_of(outer, EPOLLIN);
	say_wait("outermost idle", outermost, 20);
	say_call("write", write(ends[0], "abc", 3));
	say_wait("outermost", outermost, 1000);
	say_wait("outer", outer, 1000);
	say_wait("level", level, 1000);
	say_wait("edge", edge, 1000);
	say_wait("edge again", edge, 20);
	say_wait("level again", level, 20);
	say_call("read", read(ends[1], in, sizeof(in)));
	say_wait("outermost empty", outermost, 20);
	say_wait("level empty", level, 20);
	send_later(ends[0], "later", 50);
	say_wait("outermost woken", outermost, 5000);
	send_later_join();
	say_wait("edge woken", edge, 1000);
	close(ends[0]);
	settle();
	say_wait("edge at the end", edge, 1000);
	say_wait("outermost at the end", outermost, 1000);
	close(outermost);
	close(outer);
	close(level);
	close(edge);
	close(ends[1]);
}

static void half_read_then_new_data_on_an_edge(void)
{
	int ends[2], edge, both, once;
	struct epoll_event event = {EPOLLIN | EPOLLET | EPOLLONESHOT, {0}};
	char in[10];

	pair_open(ends);
	edge = epoll_of(ends[1], EPOLLIN | EPOLLET);
	both = epoll_of(ends[1], EPOLLIN | EPOLLOUT | EPOLLET);
	once = epoll_of(ends[1], EPOLLIN | EPOLLET | EPOLLONESHOT);
	say_wait("both at first", both, 0);
	say_call("write", write(ends[0], "123456", 6));
	settle();
	say_wait("edge", edge, 1000);
	say_wait("both", both, 1000);
	say_wait("once", once, 1000);
	say_call("half", read(ends[1], in, 3));
	say_wait("edge with half", edge, 20);
	say_wait("both with half", both, 20);
	say_call("write", write(ends[0], "789", 3));
	settle();
	say_wait("edge", edge, 1000);
	say_wait("both", both, 1000);
	say_wait("once is over", once, 20);
	say_call("rearm", epoll_ctl(once, EPOLL_CTL_MOD, ends[1], &event));
	say_wait("once", once, 1000);
	say_call("rest", read(ends[1], in, sizeof(in)));
	say_wait("edge empty", edge, 20);
	close(edge);
	close(both);
	close(once);
	pair_close(ends);
}

#define SHARERS 4
#define MESSAGES 200

struct sharer {
	int epoll;
	int fd;
	int again; /* rearm a one-shot */
	int *inside;
	int together;
	int taken;
};

/* Takes a message for each event, until it finds the end. */
static void *take_turns(void *argument)
{
	struct sharer *sharer = argument;
	struct epoll_event event;
	char message[16];
	int over = 0;

	while (!over) {
		if (epoll_wait(sharer->epoll, &event, 1, 5000) != 1)
			return NULL;
		if (sharer->again)
			sharer->together +=
				__atomic_fetch_add(sharer->inside, 1, __ATOMIC_SEQ_CST) != 0;
		if (recv(sharer->fd, message, sizeof(message), MSG_DONTWAIT) == sizeof(message))
			sharer->taken++;
		else
			over = recv(sharer->fd, message, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
		if (sharer->again) {
			__atomic_fetch_sub(sharer->inside, 1, __ATOMIC_SEQ_CST);
			event.events = EPOLLIN | EPOLLONESHOT;
			epoll_ctl(sharer->epoll, EPOLL_CTL_MOD, sharer->fd, &event);
		}
	}
	return NULL;
}

/* One epoll for all threads, or (own) one each. */
static void share_among_threads(uint32_t events, int own)
{
	struct sharer sharers[SHARERS];
	pthread_t threads[SHARERS];
	int ends[2], inside = 0, i, taken = 0, together = 0, epoll;
	char message[16] = "message";

	pair_open(ends);
	epoll = epoll_of(ends[1], events);
	for (i = 0; i < SHARERS; i++) {
		sharers[i] = (struct sharer){.epoll = own && i ? epoll_of(ends[1], events) : epoll,
					     .fd = ends[1],
					     .again = !!(events & EPOLLONESHOT),
					     .inside = &inside};
		pthread_create(&threads[i], NULL, take_turns, &sharers[i]);
	}
	for (i = 0; i < MESSAGES; i++) {
		write_all(ends[0], message, sizeof(message));
		if (i % 10 == 0)
			sleep_us(2000);
	}
	shutdown(ends[0], SHUT_WR);
	for (i = 0; i < SHARERS; i++) {
		pthread_join(threads[i], NULL);
		taken += sharers[i].taken;
		together += sharers[i].together;
		if (own && i)
			close(sharers[i].epoll);
	}
	say("taken %d, two at once %s", taken, together ? "yes" : "no");
	close(epoll);
	pair_close(ends);
}

static void a_one_shot_shared_by_threads(void)
{
	share_among_threads(EPOLLIN | EPOLLONESHOT, 0);
}

static void a_level_shared_by_threads(void)
{
	share_among_threads(EPOLLIN, 0);
}

static void exclusive_epolls_of_threads(void)
{
	share_among_threads(EPOLLIN | EPOLLEXCLUSIVE, 1);
}

/* Each process with an epoll of its own on one inherited connection, then all with one of the parent's. */
static void share_among_processes(uint32_t events, int own)
{
	int ends[2], counts[2], epoll, i, taken = 0, part;
	char message[16] = "message";
	pid_t pids[2];

	pair_open(ends);
	epoll = epoll_of(ends[1], events);
	if (pipe(counts) < 0)
		die("pipe");
	for (i = 0; i < 2; i++) {
		struct sharer sharer = {.fd = ends[1]};

		pids[i] = fork();
		if (pids[i])
			continue;
		close(ends[0]);
		sharer.epoll = own ? epoll_of(ends[1], events) : epoll;
		take_turns(&sharer);
		write_all(counts[1], &sharer.taken, sizeof(sharer.taken));
		_exit(0);
	}
	for (i = 0; i < MESSAGES; i++) {
		write_all(ends[0], message, sizeof(message));
		if (i % 10 == 0)
			sleep_us(2000);
	}
	shutdown(ends[0], SHUT_WR);
	for (i = 0; i < 2; i++) {
		waitpid(pids[i], NULL, 0);
		if (read_all(counts[0], &part, sizeof(part)) != sizeof(part))
			die("pipe");
		taken += part;
	}
	say("taken %d", taken);
	close(epoll);
	pair_close(ends);
}

static void exclusive_epolls_of_processes(void)
{
	share_among_processes(EPOLLIN | EPOLLEXCLUSIVE, 1);
}

static void an_epoll_shared_by_processes(void)
{
	share_among_processes(EPOLLIN, 0);
}

static void odd_waits(void)
{
	struct timespec negative = {-1, 0}, long_nanoseconds = {0, 1000000000};
	struct timeval negative_time = {-1, 0};
	struct pollfd wanted[3];
	fd_set reads;
	int ends[2], closed;

	pair_open(ends);
	closed = dup(ends[1]);
	close(closed);
	wanted[0] = (struct pollfd){-1, POLLIN, 7};
	wanted[1] = (struct pollfd){closed, POLLIN, 0};
	wanted[2] = (struct pollfd){ends[1], 0, 7};
	say_call("poll", poll(wanted, 3, 0));
	say_poll("ignored", (unsigned int)wanted[0].revents);
	say_poll("closed", (unsigned int)wanted[1].revents);
	say_poll("nothing wanted", (unsigned int)wanted[2].revents);
	say_call("negative time", ppoll(&wanted[2], 1, &negative, NULL));
	say_call("long nanoseconds", ppoll(&wanted[2], 1, &long_nanoseconds, NULL));
	FD_ZERO(&reads);
	FD_SET(ends[1], &reads);
	say_call("select", select(ends[1] + 1, &reads, NULL, NULL, &negative_time));
	say_call("pselect", pselect(ends[1] + 1, &reads, NULL, NULL, &negative, NULL));
	shutdown(ends[0], SHUT_WR);
	settle();
	wanted[2].events = POLLRDHUP;
	say_call("half closed", poll(&wanted[2], 1, 1000));
	say_poll("  events", (unsigned int)wanted[2].revents);
	shutdown(ends[1], SHUT_WR);
	settle();
	wanted[2].events = 0;
	say_call("both shut", poll(&wanted[2], 1, 1000));
	say_poll("  events", (unsigned int)wanted[2].revents);
	pair_close(ends);
}

const struct behaviour same_mixed[] = {
	{"poll_in_company", poll_in_company},
	{"select_in_company", select_in_company},
	{"epoll_in_company", epoll_in_company},
	{"epoll_for_edges_in_company", epoll_for_edges_in_company},
	{"in_two_epolls_and_a_nested_one", in_two_epolls_and_a_nested_one},
	{"half_read_then_new_data_on_an_edge", half_read_then_new_data_on_an_edge},
	{"a_one_shot_shared_by_threads", a_one_shot_shared_by_threads},
	{"a_level_shared_by_threads", a_level_shared_by_threads},
	{"exclusive_epolls_of_threads", exclusive_epolls_of_threads},
	{"exclusive_epolls_of_processes", exclusive_epolls_of_processes},
	{"an_epoll_shared_by_processes", an_epoll_shared_by_processes},
	{"odd_waits", odd_waits},
	{NULL, NULL},
};
