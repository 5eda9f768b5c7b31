/* SPDX-License-Identifier: MIT */
/*
 * The fabric: reliable-connected queue pairs, whoever carries them
 *
 * Theory of operation
 *
 * SMC-R needs little of an RDMA adapter: regions of memory that a peer may write into, queue pairs
 * that SEND messages and WRITE into such regions in order and exactly once, and to be told when a
 * path is gone.  That is what stands here, as a table of operations; backends are soft (RoCEv2 from
 * UDP sockets), sim (messages in memory, virtual time) and adapters behind libibverbs.  Numbers of
 * states, statuses, opcodes and time codes are those of libibverbs.
 *
 * Nothing blocks but opening and closing, nothing has threads or locks, nothing calls back.  Who
 * opens a device calls fabric_run() when fabric_descriptor() is readable (level-triggered) or
 * fabric_deadline() has come, then fabric_poll() and fabric_event() until both have nothing more.
 * Time comes from the caller: nanoseconds of a clock that never goes back.  What is posted may wait
 * until fabric_flush() or fabric_run().
 *
 * A queue pair goes RESET, INIT, RTR (receives and answers), RTS (sends as well); from anywhere to
 * ERR.
 *
 * What every backend guarantees:
 *
 * - The requests of a queue pair are executed in order, and exactly once.  The bytes of a WRITE are
 *   in place before the completion of a receive that a later SEND consumed.
 * - The completion of a signalled request says that all before it, signalled or not, have
 *   succeeded.
 * - Success says that the peer's adapter has answered for it, not that the peer's program knows.
 * - The first completion that failed says why; then every request and receive that was outstanding
 *   gets exactly one completion, FABRIC_FLUSHED, and the queue pair one FABRIC_QUEUE_PAIR_FATAL
 *   event. Where a peer's request was at fault and no receive was in use, the event alone says why.
 *   Requests that fail complete whether signalled or not.
 * - No byte of a region is written outside of what its key allows, or after it was deregistered.
 * - Between different queue pairs there is no order.
 */
#ifndef SMCU_FABRIC_FABRIC_H
#define SMCU_FABRIC_FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FABRIC_NEVER UINT64_MAX
#define FABRIC_GID_SIZE 16U
#define FABRIC_MAC_SIZE 6U
#define FABRIC_PNETID_SIZE 17U
#define FABRIC_PIECES_MAX 2U
#define FABRIC_INLINE_MAX 64U
#define FABRIC_MESSAGE_MAX (1U << 30)
#define FABRIC_QUEUE_MAX 4096U

/* How a request or receive ended. */
enum fabric_status {
	FABRIC_SUCCESS = 0,
	FABRIC_LOCAL_LENGTH = 1, /* a message longer than the receive that it met */
	FABRIC_LOCAL_OPERATION = 2,
	FABRIC_LOCAL_PROTECTION = 4, /* own memory is not, or no longer, registered */
	FABRIC_FLUSHED = 5,
	FABRIC_REMOTE_INVALID = 9,
	FABRIC_REMOTE_ACCESS = 10,
	FABRIC_REMOTE_OPERATION = 11,
	FABRIC_RETRIES_EXCEEDED = 12, /* the peer does not answer */
	FABRIC_RNR_RETRIES_EXCEEDED = 13, /* the peer posts no receives */
};

enum fabric_opcode {
	FABRIC_SEND = 0,
	FABRIC_WRITE = 1,
	FABRIC_RECEIVE = 128,
	FABRIC_RECEIVE_WRITE = 129, /* a WRITE with immediate data consumed a receive */
};

enum fabric_state {
	FABRIC_RESET = 0,
	FABRIC_INIT = 1,
	FABRIC_RTR = 2,
	FABRIC_RTS = 3,
	FABRIC_ERR = 6,
};

/* What a region, or the peer of a queue pair, may be used for. */
#define FABRIC_LOCAL_WRITE (1U << 0) /* receives go there */
#define FABRIC_REMOTE_WRITE (1U << 1) /* the peer's WRITEs do */

/* How a request is posted. */
#define FABRIC_SIGNALED (1U << 0) /* success is to be told, too */
#define FABRIC_SOLICITED (1U << 1) /* the peer's program is to be woken */
#define FABRIC_INLINE (1U << 2) /* copied at once, FABRIC_INLINE_MAX bytes at most */

/**
 * struct fabric_gid - an address
 * @bytes: IPv6, or IPv4 as ::ffff:a.b.c.d
 */
struct fabric_gid {
	uint8_t bytes[FABRIC_GID_SIZE];
};

/**
 * struct fabric_port - what a device is like just now
 * @active: packets pass
 * @mtu: the largest path MTU, a code: 1 to 5 for 256 to 4096 bytes
 * @mac: of the interface
 * @pnetid: the physical network that it is on, as configured; "" if nobody said
 * @message_max: bytes
 */
struct fabric_port {
	bool active;
	uint8_t mtu;
	uint8_t mac[FABRIC_MAC_SIZE];
	char pnetid[FABRIC_PNETID_SIZE];
	uint32_t message_max;
};

/**
 * struct fabric_device - a device that is open
 * @ops: its backend
 */
struct fabric_device {
	const struct fabric_ops *ops;
};

/**
 * struct fabric_domain - the regions that a set of queue pairs can use (a protection domain)
 * @device: whose it is
 */
struct fabric_domain {
	struct fabric_device *device;
};

/**
 * struct fabric_region - memory that is registered
 * @domain: whose queue pairs may use it
 * @address: what a peer is to be told; it need not be the address in this process
 * @length: bytes
 * @local_key: for own requests and receives
 * @remote_key: for the peer; 0 if it may not write there
 */
struct fabric_region {
	struct fabric_domain *domain;
	uint64_t address;
	size_t length;
	uint32_t local_key;
	uint32_t remote_key;
};

/**
 * struct fabric_queue_pair - one end of a connection
 * @device: whose it is
 * @context: what its creator gave; comes back in completions and events
 * @number: 24 bits; what the peer is to be told
 * @state: follows what happens to it
 */
struct fabric_queue_pair {
	struct fabric_device *device;
	void *context;
	uint32_t number;
	enum fabric_state state;
};

/**
 * struct fabric_depths - how much may be outstanding, completions that were not polled included
 * @sends: requests, 1 to FABRIC_QUEUE_MAX
 * @receives: 1 to FABRIC_QUEUE_MAX
 */
struct fabric_depths {
	uint32_t sends;
	uint32_t receives;
};

/**
 * struct fabric_path - to whom a queue pair is connected, and how it receives
 * @remote: the peer's address; of the family of our own
 * @remote_mac: for adapters, which do not resolve addresses
 * @gid_index: our own address, an index of fabric_gid_query()
 * @remote_number: the peer's queue pair
 * @sequence: the first that the peer sends, 24 bits
 * @mtu: code, the smaller one of both ends
 * @rnr_timer: how long the peer is to wait when no receive is posted, a code of 0 to 31
 * @hop_limit: of what adapters send; soft leaves it to the system
 */
struct fabric_path {
	struct fabric_gid remote;
	uint8_t remote_mac[FABRIC_MAC_SIZE];
	unsigned int gid_index;
	uint32_t remote_number;
	uint32_t sequence;
	uint8_t mtu;
	uint8_t rnr_timer;
	uint8_t hop_limit;
};

/**
 * struct fabric_retry - how a queue pair sends
 * @sequence: the first that we send, 24 bits
 * @timeout: T = 4.096 us * 2^@timeout; 0: wait for ever
 * @retries: 0 to 7; without an answer for (@retries + 1) * T the queue pair fails
 * @rnr_retries: 0 to 7, 7 is without end
 */
struct fabric_retry {
	uint32_t sequence;
	uint8_t timeout;
	uint8_t retries;
	uint8_t rnr_retries;
};

/**
 * struct fabric_piece - a piece of own memory
 * @at: where; inside of the region
 * @length: bytes
 * @key: local key of the region; not looked at with FABRIC_INLINE
 */
struct fabric_piece {
	void *at;
	uint32_t length;
	uint32_t key;
};

/**
 * struct fabric_request - something to be sent, gathered from pieces
 * @id: comes back in the completion
 * @flags: FABRIC_SIGNALED, FABRIC_SOLICITED, FABRIC_INLINE
 * @count: pieces, 0 to FABRIC_PIECES_MAX
 * @pieces: must not change before this request, or a later one, has completed
 */
struct fabric_request {
	uint64_t id;
	unsigned int flags;
	unsigned int count;
	struct fabric_piece pieces[FABRIC_PIECES_MAX];
};

/**
 * struct fabric_completion - how a request or receive ended
 * @queue_pair: whose; in what is polled, it still exists
 * @id: as it was posted
 * @status: if it is not FABRIC_SUCCESS, nothing below is set
 * @opcode: what it was
 * @length: bytes received, for receives
 * @with_immediate: the peer sent @immediate along; only peers with another implementation do
 */
struct fabric_completion {
	struct fabric_queue_pair *queue_pair;
	uint64_t id;
	enum fabric_status status;
	enum fabric_opcode opcode;
	uint32_t length;
	bool with_immediate;
	uint32_t immediate;
};

enum fabric_event_kind {
	FABRIC_QUEUE_PAIR_FATAL,
	FABRIC_PORT_CHANGED, /* ask fabric_port_query() */
	FABRIC_GIDS_CHANGED, /* ask fabric_gid_query(); an index that is left means the same */
	FABRIC_DEVICE_GONE, /* nothing will work any more but destroying and closing */
};

/**
 * struct fabric_event - something that no completion tells
 * @queue_pair: of FABRIC_QUEUE_PAIR_FATAL, else NULL
 * @status: why it failed
 */
struct fabric_event {
	enum fabric_event_kind kind;
	struct fabric_queue_pair *queue_pair;
	enum fabric_status status;
};

/**
 * struct fabric_ops - a backend; each operation is described with its function below
 */
struct fabric_ops {
	const char *name;
	int (*close)(struct fabric_device *device);
	int (*port_query)(struct fabric_device *device, struct fabric_port *port);
	int (*gid_query)(struct fabric_device *device, unsigned int index, struct fabric_gid *gid);
	int (*descriptor)(struct fabric_device *device);
	uint64_t (*deadline)(struct fabric_device *device);
	void (*run)(struct fabric_device *device, uint64_t now);
	void (*take)(struct fabric_device *device, uint64_t now);
	void (*flush)(struct fabric_device *device, uint64_t now, bool more);
	unsigned int (*poll)(struct fabric_device *device, struct fabric_completion *completions,
			     unsigned int max);
	bool (*event)(struct fabric_device *device, struct fabric_event *event);
	int (*domain_create)(struct fabric_device *device, struct fabric_domain **domain);
	int (*domain_destroy)(struct fabric_domain *domain);
	int (*region_register)(struct fabric_domain *domain, void *at, size_t length,
			       unsigned int access, struct fabric_region **region);
	void (*region_deregister)(struct fabric_region *region);
	int (*create)(struct fabric_domain *domain, const struct fabric_depths *depths,
		      void *context, struct fabric_queue_pair **queue_pair);
	int (*init)(struct fabric_queue_pair *queue_pair, unsigned int access);
	int (*ready_to_receive)(struct fabric_queue_pair *queue_pair,
				const struct fabric_path *path);
	int (*ready_to_send)(struct fabric_queue_pair *queue_pair,
			     const struct fabric_retry *retry);
	void (*fail)(struct fabric_queue_pair *queue_pair);
	void (*destroy)(struct fabric_queue_pair *queue_pair);
	int (*post_receive)(struct fabric_queue_pair *queue_pair, uint64_t id,
			    const struct fabric_piece *piece);
	int (*post_send)(struct fabric_queue_pair *queue_pair,
			 const struct fabric_request *request);
	int (*post_write)(struct fabric_queue_pair *queue_pair,
			  const struct fabric_request *request, uint64_t remote_address,
			  uint32_t remote_key);
};

/* fabric_mtu_bytes - of a code; 0 for what is none */
static inline uint32_t fabric_mtu_bytes(uint8_t code)
{
	return code >= 1 && code <= 5 ? 128U << code : 0;
}

/* fabric_retry_interval - nanoseconds of a timeout code; FABRIC_NEVER for 0 */
uint64_t fabric_retry_interval(uint8_t code);

/* fabric_rnr_interval - nanoseconds of an RNR timer code, of which the low 5 bits count */
uint64_t fabric_rnr_interval(uint8_t code);

/* fabric_status_name - for people */
const char *fabric_status_name(enum fabric_status status);

/* fabric_close - Return: 0; -EBUSY: domains or queue pairs are left, the device stays open. */
static inline int fabric_close(struct fabric_device *device)
{
	return device->ops->close(device);
}

/* fabric_port_query - Return: 0; -ENODEV: the device is gone. */
static inline int fabric_port_query(struct fabric_device *device, struct fabric_port *port)
{
	return device->ops->port_query(device, port);
}

/* fabric_gid_query - Return: 0; -ENOENT: no address there (others may follow, up to index 15) */
static inline int fabric_gid_query(struct fabric_device *device, unsigned int index,
				   struct fabric_gid *gid)
{
	return device->ops->gid_query(device, index, gid);
}

#define FABRIC_GIDS_MAX 16U

/* fabric_descriptor - readable when fabric_run() has something to do; -1 where time alone counts */
static inline int fabric_descriptor(struct fabric_device *device)
{
	return device->ops->descriptor(device);
}

/* fabric_deadline - when to call fabric_run() at the latest; 0: at once */
static inline uint64_t fabric_deadline(struct fabric_device *device)
{
	return device->ops->deadline(device);
}

/* fabric_run - receive, send, look at the timers.  @now: nanoseconds, never less than before. */
static inline void fabric_run(struct fabric_device *device, uint64_t now)
{
	device->ops->run(device, now);
}

/*
 * fabric_take - fabric_run() without the sending, which is left to a fabric_flush() soon: answers to
 * what has come then leave together with what is posted because of it
 */
static inline void fabric_take(struct fabric_device *device, uint64_t now)
{
	device->ops->take(device, now);
}

/**
 * fabric_flush - send what was posted
 * @more: this is called again at once, whatever happens: an answer may be held back for a moment, to leave with
 *	what is posted then
 */
static inline void fabric_flush(struct fabric_device *device, uint64_t now, bool more)
{
	device->ops->flush(device, now, more);
}

/* fabric_poll - the next completions, @max at most; in order for each queue pair and direction */
static inline unsigned int fabric_poll(struct fabric_device *device,
				       struct fabric_completion *completions, unsigned int max)
{
	return device->ops->poll(device, completions, max);
}

/* fabric_event - the next event; false: there is none */
static inline bool fabric_event(struct fabric_device *device, struct fabric_event *event)
{
	return device->ops->event(device, event);
}

/* fabric_domain_create - Return: 0 or -ENOMEM */
static inline int fabric_domain_create(struct fabric_device *device, struct fabric_domain **domain)
{
	return device->ops->domain_create(device, domain);
}

/* fabric_domain_destroy - Return: 0; -EBUSY: regions or queue pairs are left */
static inline int fabric_domain_destroy(struct fabric_domain *domain)
{
	return domain->device->ops->domain_destroy(domain);
}

/**
 * fabric_region_register - let queue pairs use memory
 * @at: must stay mapped until it is deregistered
 * @length: bytes, at least 1
 * @access: FABRIC_LOCAL_WRITE, FABRIC_REMOTE_WRITE; reading for own requests is always allowed
 *
 * Return: 0; -EINVAL; -ENOMEM.
 */
static inline int fabric_region_register(struct fabric_domain *domain, void *at, size_t length,
					 unsigned int access, struct fabric_region **region)
{
	return domain->device->ops->region_register(domain, at, length, access, region);
}

/*
 * fabric_region_deregister - from now on nothing touches the memory.  Requests and receives that
 * still need it fail with FABRIC_LOCAL_PROTECTION, WRITEs of the peer with FABRIC_REMOTE_ACCESS
 * there.
 */
static inline void fabric_region_deregister(struct fabric_region *region)
{
	region->domain->device->ops->region_deregister(region);
}

/* fabric_create - a queue pair in RESET.  Return: 0; -EINVAL: depths; -ENOMEM. */
static inline int fabric_create(struct fabric_domain *domain, const struct fabric_depths *depths,
				void *context, struct fabric_queue_pair **queue_pair)
{
	return domain->device->ops->create(domain, depths, context, queue_pair);
}

/* fabric_init - RESET to INIT, receives can be posted; @access: FABRIC_REMOTE_WRITE or 0.
 * Return: 0 or -EINVAL. */
static inline int fabric_init(struct fabric_queue_pair *queue_pair, unsigned int access)
{
	return queue_pair->device->ops->init(queue_pair, access);
}

/* fabric_ready_to_receive - INIT to RTR.  Return: 0; -EINVAL: wrong state, no such address of ours,
 * another family, an MTU above the port's. */
static inline int fabric_ready_to_receive(struct fabric_queue_pair *queue_pair,
					  const struct fabric_path *path)
{
	return queue_pair->device->ops->ready_to_receive(queue_pair, path);
}

/* fabric_ready_to_send - RTR to RTS.  Return: 0 or -EINVAL. */
static inline int fabric_ready_to_send(struct fabric_queue_pair *queue_pair,
				       const struct fabric_retry *retry)
{
	return queue_pair->device->ops->ready_to_send(queue_pair, retry);
}

/* fabric_fail - to ERR: what is outstanding is flushed; there is no event */
static inline void fabric_fail(struct fabric_queue_pair *queue_pair)
{
	queue_pair->device->ops->fail(queue_pair);
}

/* fabric_destroy - what is outstanding, and completions that were not polled, vanish */
static inline void fabric_destroy(struct fabric_queue_pair *queue_pair)
{
	queue_pair->device->ops->destroy(queue_pair);
}

/**
 * fabric_post_receive - room for one message of the peer; in ERR it is flushed at once
 * @piece: in a region with FABRIC_LOCAL_WRITE
 *
 * Return: 0; -EINVAL: still in RESET; -ENOMEM: the queue is full.
 */
static inline int fabric_post_receive(struct fabric_queue_pair *queue_pair, uint64_t id,
				      const struct fabric_piece *piece)
{
	return queue_pair->device->ops->post_receive(queue_pair, id, piece);
}

/**
 * fabric_post_send - a message that consumes a receive of the peer; in ERR it is flushed at once
 *
 * Return: 0; -EINVAL: not in RTS yet, too many pieces, too long; -ENOMEM: the queue is full.  An
 * unsignalled request may hold its place until the completion of a later one was polled.
 */
static inline int fabric_post_send(struct fabric_queue_pair *queue_pair,
				   const struct fabric_request *request)
{
	return queue_pair->device->ops->post_send(queue_pair, request);
}

/**
 * fabric_post_write - write into a region of the peer, which is not told; in ERR as
 * fabric_post_send()
 * @remote_address, @remote_key: as the peer gave them; not looked at if there are no bytes
 *
 * Return: as fabric_post_send().
 */
static inline int fabric_post_write(struct fabric_queue_pair *queue_pair,
				    const struct fabric_request *request, uint64_t remote_address,
				    uint32_t remote_key)
{
	return queue_pair->device->ops->post_write(queue_pair, request, remote_address, remote_key);
}

#endif
