/* SPDX-License-Identifier: MIT */
/*
 * The preload library's start and end
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/call_fork.h"
#include "shim/connection.h"
#include "shim/fd_table.h"
#include "shim/inherit.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/session.h"
#include "shim/settings.h"

__attribute__((constructor)) static void start(void)
{
	libc_ready();
	settings_from_environment();
	if (settings.off)
		return;
	session_note_paths();
	memory_limits_init();
	fd_table_init();
	fork_follow();
	inherit_take_up();
}

/* A process that ends without closing is a holder no more (who is killed stays one: that is safe). */
__attribute__((destructor)) static void end(void)
{
	if (fd_table_is_ours())
		connection_leave_all();
}

EXPORT void _exit(int status)
{
	libc_ready();
	end();
	libc._exit(status);
	__builtin_unreachable();
}

EXPORT void _Exit(int status)
{
	_exit(status);
}

/* A server shuts itself in when it has its listeners or a connection already. */
EXPORT int chroot(const char *path)
{
	libc_ready();
	if (!settings.off && fd_table_is_ours() && !connection_none())
		session_have();
	return libc.chroot(path);
}
