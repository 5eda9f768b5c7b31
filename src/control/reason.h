/* SPDX-License-Identifier: MIT */
#ifndef SMCU_CONTROL_REASON_H
#define SMCU_CONTROL_REASON_H

/**
 * enum reason - why a connection is still TCP
 *
 * One number serves the shim (which stores it in the side record), the daemon (which sends it in
 * a REFUSED message and counts it) and the command (which prints reason_text()).  Values are part
 * of the control protocol: append only.
 */
enum reason {
	REASON_NONE = 0, /* it has moved: nothing to explain */
	REASON_YOUNG, /* it has not lived long enough to be handed over */
	REASON_NO_DAEMON, /* no smcud answered */
	REASON_WAITING, /* handed over; the peer has not handed over its end (yet) */
	REASON_ATTACHED, /* both ends are paired; the switch comes with the next write */
	REASON_ELSEWHERE, /* the peer is not on this host, or in another network namespace */
	REASON_SELF, /* the socket is connected to itself */
	REASON_RULE, /* a deny rule of the configuration names it */
	REASON_LIMIT, /* the user's limit on connections or memory is reached */
	REASON_SECOND_USER, /* bytes went past the shim: somebody else reads or writes the socket */
	REASON_SHARED, /* another process inherited the socket before it moved */
	REASON_DESCRIPTORS, /* the process is short of descriptors */
	REASON_MEMORY, /* memory could not be had */
	REASON_NOT_TCP, /* not an established, ordinary TCP socket (MPTCP, kTLS, ...) */
	REASON_OPTION, /* a socket option or call that only TCP can serve is in use */
	REASON_STDIO, /* standard input/output streams use the socket */
	REASON_SANDBOX, /* the process, or the peer, locked itself in */
	REASON_OFF, /* smcu is switched off for this program */
	REASON_PEER_GONE, /* it moved, and fell back when the peer went away */
	REASON_RENDEZVOUS, /* SMC-R is being negotiated with the peer's host */
	REASON_DECLINED, /* SMC-R was negotiated, and one of the two hosts declined */
	REASON_BACK, /* it moved, and went back to TCP, which alone could serve one of its programs */
	REASON_COUNT
};

/* reason_text - one short clause for people, never NULL; unknown numbers give "unknown reason" */
const char *reason_text(unsigned int reason);

/* reason_name - a stable identifier for JSON and statistics ("waiting", "second_user", ...) */
const char *reason_name(unsigned int reason);

#endif
