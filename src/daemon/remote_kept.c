/* SPDX-License-Identifier: MIT */
#include "daemon/remote_kept.h"

#include "daemon/apps.h"
#include "daemon/config.h"
#include "daemon/remote_state.h"
#include "daemon/session.h"
#include "ring/segment.h"

/* Half of what a user may have is for connections. */
static bool may_keep(const struct session *session)
{
	return session->kept_count < KEPT_MOST &&
	       session->user->memory <= session->apps->config->memory_per_user / 2;
}

void remote_kept_add(struct session *session, struct remote_map *map, uint32_t number)
{
	if (!number || !may_keep(session))
		return;
	map->users++;
	map->number = number;
	map->keeper = session;
	map->memory.kept = true;
	map->next_kept = session->kept;
	session->kept = map;
	session->kept_count++;
}

static struct remote_map *find(const struct session *session, uint32_t number)
{
	struct remote_map *map = session->kept;

	while (map && map->number != number)
		map = map->next_kept;
	return map;
}

struct remote_map *remote_kept_take(const struct session *session,
				    const struct message_rendezvous *message)
{
	struct remote_map *map = find(session, message->segment);

	if (!map || map->use || map->send_bytes != message->ring_bytes ||
	    map->receive_bytes != message->element_bytes)
		return NULL;
	map->users++;
	map->use = message->use;
	return map;
}

static void drop(struct remote_map *map)
{
	struct session *session = map->keeper;
	struct remote_map **at = &session->kept;

	while (*at != map)
		at = &(*at)->next_kept;
	*at = map->next_kept;
	session->kept_count--;
	map->keeper = NULL;
	if (!map->use)
		remote_bells_close(map, true);
	rmb_memory_end(&map->memory);
	loop_again(session->apps->loop); /* it may have something for the peer */
	remote_map_put(map);
}

/* (a map is not freed while the loop may have another event for it) */
void remote_kept_desert(struct remote_map *map)
{
	struct remotes *remotes = &map->apps->remotes;

	if (map->is_deserted)
		return;
	map->is_deserted = true;
	map->users++;
	map->next_deserted = remotes->deserted;
	remotes->deserted = map;
}

void remote_kept_sweep(struct remotes *remotes)
{
	struct remote_map *map;

	while ((map = remotes->deserted)) {
		remotes->deserted = map->next_deserted;
		map->is_deserted = false;
		if (map->keeper && !map->use)
			drop(map);
		remote_map_put(map);
	}
}

void remote_kept_leave(struct remote_map *map, bool late)
{
	/* Can nobody but a peer that has said its last word write there? */
	const bool quiet = map->regions == (map->memory.resting != NULL);
	const bool kept = map->keeper && quiet && !map->hung_up;
	const uint32_t use = map->use;

	map->remote = NULL;
	if (map->keeper && !kept)
		drop(map);
	if (!kept)
		remote_bells_close(map, late);
	map->use = 0;
	if (use)
		atomic_store_explicit(&map->control->over, kept ? use : SEGMENT_SPENT,
				      memory_order_release);
}

void remote_kept_close(struct session *session)
{
	while (session->kept)
		drop(session->kept);
}
