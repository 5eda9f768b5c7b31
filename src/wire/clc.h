/* SPDX-License-Identifier: MIT */
/*
 * CLC: connection layer control, the messages of the rendezvous, v1, v2 and v2.1
 * (RFC 7609, 3.2 and A.2; SMC version 2)
 *
 * Theory of operation
 *
 * When SYN and SYN-ACK carried the TCP option, the first bytes of the TCP stream are CLC messages: the
 * client's Proposal, the server's Accept, the client's Confirm, and instead of any of them a Decline,
 * after which the stream is the applications'.
 *
 *   eyecatcher 4 | type 1 | length 2 | version and flags 1 | content | eyecatcher 4
 *
 * clc_header_decode() looks at the first 8 bytes and says how long the message is, before more is
 * read: not one byte behind a message may be taken, it can be the application's.  clc_decode() takes
 * the whole message.  Its parts are found by offsets and counts from the message itself.  Each is
 * checked before it is used, and together they must give exactly the length: the parts follow each
 * other without gap or overlap, as Linux requires too.
 *
 * Later versions may append to a message.  Of an Accept or Confirm of v2, and of any message of a
 * version above 2, what stands between the parts known here and the trailer is not looked at
 * (@excess); nor is what a Proposal has instead of the extension for v2, which takes v2 from it and nothing else.  Of such a message that is longer than CLC_LENGTH_MAX a receiver keeps as much, drains
 * the rest, and decodes what it kept.
 *
 * Reserved bytes are kept, not looked at.  What the numbers mean (is there such a link? is the
 * address plausible?) is for those who use them.
 */
#ifndef SMCU_WIRE_CLC_H
#define SMCU_WIRE_CLC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLC_EYECATCHER_R 0xe2d4c3d9U /* "SMCR" in EBCDIC */
#define CLC_EYECATCHER_D 0xe2d4c3c4U /* "SMCD" */
#define CLC_HEADER_LENGTH 8U
#define CLC_TRAILER_LENGTH 4U
#define CLC_LENGTH_MAX 652U /* of what is known here: the largest Proposal */
#define CLC_PEER_ID_SIZE 8U
#define CLC_GID_SIZE 16U
#define CLC_MAC_SIZE 6U
#define CLC_EID_SIZE 32U
#define CLC_HOST_SIZE 32U
#define CLC_PREFIXES_MAX 8U
#define CLC_EIDS_MAX 8U
#define CLC_ISM_MAX 8U
#define CLC_GIDS_MAX 8U /* Linux sends at most 2 */
#define CLC_AREA_LENGTH 40U /* of what v2 put between the fields of v1 and the prefixes */

enum clc_type { CLC_PROPOSAL = 1, CLC_ACCEPT = 2, CLC_CONFIRM = 3, CLC_DECLINE = 4, CLC_TYPE_END };

/* What is offered; of an Accept or Confirm CLC_PATH_R or CLC_PATH_D: what was chosen. */
enum clc_path {
	CLC_PATH_R = 0, /* RDMA */
	CLC_PATH_D = 1, /* shared memory of a machine with partitions */
	CLC_PATH_NONE = 2,
	CLC_PATH_BOTH = 3,
};

/**
 * struct clc_peer - who sends, and where its link ends
 * @id: of the sender's instance: 2 bytes of its choice, and a MAC; zero if not told
 * @gid: of the RDMA device; v2: IPv4-mapped
 * @mac: of its port
 */
struct clc_peer {
	uint8_t id[CLC_PEER_ID_SIZE];
	uint8_t gid[CLC_GID_SIZE];
	uint8_t mac[CLC_MAC_SIZE];
};

/**
 * struct clc_prefix - one of the client's IPv6 prefixes
 * @length: in bits
 */
struct clc_prefix {
	uint8_t address[16];
	uint8_t length;
};

/**
 * struct clc_ism - a device for SMC-D
 * @chid: channel id; an emulated device takes two entries with the same
 */
struct clc_ism {
	uint64_t gid;
	uint16_t chid;
};

/**
 * struct clc_v2_extension - what a Proposal offers for v2
 * @eid_count, @ism_count: how many of @eids and @isms there are
 * @release: 0 of v2.0, 1 of v2.1
 * @flags: CLC_HAS_SEID; the other bits are reserved
 * @smcd_offset: to the SMC-D part; encoding fills it in where that is
 * @gid: RoCEv2, IPv4-mapped
 * @max_connections, @max_links: of a link group, as far as the client goes; from v2.1 on
 * @features: bits
 * @eids: user's names of groups of hosts, blank padded, the client's favourite first
 * @seid, @seid_reserved, @isms: if SMC-Dv2 is offered
 */
struct clc_v2_extension {
	uint8_t eid_count;
	uint8_t ism_count;
	uint8_t reserved;
	uint8_t release;
	uint8_t flags;
	uint8_t reserved2[2];
	uint16_t smcd_offset;
	uint8_t gid[CLC_GID_SIZE];
	uint8_t max_connections;
	uint8_t max_links;
	uint16_t features;
	uint8_t reserved3[12];
	uint8_t eids[CLC_EIDS_MAX][CLC_EID_SIZE];
	uint8_t seid[CLC_EID_SIZE];
	uint8_t seid_reserved[16];
	struct clc_ism isms[CLC_ISM_MAX];
};

#define CLC_HAS_SEID 0x01U

/**
 * struct clc_proposal - what the client offers
 * @peer: the client; its preferred device
 * @ip_area_offset: how much stands between this field and the prefixes: at most CLC_AREA_LENGTH;
 * encoding fills it in for v2 with prefixes
 * @ism: native device for SMC-D
 * @v2_offset: to @v2; encoding fills it in where that is
 * @vendor_oui, @vendor_options: 0
 * @prefix, @prefix_length: network of the client's IPv4 address; 0 for IPv6
 * @prefix6_count: how many of @prefixes6 there are
 * @v2: if v2 is offered (clc_path_v2() is not CLC_PATH_NONE)
 * @v2_missing: then @v2 is empty all the same: nothing that can be an extension stands where @v2_offset points to
 *
 * @ism to @reserved are there in v2, and in v1 as far as @ip_area_offset reaches.  The prefixes are
 * there if v1 is offered (clc_path_v1() is not CLC_PATH_NONE).
 */
struct clc_proposal {
	struct clc_peer peer;
	uint16_t ip_area_offset;
	struct clc_ism ism;
	uint16_t v2_offset;
	uint8_t vendor_oui[3];
	uint8_t vendor_options[5];
	uint8_t reserved[20];
	uint8_t prefix[4];
	uint8_t prefix_length;
	uint8_t prefix_reserved[2];
	uint8_t prefix6_count;
	struct clc_prefix prefixes6[CLC_PREFIXES_MAX];
	struct clc_v2_extension v2;
	bool v2_missing;
};

/**
 * struct clc_first_contact - what v2 adds at first contact
 * @flags: CLC_DIRECT; the other bits are reserved
 * @os: CLC_OS_*
 * @release: in use from now on
 * @host: the sender's name, ASCII, blank padded
 * @max_connections, @max_links, @features: in use from now on; v2.1
 * @vendor_options: 0
 *
 * Of SMC-D in release 0 it ends behind @host.
 */
struct clc_first_contact {
	uint8_t flags;
	uint8_t os;
	uint8_t release;
	uint8_t reserved[2];
	uint8_t host[CLC_HOST_SIZE];
	uint8_t max_connections;
	uint8_t max_links;
	uint16_t features;
	uint8_t vendor_options[4];
	uint8_t reserved2[8];
};

#define CLC_DIRECT 0x80U /* no gateway between the ends */
#define CLC_OS_ZOS 1U
#define CLC_OS_LINUX 2U
#define CLC_OS_AIX 3U
#define CLC_OS_UNKNOWN 15U

/**
 * struct clc_accept_r - the sender's link and RMB
 * @peer: the sender; the device of the chosen link
 * @queue_pair: its end of the link, 24 bits
 * @rkey: of the RMB on that link
 * @element: index of the RMB element, from 1 on
 * @token: alert token, not 0
 * @size: code of the element's size, 4 bits: 16 KiB << size
 * @mtu: path MTU code, 4 bits: 128 << mtu
 * @address: virtual address of the RMB
 * @sequence: first PSN that the sender will use, 24 bits
 * @reserved3: v2
 */
struct clc_accept_r {
	struct clc_peer peer;
	uint32_t queue_pair;
	uint32_t rkey;
	uint8_t element;
	uint32_t token;
	uint8_t size;
	uint8_t mtu;
	uint8_t reserved;
	uint64_t address;
	uint8_t reserved2;
	uint32_t sequence;
	uint8_t reserved3[8];
};

/**
 * struct clc_accept_d - the same for SMC-D
 * @element: index in the DMB, from 0 on
 * @size: code of its size, 4 bits
 * @size_reserved: 4 bits
 * @link_id: name of the link group
 * @reserved2: v1
 * @chid, @extended_gid: v2
 */
struct clc_accept_d {
	uint64_t gid;
	uint64_t token;
	uint8_t element;
	uint8_t size;
	uint8_t size_reserved;
	uint8_t reserved[2];
	uint32_t link_id;
	uint8_t reserved2[12];
	uint16_t chid;
	uint64_t extended_gid;
};

/**
 * struct clc_accept - Accept, the server's side, or Confirm, the client's
 * @r, @d: after the path in @flags of the message
 * @eid: v2: the group of hosts that was agreed on
 * @first_contact: v2, at first contact
 * @gid_count, @gids: v2, at first contact, SMC-R, Confirm: the client's GIDs, that of this link first
 */
struct clc_accept {
	union {
		struct clc_accept_r r;
		struct clc_accept_d d;
	};
	uint8_t eid[CLC_EID_SIZE];
	struct clc_first_contact first_contact;
	uint8_t gid_count;
	uint8_t gid_reserved[3];
	uint8_t gids[CLC_GIDS_MAX][CLC_GID_SIZE];
};

/**
 * struct clc_decline - no SMC for this connection
 * @peer_id: of the sender, or 0
 * @diagnosis: enum clc_diagnosis, or whatever another implementation has
 * @os: v2: CLC_OS_*
 * @os_reserved: the rest of that byte; in v1 with @os a reserved one
 * @more: v2: further diagnoses, 0
 */
struct clc_decline {
	uint8_t peer_id[CLC_PEER_ID_SIZE];
	uint32_t diagnosis;
	uint8_t os;
	uint8_t os_reserved;
	uint8_t reserved[3];
	uint32_t more[4];
};

/**
 * struct clc_message - any of them
 * @type: enum clc_type
 * @version: 1 or 2, up to 15; of a Proposal the highest that the client speaks
 * @flags: 4 bits.  Proposal: the paths; Accept, Confirm: CLC_FIRST_CONTACT and the path; Decline:
 * CLC_OUT_OF_SYNC; the other bits are reserved
 * @smcd_first, @smcd_last: the eyecatcher there is that of SMC-D
 * @length: as received; a sender needs not set it
 * @excess: bytes before the trailer that are not known here; encoding leaves them out
 */
struct clc_message {
	uint8_t type;
	uint8_t version;
	uint8_t flags;
	bool smcd_first;
	bool smcd_last;
	uint16_t length;
	uint16_t excess;
	union {
		struct clc_proposal proposal;
		struct clc_accept accept;
		struct clc_decline decline;
	};
};

#define CLC_FIRST_CONTACT 0x08U
#define CLC_OUT_OF_SYNC 0x08U

/* clc_path_v1 - what a Proposal offers for v1; what an Accept or Confirm chose */
static inline enum clc_path clc_path_v1(const struct clc_message *message)
{
	return (enum clc_path)(message->flags & 3);
}

/* clc_path_v2 - what a Proposal offers for v2 */
static inline enum clc_path clc_path_v2(const struct clc_message *message)
{
	return message->version > 1 ? (enum clc_path)(message->flags >> 2 & 3) : CLC_PATH_NONE;
}

/* clc_flags - of a Proposal that offers these */
static inline uint8_t clc_flags(enum clc_path v1, enum clc_path v2)
{
	return (uint8_t)(v2 << 2 | v1);
}

/* Why a connection is declined, as Linux numbers it. */
enum clc_diagnosis {
	CLC_NO_MEMORY = 0x01010000,
	CLC_TIMEOUT_CONFIRM_LINK = 0x02010000,
	CLC_TIMEOUT_ADD_LINK = 0x02020000,
	CLC_CONFIGURATION = 0x03000000,
	CLC_PEER_WITHOUT_SMC = 0x03010000,
	CLC_IPSEC = 0x03020000,
	CLC_NO_DEVICE = 0x03030000,
	CLC_NO_SMCD_DEVICE = 0x03030001,
	CLC_NO_SMCR_DEVICE = 0x03030002,
	CLC_NO_ISM_V2 = 0x03030003,
	CLC_NO_V2_EXTENSION = 0x03030004,
	CLC_NO_SMCD_V2_EXTENSION = 0x03030005,
	CLC_NO_SEID = 0x03030006,
	CLC_NO_SMCD_V2_DEVICE = 0x03030007,
	CLC_NO_UEID = 0x03030008,
	CLC_RELEASE = 0x03030009,
	CLC_MAX_CONNECTIONS = 0x0303000a,
	CLC_MAX_LINKS = 0x0303000b,
	CLC_MODE = 0x03040000,
	CLC_EYECATCHER_IN_RMB = 0x03050000,
	CLC_OPTION = 0x03060000,
	CLC_PREFIX = 0x03070000,
	CLC_VLAN = 0x03080000,
	CLC_ISM_VLAN = 0x03090000,
	CLC_NO_ACTIVE_LINK = 0x030a0000,
	CLC_NO_SERVER_LINK = 0x030b0000,
	CLC_VERSION = 0x030c0000,
	CLC_MAX_DMB = 0x030d0000,
	CLC_NO_ROUTE = 0x030e0000,
	CLC_NOT_INDIRECT = 0x030f0000,
	CLC_SYNCHRONISATION = 0x04000000,
	CLC_PEER_DECLINED = 0x05000000,
	CLC_INTERNAL = 0x09990000,
	CLC_NO_RKEY_SLOT = 0x09990001,
	CLC_LINK_NOT_READY = 0x09990002,
	CLC_RMB_NOT_REGISTERED = 0x09990003,
};

/* clc_diagnosis_text - in words; NULL for one that is not known */
const char *clc_diagnosis_text(uint32_t diagnosis);

/* clc_type_name - "Proposal"; NULL for a type that is not known */
const char *clc_type_name(uint8_t type);

/**
 * clc_header_decode - look at the start of a message
 * @message: its members before the union are filled, but for @smcd_last and @excess
 * @bytes: CLC_HEADER_LENGTH bytes
 * @field: set to the name of what is wrong, on failure; may be NULL
 *
 * Return: the length of the whole message, one that such a message can have; or -errno (layout.h).
 */
int clc_header_decode(struct clc_message *message, const uint8_t bytes[CLC_HEADER_LENGTH],
		      const char **field);

/**
 * clc_decode - read a message
 * @message: filled
 * @length: bytes: what clc_header_decode() returns, but not more than CLC_LENGTH_MAX
 * @field: set to the name of what is wrong, on failure; may be NULL
 *
 * Return: 0, or -errno (layout.h).
 */
int clc_decode(struct clc_message *message, const void *bytes, size_t length, const char **field);

/**
 * clc_encode - write a message
 * @room: bytes; CLC_LENGTH_MAX is enough
 *
 * Return: its length, or -errno (layout.h).
 */
int clc_encode(const struct clc_message *message, void *to, size_t room);

#endif
