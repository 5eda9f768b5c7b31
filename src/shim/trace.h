/* SPDX-License-Identifier: MIT */
#ifndef SMCU_SHIM_TRACE_H
#define SMCU_SHIM_TRACE_H

#include <stdbool.h>

/**
 * trace_ask - before connect(2) or listen(2): have the connection's sequence numbers recorded
 * @offers: and put the SMC option into its SYN or SYN-ACK
 *
 * By the numbers the daemon finds its peer in another network namespace (bpf/tcp_option.h).  Costs nothing
 * where nothing is attached.  Return: false there.
 */
bool trace_ask(int fd, bool offers);

#endif
