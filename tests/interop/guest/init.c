/* SPDX-License-Identifier: MIT */
/*
 * init - the first and only process that a guest of the lab starts with
 *
 * It mounts what programs expect, loads the kernel modules that /modules.list names, in that order,
 * and then serves the test through the second serial port (agent.h).  There is no shell, no udev
 * and no other service: the guest does what the test asks, and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

#define AGENT_PORT "/dev/ttyS1"

static void complain(const char *what)
{
	fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
}

static void mount_all(void)
{
	if (mount("proc", "/proc", "proc", 0, NULL) < 0)
		complain("/proc");
	if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		complain("/sys");
	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0)
		complain("/dev");
}

/* Without console= nothing is open yet; with it, it was /dev/console, which is gone now. */
static void console_open(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY), i;

	for (i = 0; fd >= 0 && i <= STDERR_FILENO; i++)
		dup2(fd, i);
	if (fd > STDERR_FILENO)
		close(fd);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static void module_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		complain(path);
	if (fd >= 0)
		close(fd);
}

static void modules_load(void)
{
	FILE *list = fopen("/modules.list", "re");
	char path[128];

	if (!list) {
		complain("/modules.list");
		return;
	}
	while (fgets(path, sizeof(path), list)) {
		path[strcspn(path, "\n")] = 0;
		module_load(path);
	}
	fclose(list);
}

/* The port as a clean line: no echo, no translation, nobody's controlling terminal. */
static int agent_port_open(void)
{
	struct termios mode;
	int fd = open(AGENT_PORT, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &mode) < 0)
		return -1;
	cfmakeraw(&mode);
	cfsetspeed(&mode, B115200);
	mode.c_cflag |= CLOCAL;
	return tcsetattr(fd, TCSANOW, &mode) < 0 ? -1 : fd;
}

int main(void)
{
	int fd;

	mount_all();
	console_open();
	modules_load();
	fd = agent_port_open();
	if (fd < 0)
		complain(AGENT_PORT);
	else
		agent_serve(fd);
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
