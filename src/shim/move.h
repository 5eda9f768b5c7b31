/* SPDX-License-Identifier: MIT */
/*
 * Moving a connection from TCP to shared memory while it runs
 *
 * Theory of operation
 *
 * A connection is *due* when it has lived: its calls have changed direction as a second exchange
 * does (write, read, write; or read, write, read), or settings.move_after bytes passed either way.
 * Its socket is then offered to the daemon, and nobody waits.  When both ends have been offered,
 * each gets the segment (move_attach()).
 *
 * An attached end that is *quiet* (no second thread asleep in the kernel's read, nobody polling the
 * socket in the kernel, and its byte counts equal to the kernel's) sets MARK_ATTACHED.  With both
 * marks up, each direction moves by itself, at the sender's next write:
 *
 *   sender                                     receiver
 *   switch_at = bytes sent so far + n
 *   switched = BEGUN
 *   send n bytes of the call through TCP ────> wakes in the kernel, reads them
 *   kernel's count == switch_at?
 *     yes: switched = DONE, rest to the ring   read switch_at bytes and DONE: the ring from here
 *     no:  switched = OFF, TCP for ever        TCP for ever
 *
 * n is all of a small call, so that a reader of messages gets this one whole, and 1 of a large call or
 * while TCP's send buffer is not half empty: the kernel is to take all or nothing.
 *
 * The kernel's counts come from TCP_INFO.  If they differ from ours, somebody else reads or writes
 * the socket (io_uring, raw system calls, a program without the shim), and it stays TCP.  A
 * receiver that has read switch_at bytes while the switch is only BEGUN does not go to sleep in the
 * kernel: it waits for TCP and the data bell together.
 *
 * TCP sends of an attached direction count themselves in side_direction.in_kernel before they look
 * at the direction's lock; the switch takes the lock before it looks at in_kernel.
 */
#ifndef SMCU_SHIM_MOVE_H
#define SMCU_SHIM_MOVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/message.h"
#include "control/reason.h"
#include "shim/connection.h"
#include "shim/place.h"
#include "shim/session.h"
#include "shim/settings.h"

void move_account_slowly(struct connection *connection, int fd, enum way way);

/**
 * move_account - @n bytes (> 0) passed through TCP in direction @way
 *
 * Counts them, and offers the connection when it is due.
 */
static inline void move_account(struct connection *connection, int fd, enum way way, size_t n)
{
	struct side_record *side = connection->side;
	struct side_direction *direction = way == DIRECTION_SEND ? &side->send : &side->receive;

	count_more(&direction->tcp_bytes, n, count_is_ours(side));
	side_count_call(direction);
	if (connection->last_call != way || connection_phase(connection) == PHASE_TCP ||
	    is_remote(connection) || settings.require)
		move_account_slowly(connection, fd, way);
}

/* move_offer - hand the connection over now */
void move_offer(struct connection *connection, int fd);

/* move_attach - the daemon's PAIRED; true when the three descriptors were taken over */
bool move_attach(struct connection *connection, const struct message_paired *paired,
		 const int *fds);

/**
 * struct move_parts - what a connection's rings are made of
 * @segment, @data_bell, @space_bell: hidden descriptors, the connection's from then on
 * @memory: the segment, where it is mapped already, or NULL
 * @stand_in, @element_bytes: of a remote one (remote.h), else -1, and 0
 * @ring_bytes, @end, @same_user: as in struct ring and struct connection
 */
struct move_parts {
	void *memory;
	int segment;
	int data_bell;
	int space_bell;
	int stand_in;
	uint32_t ring_bytes;
	uint32_t element_bytes;
	unsigned int end;
	bool same_user;
};

/* move_take_up - a connection that had moved before this program was started; false: no memory */
bool move_take_up(struct connection *connection, struct side_record *side,
		  const struct move_parts *parts);

/* move_set_up - its rings, mapped, before it is attached; false: no memory, nothing was taken over */
bool move_set_up(struct connection *connection, const struct move_parts *parts);

/* move_refused - the daemon's REFUSED */
void move_refused(struct connection *connection, enum reason reason);

/* move_forbid - an attached connection: what has not moved stays TCP */
void move_forbid(struct connection *connection);

/**
 * move_send - try to move the sending direction with the first bytes of a call
 * @place: those bytes; @want of them in all, at least 1
 *
 * Return: how many were sent (the direction has then moved, or never will); 0 when the call is TCP's;
 * -EAGAIN when the move only wants room in TCP's send buffer.
 */
ssize_t move_send(struct connection *connection, int fd, const struct place *place, size_t want);

/* move_note_back - one of the ends went back to TCP (for @reason): say so to the others, and to people */
void move_note_back(struct connection *connection, enum reason reason);

/* move_may_send - both ends are attached and the sending direction has not given up */
static inline bool move_may_send(const struct connection *connection)
{
	const struct segment_writer *ours = our_writer(connection);

	return (atomic_load_explicit(&peer_writer(connection)->marks, memory_order_acquire) &
		(MARK_ATTACHED | MARK_BACK)) == MARK_ATTACHED &&
	       (atomic_load_explicit(&ours->marks, memory_order_relaxed) &
		(MARK_ATTACHED | MARK_SHUT)) == MARK_ATTACHED &&
	       atomic_load_explicit(&ours->switched, memory_order_relaxed) == SWITCH_NONE;
}

/* move_receive - has the receiving direction reached the ring? sets side.receive.moved */
bool move_receive(struct connection *connection);

/**
 * move_at_the_switch - the switching bytes were read, and the sender has not said OFF
 *
 * TCP may never bring anything again: nobody goes to sleep there.  DONE counts as well as BEGUN,
 * since it may have come after move_receive() had looked.
 */
bool move_at_the_switch(const struct connection *connection);

void move_confirm_slowly(struct connection *connection, int fd, uint32_t own);

/**
 * move_confirm - publish MARK_ATTACHED once this end is quiet; cheap when there is nothing to do
 * @own: how many calls in side.receive.in_kernel are the caller's
 */
static inline void move_confirm(struct connection *connection, int fd, uint32_t own)
{
	if (!(atomic_load_explicit(&our_writer(connection)->marks, memory_order_relaxed) &
	      MARK_ATTACHED))
		move_confirm_slowly(connection, fd, own);
}

#endif
