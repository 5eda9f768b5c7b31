/* SPDX-License-Identifier: MIT */
/*
 * Which SYN-ACKs carry the option: the eBPF program itself, compiled for this machine, with helpers of the
 * test's own.  So what it does does not depend on what the running kernel could do besides.
 */
#include "unit.h"

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "bpf/tcp_option.h"

#define SOCKETS 8U
#define PORT 7000U

/**
 * struct kernel - what the helpers say and do
 * @states, @known: socket storage, by bpf_sock.priority; there is one
 * @ports: smcu_ports; @crowded: smcu_crowded has the request's cookie
 * @in_syn: the SYN carried the option; @reserved: room was made for it
 * @netns: cookie
 */
static struct kernel {
	struct tcp_option_state states[SOCKETS];
	bool known[SOCKETS];
	struct tcp_option_port ports[65536];
	bool crowded;
	bool in_syn;
	bool reserved;
	uint64_t netns;
} kernel;

static void *find(const void *map, const void *key);
static long put(const void *map);
static long take(const void *map);

static void *storage(const struct bpf_sock *socket, uint64_t flags)
{
	if (flags & BPF_SK_STORAGE_GET_F_CREATE)
		kernel.known[socket->priority] = true;
	return kernel.known[socket->priority] ? &kernel.states[socket->priority] : NULL;
}

#define bpf_sk_storage_get(map, socket, value, flags) storage(socket, flags)
#define bpf_map_lookup_elem(map, key) find(map, key)
#define bpf_map_update_elem(map, key, value, flags) put(map)
#define bpf_map_delete_elem(map, key) take(map)
#define bpf_get_netns_cookie(call) kernel.netns
#define bpf_get_socket_cookie(call) 1
#define bpf_ktime_get_ns() 0
#define bpf_setsockopt(socket, level, name, value, size) 0
#define bpf_load_hdr_opt(call, option, size, where) (kernel.in_syn ? (int)(size) : -1)
#define bpf_store_hdr_opt(call, option, size, flags) 0
#define bpf_reserve_hdr_opt(call, size, flags) (kernel.reserved = true, 0)
#define bpf_sock_ops_cb_flags_set(call, flags) ((call)->bpf_sock_ops_cb_flags = (flags))
#define bpf_set_retval(value) (void)(value)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-value"
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "bpf/tcp_option.bpf.c"
#pragma GCC diagnostic pop

static void *find(const void *map, const void *key)
{
	return map == &smcu_ports ? &kernel.ports[*(const uint32_t *)key] : NULL;
}

static long put(const void *map)
{
	kernel.crowded |= map == &smcu_crowded;
	return 0;
}

static long take(const void *map)
{
	const bool was = map == &smcu_crowded && kernel.crowded;

	kernel.crowded &= map != &smcu_crowded;
	return was ? 0 : -1;
}

/**
 * struct end - a socket, and the callbacks that it has asked for
 */
struct end {
	struct bpf_sock socket;
	uint32_t callbacks;
};

static void call(struct end *end, uint32_t what, uint32_t first, uint32_t flags, bool full)
{
	struct bpf_sock_ops call = {.op = what,
				    .args = {first},
				    .local_port = end->socket.src_port,
				    .skb_tcp_flags = flags,
				    .bpf_sock_ops_cb_flags = end->callbacks};

	call.sk = full ? &end->socket : NULL; /* a request is no whole socket */
	assert_int_equal(smcu_sockops(&call), 1);
	end->callbacks = call.bpf_sock_ops_cb_flags;
}

static void wish(struct end *end, uint32_t wishes)
{
	struct bpf_sockopt option = {.level = TCP_OPTION_LEVEL, .optname = TCP_OPTION_ASK};

	option.sk = &end->socket;
	option.optval = &wishes;
	option.optval_end = &wishes + 1;
	assert_int_equal(smcu_set(&option), 1);
	assert_int_equal(option.optlen, -1);
}

/* A listener that offers. */
static struct end listener(uint32_t number, uint32_t port)
{
	struct end end = {
		.socket = {.priority = number, .type = STREAM, .protocol = TCP, .src_port = port}};

	wish(&end, TCP_OPTION_TRACE | TCP_OPTION_OFFER);
	call(&end, BPF_SOCK_OPS_TCP_LISTEN_CB, 0, 0, true);
	return end;
}

/* The kernel calls back only where it was asked to. */
static void close_listener(struct end *end)
{
	assert_true(end->callbacks & BPF_SOCK_OPS_STATE_CB_FLAG);
	call(end, BPF_SOCK_OPS_STATE_CB, BPF_TCP_LISTEN, 0, true);
	kernel.known[end->socket.priority] = false;
}

/* Does a SYN-ACK of this one carry the option? */
static bool answers(struct end *end)
{
	kernel.reserved = false;
	if (end->callbacks & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
		call(end, BPF_SOCK_OPS_HDR_OPT_LEN_CB, 0, TCP_SYN | TCP_ACK, false);
	return kernel.reserved;
}

/* What an accepted socket of it is told, which has a copy of its state. */
static bool agreed(const struct end *end, uint32_t number)
{
	struct end child = *end;
	struct tcp_option_state *state = &kernel.states[number];

	child.socket.priority = number;
	*state = kernel.states[end->socket.priority];
	kernel.known[number] = true;
	call(&child, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, 0, TCP_ACK, true);
	/* It costs nothing from now on, and its end is not the listener's. */
	assert_int_equal(child.callbacks, 0);
	assert_false(state->flags & (TCP_OPTION_COUNTED | TCP_OPTION_WITHDRAWN));
	return state->flags & TCP_OPTION_AGREED;
}

static int begin_test(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel.in_syn = true;
	kernel.netns = 1;
	return 0;
}

static void a_listener_answers_an_offer(void **state)
{
	struct end one = listener(0, PORT);

	(void)state;
	assert_true(answers(&one));
	assert_true(agreed(&one, 1));
	kernel.in_syn = false;
	assert_false(answers(&one));
	assert_false(agreed(&one, 1));
}

static void a_withdrawn_listener_does_not(void **state)
{
	struct end one = listener(0, PORT), elsewhere = listener(1, PORT + 1);

	(void)state;
	wish(&one, 0);
	wish(&one, 0); /* once is enough */
	assert_false(answers(&one));
	assert_false(agreed(&one, 2));
	assert_true(answers(&elsewhere));
	wish(&one, TCP_OPTION_OFFER);
	assert_true(answers(&one));
}

static void its_port_is_free_again_when_it_is_closed(void **state)
{
	struct end one = listener(0, PORT), next;

	(void)state;
	wish(&one, 0);
	close_listener(&one);
	next = listener(1, PORT);
	assert_true(answers(&next));
	assert_true(agreed(&next, 2));
	close_listener(&next);
	for (size_t i = 0; i < sizeof(kernel.ports) / sizeof(kernel.ports[0]); i++)
		assert_int_equal(kernel.ports[i].offering | kernel.ports[i].withdrawn, 0);
}

/* SO_REUSEPORT: which of them gets a SYN cannot be seen. */
static void who_offers_beside_a_withdrawn_one_knows_that_it_is_tcp(void **state)
{
	struct end one = listener(0, PORT), other = listener(1, PORT);

	(void)state;
	assert_true(answers(&other));
	assert_true(agreed(&other, 2));
	wish(&one, 0);
	assert_false(answers(&other));
	assert_false(agreed(&other, 2));
	close_listener(&one);
	assert_true(answers(&other));
	assert_true(agreed(&other, 2));
}

static void a_listener_that_is_older_than_the_programs_does_not_answer(void **state)
{
	struct end one = listener(0, PORT);

	(void)state;
	begin_test(NULL); /* programs and maps are new, the callbacks stay with the socket */
	assert_false(answers(&one));
}

/* What is left of an unknown socket's callbacks after one of @what. */
static uint32_t left_after(uint32_t callbacks, uint32_t what)
{
	struct end end = {.socket = {.priority = 5}, .callbacks = callbacks};

	call(&end, what, 0, TCP_ACK, true);
	return end.callbacks;
}

static void its_connections_cost_nothing(void **state)
{
	const uint32_t ours = listener(0, PORT).callbacks;
	const uint32_t theirs = ours | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;

	(void)state;
	begin_test(NULL);
	assert_int_equal(left_after(ours, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB), 0);
	assert_int_equal(left_after(ours, BPF_SOCK_OPS_HDR_OPT_LEN_CB), 0);
	/* Another program's stay. */
	assert_int_equal(left_after(theirs, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB), theirs);
	assert_int_equal(left_after(theirs, BPF_SOCK_OPS_HDR_OPT_LEN_CB), theirs);
	assert_int_equal(left_after(STATES, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB), STATES);
	assert_int_equal(left_after(HEADERS, BPF_SOCK_OPS_HDR_OPT_LEN_CB), HEADERS);
}

static void another_network_is_another_port(void **state)
{
	struct end one = listener(0, PORT), other;

	(void)state;
	wish(&one, 0);
	kernel.netns = 2;
	other = listener(1, PORT);
	assert_true(answers(&other));
	kernel.netns = 1;
	assert_false(answers(&one));
}

/* What optlen becomes of an option of so many bytes. */
static int left_of(int level, int name, int bytes)
{
	static uint32_t wishes = TCP_OPTION_TRACE;
	struct bpf_sock socket = {.type = SOCK_DGRAM};
	struct bpf_sockopt option = {.level = level, .optname = name, .optlen = bytes};

	option.sk = &socket;
	option.optval = &wishes;
	option.optval_end = &wishes + 1;
	assert_int_equal(smcu_set(&option), 1);
	return option.optlen;
}

/* 0: the kernel takes it from the caller; more than it copied for us would be EFAULT with some. */
static void a_long_option_of_others_reaches_the_kernel(void **state)
{
	(void)state;
	assert_int_equal(left_of(SOL_SOCKET, SO_RCVBUF, 4), 4);
	assert_int_equal(left_of(SOL_SOCKET, SO_RCVBUF, 4096), 4096);
	assert_int_equal(left_of(SOL_SOCKET, SO_RCVBUF, 4097), 0);
	assert_int_equal(left_of(TCP_OPTION_LEVEL, TCP_OPTION_VERDICT + 1, 5000), 0);
	assert_int_equal(left_of(TCP_OPTION_LEVEL, TCP_OPTION_ASK, 5000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, begin_test)
		TEST(a_listener_answers_an_offer),
		TEST(a_withdrawn_listener_does_not),
		TEST(its_port_is_free_again_when_it_is_closed),
		TEST(who_offers_beside_a_withdrawn_one_knows_that_it_is_tcp),
		TEST(a_listener_that_is_older_than_the_programs_does_not_answer),
		TEST(its_connections_cost_nothing),
		TEST(another_network_is_another_port),
		TEST(a_long_option_of_others_reaches_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
