/* SPDX-License-Identifier: MIT */
#include "ring/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int segment_create(uint32_t ring_bytes)
{
	int fd, error;

	if (!segment_bytes_valid(ring_bytes))
		return -EINVAL;
	fd = memfd_create("smcu-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)segment_size(ring_bytes)) < 0)
		goto fail;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto fail;
	return fd;
fail:
	error = errno;
	close(fd);
	return -error;
}
