/* SPDX-License-Identifier: MIT */
#include <isa-l/crc.h>
#include <string.h>

#include "wire/bytes.h"
#include "wire/roce.h"

/* Where a CRC stands after the eight bytes of ones that stand for InfiniBand's own routing header. */
#define AFTER_ONES 0x2144df1cU

/* The polynomial, the coefficient of x^0 in bit 31 (as CRCs of this family are written). */
#define POLYNOMIAL 0xedb88320U
#define X_TO_0 0x80000000U
#define X_TO_1 0x40000000U

/* Offsets in headers. */
enum { IPV4_TOS = 1, IPV4_TTL = 8, IPV4_CHECKSUM = 10, IPV6_HOP_LIMIT = 7, UDP_CHECKSUM = 6 };
enum { BTH_CONGESTION = 4 };

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool roce_gid_is_ipv4(const uint8_t gid[ROCE_GID_SIZE])
{
	return memcmp(gid, mapped, sizeof(mapped)) == 0;
}

uint32_t roce_icrc_add(uint32_t icrc, const void *bytes, size_t size)
{
	return size ? crc32_gzip_refl(icrc, bytes, size) : icrc;
}

uint32_t roce_icrc_begin_captured(const uint8_t *ip, const uint8_t *udp)
{
	bool ipv4 = ip[0] >> 4 == 4;
	size_t size = ipv4 ? ROCE_IPV4_SIZE : ROCE_IPV6_SIZE;
	uint8_t headers[ROCE_IPV6_SIZE + ROCE_UDP_SIZE];

	memcpy(headers, ip, size);
	memcpy(headers + size, udp, ROCE_UDP_SIZE);
	if (ipv4) {
		headers[IPV4_TOS] = 0xff;
		headers[IPV4_TTL] = 0xff;
		memset(headers + IPV4_CHECKSUM, 0xff, 2);
	} else { /* traffic class and flow label are all of the first 4 bytes but the version */
		headers[0] |= 0x0f;
		memset(headers + 1, 0xff, 3);
		headers[IPV6_HOP_LIMIT] = 0xff;
	}
	memset(headers + size + UDP_CHECKSUM, 0xff, 2);
	return roce_icrc_add(AFTER_ONES, headers, size + ROCE_UDP_SIZE);
}

uint32_t roce_icrc_begin(const struct roce_path *path, uint16_t identification, uint16_t fragment,
			 size_t length)
{
	uint8_t ip[ROCE_IPV6_SIZE], udp[ROCE_UDP_SIZE] = {0};
	struct bytes_writer writer = bytes_writer(ip, sizeof(ip));
	uint16_t udp_length = (uint16_t)(ROCE_UDP_SIZE + length);

	memset(ip, 0, sizeof(ip));
	if (roce_gid_is_ipv4(path->source) && roce_gid_is_ipv4(path->destination)) {
		bytes_put_u16(&writer, 0x4500);
		bytes_put_u16(&writer, (uint16_t)(ROCE_IPV4_SIZE + udp_length));
		bytes_put_u16(&writer, identification);
		bytes_put_u16(&writer, fragment);
		bytes_put_u16(&writer, 17);
		bytes_put_u16(&writer, 0);
		bytes_put(&writer, path->source + sizeof(mapped), 4);
		bytes_put(&writer, path->destination + sizeof(mapped), 4);
	} else {
		bytes_put_u32(&writer, 0x60000000);
		bytes_put_u16(&writer, udp_length);
		bytes_put_u16(&writer, 17 << 8);
		bytes_put(&writer, path->source, ROCE_GID_SIZE);
		bytes_put(&writer, path->destination, ROCE_GID_SIZE);
	}
	writer = bytes_writer(udp, sizeof(udp));
	bytes_put_u16(&writer, path->source_port);
	bytes_put_u16(&writer, ROCE_PORT);
	bytes_put_u16(&writer, udp_length);
	return roce_icrc_begin_captured(ip, udp);
}

uint32_t roce_icrc_packet(uint32_t icrc, const void *bytes, size_t size)
{
	uint8_t bth[ROCE_BTH_SIZE];

	memcpy(bth, bytes, sizeof(bth));
	bth[BTH_CONGESTION] = 0xff;
	icrc = roce_icrc_add(icrc, bth, sizeof(bth));
	return roce_icrc_add(icrc, (const uint8_t *)bytes + sizeof(bth), size - sizeof(bth));
}

void roce_icrc_put(uint32_t icrc, uint8_t to[ROCE_ICRC_SIZE])
{
	for (unsigned int i = 0; i < ROCE_ICRC_SIZE; i++)
		to[i] = (uint8_t)(icrc >> 8 * i);
}

static uint32_t times_x(uint32_t a)
{
	return a >> 1 ^ (a & 1 ? POLYNOMIAL : 0);
}

/* a * b modulo the polynomial */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t power = X_TO_0; power; power >>= 1, b = times_x(b))
		product ^= a & power ? b : 0;
	return product;
}

static uint32_t power_of_x(size_t exponent)
{
	uint32_t power = X_TO_0;

	for (uint32_t square = X_TO_1; exponent; exponent >>= 1) {
		if (exponent & 1)
			power = multiply(power, square);
		square = multiply(square, square);
	}
	return power;
}

static uint32_t leading_bit(uint32_t number)
{
	return 1U << (31 - __builtin_clz(number));
}

/*
 * One bit of a message changes its CRC by x^(32 + the bits that follow it); in each byte the least
 * significant bit comes first.  So the two bytes of the identification change it by 16 consecutive
 * powers of x, which are independent: a vector with a leading bit of its own is left of each.
 */
void roce_ids_init(struct roce_ids *ids, size_t length)
{
	size_t after = ROCE_IPV4_SIZE - 6 + ROCE_UDP_SIZE + length - ROCE_ICRC_SIZE;
	uint32_t power = power_of_x(32 + 8 * after);

	for (unsigned int i = 0; i < 16; i++, power = times_x(power)) {
		ids->change[i] = power;
		ids->id[i] = (uint16_t)(1U << (i < 8 ? 7 - i : 23 - i));
	}
	for (unsigned int i = 0; i < 16; i++) {
		uint32_t leading = leading_bit(ids->change[i]);

		for (unsigned int k = 0; k < 16; k++) {
			if (k == i || !(ids->change[k] & leading))
				continue;
			ids->change[k] ^= ids->change[i];
			ids->id[k] ^= ids->id[i];
		}
	}
}

bool roce_ids_solve(const struct roce_ids *ids, uint32_t difference, uint16_t *id)
{
	uint16_t found = 0;

	for (unsigned int i = 0; i < 16; i++) {
		if (!(difference & leading_bit(ids->change[i])))
			continue;
		difference ^= ids->change[i];
		found ^= ids->id[i];
	}
	if (difference)
		return false;
	*id = found;
	return true;
}
