/* SPDX-License-Identifier: MIT */
#include "ring/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

bool segment_file_may_be(uint64_t bytes)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) < 0 || bytes <= limit.rlim_cur;
}

int segment_file(const char *name, uint64_t bytes)
{
	int fd, error;

	if (!segment_file_may_be(bytes))
		return -EFBIG;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

int segment_create(uint32_t ring_bytes)
{
	return segment_bytes_valid(ring_bytes)
		       ? segment_file("smcu-segment", segment_size(ring_bytes))
		       : -EINVAL;
}
