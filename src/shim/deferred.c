/* SPDX-License-Identifier: MIT */
#include "shim/deferred.h"

#include <errno.h>
#include <sys/mman.h>

__thread struct deferred *deferred_list;

ssize_t deferred_add(struct place place, size_t n)
{
	const size_t size = sizeof(struct deferred) + n;
	struct deferred *deferred =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct deferred **last = &deferred_list;

	if (deferred == MAP_FAILED)
		return -EAGAIN;
	if (!place_take(&place, deferred->bytes, n)) {
		munmap(deferred, size);
		return -EFAULT;
	}
	deferred->size = size;
	deferred->iov = (struct iovec){.iov_base = deferred->bytes, .iov_len = n};
	deferred->rest = (struct place){.iov = &deferred->iov, .count = 1};
	while (*last)
		last = &(*last)->next;
	*last = deferred;
	return (ssize_t)n;
}

void deferred_drop(void)
{
	struct deferred *deferred = deferred_list;

	deferred_list = deferred->next;
	munmap(deferred, deferred->size);
}
