/* SPDX-License-Identifier: MIT */
#include "daemon/users.h"

#include <stdatomic.h>
#include <stdlib.h>

struct user *users_enter(struct user **users, uid_t uid)
{
	struct user *user;

	HASH_FIND(hh, *users, &uid, sizeof(uid), user);
	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return NULL;
		user->uid = uid;
		HASH_ADD(hh, *users, uid, sizeof(user->uid), user);
	}
	user->sessions++;
	return user;
}

static void forget_unused(struct user **users, struct user *user)
{
	if (user->sessions || user->kept || atomic_load(&user->foreign))
		return;
	HASH_DELETE(hh, *users, user);
	free(user);
}

void users_leave(struct user **users, struct user *user)
{
	user->sessions--;
	forget_unused(users, user);
}

void users_keep(struct user *user)
{
	user->kept++;
}

void users_let_go(struct user **users, struct user *user)
{
	user->kept--;
	forget_unused(users, user);
}
