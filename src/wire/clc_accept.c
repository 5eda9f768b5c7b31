/* SPDX-License-Identifier: MIT */
/*
 * Accept and Confirm: the link and the buffer of one side, for SMC-R and for SMC-D
 */
#include "wire/clc_parts.h"

void clc_peer_layout(struct layout *layout, struct clc_peer *peer)
{
	layout_bytes(layout, peer->id, sizeof(peer->id));
	layout_bytes(layout, peer->gid, sizeof(peer->gid));
	layout_bytes(layout, peer->mac, sizeof(peer->mac));
}

static void r_layout(struct layout *layout, struct clc_accept_r *r)
{
	clc_peer_layout(layout, &r->peer);
	layout_u24(layout, &r->queue_pair);
	layout_u32(layout, &r->rkey);
	layout_u8(layout, &r->element);
	layout_u32(layout, &r->token);
	layout_nibbles(layout, &r->size, &r->mtu);
	layout_u8(layout, &r->reserved);
	layout_u64(layout, &r->address);
	layout_u8(layout, &r->reserved2);
	layout_u24(layout, &r->sequence);
}

static void d_layout(struct layout *layout, struct clc_accept_d *d)
{
	layout_u64(layout, &d->gid);
	layout_u64(layout, &d->token);
	layout_u8(layout, &d->element);
	layout_nibbles(layout, &d->size, &d->size_reserved);
	layout_bytes(layout, d->reserved, sizeof(d->reserved));
	layout_u32(layout, &d->link_id);
}

static void first_contact_layout(struct layout *layout, struct clc_first_contact *fc, bool smcd)
{
	layout_u8(layout, &fc->flags);
	layout_nibbles(layout, &fc->os, &fc->release);
	layout_bytes(layout, fc->reserved, sizeof(fc->reserved));
	layout_bytes(layout, fc->host, sizeof(fc->host));
	if (smcd && fc->release == 0)
		return;
	layout_u8(layout, &fc->max_connections);
	layout_u8(layout, &fc->max_links);
	layout_u16(layout, &fc->features);
	layout_bytes(layout, fc->vendor_options, sizeof(fc->vendor_options));
	layout_bytes(layout, fc->reserved2, sizeof(fc->reserved2));
}

static int gids_layout(struct layout *layout, struct clc_accept *accept, const char **field)
{
	layout_u8(layout, &accept->gid_count);
	layout_bytes(layout, accept->gid_reserved, sizeof(accept->gid_reserved));
	if (accept->gid_count > CLC_GIDS_MAX)
		return layout_wrong(field, "number of GIDs", -EPROTO);
	layout_bytes(layout, accept->gids, (size_t)accept->gid_count * CLC_GID_SIZE);
	return 0;
}

static int accept_r_layout(struct layout *layout, struct clc_message *message, const char **field)
{
	struct clc_accept *accept = &message->accept;

	r_layout(layout, &accept->r);
	if (message->version == 1)
		return 0;
	layout_bytes(layout, accept->eid, sizeof(accept->eid));
	layout_bytes(layout, accept->r.reserved3, sizeof(accept->r.reserved3));
	if (!(message->flags & CLC_FIRST_CONTACT))
		return 0;
	first_contact_layout(layout, &accept->first_contact, false);
	return message->type == CLC_CONFIRM ? gids_layout(layout, accept, field) : 0;
}

static int accept_d_layout(struct layout *layout, struct clc_message *message)
{
	struct clc_accept *accept = &message->accept;

	d_layout(layout, &accept->d);
	if (message->version == 1) {
		layout_bytes(layout, accept->d.reserved2, sizeof(accept->d.reserved2));
		return 0;
	}
	layout_u16(layout, &accept->d.chid);
	layout_bytes(layout, accept->eid, sizeof(accept->eid));
	layout_u64(layout, &accept->d.extended_gid);
	if (message->flags & CLC_FIRST_CONTACT)
		first_contact_layout(layout, &accept->first_contact, true);
	return 0;
}

int clc_accept_layout(struct layout *layout, struct clc_message *message, const char **field)
{
	return clc_path_v1(message) == CLC_PATH_D ? accept_d_layout(layout, message)
						  : accept_r_layout(layout, message, field);
}
