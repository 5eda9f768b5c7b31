/* SPDX-License-Identifier: MIT */
/*
 * The TCP option's kernel side: attached once, shared by all daemons, gone with the last of them
 *
 * Theory of operation
 *
 * The eBPF programs (bpf/tcp_option.h) are attached to a cgroup v2 by *links*, which live as long as
 * somebody holds a descriptor of them.  A daemon that finds the programs attached already, by another
 * daemon of this kernel (of another container, say), takes descriptors of the same links; one that
 * finds nothing attaches them.  So there is never more than one set, it stays until the last daemon
 * has ended, and nothing is left behind by one that was killed.  Two daemons that start at once agree by
 * flock(2) on the cgroup's directory, for which nobody waits: anybody can hold that lock.
 *
 * Of the peers in this network namespace that a daemon remembers as mute a new one knows nothing: it forgets them
 * when it starts, so that to start it anew is to try them again.
 *
 * Loading wants CAP_BPF and CAP_NET_ADMIN, taking over another's links CAP_SYS_ADMIN.  Without the
 * latter a daemon finds what is there, cannot read it, and looks every TCP_OPTION_LOOK_MS whether it
 * still is.  Without any there is no option: same-host connections within one network namespace need none.
 */
#ifndef SMCU_DAEMON_TCP_OPTION_H
#define SMCU_DAEMON_TCP_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/tcp_option.h"
#include "daemon/loop.h"

#define TCP_OPTION_LINKS 2U
#define TCP_OPTION_LOOK_MS 5000
#define TCP_OPTION_CGROUP_MAX 256U
#define TCP_OPTION_MUTE_SECONDS 600U

/**
 * struct tcp_option - this daemon's part in it
 * @cgroup: directory of the cgroup it is attached to
 * @links: descriptors of the links held
 * @count: how many: all or none; one a program
 * @map: what the programs know of sockets; @mute: peers that merely echo the option; -1 unless all links are held
 * @netns: SO_NETNS_COOKIE of this daemon
 * @timer: looks again while another daemon's is used and not held, or is being attached
 */
struct tcp_option {
	struct loop *loop;
	char cgroup[TCP_OPTION_CGROUP_MAX];
	int links[TCP_OPTION_LINKS];
	unsigned int count;
	int map;
	int mute;
	uint64_t netns;
	struct loop_timer timer;
};

/**
 * tcp_option_open - see to it that the programs are attached
 * @cgroup: directory of a cgroup v2; NULL: the root of the first one mounted
 *
 * Says in the log how it went.  Return: 0; -EPERM, -ENOENT (no cgroup v2), -EOPNOTSUPP (a kernel
 * without) or what else went wrong: the daemon works without it then.
 */
int tcp_option_open(struct tcp_option *option, struct loop *loop, const char *cgroup);

/*
 * tcp_option_may_work - are the programs attached, by us or another daemon?  Whether that one's cgroup has
 * an application, too, the application finds out.
 */
bool tcp_option_may_work(const struct tcp_option *option);

/* tcp_option_close - hold nothing any more */
void tcp_option_close(struct tcp_option *option);

/**
 * tcp_option_state - what the kernel side knows of socket @fd
 *
 * Return: false when nothing is attached, or it never asked.  Takes no lock of the socket.
 */
bool tcp_option_state(const struct tcp_option *option, int fd, struct tcp_option_state *state);

/**
 * tcp_option_remember_mute - do not offer SMC-R to this peer for TCP_OPTION_MUTE_SECONDS
 * @address: IPv6 form
 */
void tcp_option_remember_mute(const struct tcp_option *option, const uint8_t address[16]);

#endif
