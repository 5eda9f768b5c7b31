/* SPDX-License-Identifier: MIT */
/*
 * Netlink attributes as JSON, told by tables what they are
 */
#ifndef INTEROP_FIELDS_H
#define INTEROP_FIELDS_H

#include <stddef.h>
#include <stdint.h>

enum field_kind {
	FIELD_NUMBER, /* unsigned, of as many bytes as the attribute has: 1, 2, 4 or 8 */
	FIELD_TEXT, /* up to its length or a zero; blanks at its end are padding */
	FIELD_NEST, /* attributes */
};

/**
 * struct field - one attribute
 * @type: its number; 0 ends a table
 * @kind: what it carries
 * @name: its JSON key
 * @nest: FIELD_NEST: the table of what is in it
 */
struct field {
	uint16_t type;
	enum field_kind kind;
	const char *name;
	const struct field *nest;
};

/* fields_print - attributes as one JSON object; those that the table does not name are left out */
void fields_print(const struct field *table, const void *attributes, size_t length);

/* text_print - a JSON string */
void text_print(const char *text, size_t length);

#endif
