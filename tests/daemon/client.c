/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/address.h"
#include "ring/segment.h"

const char *daemon_program;

int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void nap(void)
{
	usleep(5000);
}

static pid_t spawn(const char *const *options, const char *socket, int output)
{
	const char *arguments[64] = {daemon_program};
	int count = 1;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (socket) {
		arguments[count++] = "--foreground";
		arguments[count++] = "--socket";
		arguments[count++] = socket;
	}
	while (options && *options)
		arguments[count++] = *options++;
	dup2(output, STDERR_FILENO);
	dup2(output, STDOUT_FILENO);
	execv(daemon_program, (char *const *)(uintptr_t)arguments);
	_exit(127);
}

bool log_contains(const struct daemon_under_test *daemon, const char *text)
{
	int64_t end = milliseconds() + PATIENCE_MS;
	static char log[1 << 20];
	ssize_t length;
	int fd;

	do {
		fd = open(daemon->log, O_RDONLY | O_CLOEXEC);
		length = read(fd, log, sizeof(log) - 1);
		close(fd);
		log[length > 0 ? length : 0] = 0;
		if (strstr(log, text))
			return true;
		nap();
	} while (milliseconds() < end);
	return false;
}

void start_daemon(struct daemon_under_test *daemon, const char *const *options)
{
	strcpy(daemon->directory, "/tmp/smcud-test-XXXXXX");
	assert_non_null(mkdtemp(daemon->directory));
	assert_int_equal(chmod(daemon->directory, 0755), 0);
	snprintf(daemon->socket, sizeof(daemon->socket), "%s/s", daemon->directory);
	snprintf(daemon->log, sizeof(daemon->log), "%s/log", daemon->directory);
	start_again(daemon, options);
}

void start_again(struct daemon_under_test *daemon, const char *const *options)
{
	int fd = open(daemon->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	daemon->pid = spawn(options, daemon->socket, fd);
	close(fd);
	assert_true(log_contains(daemon, " serves "));
}

void stop_daemon(struct daemon_under_test *daemon)
{
	int status = -1;
	int64_t end = milliseconds() + PATIENCE_MS;

	kill(daemon->pid, SIGTERM);
	while (waitpid(daemon->pid, &status, WNOHANG) == 0) {
		if (milliseconds() > end) {
			kill(daemon->pid, SIGKILL);
			waitpid(daemon->pid, &status, 0);
			fail_msg("smcud did not end on SIGTERM");
		}
		nap();
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(access(daemon->socket, F_OK), -1);
	unlink(daemon->log);
	assert_int_equal(rmdir(daemon->directory), 0);
}

int run_daemon(const char *const *options, char *output, size_t size)
{
	int ends[2], status;
	ssize_t length;
	size_t used = 0;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = spawn(options, NULL, ends[1]);
	close(ends[1]);
	while ((length = read(ends[0], output + used, size - 1 - used)) > 0)
		used += (size_t)length;
	output[used] = 0;
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int make_side(void)
{
	struct side_header header = {.magic = SIDE_MAGIC,
				     .record_size = sizeof(struct side_record)};
	int fd = memfd_create("side", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)SIDE_BYTES), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	assert_int_equal(pwrite(fd, &header, sizeof(header), 0), sizeof(header));
	return fd;
}

int send_packet(int socket, const void *bytes, size_t length, const int *fds, unsigned int count)
{
	static _Alignas(struct cmsghdr) char control[CMSG_SPACE(300 * sizeof(int))];
	struct iovec part = {(void *)(uintptr_t)bytes, length};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *rights;

	if (count) {
		memset(control, 0, sizeof(control));
		packet.msg_control = control;
		packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
		rights = CMSG_FIRSTHDR(&packet);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
	}
	return sendmsg(socket, &packet, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void client_send(struct client *client, const union message *message, const int *fds,
		 unsigned int count)
{
	assert_int_equal(send_packet(client->socket, message, message->header.length, fds, count),
			 0);
}

void client_connect(struct client *client, const struct daemon_under_test *daemon)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, daemon->socket);
	*client = (struct client){.side_fd = -1};
	client->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client->socket, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void hello(struct client *client, uint32_t role)
{
	union message message;

	message_init(&message, MESSAGE_HELLO);
	message.hello.role = role;
	client_send(client, &message, &client->side_fd, role == ROLE_SHIM ? 1 : 0);
	expect(client, MESSAGE_WELCOME, &message);
	assert_string_equal(message.welcome.release, SMCU_VERSION);
}

void client_open(struct client *client, const struct daemon_under_test *daemon)
{
	client_connect(client, daemon);
	client->side_fd = make_side();
	client->side = mmap(NULL, SIDE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			    client->side_fd, 0);
	assert_true(client->side != MAP_FAILED);
	hello(client, ROLE_SHIM);
}

void client_open_command(struct client *client, const struct daemon_under_test *daemon)
{
	client_connect(client, daemon);
	hello(client, ROLE_COMMAND);
}

void client_close(struct client *client)
{
	close(client->socket);
	if (client->side)
		munmap(client->side, SIDE_BYTES);
	if (client->side_fd >= 0)
		close(client->side_fd);
}

void offer(struct client *client, uint64_t id, int tcp)
{
	union address_any local = {0}, peer = {0};
	socklen_t local_size = sizeof(local), peer_size = sizeof(peer);
	union message message;

	getsockname(tcp, &local.any, &local_size);
	getpeername(tcp, &peer.any, &peer_size);
	message_init(&message, MESSAGE_OFFER);
	message.offer.id = id;
	address_from(&local, &message.offer.local);
	address_from(&peer, &message.offer.peer);
	client_send(client, &message, &tcp, 1);
}

void withdraw(struct client *client, uint64_t id)
{
	union message message;

	message_init(&message, MESSAGE_WITHDRAW);
	message.withdraw.id = id;
	client_send(client, &message, NULL, 0);
}

int receive(struct client *client, union message *message, int fds[3], unsigned int *count,
	    int timeout_ms)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))];
	struct iovec part = {message, sizeof(*message)};
	struct msghdr packet = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(control)};
	struct pollfd wait = {client->socket, POLLIN, 0};
	struct cmsghdr *rights;
	ssize_t length;

	*count = 0;
	if (poll(&wait, 1, timeout_ms) <= 0)
		return 0;
	do
		length = recvmsg(client->socket, &packet, MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == ECONNRESET); /* said once; messages may follow */
	if (length <= 0)
		return -1;
	rights = CMSG_FIRSTHDR(&packet);
	if (rights) {
		*count = (unsigned int)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(rights), *count * sizeof(int));
	}
	assert_int_equal(message_check(message, (size_t)length, *count), 0);
	return message->header.type;
}

void expect(struct client *client, enum message_type type, union message *message)
{
	int fds[3];
	unsigned int count;

	assert_int_equal(receive(client, message, fds, &count, PATIENCE_MS), type);
	while (count)
		close(fds[--count]);
}

void expect_refused(struct client *client, uint64_t id, unsigned int reason)
{
	union message message;

	expect(client, MESSAGE_REFUSED, &message);
	assert_int_equal(message.refused.id, id);
	assert_int_equal(message.refused.reason, reason);
}

void expect_nothing(struct client *client)
{
	union message message;
	int fds[3];
	unsigned int count;

	assert_int_equal(receive(client, &message, fds, &count, 50), 0);
}

void expect_dropped(struct client *client, int timeout_ms)
{
	union message message;
	int type, fds[3];
	unsigned int count;

	do {
		type = receive(client, &message, fds, &count, timeout_ms);
		while (count)
			close(fds[--count]);
	} while (type > 0);
	assert_int_equal(type, -1);
}

void expect_paired(struct client *client, uint64_t id, struct end *end)
{
	union message message;
	int fds[3];
	unsigned int count;

	assert_int_equal(receive(client, &message, fds, &count, PATIENCE_MS), MESSAGE_PAIRED);
	assert_int_equal(message.paired.id, id);
	assert_true(segment_bytes_valid(message.paired.ring_bytes));
	*end = (struct end){message.paired.id,
			    message.paired.end,
			    message.paired.ring_bytes,
			    fds[0],
			    fds[1],
			    fds[2]};
}

void end_close(struct end *end)
{
	close(end->segment);
	close(end->data);
	close(end->space);
}

void tcp_pair(int ends[2], int client_family, int server_family)
{
	union address_any address = {0};
	socklen_t size = sizeof(address.v6);
	int listener = socket(server_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	in_port_t port;

	assert_true(listener >= 0);
	if (server_family == AF_INET) {
		address.v4 = (struct sockaddr_in){.sin_family = AF_INET,
						  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		size = sizeof(address.v4);
	} else {
		address.v6 = (struct sockaddr_in6){
			.sin6_family = AF_INET6,
			.sin6_addr = client_family == AF_INET ? in6addr_any : in6addr_loopback};
	}
	assert_int_equal(bind(listener, &address.any, size), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, &address.any, &size), 0);
	port = address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port;
	if (client_family == AF_INET && server_family == AF_INET6) {
		address.v4 = (struct sockaddr_in){.sin_family = AF_INET,
						  .sin_port = port,
						  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		size = sizeof(address.v4);
	} else if (client_family == AF_INET6 && server_family == AF_INET) {
		address.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.v6.sin6_addr);
		size = sizeof(address.v6);
	}
	ends[0] = socket(client_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends[0], &address.any, size), 0);
	ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ends[1] >= 0);
	close(listener);
}

void must_serve(const struct daemon_under_test *daemon)
{
	struct client a, b;
	struct end ends[2];
	int tcp[2];

	client_open(&a, daemon);
	client_open(&b, daemon);
	tcp_pair(tcp, AF_INET, AF_INET);
	offer(&a, 1, tcp[0]);
	offer(&b, 2, tcp[1]);
	expect_paired(&a, 1, &ends[0]);
	expect_paired(&b, 2, &ends[1]);
	end_close(&ends[0]);
	end_close(&ends[1]);
	close(tcp[0]);
	close(tcp[1]);
	client_close(&a);
	client_close(&b);
}

void must_serve_at_once(const struct daemon_under_test *daemon)
{
	int64_t begin = milliseconds();

	must_serve(daemon);
	assert_true(milliseconds() - begin < SERVED_WITHIN_MS);
}

unsigned int daemon_descriptors(const struct daemon_under_test *daemon)
{
	unsigned int count = 0;
	struct dirent *entry;
	char path[64];
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)daemon->pid);
	directory = opendir(path);
	assert_non_null(directory);
	while ((entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

void must_let_go(const struct daemon_under_test *daemon, unsigned int most)
{
	int64_t end = milliseconds() + 10000;

	while (daemon_descriptors(daemon) > most && milliseconds() < end)
		usleep(10000);
	assert_in_range(daemon_descriptors(daemon), 0, most);
}
