/* SPDX-License-Identifier: MIT */
/*
 * A daemon's end of connections to another host, run for real, and all that is around it: a shim's end of
 * the segment, the peer's end of TCP, and an adapter that only keeps what it was asked to do (proto.h)
 */
#ifndef SMCU_TESTS_REMOTE_H
#define SMCU_TESTS_REMOTE_H

#include "daemon/rnic.h" /* before cmocka, which makes a macro of fail() */
#include "proto.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/address.h"
#include "daemon/apps.h"
#include "daemon/engine.h"
#include "daemon/hash.h"
#include "daemon/remote_state.h"
#include "ring/doorbell.h"
#include "ring/segment.h"

#define RING_BYTES (512U * 1024U) /* with a far part */
#define PATIENCE_TURNS 3000U

/**
 * struct world - the daemon; one a program, since its disposer cannot be ended
 * @t: the protocol's host, as far as it is a recorder
 * @turns: left to run
 * @session: a client's connection
 */
static struct world {
	struct loop loop;
	struct config config;
	struct apps apps;
	struct engine engine;
	struct rnic rnic;
	struct tester *t;
	unsigned int turns;
	int listening;
	struct sockaddr_un address;
	socklen_t address_size;
	int session;
	bool no_rnic_here;
} world;

/**
 * struct end - what a shim has of a connection, and @peer, the other host's socket
 */
struct end {
	int tcp;
	int peer;
	int segment;
	int data[2], space[2], stand_in[2];
	uint32_t ring_bytes, element_bytes;
	struct segment_control *control;
	uint8_t *memory[2];
	struct side_direction own[2];
	struct ring send, receive;
	struct message_rendezvous message;
};

struct rnic *engine_choose(struct engine *engine, const struct side_address *local)
{
	(void)local;
	return world.no_rnic_here ? NULL : engine->rnics[0];
}

void engine_facts(struct rnic *rnic, enum proto_role role, const struct side_address *local,
		  const struct side_address *peer, uint32_t element, struct rendezvous_facts *facts)
{
	(void)rnic;
	(void)local;
	(void)peer;
	*facts = facts_of(role);
	facts->element = element;
}

/* As an engine: connections' actions are the remote's, the rest is kept and answered later. */
static void world_emit(void *context, const struct proto_action *action)
{
	tester_emit(context, action);
	if (action->connection && action->type != PROTO_RESOLVE && action->type != PROTO_WRITE)
		remote_act(action->connection->engine, action);
}

static int world_step(void *context)
{
	(void)context;
	tester_answer(world.t);
	remotes_finish(&world.apps);
	if (world.turns-- == 0)
		loop_stop(&world.loop);
	return 1;
}

static inline void run(unsigned int turns)
{
	world.turns = turns;
	world.loop.stopping = false;
	assert_int_equal(loop_run(&world.loop), 0);
}

/* eventually - @condition comes true while the daemon runs */
#define eventually(condition)                                                                      \
	do {                                                                                       \
		unsigned int turns_left = PATIENCE_TURNS;                                          \
		bool it_is;                                                                        \
		while (!(it_is = (condition)) && --turns_left)                                     \
			run(1);                                                                    \
		if (!it_is)                                                                        \
			fail_msg("never: " #condition);                                            \
	} while (0)

static inline int sealed(const char *name, uint64_t size, int seals)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static inline void send_message(int session, const union message *message, const int *fds,
				unsigned int count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
	struct iovec part = {(void *)(uintptr_t)message, message->header.length};
	struct msghdr packet = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
	assert_int_equal(sendmsg(session, &packet, 0), message->header.length);
}

/* session_open - as a shim that has said HELLO */
static inline int session_open(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int side = sealed("side", SIDE_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
	struct side_header header = {.magic = SIDE_MAGIC,
				     .record_size = sizeof(struct side_record)};
	union message message;

	assert_int_equal(connect(fd, (struct sockaddr *)&world.address, world.address_size), 0);
	assert_int_equal(pwrite(side, &header, sizeof(header), 0), sizeof(header));
	message_init(&message, MESSAGE_HELLO);
	message.hello.role = ROLE_SHIM;
	send_message(fd, &message, &side, 1);
	close(side);
	run(4);
	assert_int_equal(recv(fd, &message, sizeof(message), MSG_DONTWAIT),
			 sizeof(message.welcome));
	return fd;
}

/* is_doomed - has the daemon ended the session? */
static inline bool is_doomed(int session)
{
	union message message;
	ssize_t n;

	run(1);
	while ((n = recv(session, &message, sizeof(message), MSG_DONTWAIT)) > 0)
		;
	return n == 0;
}

static inline int world_open(void **state)
{
	struct apps_options options;

	(void)state;
	hash_open();
	world.listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	world.address.sun_family = AF_UNIX;
	assert_int_equal(bind(world.listening, (struct sockaddr *)&world.address,
			      sizeof(world.address.sun_family)),
			 0);
	world.address_size = sizeof(world.address);
	assert_int_equal(getsockname(world.listening, (struct sockaddr *)&world.address,
				     &world.address_size),
			 0);
	assert_int_equal(listen(world.listening, 8), 0);
	config_init(&world.config);
	options = (struct apps_options){.listening = world.listening};
	assert_int_equal(loop_open(&world.loop), 0);
	assert_int_equal(apps_open(&world.apps, &world.loop, &world.config, &options), 0);
	loop_task_add(&world.loop, world_step, NULL);
	world.apps.engine = &world.engine;
	world.engine = (struct engine){.loop = &world.loop, .apps = &world.apps};
	world.engine.rnics[0] = &world.rnic;
	return 0;
}

/* Each test has a host of the protocol of its own, without link groups. */
static inline int test_begin(void **state)
{
	struct proto_environment environment;

	(void)state;
	world.t = tester_new();
	environment = world.t->host.environment;
	environment.emit = world_emit;
	proto_host_init(&world.rnic.host, &world.t->host.config, &environment);
	world.engine.rnic_count = 1;
	world.no_rnic_here = false;
	world.session = session_open();
	return 0;
}

/* Nothing may be left of a test. */
static inline int test_end(void **state)
{
	(void)state;
	proto_host_stop(&world.rnic.host);
	eventually(world.apps.remotes.count == 0);
	/* A user is forgotten with his last session, unless something of his is still being closed. */
	eventually(!world.apps.users || !atomic_load(&world.apps.users->foreign));
	close(world.session);
	eventually(world.apps.session_count == 0 && world.apps.fds_held == 0);
	assert_null(world.apps.users);
	tester_end(world.t);
	return 0;
}

/* From now on all users are strangers, whose sockets the loop does not touch itself. */
static inline int world_mistrust(void **state)
{
	(void)state;
	world.apps.caller.trusted = geteuid() + 1;
	return 0;
}

static inline int world_close(void **state)
{
	(void)state;
	apps_close(&world.apps);
	loop_close(&world.loop);
	config_free(&world.config);
	close(world.listening);
	return 0;
}

/* A connection over loopback: [0] connected, [1] accepted. */
static inline void tcp_pair(int ends[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends[0], (struct sockaddr *)&address, size), 0);
	ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ends[1] >= 0);
	close(listener);
}

static inline void name_of(int fd, int (*ask)(int, struct sockaddr *, socklen_t *),
			   struct side_address *address)
{
	union address_any any;
	socklen_t size = sizeof(any);

	assert_int_equal(ask(fd, &any.any, &size), 0);
	assert_true(address_from(&any, address));
}

static inline void end_map(struct end *end, unsigned int d)
{
	struct ring *ring = d == 0 ? &end->send : &end->receive;

	end->memory[d] = mmap(NULL, SEGMENT_NEAR, PROT_READ | PROT_WRITE, MAP_SHARED, end->segment,
			      (off_t)segment_near_offset(d));
	assert_ptr_not_equal(end->memory[d], MAP_FAILED);
	ring->shared = &end->control->direction[d];
	ring->own = &end->own[d];
	ring->near = end->memory[d];
	ring->bytes = d == 0 ? end->ring_bytes : end->element_bytes;
	ring->segment = end->segment;
	ring->far_offset = segment_far_offset(d, end->ring_bytes);
}

/* end_make - all that a shim makes for a RENDEZVOUS, but for sending it */
static inline void end_make(struct end *end, enum rendezvous_role role)
{
	union message message;
	int ends[2];

	memset(end, 0, sizeof(*end));
	end->ring_bytes = RING_BYTES;
	end->element_bytes = ELEMENT;
	tcp_pair(ends);
	end->tcp = ends[role == RENDEZVOUS_SERVER];
	end->peer = ends[role == RENDEZVOUS_CLIENT];
	end->segment = segment_create(RING_BYTES);
	assert_true(end->segment >= 0);
	end->control =
		mmap(NULL, SEGMENT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, end->segment, 0);
	assert_ptr_not_equal(end->control, MAP_FAILED);
	end_map(end, 0);
	end_map(end, 1);
	for (int d = 0; d < 2; d++)
		atomic_store(&end->control->direction[d].writer.switched, SWITCH_DONE);
	atomic_store(&end->control->direction[0].writer.marks, MARK_ATTACHED);
	assert_int_equal(doorbell_create(end->data), 0);
	assert_int_equal(doorbell_create(end->space), 0);
	assert_int_equal(doorbell_create(end->stand_in), 0);
	assert_int_equal(send(end->stand_in[0], "", 1, 0), 1);
	message_init(&message, MESSAGE_RENDEZVOUS);
	end->message = message.rendezvous;
	end->message.role = role;
	end->message.ring_bytes = end->ring_bytes;
	end->message.element_bytes = end->element_bytes;
	name_of(end->tcp, getsockname, &end->message.local);
	name_of(end->tcp, getpeername, &end->message.peer);
}

/* end_send - RENDEZVOUS; the daemon's ends are not ours any more */
static inline void end_send(struct end *end, int session)
{
	int fds[5] = {end->tcp, end->segment, end->data[1], end->space[1], end->stand_in[1]};
	union message message;

	message.rendezvous = end->message;
	send_message(session, &message, fds, 5);
	close(end->data[1]);
	close(end->space[1]);
	close(end->stand_in[1]);
	run(2);
}

static inline void end_open(struct end *end, enum rendezvous_role role)
{
	end_make(end, role);
	end_send(end, world.session);
}

/* the_remote - the daemon's end of the connection made last */
static inline struct remote *the_remote(void)
{
	assert_false(list_empty(&world.apps.remotes.all));
	return list_owner(world.apps.remotes.all.previous, struct remote, of_all);
}

static inline uint32_t marks(const struct end *end)
{
	return atomic_load(&end->control->direction[1].writer.marks);
}

static inline void say(const struct end *end, uint32_t mark)
{
	atomic_fetch_or(&end->control->direction[0].writer.marks, mark);
}

/* As a shim: when it wrote, and when it read. */
static inline void wake_daemon(struct end *end)
{
	if (atomic_exchange(&end->control->direction[0].armed.wants_data, 0))
		send(end->data[0], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* end_write - what a shim puts into the ring; how much fits */
static inline size_t end_write(struct end *end, const void *bytes, size_t length)
{
	size_t written = 0;
	uint8_t *span;
	ssize_t n;

	while (written < length && (n = ring_reserve(&end->send, &span)) > 0) {
		if ((size_t)n > length - written)
			n = (ssize_t)(length - written);
		memcpy(span, (const uint8_t *)bytes + written, (size_t)n);
		ring_publish(&end->send, (size_t)n);
		written += (size_t)n;
	}
	wake_daemon(end);
	return written;
}

/* end_read - what is in the ring for the application */
static inline size_t end_read(struct end *end, void *bytes, size_t size)
{
	size_t got = 0, before = ring_available(&end->receive);
	uint8_t *span;
	ssize_t n;

	while (got < size && (n = ring_front(&end->receive, &span)) > 0) {
		if ((size_t)n > size - got)
			n = (ssize_t)(size - got);
		memcpy((uint8_t *)bytes + got, span, (size_t)n);
		ring_release(&end->receive, (size_t)n);
		got += (size_t)n;
	}
	if (before >= end->element_bytes / 3 &&
	    atomic_exchange(&end->control->direction[1].writer.wants_space, 0))
		send(end->space[0], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return got;
}

static inline bool ring_is_empty(const struct end *end)
{
	return ring_unread(&end->send) == 0;
}

/* end_close - the application's last descriptor is closed; again does nothing */
static inline void close_once(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void end_close(struct end *end)
{
	close_once(&end->tcp);
	close_once(&end->stand_in[0]);
	close_once(&end->data[0]);
	close_once(&end->space[0]);
}

/* end_free - at the end of a test */
static inline void end_free(struct end *end)
{
	end_close(end);
	close_once(&end->peer);
	ring_unmap(&end->send);
	ring_unmap(&end->receive);
	munmap(end->memory[0], SEGMENT_NEAR);
	munmap(end->memory[1], SEGMENT_NEAR);
	munmap(end->control, SEGMENT_PAGE);
	close_once(&end->segment);
}

/* peer_clc - the next message of ours on TCP; false: there is none */
static inline bool peer_clc(struct end *end, struct clc_message *message)
{
	uint8_t bytes[CLC_LENGTH_MAX];
	ssize_t n = recv(end->peer, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	int whole;

	if (n < (ssize_t)CLC_HEADER_LENGTH)
		return false;
	whole = clc_header_decode(message, bytes, NULL);
	assert_true(whole > 0);
	if (n < whole)
		return false;
	assert_int_equal(recv(end->peer, bytes, (size_t)whole, 0), whole);
	assert_int_equal(clc_decode(message, bytes, (size_t)whole, NULL), 0);
	return true;
}

/* peer_says - @message and then @text, in one segment */
static inline void peer_says(struct end *end, const struct clc_message *message, const char *text)
{
	uint8_t bytes[CLC_LENGTH_MAX + 256];
	int length = message ? clc_encode(message, bytes, CLC_LENGTH_MAX) : 0;

	assert_true(length >= 0 && strlen(text) < 256);
	memcpy(bytes + length, text, strlen(text));
	length += (int)strlen(text);
	assert_int_equal(send(end->peer, bytes, (size_t)length, 0), length);
}

/* expect_text - exactly that is there to be read */
static inline void expect_text(int fd, const char *text)
{
	char got[256] = "";

	eventually(recv(fd, got, sizeof(got), MSG_DONTWAIT | MSG_PEEK) >= (ssize_t)strlen(text));
	assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

/* stream_state - 0: it goes on; EOF (-1): it has ended; or an errno */
static inline int stream_state(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	if (n < 0)
		return errno == EAGAIN ? 0 : errno;
	return n == 0 ? EOF : 0;
}

/* Run the group twice: calls on sockets are made by the loop, and by the caller's thread. */
#define run_both_ways(tests)                                                                       \
	(cmocka_run_group_tests_name("own", tests, world_open, NULL) +                             \
	 cmocka_run_group_tests_name("stranger", tests, world_mistrust, world_close))

#endif
