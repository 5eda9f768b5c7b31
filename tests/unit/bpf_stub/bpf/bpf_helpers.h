/* SPDX-License-Identifier: MIT */
/* Stands in for libbpf's where an eBPF program is compiled into a unit test, which has the helpers. */
#define SEC(name)
#define __uint(name, number) int(*name)[number]
#define __type(name, kind) __typeof__(kind) *name
