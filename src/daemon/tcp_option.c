/* SPDX-License-Identifier: MIT */
#include "daemon/tcp_option.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/socket.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "tcp_option.skel.h" /* made by bpftool */
#pragma GCC diagnostic pop

#define MAPS_MAX 8U

static const char *const program_names[TCP_OPTION_LINKS] = {"smcu_sockops", "smcu_set"};

static void find_cgroup(char path[TCP_OPTION_CGROUP_MAX])
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *mount;

	while (mounts && (mount = getmntent(mounts)))
		if (strcmp(mount->mnt_type, "cgroup2") == 0) {
			snprintf(path, TCP_OPTION_CGROUP_MAX, "%s", mount->mnt_dir);
			break;
		}
	if (mounts)
		endmntent(mounts);
}

bool tcp_option_state(const struct tcp_option *option, int fd, struct tcp_option_state *state)
{
	return option->count && bpf_map_lookup_elem(option->map, &fd, state) == 0;
}

static uint64_t own_namespace(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t netns = socket_word(fd, SO_NETNS_COOKIE);

	if (fd >= 0)
		close(fd);
	return netns;
}

void tcp_option_remember_mute(const struct tcp_option *option, const uint8_t address[16])
{
	struct tcp_option_peer peer = {.netns = option->netns};
	struct timespec now;
	__u64 until;

	if (!option->count || option->mute < 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	until = ((__u64)now.tv_sec + TCP_OPTION_MUTE_SECONDS) * 1000000000U;
	memcpy(peer.address, address, sizeof(peer.address));
	(void)bpf_map_update_elem(option->mute, &peer, &until, BPF_ANY);
}

/* Those that a daemon before us remembered here. */
static void forget_mute(const struct tcp_option *option)
{
	struct tcp_option_peer peer, next;
	bool any;

	if (option->mute < 0)
		return;
	any = bpf_map_get_next_key(option->mute, NULL, &next) == 0;
	while (any) {
		peer = next;
		any = bpf_map_get_next_key(option->mute, &peer, &next) == 0;
		if (peer.netns == option->netns)
			(void)bpf_map_delete_elem(option->mute, &peer);
	}
}

/* Does a set of programs serve sockets of our cgroup? */
static bool is_attached(void)
{
	const unsigned int wishes = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool attached =
		setsockopt(fd, TCP_OPTION_LEVEL, TCP_OPTION_ASK, &wishes, sizeof(wishes)) == 0;

	if (fd >= 0)
		close(fd);
	return attached;
}

static int hold(struct tcp_option *option, int link)
{
	option->links[option->count++] = link;
	return 0;
}

static void let_go(struct tcp_option *option)
{
	while (option->count)
		close(option->links[--option->count]);
	if (option->map >= 0)
		close(option->map);
	if (option->mute >= 0)
		close(option->mute);
	option->map = option->mute = -1;
}

/* --- another's --- */

/* The map of this name among those that a program uses; -1 when it is not there. */
static int find_map(const __u32 *ids, __u32 count, const char *name)
{
	for (__u32 i = 0; i < count; i++) {
		struct bpf_map_info info = {0};
		__u32 length = sizeof(info);
		int map = bpf_map_get_fd_by_id(ids[i]);

		if (map < 0)
			continue;
		if (bpf_obj_get_info_by_fd(map, &info, &length) == 0 &&
		    strcmp(info.name, name) == 0)
			return map;
		close(map);
	}
	return -1;
}

/* A link's program, if it is attached to @cgroup; -1 if not. */
static int program_of(int link, __u64 cgroup)
{
	struct bpf_link_info info = {0};
	__u32 length = sizeof(info);

	if (bpf_obj_get_info_by_fd(link, &info, &length) || info.type != BPF_LINK_TYPE_CGROUP ||
	    info.cgroup.cgroup_id != cgroup)
		return -1;
	return bpf_prog_get_fd_by_id(info.prog_id);
}

/* Those of its maps that are still wanted. */
static void find_maps(struct tcp_option *option, const __u32 *ids, __u32 count)
{
	if (option->map < 0)
		option->map = find_map(ids, count, TCP_OPTION_MAP);
	if (option->mute < 0)
		option->mute = find_map(ids, count, TCP_OPTION_MUTE_MAP);
}

/* Which of ours does @link attach there?  TCP_OPTION_LINKS: none.  Finds the maps as well. */
static unsigned int which(struct tcp_option *option, int link, __u64 cgroup)
{
	__u32 maps[MAPS_MAX], length = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (__u64)(uintptr_t)maps};
	int program = program_of(link, cgroup);
	unsigned int at = 0;

	if (program < 0)
		return TCP_OPTION_LINKS;
	if (bpf_obj_get_info_by_fd(program, &info, &length))
		info.name[0] = 0;
	close(program);
	while (at < TCP_OPTION_LINKS && strcmp(info.name, program_names[at]) != 0)
		at++;
	if (at < TCP_OPTION_LINKS)
		find_maps(option, maps, info.nr_map_ids < MAPS_MAX ? info.nr_map_ids : MAPS_MAX);
	return at;
}

/* Take descriptors of the links that are there; 0 when all were, else -errno. */
static int share(struct tcp_option *option, __u64 cgroup)
{
	unsigned int found = 0, at;
	__u32 id = 0;
	int link;

	while (bpf_link_get_next_id(id, &id) == 0) {
		link = bpf_link_get_fd_by_id(id);
		if (link < 0 && errno == ENOENT)
			continue; /* it went meanwhile */
		if (link < 0)
			return -errno;
		at = which(option, link, cgroup);
		if (at < TCP_OPTION_LINKS && !(found & 1U << at)) {
			found |= 1U << at;
			hold(option, link);
		} else {
			close(link);
		}
	}
	if (option->count == TCP_OPTION_LINKS && option->map >= 0) {
		forget_mute(option);
		return 0;
	}
	let_go(option);
	return -ENOENT;
}

/* --- our own --- */

static int attach_one(struct tcp_option *option, struct bpf_program *program, int cgroup)
{
	struct bpf_link *link = bpf_program__attach_cgroup(program, cgroup);
	int fd;

	if (!link)
		return -errno;
	fd = fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 0);
	bpf_link__destroy(link); /* the duplicate keeps it attached */
	return fd < 0 ? -errno : hold(option, fd);
}

static int attach(struct tcp_option *option, int cgroup)
{
	struct tcp_option_bpf *object = tcp_option_bpf__open_and_load();
	int error;

	if (!object)
		return -errno;
	error = attach_one(option, object->progs.smcu_sockops, cgroup);
	if (!error)
		error = attach_one(option, object->progs.smcu_set, cgroup);
	option->map = fcntl(bpf_map__fd(object->maps.smcu_sockets), F_DUPFD_CLOEXEC, 0);
	option->mute = fcntl(bpf_map__fd(object->maps.smcu_mute), F_DUPFD_CLOEXEC, 0);
	if (!error && (option->map < 0 || option->mute < 0))
		error = -errno;
	if (error)
		let_go(option);
	tcp_option_bpf__destroy(object);
	return error;
}

/* --- either --- */

static int look(struct tcp_option *option);

static void look_again(void *context)
{
	struct tcp_option *option = context;

	if (is_attached())
		loop_timer_start(option->loop, &option->timer, TCP_OPTION_LOOK_MS);
	else
		(void)look(option);
}

/* With the cgroup locked. */
static int share_or_attach(struct tcp_option *option, int cgroup)
{
	struct stat status;
	int error = fstat(cgroup, &status) < 0 ? -errno : share(option, status.st_ino);

	if (error == 0) {
		log_say(LOG_INFO, "TCP option: shared with another daemon");
		return 0;
	}
	if (is_attached()) {
		log_say(LOG_INFO, "TCP option: another daemon's, and we may not read it");
		loop_timer_start(option->loop, &option->timer, TCP_OPTION_LOOK_MS);
		return 0;
	}
	error = attach(option, cgroup);
	if (error == 0)
		log_say(LOG_INFO, "TCP option: attached to %s", option->cgroup);
	return error;
}

static int silence(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0; /* its advice about RLIMIT_MEMLOCK misleads: privileges are missing */
}

static int look(struct tcp_option *option)
{
	int error, directory = open(option->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory >= 0 && flock(directory, LOCK_EX | LOCK_NB) < 0) {
		log_say(LOG_INFO, "TCP option: %s is locked by somebody: later", option->cgroup);
		close(directory);
		loop_timer_start(option->loop, &option->timer, TCP_OPTION_LOOK_MS);
		return 0;
	}
	error = directory < 0 ? -errno : share_or_attach(option, directory);
	if (directory >= 0)
		close(directory);
	if (error)
		log_say(LOG_INFO, "TCP option: not attached to %s: %s",
			option->cgroup[0] ? option->cgroup : "a cgroup v2, which is not mounted",
			strerror(-error));
	return error;
}

int tcp_option_open(struct tcp_option *option, struct loop *loop, const char *cgroup)
{
	libbpf_set_print(silence);
	*option =
		(struct tcp_option){.loop = loop, .map = -1, .mute = -1, .netns = own_namespace()};
	option->timer.handler = look_again;
	option->timer.context = option;
	if (cgroup)
		snprintf(option->cgroup, sizeof(option->cgroup), "%s", cgroup);
	else
		find_cgroup(option->cgroup);
	return look(option);
}

bool tcp_option_may_work(const struct tcp_option *option)
{
	return option->count || option->timer.armed;
}

void tcp_option_close(struct tcp_option *option)
{
	if (!option->loop)
		return; /* it was never opened */
	loop_timer_stop(option->loop, &option->timer);
	let_go(option);
}
