/* SPDX-License-Identifier: MIT */
#include "daemon/remote_relay.h"

#include <errno.h>
#include <sys/socket.h>

#include "daemon/apps.h"
#include "daemon/remote_state.h"

static void settled(void *context)
{
	struct remote *remote = context;

	remote->relay.settled = true;
	remote_activate(remote);
}

void remote_relay_begin(struct remote *remote, bool late)
{
	remote->relay.begun = true;
	remote->relay.late = late;
	remote->relay.settle = (struct loop_timer){.handler = settled, .context = remote};
}

void remote_relay_stop(struct remote *remote)
{
	loop_timer_stop(remote->apps->loop, &remote->relay.settle);
}

/* Is what the peer says its application's word?  Drops what is not. */
static void poll_late(struct remote *remote)
{
	struct remote_relay *relay = &remote->relay;
	struct remote_tcp *tcp = &remote->tcp;
	int drop;

	while (relay->late && !tcp->busy) {
		if (!tcp->in_length) {
			relay->late = !tcp->at_end && !tcp->failed;
			if (!relay->late || !tcp->look)
				return;
			remote_tcp_peek(remote);
			continue;
		}
		drop = rendezvous_late(remote->role, tcp->in, tcp->in_length);
		if (drop > 0) {
			remote_tcp_take(remote, (size_t)drop);
		} else if (drop == -EAGAIN && (!tcp->ended || tcp->edge)) {
			tcp->in_length = 0;
			tcp->look = tcp->edge;
		} else {
			relay->late = false;
		}
	}
}

/* Not before the last message of the rendezvous is off the stream, and ours is on it. */
static bool may_go_back(const struct remote *remote)
{
	const struct remote_tcp *tcp = &remote->tcp;

	return !remote->relay.late && !remote->relay.back && !tcp->failed && !tcp->out &&
	       !(tcp->busy && tcp->operation == REMOTE_TCP_TAKING);
}

static void go_back(struct remote *remote)
{
	remote->relay.back = true;
	for (unsigned int way = 0; way < 2; way++)
		atomic_store(&remote->map->control->negotiated[way], remote->tcp.negotiated[way]);
	remote_mark(remote, MARK_BACK);
	remote_wake_writer(remote, SIZE_MAX);
	loop_timer_start(remote->apps->loop, &remote->relay.settle, RELAY_SETTLE_MS);
}

/* What TCP has taken is not needed any more. */
static void release_relayed(struct remote *remote)
{
	size_t before = ring_available(&remote->send);

	if (!remote->tcp.relayed)
		return;
	ring_release(&remote->send, remote->tcp.relayed);
	remote->tcp.relayed = 0;
	remote_wake_writer(remote, before);
}

/*
 * Of @n bytes only those before an urgent one, or that alone: TCP may take less than it was given, and an urgent
 * byte is the last one.  Return: whether it is that.
 */
static bool stop_at_urgent(const struct remote *remote, ssize_t *n)
{
	const uint64_t urgent = remote_app_urgent(remote);
	const uint64_t at = atomic_load(&remote->send.own->position);

	if (urgent <= at || urgent > at + (uint64_t)*n)
		return false;
	if (urgent - 1 > at) {
		*n = (ssize_t)(urgent - 1 - at);
		return false;
	}
	*n = 1;
	return true;
}

/* From the ring to TCP; true if there is more and TCP may take it. */
static bool send_ring(struct remote *remote)
{
	unsigned int pieces;
	uint8_t *span;
	bool urgent;
	ssize_t n;

	release_relayed(remote);
	for (pieces = 0; pieces < RELAY_PIECES && remote_tcp_ready(remote); pieces++) {
		n = ring_front(&remote->send, &span);
		if (n < 0)
			remote->broken = true;
		if (n <= 0)
			return false;
		urgent = stop_at_urgent(remote, &n);
		remote_tcp_relay(remote, span, (size_t)n, urgent);
		release_relayed(remote);
	}
	return remote_tcp_ready(remote) && ring_available(&remote->send);
}

/* Of two that close at once one has to see the other: release, fence, look; the shim does it the other way. */
static bool has_shut(struct remote *remote)
{
	atomic_thread_fence(memory_order_seq_cst);
	/* After MARK_BACK the shim may have given its stand-in up. */
	return (remote->app_shut && !remote->relay.back) ||
	       remote_app_marks(remote) & (MARK_SHUT | MARK_CLOSED);
}

static void end_stream(struct remote *remote)
{
	struct remote_relay *relay = &remote->relay;

	if (relay->ended || !remote_tcp_idle(remote) || !has_shut(remote) ||
	    ring_available(&remote->send))
		return;
	relay->ended = true;
	/* A socket that is closed is not shut down first: SO_LINGER decides what happens. */
	if (!(remote_app_marks(remote) & MARK_CLOSED))
		remote_tcp_end(remote, PROTO_TCP_SHUT_DOWN_WRITE);
	remote_tcp_work(remote);
}

/* Is nobody inside a write into the ring?  To be asked before the last look at the ring. */
static bool is_quiet(struct remote *remote)
{
	struct remote_relay *relay = &remote->relay;

	if (remote->app_gone)
		return true;
	if (!relay->back || !relay->settled)
		return false;
	if (!atomic_load(&remote->send.shared->busy.inside))
		return true;
	relay->settled = false;
	loop_timer_start(remote->apps->loop, &relay->settle, RELAY_SETTLE_MS);
	return false;
}

/* The connection is lost; is the error the application's to find? */
static void lost(struct remote *remote)
{
	if (ring_available(&remote->send) || (remote->tcp.error_taken && !remote->relay.back))
		remote_reset_application(remote);
	else if (!remote->relay.back)
		go_back(remote);
	remote->phase = REMOTE_ENDED;
}

/* It closed, and wants nothing of what it wrote to arrive. */
static bool is_thrown_away(const struct remote *remote)
{
	struct linger linger = {0};
	socklen_t size = sizeof(linger);

	return remote->app_gone && remote_app_marks(remote) & MARK_CLOSED &&
	       getsockopt(remote->tcp.fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 &&
	       linger.l_onoff && !linger.l_linger;
}

bool remote_relay_work(struct remote *remote)
{
	bool quiet, more;

	poll_late(remote);
	if (may_go_back(remote))
		go_back(remote);
	quiet = is_quiet(remote);
	more = send_ring(remote);
	if (remote->tcp.failed && !remote->tcp.busy) {
		lost(remote);
		return false;
	}
	end_stream(remote);
	if (!remote->broken && remote_tcp_idle(remote) &&
	    ((quiet && !ring_available(&remote->send)) || is_thrown_away(remote)))
		remote->phase = REMOTE_ENDED;
	return more;
}
