/* SPDX-License-Identifier: MIT */
/*
 * Is the ICRC of a datagram that arrived correct?
 *
 * Theory of operation
 *
 * Of an IPv4 header a socket tells neither the identification nor whether it says "don't fragment":
 * the one is solved for, the other tried both ways.  So one damaged packet in 2^15 would pass.  But
 * a peer of our own kind has identifications below SOFT_TRAIN_COUNT alone.  A queue pair that has
 * seen only such ones for CHECK_TRUST packets takes no others, but for this: a packet that would
 * pass otherwise is dropped, and the count starts again.  So a damaged packet has to come twice
 * within CHECK_TRUST packets to pass, and a peer of another kind whose counter happened to be low
 * loses one packet.
 */
#ifndef SMCU_FABRIC_SOFT_CHECK_H
#define SMCU_FABRIC_SOFT_CHECK_H

#include "fabric/soft/device.h"

#define CHECK_TRUST 16U

/* check_icrc - of a datagram for @pair; @icrc: the one that it carries */
bool check_icrc(struct soft_pair *pair, const struct soft_datagram *datagram, uint32_t icrc);

#endif
