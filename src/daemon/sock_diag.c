/* SPDX-License-Identifier: MIT */
#include "daemon/sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemon/address.h"

#define REPLY_MAX 512

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

int sock_diag_open(struct sock_diag *diag)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int error;

	diag->sequence = 0;
	diag->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	if (diag->fd < 0)
		return -errno;
	if (connect(diag->fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		error = errno;
		close(diag->fd);
		diag->fd = -1;
		return -error;
	}
	return 0;
}

void sock_diag_close(struct sock_diag *diag)
{
	close(diag->fd);
	diag->fd = -1;
}

static void ask(struct question *question, uint32_t sequence, const struct side_address *local,
		const struct side_address *peer, uint32_t interface)
{
	struct inet_diag_sockid *id = &question->request.id;

	memset(question, 0, sizeof(*question));
	question->header.nlmsg_len = sizeof(*question);
	question->header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	question->header.nlmsg_flags = NLM_F_REQUEST;
	question->header.nlmsg_seq = sequence;
	question->request.sdiag_protocol = IPPROTO_TCP;
	question->request.idiag_states = UINT32_MAX;
	id->idiag_sport = htons(local->port);
	id->idiag_dport = htons(peer->port);
	id->idiag_if = interface;
	id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (address_is_mapped(local) && address_is_mapped(peer)) {
		question->request.sdiag_family = AF_INET;
		memcpy(id->idiag_src, local->bytes + 12, 4);
		memcpy(id->idiag_dst, peer->bytes + 12, 4);
	} else {
		question->request.sdiag_family = AF_INET6;
		memcpy(id->idiag_src, local->bytes, 16);
		memcpy(id->idiag_dst, peer->bytes, 16);
	}
}

static void take_answer(const struct nlmsghdr *header, size_t length, uint32_t first,
			struct sock_diag_found ends[2])
{
	const struct inet_diag_msg *answer = NLMSG_DATA(header);
	struct sock_diag_found *end;

	if (length < sizeof(*header) || header->nlmsg_seq - first > 1)
		return;
	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || length < NLMSG_LENGTH(sizeof(*answer)) ||
	    answer->idiag_state == TCP_LISTEN)
		return;
	end = &ends[header->nlmsg_seq - first];
	end->cookie = (uint64_t)answer->id.idiag_cookie[1] << 32 | answer->id.idiag_cookie[0];
	end->state = answer->idiag_state;
}

/* Both answers (there is one for each question, be it an error); older ones are passed over. */
static int take_answers(struct sock_diag *diag, uint32_t first, struct sock_diag_found ends[2])
{
	alignas(struct nlmsghdr) char replies[2][REPLY_MAX];
	struct iovec parts[2] = {{replies[0], REPLY_MAX}, {replies[1], REPLY_MAX}};
	struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &parts[0], .msg_iovlen = 1}},
				      {.msg_hdr = {.msg_iov = &parts[1], .msg_iovlen = 1}}};
	const struct nlmsghdr *header = NULL;
	int i, count;

	do {
		count = recvmmsg(diag->fd, messages, 2, MSG_DONTWAIT, NULL);
		if (count < 0)
			return -errno;
		for (i = 0; i < count; i++) {
			header = (const struct nlmsghdr *)replies[i];
			take_answer(header, messages[i].msg_len, first, ends);
		}
	} while (!header || header->nlmsg_seq != first + 1);
	return 0;
}

int sock_diag_find_ends(struct sock_diag *diag, const struct side_address *local,
			const struct side_address *peer, uint32_t interface,
			struct sock_diag_found ends[2])
{
	struct question questions[2];
	uint32_t first = diag->sequence + 1;

	memset(ends, 0, 2 * sizeof(ends[0]));
	diag->sequence += 2;
	ask(&questions[0], first, local, peer, interface);
	ask(&questions[1], first + 1, peer, local, interface);
	if (send(diag->fd, questions, sizeof(questions), MSG_DONTWAIT) < 0)
		return -errno;
	return take_answers(diag, first, ends);
}

/* A connection to ourselves; fills in its addresses.  Returns 0 or -errno. */
static int connect_loopback(int listener, int end, struct side_address addresses[2])
{
	union address_any address = {
		.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address.v4);

	if (bind(listener, &address.any, size) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, &address.any, &size) < 0 || connect(end, &address.any, size) < 0)
		return -errno;
	address_from(&address, &addresses[1]);
	if (getsockname(end, &address.any, &size) < 0)
		return -errno;
	address_from(&address, &addresses[0]);
	return 0;
}

int sock_diag_check(struct sock_diag *diag)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct side_address addresses[2];
	struct sock_diag_found ends[2];
	struct timeval second = {.tv_sec = 1};
	int result;

	setsockopt(end, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second)); /* for connect() */
	result = listener < 0 || end < 0 ? -errno : connect_loopback(listener, end, addresses);
	if (!result)
		result = sock_diag_find_ends(diag, &addresses[0], &addresses[1], 0, ends);
	if (!result && (!ends[0].cookie || !ends[1].cookie))
		result = -ENOENT;
	close(end);
	close(listener);
	return result;
}
