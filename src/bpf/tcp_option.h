/* SPDX-License-Identifier: MIT */
/*
 * What the kernel side of the TCP option and its users agree on
 *
 * Theory of operation
 *
 * One set of eBPF programs a kernel (tcp_option.bpf.c, attached by a daemon to a cgroup) keeps a few
 * words with each TCP socket that asked for it.  An application's shim asks through the socket itself, at
 * a private level of socket options, without privilege:
 *
 *   setsockopt(fd, TCP_OPTION_LEVEL, TCP_OPTION_ASK, &wishes, sizeof(int))
 *     before connect(2) or listen(2).  TCP_OPTION_TRACE: record the connection's initial sequence
 *     numbers; TCP_OPTION_OFFER: also put the SMC option into its SYN or SYN-ACK (RFC 7609,
 *     appendix A).  A listener's wishes are those of the sockets that it accepts.  0: neither.
 *     ENOPROTOOPT: nothing is attached.
 *
 *   setsockopt(fd, TCP_OPTION_LEVEL, TCP_OPTION_VERDICT, &any, sizeof(int))
 *     on a socket that asked for TCP_OPTION_OFFER.  Its errno is the answer: EALREADY: both ends sent the
 *     option; EINPROGRESS: it is not established; 0: it is TCP.
 *
 * A listener whose wishes become 0 offers no more: no SYN-ACK from its port carries the option until it is closed.
 * A SYN-ACK is made where only the port can be seen, not the listener, so offering and withdrawn listeners are
 * counted by port: the option is written where somebody offers and nobody has withdrawn.  Others that offer at
 * that port (SO_REUSEPORT) are TCP meanwhile.  So is a listener that is older than the programs, of which they know nothing.
 *
 * The daemon reads the words in the map, by the socket that it was passed.  There is no
 * program for getsockopt(2): one would make every getsockopt(2) on every socket of the cgroup wait
 * for the socket's lock, which its owner can hold for ever.
 *
 * Peers that merely echo the option are *mute*: what they get of SMC is rubbish to them.  A daemon that has met
 * one puts its address into a map, and until the time that stands there a connection to it offers nothing.
 *
 * The two sequence numbers are 64 random bits that both ends share and nobody else knows: one
 * end's (sent, received) is the other's (received, sent), whatever rewrites the addresses between.
 */
#ifndef SMCU_BPF_TCP_OPTION_H
#define SMCU_BPF_TCP_OPTION_H

#include <linux/types.h>

#define TCP_OPTION_LEVEL 0x534d4352
#define TCP_OPTION_ASK 1
#define TCP_OPTION_VERDICT 2
#define TCP_OPTION_MAP "smcu_sockets" /* socket storage of struct tcp_option_state */
#define TCP_OPTION_MUTE_MAP "smcu_mute" /* struct tcp_option_peer, and until when: nanoseconds */

#define TCP_OPTION_TRACE (1U << 0)
#define TCP_OPTION_OFFER (1U << 1)
#define TCP_OPTION_WISHES (TCP_OPTION_TRACE | TCP_OPTION_OFFER)
/* Set by the kernel side. */
#define TCP_OPTION_ESTABLISHED (1U << 8) /* the three-way handshake was seen */
#define TCP_OPTION_ACTIVE (1U << 9) /* this end sent the SYN */
#define TCP_OPTION_AGREED (1U << 10) /* both ends sent the option: a rendezvous follows */
#define TCP_OPTION_COUNTED (1U << 11) /* a listener in tcp_option_port.offering */
#define TCP_OPTION_WITHDRAWN (1U << 12) /* and one in tcp_option_port.withdrawn */

/**
 * struct tcp_option_state - what is known of one socket
 * @flags: TCP_OPTION_*
 * @sent, @received: the two initial sequence numbers, this end's and its peer's; from ESTABLISHED on
 */
struct tcp_option_state {
	__u32 flags;
	__u32 sent;
	__u32 received;
	__u32 reserved;
};

/**
 * struct tcp_option_port - listeners at one port
 * @offering: that were opted in when they began to listen, and are not closed
 * @withdrawn: those of them whose wish was taken back
 */
struct tcp_option_port {
	__u32 offering;
	__u32 withdrawn;
};

/**
 * struct tcp_option_peer - key of TCP_OPTION_MUTE_MAP
 * @netns: SO_NETNS_COOKIE of who connects: another network may use the same address
 * @address: IPv6 form, IPv4 ones mapped; network byte order
 */
struct tcp_option_peer {
	__u64 netns;
	__u32 address[4];
};

#endif
