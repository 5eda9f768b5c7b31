/* SPDX-License-Identifier: MIT */
#include "daemon/remote_kept.h"

#include <string.h>
#include <sys/epoll.h>

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
	loop_watch_remove(session->apps->loop, &map->watch);
	session->apps->fds_held -= 2;
	return map;
}

static void give_bells_back(struct remote_map *map, struct apps *apps)
{
	loop_watch_remove(apps->loop, &map->watch);
	for (unsigned int i = 0; i < 2; i++)
		apps_dispose(apps, map->owner, map->bells[i].fd);
	apps->fds_held -= 2;
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
		give_bells_back(map, session->apps);
	rmb_memory_end(&map->memory);
	loop_again(session->apps->loop); /* it may have something for the peer */
	remote_map_put(map);
}

/* (a map is not freed while the loop may have another event for it) */
static void on_idle_bell(void *context, uint32_t events)
{
	struct remote_map *map = context;
	struct remotes *remotes = &map->keeper->apps->remotes;

	if (!(events & EPOLLHUP))
		return;
	loop_watch_remove(map->keeper->apps->loop, &map->watch);
	map->users++;
	map->next_deserted = remotes->deserted;
	remotes->deserted = map;
}

void remote_kept_sweep(struct remotes *remotes)
{
	struct remote_map *map;

	while ((map = remotes->deserted)) {
		remotes->deserted = map->next_deserted;
		if (map->keeper)
			drop(map);
		remote_map_put(map);
	}
}

/* Without a watch nobody would see its end: then it is not kept. */
static bool keep(struct remote_map *map, const struct remote_bell_end bells[2])
{
	struct apps *apps = map->keeper->apps;

	map->watch = (struct loop_watch){bells[0].fd, on_idle_bell, map};
	if (loop_watch_add(apps->loop, &map->watch, EPOLLRDHUP | EPOLLET) < 0)
		return false;
	memcpy(map->bells, bells, sizeof(map->bells));
	apps->fds_held += 2;
	return true;
}

bool remote_kept_leave(struct remote_map *map, const struct remote_bell_end bells[2])
{
	/* Can nobody but a peer that has said its last word write there? */
	const bool quiet = map->regions == (map->memory.resting != NULL);
	const bool kept = map->keeper && quiet && keep(map, bells);
	const uint32_t use = map->use;

	if (!use)
		return false;
	if (map->keeper && !kept)
		drop(map);
	map->use = 0;
	atomic_store_explicit(&map->control->over, kept ? use : SEGMENT_SPENT,
			      memory_order_release);
	return kept;
}

void remote_kept_close(struct session *session)
{
	while (session->kept)
		drop(session->kept);
}
