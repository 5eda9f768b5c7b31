/* SPDX-License-Identifier: MIT */
/*
 * The segment of a remote connection in our memory
 *
 * Each ring's parts are mapped one behind the other, so that an adapter sees one region.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "daemon/apps.h"
#include "daemon/remote_state.h"
#include "ring/segment.h"

/*
 * A memory file of the right size that keeps it.  The seals are asked for first: only memory files have
 * them, and on those nothing else blocks.
 */
static bool is_segment(int fd, uint32_t ring_bytes)
{
	static const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	static const int unwanted = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs system;
	struct stat status;

	return seals >= 0 && (seals & (wanted | unwanted)) == wanted && fstatfs(fd, &system) == 0 &&
	       system.f_type == TMPFS_MAGIC && fstat(fd, &status) == 0 &&
	       (uint64_t)status.st_size == segment_size(ring_bytes);
}

static bool map_part(int fd, uint8_t *at, uint64_t offset, size_t length)
{
	return mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		    (off_t)offset) != MAP_FAILED;
}

/* The first @bytes of direction @d, near and far. */
static bool map_ring(int fd, uint8_t *at, unsigned int d, uint32_t ring_bytes, size_t bytes)
{
	size_t near = bytes < SEGMENT_NEAR ? bytes : SEGMENT_NEAR;

	return map_part(fd, at, segment_near_offset(d), near) &&
	       (bytes == near ||
		map_part(fd, at + near, segment_far_offset(d, ring_bytes), bytes - near));
}

/* Of the kernel's areas: near and far of each ring; the page before them is one with the first. */
#define AREAS 4U
#define AREAS_DEFAULT 65530U

/* The kernel lets a process have so many areas, and no mmap() works beyond. */
unsigned int remote_maps_most(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned int areas = AREAS_DEFAULT;

	if (file) {
		if (fscanf(file, "%u", &areas) != 1)
			areas = AREAS_DEFAULT;
		fclose(file);
	}
	return areas / 4 * 3 / AREAS;
}

/* One stretch of addresses, since each call to give some back makes other processors look. */
static size_t map_size(const struct remote_map *map)
{
	return SEGMENT_PAGE + map->send_bytes + map->receive_bytes;
}

static bool map_all(struct remote_map *map, int segment)
{
	const uint32_t ring_bytes = (uint32_t)map->send_bytes;
	uint8_t *at = mmap(NULL, map_size(map), PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return false;
	map->control = (struct segment_control *)(void *)at;
	map->send = at + SEGMENT_PAGE;
	map->receive = map->send + map->send_bytes;
	if (map_part(segment, at, 0, SEGMENT_PAGE) &&
	    map_ring(segment, map->send, 0, ring_bytes, map->send_bytes) &&
	    map_ring(segment, map->receive, 1, ring_bytes, map->receive_bytes))
		return true;
	munmap(at, map_size(map));
	return false;
}

struct remote_map *remote_map_new(struct apps *apps, struct user *owner, int segment,
				  const struct message_rendezvous *message, int *error)
{
	struct remote_map *map;

	*error = -EINVAL;
	if (!is_segment(segment, message->ring_bytes))
		return NULL;
	*error = -ENOMEM;
	map = calloc(1, sizeof(*map));
	if (!map)
		return NULL;
	map->users = 1;
	map->bells[BELL_DATA].watch.fd = map->bells[BELL_SPACE].watch.fd = -1;
	map->send_bytes = message->ring_bytes;
	map->receive_bytes = message->element_bytes;
	if (!map_all(map, segment)) {
		free(map);
		return NULL;
	}
	map->apps = apps;
	map->owner = owner;
	map->charged = segment_size(message->ring_bytes);
	apps->remotes.maps++;
	users_keep(owner);
	owner->memory += map->charged;
	return map;
}

struct remote_map *remote_map_get(struct remote *remote)
{
	remote->map->users++;
	return remote->map;
}

void remote_map_put(struct remote_map *map)
{
	if (--map->users)
		return;
	munmap(map->control, map_size(map));
	map->apps->remotes.maps--;
	map->owner->memory -= map->charged;
	users_let_go(&map->apps->users, map->owner);
	free(map);
}

unsigned int remote_find(struct remote *remote, uint64_t position, size_t length,
			 struct remote_piece pieces[REMOTE_PIECES_MAX])
{
	uint64_t consumed = atomic_load_explicit(&remote->own[0].position, memory_order_relaxed);
	unsigned int count = 0;
	uint8_t *span;
	ssize_t n;

	if (position < consumed || position - consumed > remote->send.bytes)
		return 0;
	position -= consumed;
	while (length) {
		n = ring_front_at(&remote->send, (size_t)position, &span);
		if (n <= 0)
			return 0;
		if ((size_t)n > length)
			n = (ssize_t)length;
		/* The near and the far part are neighbours here. */
		if (count && span == pieces[count - 1].at + pieces[count - 1].length)
			pieces[count - 1].length += (size_t)n;
		else if (count == REMOTE_PIECES_MAX)
			return 0;
		else
			pieces[count++] = (struct remote_piece){span, (size_t)n};
		position += (size_t)n;
		length -= (size_t)n;
	}
	return count;
}
