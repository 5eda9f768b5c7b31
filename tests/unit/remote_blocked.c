/* SPDX-License-Identifier: MIT */
/*
 * An application that never lets go of its TCP socket's lock, or of a bell's, holds up only itself
 */
#include "remote.h"

#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A page that is never filled, with the descriptor that keeps it so; NULL if we may not have one. */
static void *missing_page(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	void *page;

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0)
		return NULL;
	page = mmap(NULL, SEGMENT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)page;
	range.range.len = SEGMENT_PAGE;
	return ioctl(fd, UFFDIO_REGISTER, &range) < 0 ? NULL : page;
}

/* A process that sends from, or receives into, such a page; only its end lets go of the lock. */
static pid_t hold(int fd, bool sends)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		void *page;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		page = missing_page();
		if (!page || write(ready[1], "", 1) != 1)
			_exit(77);
		if (sends)
			send(fd, page, SEGMENT_PAGE, 0);
		else
			recv(fd, page, SEGMENT_PAGE, 0);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		pid = -pid;
	close(ready[0]);
	usleep(50000); /* (too short, and the test proves less) */
	return pid;
}

static void let_go(pid_t pid)
{
	kill(pid > 0 ? pid : -pid, SIGKILL);
	waitpid(pid > 0 ? pid : -pid, NULL, 0);
}

static struct remote *first_remote(void)
{
	assert_false(list_empty(&world.apps.remotes.all));
	return list_owner(world.apps.remotes.all.next, struct remote, of_all);
}

static void must_serve(void)
{
	struct clc_message message, decline = peer_decline(2, CLC_NO_DEVICE);
	struct end end;

	end_open(&end, RENDEZVOUS_CLIENT);
	eventually(peer_clc(&end, &message));
	peer_says(&end, &decline, "served");
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "served");
	end_free(&end);
}

static void a_socket_whose_lock_is_held_holds_up_no_other(void **state)
{
	struct clc_message message, decline = peer_decline(2, CLC_NO_DEVICE);
	struct end end;
	pid_t holder;

	(void)state;
	end_make(&end, RENDEZVOUS_CLIENT);
	holder = hold(end.tcp, true);
	if (holder > 0) {
		end_send(&end, world.session);
		must_serve();
		assert_true(first_remote()->tcp.busy);
	}
	let_go(holder);
	if (holder < 0)
		skip();
	eventually(peer_clc(&end, &message));
	assert_int_equal(message.type, CLC_PROPOSAL);
	peer_says(&end, &decline, "hello");
	eventually(marks(&end) & MARK_BACK);
	expect_text(end.tcp, "hello");
	end_free(&end);
}

static void a_bell_whose_lock_is_held_holds_up_no_other(void **state)
{
	struct end end;
	pid_t holder;
	int bell;

	(void)state;
	end_make(&end, RENDEZVOUS_SERVER);
	bell = dup(end.data[1]);
	assert_int_equal(send(end.data[0], "", 1, 0), 1);
	holder = hold(bell, false);
	end_send(&end, world.session);
	if (holder > 0) {
		for (int i = 0; i < 100; i++)
			assert_int_equal(send(end.data[0], "", 1, MSG_DONTWAIT), 1);
		run(2);
		must_serve();
	}
	let_go(holder);
	close(bell);
	peer_says(&end, NULL, "plain");
	eventually(marks(&end) & MARK_BACK);
	end_free(&end);
	if (holder < 0)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)
		TEST(a_socket_whose_lock_is_held_holds_up_no_other),
		TEST(a_bell_whose_lock_is_held_holds_up_no_other),
	};

	if (world_open(NULL) || world_mistrust(NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, world_close);
}
