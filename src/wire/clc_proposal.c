/* SPDX-License-Identifier: MIT */
/*
 * The Proposal: fields of v1, an area that v2 put in between, prefixes, and the extension of v2
 */
#include "wire/clc_parts.h"

/* An offset counts from the byte behind it.  These are the lengths between such a byte and its goal. */
#define V2_OFFSET_TO_PREFIXES 28U /* the rest of the area */
#define PREFIX4_LENGTH 8U
#define PREFIX6_LENGTH 17U
#define SMCD_OFFSET_TO_EIDS 32U /* the rest of the extension */

static void ism_layout(struct layout *layout, struct clc_ism *ism)
{
	layout_u64(layout, &ism->gid);
	layout_u16(layout, &ism->chid);
}

/* An offset that points to something has only one right value, which a pass that writes puts there. */
static void offset_layout(struct layout *layout, uint16_t *offset, bool points, size_t right)
{
	uint16_t number = layout->writes && points ? (uint16_t)right : *offset;

	layout_u16(layout, &number);
	if (!layout->writes)
		*offset = number;
}

static bool offset_wrong(const struct layout *layout, uint16_t offset, size_t right)
{
	return !layout->writes && offset != right;
}

/* How far it is from the v2 offset to the extension. */
static size_t v2_offset_of(const struct clc_message *message)
{
	size_t offset = V2_OFFSET_TO_PREFIXES;

	if (clc_path_v1(message) != CLC_PATH_NONE)
		offset += PREFIX4_LENGTH + PREFIX6_LENGTH * message->proposal.prefix6_count;
	return offset;
}

static void area_content_layout(struct layout *layout, struct clc_message *message)
{
	struct clc_proposal *proposal = &message->proposal;

	ism_layout(layout, &proposal->ism);
	offset_layout(layout, &proposal->v2_offset,
		      clc_path_v2(message) != CLC_PATH_NONE && !proposal->v2_missing,
		      v2_offset_of(message));
	layout_bytes(layout, proposal->vendor_oui, sizeof(proposal->vendor_oui));
	layout_bytes(layout, proposal->vendor_options, sizeof(proposal->vendor_options));
	layout_bytes(layout, proposal->reserved, sizeof(proposal->reserved));
}

/* v1 may have less of it, for whatever purpose; what is not there is zero. */
static void area_layout(struct layout *layout, struct clc_message *message, size_t length)
{
	uint8_t area[CLC_AREA_LENGTH] = {0};
	struct layout inside = layout_writes(area, sizeof(area));

	if (layout->writes) {
		area_content_layout(&inside, message);
		layout_bytes(layout, area, length);
	} else {
		layout_bytes(layout, area, length);
		inside = layout_reads(area, sizeof(area));
		area_content_layout(&inside, message);
	}
}

static int prefixes_layout(struct layout *layout, struct clc_proposal *proposal, const char **field)
{
	layout_bytes(layout, proposal->prefix, sizeof(proposal->prefix));
	layout_u8(layout, &proposal->prefix_length);
	layout_bytes(layout, proposal->prefix_reserved, sizeof(proposal->prefix_reserved));
	layout_u8(layout, &proposal->prefix6_count);
	if (proposal->prefix6_count > CLC_PREFIXES_MAX)
		return layout_wrong(field, "number of IPv6 prefixes", -EPROTO);
	for (unsigned int i = 0; i < proposal->prefix6_count; i++) {
		struct clc_prefix *prefix = &proposal->prefixes6[i];

		layout_bytes(layout, prefix->address, sizeof(prefix->address));
		layout_u8(layout, &prefix->length);
	}
	return 0;
}

/* Return: 0, or -EPROTO where a count or an offset cannot be. */
static int v2_layout(struct layout *layout, struct clc_v2_extension *v2, bool smcd)
{
	size_t smcd_offset;

	layout_u8(layout, &v2->eid_count);
	layout_u8(layout, &v2->ism_count);
	if (v2->eid_count > CLC_EIDS_MAX || v2->ism_count > CLC_ISM_MAX)
		return -EPROTO;
	smcd_offset = SMCD_OFFSET_TO_EIDS + (size_t)v2->eid_count * CLC_EID_SIZE;
	layout_u8(layout, &v2->reserved);
	layout_nibbles(layout, &v2->release, &v2->flags);
	layout_bytes(layout, v2->reserved2, sizeof(v2->reserved2));
	offset_layout(layout, &v2->smcd_offset, smcd, smcd_offset);
	if (smcd && offset_wrong(layout, v2->smcd_offset, smcd_offset))
		return -EPROTO;
	layout_bytes(layout, v2->gid, sizeof(v2->gid));
	layout_u8(layout, &v2->max_connections);
	layout_u8(layout, &v2->max_links);
	layout_u16(layout, &v2->features);
	layout_bytes(layout, v2->reserved3, sizeof(v2->reserved3));
	layout_bytes(layout, v2->eids, (size_t)v2->eid_count * CLC_EID_SIZE);
	if (!smcd)
		return 0;
	layout_bytes(layout, v2->seid, sizeof(v2->seid));
	layout_bytes(layout, v2->seid_reserved, sizeof(v2->seid_reserved));
	for (unsigned int i = 0; i < v2->ism_count; i++)
		ism_layout(layout, &v2->isms[i]);
	return 0;
}

/* What is no extension leaves what stands before it, v1, as it is: the rest is not looked at. */
static int extension_layout(struct layout *layout, struct clc_message *message)
{
	struct clc_proposal *proposal = &message->proposal;
	const enum clc_path path = clc_path_v2(message);
	const bool smcd = path == CLC_PATH_D || path == CLC_PATH_BOTH;
	const struct layout before = *layout;

	if (path == CLC_PATH_NONE || proposal->v2_missing)
		return 0;
	if (layout->writes)
		return v2_layout(layout, &proposal->v2, smcd);
	proposal->v2_missing = offset_wrong(layout, proposal->v2_offset, v2_offset_of(message)) ||
			       v2_layout(layout, &proposal->v2, smcd) || layout->reader.beyond;
	if (proposal->v2_missing) {
		proposal->v2 = (struct clc_v2_extension){0};
		*layout = before;
	}
	return 0;
}

int clc_proposal_layout(struct layout *layout, struct clc_message *message, const char **field)
{
	struct clc_proposal *proposal = &message->proposal;
	bool has_prefixes = clc_path_v1(message) != CLC_PATH_NONE;
	bool area_fixed = message->version > 1 && has_prefixes;
	int error = 0;

	if (message->version == 1 && !has_prefixes)
		return layout_wrong(field, "path", -EPROTO);
	clc_peer_layout(layout, &proposal->peer);
	offset_layout(layout, &proposal->ip_area_offset, area_fixed, CLC_AREA_LENGTH);
	if ((area_fixed && offset_wrong(layout, proposal->ip_area_offset, CLC_AREA_LENGTH)) ||
	    (!area_fixed && proposal->ip_area_offset > CLC_AREA_LENGTH))
		return layout_wrong(field, "IP area offset", -EPROTO);
	area_layout(layout, message,
		    message->version > 1 ? CLC_AREA_LENGTH : proposal->ip_area_offset);
	if (has_prefixes)
		error = prefixes_layout(layout, proposal, field);
	if (!error && !layout->reader.beyond)
		error = extension_layout(layout, message);
	return error;
}
