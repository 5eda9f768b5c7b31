/* SPDX-License-Identifier: MIT */
#include "control/reason.h"

#include <stddef.h>

static const struct {
	const char *name;
	const char *text;
} reasons[REASON_COUNT] = {
	[REASON_NONE] = {"none", "moved"},
	[REASON_YOUNG] = {"young", "has not lived long enough to be moved"},
	[REASON_NO_DAEMON] = {"no_daemon", "no smcud answered"},
	[REASON_WAITING] = {"waiting", "the peer has not offered its end (not under smcu?)"},
	[REASON_ATTACHED] = {"attached", "paired, moves with the next write"},
	[REASON_ELSEWHERE] = {"elsewhere", "the peer is not in this host's network namespace"},
	[REASON_SELF] = {"self", "connected to itself"},
	[REASON_RULE] = {"rule", "denied by the configuration"},
	[REASON_LIMIT] = {"limit", "the user's limit is reached"},
	[REASON_SECOND_USER] = {"second_user", "somebody else reads or writes the socket"},
	[REASON_SHARED] = {"shared", "inherited by another process before it moved"},
	[REASON_DESCRIPTORS] = {"descriptors", "short of descriptors"},
	[REASON_MEMORY] = {"memory", "short of memory"},
	[REASON_NOT_TCP] = {"not_tcp", "not an established, ordinary TCP socket"},
	[REASON_OPTION] = {"option", "uses something that only TCP can serve"},
	[REASON_STDIO] = {"stdio", "used through a standard I/O stream"},
	[REASON_SANDBOX] = {"sandbox", "a program at one of the ends sandboxed itself"},
	[REASON_OFF] = {"off", "smcu is off for this program"},
	[REASON_PEER_GONE] = {"peer_gone", "the peer is gone"},
	[REASON_RENDEZVOUS] = {"rendezvous", "SMC-R is being negotiated"},
	[REASON_DECLINED] = {"declined", "one of the hosts declined SMC-R"},
	[REASON_BACK] = {"back", "a program at one of the ends needed TCP again"},
};

const char *reason_text(unsigned int reason)
{
	return reason < REASON_COUNT ? reasons[reason].text : "unknown reason";
}

const char *reason_name(unsigned int reason)
{
	return reason < REASON_COUNT ? reasons[reason].name : "unknown";
}
