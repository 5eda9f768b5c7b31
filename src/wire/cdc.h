/* SPDX-License-Identifier: MIT */
/*
 * CDC: connection data control, the message that moves cursors (RFC 7609, 3.4, 4 and A.4)
 *
 * Theory of operation
 *
 * Who has written data into the peer's RMB element, or has read data from its own, says so with a CDC
 * message on the link: a SEND of 44 bytes, the same in SMC-R v1 and v2, and told from LLC messages by
 * its first byte.  Each one is a whole snapshot of the sender's side: how far it has written (the
 * producer cursor), how far it has read (the consumer cursor), and its flags.
 *
 * Here is only the format.  Whether a cursor makes sense is for those to judge who know the sizes of
 * the elements and the cursors before.
 */
#ifndef SMCU_WIRE_CDC_H
#define SMCU_WIRE_CDC_H

#include <stddef.h>
#include <stdint.h>

#define CDC_TYPE 0xfeU /* the first byte; LLC has others */
#define CDC_LENGTH 44U

/**
 * struct cdc_cursor - a place in an RMB element
 * @reserved: 0
 * @wrap: how often the cursor has passed the end, modulo 2^16
 * @offset: bytes from the start of the element, less than its size
 */
struct cdc_cursor {
	uint16_t reserved;
	uint16_t wrap;
	uint32_t offset;
};

/**
 * struct cdc_message - one snapshot
 * @sequence: of this connection and direction, from 1 on, modulo 2^16
 * @token: alert token that the receiver of this message gave in its CLC message
 * @producer: where the sender will write next in the receiver's element
 * @consumer: where the sender will read next in its own element
 * @producer_flags: CDC_WRITE_BLOCKED and so on; the other bits are reserved
 * @connection_flags: CDC_SENDING_DONE and so on, repeated once set; the other bits are reserved
 * @reserved: 0
 */
struct cdc_message {
	uint16_t sequence;
	uint32_t token;
	struct cdc_cursor producer;
	struct cdc_cursor consumer;
	uint8_t producer_flags;
	uint8_t connection_flags;
	uint8_t reserved[18];
};

/* Producer flags. */
#define CDC_WRITE_BLOCKED 0x80U /* more is to come: say at once when there is room */
#define CDC_URGENT_PENDING 0x40U /* there is urgent data, not yet written */
#define CDC_URGENT_PRESENT 0x20U /* the byte before the producer cursor is urgent */
#define CDC_UPDATE_REQUESTED 0x10U /* send the consumer cursor */
#define CDC_FAILOVER_VALIDATION 0x08U /* only type, token and sequence count */

/* Connection flags. */
#define CDC_SENDING_DONE 0x80U /* shut down for writing */
#define CDC_CLOSED 0x40U
#define CDC_ABNORMAL_CLOSE 0x20U

/**
 * cdc_decode - read a message
 * @length: bytes received, which must be CDC_LENGTH
 * @field: set to the name of what is wrong, on failure; may be NULL
 *
 * Return: 0, or -errno (layout.h).
 */
int cdc_decode(struct cdc_message *message, const void *bytes, size_t length, const char **field);

/* cdc_encode - write a message; returns CDC_LENGTH or -ENOBUFS */
int cdc_encode(const struct cdc_message *message, void *to, size_t room);

#endif
