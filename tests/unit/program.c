/* SPDX-License-Identifier: MIT */
/*
 * A program that will not have the library is known before it is started: nothing else can say, afterwards,
 * why its connections are silent
 */
#include "control/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char directory[] = "/tmp/smcu-program-XXXXXX";
static char *const with[] = {"A=b", "LD_PRELOAD=/lib/other.so:/usr/lib/libsmcu-preload.so", NULL};
static char *const without[] = {"LD_PRELOAD=/lib/other.so", NULL};
static char *const off[] = {"LD_PRELOAD=libsmcu-preload.so", "SMCU_OFF=1", NULL};
static char *const off_not[] = {"LD_PRELOAD=libsmcu-preload.so", "SMCU_OFF=0", NULL};

static const char *path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static const char *write_file(const char *name, const void *bytes, size_t length)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0755);

	assert_true(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
	close(fd);
	return path_of(name);
}

/* The headers of this very program, with what a test needs to be different. */
struct image {
	ElfW(Ehdr) header;
	ElfW(Phdr) programs[40];
};

static struct image own_image(void)
{
	struct image image;
	int fd = open("/proc/self/exe", O_RDONLY);

	assert_true(pread(fd, &image.header, sizeof(image.header), 0) > 0);
	assert_true(image.header.e_phnum <= 40);
	assert_true(pread(fd, image.programs, sizeof(image.programs), (off_t)image.header.e_phoff) >
		    0);
	close(fd);
	image.header.e_phoff = offsetof(struct image, programs);
	return image;
}

static struct image static_image(void)
{
	struct image image = own_image();

	for (int i = 0; i < image.header.e_phnum; i++)
		if (image.programs[i].p_type == PT_INTERP)
			image.programs[i].p_type = PT_NULL;
	return image;
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	static const char *const names[] = {"dynamic", "static", "foreign", "ld-linux.so.9",
					    "script",  "outer",	 "loop",    "text",
					    "fifo",    "owned"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	return rmdir(directory);
}

static bool keeps(const char *path, char *const env[])
{
	return !program_loses_the_shim(&(struct program){.path = path, .directory = AT_FDCWD}, env);
}

static void the_environment_decides_first(void **state)
{
	(void)state;
	assert_true(keeps("/proc/self/exe", with));
	assert_false(keeps("/proc/self/exe", without));
	assert_false(keeps("/proc/self/exe", off));
	assert_true(keeps("/proc/self/exe", off_not));
	assert_false(keeps("/proc/self/exe", NULL));
}

static void a_static_program_is_one_without_an_interpreter(void **state)
{
	struct image image = own_image();

	(void)state;
	assert_true(keeps(write_file("dynamic", &image, sizeof(image)), with));
	image = static_image();
	assert_false(keeps(write_file("static", &image, sizeof(image)), with));
	/* the dynamic linker, run by its name, loads what LD_PRELOAD says */
	assert_true(keeps(write_file("ld-linux.so.9", &image, sizeof(image)), with));
	/* cut short: the kernel starts none of it */
	assert_false(keeps(write_file("static", &image, sizeof(image.header) + 8), with));
}

static void another_architecture_has_other_libraries(void **state)
{
	struct image image = own_image();

	(void)state;
	image.header.e_machine ^= 1;
	assert_false(keeps(write_file("foreign", &image, sizeof(image)), with));
	image = own_image();
	image.header.e_ident[EI_CLASS] ^= ELFCLASS32 ^ ELFCLASS64;
	assert_false(keeps(write_file("foreign", &image, sizeof(image)), with));
}

static void script(const char *name, const char *interpreter, const char *rest)
{
	char text[256];

	snprintf(text, sizeof(text), "#! \t%s/%s%s", directory, interpreter, rest);
	write_file(name, text, strlen(text));
}

static void a_script_is_what_its_interpreter_is(void **state)
{
	struct image image = static_image();

	(void)state;
	write_file("static", &image, sizeof(image));
	script("script", "static", " -x\necho\n");
	script("outer", "script", "\n");
	script("loop", "loop", "\n");
	assert_false(keeps(path_of("script"), with));
	assert_false(keeps(path_of("outer"), with));
	image = own_image();
	write_file("static", &image, sizeof(image));
	assert_true(keeps(path_of("script"), with));
	assert_true(keeps(path_of("outer"), with));
	assert_true(keeps(path_of("loop"), with));
	assert_true(keeps(write_file("text", "#!\n", 3), with));
	assert_true(keeps(write_file("text", "echo\n", 5), with));
	assert_true(keeps(write_file("text", "", 0), with));
}

static void what_cannot_be_looked_at_is_not_waited_for(void **state)
{
	(void)state;
	errno = 5;
	assert_int_equal(mkfifo(path_of("fifo"), 0755), 0);
	assert_true(keeps(path_of("fifo"), with));
	assert_true(keeps("/nowhere/nothing", with));
	assert_true(keeps("/nowhere/nothing", without));
	assert_true(keeps(directory, with));
	assert_int_equal(errno, 5);
}

/* By the kernel's rules, and so not for who is that user, or by a file that says so without the right to. */
static void other_privileges_leave_it_out(void **state)
{
	struct image image = own_image();
	const char *path = write_file("owned", &image, sizeof(image));
	bool kept;

	(void)state;
	assert_int_equal(chmod(path, 04755), 0);
	assert_true(keeps(path, with)); /* one's own */
	assert_int_equal(chmod(path, 02745), 0);
	assert_true(keeps(path, with));
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(path, 1, 1), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_true(keeps(path, with));
	assert_int_equal(chmod(path, 04755), 0);
	assert_false(keeps(path, with));
	assert_int_equal(chmod(path, 02755), 0);
	assert_false(keeps(path, with));
	assert_int_equal(chmod(path, 02745), 0); /* locking, once */
	assert_true(keeps(path, with));
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(directory, 0755), 0);
	assert_int_equal(seteuid(1), 0); /* the real user is another */
	kept = keeps(path, with);
	assert_int_equal(seteuid(0), 0);
	assert_false(kept);
}

static void a_name_is_searched_for_as_exec_does(void **state)
{
	struct image image = static_image();
	struct program program = {.path = "static", .directory = AT_FDCWD, .searched = true};
	char path[128];
	char *before = getenv("PATH") ? strdup(getenv("PATH")) : NULL;
	int fd;

	(void)state;
	write_file("static", &image, sizeof(image));
	snprintf(path, sizeof(path), "/nowhere:%s:/bin", directory);
	setenv("PATH", path, 1);
	assert_non_null(program_loses_the_shim(&program, with));
	program.searched = false; /* in the working directory */
	assert_null(program_loses_the_shim(&program, with));
	fd = open(path_of("static"), O_RDONLY | O_CLOEXEC);
	program = (struct program){.path = "", .directory = fd};
	assert_non_null(program_loses_the_shim(&program, with));
	close(fd);
	fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	program = (struct program){.path = "static", .directory = fd};
	assert_non_null(program_loses_the_shim(&program, with));
	program.path = "dynamic.none";
	assert_null(program_loses_the_shim(&program, with));
	program.path = (const char *)8; /* no address */
	assert_null(program_loses_the_shim(&program, with));
	close(fd);
	setenv("PATH", "/nowhere", 1);
	program = (struct program){.path = "static", .directory = AT_FDCWD, .searched = true};
	assert_null(program_loses_the_shim(&program, with));
	if (before)
		setenv("PATH", before, 1);
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_decides_first),
		cmocka_unit_test(a_static_program_is_one_without_an_interpreter),
		cmocka_unit_test(another_architecture_has_other_libraries),
		cmocka_unit_test(a_script_is_what_its_interpreter_is),
		cmocka_unit_test(what_cannot_be_looked_at_is_not_waited_for),
		cmocka_unit_test(other_privileges_leave_it_out),
		cmocka_unit_test(a_name_is_searched_for_as_exec_does),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
