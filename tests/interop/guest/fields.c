/* SPDX-License-Identifier: MIT */
#include "fields.h"

#include <stdio.h>
#include <string.h>

#include "netlink.h"

void text_print(const char *text, size_t length)
{
	size_t i;

	length = strnlen(text, length);
	while (length && text[length - 1] == ' ')
		length--;
	putchar('"');
	for (i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			printf("\\u%04x", (unsigned char)text[i]);
		else
			putchar(text[i]);
	putchar('"');
}

static void number_print(const void *value, size_t length)
{
	uint64_t number = 0; /* little endian, as all that the lab runs on */

	memcpy(&number, value, length < sizeof(number) ? length : sizeof(number));
	printf("%llu", (unsigned long long)number);
}

static void field_print(const struct field *field, const struct nlattr *attribute)
{
	const void *value = attribute_value(attribute);
	size_t length = attribute_length(attribute);

	printf("\"%s\": ", field->name);
	if (field->kind == FIELD_NUMBER)
		number_print(value, length);
	else if (field->kind == FIELD_TEXT)
		text_print(value, length);
	else
		fields_print(field->nest, value, length);
}

void fields_print(const struct field *table, const void *attributes, size_t length)
{
	const struct nlattr *attribute;
	const struct field *field;
	const char *separator = "";

	putchar('{');
	while ((attribute = attribute_next(&attributes, &length))) {
		field = table;
		while (field->type && field->type != (attribute->nla_type & NLA_TYPE_MASK))
			field++;
		if (!field->type)
			continue;
		fputs(separator, stdout);
		field_print(field, attribute);
		separator = ", ";
	}
	putchar('}');
}
