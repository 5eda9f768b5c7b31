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

void users_leave(struct user **users, struct user *user)
{
	user->sessions--;
	if (user->sessions || atomic_load(&user->foreign))
		return;
	HASH_DELETE(hh, *users, user);
	free(user);
}
