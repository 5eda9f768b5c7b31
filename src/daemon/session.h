/* SPDX-License-Identifier: MIT */
/*
 * Sessions: one client's connection to the daemon
 *
 * Theory of operation
 *
 *   accepted -> (HELLO) -> open -> doomed -> reaped
 *
 * A session that says no HELLO within SESSION_HELLO_MS, sends anything that message_check() or the
 * order of messages forbids, closes, or lets more than OUTBOX_MESSAGES_MAX messages lie is doomed:
 * its watch goes at once, nothing it sent is looked at any more, and at the end of the turn it is
 * reaped.  So nobody finds a session freed under his feet.
 *
 * Packets are received with room for as many descriptors as the kernel lets a sender pass
 * (SCM_MAX_FD), and only while that many can be opened: otherwise the kernel would close, in our
 * thread, what it cannot deliver.  A session for which there is no room is *stalled*: not watched
 * until a timer finds room again.
 *
 * Everything passed goes to the disposer, except a side segment, which is kept.
 */
#ifndef SMCU_DAEMON_SESSION_H
#define SMCU_DAEMON_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/message.h"
#include "daemon/loop.h"
#include "daemon/side_file.h"
#include "daemon/users.h"

#define SESSION_HELLO_MS 5000
#define SESSION_BATCH 16U /* packets received with one system call at the most */
#define SESSION_FDS_MAX 253U /* SCM_MAX_FD of the kernel */
#define OUTBOX_MESSAGES_MAX 4096U
#define OUTBOX_BYTES (1U << 20) /* of kernel memory, SO_SNDBUF */

struct apps;
struct offer;
struct question;
struct remote_map;

/**
 * struct outgoing - a message that the socket did not take yet
 * @fds, @fd_count: our own copies of what goes with it
 */
struct outgoing {
	struct outgoing *next;
	union message message;
	int fds[MESSAGE_FDS_MAX];
	unsigned int fd_count;
};

/**
 * struct session - one client
 * @watch: its socket in the loop
 * @socket: its socket
 * @hello_timer: runs until HELLO
 * @user: who connected (SO_PEERCRED)
 * @pid: process that connected, in our pid namespace
 * @role: enum message_role, 0 before HELLO
 * @shares_pids: its pid namespace is ours
 * @side: its side segment, or NULL
 * @program: name under which the process was started
 * @outbox, @outbox_last, @outbox_count: messages that the socket did not take yet
 * @offers: its ends, by id
 * @kept, @kept_count: segments that it keeps (remote_kept.h)
 * @question: what it asked and is not answered yet
 * @doomed: to be reaped; @farewell: what to tell it then, "" for nothing
 * @stalled: not watched for want of descriptors
 */
struct session {
	struct apps *apps;
	struct loop_watch watch;
	int socket;
	struct loop_timer hello_timer;
	struct user *user;
	pid_t pid;
	uint32_t role;
	bool shares_pids;
	struct side_file *side;
	char program[32];
	struct outgoing *outbox;
	struct outgoing *outbox_last;
	unsigned int outbox_count;
	struct offer *offers;
	struct remote_map *kept;
	unsigned int kept_count;
	struct question *question;
	bool doomed;
	bool stalled;
	char farewell[120];
	struct session *previous;
	struct session *next;
	struct session *next_doomed;
};

/* session_new - take in a connection just accepted; NULL when there is no memory */
struct session *session_new(struct apps *apps, int socket, struct user *user, pid_t pid);

/* session_free - end a doomed session; its offers and question are gone already */
void session_free(struct session *session);

/**
 * session_doom - end the session at the end of this turn
 * @text: what to tell the client, NULL when it is gone or does not listen
 */
void session_doom(struct session *session, const char *text);

/* session_resume - watch a stalled session again */
void session_resume(struct session *session);

/**
 * session_send - send a message, or queue it
 * @fds: go with it; they stay the caller's
 *
 * Return: 0, or -errno when it will not arrive; the session is then doomed, except for
 * -ETOOMANYREFS and -EMFILE (descriptors could not be passed).
 */
int session_send(struct session *session, const union message *message, const int *fds,
		 unsigned int fd_count);

/* session_flush - the socket takes messages again */
void session_flush(struct session *session);

#endif
