/* SPDX-License-Identifier: MIT */
#include "shim/offer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>

#include "bpf/tcp_option.h"
#include "ring/segment.h"
#include "shim/cleanup.h"
#include "shim/clock.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/quiet.h"
#include "shim/remote.h"
#include "shim/rules.h"
#include "shim/session.h"
#include "shim/settings.h"
#include "shim/trace.h"
#include "shim/user_memory.h"

#define ELSEWHERE_NS 1000000000ULL /* an address that has become this host's since then is declined */

_Atomic uint32_t offers_pending;

/* --- whom to offer --- */

static bool is_ip(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET || address->ss_family == AF_INET6;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;

	if (address->ss_family == AF_INET)
		return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
	return IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
				  &((const struct sockaddr_in6 *)b)->sin6_addr);
}

/* A packet to an address of this host leaves from that address. */
static bool leaves_from(const struct sockaddr_storage *address, socklen_t length)
{
	struct sockaddr_storage own = {0};
	socklen_t own_length = sizeof(own);
	int fd = libc.socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool local = fd < 0 || quiet_connect(fd, (const struct sockaddr *)address, length) < 0 ||
		     getsockname(fd, (struct sockaddr *)&own, &own_length) < 0 ||
		     same_host(&own, address);

	if (fd >= 0)
		quiet_close(fd);
	return local;
}

/* This thread's last peer elsewhere: a program that connects often does so to the same host. */
static __thread struct {
	struct sockaddr_storage address;
	uint64_t until;
} elsewhere __attribute__((tls_model("initial-exec")));

static bool is_local(const struct sockaddr_storage *address, socklen_t length)
{
	const uint64_t now = now_ns();

	if (now < elsewhere.until && same_host(&elsewhere.address, address))
		return false;
	if (leaves_from(address, length))
		return true;
	elsewhere.address = *address;
	elsewhere.until = now + ELSEWHERE_NS;
	return false;
}

static bool may_offer(const struct connection *connection)
{
	if (settings.sandboxed || atomic_load(&connection->offer) == OFFER_NEVER)
		return false;
	session_learn_policy();
	return settings.offer && !session_hangs() &&
	       segment_file_may_be(segment_size(settings.ring_bytes));
}

/* Are there descriptors for it, and for what was offered before?  (Who accepts cannot know: remote_hand_over().) */
static bool has_room(void)
{
	return fd_hidden_room() >= REMOTE_HIDDEN * (int)(atomic_load(&offers_pending) + 1);
}

/* Do the daemon's rules keep socket @fd from being offered?  @peer: NULL: anybody. */
static bool is_denied(int fd, const struct sockaddr_storage *peer)
{
	struct sockaddr_storage own = {0};
	socklen_t length = sizeof(own);
	struct side_address ends[2] = {0};

	if (!rules_any() || getsockname(fd, (struct sockaddr *)&own, &length) < 0)
		return false;
	connection_address(&ends[0], &own);
	if (peer)
		connection_address(&ends[1], peer);
	return rules_deny_offer(&ends[0], &ends[1]);
}

void offer_connect(struct connection *connection, int fd, const struct sockaddr *address,
		   socklen_t length)
{
	const int saved = errno;
	struct sockaddr_storage to = {0};
	bool offers = false;

	if (length <= sizeof(to) && user_copy(&to, address, length) && is_ip(&to) &&
	    !is_loopback(&to))
		offers = may_offer(connection) && has_room() && !is_denied(fd, &to) &&
			 !is_local(&to, length);
	if (trace_ask(fd, offers) && offers)
		atomic_store(&connection->offer, OFFER_SETTLING); /* until connect(2) has begun */
	errno = saved;
}

void offer_connecting(struct connection *connection)
{
	uint8_t settling = OFFER_SETTLING;

	if (atomic_compare_exchange_strong(&connection->offer, &settling, OFFER_MADE))
		atomic_fetch_add(&offers_pending, 1);
}

void offer_drop(struct connection *connection)
{
	if (atomic_exchange(&connection->offer, OFFER_NOT) == OFFER_MADE &&
	    connection_phase(connection) != PHASE_LISTENING)
		atomic_fetch_sub(&offers_pending, 1);
}

void offer_listen(struct connection *connection, int fd)
{
	const int saved = errno, at_once = 0;
	struct sockaddr_storage own = {0};
	socklen_t length = sizeof(own);
	bool offers = false;

	if (getsockname(fd, (struct sockaddr *)&own, &length) == 0 && is_ip(&own) &&
	    !is_loopback(&own))
		offers = may_offer(connection) && !is_denied(fd, NULL);
	if (trace_ask(fd, offers) && offers) {
		length = sizeof(connection->defer_accept);
		(void)libc.getsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &connection->defer_accept,
				      &length);
		(void)libc.setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &at_once, sizeof(at_once));
		atomic_store(&connection->offer, OFFER_OVER); /* its children have verdicts */
	}
	errno = saved;
}

bool offer_has_children(const struct connection *listener)
{
	const uint8_t offer = atomic_load(&listener->offer);

	return offer == OFFER_OVER || offer == OFFER_WITHDRAWN;
}

void offer_withdraw(struct connection *connection)
{
	const unsigned int wishes = TCP_OPTION_TRACE;
	const int saved = errno;
	uint8_t over = OFFER_OVER;

	if (connection_phase(connection) != PHASE_LISTENING ||
	    !atomic_compare_exchange_strong(&connection->offer, &over, OFFER_WITHDRAWN))
		return;
	(void)libc.setsockopt(connection->fd, TCP_OPTION_LEVEL, TCP_OPTION_ASK, &wishes,
			      sizeof(wishes));
	if (connection->defer_accept)
		(void)libc.setsockopt(connection->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT,
				      &connection->defer_accept, sizeof(connection->defer_accept));
	errno = saved;
}

/* --- options --- */

void offer_note_option(int fd, int level, int name)
{
	struct connection *connection;
	const bool keeps =
		(level == IPPROTO_TCP &&
		 (name == TCP_FASTOPEN || name == TCP_MD5SIG || name == TCP_MD5SIG_EXT ||
		  name == TCP_FASTOPEN_CONNECT)) ||
		(level == IPPROTO_IP && (name == IP_IPSEC_POLICY || name == IP_XFRM_POLICY)) ||
		(level == IPPROTO_IPV6 && (name == IPV6_IPSEC_POLICY || name == IPV6_XFRM_POLICY));
	uint8_t not = OFFER_NOT;

	if (__builtin_expect(!keeps, 1))
		return;
	connection = connection_get(fd);
	if (!connection)
		return;
	if (!atomic_compare_exchange_strong(&connection->offer, &not, OFFER_NEVER))
		offer_withdraw(connection);
	connection_put(connection);
}

static bool is_offering_listener(const struct connection *connection)
{
	return connection_phase(connection) == PHASE_LISTENING &&
	       atomic_load(&connection->offer) == OFFER_OVER;
}

bool offer_hold_option(int fd, int level, int name, const void *value, socklen_t length)
{
	struct connection *connection;
	int seconds;
	bool held;

	if (__builtin_expect(level != IPPROTO_TCP || name != TCP_DEFER_ACCEPT, 1) ||
	    length < sizeof(seconds) || !user_copy(&seconds, value, sizeof(seconds)))
		return false;
	connection = connection_get(fd);
	if (!connection)
		return false;
	held = is_offering_listener(connection);
	if (held)
		connection->defer_accept = seconds;
	connection_put(connection);
	return held;
}

bool offer_show_option(int fd, int level, int name, void *value, const socklen_t *length)
{
	struct connection *connection;
	bool held;

	if (__builtin_expect(level != IPPROTO_TCP || name != TCP_DEFER_ACCEPT, 1))
		return false;
	connection = connection_get(fd);
	if (!connection)
		return false;
	held = is_offering_listener(connection) && *length == sizeof(connection->defer_accept) &&
	       user_copy(value, &connection->defer_accept, sizeof(connection->defer_accept));
	connection_put(connection);
	return held;
}

/* --- the verdict --- */

/* EALREADY, EINPROGRESS, or 0: TCP */
static int verdict_of(int fd)
{
	const int any = 0;
	const int saved = errno;
	int verdict = 0;

	if (libc.setsockopt(fd, TCP_OPTION_LEVEL, TCP_OPTION_VERDICT, &any, sizeof(any)) < 0)
		verdict = errno;
	errno = saved;
	return verdict;
}

static void settled(void *context)
{
	struct connection *connection = context;

	atomic_fetch_sub(&offers_pending, 1);
	atomic_store(&connection->offer, OFFER_OVER);
}

/* Where that waits, signal handlers do not (latch.h), and may jump away. */
static void hand_over(struct connection *connection, int fd)
{
	struct cleanup cleanup;

	cleanup_push(&cleanup, settled, connection);
	latch_begin();
	remote_hand_over(connection, fd);
	latch_end();
	cleanup_pop(&cleanup);
}

void offer_settle_slowly(struct connection *connection, int fd)
{
	uint8_t made = OFFER_MADE;
	int verdict;

	if (settings.sandboxed)
		return;
	latch_begin();
	while (!atomic_compare_exchange_strong(&connection->offer, &made, OFFER_SETTLING)) {
		latch_end();
		if (made != OFFER_SETTLING || !connection->side)
			return;
		made = OFFER_MADE;
		sched_yield(); /* another thread is at it: nobody reads before it is done */
		latch_begin();
	}
	verdict = verdict_of(fd);
	if (verdict == EALREADY)
		hand_over(connection, fd);
	if (verdict == EINPROGRESS)
		atomic_store(&connection->offer, OFFER_MADE);
	else
		settled(connection);
	latch_end();
}

void offer_pin(struct connection *connection, int fd)
{
	offer_settle(connection, fd);
	if (atomic_load(&connection->offer) != OFFER_MADE)
		connection_pin(connection, REASON_OPTION);
}

void offer_accepted(struct connection *connection, int fd)
{
	if (verdict_of(fd) == EALREADY)
		remote_hand_over(connection, fd);
}

void offer_refuse(int fd)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	if (verdict_of(fd) == EALREADY)
		(void)quiet_connect(fd, &nowhere, sizeof(nowhere));
}

static void settle(struct connection *connection, void *context)
{
	(void)context;
	offer_settle(connection, atomic_load(&connection->fd));
}

void offer_settle_all(void)
{
	if (atomic_load(&offers_pending))
		connection_each(settle, NULL);
}
