/* SPDX-License-Identifier: MIT */
/*
 * Stands in for libFuzzer where there is none: feeds a fuzz target the files of its corpus, then
 * what comes of them by changing a few bytes
 *
 *   fuzz-TARGET-replay DIRECTORY
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 1100
#define CHANGES 5000 /* of each file */

static const char *file_name;
static uint64_t seed;

/* What failed can be had again: the changes follow from the file and the seed. */
static void say_what_failed(int signal)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "not ok replay: signal %d, %s, seed %llu\n", signal,
			 file_name, (unsigned long long)seed);

	if (n > 0)
		(void)!write(1, line, (size_t)n);
	_exit(1);
}

static uint64_t random_next(uint64_t *of)
{
	uint64_t z = *of += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static size_t change(uint8_t *input, size_t size)
{
	static const uint8_t values[] = {0, 1, 2, 3, 8, 9, 10, 0x7f, 0x80, 0xff};
	uint64_t random = seed;

	for (uint64_t n = 1 + random_next(&random) % 4; n; n--) {
		uint8_t value = (uint8_t)random_next(&random);

		if (random_next(&random) % 2)
			value = values[value % sizeof(values)];
		input[random_next(&random) % (random_next(&random) % 2 ? 10 : size)] = value;
	}
	return random_next(&random) % 8 ? size : (size_t)(random_next(&random) % INPUT_MAX);
}

static int replay(void)
{
	uint8_t original[INPUT_MAX] = {0}, input[INPUT_MAX];
	FILE *file = fopen(file_name, "rb");
	size_t size = file ? fread(original, 1, sizeof(original), file) : 0;

	if (file)
		fclose(file);
	if (size < 10) {
		printf("not ok %s cannot be read\n", file_name);
		return 1;
	}
	LLVMFuzzerTestOneInput(original, size);
	for (seed = 1; seed <= CHANGES; seed++) {
		memcpy(input, original, sizeof(input));
		LLVMFuzzerTestOneInput(input, change(input, size));
	}
	return 0;
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	int count;

	signal(SIGABRT, say_what_failed);
	if (argc != 2 || chdir(argv[1]) ||
	    (count = scandir(".", &entries, is_input, alphasort)) < 1) {
		printf("not ok replay: a directory with inputs is needed\n");
		return 1;
	}
	for (int i = 0; i < count; i++) {
		file_name = entries[i]->d_name;
		if (replay())
			return 1;
		free(entries[i]);
	}
	free(entries);
	printf("ok replay\n");
	return 0;
}
