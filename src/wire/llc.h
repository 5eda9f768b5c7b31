/* SPDX-License-Identifier: MIT */
/*
 * LLC: link layer control, v1 and v2 (RFC 7609, 3.3 and A.3; SMC version 2)
 *
 * Theory of operation
 *
 * LLC messages manage the links of a link group and the keys of its RMBs.  Each is one SEND on a
 * link, told from CDC by its first byte: 0x01 to 0x09 in v1, 0x21 to 0x29 in v2 (the version in the
 * high half).  A v1 message is 44 bytes, always.  A v2 message is 44 to 8192: ADD LINK brings its
 * keys with it (so there is no continuation), and REQUEST ADD LINK and DELETE RKEY may be longer.
 *
 * The number of bytes received is the truth.  What a message says of its own length, and how many
 * keys it says to bring, must agree with that, or it is refused before its content is read.
 *
 * v2 has a trap: Linux on x86 writes the length and the number of keys of ADD LINK least significant
 * byte first, others as RFC 7609 would.  Both are taken; @little_length and @little_count say which
 * it was.  A sender should answer in the order in which its peer sends, and begin with big endian.
 */
#ifndef SMCU_WIRE_LLC_H
#define SMCU_WIRE_LLC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LLC_LENGTH 44U /* of every v1 message, of most v2 messages, and the least */
#define LLC_LENGTH_MAX 8192U /* what a v2 peer must be ready for */
#define LLC_RKEYS_MAX 255U /* in one v2 message; RMBs in a link group */
#define LLC_GIDS_MAX 8U /* in REQUEST ADD LINK */
#define LLC_GID_SIZE 16U
#define LLC_MAC_SIZE 6U

enum llc_type {
	LLC_CONFIRM_LINK = 1,
	LLC_ADD_LINK = 2,
	LLC_ADD_LINK_CONTINUATION = 3, /* v1 */
	LLC_DELETE_LINK = 4,
	LLC_REQUEST_ADD_LINK = 5, /* v2 */
	LLC_CONFIRM_RKEY = 6,
	LLC_TEST_LINK = 7,
	LLC_CONFIRM_RKEY_CONTINUATION = 8, /* v1 */
	LLC_DELETE_RKEY = 9,
	LLC_TYPE_END
};

/* Flags.  Bits that have no name for a type are reserved in it. */
#define LLC_RESPONSE 0x80U /* every type: the answer, not the request */
#define LLC_REJECTED 0x40U /* ADD LINK, REQUEST ADD LINK: no link is added */
#define LLC_DELETE_ALL 0x40U /* DELETE LINK: the whole link group */
#define LLC_DELETE_ORDERLY 0x20U /* DELETE LINK: what is under way may end */
#define LLC_NEGATIVE 0x20U /* CONFIRM RKEY, its continuation, DELETE RKEY: it failed */
#define LLC_RETRY 0x10U /* CONFIRM RKEY, with NEGATIVE: the links have changed, try again */
#define LLC_NO_EYECATCHER 0x03U /* CONFIRM LINK: no eye catcher in the sender's RMB elements */

/* Why an ADD LINK was rejected; 0 from Linux in v2, which has no place for it. */
#define LLC_REJECT_NO_ALTERNATE 1U
#define LLC_REJECT_MTU 2U

/* Why a link is deleted; in a response, how that went. */
#define LLC_DELETED_PATH_LOST 0x00010000U
#define LLC_DELETED_BY_OPERATOR 0x00020000U
#define LLC_DELETED_BY_PROGRAM 0x00030000U
#define LLC_DELETED_PROTOCOL_VIOLATION 0x00040000U
#define LLC_DELETED_ASYMMETRIC 0x00050000U
#define LLC_DELETE_UNKNOWN_LINK 0x00100000U
#define LLC_DELETE_UNKNOWN_GROUP 0x00200000U

/**
 * struct llc_confirm_link - is the other end of the link there?
 * @mac, @gid, @queue_pair: of the sender's end
 * @link: number of the link, chosen by the server, never 0
 * @user_id: a name of the link for people
 * @max_links: of the link group, as far as the sender goes
 * @max_connections: likewise; v2.1, else 0
 * @reserved: 0
 */
struct llc_confirm_link {
	uint8_t mac[LLC_MAC_SIZE];
	uint8_t gid[LLC_GID_SIZE];
	uint32_t queue_pair;
	uint8_t link;
	uint32_t user_id;
	uint8_t max_links;
	uint8_t max_connections;
	uint8_t reserved[8];
};

/**
 * struct llc_new_rkey - the key of an RMB on a new link
 * @rkey: its key on the link that carries the message
 * @new_rkey: its key on the new link
 * @new_address: its virtual address there
 */
struct llc_new_rkey {
	uint32_t rkey;
	uint32_t new_rkey;
	uint64_t new_address;
};

/**
 * struct llc_add_link - a new link for the group
 * @mac, @gid, @queue_pair: of the sender's end
 * @link: number of the new link
 * @mtu_reserved: 4 bits, 0
 * @mtu: path MTU code of the sender, 4 bits
 * @sequence: first PSN that the sender will use, 24 bits
 * @reserved, @reserved2: 0
 * @extension: v2; there if the message is longer than LLC_LENGTH
 * @extension.direct: 0x80: no gateway between the ends; the other bits are reserved
 * @extension.target_gid: the client's GID that is meant
 * @extension.count: keys
 * @extension.little_count: @count has its least significant byte first
 */
struct llc_add_link {
	uint8_t mac[LLC_MAC_SIZE];
	uint8_t reserved[2];
	uint8_t gid[LLC_GID_SIZE];
	uint32_t queue_pair;
	uint8_t link;
	uint8_t mtu_reserved;
	uint8_t mtu;
	uint32_t sequence;
	uint8_t reserved2[8];
	struct {
		uint8_t direct;
		uint8_t reserved;
		uint8_t target_gid[LLC_GID_SIZE];
		uint8_t reserved2[8];
		uint16_t count;
		bool little_count;
		struct llc_new_rkey rkeys[LLC_RKEYS_MAX];
	} extension;
};

#define LLC_ADD_LINK_V2_LENGTH 72U /* without the keys */
#define LLC_ADD_LINK_DIRECT 0x80U

/**
 * struct llc_add_link_continuation - the keys of the sender's RMBs on the new link (v1)
 * @link: number of the new link
 * @left: keys still to be sent, these included; llc_continuation_rkeys() says how many are here
 * @rkeys: at most two
 */
struct llc_add_link_continuation {
	uint8_t link;
	uint8_t left;
	uint8_t reserved[2];
	struct llc_new_rkey rkeys[2];
	uint8_t reserved2[4];
};

/**
 * struct llc_delete_link - a link, or all of them, goes away
 * @link: its number; 0 with LLC_DELETE_ALL
 * @reason: LLC_DELETED_*, in a response LLC_DELETE_* or whatever the request had
 */
struct llc_delete_link {
	uint8_t link;
	uint32_t reason;
	uint8_t reserved[35];
};

/**
 * struct llc_request_add_link - the client would like another link (v2)
 * @count: GIDs that the client has, at most LLC_GIDS_MAX
 * @gids: the current link's first; the first one is reserved space if @count is 0
 */
struct llc_request_add_link {
	uint8_t reserved[20];
	uint8_t count;
	uint8_t reserved2[3];
	uint8_t gids[LLC_GIDS_MAX][LLC_GID_SIZE];
};

/**
 * struct llc_link_rkey - the key of an RMB on one link
 * @link: number of the link
 * @address: virtual address of the RMB there
 */
struct llc_link_rkey {
	uint8_t link;
	uint32_t rkey;
	uint64_t address;
};

/**
 * struct llc_confirm_rkey - a new RMB
 * @count: links other than the one that carries the message, in this one and its continuations
 * @rkey, @address: on the link that carries the message
 * @others: on other links; llc_confirm_rkeys() says how many are here
 */
struct llc_confirm_rkey {
	uint8_t count;
	uint32_t rkey;
	uint64_t address;
	struct llc_link_rkey others[2];
	uint8_t reserved;
};

/**
 * struct llc_confirm_rkey_continuation - further links (v1)
 * @left: entries still to be sent, these included
 */
struct llc_confirm_rkey_continuation {
	uint8_t left;
	struct llc_link_rkey others[3];
};

/**
 * struct llc_delete_rkey - RMBs go away
 * @count: keys; v1: at most 8.  A response may say a number and bring none of them
 * @failed: v1 response: 0x80 >> n: the nth key was not known; v2: how many were not
 * @rkeys: (length - 8) / 4 words; the first @count are keys, as on the link that carries the
 * message, the others reserved
 */
struct llc_delete_rkey {
	uint8_t count;
	uint8_t failed;
	uint8_t reserved[2];
	uint32_t rkeys[LLC_RKEYS_MAX];
};

#define LLC_DELETE_RKEYS_V1 8U

/**
 * struct llc_test_link - is the link alive?
 * @user_data: comes back in the response
 */
struct llc_test_link {
	uint8_t user_data[16];
	uint8_t reserved[24];
};

/**
 * struct llc_message - any of them
 * @version: 1 or 2
 * @type: enum llc_type
 * @length: bytes on the wire; a sender takes it from llc_length()
 * @little_length: v2: the length has its least significant byte first
 * @reason: v1: byte 2, its low half why an ADD LINK was rejected, all else reserved (v2: the low half
 * of @flags)
 * @flags: LLC_RESPONSE and so on
 */
struct llc_message {
	uint8_t version;
	uint8_t type;
	uint16_t length;
	bool little_length;
	uint8_t reason;
	uint8_t flags;
	union {
		struct llc_confirm_link confirm_link;
		struct llc_add_link add_link;
		struct llc_add_link_continuation add_link_continuation;
		struct llc_delete_link delete_link;
		struct llc_request_add_link request_add_link;
		struct llc_confirm_rkey confirm_rkey;
		struct llc_confirm_rkey_continuation confirm_rkey_continuation;
		struct llc_delete_rkey delete_rkey;
		struct llc_test_link test_link;
	};
};

/* llc_type_name - "ADD LINK"; NULL for a type that is not known */
const char *llc_type_name(uint8_t type);

/* llc_delete_reason_name - of a DELETE LINK, in words; NULL for one that is not known */
const char *llc_delete_reason_name(uint32_t reason);

/* llc_reject_reason - of an ADD LINK with LLC_REJECTED */
uint8_t llc_reject_reason(const struct llc_message *message);

/* llc_length - the bytes that @message needs, from its version, type, flags and counts */
uint16_t llc_length(const struct llc_message *message);

/* llc_continuation_rkeys - how many of @rkeys are keys: 0, 1 or 2 */
unsigned int llc_continuation_rkeys(const struct llc_add_link_continuation *message);

/* llc_confirm_rkeys - how many of @others are keys: 0, 1 or 2 */
unsigned int llc_confirm_rkeys(const struct llc_confirm_rkey *message);

/**
 * llc_decode - read a message
 * @message: filled
 * @length: bytes received
 * @field: set to the name of what is wrong, on failure; may be NULL
 *
 * Return: 0, or -errno (layout.h).
 */
int llc_decode(struct llc_message *message, const void *bytes, size_t length, const char **field);

/**
 * llc_encode - write a message
 * @room: bytes; LLC_LENGTH_MAX is enough
 *
 * Return: @message->length, or -errno (layout.h).
 */
int llc_encode(const struct llc_message *message, void *to, size_t room);

#endif
