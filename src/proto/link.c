/* SPDX-License-Identifier: MIT */
#include "proto/link.h"

#include <string.h>

#include "proto/connection.h"
#include "proto/control.h"
#include "proto/rendezvous.h"

static struct proto_host *host_of(const struct link *link)
{
	return link->group->host;
}

static void link_tell(struct link *link, enum proto_action_type type, uint32_t number)
{
	proto_emit(host_of(link),
		   &(struct proto_action){.type = type, .link = link, .number = number});
}

void link_init(struct link *link, struct link_group *group)
{
	link->group = group;
	link->sequence = proto_random24(group->host);
	list_init(&link->waiting);
	proto_timer_init(&link->test, PROTO_TIMER_TEST, link);
}

void link_open(struct link *link)
{
	link->state = LINK_ACTIVATING;
	link_tell(link, PROTO_LINK_CREATE, 0);
}

void link_connect(struct link *link, bool sends)
{
	link_tell(link, PROTO_LINK_CONNECT, sends);
}

static void test_start(struct link *link)
{
	link->heard = false;
	link->testing = false;
	proto_timer_start(host_of(link), &link->test, PROTO_TEST_LINK_IDLE);
}

void link_activate(struct link *link)
{
	link->state = LINK_ACTIVE;
	test_start(link);
}

void link_close(struct link *link)
{
	if (link->state == LINK_UNUSED)
		return;
	proto_timer_stop(host_of(link), &link->test);
	link_tell(link, PROTO_LINK_DESTROY, 0);
	link->state = LINK_UNUSED;
	link->sends = false;
	link->post_count = 0;
	link->queued = 0;
}

bool link_has_room(const struct link *link)
{
	return link->sends && link->post_count < PROTO_SENDS - PROTO_SENDS_RESERVED;
}

/* There is room: callers have asked. */
static void post(struct link *link, const uint8_t *bytes, struct link_post what)
{
	link->posts[(link->first_post + link->post_count++) % PROTO_SENDS] = what;
	proto_emit(host_of(link), &(struct proto_action){.type = PROTO_SEND,
							 .link = link,
							 .bytes = bytes,
							 .length = PROTO_MESSAGE_LENGTH});
}

void link_post_cdc(struct link *link, struct connection *connection, uint64_t position,
		   const uint8_t bytes[PROTO_MESSAGE_LENGTH])
{
	post(link, bytes, (struct link_post){.connection = connection, .position = position});
}

void link_forget(struct link *link, struct connection *connection)
{
	for (unsigned int i = 0; i < link->post_count; i++) {
		struct link_post *each = &link->posts[(link->first_post + i) % PROTO_SENDS];

		if (each->connection == connection)
			each->connection = NULL;
	}
}

bool link_send_llc(struct link *link, struct llc_message *message, bool last)
{
	uint8_t bytes[PROTO_MESSAGE_LENGTH];
	bool confirms = message->type == LLC_CONFIRM_LINK && message->flags & LLC_RESPONSE;
	unsigned int at;

	message->length = llc_length(message);
	if (!link->sends || llc_encode(message, bytes, sizeof(bytes)) < 0)
		return false;
	if (link->post_count < PROTO_SENDS && !link->queued) {
		post(link, bytes, (struct link_post){.last = last, .confirms = confirms});
		return true;
	}
	if (link->queued == LINK_QUEUE)
		return false;
	at = (link->first_queued + link->queued++) % LINK_QUEUE;
	memcpy(link->queue[at].bytes, bytes, sizeof(bytes));
	link->queue[at].last = last;
	link->queue[at].confirms = confirms;
	return true;
}

void link_created(struct link *link, bool ok, uint32_t queue_pair)
{
	struct proto_host *host = host_of(link);

	link->queue_pair = queue_pair;
	if (link->group->first)
		rendezvous_link_created(link->group->first, ok);
	proto_leave(host);
}

void link_connected(struct link *link, bool ok)
{
	struct link_group *group = link->group;
	struct proto_host *host = host_of(link);

	if (ok && (group->role == PROTO_SERVER ||
		   (group->first && rendezvous_at(group->first, RENDEZVOUS_CONNECT_LINK))))
		link->sends = true;
	if (group->first)
		rendezvous_link_connected(group->first, ok);
	proto_leave(host);
}

void link_received(struct link *link, const void *bytes, size_t length)
{
	struct proto_host *host = host_of(link);

	link->heard = true;
	link->group->silent = false;
	if (length && *(const uint8_t *)bytes == CDC_TYPE)
		connection_received(link->group, bytes, length);
	else
		control_received(link, bytes, length);
	proto_leave(host);
}

/* Post what waits, LLC first. */
static void refill(struct link *link)
{
	while (link->queued && link->post_count < PROTO_SENDS) {
		unsigned int at = link->first_queued;

		link->first_queued = (at + 1) % LINK_QUEUE;
		link->queued--;
		post(link, link->queue[at].bytes,
		     (struct link_post){.last = link->queue[at].last,
					.confirms = link->queue[at].confirms});
	}
	while (link_has_room(link) && !list_empty(&link->waiting)) {
		struct connection *connection =
			list_owner(link->waiting.next, struct connection, waiting);

		list_remove(&connection->waiting);
		connection_transmit(connection);
	}
}

void link_sent(struct link *link, bool ok)
{
	struct proto_host *host = host_of(link);
	struct link_group *group = link->group;
	struct link_post done;

	if (!ok) {
		link_failed(link);
		return;
	}
	if (!link->post_count)
		return;
	done = link->posts[link->first_post];
	link->first_post = (link->first_post + 1) % PROTO_SENDS;
	link->post_count--;
	if (done.last)
		link_group_said(group);
	else if (done.confirms && group->first)
		rendezvous_confirm_sent(group->first);
	else if (done.connection)
		connection_completed(done.connection, done.position);
	refill(link);
	proto_leave(host);
}

void link_failed(struct link *link)
{
	struct proto_host *host = host_of(link);

	link->state = link->state == LINK_UNUSED ? LINK_UNUSED : LINK_INACTIVE;
	link->sends = false;
	link_group_close(link->group, FAREWELL_NONE);
	proto_leave(host);
}

void link_test(struct link *link)
{
	if (link->testing)
		return;
	link->heard = false;
	link->testing = true;
	control_test_link(link);
	proto_timer_start(host_of(link), &link->test, PROTO_TEST_LINK_WAIT);
}

void link_test_expired(struct link *link)
{
	if (link->heard) {
		test_start(link);
	} else if (link->testing) {
		link_failed(link);
	} else {
		link_test(link);
	}
}
