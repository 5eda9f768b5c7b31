/* SPDX-License-Identifier: MIT */
/*
 * What a captured frame carries: the TCP segment or UDP datagram in it
 */
#ifndef SMCU_CLI_DECODE_PACKET_H
#define SMCU_CLI_DECODE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/roce.h"

#define PACKET_TCP 6U
#define PACKET_UDP 17U

/**
 * struct packet - one frame of a capture
 * @number: of the frame, from 1 on
 * @time: seconds since the epoch
 * @since: seconds since the first frame
 * @ip: the IP header; ROCE_IPV4_SIZE or ROCE_IPV6_SIZE bytes at least
 * @plain: it has no IPv4 options
 * @source, @destination: addresses, IPv4 as IPv4-mapped
 * @source_port, @destination_port: of TCP or UDP
 * @protocol: PACKET_TCP or PACKET_UDP
 * @header: the TCP or UDP header; with fixed 20 or 8 bytes at least
 * @header_size: with TCP's options
 * @content: what is behind it
 * @size: bytes of it that were captured
 * @cut: so many bytes more were sent
 */
struct packet {
	unsigned long number;
	double time;
	double since;
	const uint8_t *ip;
	bool plain;
	uint8_t source[ROCE_GID_SIZE];
	uint8_t destination[ROCE_GID_SIZE];
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t protocol;
	const uint8_t *header;
	size_t header_size;
	const uint8_t *content;
	size_t size;
	size_t cut;
};

/* packet_link_known - can frames of this link type (DLT_*) be read? */
bool packet_link_known(int link_type);

/**
 * packet_find - what is in this frame?
 * @packet: filled but for number and times
 * @link_type: DLT_*, one that is known
 * @bytes: the frame
 * @size: bytes captured
 *
 * Return: whether it carries a whole TCP or UDP header in IPv4 or IPv6, and is no fragment.
 */
bool packet_find(struct packet *packet, int link_type, const uint8_t *bytes, size_t size);

#endif
