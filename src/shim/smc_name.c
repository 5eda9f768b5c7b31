/* SPDX-License-Identifier: MIT */
#include "shim/smc_name.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>

#include "shim/connection.h"
#include "shim/libc.h"
#include "shim/user_memory.h"

int smc_name_family(int domain, int type, int protocol)
{
	if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM)
		return 0;
	if (domain == AF_SMC && protocol == SMCPROTO_SMC)
		return AF_INET;
	if (domain == AF_SMC && protocol == SMCPROTO_SMC6)
		return AF_INET6;
	return (domain == AF_INET || domain == AF_INET6) && protocol == IPPROTO_SMC ? domain : 0;
}

struct smc_name smc_name_of(int fd)
{
	struct connection *connection = connection_get(fd);
	struct smc_name name = {0};

	if (connection) {
		name = connection->name;
		connection_put(connection);
	}
	return name;
}

static int limit_handshakes(int fd, const void *value, socklen_t length)
{
	struct connection *connection;
	int number;

	if (length < sizeof(number))
		return -EINVAL;
	if (!user_copy(&number, value, sizeof(number)))
		return -EFAULT;
	connection = connection_get(fd);
	if (!connection)
		return -EBADF;
	connection->name.limits_handshakes = number != 0;
	connection_put(connection);
	return 0;
}

bool smc_name_set_option(int fd, int level, int name, const void *value, socklen_t length,
			 int *result)
{
	if ((level != SOL_SMC && !(level == IPPROTO_TCP && name == TCP_ULP)) ||
	    !smc_name_of(fd).domain)
		return false;
	*result = level == SOL_SMC && name == SMC_LIMIT_HS ? limit_handshakes(fd, value, length)
							   : -EOPNOTSUPP;
	return true;
}

/* As the kernel hands out a number. */
static int give(int number, void *value, socklen_t *length)
{
	int room;

	if (!user_copy(&room, length, sizeof(room)))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (room > (int)sizeof(number))
		room = sizeof(number);
	if (!user_copy(length, &room, sizeof(room)) || !user_copy(value, &number, (size_t)room))
		return -EFAULT;
	return 0;
}

bool smc_name_get_option(int fd, int level, int option, void *value, socklen_t *length, int *result)
{
	struct smc_name name = {0};

	if (level == SOL_SMC ||
	    (level == SOL_SOCKET && (option == SO_DOMAIN || option == SO_PROTOCOL)))
		name = smc_name_of(fd);
	if (!name.domain)
		return false;
	if (level == SOL_SMC && option != SMC_LIMIT_HS)
		*result = -EOPNOTSUPP;
	else
		*result = give(level == SOL_SMC	     ? name.limits_handshakes
			       : option == SO_DOMAIN ? name.domain
						     : name.protocol,
			       value, length);
	return true;
}
