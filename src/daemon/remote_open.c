/* SPDX-License-Identifier: MIT */
/*
 * What a RENDEZVOUS brings, and whether it may become SMC-R
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/address.h"
#include "daemon/apps.h"
#include "daemon/engine.h"
#include "daemon/log.h"
#include "daemon/remote_kept.h"
#include "daemon/remote_state.h"
#include "daemon/rnic.h"
#include "daemon/socket.h"
#include "daemon/tcp_option.h"
#include "ring/segment.h"

/* In the order of struct message_rendezvous; FD_DATA on: of enum remote_bell_kind. */
enum { FD_TCP, FD_SEGMENT, FD_DATA, FD_SPACE, FD_STAND_IN, FD_COUNT };

/**
 * struct opening - a RENDEZVOUS being looked at
 * @fds: -1: did not come
 */
struct opening {
	struct session *session;
	const struct message_rendezvous *message;
	int fds[FD_COUNT];
};

static bool has_no_name(int fd, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_un name;
	socklen_t size = sizeof(name);

	return ask(fd, (struct sockaddr *)&name, &size) == 0 &&
	       size == offsetof(struct sockaddr_un, sun_path);
}

/*
 * An end of a socketpair.  What is connected to a name leads to a service, and what is written there would
 * come from this daemon, and with its credentials.  (Who made the pair may have had another user id then.)
 */
static bool is_of_pair(int fd)
{
	return socket_option(fd, SOL_SOCKET, SO_DOMAIN) == AF_UNIX &&
	       socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM &&
	       has_no_name(fd, getsockname) && has_no_name(fd, getpeername);
}

static void dispose_from(const struct opening *opening, unsigned int i)
{
	struct session *session = opening->session;

	for (; i < FD_COUNT; i++)
		if (opening->fds[i] >= 0)
			apps_dispose(session->apps, session->user, opening->fds[i]);
}

static void doom(const struct opening *opening, const char *text)
{
	dispose_from(opening, FD_TCP);
	session_doom(opening->session, text);
}

/* There is no way to decline properly: both ends get a reset. */
static void reset(const struct opening *opening, const char *why)
{
	log_client("a connection to another host of %s, process %d, is reset: %s",
		   opening->session->program, (int)opening->session->pid, why);
	remote_tcp_reset(opening->session->apps, opening->session->user, opening->fds[FD_TCP]);
	dispose_from(opening, FD_TCP + 1);
}

static bool is_named(int fd, int (*ask)(int, struct sockaddr *, socklen_t *),
		     const struct side_address *name)
{
	union address_any any = {0};
	struct side_address found;
	socklen_t size = sizeof(any);

	return ask(fd, &any.any, &size) == 0 && address_from(&any, &found) &&
	       address_equal(&found, name);
}

/* Does the kernel find this socket at the addresses that the message names? */
static bool is_found_there(const struct opening *opening)
{
	const struct message_rendezvous *message = opening->message;
	const int fd = opening->fds[FD_TCP];
	uint64_t cookie = socket_word(fd, SO_COOKIE);
	int64_t interface = socket_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
	struct sock_diag_found ends[2];

	return cookie &&
	       sock_diag_find_ends(&opening->session->apps->diag, &message->local, &message->peer,
				   interface > 0 ? (uint32_t)interface : 0, ends) == 0 &&
	       ends[0].cookie == cookie;
}

/* The socket itself can be asked where nobody would hold its lock against us. */
static bool addresses_are_true(const struct opening *opening)
{
	const struct message_rendezvous *message = opening->message;
	const int fd = opening->fds[FD_TCP];

	if (opening->session->user->uid != opening->session->apps->caller.trusted)
		return is_found_there(opening);
	return is_named(fd, getsockname, &message->local) &&
	       is_named(fd, getpeername, &message->peer);
}

/* What speaks against SMC-R for it, as a diagnosis; 0: nothing. */
static uint32_t refusal(const struct opening *opening, const struct rnic *rnic)
{
	const struct session *session = opening->session;
	const struct apps *apps = session->apps;
	const struct config *config = apps->config;

	if (opening->message->wish == RENDEZVOUS_DECLINE ||
	    apps->remotes.maps > apps->remotes.maps_most ||
	    session->user->connections >= config->connections_per_user ||
	    session->user->memory > config->memory_per_user)
		return CLC_NO_MEMORY;
	/* (Who must not offer may still accept from a listener that it was given.) */
	if (rules_deny(&config->rules, &opening->message->local, &opening->message->peer,
		       session->program) ||
	    rules_deny_program(&config->smcr_rules, session->program))
		return CLC_CONFIGURATION;
	if (!rnic || socket_word(opening->fds[FD_TCP], SO_NETNS_COOKIE) != apps->netns ||
	    !addresses_are_true(opening))
		return CLC_NO_DEVICE;
	return 0;
}

/* Was the option in both SYNs?  The shim says so; where the kernel side is ours to read, it says. */
static bool is_agreed(const struct opening *opening)
{
	struct tcp_option_state state;

	return !tcp_option_state(&opening->session->apps->tcp_option, opening->fds[FD_TCP],
				 &state) ||
	       state.flags & TCP_OPTION_AGREED;
}

/* From here on it is the user's, not the session's. */
static void charge(struct remote *remote, struct user *user)
{
	users_keep(user);
	remote->user = user;
	user->connections++;
	remote->apps->fds_held += REMOTE_DESCRIPTORS;
}

static struct remote *make(const struct opening *opening, struct remote_map *map)
{
	const struct message_rendezvous *message = opening->message;
	struct session *session = opening->session;
	struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return NULL;
	list_init(&remote->of_all);
	list_init(&remote->of_active);
	list_init(&remote->of_late);
	remote->apps = session->apps;
	remote->map = map;
	map->remote = remote;
	remote->role = message->role == RENDEZVOUS_CLIENT ? PROTO_CLIENT : PROTO_SERVER;
	remote->cookie = socket_word(opening->fds[FD_TCP], SO_COOKIE);
	remote->local = message->local;
	remote->peer = message->peer;
	remote->stand_in_fd = opening->fds[FD_STAND_IN];
	remote->stand_in.fd = -1;
	charge(remote, session->user);
	remote_tcp_open(remote, opening->fds[FD_TCP]);
	remote_stream_open(remote);
	remote_add(remote);
	return remote;
}

/* Both ends get a reset, as in reset(), by what the next turn does. */
static void give_up(struct remote *remote)
{
	remote_tcp_end(remote, PROTO_TCP_RESET);
	remote_reset_application(remote);
	remote->phase = REMOTE_ENDED;
}

/* The protocol takes over.  Its first actions come before connection_start() returns. */
static void start(struct remote *remote, struct rnic *rnic, const struct rendezvous_facts *facts)
{
	struct connection *connection = connection_start(&rnic->host, facts, remote);

	if (!connection)
		give_up(remote);
	else if (remote->phase == REMOTE_RENDEZVOUS)
		remote->connection = connection;
}

/* It was found for nothing. */
static void drop_map(struct remote_map *map)
{
	remote_kept_leave(map, true);
	remote_map_put(map);
}

static void begin(const struct opening *opening, struct remote_map *map, struct rnic *rnic,
		  uint32_t diagnosis)
{
	struct remote *remote = make(opening, map);
	struct rendezvous_facts facts = {0};

	if (!remote) {
		drop_map(map);
		reset(opening, "no memory");
		return;
	}
	if (opening->fds[FD_SEGMENT] >= 0)
		disposer_add_later(remote->apps->disposer, DISPOSE_QUICK, opening->fds[FD_SEGMENT],
				   NULL);
	engine_facts(rnic, remote->role, &remote->local, &remote->peer,
		     opening->message->element_bytes, &facts);
	facts.role = remote->role;
	facts.element = opening->message->element_bytes;
	facts.agreed = is_agreed(opening);
	facts.memory = &remote->map->memory;
	if (diagnosis)
		facts.refusal = diagnosis;
	start(remote, rnic, &facts);
}

/* Twice the limit is the end even of declining: each takes descriptors and memory until it is over. */
static bool is_too_much(const struct session *session)
{
	const struct apps *apps = session->apps;

	return session->user->connections / 2 >= apps->config->connections_per_user ||
	       apps_headroom(apps) < APPS_HEADROOM_ACCEPT;
}

/* The segment, mapped, and its bells: what is kept, or what came. */
static struct remote_map *find_map(struct opening *opening, int *error)
{
	const struct message_rendezvous *message = opening->message;
	struct session *session = opening->session;
	struct remote_map *map;

	*error = -EINVAL;
	if (opening->fds[FD_SEGMENT] < 0)
		return remote_kept_take(session, message);
	map = remote_map_new(session->apps, session->user, opening->fds[FD_SEGMENT], message,
			     error);
	if (!map)
		return NULL;
	map->use = message->use;
	*error = remote_bells_open(map, session->apps, &opening->fds[FD_DATA]);
	opening->fds[FD_DATA] = opening->fds[FD_SPACE] = -1;
	if (*error) {
		drop_map(map);
		return NULL;
	}
	remote_kept_add(session, map, message->segment);
	return map;
}

static bool fits(const struct opening *opening, unsigned int count)
{
	const int *fds = opening->fds;

	if (!socket_is_tcp(fds[FD_TCP]) || !is_of_pair(fds[FD_STAND_IN]))
		return false;
	if (count == RENDEZVOUS_FDS_AGAIN)
		return opening->message->segment;
	return count == FD_COUNT && is_of_pair(fds[FD_DATA]) && is_of_pair(fds[FD_SPACE]);
}

void remote_open(struct session *session, const struct message_rendezvous *message, const int *fds,
		 unsigned int count)
{
	struct opening opening = {session, message, {fds[0], -1, -1, -1, -1}};
	struct engine *engine = session->apps->engine;
	struct remote_map *map;
	struct rnic *rnic;
	uint32_t diagnosis;
	int error;

	if (count == RENDEZVOUS_FDS_AGAIN)
		opening.fds[FD_STAND_IN] = fds[1];
	else
		memcpy(opening.fds, fds, count * sizeof(*fds));
	if (!fits(&opening, count)) {
		doom(&opening, "RENDEZVOUS with the wrong descriptors");
		return;
	}
	if (!engine || !engine->rnic_count) {
		reset(&opening, "there is no RNIC");
		return;
	}
	if (is_too_much(session)) {
		reset(&opening, "too many of this user, or too few descriptors");
		return;
	}
	map = find_map(&opening, &error);
	if (!map && error == -EINVAL) {
		doom(&opening, "RENDEZVOUS without a valid segment");
		return;
	}
	if (!map) {
		reset(&opening, "no memory");
		return;
	}
	rnic = engine_choose(engine, &message->local);
	diagnosis = refusal(&opening, rnic);
	begin(&opening, map, rnic ? rnic : engine->rnics[0], diagnosis);
}
