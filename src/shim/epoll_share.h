/* SPDX-License-Identifier: MIT */
/*
 * An epoll that a parent and its children use together
 *
 * Theory of operation
 *
 * The kernel's epoll is one for all processes that have it.  A poller's rings are not: who waits looks at
 * its own.  Programs hardly ever use their parent's epoll, so when one does for the first time, the
 * epoll becomes *shared*: the connections on this host that are registered there go back to TCP (back.h),
 * those that are added later do so first, and the kernel's epoll serves them all.
 *
 * A child sees its parent's pollers and watches as they are (their memory is shared, and the locks are
 * made for it), and so also what the parent has changed since the fork.  It makes only one use of them:
 * it sends back what of it the child holds, and gives the program's epoll those registrations itself,
 * because its parent may do something else for ever.  From then on it has a poller of its own beside that
 * epoll.  The parent is told by poller.shared, and woken if it sleeps there; it does the same for the
 * connections that are its own.
 *
 * What its parent has closed since the fork a child may still have: such a watch is *left* for it.
 *
 * Bytes that were unread in a ring when it went back, the rest, are not known to the kernel.  Each process
 * that waits reports them; of an edge or a one-shot the record says whether somebody has
 * (SIDE_REST_TOLD), and who has nothing to report meanwhile looks again every few milliseconds.
 *
 * Connections with another host stay in the parent's poller, and a child gets no events for them.
 */
#ifndef SMCU_SHIM_EPOLL_SHARE_H
#define SMCU_SHIM_EPOLL_SHARE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct connection;
struct poller;
struct watch;

/* epoll_share - take part in it, and get our poller beside @epoll; NULL: no memory for one */
struct poller *epoll_share(int epoll);

/* epoll_share_control - epoll_ctl(2) on a TCP socket that the shim knows; returns 0 or -errno */
int epoll_share_control(int epoll, int operation, int fd, struct connection *connection,
			struct epoll_event *event);

/**
 * epoll_share_wait - epoll_wait(2) and its kin
 * @deadline: in now_ns(); 0: do not wait; UINT64_MAX: for ever
 * @runs: handlers that had run when the call began
 *
 * Return: number of events, or -errno; -ESTALE: some of ours have not gone back, wait as ever.
 */
int epoll_share_wait(int epoll, struct epoll_event *events, int most, uint64_t deadline,
		     const sigset_t *mask, uint32_t runs);

/* epoll_share_after_fork - in the child */
void epoll_share_after_fork(void);

/* epoll_share_wants - may a child still want that watch?  epoll_share_leave - then it is left for it */
bool epoll_share_wants(const struct watch *watch);
void epoll_share_leave(struct watch *watch);

#endif
