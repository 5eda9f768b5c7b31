/* SPDX-License-Identifier: MIT */
/*
 * same - run one behaviour, or list them (see same.h)
 *
 *   same list | same all | same NAME...
 *
 * SAME_WARMUP: exchanges before a behaviour starts (20)
 */
#include "same.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Some check hundreds of megabytes, under ASan on a busy machine too. */
#define BEHAVIOUR_SECONDS 45U

char same_block[64 << 20];

static const struct behaviour *const topics[] = {
	same_io, same_vector, same_file, same_option, same_close, same_signal, same_poll,
	same_epoll, same_epoll_more, same_epoll_names, same_number, same_descriptor, same_fork, same_threads,
	same_pass, same_pass_odd, same_sandbox, same_sandbox_wait, same_clone, same_misc, same_killed,
	same_cancel, same_mixed, same_socket, same_holders, same_start, same_every_option,
	same_epoll_fork, same_back, same_pass_far, same_option_late, same_destroyed,
	same_cancel_held, same_stdio, same_nothing,
};

void say(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
	fflush(stdout);
}

void say_call(const char *what, ssize_t result)
{
	int error = errno;

	if (result < 0)
		say("%s = %zd %s", what, result, strerrorname_np(error));
	else
		say("%s = %zd", what, result);
	errno = 0;
}

void say_poll(const char *what, unsigned int events)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} bits[] = {{POLLIN, "IN"},	    {POLLPRI, "PRI"},	    {POLLOUT, "OUT"},
		    {POLLERR, "ERR"},	    {POLLHUP, "HUP"},	    {POLLNVAL, "NVAL"},
		    {POLLRDNORM, "RDNORM"}, {POLLRDBAND, "RDBAND"}, {POLLWRNORM, "WRNORM"},
		    {POLLRDHUP, "RDHUP"}};
	char text[128] = "";
	size_t i;

	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (events & bits[i].bit) {
			strcat(text, " ");
			strcat(text, bits[i].name);
		}
	say("%s:%s", what, text[0] ? text : " nothing");
}

void say_pattern(const char *what, uint64_t seed, uint64_t position, const void *buffer,
		 size_t length)
{
	size_t good = pattern_check(seed, position, buffer, length);

	if (good == length)
		say("%s: right", what);
	else
		say("%s: wrong at %zu of %zu", what, good, length);
}

void settle(void)
{
	sleep_us(40000);
}

/* The state of a thread of ours, as in proc(5); 0: it is gone */
static char state_of(const char *thread)
{
	char path[64], text[512], *name_end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/stat", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	name_end = strrchr(text, ')');
	return name_end && name_end[1] ? name_end[2] : 0;
}

static bool others_sleep(void)
{
	DIR *threads = opendir("/proc/self/task");
	const struct dirent *thread;
	bool sleep = true;

	while (threads && (thread = readdir(threads))) {
		if (thread->d_name[0] == '.' || atoi(thread->d_name) == gettid())
			continue;
		if (state_of(thread->d_name) == 'R')
			sleep = false;
	}
	if (threads)
		closedir(threads);
	return sleep;
}

void let_block(void)
{
	int asleep = 0;

	sleep_us(50000);
	for (int looks = 0; looks < 200 && asleep < 2; looks++) {
		sleep_us(5000);
		asleep = others_sleep() ? asleep + 1 : 0;
	}
}

static int warm_rounds(void)
{
	const char *rounds = getenv("SAME_WARMUP");

	return rounds ? atoi(rounds) : 20;
}

void pair_warm_one(int fd, int answers)
{
	int rounds = warm_rounds(), i;
	char byte = 'w';

	for (i = 0; i < rounds; i++) {
		if (!answers)
			write_all(fd, &byte, 1);
		if (read_all(fd, &byte, 1) != 1)
			die("warm-up");
		if (answers)
			write_all(fd, &byte, 1);
		else
			sleep_us(500);
	}
}

void pair_warm(const int ends[2])
{
	int rounds = warm_rounds(), i;
	char byte = 'w';

	for (i = 0; i < rounds; i++) {
		write_all(ends[0], &byte, 1);
		if (read_all(ends[1], &byte, 1) != 1)
			die("warm-up");
		write_all(ends[1], &byte, 1);
		if (read_all(ends[0], &byte, 1) != 1)
			die("warm-up");
		sleep_us(500);
	}
}

void pair_open(int ends[2])
{
	int one = 1;

	connect_pair(ends);
	setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	pair_warm(ends);
	errno = 0;
}

void pair_close(const int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static struct {
	pthread_t thread;
	void (*what)(void);
	unsigned int after_ms;
} later;

static void *later_thread(void *unused)
{
	sleep_us(later.after_ms * 1000);
	later.what();
	return unused;
}

void run_later(void (*what)(void), unsigned int after_ms)
{
	sigset_t all, before;

	later.what = what;
	later.after_ms = after_ms;
	/* signals are for the thread that the behaviour is about */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	if (pthread_create(&later.thread, NULL, later_thread, NULL) != 0)
		die("pthread_create");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void run_later_join(void)
{
	pthread_join(later.thread, NULL);
}

static int later_fd;
static const char *later_text;

static void write_text(void)
{
	write_all(later_fd, later_text, strlen(later_text));
}

void send_later(int fd, const char *text, unsigned int after_ms)
{
	later_fd = fd;
	later_text = text;
	run_later(write_text, after_ms);
}

void send_later_join(void)
{
	run_later_join();
}

size_t fill(int fd)
{
	static char block[32768];
	size_t total = 0;
	int tries = 0;
	ssize_t n;

	/* after an EAGAIN there may be room again, until TCP's timers have nothing more to say */
	while (tries < 20) {
		n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			total += (size_t)n;
			tries = 0;
		} else if (n < 0 && errno == EAGAIN) {
			settle();
			tries++;
		} else {
			break;
		}
	}
	return total;
}

size_t drain(int fd)
{
	static char block[65536];
	size_t total = 0;
	int tries = 0;
	ssize_t n;

	while (tries < 3) {
		n = recv(fd, block, sizeof(block), MSG_DONTWAIT);
		if (n > 0) {
			total += (size_t)n;
			tries = 0;
		} else if (n < 0 && errno == EAGAIN) {
			settle();
			tries++;
		} else {
			break;
		}
	}
	return total;
}

void *no_access(void)
{
	void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		die("mmap");
	return page;
}

bool late_page_open(struct late_page *page)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.range = {.start = (uintptr_t)page->at, .len = page->bytes},
					.mode = UFFDIO_REGISTER_MODE_MISSING};

	page->faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	return page->faults >= 0 && ioctl(page->faults, UFFDIO_API, &api) == 0 &&
	       ioctl(page->faults, UFFDIO_REGISTER, &range) == 0;
}

void late_page_wait(const struct late_page *page)
{
	struct uffd_msg message;

	if (read(page->faults, &message, sizeof(message)) != sizeof(message))
		die("userfaultfd");
}

void late_page_end(const struct late_page *page)
{
	struct uffdio_zeropage zero = {.range = {.start = (uintptr_t)page->at, .len = page->bytes}};

	ioctl(page->faults, UFFDIO_ZEROPAGE, &zero);
}

int temporary_file(uint64_t seed, size_t length)
{
	char name[] = "/tmp/same-XXXXXX", *bytes = malloc(length ? length : 1);
	int fd = mkstemp(name);

	if (fd < 0 || !bytes)
		die("temporary file");
	unlink(name);
	pattern_fill(seed, 0, bytes, length);
	write_all(fd, bytes, length);
	if (lseek(fd, 0, SEEK_SET) < 0)
		die("lseek");
	free(bytes);
	return fd;
}

static void out_of_time(int signal_number)
{
	static const char text[] = "hangs\n";

	(void)signal_number;
	if (write(1, text, sizeof(text) - 1) < 0)
		_exit(4);
	_exit(3);
}

static void run(const struct behaviour *behaviour)
{
	signal(SIGALRM, out_of_time);
	alarm(BEHAVIOUR_SECONDS);
	behaviour->run();
	alarm(0);
}

int main(int argc, char **argv)
{
	int list = argc == 2 && strcmp(argv[1], "list") == 0;
	int all = argc == 2 && strcmp(argv[1], "all") == 0, found = 0, i;
	const struct behaviour *b;
	size_t t;

	if (argc == 4 && strcmp(argv[1], "go-on") == 0)
		same_go_on(atoi(argv[2]), atoi(argv[3]));
	for (i = 1; i < argc; i++)
		for (t = 0; t < sizeof(topics) / sizeof(topics[0]); t++)
			for (b = topics[t]; b->name; b++) {
				if (!list && !all && strcmp(argv[i], b->name) != 0)
					continue;
				found = 1;
				if (list || all)
					say("%s%s", all ? "== " : "", b->name);
				if (!list)
					run(b);
			}
	if (!found)
		fprintf(stderr, "usage: same list | all | NAME...\n");
	return found ? 0 : 2;
}
