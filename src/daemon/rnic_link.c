/* SPDX-License-Identifier: MIT */
/*
 * Links as queue pairs, RMBs as regions
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/log.h"
#include "daemon/remote.h"
#include "daemon/rnic.h"
#include "proto/connection.h"
#include "proto/link_group.h"

#define RECEIVES 32U /* messages of the peer that may wait for us */
#define RECEIVE_ID (1ULL << 32)
#define WRITES_A_MESSAGE 2U /* the peer's element may go on at its start */
#define SENDS (PROTO_SENDS * (1U + WRITES_A_MESSAGE))

/* As Linux has them for SMC-R, but for TIMEOUT: a path that loses a fifth of all packets is one yet. */
#define TIMEOUT 17U /* 537 ms */
#define RETRIES 7U
#define RNR_TIMER 5U
#define HOP_LIMIT 255U

/**
 * struct rnic_link - a link's queue pair, and what it needs
 * @pair: NULL once it is destroyed
 * @link: the protocol's
 * @domain: of it and of the RMBs
 * @receives: region of @buffer
 * @users: the queue pair, regions in @domain, and who is at work with it
 */
struct rnic_link {
	struct rnic *rnic;
	struct fabric_queue_pair *pair;
	struct link *link;
	struct fabric_domain *domain;
	struct fabric_region *receives;
	uint8_t *buffer;
	unsigned int users;
};

/**
 * struct rnic_rmb - the memory of one connection
 * @element: what the peer writes; @ring: what is written from here
 */
struct rnic_rmb {
	struct rnic_link *link;
	struct remote_map *map;
	struct fabric_region *element;
	struct fabric_region *ring;
};

static void put(struct rnic_link *link)
{
	if (--link->users)
		return;
	if (link->receives)
		fabric_region_deregister(link->receives);
	if (link->domain)
		fabric_domain_destroy(link->domain);
	if (link->buffer)
		munmap(link->buffer, (size_t)RECEIVES * LLC_LENGTH_MAX);
	free(link);
}

static int post_receive(struct rnic_link *link, unsigned int index)
{
	const struct fabric_piece piece = {.at = link->buffer + (size_t)index * LLC_LENGTH_MAX,
					   .length = LLC_LENGTH_MAX,
					   .key = link->receives->local_key};

	return fabric_post_receive(link->pair, RECEIVE_ID | index, &piece);
}

/* A queue pair in INIT with all its receives. */
static int make_pair(struct rnic_link *link)
{
	const struct fabric_depths depths = {.sends = SENDS, .receives = RECEIVES};
	const size_t size = (size_t)RECEIVES * LLC_LENGTH_MAX;
	int error = fabric_domain_create(link->rnic->device, &link->domain);
	void *buffer;

	if (error)
		return error;
	/* Pages that no long message comes to are never touched. */
	buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED)
		return -1;
	link->buffer = buffer;
	error = fabric_region_register(link->domain, buffer, size, FABRIC_LOCAL_WRITE,
				       &link->receives);
	if (!error)
		error = fabric_create(link->domain, &depths, link, &link->pair);
	if (!error)
		error = fabric_init(link->pair, FABRIC_REMOTE_WRITE);
	for (unsigned int i = 0; i < RECEIVES && !error; i++)
		error = post_receive(link, i);
	return error;
}

static void create(struct rnic *rnic, struct link *of)
{
	struct answer *answer = rnic_answer(rnic, ANSWER_CREATED);
	struct rnic_link *link = calloc(1, sizeof(*link));

	if (answer)
		answer->link = of;
	of->engine = link;
	if (!link)
		return;
	link->rnic = rnic;
	link->link = of;
	link->users = 1;
	rnic->link_count++;
	if (make_pair(link) == 0 && answer)
		answer->ok = true;
}

static struct fabric_path path_of(const struct rnic *rnic, const struct link *of)
{
	struct fabric_path path = {
		.gid_index = rnic->gid_index[of->group->version > 1],
		.remote_number = of->peer.queue_pair,
		.sequence = of->peer.sequence,
		.mtu = of->peer.mtu,
		.rnr_timer = RNR_TIMER,
		.hop_limit = HOP_LIMIT,
	};

	memcpy(path.remote.bytes, of->peer.gid, sizeof(path.remote.bytes));
	memcpy(path.remote_mac, of->peer.mac, sizeof(path.remote_mac));
	return path;
}

static bool bring_up(struct rnic_link *link, bool sends)
{
	const struct fabric_path path = path_of(link->rnic, link->link);
	const struct fabric_retry retry = {.sequence = link->link->sequence,
					   .timeout = TIMEOUT,
					   .retries = RETRIES,
					   .rnr_retries = RETRIES};

	if (!link->pair)
		return false;
	if (link->pair->state == FABRIC_INIT && fabric_ready_to_receive(link->pair, &path))
		return false;
	return !sends || fabric_ready_to_send(link->pair, &retry) == 0;
}

static void bring_up_link(struct rnic *rnic, struct link *of, bool sends)
{
	struct answer *answer = rnic_answer(rnic, ANSWER_CONNECTED);
	bool ok = of->engine && bring_up(of->engine, sends);

	if (!answer)
		return;
	answer->link = of;
	answer->ok = ok;
}

static void destroy(struct rnic *rnic, struct link *of)
{
	struct rnic_link *link = of->engine;

	rnic_forget(rnic, of);
	of->engine = NULL;
	if (!link)
		return;
	/* What was posted, the end of the link group perhaps, is to leave before. */
	fabric_flush(rnic->device, rnic_now(), false);
	if (link->pair)
		fabric_destroy(link->pair);
	link->pair = NULL;
	link->link = NULL;
	rnic->link_count--;
	put(link);
}

/* Both regions; what has been done is in @memory, on failure too. */
static int register_memory(struct rnic_rmb *memory, uint32_t size)
{
	const struct remote_map *map = memory->map;
	int error;

	if (size > map->receive_bytes)
		return -1;
	error = fabric_region_register(memory->link->domain, map->receive, size,
				       FABRIC_LOCAL_WRITE | FABRIC_REMOTE_WRITE, &memory->element);
	return error ? error
		     : fabric_region_register(memory->link->domain, map->send, map->send_bytes, 0,
					      &memory->ring);
}

static void make_rmb(struct rnic *rnic, struct rmb *rmb, struct connection *connection)
{
	struct answer *answer = rnic_answer(rnic, ANSWER_REGISTERED);
	struct rnic_link *link = connection->group->link.engine;
	struct rnic_rmb *memory = link ? calloc(1, sizeof(*memory)) : NULL;

	if (answer)
		answer->rmb = rmb;
	rmb->engine = memory;
	if (!memory)
		return;
	memory->link = link;
	link->users++;
	memory->map = remote_map_get(connection->engine);
	memory->map->regions++;
	rnic->rmb_count++;
	if (register_memory(memory, rmb->size) == 0 && answer)
		answer->ok = true;
}

static void free_rmb(struct rnic *rnic, struct rmb *rmb)
{
	struct rnic_rmb *memory = rmb->engine;

	rnic_forget(rnic, rmb);
	if (!memory)
		return;
	if (memory->element)
		fabric_region_deregister(memory->element);
	if (memory->ring)
		fabric_region_deregister(memory->ring);
	memory->map->regions--;
	remote_map_put(memory->map);
	put(memory->link);
	rnic->rmb_count--;
	free(memory);
}

void rnic_rmb_name(const struct rmb *rmb, uint32_t *rkey, uint64_t *address)
{
	const struct rnic_rmb *memory = rmb->engine;

	*rkey = memory->element->remote_key;
	*address = memory->element->address;
}

uint32_t rnic_link_number(const struct link *link)
{
	const struct rnic_link *own = link->engine;

	return own->pair->number;
}

/* A request that cannot be posted is a lost link: the fabric has room for all that the protocol posts. */
static void check_posted(struct rnic_link *link, int error)
{
	if (!error)
		return;
	log_say(LOG_ERR, "%s: a request was refused: %s", link->rnic->name, strerror(-error));
	fabric_fail(link->pair);
}

static void send_message(struct rnic_link *link, const void *bytes, uint32_t length)
{
	struct fabric_request request = {
		.flags = FABRIC_SIGNALED | FABRIC_SOLICITED | FABRIC_INLINE,
		.count = 1,
		.pieces[0] = {.length = length},
	};

	memcpy(&request.pieces[0].at, &bytes, sizeof(bytes));
	check_posted(link, fabric_post_send(link->pair, &request));
}

static void write_data(struct rnic_link *link, const struct proto_action *action)
{
	const struct rnic_rmb *memory = action->connection->rmb->engine;
	struct remote_piece pieces[REMOTE_PIECES_MAX];
	struct fabric_request request = {0};

	request.count =
		remote_find(action->connection->engine, action->position, action->length, pieces);
	if (!request.count) /* the application has spoilt its cursors, and will be reset */
		return;
	for (unsigned int i = 0; i < request.count; i++) {
		memcpy(&request.pieces[i].at, &pieces[i].at, sizeof(pieces[i].at));
		request.pieces[i].length = (uint32_t)pieces[i].length;
		request.pieces[i].key = memory->ring->local_key;
	}
	check_posted(link, fabric_post_write(link->pair, &request, action->address, action->rkey));
}

void rnic_act(struct rnic *rnic, const struct proto_action *action)
{
	struct rnic_link *link = action->link ? action->link->engine : NULL;

	switch (action->type) {
	case PROTO_LINK_CREATE:
		create(rnic, action->link);
		break;
	case PROTO_LINK_CONNECT:
		bring_up_link(rnic, action->link, action->number);
		break;
	case PROTO_LINK_DESTROY:
		destroy(rnic, action->link);
		break;
	case PROTO_REGISTER:
		make_rmb(rnic, action->rmb, action->connection);
		break;
	case PROTO_DEREGISTER:
		free_rmb(rnic, action->rmb);
		break;
	case PROTO_SEND:
		if (link && link->pair)
			send_message(link, action->bytes, action->length);
		break;
	default: /* PROTO_WRITE */
		if (link && link->pair)
			write_data(link, action);
	}
}

void rnic_complete(const struct fabric_completion *completion)
{
	struct rnic_link *link = completion->queue_pair->context;
	const unsigned int index = (unsigned int)(completion->id & 0xffffffff);

	if (!link->link)
		return;
	if (completion->status != FABRIC_SUCCESS) {
		if (completion->status != FABRIC_FLUSHED)
			log_say(LOG_NOTICE, "%s: link %u is lost: %s", link->rnic->name,
				link->link->number, fabric_status_name(completion->status));
		link_failed(link->link);
		return;
	}
	if (!(completion->id & RECEIVE_ID)) {
		link_sent(link->link, true);
		return;
	}
	link->users++; /* the message may end the link */
	if (completion->opcode == FABRIC_RECEIVE)
		link_received(link->link, link->buffer + (size_t)index * LLC_LENGTH_MAX,
			      completion->length);
	if (link->pair)
		check_posted(link, post_receive(link, index));
	put(link);
}

void rnic_fatal(const struct fabric_event *event)
{
	struct rnic_link *link = event->queue_pair->context;

	if (!link->link)
		return;
	log_say(LOG_NOTICE, "%s: link %u is lost: %s", link->rnic->name, link->link->number,
		fabric_status_name(event->status));
	link_failed(link->link);
}
