/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void die(const char *format, ...)
{
	int error = errno;
	char text[512];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, text, strerror(error));
	fflush(NULL);
	_exit(2);
}

uint64_t mix(uint64_t seed, uint64_t n)
{
	uint64_t z = seed + (n + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t dice_roll(struct dice *dice)
{
	dice->state += 0x9e3779b97f4a7c15ULL;
	return mix(dice->state, 0);
}

uint64_t dice_below(struct dice *dice, uint64_t limit)
{
	return dice_roll(dice) % limit;
}

size_t dice_size(struct dice *dice, size_t limit)
{
	unsigned int bits = 0;
	size_t size;

	while (bits < 63 && (limit >> bits) > 1)
		bits++;
	bits = (unsigned int)dice_below(dice, bits + 1U);
	size = ((size_t)1 << bits) + (size_t)dice_below(dice, (uint64_t)1 << bits);
	return size > limit ? limit : size;
}

void pattern_fill(uint64_t seed, uint64_t position, void *buffer, size_t length)
{
	unsigned char *out = buffer;
	uint64_t word;
	size_t n;

	while (length) {
		word = mix(seed, position / 8);
		n = 8 - position % 8;
		if (n > length)
			n = length;
		memcpy(out, (unsigned char *)&word + position % 8, n);
		out += n;
		position += n;
		length -= n;
	}
}

size_t pattern_check(uint64_t seed, uint64_t position, const void *buffer, size_t length)
{
	const unsigned char *in = buffer;
	unsigned char want[4096];
	size_t done = 0, n, i;

	while (done < length) {
		n = length - done < sizeof(want) ? length - done : sizeof(want);
		pattern_fill(seed, position + done, want, n);
		if (memcmp(in + done, want, n) != 0) {
			for (i = 0; in[done + i] == want[i]; i++)
				;
			return done + i;
		}
		done += n;
	}
	return length;
}

/* Where in the stream do these bytes really stand?  -1 if nowhere near. */
static int64_t pattern_find(uint64_t seed, uint64_t position, const unsigned char *in,
			    size_t length)
{
	const uint64_t span = 8U << 20, chunk = 1U << 16;
	uint64_t from = position > span ? position - span : 0, at;
	size_t needle = length < 16 ? length : 16;
	unsigned char *hay = malloc(chunk + 16), *hit;

	if (!hay || needle < 6) {
		free(hay);
		return -1;
	}
	for (at = from; at < position + span; at += chunk) {
		pattern_fill(seed, at, hay, chunk + needle);
		hit = memmem(hay, chunk + needle, in, needle);
		if (hit) {
			at += (uint64_t)(hit - hay);
			free(hay);
			return (int64_t)at;
		}
	}
	free(hay);
	return -1;
}

void pattern_explain(uint64_t seed, uint64_t position, const void *buffer, size_t length,
		     char *text, size_t size)
{
	const unsigned char *in = buffer;
	int64_t at = pattern_find(seed, position, in, length);
	size_t zeroes = 0;

	while (zeroes < length && !in[zeroes])
		zeroes++;
	if (at > (int64_t)position)
		snprintf(text, size, "lost %lld bytes", (long long)(at - (int64_t)position));
	else if (at >= 0)
		snprintf(text, size, "repeats %lld bytes", (long long)((int64_t)position - at));
	else if (zeroes == length)
		snprintf(text, size, "zeroes");
	else
		snprintf(text, size, "foreign bytes");
}

static struct sockaddr_in local_address(uint16_t port, uint32_t host)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(host ? host : INADDR_LOOPBACK)};

	return address;
}

int listen_local(uint16_t *port)
{
	struct sockaddr_in address = local_address(*port, 0);
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		die("listen on port %u", *port);
	*port = ntohs(address.sin_port);
	return fd;
}

int connect_local(uint16_t port, uint32_t source)
{
	struct sockaddr_in address = local_address(0, source);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	if (source && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind to %s", inet_ntoa(address.sin_addr));
	address = local_address(port, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect to port %u", port);
	return fd;
}

void connect_pair(int ends[2])
{
	uint16_t port = 0;
	int listener = listen_local(&port);

	ends[0] = connect_local(port, 0);
	ends[1] = accept(listener, NULL, NULL);
	if (ends[1] < 0)
		die("accept");
	close(listener);
}

void write_all(int fd, const void *buffer, size_t length)
{
	const char *in = buffer;
	ssize_t n;

	while (length) {
		n = write(fd, in, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("write of %zu bytes gave %zd", length, n);
		in += n;
		length -= (size_t)n;
	}
}

size_t read_all(int fd, void *buffer, size_t length)
{
	char *out = buffer;
	size_t done = 0;
	ssize_t n;

	while (done < length) {
		n = read(fd, out + done, length - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("read of %zu bytes after %zu", length, done);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return done;
}

void set_nonblocking(int fd, int on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		die("fcntl");
}

void sleep_us(unsigned int us)
{
	struct timespec rest = {us / 1000000, (long)(us % 1000000) * 1000};

	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
}

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static const char *option_find(int argc, char **argv, const char *name)
{
	size_t length = strlen(name);
	int i;

	for (i = 1; i < argc; i++)
		if (strncmp(argv[i], "--", 2) == 0 && strncmp(argv[i] + 2, name, length) == 0 &&
		    (argv[i][2 + length] == '=' || !argv[i][2 + length]))
			return argv[i] + 2 + length;
	return NULL;
}

uint64_t option_number(int argc, char **argv, const char *name, uint64_t otherwise)
{
	const char *found = option_find(argc, argv, name);

	return found && *found == '=' ? strtoull(found + 1, NULL, 0) : otherwise;
}

const char *option_text(int argc, char **argv, const char *name, const char *otherwise)
{
	const char *found = option_find(argc, argv, name);

	return found && *found == '=' ? found + 1 : otherwise;
}

int option_given(int argc, char **argv, const char *name)
{
	return option_find(argc, argv, name) != NULL;
}

long raw_call(long number, const long arguments[6])
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = arguments[3], r8 __asm__("r8") = arguments[4],
			  r9 __asm__("r9") = arguments[5];
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]),
			   "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = arguments[0],
			 x1 __asm__("x1") = arguments[1], x2 __asm__("x2") = arguments[2],
			 x3 __asm__("x3") = arguments[3], x4 __asm__("x4") = arguments[4],
			 x5 __asm__("x5") = arguments[5];

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "the system call instruction of this processor is missing"
#endif
}

socklen_t address_of(const char *text, uint16_t port, struct sockaddr_storage *address)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
	struct sockaddr_in *four = (struct sockaddr_in *)address;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1) {
		errno = EINVAL;
		die("address %s", text);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	return sizeof(*six);
}
