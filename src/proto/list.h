/* SPDX-License-Identifier: MIT */
/*
 * Doubly linked lists whose links lie in what is listed
 *
 * A list is a struct list that stands for none of its members; empty, and a member of no list, it
 * points to itself.
 */
#ifndef SMCU_PROTO_LIST_H
#define SMCU_PROTO_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *previous;
};

/* list_owner - the @type in which @node is the member @member */
#define list_owner(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

/* list_each - for each @node of the list at @head; @node, but not @after, may be removed meanwhile */
#define list_each(node, after, head)                                                               \
	for (struct list *node = (head)->next, *after = node->next; node != (head);                \
	     node = after, after = node->next)

static inline void list_init(struct list *list)
{
	list->next = list->previous = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

/* list_append - put @node, which is in no list, at the end of @list */
static inline void list_append(struct list *list, struct list *node)
{
	node->next = list;
	node->previous = list->previous;
	list->previous->next = node;
	list->previous = node;
}

/* list_remove - take @node out of its list, if it is in one */
static inline void list_remove(struct list *node)
{
	node->previous->next = node->next;
	node->next->previous = node->previous;
	list_init(node);
}

#endif
