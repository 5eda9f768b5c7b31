/* SPDX-License-Identifier: MIT */
/*
 * One end of a connection between soft adapters in two processes: exact bytes both ways, then how
 * fast
 *
 *   rnic INTERFACE serve PORT [OPTION ...]
 *   rnic INTERFACE ADDRESS PORT [OPTION ...]
 *
 *   --seconds=N  --single  --gid=INDEX  --loss=N  --duplicates=N  --reordered=N (of a million)
 *
 * A TCP connection carries what the two must know of each other.  Then each end writes into the
 * window of the other, says so in a message, and the other compares.  Then the one that connected
 * WRITEs messages of 64 KiB for some time, and sends as many by TCP.  Prints "exact" and the rates.
 *
 *   rnic INTERFACE watch 0
 *
 * Prints the state of the port and its addresses whenever an event says that they have changed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fabric/fabric.h"
#include "fabric/soft/device.h"
#include "fabric/soft/udp.h"

#define MESSAGE 65536U
#define DEPTH 16U
#define WINDOW (DEPTH * MESSAGE)
#define NOTE 44U
#define ROUNDS 500U

/* What one end tells the other. */
struct hello {
	struct fabric_gid gid;
	uint32_t number, sequence, key;
	uint64_t address;
	uint8_t mtu;
};

/* What a message says: these bytes of your window are there. */
struct note {
	uint32_t index, offset, length, last;
};

struct end {
	struct fabric_device *device;
	struct fabric_domain *domain;
	struct fabric_queue_pair *pair;
	struct fabric_region *window_region, *buffer_region, *slot_region;
	uint8_t *window, *buffer, (*slots)[NOTE];
	struct hello mine, theirs;
	int tcp;
	unsigned int received, executed, posted;
	bool last;
};

static double seconds = 2;
static unsigned int gid_index;

static void die(const char *what, int error)
{
	fprintf(stderr, "rnic: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static void must(int error, const char *what)
{
	if (error < 0)
		die(what, error);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int tcp_connect(const char *host, const char *port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *found;
	int fd = -1;

	if (getaddrinfo(host, port, &hints, &found))
		die(host, EINVAL);
	for (int i = 0; i < 200; i++) { /* until the other one listens */
		fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, found->ai_addr, found->ai_addrlen) == 0)
			break;
		close(fd);
		fd = -1;
		usleep(50000);
	}
	freeaddrinfo(found);
	return fd >= 0 ? fd : (die("connect", errno), -1);
}

static int tcp_accept(const char *port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6,
				       .sin6_port = htons((uint16_t)atoi(port))};
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, fd;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1))
		die("listen", errno);
	fd = accept(listener, NULL, NULL);
	close(listener);
	return fd >= 0 ? fd : (die("accept", errno), -1);
}

static void tcp_read(int fd, void *to, size_t size)
{
	if (recv(fd, to, size, MSG_WAITALL) != (ssize_t)size)
		die("the other end is gone", ECONNRESET);
}

static void tcp_write(int fd, const void *from, size_t size)
{
	if (send(fd, from, size, MSG_NOSIGNAL) != (ssize_t)size)
		die("the other end is gone", ECONNRESET);
}

static struct fabric_region *registered(struct end *end, void *at, size_t size, unsigned int access)
{
	struct fabric_region *region;

	must(fabric_region_register(end->domain, at, size, access, &region), "register");
	return region;
}

static void post_receive(struct end *end, unsigned int slot)
{
	const struct fabric_piece piece = {end->slots[slot], NOTE, end->slot_region->local_key};

	must(fabric_post_receive(end->pair, slot, &piece), "post a receive");
}

static void end_open(struct end *end)
{
	struct fabric_port port;

	must(fabric_domain_create(end->device, &end->domain), "domain");
	end->window = calloc(1, WINDOW);
	end->buffer = calloc(1, WINDOW);
	end->slots = calloc(2 * DEPTH, NOTE);
	end->window_region = registered(end, end->window, WINDOW, FABRIC_REMOTE_WRITE);
	end->buffer_region = registered(end, end->buffer, WINDOW, 0);
	end->slot_region = registered(end, end->slots, 2 * DEPTH * NOTE, FABRIC_LOCAL_WRITE);
	must(fabric_create(end->domain, &(struct fabric_depths){2 * DEPTH, 2 * DEPTH}, end,
			   &end->pair),
	     "queue pair");
	must(fabric_init(end->pair, FABRIC_REMOTE_WRITE), "init");
	for (unsigned int i = 0; i < 2 * DEPTH; i++)
		post_receive(end, i);
	must(fabric_port_query(end->device, &port), "port");
	end->mine = (struct hello){.number = end->pair->number,
				   .sequence = (uint32_t)now_ns() & 0xffffff,
				   .key = end->window_region->remote_key,
				   .address = end->window_region->address,
				   .mtu = port.mtu};
	must(fabric_gid_query(end->device, gid_index, &end->mine.gid), "gid");
}

static void end_connect(struct end *end)
{
	tcp_write(end->tcp, &end->mine, sizeof(end->mine));
	tcp_read(end->tcp, &end->theirs, sizeof(end->theirs));
	const struct fabric_path path = {.remote = end->theirs.gid,
					 .gid_index = gid_index,
					 .remote_number = end->theirs.number,
					 .sequence = end->theirs.sequence,
					 .mtu = end->mine.mtu < end->theirs.mtu ? end->mine.mtu
										: end->theirs.mtu,
					 .rnr_timer = 5,
					 .hop_limit = 64};
	const struct fabric_retry retry = {
		.sequence = end->mine.sequence, .timeout = 18, .retries = 7, .rnr_retries = 7};

	must(fabric_ready_to_receive(end->pair, &path), "RTR");
	must(fabric_ready_to_send(end->pair, &retry), "RTS");
	tcp_write(end->tcp, "r", 1);
	tcp_read(end->tcp, &(char){0}, 1);
}

static uint8_t byte_at(uint32_t index, uint32_t at)
{
	return (uint8_t)(index * 131 + at * 7 + (at >> 8));
}

static void compare(struct end *end, const struct note *note)
{
	for (uint32_t i = 0; i < note->length; i++)
		if (end->window[note->offset + i] != byte_at(note->index, i))
			die("other bytes than were written", EIO);
}

static void completed(struct end *end, const struct fabric_completion *completion)
{
	struct note note;

	if (completion->status != FABRIC_SUCCESS) {
		fprintf(stderr, "rnic: %s\n", fabric_status_name(completion->status));
		exit(1);
	}
	if (completion->opcode != FABRIC_RECEIVE) {
		end->executed++;
		return;
	}
	memcpy(&note, end->slots[completion->id], sizeof(note));
	compare(end, &note);
	if (!note.last && note.index != end->received)
		die("a message out of order", EIO);
	end->received++;
	end->last = note.last;
	post_receive(end, (unsigned int)completion->id);
}

/* Let the device work; @wait: until something happens. */
static void work(struct end *end, bool wait)
{
	struct pollfd polled = {.fd = fabric_descriptor(end->device), .events = POLLIN};
	struct fabric_completion completions[DEPTH];
	uint64_t now = now_ns(), deadline = fabric_deadline(end->device), left;
	unsigned int count;

	left = deadline > now ? deadline - now : 0;
	left = left < 1000000000 ? left : 1000000000;
	if (wait)
		ppoll(&polled, 1,
		      &(struct timespec){.tv_nsec = (long)(left % 1000000000),
					 .tv_sec = (time_t)(left / 1000000000)},
		      NULL);
	fabric_run(end->device, now_ns());
	while ((count = fabric_poll(end->device, completions, DEPTH)))
		for (unsigned int i = 0; i < count; i++)
			completed(end, &completions[i]);
}

static void write_window(struct end *end, uint32_t offset, uint32_t length, unsigned int flags)
{
	const struct fabric_request request = {
		.flags = flags,
		.count = 1,
		.pieces = {{end->buffer + offset, length, end->buffer_region->local_key}}};

	must(fabric_post_write(end->pair, &request, end->theirs.address + offset, end->theirs.key),
	     "post a WRITE");
}

static void send_note(struct end *end, const struct note *note)
{
	uint8_t bytes[NOTE] = {0};
	const struct fabric_request request = {.flags = FABRIC_SIGNALED | FABRIC_SOLICITED |
							FABRIC_INLINE,
					       .count = 1,
					       .pieces = {{bytes, NOTE, 0}}};

	memcpy(bytes, note, sizeof(*note));
	must(fabric_post_send(end->pair, &request), "post a SEND");
	end->posted++;
}

/* Both ends at the same time: WRITEs of many lengths, each told of. */
static void exact(struct end *end)
{
	for (uint32_t index = 0; index < ROUNDS; index++) {
		struct note note = {.index = index,
				    .offset = index % DEPTH * MESSAGE,
				    .length = (index * 7919) % (MESSAGE + 1)};

		/* A place is written again only when the other end has looked at it, which is known
		 * from what it wrote itself since. */
		while (end->executed + DEPTH / 2 < index || end->received + DEPTH / 2 < index)
			work(end, true);
		for (uint32_t i = 0; i < note.length; i++)
			end->buffer[note.offset + i] = byte_at(index, i);
		write_window(end, note.offset, note.length, 0);
		send_note(end, &note);
		fabric_flush(end->device, now_ns(), false);
	}
	while (end->executed < ROUNDS || end->received < ROUNDS)
		work(end, true);
	printf("exact %u\n", ROUNDS);
	fflush(stdout);
}

static double rate(uint64_t bytes, uint64_t since)
{
	return (double)bytes * 8 / (double)(now_ns() - since);
}

static double write_for_some_time(struct end *end)
{
	unsigned int base = end->executed, started = 0;
	uint64_t since = now_ns();
	double fabric;

	while ((double)(now_ns() - since) < seconds * 1e9) {
		while (started - (end->executed - base) < DEPTH)
			write_window(end, started++ % DEPTH * MESSAGE, MESSAGE, FABRIC_SIGNALED);
		fabric_flush(end->device, now_ns(), false);
		work(end, true);
	}
	fabric = rate((uint64_t)(end->executed - base) * MESSAGE, since);
	while (end->executed - base < started)
		work(end, true);
	send_note(end, &(struct note){.last = 1});
	while (end->executed - base < started + 1)
		work(end, true);
	return fabric;
}

static double tcp_for_some_time(struct end *end)
{
	uint64_t since = now_ns(), bytes = 0;

	for (; (double)(now_ns() - since) < seconds * 1e9; bytes += MESSAGE)
		tcp_write(end->tcp, end->buffer, MESSAGE);
	return rate(bytes, since);
}

static void say_counters(const struct end *end)
{
	const struct soft_counters *counters = soft_counters(end->device);

	printf("packets %llu sent (%llu again, %llu trains, %llu timeouts), %llu received, %llu "
	       "gaps, "
	       "%llu duplicates, %llu damaged\n",
	       (unsigned long long)counters->sent, (unsigned long long)counters->repeated,
	       (unsigned long long)counters->trains, (unsigned long long)counters->timeouts,
	       (unsigned long long)counters->received, (unsigned long long)counters->gaps,
	       (unsigned long long)counters->duplicates, (unsigned long long)counters->bad_icrc);
}

static void serve_rates(struct end *end)
{
	while (!end->last)
		work(end, true);
	say_counters(end);
	/* The answer to the last message may have been lost: be there for a while. */
	for (uint64_t until = now_ns() + 500000000; now_ns() < until;)
		work(end, true);
	tcp_write(end->tcp, "t", 1);
	while (recv(end->tcp, end->buffer, MESSAGE, 0) > 0)
		;
}

static void measure(struct end *end)
{
	double fabric = write_for_some_time(end), tcp;

	say_counters(end);
	tcp_read(end->tcp, &(char){0}, 1);
	tcp = tcp_for_some_time(end);
	printf("WRITE %.2f Gbit/s, TCP %.2f Gbit/s, ratio %.2f\n", fabric, tcp, fabric / tcp);
}

static void say_state(struct fabric_device *device)
{
	struct fabric_port port;
	struct fabric_gid gid;

	if (fabric_port_query(device, &port)) {
		printf("gone\n");
		return;
	}
	printf("%s mtu %u", port.active ? "up" : "down", fabric_mtu_bytes(port.mtu));
	for (unsigned int i = 0; i < FABRIC_GIDS_MAX; i++)
		if (fabric_gid_query(device, i, &gid) == 0)
			printf(" %u:..%02x%02x", i, gid.bytes[14], gid.bytes[15]);
	printf("\n");
}

static void watch(struct fabric_device *device)
{
	struct pollfd polled = {.fd = fabric_descriptor(device), .events = POLLIN};
	struct fabric_event event = {.status = FABRIC_SUCCESS};

	say_state(device);
	while (event.kind != FABRIC_DEVICE_GONE) {
		fflush(stdout);
		poll(&polled, 1, -1);
		fabric_run(device, now_ns());
		while (fabric_event(device, &event))
			say_state(device);
	}
}

static void end_close(struct end *end)
{
	fabric_destroy(end->pair);
	fabric_region_deregister(end->window_region);
	fabric_region_deregister(end->buffer_region);
	fabric_region_deregister(end->slot_region);
	must(fabric_domain_destroy(end->domain), "domain");
	must(fabric_close(end->device), "close");
	free(end->window);
	free(end->buffer);
	free(end->slots);
	close(end->tcp);
}

static void parse(int argc, char **argv, struct soft_config *config)
{
	static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
						{"single", no_argument, NULL, '1'},
						{"gid", required_argument, NULL, 'g'},
						{"loss", required_argument, NULL, 'l'},
						{"duplicates", required_argument, NULL, 'd'},
						{"reordered", required_argument, NULL, 'r'},
						{NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;

		switch (option) {
		case 's':
			seconds = atof(optarg);
			break;
		case '1':
			config->single = true;
			break;
		case 'g':
			gid_index = number;
			break;
		case 'l':
			config->faults.loss = number;
			break;
		case 'd':
			config->faults.duplicates = number;
			break;
		case 'r':
			config->faults.reordered = number;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct soft_config config = {.faults.seed = 1};
	struct end end = {0};
	bool serve;

	parse(argc, argv, &config);
	if (argc - optind != 3) {
		fprintf(stderr, "usage: rnic INTERFACE serve|watch|ADDRESS PORT [OPTION ...]\n");
		return 2;
	}
	config.interface = argv[optind];
	serve = strcmp(argv[optind + 1], "serve") == 0;
	must(soft_open(&config, &end.device), config.interface);
	if (strcmp(argv[optind + 1], "watch") == 0) {
		watch(end.device);
		must(fabric_close(end.device), "close");
		return 0;
	}
	end.tcp = serve ? tcp_accept(argv[optind + 2])
			: tcp_connect(argv[optind + 1], argv[optind + 2]);
	end_open(&end);
	end_connect(&end);
	exact(&end);
	if (serve)
		serve_rates(&end);
	else
		measure(&end);
	end_close(&end);
	return 0;
}
