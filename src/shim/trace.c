/* SPDX-License-Identifier: MIT */
#include "shim/trace.h"

#include <errno.h>
#include <stdatomic.h>

#include "bpf/tcp_option.h"
#include "shim/clock.h"
#include "shim/libc.h"
#include "shim/settings.h"

#define AGAIN_NS 5000000000ULL /* how soon to ask again where nothing was attached */

bool trace_ask(int fd, bool offers)
{
	static _Atomic uint64_t not_before;
	const unsigned int wishes = TCP_OPTION_TRACE | (offers ? TCP_OPTION_OFFER : 0);
	const int saved = errno;
	bool asked;

	if (settings.sandboxed ||
	    now_ns() < atomic_load_explicit(&not_before, memory_order_relaxed))
		return false;
	asked = libc.setsockopt(fd, TCP_OPTION_LEVEL, TCP_OPTION_ASK, &wishes, sizeof(wishes)) == 0;
	if (!asked)
		atomic_store_explicit(&not_before, now_ns() + AGAIN_NS, memory_order_relaxed);
	errno = saved;
	return asked;
}
