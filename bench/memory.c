// SPDX-License-Identifier: MIT
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools.h"

/* file_number - the number that follows @key at the start of a line of @path */
static double file_number(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	char line[256];
	double number = -1;

	if (file == NULL)
		fail(errno, "%s", path);
	while (number < 0 && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, key, strlen(key)) == 0)
			sscanf(line + strlen(key), "%lf", &number);
	}
	fclose(file);
	if (number < 0)
		fail(0, "%s has no %s", path, key);
	return number;
}

static double process_pss(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	return file_number(path, "Pss:");
}

/* Pages that TCP's buffers hold, the last number of "TCP: inuse 5 orphan 0 tw 0 alloc 5 mem 1". */
static double socket_buffers(void)
{
	FILE *file = fopen("/proc/net/sockstat", "re");
	char line[256];
	double pages = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		const char *found = strstr(line, " mem ");

		if (strncmp(line, "TCP:", 4) == 0 && found != NULL)
			sscanf(found + 5, "%lf", &pages);
	}
	if (file != NULL)
		fclose(file);
	return pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/*
 * Kernel objects in use.  Slab: in /proc/meminfo counts whole pages, which stay when a former run's
 * objects are gone and hide the growth of the next; only a privileged user may read this better one.
 * Inodes of /proc, with a name each, are left out: no connection has one, a monitor that lists the
 * descriptors of all processes leaves them behind.
 */
static double slab_objects(void)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	double bytes = 0, in_use, size, foreign = 0, name_size = 0;
	char line[512], cache[64];

	if (file == NULL)
		return file_number("/proc/meminfo", "Slab:");
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%63s %lf %*f %lf", cache, &in_use, &size) != 3)
			continue;
		if (strcmp(cache, "dentry") == 0)
			name_size = size;
		if (strcmp(cache, "proc_inode_cache") == 0)
			foreign = in_use;
		else
			bytes += in_use * size;
	}
	fclose(file);
	return (bytes - foreign * name_size) / 1024;
}

struct memory memory_read(pid_t client, pid_t server)
{
	return (struct memory){
		.client_pss = process_pss(client),
		.server_pss = process_pss(server),
		.objects = slab_objects(),
		.slab = file_number("/proc/meminfo", "Slab:"),
		.page_tables = file_number("/proc/meminfo", "PageTables:"),
		.sockets = socket_buffers(),
		.shmem = file_number("/proc/meminfo", "Shmem:"),
		.available = file_number("/proc/meminfo", "MemAvailable:"),
	};
}

void memory_print(const struct memory *before, const struct memory *after, unsigned int connections)
{
	double client = (after->client_pss - before->client_pss) / connections;
	double server = (after->server_pss - before->server_pss) / connections;
	double objects = (after->objects - before->objects) / connections;
	double tables = (after->page_tables - before->page_tables) / connections;
	double sockets = (after->sockets - before->sockets) / connections;

	json_number("kib_per_connection", client + server + objects + tables + sockets);
	json_number("client_pss_kib", client);
	json_number("server_pss_kib", server);
	json_number("kernel_objects_kib", objects);
	json_number("slab_kib", (after->slab - before->slab) / connections);
	json_number("page_tables_kib", tables);
	json_number("socket_buffers_kib", sockets);
	json_number("shmem_kib", (after->shmem - before->shmem) / connections);
	json_number("unavailable_kib", (before->available - after->available) / connections);
}
