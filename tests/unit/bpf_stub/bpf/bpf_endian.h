/* SPDX-License-Identifier: MIT */
/* Stands in for libbpf's where an eBPF program is compiled into a unit test. */
#define bpf_htonl(number) __builtin_bswap32(number)
