/* SPDX-License-Identifier: MIT */
/*
 * A client for rdma-core's ibv_rc_pingpong, on a soft adapter: whatever adapter that one has, it
 * sends back what it is sent
 *
 *   pingpong INTERFACE ADDRESS PORT SIZE COUNT
 *
 * The server receives into the buffer that it then sends, so every message must come back as it
 * went; each is another one.  Both are to be told the same SIZE and COUNT.  Prints "same COUNT".
 */
#include <arpa/inet.h>
#include <errno.h>
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

/* What the two tell each other by TCP: LID:QPN:PSN:GID in hexadecimal digits. */
#define TOLD_SIZE 52U
#define SEQUENCE 0xfffff0U
#define MTU_1024 3U
#define PATIENCE_NS 60000000000ULL

static struct fabric_device *device;
static struct fabric_queue_pair *pair;
static struct fabric_region *sent_region, *received_region;
static uint8_t *sent, *received;
static uint32_t size, count;

static void must(int error, const char *what)
{
	if (error >= 0)
		return;
	fprintf(stderr, "pingpong: %s: %s\n", what, strerror(-error));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void open_all(const char *interface)
{
	const struct soft_config config = {.interface = interface};
	const struct fabric_depths depths = {4, 4};
	struct fabric_domain *domain;

	sent = malloc(size);
	received = malloc(size);
	must(sent && received ? 0 : -ENOMEM, "memory");
	must(soft_open(&config, &device), interface);
	must(fabric_domain_create(device, &domain), "domain");
	must(fabric_region_register(domain, sent, size, 0, &sent_region), "region");
	must(fabric_region_register(domain, received, size, FABRIC_LOCAL_WRITE, &received_region),
	     "region");
	must(fabric_create(domain, &depths, NULL, &pair), "queue pair");
	must(fabric_init(pair, 0), "INIT");
}

static void gid_put(const struct fabric_gid *gid, char *text)
{
	for (unsigned int i = 0; i < FABRIC_GID_SIZE; i++)
		sprintf(text + 2 * i, "%02x", gid->bytes[i]);
}

static void gid_get(const char *text, struct fabric_gid *gid)
{
	for (unsigned int i = 0; i < FABRIC_GID_SIZE; i++) {
		unsigned int byte;

		must(sscanf(text + 2 * i, "%2x", &byte) == 1 ? 0 : -EPROTO, "its GID");
		gid->bytes[i] = (uint8_t)byte;
	}
}

static int tcp_connect(const char *address, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, address, &to.sin_addr);
	for (int i = 0; connect(fd, (struct sockaddr *)&to, sizeof(to)); i++) {
		must(i < 600 ? 0 : -errno, address);
		usleep(100000); /* until it listens */
		close(fd);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	}
	return fd;
}

static void connect_pairs(int tcp)
{
	struct fabric_path path = {.sequence = 0, .mtu = MTU_1024, .rnr_timer = 12};
	const struct fabric_retry retry = {
		.sequence = SEQUENCE, .timeout = 18, .retries = 7, .rnr_retries = 7};
	char told[TOLD_SIZE] = {0}, gid_text[2 * FABRIC_GID_SIZE + 1];
	struct fabric_gid gid;

	must(fabric_gid_query(device, 0, &gid), "address");
	gid_put(&gid, gid_text);
	snprintf(told, sizeof(told), "%04x:%06x:%06x:%s", 0U, pair->number, SEQUENCE, gid_text);
	must(send(tcp, told, sizeof(told), 0) == TOLD_SIZE ? 0 : -EPIPE, "tell");
	must(recv(tcp, told, sizeof(told), MSG_WAITALL) == TOLD_SIZE ? 0 : -EPIPE, "be told");
	must(sscanf(told, "%*x:%x:%x:%32s", &path.remote_number, &path.sequence, gid_text) == 3
		     ? 0
		     : -EPROTO,
	     "what it says");
	gid_get(gid_text, &path.remote);
	must(fabric_ready_to_receive(pair, &path), "RTR");
	must(fabric_ready_to_send(pair, &retry), "RTS");
}

static void post_both(uint32_t index)
{
	const struct fabric_piece to = {received, size, received_region->local_key};
	const struct fabric_request request = {.flags = FABRIC_SIGNALED,
					       .count = 1,
					       .pieces = {{sent, size, sent_region->local_key}}};

	for (uint32_t i = 0; i < size; i++)
		sent[i] = (uint8_t)(index * 17 + i + (i >> 8) * 3);
	memset(received, 0, size);
	must(fabric_post_receive(pair, index, &to), "post a receive");
	must(fabric_post_send(pair, &request), "post a SEND");
	fabric_flush(device, now_ns(), false);
}

static void await_both(void)
{
	struct pollfd polled = {.fd = fabric_descriptor(device), .events = POLLIN};
	uint64_t until = now_ns() + PATIENCE_NS;
	struct fabric_completion completion;
	unsigned int left = 2;

	while (left) {
		must(now_ns() < until ? 0 : -ETIMEDOUT, "wait");
		poll(&polled, 1, 1);
		fabric_run(device, now_ns());
		while (left && fabric_poll(device, &completion, 1)) {
			if (completion.status != FABRIC_SUCCESS) {
				fprintf(stderr, "pingpong: %s\n",
					fabric_status_name(completion.status));
				exit(1);
			}
			left--;
		}
	}
}

int main(int argc, char **argv)
{
	const struct soft_counters *counters;
	int tcp;

	if (argc != 6) {
		fprintf(stderr, "usage: pingpong INTERFACE ADDRESS PORT SIZE COUNT\n");
		return 2;
	}
	size = (uint32_t)strtoul(argv[4], NULL, 10);
	count = (uint32_t)strtoul(argv[5], NULL, 10);
	open_all(argv[1]);
	tcp = tcp_connect(argv[2], argv[3]);
	connect_pairs(tcp);
	must((int)send(tcp, "done", 5, 0), "tell");
	for (uint32_t index = 0; index < count; index++) {
		post_both(index);
		await_both();
		must(memcmp(sent, received, size) ? -EIO : 0, "compare");
	}
	counters = soft_counters(device);
	printf("same %u, %llu packets sent, %llu again, %llu received, %llu damaged\n", count,
	       (unsigned long long)counters->sent, (unsigned long long)counters->repeated,
	       (unsigned long long)counters->received, (unsigned long long)counters->bad_icrc);
	return 0;
}
