/* SPDX-License-Identifier: MIT */
#include "daemon/pairing.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/address.h"
#include "daemon/apps.h"
#include "daemon/log.h"
#include "daemon/socket.h"
#include "daemon/tcp_option.h"
#include "ring/doorbell.h"
#include "ring/segment.h"

/*
 * An offer without addresses: ask the socket itself, for our own user only, since this may wait for
 * the socket's lock.
 */
static bool ask_addresses(const struct apps *apps, int fd, struct offer *offer)
{
	union address_any local, peer;
	socklen_t size = sizeof(local);

	if (offer->session->user->uid != apps->only_uid)
		return false;
	if (getsockname(fd, &local.any, &size) < 0)
		return false;
	size = sizeof(peer);
	return getpeername(fd, &peer.any, &size) == 0 && address_from(&local, &offer->local) &&
	       address_from(&peer, &offer->peer);
}

static bool has_upper_protocol(int fd)
{
	char name[16] = "";
	socklen_t size = sizeof(name);

	return getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &size) < 0 || (size && name[0]);
}

/* The kernel did not find this socket at the addresses offered: why not? */
static enum reason why_not_found(const struct apps *apps, int fd)
{
	if (!socket_is_tcp(fd))
		return REASON_NOT_TCP;
	if (socket_word(fd, SO_NETNS_COOKIE) != apps->netns)
		return REASON_ELSEWHERE;
	return REASON_NOT_TCP;
}

static bool end_matches(const struct sock_diag_found *end, uint64_t cookie)
{
	return end->cookie == cookie && end->state == TCP_ESTABLISHED;
}

/* Ask the kernel for both ends, first for unbound sockets, then for ones bound to an interface. */
static enum reason find_ends(struct apps *apps, int fd, struct offer *offer)
{
	struct sock_diag_found ends[2];
	int64_t interface;

	if (sock_diag_find_ends(&apps->diag, &offer->local, &offer->peer, 0, ends))
		return REASON_ELSEWHERE;
	if (!end_matches(&ends[0], offer->cookie)) {
		interface = socket_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
		if (interface <= 0 ||
		    sock_diag_find_ends(&apps->diag, &offer->local, &offer->peer,
					(uint32_t)interface, ends) ||
		    !end_matches(&ends[0], offer->cookie))
			return why_not_found(apps, fd);
	}
	if (has_upper_protocol(fd))
		return REASON_NOT_TCP;
	offer->peer_cookie = ends[1].cookie;
	return ends[1].cookie ? REASON_NONE : REASON_ELSEWHERE;
}

/* Its peer may be known by the numbers that only the two ends of one connection share. */
static bool has_numbers(const struct apps *apps, int fd, struct offer *offer)
{
	struct tcp_option_state state;

	if (!tcp_option_state(&apps->tcp_option, fd, &state) ||
	    !(state.flags & TCP_OPTION_ESTABLISHED) || state.sent == state.received ||
	    has_upper_protocol(fd))
		return false;
	offer->numbers = (struct offer_numbers){state.sent, state.received};
	offer->elsewhere = true;
	return true;
}

/* What is this socket?  Fills in @offer; REASON_NONE if it may be paired. */
static enum reason inspect(struct apps *apps, int fd, struct offer *offer)
{
	enum reason reason;

	offer->cookie = socket_word(fd, SO_COOKIE);
	if (!offer->cookie)
		return REASON_NOT_TCP;
	if (!offer->local.port && !ask_addresses(apps, fd, offer))
		return REASON_NOT_TCP;
	if (address_equal(&offer->local, &offer->peer))
		return REASON_SELF;
	if (rules_deny(&apps->config->rules, &offer->local, &offer->peer, offer->session->program))
		return REASON_RULE;
	reason = find_ends(apps, fd, offer);
	return reason == REASON_ELSEWHERE && has_numbers(apps, fd, offer) ? REASON_NONE : reason;
}

static void refuse(struct session *session, uint64_t id, enum reason reason)
{
	union message message;

	message_init(&message, MESSAGE_REFUSED);
	message.refused.id = id;
	message.refused.reason = reason;
	session->apps->totals.refused[reason]++;
	session_send(session, &message, NULL, 0);
}

static void no_longer_pending(struct offer *offer)
{
	struct apps *apps = offer->session->apps;

	if (offer->paired)
		return;
	HASH_DELETE(by_cookie, apps->pending, offer);
	if (!offer->elsewhere)
		return;
	HASH_DELETE(by_numbers, apps->elsewhere, offer);
	loop_timer_stop(apps->loop, &offer->patience);
}

static void forget(struct offer *offer)
{
	struct session *session = offer->session;

	session->user->connections--;
	session->user->memory -= offer->charged;
	HASH_DELETE(by_id, session->offers, offer);
	no_longer_pending(offer);
	free(offer);
}

/**
 * struct hand_over - what the two ends get
 * @segment: shared memory; @data, @space: the bells
 */
struct hand_over {
	int segment;
	int data[2];
	int space[2];
};

static int hand_over_make(struct hand_over *made, uint32_t ring_bytes)
{
	int error;

	made->segment = segment_create(ring_bytes);
	if (made->segment < 0)
		return made->segment;
	error = doorbell_create(made->data);
	if (error)
		goto no_data;
	error = doorbell_create(made->space);
	if (error)
		goto no_space;
	return 0;

no_space:
	close(made->data[0]);
	close(made->data[1]);
no_data:
	close(made->segment);
	return error;
}

/* By the disposer: a client may have put something into a bell whose last holder we are now. */
static void hand_over_close(struct disposer *disposer, const struct hand_over *made)
{
	int end;

	disposer_add(disposer, DISPOSE_QUICK, made->segment, NULL);
	for (end = 0; end < 2; end++) {
		disposer_add(disposer, DISPOSE_QUICK, made->data[end], NULL);
		disposer_add(disposer, DISPOSE_QUICK, made->space[end], NULL);
	}
}

static int send_end(const struct offer *offer, const struct offer *peer,
		    const struct hand_over *made, unsigned int end, uint32_t ring_bytes)
{
	int fds[3] = {made->segment, made->data[end], made->space[end]};
	union message message;

	message_init(&message, MESSAGE_PAIRED);
	message.paired.id = offer->id;
	message.paired.end = end;
	message.paired.ring_bytes = ring_bytes;
	if (offer->session->user == peer->session->user)
		message.paired.flags = PAIRED_SAME_USER;
	return session_send(offer->session, &message, fds, 3);
}

/* Count the segment towards both users, or once if they are the same. */
static bool charge(struct offer *first, struct offer *second, uint64_t bytes, uint64_t limit)
{
	struct user *a = first->session->user, *b = second->session->user;

	if (a->memory + bytes > limit || b->memory + bytes > limit)
		return false;
	first->charged = bytes;
	a->memory += bytes;
	if (a != b) {
		second->charged = bytes;
		b->memory += bytes;
	}
	return true;
}

static void refuse_both(struct offer *first, struct offer *second, enum reason reason)
{
	refuse(first->session, first->id, reason);
	refuse(second->session, second->id, reason);
	forget(first);
	forget(second);
}

static void mark_paired(struct offer *offer)
{
	no_longer_pending(offer);
	offer->paired = true;
}

/* Tell both.  If one cannot be told, the other never sees its attached bit and stays TCP. */
static void pair(struct apps *apps, struct offer *first, struct offer *second)
{
	uint32_t ring_bytes = apps->config->policy.ring_bytes;
	struct hand_over made;
	int error;

	if (!charge(first, second, segment_size(ring_bytes), apps->config->memory_per_user)) {
		refuse_both(first, second, REASON_LIMIT);
		return;
	}
	error = hand_over_make(&made, ring_bytes);
	if (error) {
		log_client("no segment for a connection: %s", strerror(-error));
		refuse_both(first, second,
			    error == -EMFILE || error == -ENFILE ? REASON_DESCRIPTORS
								 : REASON_MEMORY);
		return;
	}
	mark_paired(first);
	mark_paired(second);
	error = send_end(first, second, &made, 0, ring_bytes);
	if (!error)
		error = send_end(second, first, &made, 1, ring_bytes);
	hand_over_close(apps->disposer, &made);
	if (error == -ETOOMANYREFS || error == -EMFILE)
		refuse_both(first, second, REASON_DESCRIPTORS);
	else
		apps->totals.paired++;
}

static struct offer *find_elsewhere(struct apps *apps, const struct offer *offer)
{
	const struct offer_numbers mirrored = {offer->numbers.received, offer->numbers.sent};
	struct offer *peer;

	HASH_FIND(by_numbers, apps->elsewhere, &mirrored, sizeof(mirrored), peer);
	return peer;
}

static struct offer *find_peer(struct apps *apps, const struct offer *offer)
{
	struct offer *peer;

	if (offer->elsewhere)
		return find_elsewhere(apps, offer);

	HASH_FIND(by_cookie, apps->pending, &offer->peer_cookie, sizeof(offer->peer_cookie), peer);
	if (!peer || peer->peer_cookie != offer->cookie)
		return NULL;
	return address_equal(&peer->local, &offer->peer) &&
			       address_equal(&peer->peer, &offer->local)
		       ? peer
		       : NULL;
}

/* Nobody has the same numbers: it is another host's. */
static void out_of_patience(void *context)
{
	struct offer *offer = context;

	refuse(offer->session, offer->id, REASON_ELSEWHERE);
	forget(offer);
}

static void await_elsewhere(struct apps *apps, struct offer *offer)
{
	HASH_ADD(by_numbers, apps->elsewhere, numbers, sizeof(offer->numbers), offer);
	offer->patience.handler = out_of_patience;
	offer->patience.context = offer;
	loop_timer_start(apps->loop, &offer->patience, PAIRING_ELSEWHERE_MS);
}

/* The socket is what it should be: wait for its peer, or pair it. */
static enum reason admit(struct apps *apps, const struct offer *facts)
{
	struct session *session = facts->session;
	struct offer *offer, *peer;

	HASH_FIND(by_cookie, apps->pending, &facts->cookie, sizeof(facts->cookie), offer);
	if (offer)
		return REASON_SHARED;
	offer = malloc(sizeof(*offer));
	if (!offer)
		return REASON_MEMORY;
	*offer = *facts;
	session->user->connections++;
	HASH_ADD(by_id, session->offers, id, sizeof(offer->id), offer);
	HASH_ADD(by_cookie, apps->pending, cookie, sizeof(offer->cookie), offer);
	if (offer->elsewhere)
		await_elsewhere(apps, offer);
	peer = find_peer(apps, offer);
	if (peer)
		pair(apps, peer, offer);
	return REASON_NONE;
}

static struct offer *find_by_id(struct session *session, uint64_t id)
{
	struct offer *offer;

	HASH_FIND(by_id, session->offers, &id, sizeof(id), offer);
	return offer;
}

void pairing_offer(struct session *session, const struct message_offer *message, int fd)
{
	struct apps *apps = session->apps;
	struct offer facts = {.session = session,
			      .id = message->id,
			      .local = message->local,
			      .peer = message->peer};
	enum reason reason = REASON_LIMIT;

	apps->totals.offers++;
	if (find_by_id(session, message->id)) {
		apps_dispose(apps, session->user, fd);
		session_doom(session, "OFFER with an id that is in use");
		return;
	}
	if (session->user->connections < apps->config->connections_per_user)
		reason = inspect(apps, fd, &facts);
	if (reason == REASON_NONE) {
		disposer_add(apps->disposer, disposer_class(fd, true), fd, NULL);
		reason = admit(apps, &facts);
	} else {
		apps_dispose(apps, session->user, fd);
	}
	if (reason != REASON_NONE)
		refuse(session, message->id, reason);
}

void pairing_withdraw(struct session *session, uint64_t id)
{
	struct offer *offer = find_by_id(session, id);

	if (offer)
		forget(offer);
}

void pairing_forget(struct session *session)
{
	struct offer *offer, *next;

	HASH_ITER(by_id, session->offers, offer, next)
	forget(offer);
}
