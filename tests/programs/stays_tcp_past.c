/* SPDX-License-Identifier: MIT */
/* Two ways past the calls that a preload library stands in for: io_uring, and eBPF between sockets */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"
#include "stays_tcp.h"

static struct {
	int fd;
	struct io_uring_params params;
	uint8_t *queues;
	struct io_uring_sqe *entries;
} ring;

static void *map(size_t length, off_t offset)
{
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			    ring.fd, offset);

	if (memory == MAP_FAILED)
		die("mmap of the io_uring");
	return memory;
}

bool ring_open(bool past_libc)
{
	long fd;

	memset(&ring.params, 0, sizeof(ring.params));
	if (past_libc)
		fd = raw_call(SYS_io_uring_setup, (const long[6]){4, (long)&ring.params});
	else
		fd = syscall(SYS_io_uring_setup, 4, &ring.params);
	if (fd < 0) {
		printf("no io_uring: %s\n", strerrorname_np(past_libc ? (int)-fd : errno));
		return false;
	}
	if (!(ring.params.features & IORING_FEAT_SINGLE_MMAP))
		die("an io_uring of an old kernel");
	ring.fd = (int)fd;
	ring.queues =
		map(ring.params.cq_off.cqes + ring.params.cq_entries * sizeof(struct io_uring_cqe),
		    IORING_OFF_SQ_RING);
	ring.entries = map(ring.params.sq_entries * sizeof(*ring.entries), IORING_OFF_SQES);
	return true;
}

static _Atomic uint32_t *word(uint32_t offset)
{
	return (_Atomic uint32_t *)(ring.queues + offset);
}

static ssize_t ring_do(uint8_t operation, int fd, void *bytes, size_t n)
{
	const uint32_t mask = *word(ring.params.sq_off.ring_mask);
	const uint32_t tail = atomic_load(word(ring.params.sq_off.tail)), at = tail & mask;
	uint32_t head;
	int result;

	ring.entries[at] = (struct io_uring_sqe){
		.opcode = operation, .fd = fd, .addr = (uintptr_t)bytes, .len = (uint32_t)n};
	word(ring.params.sq_off.array)[at] = at;
	atomic_store(word(ring.params.sq_off.tail), tail + 1);
	if (raw_call(SYS_io_uring_enter,
		     (const long[6]){ring.fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0}) != 1)
		die("io_uring_enter");
	head = atomic_load(word(ring.params.cq_off.head));
	if (head == atomic_load(word(ring.params.cq_off.tail)))
		die("the io_uring is not done");
	result =
		((struct io_uring_cqe *)(ring.queues +
					 ring.params.cq_off
						 .cqes))[head & *word(ring.params.cq_off.ring_mask)]
			.res;
	atomic_store(word(ring.params.cq_off.head), head + 1);
	return result;
}

ssize_t ring_send(int fd, const void *bytes, size_t n)
{
	return ring_do(IORING_OP_SEND, fd, (void *)(uintptr_t)bytes, n);
}

ssize_t ring_receive(int fd, void *bytes, size_t n)
{
	return ring_do(IORING_OP_RECV, fd, bytes, n);
}

static int bpf(enum bpf_cmd command, union bpf_attr *attributes)
{
	return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static int sockmap_make(void)
{
	union bpf_attr create = {
		.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4, .max_entries = 1};

	return bpf(BPF_MAP_CREATE, &create);
}

/* After the program was attached: it is the socket's from then on. */
static bool sockmap_add(int map_fd, int fd)
{
	const int key = 0;
	union bpf_attr update = {
		.map_fd = (uint32_t)map_fd, .key = (uintptr_t)&key, .value = (uintptr_t)&fd};

	return bpf(BPF_MAP_UPDATE_ELEM, &update) == 0;
}

bool sockmap_join(const int ends[2])
{
	const int from = sockmap_make(), to = sockmap_make();
	/* return bpf_msg_redirect_map(message, &to, 0, BPF_F_INGRESS); */
	const struct bpf_insn code[] = {
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = BPF_REG_2,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = to},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4, .imm = BPF_F_INGRESS},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_msg_redirect_map},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_SK_MSG,
			       .insns = (uintptr_t)code,
			       .insn_cnt = sizeof(code) / sizeof(code[0]),
			       .license = (uintptr_t) "GPL"};
	union bpf_attr attach = {.target_fd = (uint32_t)from, .attach_type = BPF_SK_MSG_VERDICT};
	int program;

	if (from < 0 || to < 0)
		return false;
	program = bpf(BPF_PROG_LOAD, &load);
	attach.attach_bpf_fd = (uint32_t)program;
	return program >= 0 && bpf(BPF_PROG_ATTACH, &attach) == 0 && sockmap_add(from, ends[0]) &&
	       sockmap_add(to, ends[1]);
}
