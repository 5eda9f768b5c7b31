/* SPDX-License-Identifier: MIT */
/*
 * Wrong on purpose: what shows that the simulator would notice
 *
 * The simulator builds this directory once more with PROTO_BUGS and switches one of these on.
 * Everywhere else PROTO_HAS_BUG() is false for the compiler, which leaves nothing of it.
 */
#ifndef SMCU_PROTO_BUG_H
#define SMCU_PROTO_BUG_H

enum proto_bug {
	PROTO_BUG_NONE,
	PROTO_BUG_READ_BEYOND_CLC, /* rendezvous: a byte behind a Decline is taken too */
	PROTO_BUG_ANSWER_DECLINE, /* rendezvous: a Decline is answered with one */
	PROTO_BUG_LOST_EARLY_CDC, /* rendezvous: a CDC message before the Confirm is dropped */
	PROTO_BUG_DEREGISTER_EARLY, /* LLC: an RMB goes before the peer has agreed */
	PROTO_BUG_REST_EARLY, /* LLC: an RMB is used again while the peer may still write */
	PROTO_BUG_FLOW_NOT_PASSED_ON, /* LLC: the next exchange is not started after a response */
	PROTO_BUG_MIXED_WRAP, /* CDC: full and empty are not told apart */
	PROTO_BUG_UPDATE_FORGOTTEN, /* CDC: an update that found no room is not sent later */
	PROTO_BUG_NO_SPLIT, /* CDC: a WRITE goes beyond the end of the element */
	PROTO_BUG_CLOSE_OVERTAKES, /* close: does not wait until all is sent */
	PROTO_BUG_UNREAD_CLOSE_IS_CLEAN, /* close: C where A was due */
	PROTO_BUG_FINAL_IGNORED, /* close: the peer's close in PEER_FIN_CLOSE_WAIT is not seen */
	PROTO_BUG_ENDED_UNHEARD, /* link group: goes right behind its last message */
	PROTO_BUG_END
};

#ifdef PROTO_BUGS
extern enum proto_bug proto_bug;
#define PROTO_HAS_BUG(which) (proto_bug == (which))
#else
#define PROTO_HAS_BUG(which) false
#endif

#endif
