/* SPDX-License-Identifier: MIT */
/*
 * What the backends without an adapter have in common: objects, queues, completions, events
 *
 * Theory of operation
 *
 * A queue pair has two rings, of requests and of receives.  The backend executes requests from the
 * oldest on and says base_request_done(); it looks at the first receive, fills it and says
 * base_receive_done().  What goes wrong ends in base_fail(), which is the one place where a queue
 * pair enters ERR because of an error: the first completion says why, the others are flushed.
 *
 * The ring of completions has room for all that the queue pairs can have outstanding, and a post
 * counts what was not polled yet: it never overflows.  Events are states, not a queue: a list of
 * the queue pairs that failed, and a bit for each kind of the device's own.
 *
 * Own memory is named by key in each request; base_gather() and base_scatter() ask for the region
 * each time, so that memory which is deregistered meanwhile is not touched.
 */
#ifndef SMCU_FABRIC_BASE_H
#define SMCU_FABRIC_BASE_H

#include <sys/queue.h>

#include "fabric/fabric.h"
#include "fabric/region.h"

#define BASE_NUMBER_BITS 12U /* of a queue pair's number: its slot; the others are random */
#define BASE_PAIRS_MAX (1U << BASE_NUMBER_BITS)
#define BASE_24_BITS 0xffffffU

/**
 * struct base_request - a request that is outstanding
 * @request: as posted
 * @opcode: FABRIC_SEND or FABRIC_WRITE
 * @length: bytes of all pieces
 * @remote_address, @remote_key: of a WRITE
 * @inlined: the bytes, with FABRIC_INLINE
 * @first, @packets: for the backend: sequence number, and how many it takes
 */
struct base_request {
	struct fabric_request request;
	enum fabric_opcode opcode;
	uint32_t length;
	uint64_t remote_address;
	uint32_t remote_key;
	uint8_t inlined[FABRIC_INLINE_MAX];
	uint32_t first;
	uint32_t packets;
};

/* struct base_receive - a receive that is outstanding */
struct base_receive {
	uint64_t id;
	struct fabric_piece piece;
};

/**
 * struct base_pair - a queue pair; the backend's own begins with it
 * @fabric: what its owner sees
 * @domain: which regions it may use
 * @access: what the peer may do
 * @depths: of the rings
 * @requests: a ring of @depths.sends; @request_first: oldest; @request_count: how many
 * @receives: a ring of @depths.receives, likewise
 * @sends_unpolled, @receives_unpolled: completions that hold a place in the ring still
 * @path, @retry: as set with RTR and RTS
 * @fatal: why it failed, while its event is to be told
 * @fatal_link: in the device's list, while its event is to be told
 * @fatal_due: it is in that list
 */
struct base_pair {
	struct fabric_queue_pair fabric;
	struct base_domain *domain;
	unsigned int access;
	struct fabric_depths depths;
	struct base_request *requests;
	uint32_t request_first;
	uint32_t request_count;
	struct base_receive *receives;
	uint32_t receive_first;
	uint32_t receive_count;
	uint32_t sends_unpolled;
	uint32_t receives_unpolled;
	struct fabric_path path;
	struct fabric_retry retry;
	enum fabric_status fatal;
	TAILQ_ENTRY(base_pair) fatal_link;
	bool fatal_due;
};

/**
 * struct base_domain - a protection domain
 * @users: regions and queue pairs
 */
struct base_domain {
	struct fabric_domain fabric;
	unsigned int users;
};

/**
 * struct base_backend - what a backend adds to a queue pair
 * @pair_size: of its struct
 * @receive_ready: @pair->path was set: 0, or -EINVAL
 * @send_ready: @pair->retry was set
 * @posted: there is a request more
 * @stop: the queue pair leaves RTR or RTS, or is destroyed: nothing more is to be expected from it
 * but an answer that is due (@last: not even that)
 */
struct base_backend {
	size_t pair_size;
	int (*receive_ready)(struct base_pair *pair);
	void (*send_ready)(struct base_pair *pair);
	void (*posted)(struct base_pair *pair);
	void (*stop)(struct base_pair *pair, bool last);
};

/**
 * struct base_device - a device; the backend's own begins with it
 * @random: 64 bits that a stranger cannot guess (or from a seed)
 * @completions: a ring of @room; @completion_first: oldest; @completion_count: how many
 * @changed: a bit (1 << enum fabric_event_kind) for each event of the device that is to be told
 */
struct base_device {
	struct fabric_device fabric;
	const struct base_backend *backend;
	uint64_t (*random)(void *context);
	void *random_context;
	struct region_table regions;
	unsigned int domains;
	unsigned int pair_count;
	struct base_pair *pairs[BASE_PAIRS_MAX];
	struct fabric_completion *completions;
	uint32_t room;
	uint32_t reserved;
	uint32_t completion_first;
	uint32_t completion_count;
	TAILQ_HEAD(base_fatal, base_pair) failed;
	unsigned int changed;
};

/* Which ring the error belongs to. */
enum base_fault { BASE_REQUEST_FAULT, BASE_RECEIVE_FAULT, BASE_NO_FAULT };

static inline struct base_device *base_device_of(struct base_pair *pair)
{
	return (struct base_device *)pair->fabric.device;
}

/* base_request_at - the @index'th oldest of the requests, below @pair->request_count */
static inline struct base_request *base_request_at(struct base_pair *pair, uint32_t index)
{
	return &pair->requests[(pair->request_first + index) % pair->depths.sends];
}

/* base_receive_first - the receive that the next message meets, or NULL */
static inline struct base_receive *base_receive_first(struct base_pair *pair)
{
	return pair->receive_count ? &pair->receives[pair->receive_first] : NULL;
}

void base_device_init(struct base_device *device, const struct fabric_ops *ops,
		      const struct base_backend *backend, uint64_t (*random)(void *context),
		      void *random_context);

/* base_device_free - Return: 0; -EBUSY: objects are left. */
int base_device_free(struct base_device *device);

/* base_pair_find - by its number, or NULL */
struct base_pair *base_pair_find(struct base_device *device, uint32_t number);

/* base_request_done - the oldest request has succeeded */
void base_request_done(struct base_pair *pair);

/* base_receive_done - the first receive has: opcode, length, immediate data are set in @completion */
void base_receive_done(struct base_pair *pair, const struct fabric_completion *completion);

/**
 * base_fail - to ERR because of an error
 * @status: of the event, and of the oldest in the ring that @fault names
 */
void base_fail(struct base_pair *pair, enum base_fault fault, enum fabric_status status);

/**
 * base_gather - copy bytes of a request
 * @offset, @size: in the whole of its pieces; within its length
 *
 * Return: false: memory of it is not registered; @to is as it was, or in part written.
 */
bool base_gather(struct base_pair *pair, const struct base_request *request, uint32_t offset,
		 void *to, uint32_t size);

/**
 * base_scatter - put bytes into the first receive
 * @offset, @size: in its piece; within its length
 *
 * Return: false: its memory is not registered.
 */
bool base_scatter(struct base_pair *pair, uint32_t offset, const void *from, uint32_t size);

/* base_event_raise - of the device: @kind is to be told */
void base_event_raise(struct base_device *device, enum fabric_event_kind kind);

/* Operations for a backend's table. */
unsigned int base_poll(struct fabric_device *device, struct fabric_completion *completions,
		       unsigned int max);
bool base_event(struct fabric_device *device, struct fabric_event *event);
int base_domain_create(struct fabric_device *device, struct fabric_domain **domain);
int base_domain_destroy(struct fabric_domain *domain);
int base_region_register(struct fabric_domain *domain, void *at, size_t length, unsigned int access,
			 struct fabric_region **region);
void base_region_deregister(struct fabric_region *region);
int base_create(struct fabric_domain *domain, const struct fabric_depths *depths, void *context,
		struct fabric_queue_pair **queue_pair);
int base_init(struct fabric_queue_pair *queue_pair, unsigned int access);
int base_ready_to_receive(struct fabric_queue_pair *queue_pair, const struct fabric_path *path);
int base_ready_to_send(struct fabric_queue_pair *queue_pair, const struct fabric_retry *retry);
void base_stop(struct fabric_queue_pair *queue_pair);
void base_destroy(struct fabric_queue_pair *queue_pair);
int base_post_receive(struct fabric_queue_pair *queue_pair, uint64_t id,
		      const struct fabric_piece *piece);
int base_post_send(struct fabric_queue_pair *queue_pair, const struct fabric_request *request);
int base_post_write(struct fabric_queue_pair *queue_pair, const struct fabric_request *request,
		    uint64_t remote_address, uint32_t remote_key);

/* The operations above, for the initialiser of a table. */
#define BASE_OPS                                                                                   \
	.poll = base_poll, .event = base_event, .domain_create = base_domain_create,               \
	.domain_destroy = base_domain_destroy, .region_register = base_region_register,            \
	.region_deregister = base_region_deregister, .create = base_create, .init = base_init,     \
	.ready_to_receive = base_ready_to_receive, .ready_to_send = base_ready_to_send,            \
	.fail = base_stop, .destroy = base_destroy, .post_receive = base_post_receive,             \
	.post_send = base_post_send, .post_write = base_post_write

#endif
