/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: how one end wakes the other
 *
 * Theory of operation
 *
 * A doorbell is an AF_UNIX stream socketpair, one descriptor with each end of the connection.  A
 * byte means "look at the ring".  There are two pairs a connection: the *data* bell ("there may be
 * something to read") and the *space* bell ("there may be room to write"); with one for both, a
 * reader eats the byte meant for a sleeping writer.
 *
 * A sleeper arms the word in the segment, looks at the ring once more, and waits on its own
 * descriptor without taking the byte (MSG_PEEK or poll), so that every sleeper of that kind wakes.
 * Who made the ring ready takes the armed word (exchange) and rings only if it was armed, so that
 * at most a few bytes are ever queued.  A byte is drained before arming again, by who holds the
 * direction's lock and found nothing to do.
 *
 * End of file on a bell is not death of the peer: it means *look at TCP*.
 */
#ifndef SMCU_RING_DOORBELL_H
#define SMCU_RING_DOORBELL_H

/**
 * doorbell_create - make one pair
 * @ends: filled with the descriptors of end 0 and end 1, close-on-exec and blocking
 *
 * Return: 0 or -errno.
 */
int doorbell_create(int ends[2]);

#endif
