/* SPDX-License-Identifier: MIT */
/*
 * The SMC sockets of this kernel, as its socket diagnosis (SMC_DIAG) tells them
 */
#ifndef INTEROP_SMC_SOCKETS_H
#define INTEROP_SMC_SOCKETS_H

/*
 * smc_sockets_print - one JSON object a line for each socket; 0 or -errno
 *
 * "mode" is "smcr", "tcp" or "smcd"; where it is "tcp", "reason" and "peer_reason" are the two
 * diagnosis codes, this side's and the one that the peer's Decline carried.
 */
int smc_sockets_print(void);

#endif
