/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * The SMC option in SYN and SYN-ACK, and the initial sequence numbers of connections
 *
 * See tcp_option.h for what it does, and for who asks it.  The option is RFC 6994's shared
 * experimental one with SMC's identifier (RFC 7609, appendix A): FE 06 E2 D4 C3 D9.
 *
 * A SYN-ACK carries it only if the SYN did, and the port's listeners offer it.  The listener saves SYNs, since the SYN-ACK may have to be
 * sent again when the SYN is long gone.  Callbacks are asked for while they are needed and no longer:
 * established connections run no program.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tcp_option.h"

#define STREAM 1 /* SOCK_STREAM */
#define TCP 6 /* IPPROTO_TCP */
#define SAVE_SYN 27 /* TCP_SAVE_SYN */
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define ALREADY_THERE (-17) /* -EEXIST */
#define OPTION_BYTES 6
#define CROWDED_MAX 4096
#define MUTE_MAX 4096
#define PORTS 65536
#define PORT_BITS 16
#define SPREAD 0x9e3779b97f4a7c15ULL /* of numbers that follow each other */
#define INET 2 /* AF_INET */
#define HEADERS BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG
#define STATES BPF_SOCK_OPS_STATE_CB_FLAG
#define OPTION_BYTES_SEEN 4096 /* the kernel copies no more of an option for us */
#define AGREED_ALREADY (-114) /* -EALREADY */
#define IN_PROGRESS (-115) /* -EINPROGRESS */

struct option {
	__u8 kind;
	__u8 length;
	__u32 identifier;
} __attribute__((packed));

#define SMC_OPTION                                                                                 \
	{                                                                                          \
		.kind = 254, .length = OPTION_BYTES, .identifier = bpf_htonl(0xE2D4C3D9)           \
	}

/* A listener's state is copied into each socket that it accepts. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct tcp_option_state);
} smcu_sockets SEC(".maps");

/* Cookies of requests whose SYN-ACK had no room for the option, although the SYN had it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CROWDED_MAX);
	__type(key, __u64);
	__type(value, __u8);
} smcu_crowded SEC(".maps");

/* Peers that are not offered anything until then (CLOCK_MONOTONIC). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MUTE_MAX);
	__type(key, struct tcp_option_peer);
	__type(value, __u64);
} smcu_mute SEC(".maps");

/*
 * By port_index(): within a network namespace ports do not meet; where those of two namespaces do, a
 * listener may offer in vain.  Counts and not a set: entries come and go at once on several processors.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, struct tcp_option_port);
} smcu_ports SEC(".maps");

static __always_inline struct tcp_option_port *port_of(__u64 netns, __u32 port)
{
	__u32 index = (port ^ (__u32)(netns * SPREAD >> (64 - PORT_BITS))) & (PORTS - 1);

	return bpf_map_lookup_elem(&smcu_ports, &index);
}

static __always_inline struct tcp_option_port *own_port(struct bpf_sock_ops *call)
{
	return port_of(bpf_get_netns_cookie(call), call->local_port);
}

static __always_inline struct tcp_option_state *state_of(struct bpf_sock_ops *call)
{
	struct bpf_sock *socket = call->sk;

	return socket ? bpf_sk_storage_get(&smcu_sockets, socket, 0, 0) : 0;
}

static __always_inline int is_there(struct bpf_sock_ops *call, __u64 where)
{
	struct option option = SMC_OPTION;

	return bpf_load_hdr_opt(call, &option, sizeof(option), where) == OPTION_BYTES;
}

static __always_inline void want(struct bpf_sock_ops *call, __u32 callbacks)
{
	bpf_sock_ops_cb_flags_set(call, call->bpf_sock_ops_cb_flags | callbacks);
}

static __always_inline void forget(struct bpf_sock_ops *call, __u32 callbacks)
{
	bpf_sock_ops_cb_flags_set(call, call->bpf_sock_ops_cb_flags & ~callbacks);
}

/*
 * What a listener asked for is its connections', too.  Of one that is older than the programs nothing is known,
 * and nobody would ever take it back.  (Other programs share these callbacks: theirs come with others, or alone.)
 */
static __always_inline void forget_former(struct bpf_sock_ops *call)
{
	if (call->bpf_sock_ops_cb_flags == (HEADERS | STATES) && !state_of(call))
		forget(call, HEADERS | STATES);
}

/* The same cookie becomes that of the accepted socket. */
static __always_inline void note_crowded(struct bpf_sock_ops *call)
{
	__u64 cookie = bpf_get_socket_cookie(call);
	__u8 one = 1;

	if (call->skb_tcp_flags & TCP_ACK)
		bpf_map_update_elem(&smcu_crowded, &cookie, &one, BPF_ANY);
}

/* (Loaded before it is known which counts: the verifier does not take one load of either.) */
#define LOAD(member) (*(volatile __u32 *)&(member))

static __always_inline int is_mute(struct bpf_sock_ops *call)
{
	const __u32 ipv4 = LOAD(call->remote_ip4);
	struct tcp_option_peer peer = {
		.netns = bpf_get_netns_cookie(call),
		.address = {LOAD(call->remote_ip6[0]), LOAD(call->remote_ip6[1]),
			    LOAD(call->remote_ip6[2]), LOAD(call->remote_ip6[3])}};
	__u64 *until;

	if (call->family == INET) {
		peer.address[0] = peer.address[1] = 0;
		peer.address[2] = bpf_htonl(0xffff);
		peer.address[3] = ipv4;
	}
	until = bpf_map_lookup_elem(&smcu_mute, &peer);
	return until && bpf_ktime_get_ns() < *until;
}

static __always_inline void begin_listening(struct bpf_sock_ops *call,
					    struct tcp_option_state *state)
{
	struct tcp_option_port *port = own_port(call);
	int one = 1;

	if (!port)
		return;
	bpf_setsockopt(call, TCP, SAVE_SYN, &one, sizeof(one));
	state->flags |= TCP_OPTION_COUNTED;
	__sync_fetch_and_add(&port->offering, 1);
	want(call, HEADERS | STATES);
}

static __always_inline void begin(struct bpf_sock_ops *call, int listens)
{
	struct tcp_option_state *state = state_of(call);

	if (!state)
		return;
	state->flags &= TCP_OPTION_WISHES;
	if (!listens && is_mute(call))
		state->flags &= ~TCP_OPTION_OFFER;
	if (!(state->flags & TCP_OPTION_OFFER))
		return;
	if (listens)
		begin_listening(call, state);
	else
		want(call, HEADERS);
}

/* A listener is closed (or shut down, and may begin anew). */
static __always_inline void end_listening(struct bpf_sock_ops *call)
{
	struct tcp_option_state *state = state_of(call);
	struct tcp_option_port *port = own_port(call);

	if (!state || !port || call->args[0] != BPF_TCP_LISTEN)
		return;
	if (state->flags & TCP_OPTION_COUNTED)
		__sync_fetch_and_add(&port->offering, -1);
	if (state->flags & TCP_OPTION_WITHDRAWN)
		__sync_fetch_and_add(&port->withdrawn, -1);
	state->flags &= ~(TCP_OPTION_COUNTED | TCP_OPTION_WITHDRAWN);
}

/* May a SYN-ACK carry it?  If not, but some listener there offers, the connection may be that one's. */
static __always_inline int may_answer(struct bpf_sock_ops *call)
{
	struct tcp_option_port *port = own_port(call);

	if (!port)
		return 0;
	if (port->withdrawn && port->offering > port->withdrawn)
		note_crowded(call);
	return port->offering && !port->withdrawn;
}

static __always_inline void make_room(struct bpf_sock_ops *call)
{
	if (!(call->skb_tcp_flags & TCP_SYN)) {
		forget_former(call); /* accepted while no programs were attached */
		return;
	}
	if (call->skb_tcp_flags & TCP_ACK) {
		if (call->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE)
			return; /* nothing of it will be remembered */
		if (!is_there(call, BPF_LOAD_HDR_OPT_TCP_SYN) || !may_answer(call))
			return;
	}
	if (bpf_reserve_hdr_opt(call, OPTION_BYTES, 0))
		note_crowded(call);
}

static __always_inline void write_option(struct bpf_sock_ops *call)
{
	struct option option = SMC_OPTION;
	long error;

	if (!(call->skb_tcp_flags & TCP_SYN))
		return;
	error = bpf_store_hdr_opt(call, &option, sizeof(option), 0);
	if (error && error != ALREADY_THERE)
		note_crowded(call);
}

static __always_inline void note_numbers(struct bpf_sock_ops *call, struct tcp_option_state *state)
{
	state->sent = call->snd_nxt - 1;
	state->received = call->rcv_nxt - 1;
}

static __always_inline void connected(struct bpf_sock_ops *call)
{
	struct tcp_option_state *state = state_of(call);

	if (!state || !state->flags)
		return;
	note_numbers(call, state);
	if ((state->flags & TCP_OPTION_OFFER) && is_there(call, 0))
		state->flags |= TCP_OPTION_AGREED;
	state->flags |= TCP_OPTION_ESTABLISHED | TCP_OPTION_ACTIVE;
	forget(call, HEADERS);
}

/*
 * The option went out with our SYN-ACK if the SYN had it, there was room for it, nobody took the callback
 * away since, and it was not the SYN alone that established the connection (Fast Open).
 */
static __always_inline void accepted(struct bpf_sock_ops *call)
{
	struct tcp_option_state *state = state_of(call);
	__u64 cookie = bpf_get_socket_cookie(call);
	int asked, crowded;

	if (!state)
		forget_former(call);
	if (!state || !state->flags)
		return;
	note_numbers(call, state);
	asked = (state->flags & TCP_OPTION_OFFER) && is_there(call, BPF_LOAD_HDR_OPT_TCP_SYN);
	crowded = asked && bpf_map_delete_elem(&smcu_crowded, &cookie) == 0;
	if (asked && !crowded && !(call->skb_tcp_flags & TCP_SYN) &&
	    (call->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG))
		state->flags |= TCP_OPTION_AGREED;
	state->flags |= TCP_OPTION_ESTABLISHED;
	state->flags &= ~(TCP_OPTION_COUNTED | TCP_OPTION_WITHDRAWN); /* the listener's */
	forget(call, HEADERS | STATES);
}

SEC("sockops")
int smcu_sockops(struct bpf_sock_ops *call)
{
	switch (call->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		begin(call, 0);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		begin(call, 1);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		end_listening(call);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		make_room(call);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		write_option(call);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		connected(call);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		accepted(call);
		break;
	}
	return 1;
}

static __always_inline int say_verdict(struct bpf_sockopt *call, struct bpf_sock *socket)
{
	struct tcp_option_state *state = bpf_sk_storage_get(&smcu_sockets, socket, 0, 0);

	call->optlen = -1; /* not to the kernel */
	if (state && (state->flags & TCP_OPTION_AGREED))
		bpf_set_retval(AGREED_ALREADY);
	else if (state && (state->flags & TCP_OPTION_OFFER) &&
		 !(state->flags & TCP_OPTION_ESTABLISHED))
		bpf_set_retval(IN_PROGRESS);
	return 1;
}

/* A listener's wish is taken back, or comes back: its port says so where its SYN-ACKs are made. */
static __always_inline void withdraw(struct bpf_sockopt *call, struct bpf_sock *socket,
				     struct tcp_option_state *state, int offers)
{
	struct tcp_option_port *port = port_of(bpf_get_netns_cookie(call), socket->src_port);

	if (!port || !(state->flags & TCP_OPTION_COUNTED) ||
	    (offers != 0) != ((state->flags & TCP_OPTION_WITHDRAWN) != 0))
		return;
	__sync_fetch_and_add(&port->withdrawn, offers ? -1 : 1);
	state->flags ^= TCP_OPTION_WITHDRAWN;
}

/*
 * Not ours: to the kernel, as the caller gave it.  Of an option that is longer than what we were shown
 * optlen 0 says so; without that such a call fails with EFAULT on older kernels.
 */
static __always_inline int pass_on(struct bpf_sockopt *call)
{
	if (call->optlen > OPTION_BYTES_SEEN)
		call->optlen = 0;
	return 1;
}

SEC("cgroup/setsockopt")
int smcu_set(struct bpf_sockopt *call)
{
	struct bpf_sock *socket = call->sk;
	struct tcp_option_state *state;
	__u32 *wishes = call->optval;

	if (call->level != TCP_OPTION_LEVEL || !socket)
		return pass_on(call);
	if (call->optname == TCP_OPTION_VERDICT)
		return say_verdict(call, socket);
	if (call->optname != TCP_OPTION_ASK)
		return pass_on(call); /* the kernel says ENOPROTOOPT */
	if ((void *)(wishes + 1) > call->optval_end || (*wishes & ~TCP_OPTION_WISHES))
		return 0; /* EPERM */
	if (socket->type != STREAM || socket->protocol != TCP)
		return pass_on(call);
	state = bpf_sk_storage_get(&smcu_sockets, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state)
		return 0;
	withdraw(call, socket, state, (*wishes & TCP_OPTION_OFFER) != 0);
	state->flags = (state->flags & ~TCP_OPTION_WISHES) | *wishes;
	call->optlen = -1; /* done: not to the kernel */
	return 1;
}

char _license[] SEC("license") = "Dual MIT/GPL";
