/* SPDX-License-Identifier: MIT */
/*
 * Link layer control: what LLC messages do to a link group (RFC 7609, 3; llc.h)
 *
 * Theory of operation
 *
 * A response is matched by its type to the one exchange of ours that can be under way, and else
 * dropped.  Requests are dropped if the peer's role does not allow them (CONFIRM LINK and ADD LINK are
 * the server's, REQUEST ADD LINK the client's), or if their version is not the group's.
 *
 *   CONFIRM LINK   server: sent when its queue pair is connected; client: answered when its own is,
 *                  then rendezvous_link_confirmed() on both sides
 *   ADD LINK       client: rejected; server: a client's wish is not followed (v2: answered so)
 *   DELETE LINK    of the group, or of its only link: the group ends.  A client answers first when one
 *                  link is named; a server sends the message back as its own request
 *   TEST LINK      answered by a copy; link.h sends ours
 *   RKEY           rkey.h
 */
#ifndef SMCU_PROTO_CONTROL_H
#define SMCU_PROTO_CONTROL_H

#include "proto/link_group.h"

/* control_new - a message of this group's version to be filled */
struct llc_message control_new(const struct link_group *group, enum llc_type type);

/* control_confirm_link - server: ask the client whether its end is there */
void control_confirm_link(struct link_group *group);

/* control_answer_confirm_link - client: the queue pair can send now */
void control_answer_confirm_link(struct link_group *group);

/* control_delete_all - tell the peer that the group ends; false if that cannot be sent */
bool control_delete_all(struct link_group *group, uint32_t reason, bool orderly);

/* control_test_link - ask whether the peer is there */
void control_test_link(struct link *link);

/* control_received - an LLC message of the peer */
void control_received(struct link *link, const void *bytes, size_t length);

#endif
