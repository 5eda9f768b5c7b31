/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: standard I/O on our sockets
 */
#include "shim/call_stdio.h"

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim/fd_table.h"
#include "shim/libc.h"

ssize_t call_stdio_write(int fd, const char *buffer, size_t size)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = write(fd, buffer + done, size - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/*
 * Standard I/O reads and writes inside libc, where we cannot see it: a stream on one of our sockets
 * gets functions that come back to us.
 */
static ssize_t stdio_read(void *cookie, char *buffer, size_t size)
{
	return read((int)(intptr_t)cookie, buffer, size);
}

static ssize_t stdio_write(void *cookie, const char *buffer, size_t size)
{
	return call_stdio_write((int)(intptr_t)cookie, buffer, size);
}

static int stdio_seek(void *cookie, off64_t *offset, int whence)
{
	(void)cookie, (void)offset, (void)whence;
	errno = ESPIPE;
	return -1;
}

static int stdio_close(void *cookie)
{
	return close((int)(intptr_t)cookie);
}

static FILE *stream_on(int fd, const char *mode)
{
	const cookie_io_functions_t functions = {
		.read = stdio_read, .write = stdio_write, .seek = stdio_seek, .close = stdio_close};
	FILE *file = fopencookie((void *)(intptr_t)fd, mode, functions);

	if (file)
		file->_fileno = fd; /* for fileno() */
	return file;
}

EXPORT FILE *fdopen(int fd, const char *mode)
{
	libc_ready();
	return fd_connection(fd) ? stream_on(fd, mode) : libc.fdopen(fd, mode);
}

void call_stdio_take_over(int fd)
{
	static bool taken[STDERR_FILENO + 1];
	FILE **standard = fd == STDIN_FILENO ? &stdin : fd == STDOUT_FILENO ? &stdout : &stderr;
	FILE *file;

	/* What the program has read ahead from another file it shall have. */
	if (fd > STDERR_FILENO || taken[fd] ||
	    (*standard)->_IO_read_ptr < (*standard)->_IO_read_end)
		return;
	file = stream_on(fd, fd == STDIN_FILENO ? "r" : "w");
	if (!file)
		return;
	if (fd == STDERR_FILENO)
		setvbuf(file, NULL, _IONBF, 0);
	/* And what it has not flushed goes where its descriptor leads when it is. */
	if (__fpending(*standard))
		(void)fwrite((*standard)->_IO_write_base, 1, __fpending(*standard), file);
	__fpurge(*standard);
	*standard = file;
	taken[fd] = true;
}

EXPORT int vdprintf(int fd, const char *format, va_list arguments)
{
	char text[4096], *whole = text;
	va_list again;
	int n, done = 0;

	libc_ready();
	va_copy(again, arguments);
	n = vsnprintf(text, sizeof(text), format, arguments);
	if (n >= (int)sizeof(text)) {
		whole = malloc((size_t)n + 1);
		if (whole)
			n = vsnprintf(whole, (size_t)n + 1, format, again);
		else
			n = -1;
	}
	va_end(again);
	while (done < n) {
		ssize_t part = write(fd, whole + done, (size_t)(n - done));

		if (part <= 0) {
			n = -1;
			break;
		}
		done += (int)part;
	}
	if (whole != text)
		free(whole);
	return n;
}

EXPORT int dprintf(int fd, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vdprintf(fd, format, arguments);
	va_end(arguments);
	return n;
}

EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list arguments;
	int n;

	(void)flag;
	va_start(arguments, format);
	n = vdprintf(fd, format, arguments);
	va_end(arguments);
	return n;
}

EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments)
{
	(void)flag;
	return vdprintf(fd, format, arguments);
}
