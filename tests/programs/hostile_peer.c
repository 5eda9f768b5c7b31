/* SPDX-License-Identifier: MIT */
/*
 * hostile_peer - a neighbour that speaks the protocol and means ill
 *
 * It is one end of a real connection to an echo server under smcu.  It hands its socket to smcud as a
 * shim would, maps the segment it gets, and then does to it, or to the daemon, what --attack says, for
 * --seconds; then it keeps everything open for --linger seconds, so that a victim that spins is seen.
 * Only this connection may suffer.
 *
 *   hostile_peer --port=P --attack=NAME    (NAME "list" lists them)
 *
 * Status 0: the attack was made; 77: the victim's end was never paired.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common.h"
#include "control/message.h"
#include "ring/segment.h"
#include "ring/side.h"

/**
 * struct prey - what the attack has in hands
 * @tcp: the connection's socket
 * @session: to the daemon
 * @segment, @bells: what PAIRED brought
 * @end, @ring_bytes: from PAIRED
 * @control: the mapped segment, @size bytes
 */
struct prey {
	int tcp;
	int session;
	int segment;
	int bells[2];
	uint32_t end;
	uint32_t ring_bytes;
	struct segment_control *control;
	size_t size;
	struct dice dice;
};

static uint64_t ends_at;

/* ---- what a shim does ---- */

static void send_message(int session, const union message *message, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {(void *)(uintptr_t)message, message->header.length};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *head;

	if (fd >= 0) {
		packet.msg_control = control;
		packet.msg_controllen = sizeof(control);
		head = CMSG_FIRSTHDR(&packet);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	if (sendmsg(session, &packet, MSG_NOSIGNAL) < 0)
		die("sendmsg to the daemon");
}

static int receive_message(int session, union message *message, int fds[3], int ms)
{
	char control[CMSG_SPACE(3 * sizeof(int))];
	struct iovec part = {message, sizeof(*message)};
	struct msghdr packet = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(control)};
	struct pollfd wanted = {session, POLLIN, 0};
	struct cmsghdr *head;

	if (poll(&wanted, 1, ms) != 1 || recvmsg(session, &packet, 0) <= 0)
		return -1;
	head = CMSG_FIRSTHDR(&packet);
	if (head)
		memcpy(fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
	return message->header.type;
}

/* What a shim brings: a sealed memfd, its header said and nothing in it. */
static int side_segment(void)
{
	struct side_header header = {.magic = SIDE_MAGIC,
				     .record_size = sizeof(struct side_record)};
	int fd = memfd_create("side", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)SIDE_BYTES) < 0 ||
	    pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		die("side segment");
	return fd;
}

static int open_session(void)
{
	const char *path = getenv("SMCU_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fds[3], side, type;
	union message message;

	if (!path || strlen(path) >= sizeof(address.sun_path))
		die("SMCU_SOCKET");
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect to the daemon");
	message_init(&message, MESSAGE_HELLO);
	message.hello.role = ROLE_SHIM;
	side = side_segment();
	send_message(fd, &message, side);
	close(side);
	type = receive_message(fd, &message, fds, 20000);
	if (type != MESSAGE_WELCOME)
		die("no welcome: %s",
		    type == MESSAGE_FAREWELL ? message.farewell.text : "nothing came");
	return fd;
}

static void ask(int fd, size_t length)
{
	char out[4096], in[4096];

	memset(out, 'h', sizeof(out));
	write_all(fd, out, length);
	if (read_all(fd, in, length) != length)
		die("the victim closed");
}

/* Hand the socket over as the victim's shim does; the victim follows as it answers. */
static int pair_up(struct prey *prey)
{
	union message message;
	int fds[3] = {-1, -1, -1}, i, type = -1;

	message_init(&message, MESSAGE_OFFER);
	message.offer.id = 1;
	send_message(prey->session, &message, prey->tcp);
	for (i = 0; i < 100 && type < 0; i++) {
		ask(prey->tcp, 1000);
		type = receive_message(prey->session, &message, fds, 20);
	}
	if (type != MESSAGE_PAIRED)
		return -1;
	prey->segment = fds[0];
	prey->bells[0] = fds[1];
	prey->bells[1] = fds[2];
	prey->end = message.paired.end;
	prey->ring_bytes = message.paired.ring_bytes;
	prey->size = segment_size(prey->ring_bytes);
	prey->control =
		mmap(NULL, prey->size, PROT_READ | PROT_WRITE, MAP_SHARED, prey->segment, 0);
	if (prey->control == MAP_FAILED)
		die("mmap");
	return 0;
}

static struct segment_direction *ours(const struct prey *prey)
{
	return &prey->control->direction[prey->end];
}

static struct segment_direction *theirs(const struct prey *prey)
{
	return &prey->control->direction[1 - prey->end];
}

/* Say that we drive our end and make the victim send, so that its direction moves. */
static void let_it_move(struct prey *prey)
{
	char in[4096];
	int i;

	atomic_fetch_or(&ours(prey)->writer.marks, MARK_ATTACHED);
	for (i = 0; i < 50 && atomic_load(&theirs(prey)->writer.switched) != SWITCH_DONE; i++) {
		if (send(prey->tcp, "question", 8, MSG_NOSIGNAL) < 0)
			break;
		sleep_us(2000);
		while (recv(prey->tcp, in, sizeof(in), MSG_DONTWAIT) > 0)
			;
	}
	printf("the victim's direction has%s moved\n",
	       atomic_load(&theirs(prey)->writer.switched) == SWITCH_DONE ? "" : " not");
	fflush(stdout);
}

/* Switch our own direction too, as a writer does: the last TCP byte, then the ring. */
static void move_ourselves(struct prey *prey, uint64_t sent)
{
	atomic_store(&ours(prey)->writer.switch_at, sent + 1);
	atomic_store(&ours(prey)->writer.switched, SWITCH_BEGUN);
	if (send(prey->tcp, "s", 1, MSG_NOSIGNAL) != 1)
		return;
	atomic_store(&ours(prey)->writer.switched, SWITCH_DONE);
}

static void ring_bells(const struct prey *prey)
{
	send(prey->bells[0], "d", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	send(prey->bells[1], "s", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int time_left(void)
{
	return now_ms() < ends_at;
}

/* ---- the attacks ---- */

static void scribble_over(struct prey *prey, size_t from, size_t to)
{
	volatile uint64_t *words = (volatile uint64_t *)(void *)prey->control;
	uint64_t count = (to - from) / 8, i;

	while (time_left()) {
		for (i = 0; i < 1000; i++)
			words[from / 8 + dice_below(&prey->dice, count)] =
				dice_below(&prey->dice, 4) ? dice_roll(&prey->dice)
							   : dice_size(&prey->dice, 1U << 22);
		ring_bells(prey);
		send(prey->tcp, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

static void attack_control(struct prey *prey)
{
	scribble_over(prey, 0, sizeof(struct segment_control));
}

static void attack_everything(struct prey *prey)
{
	scribble_over(prey, 0, prey->size);
}

static void attack_data(struct prey *prey)
{
	scribble_over(prey, SEGMENT_PAGE, prey->size);
}

/* Each cursor and word, near the edges of what is possible, one after the other. */
static void attack_cursors(struct prey *prey)
{
	static const uint64_t edges[] = {0,
					 1,
					 7,
					 SEGMENT_NEAR - 1,
					 SEGMENT_NEAR,
					 SEGMENT_NEAR + 1,
					 RING_BYTES_DEFAULT - 1,
					 RING_BYTES_DEFAULT,
					 RING_BYTES_DEFAULT + 1,
					 1ULL << 31,
					 1ULL << 32,
					 1ULL << 63,
					 UINT64_MAX,
					 UINT64_MAX - 1};
	uint64_t value;
	int d;

	while (time_left()) {
		d = (int)dice_below(&prey->dice, 2);
		value = edges[dice_below(&prey->dice, sizeof(edges) / sizeof(edges[0]))];
		switch (dice_below(&prey->dice, 8)) {
		case 0:
			atomic_store(&prey->control->direction[d].writer.produced, value);
			break;
		case 1:
			atomic_store(&prey->control->direction[d].writer.lap, value);
			break;
		case 2:
			atomic_store(&prey->control->direction[d].writer.switch_at, value);
			break;
		case 3:
			atomic_store(&prey->control->direction[d].writer.switched, (uint32_t)value);
			break;
		case 4:
			atomic_store(&prey->control->direction[d].writer.marks, (uint32_t)value);
			break;
		case 5:
			atomic_store(&prey->control->direction[d].writer.wants_space,
				     (uint32_t)value);
			break;
		case 6:
			atomic_store(&prey->control->direction[d].reader.consumed, value);
			break;
		default:
			atomic_store(&prey->control->direction[d].armed.wants_data,
				     (uint32_t)value);
		}
		ring_bells(prey);
		send(prey->tcp, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		sleep_us(100);
	}
}

static void attack_holes(struct prey *prey)
{
	if (ftruncate(prey->segment, 0) == 0 || ftruncate(prey->segment, 1LL << 40) == 0)
		printf("wrong: the segment could be truncated or grown\n");
	while (time_left()) {
		fallocate(prey->segment, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  (off_t)prey->size);
		atomic_fetch_or(&ours(prey)->writer.marks, MARK_ATTACHED);
		ring_bells(prey);
		send(prey->tcp, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		sleep_us(500);
	}
}

/* It asks and asks and reads no answer, so that the victim's ring fills. */
static void attack_never_reads(struct prey *prey)
{
	static char block[65536];

	while (time_left())
		if (send(prey->tcp, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) <= 0)
			sleep_us(1000);
}

static void attack_bell_flood(struct prey *prey)
{
	static char block[4096];

	while (time_left()) {
		send(prey->bells[0], block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		send(prey->bells[1], block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		atomic_store(&theirs(prey)->armed.wants_data, 1);
		atomic_store(&ours(prey)->writer.wants_space, 1);
	}
}

static void attack_closed_bells(struct prey *prey)
{
	close(prey->bells[0]);
	close(prey->bells[1]);
	while (time_left()) {
		send(prey->tcp, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		sleep_us(1000);
	}
}

static void attack_bells_shut(struct prey *prey)
{
	shutdown(prey->bells[0], SHUT_WR);
	shutdown(prey->bells[1], SHUT_RDWR);
	attack_never_reads(prey);
}

/* The other way: our direction says it has data without end. */
static void attack_endless_data(struct prey *prey)
{
	struct segment_writer *writer = &ours(prey)->writer;

	move_ourselves(prey, 0); /* nonsense: much more went through TCP */
	while (time_left()) {
		atomic_fetch_add(&writer->produced, 1 + dice_below(&prey->dice, 100000));
		ring_bells(prey);
		sleep_us(50);
	}
}

static void attack_switch_never_comes(struct prey *prey)
{
	atomic_store(&ours(prey)->writer.switch_at, UINT64_MAX / 2);
	atomic_store(&ours(prey)->writer.switched, SWITCH_DONE);
	attack_closed_bells(prey);
}

static void attack_daemon_messages(struct prey *prey)
{
	union message message;
	int session, type, i;
	ssize_t n;

	while (time_left()) {
		session = open_session();
		for (i = 0; i < 20; i++) {
			type = (int)dice_below(&prey->dice, MESSAGE_TYPE_END + 2);
			pattern_fill(dice_roll(&prey->dice), 0, &message, sizeof(message));
			message.header.type = (uint16_t)type;
			message.header.version = (uint16_t)(dice_below(&prey->dice, 4) ? 1 : 7);
			message.header.length = (uint32_t)message_size((unsigned int)type);
			if (dice_below(&prey->dice, 4) == 0)
				message.header.length = (uint32_t)dice_below(&prey->dice, 256);
			n = send(session, &message, dice_below(&prey->dice, sizeof(message)) + 1,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
			if (n < 0)
				break;
		}
		close(session);
	}
}

/* A socket that blocks who closes it: neither daemon nor victim may. */
static void attack_long_linger(struct prey *prey)
{
	struct linger linger = {1, 3600};
	union message message;
	static char block[65536];
	uint64_t id = 2;

	if (setsockopt(prey->tcp, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		die("SO_LINGER");
	while (send(prey->tcp, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	while (time_left()) {
		message_init(&message, MESSAGE_OFFER);
		message.offer.id = id++;
		send_message(prey->session, &message, prey->tcp);
		message_init(&message, MESSAGE_WITHDRAW);
		message.withdraw.id = id - 1;
		send_message(prey->session, &message, -1);
		sleep_us(10000);
	}
}

static void attack_killed(struct prey *prey)
{
	attack_cursors(prey);
	kill(getpid(), SIGKILL);
}

static const struct {
	const char *name;
	void (*run)(struct prey *);
} attacks[] = {
	{"control", attack_control},
	{"everything", attack_everything},
	{"data", attack_data},
	{"cursors", attack_cursors},
	{"holes", attack_holes},
	{"never_reads", attack_never_reads},
	{"bell_flood", attack_bell_flood},
	{"closed_bells", attack_closed_bells},
	{"bells_shut", attack_bells_shut},
	{"endless_data", attack_endless_data},
	{"switch_never_comes", attack_switch_never_comes},
	{"daemon_messages", attack_daemon_messages},
	{"long_linger", attack_long_linger},
	{"killed", attack_killed},
};

int main(int argc, char **argv)
{
	uint64_t seconds = option_number(argc, argv, "seconds", 1);
	struct prey prey = {.dice = {option_number(argc, argv, "seed", 1)}};
	const char *name = NULL;
	size_t i, count = sizeof(attacks) / sizeof(attacks[0]);
	int a;

	signal(SIGPIPE, SIG_IGN);
	for (a = 1; a < argc; a++)
		if (strncmp(argv[a], "--attack=", 9) == 0)
			name = argv[a] + 9;
	for (i = 0; i < count; i++) {
		if (name && strcmp(name, "list") == 0)
			printf("%s\n", attacks[i].name);
		else if (name && strcmp(name, attacks[i].name) == 0)
			break;
	}
	if (i == count)
		return name && strcmp(name, "list") == 0 ? 0 : 2;
	prey.session = open_session();
	prey.tcp = connect_local((uint16_t)option_number(argc, argv, "port", 0), 0);
	if (pair_up(&prey) < 0)
		return 77;
	let_it_move(&prey);
	ends_at = now_ms() + 1000 * seconds;
	attacks[i].run(&prey);
	printf("attacked\n");
	fflush(stdout);
	sleep_us((unsigned int)option_number(argc, argv, "linger", 2) * 1000000U);
	_exit(0);
}
